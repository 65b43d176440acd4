"""The scripted server's side of files over MSRP: it takes and brings them, as far as it is told, over real sockets."""

import asyncio
import secrets
import time
from collections.abc import Callable
from dataclasses import replace

from joyn.phone.offers import Invitation, offered_media, with_icon
from joyn.protocol.file_transfer import FileOffer
from joyn.protocol.msrp.setup import answer_setup, connects
from joyn.protocol.sdp import Direction, MsrpMedia, Setup, build_msrp
from joyn.protocol.sip.building import build_request
from joyn.protocol.sip.dialog import Dialog
from joyn.protocol.sip.message import SipRequest, SipResponse
from joyn.transport.msrp import Message, MsrpEndpoint, MsrpLeg, MsrpLimits, MsrpListener, Piece
from joyn.transport.sip import Inbound
from phone.scripted_server import BOB, DOMAIN, ScriptedServer


class ScriptedFile:
    """One session with a file. `data` is what came in it; `cut_after` bytes its connection breaks, before they are
    answered; `status` is what pieces are answered with."""

    def __init__(self, files: "ScriptedFiles") -> None:
        self.files = files
        self.media = files.msrp.session(self, receiver=self, max_size=1 << 40)
        self.request: SipRequest | None = None
        self.invitation: Invitation | None = None
        self.answered: FileOffer | None = None
        self.dialog: Dialog | None = None
        self.data = bytearray()
        self.cut_after = 1 << 40
        self.status = 200
        self.closed = asyncio.Event()
        self.whole = asyncio.Event()
        self.connecting: asyncio.Task[None] | None = None

    def on_bound(self, leg: MsrpLeg) -> None:
        pass

    def on_closed(self, leg: MsrpLeg, reason: str) -> None:
        self.closed.set()

    def on_message(self, leg: MsrpLeg, message: Message) -> None:
        raise AssertionError("a session that streams has no whole messages")

    def on_stopped(self, leg: MsrpLeg, message_id: str, status: int) -> None:
        pass

    def on_piece(self, leg: MsrpLeg, piece: Piece) -> None:
        self.data += piece.data
        if len(self.data) >= self.cut_after:
            del self.data[self.cut_after :]
            self.cut()
        elif self.status != 200:
            leg.refuse(piece, self.status)
        else:
            leg.take(piece)
            if piece.last:
                self.whole.set()

    def cut(self) -> None:
        assert self.media.connection is not None
        self.media.connection.abort()

    async def stream(self, data: bytes, upto: int | None = None) -> int:
        """Send bytes as one message; with `upto` the connection breaks instead of sending more."""

        async def read(offset: int, size: int) -> bytes:
            if upto is not None and offset >= upto:
                self.cut()
            return data[offset : offset + size if upto is None else min(offset + size, max(upto, offset + 1))]

        return await self.media.stream(secrets.token_hex(4), "image/jpeg", len(data), read)

    async def bye(self) -> SipResponse:
        assert self.dialog is not None
        server = self.files.server
        flow = server.contacts[self.files.number][1]
        return await server.endpoint.request(flow, self.dialog.request("BYE", [server.via(flow)]))

    def describe(self, setup: Setup, direction: Direction, offer: FileOffer) -> bytes:
        return build_msrp(
            address="127.0.0.1",
            port=self.files.port,
            path=[self.media.local_path],
            session_id=1,
            accept_types=[offer.content_type or "*"],
            setup=setup,
            direction=direction,
            attributes=offer.attributes(),
        ).emit()


class ScriptedFiles:
    """Everything about files of one server with the phone `number`.

    `statuses` are the answers to the INVITEs that come, one after the other, then 200; `prepare` is told of each
    session that is about to be answered, and gives the byte at which it is to begin: what the phone offers if None,
    and what it offers and nothing said of it if negative.
    """

    def __init__(self, server: ScriptedServer, number: str) -> None:
        self.server = server
        self.number = number
        self.port = 0
        self.msrp = MsrpEndpoint(MsrpLimits(), make_token=lambda: secrets.token_hex(16), now=time.monotonic)
        self.taken: list[ScriptedFile] = []
        self.statuses: list[int] = []
        self.prepare: Callable[[ScriptedFile], int | None] = lambda _file: None
        server.on["INVITE"] = self._answer

    async def __aenter__(self) -> "ScriptedFiles":
        self.port = (await self.msrp.listen(MsrpListener(name="test", transport="TCP", host="127.0.0.1", port=0))).port
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.msrp.close()

    # The phone sends, or asks.

    def _answer(self, inbound: Inbound) -> None:
        if self.statuses:
            inbound.respond(self.statuses.pop(0))
            return
        invitation = Invitation.of(inbound.request)
        assert invitation is not None
        assert invitation.file is not None
        asked = invitation.media.direction == "recvonly"
        file = ScriptedFile(self)
        file.request, file.invitation = inbound.request, invitation
        file.dialog = Dialog.of_server(inbound.request, "server-tag")
        self.taken.append(file)
        start = self.prepare(file)
        setup = answer_setup(invitation.media.setup)
        offer = invitation.file
        answer = offer if start is None else replace(offer, start=max(start, 0), ranged=start >= 0)
        inbound.respond(
            200,
            to_tag="server-tag",
            headers=[("Contact", f"<sip:127.0.0.1:{self.server.port}>"), ("Content-Type", "application/sdp")],
            body=file.describe(setup, "sendonly" if asked else "recvonly", answer),
        )
        inbound.acknowledged()
        self._join(file, invitation.media, active=connects(invitation.media.setup, setup) == "answerer")

    def _join(self, file: ScriptedFile, remote: MsrpMedia, *, active: bool) -> None:
        path = " ".join(remote.path)
        if active:
            file.connecting = asyncio.create_task(file.media.connect(path))
        else:
            file.media.expect(path)

    # The phone takes.

    async def ask(self, offer: FileOffer, *, icon: bytes = b"", direction: Direction = "sendonly") -> SipResponse:
        """Offer the phone a file; its final answer, and with 200 the session is the last of `brought`."""
        file = ScriptedFile(self)
        uri, flow = self.server.contacts[self.number]
        content_type, body = "application/sdp", file.describe("actpass", direction, offer)
        if icon:
            content_type, body = with_icon(body, icon, offer.icon)
        endpoint = self.server.endpoint
        request = build_request(
            "INVITE",
            uri,
            [
                self.server.via(flow),
                ("Max-Forwards", "70"),
                ("From", f"<sip:{BOB}@{DOMAIN}>;tag=1"),
                ("To", f"<tel:{self.number}>"),
                ("Call-ID", endpoint.make_call_id()),
                ("CSeq", "1 INVITE"),
                ("Contact", f"<sip:127.0.0.1:{self.server.port}>"),
                ("P-Asserted-Identity", f"<tel:{BOB}>"),
                ("Content-Type", content_type),
            ],
            body,
        )
        answer = await endpoint.request(flow, request)
        if answer.status == 200:
            file.dialog = Dialog.of_client(request, answer)
            endpoint.acknowledge(request, file.dialog.request("ACK", [self.server.via(flow)]))
            answered = offered_media(answer.body)
            assert answered is not None
            remote, file.answered = answered
            assert remote.direction == "recvonly"
            self._join(file, remote, active=connects("actpass", remote.setup) == "offerer")
            self.brought = file
        return answer

    async def bring(self, offer: FileOffer, **more: bytes) -> ScriptedFile:
        """Open a session that brings a file to the phone."""
        answer = await self.ask(offer, icon=more.get("icon", b""))
        assert answer.status == 200, answer
        return self.brought
