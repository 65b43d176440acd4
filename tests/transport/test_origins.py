"""Where the client for other operators' content servers goes, and where it never does."""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable

import pytest
import trustme
from aiohttp.abc import AbstractResolver, ResolveResult

from interconnect.origin import ScriptedOrigin, Served
from joyn.transport.origins import Cut, OriginClient, Unreachable
from ports import free_port


class Names(AbstractResolver):
    """Knows one name."""

    def __init__(self, address: str) -> None:
        self._address = address

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = ResolveResult(hostname=host, host=self._address, port=port, family=socket.AF_INET, proto=0, flags=0)
        return [found]

    async def close(self) -> None:
        pass


def with_origin(story: Callable[[ScriptedOrigin, OriginClient], Awaitable[None]], client: OriginClient) -> None:
    async def run() -> None:
        try:
            async with ScriptedOrigin() as origin:
                await story(origin, client)
        finally:
            await client.close()

    asyncio.run(run())


def test_what_is_asked_for_brings_a_range_and_nothing_of_ours() -> None:
    async def story(origin: ScriptedOrigin, client: OriginClient) -> None:
        origin.served["/f%2F1?x=%20"] = Served(b"abcdef", headers={"Set-Cookie": "a=b"})
        for start, body in ((0, b"abcdef"), (2, b"cdef")):
            async with client.get(origin.url, "/f%2F1?x=%20", start) as answer:
                assert (answer.status, answer.length) == (206 if start else 200, len(body))
                assert await answer.read() == body
                assert await answer.read() == b""
        assert [asked.get("range", "") for _, asked in origin.requests] == ["", "bytes=2-"]
        assert not {"cookie", "authorization", "referer"} & set(origin.requests[1][1])

    with_origin(story, OriginClient())


def test_an_answer_that_is_cut_is_told_from_one_that_ends() -> None:
    async def story(origin: ScriptedOrigin, client: OriginClient) -> None:
        origin.served["/f"] = Served(b"abcdef", cuts=[3])
        async with client.get(origin.url, "/f", 0) as answer:
            assert await answer.read() == b"abc"
            with pytest.raises(Cut):
                await answer.read()

    with_origin(story, OriginClient())


def test_a_redirect_is_an_answer_and_not_followed() -> None:
    async def story(origin: ScriptedOrigin, client: OriginClient) -> None:
        origin.served["/f"] = Served(status=307, headers={"Location": "/g"})
        async with client.get(origin.url, "/f", 0) as answer:
            assert answer.status == 307
        assert len(origin.requests) == 1

    with_origin(story, OriginClient())


def test_a_port_where_nobody_listens_is_unreachable() -> None:
    async def story(_origin: ScriptedOrigin, client: OriginClient) -> None:
        with pytest.raises(Unreachable):
            async with client.get(f"http://127.0.0.1:{free_port()}", "/f", 0):
                pass

    with_origin(story, OriginClient())


def test_a_content_server_without_a_certificate_that_is_trusted_hears_nothing() -> None:
    async def story(_origin: ScriptedOrigin, client: OriginClient) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
        heard: list[bytes] = []

        async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            heard.append(await reader.read(100))
            writer.close()

        async with await asyncio.start_server(hear, "127.0.0.1", port := free_port(), ssl=context):
            with pytest.raises(Unreachable):
                async with client.get(f"https://127.0.0.1:{port}", "/f", 0):
                    pass
        assert not any(heard)

    with_origin(story, OriginClient())


@pytest.mark.parametrize("path", ["@evil.example/f", ".evil.example/f", ":81/f"])
def test_a_path_makes_no_other_origin(path: str) -> None:
    async def story(_origin: ScriptedOrigin, client: OriginClient) -> None:
        with pytest.raises(ValueError, match=r".+"):
            async with client.get("http://a.example", path, 0):
                pass

    with_origin(story, OriginClient())


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "0.0.0.0", "224.0.0.1"])
def test_a_name_that_leads_to_this_machine_or_its_link_leads_nowhere(address: str) -> None:
    async def story(origin: ScriptedOrigin, client: OriginClient) -> None:
        with pytest.raises(Unreachable):
            async with client.get(f"http://files.evil.example:{origin.port}", "/f", 0):
                pass
        assert origin.requests == []

    with_origin(story, OriginClient(resolver=Names(address)))


def test_an_address_that_the_peers_file_names_is_gone_to() -> None:
    async def story(origin: ScriptedOrigin, client: OriginClient) -> None:
        async with client.get(f"http://localhost:{origin.port}", "/f", 0) as answer:
            assert answer.status == 404
        async with client.get(origin.url, "/f", 0) as answer:
            assert answer.status == 404

    with_origin(story, OriginClient(resolver=Names("127.0.0.1")))
