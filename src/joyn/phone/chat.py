"""A chat: one session with one other party.

Spec: facts §4.1 to §4.3, §4.6; RFC 4975, RFC 3994.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from joyn.phone import pager
from joyn.phone.messages import REQUEST, Rejected, Sent, Unanswered
from joyn.protocol import cpim, iscomposing
from joyn.protocol.errors import ParseError
from joyn.protocol.iscomposing import Composer, IsComposing, Receiver
from joyn.protocol.sip.dialog import Dialog
from joyn.transport.msrp import CONNECTION_LOST, MsrpLeg

if TYPE_CHECKING:
    from joyn.phone.sessions import Sessions
    from joyn.transport.msrp import MsrpLeg


class Chat:
    """One chat session.

    `peer` is the other party's number; `incoming` says that they, or the network, opened it; `deferred` that the
    network did so to bring what it had kept, `notifications` that it brings receipts only (facts §4.8), `standalone`
    that messages go one way in it, as in large-message mode. `state` is `inviting`, `ringing`, `open` or `closed`,
    `why_closed` says more in the end. `first` is our first message, when it was given at the opening.
    `peer_is_typing` is what the other side shows us now; the hook `on_typing(bool)` hears when that changes.
    """

    def __init__(
        self,
        sessions: Sessions,
        peer: str,
        media: MsrpLeg,
        *,
        incoming: bool = False,
        deferred: bool = False,
        notifications: bool = False,
        standalone: bool = False,
    ) -> None:
        self.peer = peer
        self.media = media
        self.incoming = incoming
        self.deferred = deferred
        self.notifications = notifications
        self.standalone = standalone
        self.state = "ringing" if incoming else "inviting"
        self.dialog: Dialog | None = None
        self.on_typing: Callable[[bool], None] = lambda _typing: None
        self.description = b""
        self.conversation = ""
        self.why_closed = ""
        self.first: Sent | None = None
        self._sessions = sessions
        self._composer = Composer()
        self._receiver = Receiver()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._closed = asyncio.Event()

    def __repr__(self) -> str:
        return f"<Chat with {self.peer}: {self.state}>"

    @property
    def open(self) -> bool:
        """Whether messages can be sent now."""
        return self.state == "open"

    @property
    def peer_is_typing(self) -> bool:
        """Whether the other party composes something."""
        return self._receiver.state == "active"

    # What the program does.

    async def accept(self) -> None:
        """Answer a chat that rings."""
        self._sessions.accept(self)

    async def refuse(self, status: int = 486) -> None:
        """Turn down a chat that rings."""
        self._sessions.refuse(self, status)

    async def send(
        self,
        content: str | bytes,
        *,
        content_type: str = pager.TEXT,
        message_id: str | None = None,
        request: Iterable[str] = REQUEST,
        headers: Iterable[tuple[str, str]] = (),
    ) -> Sent:
        """Send a message; returns once the network has accepted it. Raises Rejected, Unanswered."""
        body = content.encode() if isinstance(content, str) else content
        sent = self._sessions.inbox.sending(self.peer, message_id or pager.make_message_id(), "session")
        await self.say(pager.envelope(content_type, body, sent.message_id, request, tuple(headers)))
        self._sessions.inbox.accepted(sent)
        return sent

    async def say(self, message: bytes) -> None:
        """Send what the user has written, as CPIM: the peer sees it instead of the typing. Raises Rejected, Unanswered.

        RFC 3994 §3.2: the message itself ends the active state.
        """
        self._composer.send()
        self._disarm("composer")
        await self.deliver(message)

    async def deliver(self, message: bytes) -> None:
        """Send a finished CPIM message. Raises Rejected, Unanswered."""
        if self.state == "closed":
            raise Unanswered(481, "the chat is closed")
        status = await self.media.send(pager.make_message_id(), cpim.CONTENT_TYPE, message)
        if status in (408, CONNECTION_LOST):
            raise Unanswered(status, "no answer on the session")
        if status != 200:
            raise Rejected(status, "refused on the session")

    async def typing(self) -> None:
        """A key was pressed: the other party is told, at most once a minute, and when the keys rest for 15 s."""
        now = time.monotonic()
        for action in self._composer.compose(now):
            self._say(action.notice)
        self._arm("composer", self._composer.deadline() - now, self._rest)

    async def idle(self) -> None:
        """The keys rest: say so at once."""
        if self._composer.state == "active":
            self._composer.send()
            self._disarm("composer")
            self._say(IsComposing(state="idle", content_type="text/plain"))

    async def close(self) -> None:
        """End the chat, as a user does who leaves it."""
        await self._sessions.leave(self)

    async def closed(self, timeout: float | None = None) -> None:
        """Wait until it has ended. Raises TimeoutError."""
        async with asyncio.timeout(timeout):
            await self._closed.wait()

    # What the sessions tell.

    def take_notice(self, body: bytes) -> None:
        """An isComposing came."""
        try:
            notice = IsComposing.parse(body)
        except ParseError:
            self._sessions.journal.note("ignored", "malformed isComposing")
            return
        now = time.monotonic()
        self._show(bool(self._receiver.receive(notice, now)))
        if self.peer_is_typing:
            self._arm("receiver", self._receiver.deadline() - now, self._wear_off)
        else:
            self._disarm("receiver")

    def took_message(self) -> None:
        """A message came: what was being composed is here."""
        self._disarm("receiver")
        self._show(bool(self._receiver.receive_message()))

    def ended(self, why: str) -> None:
        """It is over."""
        self.state = "closed"
        self.why_closed = why
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._closed.set()

    def _say(self, notice: IsComposing) -> None:
        # Nobody waits for the answer: what is lost wears off (RFC 3994 §3.3).
        self.media.send(pager.make_message_id(), iscomposing.CONTENT_TYPE, notice.emit(), failure_report="no")

    def _rest(self) -> None:
        for action in self._composer.handle_deadline(time.monotonic()):
            self._say(action.notice)

    def _wear_off(self) -> None:
        self._show(bool(self._receiver.handle_deadline(time.monotonic())))

    def _show(self, changed: bool) -> None:
        if changed:
            self._sessions.journal.note("typing" if self.peer_is_typing else "idle", self.peer)
            self.on_typing(self.peer_is_typing)
            self._sessions.behaviour.on_typing(self)

    def _arm(self, name: str, seconds: float, due: Callable[[], None]) -> None:
        self._disarm(name)
        # A hair late, so that the deadline has passed when it is looked at.
        self._timers[name] = asyncio.get_running_loop().call_later(seconds + 0.01, due)

    def _disarm(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()
