"""SIP over WebSocket (RFC 7118): who may open one, what goes over it, and where it ends."""

import asyncio
import random

import aiohttp
import pytest

from edge.http.browser import DOMAIN, Office, at_office
from joyn.model.aor import Aor
from joyn.protocol.cpim import CpimMessage, build
from joyn.protocol.sip.message import SipRequest
from phone.node import ALICE, CAROL
from waiting import until

CAROL_AOR = Aor(f"tel:{CAROL}")
ANYBODY = "<sip:anonymous@anonymous.invalid>"


def make_cpim(text: str) -> str:
    built = build(from_=ANYBODY, to=ANYBODY, content_type="text/plain", body=text.encode(), message_id=f"w {text}")
    return built.decode()


def test_a_browser_registers_and_messages_go_both_ways() -> None:
    async def story(office: Office) -> None:
        async with office.browser() as carol:
            answer = await carol.register()
            assert answer.status == 200
            assert ";transport=ws" in (answer.header("service-route") or "")
            await office.alice.send(CAROL, "salut", mode="pager")
            request = await carol.hear()
            assert isinstance(request, SipRequest)
            assert request.top_via.startswith("SIP/2.0/WS ")
            assert request.uri == "sip:b@df7jal23ls0d.invalid;transport=ws"
            assert CpimMessage.parse(request.body).decoded_body == b"salut"
            await carol.accept(request)
            cpim = make_cpim("ça va ?")
            await carol.say(carol.request("MESSAGE", f"tel:{ALICE}", cpim, ("Content-Type", "message/cpim")))
            assert (await carol.answer()).status == 202
            assert (await office.alice.receive(timeout=5)).text == "ça va ?"

    at_office(story)


@pytest.mark.parametrize("binary", [False, True])
def test_one_message_needs_no_length_and_may_be_text_or_binary(binary: bool) -> None:
    async def story(office: Office) -> None:
        async with office.browser() as carol:
            text = carol.request("OPTIONS", f"sip:{DOMAIN}").replace("Content-Length: 0\r\n", "")
            await carol.say(text.encode() if binary else text)
            assert (await carol.answer()).status == 200

    at_office(story)


def test_a_closed_socket_takes_its_binding_with_it() -> None:
    async def story(office: Office) -> None:
        async with office.browser() as carol:
            await carol.register()
            assert len(office.node.registrar.of(CAROL_AOR)) == 1
        await until(lambda: not office.node.registrar.of(CAROL_AOR))

    at_office(story)


@pytest.mark.parametrize(("said", "heard"), [("\r\n\r\n", "\r\n"), ("\r\n", None)])
def test_a_double_line_break_is_answered_with_one(said: str, heard: str | None) -> None:
    async def story(office: Office) -> None:
        async with office.browser() as carol:
            await carol.say(said)
            await carol.say(carol.request("OPTIONS", f"sip:{DOMAIN}"))
            first = await carol.socket.receive(5)
            assert first.data == heard if heard else first.data.startswith("SIP/2.0 200")

    at_office(story)


# Who may open one.


@pytest.mark.parametrize(
    ("origin", "settings", "taken"),
    [
        (None, {}, True),
        ("own", {}, True),
        ("https://evil.example", {}, False),
        ("null", {}, False),
        ("https://partner.example", {"origins": ("https://partner.example",)}, True),
    ],
)
def test_only_our_own_page_and_those_named_may_connect(
    origin: str | None, settings: dict[str, tuple[str, ...]], taken: bool
) -> None:
    async def story(office: Office) -> None:
        given = {"Origin": office.origin if origin == "own" else origin} if origin else {}
        if taken:
            async with office.browser(**given) as somebody:
                await somebody.say(somebody.request("OPTIONS", f"sip:{DOMAIN}"))
                assert (await somebody.answer()).status == 200
        else:
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                async with office.browser(**given):
                    pass
            assert refused.value.status == 403

    at_office(story, **settings)


@pytest.mark.parametrize("protocols", [(), ("xmpp",)])
def test_a_socket_without_a_protocol_we_speak_is_closed(protocols: tuple[str, ...]) -> None:
    async def story(office: Office) -> None:
        async with office.http.ws_connect(f"ws://{office.host}/ws", protocols=protocols) as socket:
            assert (await socket.receive(5)).type is aiohttp.WSMsgType.CLOSE
            assert socket.close_code == 1002

    at_office(story)


def test_a_request_that_asks_for_no_upgrade_is_told_so() -> None:
    async def story(office: Office) -> None:
        answer = await office.http.get(f"{office.origin}/ws")
        assert (answer.status, answer.headers["Upgrade"]) == (426, "websocket")

    at_office(story)


# Where it ends.


def test_what_is_no_sip_ends_the_socket_and_nothing_else() -> None:
    async def story(office: Office) -> None:
        async with office.browser() as one, office.browser() as other:
            await one.say("hello")
            assert await one.ended() == 1002
            await other.say(other.request("OPTIONS", f"sip:{DOMAIN}"))
            assert (await other.answer()).status == 200

    at_office(story)


def test_a_socket_too_many_is_told_to_come_back() -> None:
    async def story(office: Office) -> None:
        # Alice's phone is the first.
        async with office.browser() as one:
            async with office.browser() as other:
                assert await other.ended() == 1013
            await one.say(one.request("OPTIONS", f"sip:{DOMAIN}"))
            assert (await one.answer()).status == 200
        await until(lambda: len(office.node.endpoint.flows) == 1)
        async with office.browser() as one:
            await one.say(one.request("OPTIONS", f"sip:{DOMAIN}"))
            assert (await one.answer()).status == 200

    at_office(story, sip={"max_connections_per_source": 2})


def test_each_browser_behind_a_proxy_has_its_own_share() -> None:
    async def story(office: Office) -> None:
        async with (
            office.browser(**{"X-Forwarded-For": "203.0.113.1"}) as one,
            office.browser(**{"X-Forwarded-For": "203.0.113.2"}) as two,
            office.browser(**{"X-Forwarded-For": "203.0.113.2"}) as too_many,
        ):
            for browser in (one, two):
                await browser.say(browser.request("OPTIONS", f"sip:{DOMAIN}"))
                assert (await browser.answer()).status == 200
            assert await too_many.ended() == 1013

    at_office(story, sip={"max_connections_per_source": 1}, trusted_proxies=("127.0.0.0/8",))


def test_when_the_node_stops_browsers_are_told() -> None:
    async def story(office: Office) -> None:
        async with office.browser() as one:
            await one.register()
            closing = asyncio.ensure_future(office.node.websockets.close())
            assert await one.ended() == 1001
            await closing

    at_office(story)


def test_over_https_it_is_wss() -> None:
    async def story(office: Office) -> None:
        async with office.browser(Origin=office.origin) as carol:
            answer = await carol.register()
            assert answer.status == 200
            assert ";transport=ws" in (answer.header("service-route") or "")
            await office.alice.send(CAROL, "salut", mode="pager")
            request = await carol.hear()
            assert isinstance(request, SipRequest)
            assert request.top_via.startswith("SIP/2.0/WSS ")
            await carol.accept(request)

    at_office(story, secure=True)


def test_a_request_too_large_is_answered_and_a_message_too_large_ends_the_socket() -> None:
    async def story(office: Office) -> None:
        async with office.browser() as carol:
            await carol.say(carol.request("MESSAGE", f"tel:{ALICE}", "x" * (65 << 10), ("Content-Type", "text/plain")))
            assert (await carol.answer()).status == 513
        async with office.browser() as carol:
            await carol.say("x" * ((1 << 20) + 1))
            assert await carol.ended() == 1009

    at_office(story)


@pytest.mark.parametrize("protocol", ["sip", "msrp"])
def test_noise_ends_at_most_the_socket_it_comes_on(protocol: str, caplog: pytest.LogCaptureFixture) -> None:
    noise = random.Random(7118)
    seeds = (b"REGISTER sip:a SIP/2.0\r\nVia: SIP/2.0/WS a;branch=z9hG4bK1\r\n\r\n", b"MSRP a786hjs2 SEND\r\nTo-Path: ")

    async def story(office: Office) -> None:
        async with office.browser() as bystander:
            await bystander.register()
            for _ in range(60):
                async with office.http.ws_connect(office.url, protocols=(protocol,)) as socket:
                    data = bytearray(noise.choice(seeds) + noise.randbytes(noise.randrange(200)))
                    for _ in range(noise.randrange(5)):
                        data[noise.randrange(len(data))] = noise.randrange(256)
                    await socket.send_bytes(bytes(data))
            await bystander.say(bystander.request("OPTIONS", f"sip:{DOMAIN}"))
            assert (await bystander.answer()).status == 200
            assert len(office.node.registrar.of(CAROL_AOR)) == 1

    at_office(story)
    # What fails unforeseen is logged with its traceback.
    assert [record.getMessage() for record in caplog.records if record.exc_info] == []


def test_somebody_who_does_not_read_is_disconnected() -> None:
    async def story(office: Office) -> None:
        async with office.browser() as deaf:
            connection = deaf.socket._response.connection
            assert connection is not None
            assert connection.transport is not None
            connection.transport.pause_reading()
            via = f"SIP/2.0/WS a.invalid;branch=z9hG4bKlong;x={'x' * 12_000}"
            text = deaf.request("OPTIONS", f"sip:{DOMAIN}").replace("SIP/2.0/WS df7jal23ls0d.invalid", via)
            flows = len(office.node.endpoint.flows)
            async with asyncio.timeout(20):
                while len(office.node.endpoint.flows) == flows:
                    try:
                        await deaf.say(text)
                    except ConnectionError:
                        await asyncio.sleep(0.01)
                    await asyncio.sleep(0)
            assert len(office.node.endpoint.flows) == flows - 1

    at_office(story)
