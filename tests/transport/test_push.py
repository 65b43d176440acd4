import asyncio
import socket

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver

from joyn.transport.push import Answer, PushClient, Unreachable, is_public


@pytest.mark.parametrize("address", ["192.0.2.1", "8.8.8.8", "2606:4700::1111"])
def test_public_addresses(address):
    # 192.0.2.0/24 is for documentation: not public either.
    assert is_public(address) is (address != "192.0.2.1")


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "0.0.0.0",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "224.0.0.1",
        "239.255.255.250",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "fe80::1%eth0",
        "fd00::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a00:1",
        "2002:7f00:1::",
        "2001:0:1::1",
        "localhost",
        "",
    ],
)
def test_addresses_that_are_not_public(address):
    assert not is_public(address)


class Rebinding(AbstractResolver):
    """Every name means these addresses."""

    def __init__(self, *addresses):
        self.addresses = addresses
        self.asked = []

    async def resolve(self, host, port=0, family=socket.AF_INET):
        self.asked.append(host)
        return [
            {
                "hostname": host,
                "host": address,
                "port": port,
                "family": socket.AF_INET,
                "proto": 0,
                "flags": socket.AI_NUMERICHOST,
            }
            for address in self.addresses
        ]

    async def close(self):
        pass


class PushService:
    """An HTTP server on loopback that answers what the test says."""

    def __init__(self, status=201, headers=None):
        self.status, self.headers = status, headers or {}
        self.requests = []

    async def __aenter__(self):
        async def handle(request):
            self.requests.append((request.path, dict(request.headers), await request.read()))
            return web.Response(status=self.status, headers=self.headers)

        self.runner = web.ServerRunner(web.Server(handle))
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", 0)
        await site.start()
        self.port = self.runner.addresses[0][1]
        return self

    async def __aexit__(self, *_):
        await self.runner.cleanup()


def posted(service, host="127.0.0.1", **options):
    async def scenario():
        async with service:
            client = PushClient(**options)
            try:
                return await client.post(f"http://{host}:{service.port}/p/1", {"TTL": "60"}, b"body")
            finally:
                await client.close()

    return asyncio.run(scenario())


def test_a_message_is_posted_as_it_is():
    service = PushService()
    assert posted(service, insecure=True) == Answer(status=201)
    ((path, headers, body),) = service.requests
    assert (path, headers["TTL"], body) == ("/p/1", "60", b"body")


def test_a_name_that_means_this_machine_is_not_connected_to():
    service = PushService()
    resolver = Rebinding("127.0.0.1")
    with pytest.raises(Unreachable):
        posted(service, "fcm.example", resolver=resolver)
    assert (service.requests, resolver.asked) == ([], ["fcm.example"])


@pytest.mark.parametrize("host", ["127.0.0.1", "[::ffff:127.0.0.1]", "localhost", "127.1", "2130706433", "0x7f000001"])
def test_nor_any_way_to_write_this_machines_address(host):
    service = PushService()
    with pytest.raises(Unreachable):
        posted(service, host)
    assert service.requests == []


def test_of_several_addresses_only_the_public_ones_are_tried():
    from joyn.transport.push import PublicResolver

    found = asyncio.run(PublicResolver(Rebinding("10.0.0.1", "8.8.8.8", "127.0.0.1")).resolve("push.example", 443))
    assert [one["host"] for one in found] == ["8.8.8.8"]


def test_a_redirect_is_not_followed():
    service = PushService(307, {"Location": "http://127.0.0.1/admin"})
    assert posted(service, insecure=True) == Answer(status=307)
    assert len(service.requests) == 1


def test_no_cookie_is_kept():
    async def scenario():
        async with PushService(201, {"Set-Cookie": "a=b"}) as service:
            client = PushClient(insecure=True)
            for _ in range(2):
                await client.post(f"http://127.0.0.1:{service.port}/", {}, b"")
            await client.close()
            return [headers.get("Cookie") for _, headers, _ in service.requests]

    assert asyncio.run(scenario()) == [None, None]


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "120"}, 120.0),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "-1"}, None),
        (
            {"Retry-After": "Sun, 06 Nov 1994 08:50:37 GMT", "Date": "Sun, 06 Nov 1994 08:49:37 GMT"},
            60.0,
        ),
        ({"Retry-After": "Sun, 06 Nov 1994 08:40:37 GMT", "Date": "Sun, 06 Nov 1994 08:49:37 GMT"}, 0.0),
    ],
)
def test_how_long_a_push_service_wants_to_be_left_alone(headers, seconds):
    assert posted(PushService(429, headers), insecure=True) == Answer(status=429, retry_after=seconds)


def test_nobody_there_is_unreachable():
    async def scenario():
        async with PushService() as service:
            port = service.port
        client = PushClient(insecure=True)
        try:
            await client.post(f"http://127.0.0.1:{port}/", {}, b"")
        finally:
            await client.close()

    with pytest.raises(Unreachable):
        asyncio.run(scenario())
