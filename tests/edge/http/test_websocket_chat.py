"""MSRP over WebSocket (RFC 7977): chats of a browser, which always connects and is never connected to."""

import asyncio

import aiohttp
import pytest

from edge.http.browser import Browser, Office, at_office
from joyn.phone.offers import Invitation
from joyn.protocol import sdp
from joyn.protocol.cpim import CpimMessage, build
from joyn.protocol.msrp import Framer, Request, Response, make_response
from joyn.protocol.sip.message import SipRequest
from phone.node import ALICE, CAROL
from waiting import until

ANYBODY = "<sip:anonymous@anonymous.invalid>"
CHAT = '*;+g.3gpp.icsi-ref="urn%3Aurn-7%3A3gpp-service.ims.icsi.oma.cpm.session"'
PATIENCE = 5.0


def make_offer(office: Office, setup: str = "active") -> str:
    scheme, protocol = ("msrps", "TCP/TLS/MSRP") if office.secure else ("msrp", "TCP/MSRP")
    lines = (
        "v=0",
        "o=- 1 1 IN IP4 0.0.0.0",
        "s=-",
        "c=IN IP4 0.0.0.0",
        "t=0 0",
        f"m=message 9 {protocol} *",
        "a=accept-types:message/cpim",
        "a=accept-wrapped-types:*",
        f"a=setup:{setup}",
        f"a=path:{scheme}://df7jal23ls0d.invalid:9/browser1;ws",
    )
    return "".join(f"{line}\r\n" for line in lines)


def media_of(body: bytes) -> sdp.MsrpMedia:
    media = sdp.SessionDescription.parse(body).msrp()
    assert media is not None
    return media


class Media:
    """The browser's second socket."""

    def __init__(self, office: Office, remote: str) -> None:
        scheme = "msrps" if office.secure else "msrp"
        self.own = f"{scheme}://df7jal23ls0d.invalid:9/browser1;ws"
        self.remote = remote
        self._office = office

    async def __aenter__(self) -> "Media":
        self.socket = await self._office.http.ws_connect(self._office.url, protocols=("msrp",))
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.socket.close()

    async def say(self, frame: Request | Response) -> None:
        await self.socket.send_bytes(frame.emit())

    async def hear(self) -> Request | Response:
        """The next message, which holds one chunk: not less, not more."""
        message = await self.socket.receive(PATIENCE)
        assert message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY), message
        framer = Framer()
        frames = framer.receive(message.data.encode() if isinstance(message.data, str) else message.data)
        assert len(frames) == 1
        assert framer.buffered == 0
        return frames[0]

    async def bind(self) -> None:
        """RFC 4975 §5.4: who connects sends first, if only an empty SEND."""
        await self.say(Request("bind0001", "SEND", self.remote, self.own, "empty"))
        answer = await self.hear()
        assert isinstance(answer, Response)
        assert (answer.transaction_id, answer.status) == ("bind0001", 200)


async def open_chat(office: Office, browser: Browser) -> Media:
    """Carol's browser opens a chat with Alice."""
    assert (await browser.register()).status == 200
    more = (("Contact", "<sip:b@df7jal23ls0d.invalid;transport=ws>"), ("Accept-Contact", CHAT))
    await browser.say(
        browser.request("INVITE", f"tel:{ALICE}", make_offer(office), *more, ("Content-Type", "application/sdp"))
    )
    answer = await browser.answer()
    while answer.status < 200:
        answer = await browser.answer()
    assert answer.status == 200, answer
    media = media_of(answer.body)
    assert media.setup == "passive"
    assert media.secure is office.secure
    (path,) = media.path
    assert path.startswith(f"{'msrps' if office.secure else 'msrp'}://{office.host}/")
    assert path.endswith(";ws")
    return Media(office, path)


@pytest.mark.parametrize("secure", [False, True])
def test_each_chunk_is_one_message_of_the_websocket(secure: bool) -> None:
    async def story(office: Office) -> None:
        async with office.browser() as carol, await open_chat(office, carol) as media:
            await media.bind()
            text = "é" * 15_000
            sending = asyncio.ensure_future(office.alice.send(CAROL, text, mode="session"))
            body, chunks = b"", 0
            while len(body) < 2 * len(text) or not body.endswith(b"\xc3\xa9"):
                chunk = await media.hear()
                assert isinstance(chunk, Request)
                if chunk.method == "SEND" and chunk.body:
                    body += chunk.body
                    chunks += 1
                    await media.say(make_response(chunk, 200))
            assert CpimMessage.parse(body).decoded_body.decode() == text
            assert chunks >= 3
            await sending

    at_office(story, secure=secure)


def test_a_message_may_come_as_it_likes_to_be_packed() -> None:
    async def story(office: Office) -> None:
        async with office.browser() as carol, await open_chat(office, carol) as media:
            await media.bind()
            built = build(from_=ANYBODY, to=ANYBODY, content_type="text/plain", body=b"salut", message_id="w1")
            request = Request("one00001", "SEND", media.remote, media.own, "m1", body=built)
            request.content_type, request.byte_range = "message/cpim", (1, len(built), len(built))
            data = request.emit()
            await media.socket.send_str(data[:40].decode())
            await media.socket.send_bytes(data[40:])
            answer = await media.hear()
            assert isinstance(answer, Response)
            assert answer.status == 200
            assert (await office.alice.receive(timeout=PATIENCE)).text == "salut"

    at_office(story)


def test_a_browser_that_would_wait_to_be_connected_to_is_refused() -> None:
    async def story(office: Office) -> None:
        async with office.browser() as carol:
            await carol.register()
            offer = make_offer(office, "passive")
            await carol.say(carol.request("INVITE", f"tel:{ALICE}", offer, ("Content-Type", "application/sdp")))
            answer = await carol.answer()
            while answer.status < 200:
                answer = await carol.answer()
            assert answer.status == 488

    at_office(story)


@pytest.mark.parametrize("secure", [False, True])
def test_what_we_offer_a_browser_is_to_connect_to_us(secure: bool) -> None:
    async def story(office: Office) -> None:
        async with office.browser() as carol:
            await carol.register()
            await office.alice.send(CAROL, "salut", mode="session")
            invite = await carol.hear()
            assert isinstance(invite, SipRequest)
            assert invite.method == "INVITE"
            invitation = Invitation.of(invite)
            assert invitation is not None
            offer = invitation.media
            assert (offer.setup, offer.secure, offer.fingerprint) == ("passive", secure, None)
            assert CpimMessage.parse(invitation.first or b"").decoded_body == b"salut"
            async with Media(office, offer.path[0]) as second:
                await carol.accept(invite, make_offer(office))
                assert isinstance(ack := await carol.hear(), SipRequest)
                assert ack.method == "ACK"
                await second.bind()
                await office.alice.send(CAROL, "encore", mode="session")
                chunk = await second.hear()
                assert isinstance(chunk, Request)
                assert CpimMessage.parse(chunk.body or b"").decoded_body == b"encore"
                await second.say(make_response(chunk, 200))

    at_office(story, secure=secure)


# Where it ends.


def test_a_session_that_is_not_there_is_answered_481() -> None:
    async def story(office: Office) -> None:
        async with Media(office, f"msrp://{office.host}/guessed;ws") as media:
            await media.say(Request("bind0001", "SEND", media.remote, media.own, "empty"))
            answer = await media.hear()
            assert isinstance(answer, Response)
            assert answer.status == 481

    at_office(story)


def test_the_chat_of_a_browser_is_not_had_over_tcp() -> None:
    async def story(office: Office) -> None:
        async with office.browser() as carol, await open_chat(office, carol) as media:
            tcp = media.remote.replace(";ws", ";tcp")
            port = office.node.settings.msrp.listeners[0].port
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(Request("bind0001", "SEND", tcp, media.own, "empty").emit())
            assert b"481" in await asyncio.wait_for(reader.readline(), PATIENCE)
            writer.close()

    at_office(story)


@pytest.mark.parametrize(("settings", "code"), [({"max_connections": 1}, 1013), ({}, None)])
def test_a_socket_too_many_is_told_to_come_back(settings: dict[str, int], code: int | None) -> None:
    async def story(office: Office) -> None:
        async with Media(office, "") as one, Media(office, "") as other:
            if code is not None:
                assert (await other.socket.receive(PATIENCE)).type is aiohttp.WSMsgType.CLOSE
                assert other.socket.close_code == code
            else:
                other.remote = f"msrp://{office.host}/guessed;ws"
                await other.say(Request("bind0001", "SEND", other.remote, other.own, "empty"))
                assert isinstance(await other.hear(), Response)
            assert not one.socket.closed

    at_office(story, msrp=settings)


def test_what_is_no_msrp_ends_the_socket() -> None:
    async def story(office: Office) -> None:
        async with Media(office, "") as media:
            await media.socket.send_str("hello")
            assert (await media.socket.receive(PATIENCE)).type is aiohttp.WSMsgType.CLOSE

    at_office(story)


def test_a_chat_ends_with_either_socket() -> None:
    async def story(office: Office) -> None:
        sessions = office.node.sessions
        async with office.browser() as carol:
            async with await open_chat(office, carol) as media:
                await media.bind()
                assert len(sessions) == 1
            bye = await carol.hear()
            assert isinstance(bye, SipRequest)
            assert bye.method == "BYE"
            await carol.accept(bye)
        async with office.browser() as carol, await open_chat(office, carol) as media:
            await media.bind()
            await carol.socket.close()
            await until(lambda: not len(sessions))

    at_office(story)
