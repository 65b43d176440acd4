"""The scripted server's side of a chat: it answers and opens sessions, and keeps what arrives in them."""

import asyncio
import secrets
import ssl
import time
from typing import Any

from joyn.phone.offers import Invitation, with_first_message
from joyn.protocol.cpim import CpimMessage
from joyn.protocol.msrp.setup import answer_setup, connects
from joyn.protocol.sdp import Direction, MsrpMedia, SessionDescription, Setup, build_msrp
from joyn.protocol.sip.building import build_request
from joyn.protocol.sip.dialog import Dialog
from joyn.protocol.sip.message import SipRequest, SipResponse
from joyn.transport.msrp import Message, MsrpEndpoint, MsrpLeg, MsrpLimits, MsrpListener
from joyn.transport.sip import Inbound
from phone.scripted_server import BOB, DOMAIN, ScriptedServer


class ScriptedChat:
    """One leg of the server. `status` is what every message is answered with."""

    def __init__(self, chats: "ScriptedChats") -> None:
        self.chats = chats
        self.media = chats.msrp.session(self, tls=chats.fingerprint is not None)
        self.dialog: Dialog | None = None
        self.request: SipRequest | None = None
        self.messages: asyncio.Queue[Message] = asyncio.Queue()
        self.status = 200
        self.closed = ""
        self.connecting: asyncio.Task[None] | None = None

    def on_message(self, leg: MsrpLeg, message: Message) -> None:
        leg.answer(message, self.status)
        self.messages.put_nowait(message)

    def on_bound(self, leg: MsrpLeg) -> None:
        pass

    def on_closed(self, leg: MsrpLeg, reason: str) -> None:
        self.closed = reason

    async def read(self) -> CpimMessage:
        async with asyncio.timeout(2):
            return CpimMessage.parse((await self.messages.get()).body)

    async def write(self, cpim: CpimMessage) -> int:
        return await self.media.send(secrets.token_hex(4), "message/cpim", cpim.data)

    async def bye(self) -> SipResponse:
        assert self.dialog is not None
        server = self.chats.server
        flow = server.contacts[self.chats.number][1]
        return await server.endpoint.request(flow, self.dialog.request("BYE", [server.via(flow)]))

    def describe(self, setup: Setup, direction: Direction) -> bytes:
        return build_msrp(
            address="127.0.0.1",
            port=self.chats.port,
            path=[self.media.local_path],
            session_id=1,
            accept_types=["message/cpim"],
            setup=setup,
            direction=direction,
            fingerprint=self.chats.fingerprint,
        ).emit()


class ScriptedChats:
    """Everything about chats of one server with the phone `number`; over TLS when there is a context."""

    def __init__(
        self, server: ScriptedServer, number: str, tls: ssl.SSLContext | None = None, fingerprint: str = ""
    ) -> None:
        self.server = server
        self.number = number
        self.port = 0
        self.tls = tls
        self.fingerprint = ("SHA-256", fingerprint) if tls else None
        self.msrp = MsrpEndpoint(MsrpLimits(), make_token=lambda: secrets.token_hex(16), now=time.monotonic)
        self.answered: asyncio.Queue[ScriptedChat] = asyncio.Queue()
        server.on["INVITE"] = self._answer

    async def __aenter__(self) -> "ScriptedChats":
        listener = MsrpListener(
            name="test", transport="TLS" if self.tls else "TCP", host="127.0.0.1", port=0, tls=self.tls
        )
        self.port = (await self.msrp.listen(listener)).port
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.msrp.close()

    def _answer(self, inbound: Inbound) -> None:
        invitation = Invitation.of(inbound.request)
        assert invitation is not None
        chat = ScriptedChat(self)
        chat.request = inbound.request
        chat.dialog = Dialog.of_server(inbound.request, "server-tag")
        setup = answer_setup(invitation.media.setup)
        contact = ("Contact", f"<sip:127.0.0.1:{self.server.port}>")
        inbound.respond(
            200,
            to_tag="server-tag",
            headers=[contact, ("Content-Type", "application/sdp")],
            body=chat.describe(setup, "sendrecv"),
        )
        inbound.acknowledged()
        self._join(chat, invitation.media, active=connects(invitation.media.setup, setup) == "answerer")
        self.answered.put_nowait(chat)

    def _join(self, chat: ScriptedChat, remote: MsrpMedia, *, active: bool) -> None:
        path = " ".join(remote.path)
        if active:
            chat.connecting = asyncio.create_task(chat.media.connect(path))
        else:
            chat.media.expect(path)

    async def next(self) -> ScriptedChat:
        async with asyncio.timeout(2):
            return await self.answered.get()

    async def ask(
        self,
        chat: ScriptedChat,
        *,
        first: CpimMessage | None = None,
        headers: tuple[tuple[str, str], ...] = (),
        setup: Setup = "actpass",
        direction: Direction = "sendrecv",
        identity: str = f"<tel:{BOB}>",
    ) -> tuple[SipRequest, asyncio.Task[SipResponse]]:
        """Send an INVITE; the final answer is still to come."""
        uri, flow = self.server.contacts[self.number]
        content_type, body = "application/sdp", chat.describe(setup, direction)
        if first is not None:
            content_type, body = with_first_message(body, first.data)
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
                ("P-Asserted-Identity", identity),
                *headers,
                ("Content-Type", content_type),
            ],
            body,
        )
        return request, asyncio.create_task(endpoint.request(flow, request))

    async def invite(self, *, setup: Setup = "actpass", **more: Any) -> ScriptedChat:
        """Open a chat with the phone, until it stands."""
        chat = ScriptedChat(self)
        request, answering = await self.ask(chat, setup=setup, **more)
        self.establish(chat, request, await answering, setup)
        return chat

    def establish(self, chat: ScriptedChat, request: SipRequest, answer: SipResponse, setup: Setup = "actpass") -> None:
        assert answer.status == 200, answer
        chat.dialog = Dialog.of_client(request, answer)
        flow = self.server.contacts[self.number][1]
        self.server.endpoint.acknowledge(request, chat.dialog.request("ACK", [self.server.via(flow)]))
        remote = SessionDescription.parse(answer.body).msrp()
        assert remote is not None
        self._join(chat, remote, active=connects(setup, remote.setup) == "offerer")
