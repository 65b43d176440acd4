"""The chats of a phone: opening and answering them, and what arrives in them.

Spec: facts §4.1, §4.2, §4.8; RFC 3261 §12 to §15, RFC 4975, RFC 6135.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from joyn.phone.addresses import brings_stored_receipts, normalised, sender_of
from joyn.phone.behaviour import Behaviour
from joyn.phone.chat import Chat
from joyn.phone.inbox import Inbox, media_type
from joyn.phone.invite import Inviting, Ringing
from joyn.phone.joining import Setup, chosen_setup, join
from joyn.phone.journal import Journal
from joyn.phone.line import ALLOW, Line, refusal
from joyn.phone.messages import Received, Rejected
from joyn.phone.offers import Invitation, chat_headers, describe, mirrored, with_first_message
from joyn.phone.styles import Style
from joyn.protocol import cpim, iscomposing, sdp
from joyn.protocol.cpim import CpimMessage, address_uri
from joyn.protocol.errors import ParseError
from joyn.protocol.msrp.setup import connects
from joyn.protocol.sip.dialog import Dialog, DialogId
from joyn.protocol.sip.feature_tags import FeatureTags
from joyn.protocol.sip.message import SipRequest
from joyn.transport.msrp import Message, MsrpLeg
from joyn.transport.sip import Inbound

CALL_COMPLETED = 'SIP;cause=200;text="Call completed"'
MAX_CHATS = 1000
"""Chats at a time; one more that comes in is answered 486."""


class Sessions:
    """Every chat of one phone. `setup` is what our offers say of who connects, `secure` whether they want TLS.

    An INVITE that brings a file is for `on_file`.
    """

    def __init__(
        self,
        behaviour: Behaviour,
        line: Line,
        inbox: Inbox,
        journal: Journal,
        style: Style,
        own: str,
        *,
        setup: Setup,
        secure: bool,
    ) -> None:
        self.behaviour = behaviour
        self.line = line
        self.inbox = inbox
        self.journal = journal
        self.style = style
        self.setup: Setup = setup
        self.secure = secure
        self.on_file: Callable[[Inbound, Invitation], None] = lambda inbound, _invitation: inbound.respond(488)
        self._own = own
        self._by_peer: dict[str, Chat] = {}
        self._by_media: dict[MsrpLeg, Chat] = {}
        self._by_dialog: dict[DialogId, Chat] = {}
        self._ringing: dict[Chat, Ringing] = {}
        self._incoming: deque[Chat] = deque(maxlen=MAX_CHATS)
        self._came = asyncio.Event()
        self._conversations: dict[str, str] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def find(self, peer: str) -> Chat | None:
        """The open chat with somebody."""
        chat = self._by_peer.get(normalised(peer))
        return chat if chat is not None and chat.open else None

    def conversation(self, peer: str) -> str:
        """The Conversation-ID of the thread with somebody (CPM): the same as long as we live."""
        return self._conversations.setdefault(peer, str(uuid.uuid4()))

    # Opening.

    async def open(
        self, peer: str, uri: str, service: FeatureTags, message: bytes | None = None, *, standalone: bool = False
    ) -> Chat:
        """INVITE somebody; returns when the chat is open. Raises Rejected, Unanswered.

        `message` is a CPIM message to ride along in the INVITE; a `standalone` session is for one message of ours.
        """
        direction: sdp.Direction = "sendonly" if standalone else "sendrecv"
        line = self.line
        if self.setup != "active":
            await line.radio.listen_for_media(line.host)
        media = line.radio.msrp.session(self, tls=self.secure, web=line.web)
        chat = Chat(self, peer, media, standalone=standalone)
        chat.conversation = self.conversation(peer)
        chat.description = describe(media, line.host, setup=self.setup, direction=direction, secure=self.secure)
        content_type, body = sdp.CONTENT_TYPE, chat.description
        if message is not None:
            content_type, body = with_first_message(chat.description, message)
        headers = [
            ("Contact", f"<{line.contact_uri}>{line.instance};{service.emit()}"),
            *chat_headers(self.style, service, chat.conversation, uuid.uuid4().hex),
            ("Allow", ALLOW),
            ("Content-Type", content_type),
        ]
        self._by_media[media] = chat
        inviting = Inviting(line)
        try:
            answer = await line.send("INVITE", uri, headers, body, inviting.exchange)
            if answer.status >= 300:
                self.journal.note("rejected", f"INVITE {answer.status}")
                raise refusal(answer)
            await self._confirmed(chat, inviting)
        except BaseException:
            self._end(chat, "not opened")
            raise
        return chat

    async def _confirmed(self, chat: Chat, inviting: Inviting) -> None:
        """The other side has accepted. Raises Rejected when its answer cannot be used."""
        chat.dialog = inviting.acknowledge()
        self._by_dialog[chat.dialog.dialog_id] = chat
        try:
            remote = sdp.SessionDescription.parse(inviting.answer.body).msrp()
            if remote is None or not remote.path:
                raise ParseError("no MSRP in the answer")
            active = connects(self.setup, remote.setup) == "offerer"
        except ParseError as error:
            await self._bye(chat, "")
            raise Rejected(488, error.what) from error
        self._opened(chat)
        await self._join(chat, remote, active=active)

    async def _join(self, chat: Chat, remote: sdp.MsrpMedia, *, active: bool) -> None:
        try:
            await join(self.line, chat.media, remote, active=active)
        except OSError as error:
            await self._bye(chat, "")
            raise Rejected(480, f"the session's connection failed: {error}") from error

    def _opened(self, chat: Chat) -> None:
        chat.state = "open"
        self.journal.note("chat opened", chat.peer)
        if chat.deferred or chat.standalone:
            return
        older = self._by_peer.get(chat.peer)
        self._by_peer[chat.peer] = chat
        if older is not None and older.state != "closed":
            # Facts §4.1, glare: the newest counts, the older one is ended.
            self._spawn(self._bye_quietly(older, CALL_COMPLETED))

    # Answering.

    def on_invite(self, inbound: Inbound) -> None:
        """A chat comes in, or one is refreshed. Raises ParseError."""
        request = inbound.request
        if ";tag=" in (request.header("to") or ""):
            self._refresh(inbound)
            return
        invitation = Invitation.of(request)
        if invitation is None:
            inbound.respond(488)
            return
        if invitation.file is not None:
            self.on_file(inbound, invitation)
            return
        policy = 486 if len(self._by_media) >= MAX_CHATS else self.behaviour.accept_chats
        if policy is None:
            self.journal.note("ignored", "INVITE")
            return
        if isinstance(policy, int):
            self.journal.note("answered", f"INVITE {policy}")
            inbound.respond(policy)
            return
        first = None if invitation.first is None else CpimMessage.parse(invitation.first)
        chat = self._chat_of(inbound, invitation)
        # Facts §4.1: before the 200 the message can be shown already, and is notified.
        if first is not None:
            self._take(chat, first, "invite")
        if policy == "ring" and not (chat.deferred or chat.standalone):
            self._ringing[chat].ring()
        else:
            self.accept(chat)
        self._tell(chat)

    def _chat_of(self, inbound: Inbound, invitation: Invitation) -> Chat:
        request = inbound.request
        media = self.line.radio.msrp.session(self, tls=invitation.media.secure, web=self.line.web)
        chat = Chat(
            self,
            sender_of(request),
            media,
            incoming=True,
            deferred=request.header("referred-by") is not None,
            notifications=brings_stored_receipts(request),
            standalone=invitation.media.direction == "sendonly",
        )
        chat.conversation = request.header("conversation-id") or ""
        ringing = Ringing(inbound, self.line, invitation.media)
        chat.dialog = Dialog.of_server(request, ringing.tag, early=True)
        self._ringing[chat] = ringing
        self._by_media[media] = chat
        self._by_dialog[chat.dialog.dialog_id] = chat
        return chat

    def _tell(self, chat: Chat) -> None:
        if self.behaviour.on_incoming_chat is not None:
            self.behaviour.on_incoming_chat(chat)
        else:
            self._incoming.append(chat)
            self._came.set()

    async def incoming(self, timeout: float | None) -> Chat:
        """The next chat that others opened. Raises TimeoutError."""
        async with asyncio.timeout(timeout):
            while not self._incoming:
                self._came.clear()
                await self._came.wait()
        return self._incoming.popleft()

    def accept(self, chat: Chat) -> None:
        """Answer 200 and join the session."""
        ringing = self._ringing.get(chat)
        if ringing is None:
            return
        remote, line = ringing.media, self.line
        setup = chosen_setup(self.setup, chat.media, remote)
        if setup is None:
            self.refuse(chat, 488)
            return
        assert chat.dialog is not None
        chat.description = describe(
            chat.media, line.host, setup=setup, direction=mirrored(remote.direction), secure=remote.secure
        )
        chat.dialog.confirm()
        tags = self.style.session.emit()
        contact = f"<{line.contact_uri}>{line.instance}" + (f";{tags}" if tags else "")
        del self._ringing[chat]
        ringing.answer(contact, chat.description)
        self.journal.note("answered", "INVITE 200")
        self._opened(chat)
        active = connects(remote.setup, setup) == "answerer"
        if active:
            self._spawn(self._join_quietly(chat, remote))
        else:
            chat.media.expect(" ".join(remote.path))

    def refuse(self, chat: Chat, status: int) -> None:
        """Turn down a chat that rings."""
        ringing = self._ringing.get(chat)
        if ringing is not None:
            self.journal.note("answered", f"INVITE {status}")
            ringing.refuse(status)
            self._end(chat, "refused")

    async def _join_quietly(self, chat: Chat, remote: sdp.MsrpMedia) -> None:
        try:
            await self._join(chat, remote, active=True)
        except Rejected as rejected:
            self.journal.note("rejected", str(rejected))

    def _refresh(self, inbound: Inbound) -> None:
        """A re-INVITE or UPDATE: the session stays as it is."""
        chat = self._of(inbound.request)
        if chat is None or chat.dialog is None or chat.state != "open":
            inbound.respond(481)
        elif not chat.dialog.receive(inbound.request):
            inbound.respond(500)
        else:
            with_answer = inbound.request.method == "INVITE"
            headers = [("Contact", f"<{self.line.contact_uri}>")]
            if with_answer:
                headers.append(("Content-Type", sdp.CONTENT_TYPE))
            inbound.respond(200, headers=headers, body=chat.description if with_answer else b"")

    # What else comes inside or about a dialog.

    def on_update(self, inbound: Inbound) -> None:
        """An UPDATE. Raises ParseError."""
        self._refresh(inbound)

    def on_bye(self, inbound: Inbound) -> None:
        """The other side ends the chat. Raises ParseError."""
        chat = self._of(inbound.request)
        inbound.respond(200 if chat is not None else 481)
        if chat is not None:
            self._end(chat, inbound.request.header("reason") or "bye")

    def on_cancel(self, inbound: Inbound) -> None:
        """The other side thinks better of it (RFC 3261 §9.2)."""
        inbound.respond(200 if inbound.cancels_known() else 481)
        for chat, ringing in list(self._ringing.items()):
            if ringing.is_cancelled_by(inbound.request):
                ringing.refuse(487)
                self._end(chat, "cancelled")

    def _of(self, request: SipRequest) -> Chat | None:
        return self._by_dialog.get(DialogId.of_request(request))

    # MSRP.

    def on_bound(self, leg: MsrpLeg) -> None:
        """The session has its connection."""

    def on_closed(self, leg: MsrpLeg, reason: str) -> None:
        """The session's connection has gone."""
        chat = self._by_media.get(leg)
        if chat is not None and chat.state == "open":
            self._spawn(self._bye_quietly(chat, ""))

    def on_message(self, leg: MsrpLeg, message: Message) -> None:
        """A whole message came in a session."""
        chat = self._by_media.get(leg)
        if chat is None:
            leg.answer(message, 481)
            return
        kind = media_type(message.content_type)
        if kind == iscomposing.CONTENT_TYPE:
            leg.answer(message, 200)
            chat.take_notice(message.body)
            return
        try:
            wrapped = CpimMessage.parse(message.body) if kind == cpim.CONTENT_TYPE else None
        except ParseError:
            leg.answer(message, 400)
            return
        inner = kind if wrapped is None else wrapped.content_type
        status = 408 if self.inbox.puts_off(inner) else self.behaviour.session_answer
        if status is None:
            self.journal.note("ignored", "SEND")
            return
        self.journal.note("answered", f"SEND {status}")
        leg.answer(message, status)
        if status == 200 and wrapped is not None:
            self._take(chat, wrapped, "session")
        elif status == 200:
            chat.took_message()
            self.inbox.take(
                Received(
                    sender=chat.peer,
                    recipient=self._own,
                    message_id="",
                    content_type=message.content_type,
                    body=message.body,
                    way="session",
                    chat=chat,
                )
            )

    def _take(self, chat: Chat, message: CpimMessage, way: str) -> None:
        sender = chat.peer
        if chat.notifications:
            # Facts §4.8: here, and only here, the CPIM From says who it really is from.
            sender = normalised(address_uri(message.from_))
        if message.content_type == iscomposing.CONTENT_TYPE:
            chat.take_notice(message.decoded_body)
            return
        try:
            received = Received.of_cpim(message, sender=sender, recipient=self._own, way=way, deferred=chat.deferred)
        except ParseError:
            self.journal.note("ignored", "malformed message")
            return
        received.chat = chat
        chat.took_message()
        self.inbox.take(received)

    # Ending.

    async def leave(self, chat: Chat) -> None:
        """End a chat as its user does."""
        await self._bye(chat, CALL_COMPLETED)

    async def leave_all(self) -> None:
        """End every chat as its user does; what fails is over anyway."""
        for chat in list(self._by_media.values()):
            await self._bye_quietly(chat, CALL_COMPLETED)

    async def _bye_quietly(self, chat: Chat, reason: str) -> None:
        try:
            await self._bye(chat, reason)
        except Rejected as rejected:
            self.journal.note("rejected", f"BYE {rejected.status}")

    async def _bye(self, chat: Chat, reason: str) -> None:
        """Facts §4.1: with a Reason when the user left, without when something else ended it."""
        if chat.state == "closed":
            return
        if chat.state == "ringing":
            self.refuse(chat, 486)
            return
        dialog = chat.dialog
        self._end(chat, "left" if reason else "lost")
        if dialog is not None and self.line.flow is not None:
            await self.line.send_within(dialog, "BYE", [("Reason", reason)] if reason else [])

    def drop_all(self) -> None:
        """Forget every chat without a word: the connection is gone, and theirs go too."""
        for chat in list(self._by_media.values()):
            connection = chat.media.connection
            self._end(chat, "lost")
            if connection is not None and not connection.legs:
                connection.close()

    def _end(self, chat: Chat, why: str) -> None:
        if chat.state == "closed":
            return
        was_open = chat.state == "open"
        self._by_media.pop(chat.media, None)
        if self._by_peer.get(chat.peer) is chat:
            del self._by_peer[chat.peer]
        if chat.dialog is not None:
            self._by_dialog.pop(chat.dialog.dialog_id, None)
        self._ringing.pop(chat, None)
        chat.ended(why)
        if was_open:
            self.journal.note("chat closed", chat.peer)
        chat.media.close()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Forget everything and wait for nothing."""
        self.drop_all()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
