"""One MSRP session and the connection it is bound to.

Spec: RFC 4975 §5.4, §7.1; the machine is protocol.msrp.Session, here it meets a connection and the clock.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Protocol

from joyn.protocol.msrp.chunk import FailureReport, Request, Response
from joyn.protocol.msrp.reassembly import Message
from joyn.protocol.msrp.session import (
    Action,
    Bound,
    Delivered,
    Failed,
    QueueFull,
    Received,
    Session,
    Transmit,
)
from joyn.protocol.msrp.uri import MsrpUri, parse_path

if TYPE_CHECKING:
    from joyn.transport.msrp.connection import MsrpConnection
    from joyn.transport.msrp.endpoint import MsrpEndpoint
    from joyn.transport.msrp.settings import MsrpListener

CONNECTION_LOST = 503
"""The status of a message whose session ended before the peer had answered; not a status of MSRP itself."""
QUEUE_FULL = 413
"""The status of a message that found too much waiting before it."""
MAX_EARLY = 256
"""Messages that may wait for their session to be bound."""

_Early = tuple[str, str, bytes, bool, FailureReport]


class Handler(Protocol):
    """Receives what happens on a session."""

    def on_message(self, leg: MsrpLeg, message: Message) -> None:
        """A whole message; its completing chunk is unanswered until `leg.answer`."""
        ...

    def on_bound(self, leg: MsrpLeg) -> None:
        """The session has its connection."""
        ...

    def on_closed(self, leg: MsrpLeg, reason: str) -> None:
        """The session has ended, not by `close`: the connection went, or it was idle for too long."""
        ...


class MsrpLeg:
    """A session of ours. Made by `MsrpEndpoint.session`; then `expect` or `connect`."""

    __slots__ = (
        "_early",
        "_endpoint",
        "_futures",
        "_handler",
        "_session",
        "_unanswered",
        "bound",
        "closed",
        "connection",
        "due_at",
        "last_used",
        "listener",
        "local",
        "local_path",
        "remote",
    )

    def __init__(
        self, endpoint: MsrpEndpoint, handler: Handler, local: MsrpUri, listener: MsrpListener | None, now: float
    ) -> None:
        self._endpoint = endpoint
        self._handler = handler
        self.local = local
        self.local_path = str(local)
        self.listener = listener
        self.remote: MsrpUri | None = None
        self.connection: MsrpConnection | None = None
        self.bound = False
        self.closed = False
        self.last_used = now
        self.due_at = 0.0
        self._session: Session | None = None
        self._futures: dict[str, asyncio.Future[int]] = {}
        self._early: list[_Early] = []
        self._unanswered = 0

    # Getting bound.

    def expect(self, remote_path: str) -> None:
        """Passive: the peer of this `a=path` will connect and send. Raises ParseError."""
        path = parse_path(remote_path)
        self.remote = path[-1]
        endpoint = self._endpoint
        self._session = Session(
            self.local,
            remote_path,
            max_size=endpoint.limits.max_message,
            make_id=endpoint.make_id,
            timeout=endpoint.limits.timeout,
        )

    async def connect(
        self,
        remote_path: str,
        *,
        host: str | None = None,
        port: int | None = None,
        ssl: ssl.SSLContext | None = None,
        fingerprint: tuple[str, str] | None = None,
    ) -> None:
        """Active: connect to the first hop of the path (or to `host`, `port`) and send the empty SEND at once.

        Raises OSError, TimeoutError (after 5 s), ParseError, and ConnectionError when the certificate does not have
        `fingerprint` (RFC 4572).
        """
        self.expect(remote_path)
        first = parse_path(remote_path)[0]
        connection = await self._endpoint.open(
            host or first.host, port or first.port or 2855, ssl=ssl, secure=first.secure, fingerprint=fingerprint
        )
        if self.closed:
            connection.close_if_unused()
            return
        self.join(connection)
        assert self._session is not None
        self.run(self._session.send_empty(self._endpoint.now()))

    def join(self, connection: MsrpConnection) -> None:
        """This connection is ours from now on (RFC 4975 §5.4)."""
        self.connection = connection
        connection.legs[self.local_path] = self

    def may_join(self, request: Request) -> bool:
        """Whether a request from another party than we agreed on tries to bind."""
        if self.remote is None:
            return False
        # Deviates: RFC 4975 §7.3 compares the whole From-Path; behind a relay or CEMA its host and port are another's,
        # so the session-id, which cannot be guessed, decides.
        source = parse_path(request.from_path)[-1]
        return source.session_id == self.remote.session_id

    def _become_bound(self) -> None:
        if self.bound:
            return
        self.bound = True
        early, self._early = self._early, []
        for message in early:
            self._send_now(*message)
        self._handler.on_bound(self)

    # Messages.

    def receive(self, frame: Request | Response, now: float) -> None:
        """A frame for this session came."""
        self.last_used = now
        if not self.bound:
            self._become_bound()
        if self._session is not None:
            self.run(self._session.receive(frame, now))

    def send(
        self,
        message_id: str,
        content_type: str,
        body: bytes,
        *,
        success_report: bool = False,
        failure_report: FailureReport = "yes",
    ) -> asyncio.Future[int]:
        """Send a message; the future becomes its status, never an exception.

        200 when every chunk was answered 200; the peer's status; 408 when it did not answer; CONNECTION_LOST;
        QUEUE_FULL. Before the session is bound, messages wait.
        """
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        if self.closed:
            future.set_result(CONNECTION_LOST)
        elif len(self._early) >= MAX_EARLY or message_id in self._futures:
            future.set_result(QUEUE_FULL)
        else:
            self._futures[message_id] = future
            message = (message_id, content_type, body, success_report, failure_report)
            if self.bound:
                self._send_now(*message)
            else:
                self._early.append(message)
        return future

    def _send_now(
        self, message_id: str, content_type: str, body: bytes, success_report: bool, failure_report: FailureReport
    ) -> None:
        assert self._session is not None
        now = self.last_used = self._endpoint.now()
        try:
            actions = self._session.send(
                message_id, content_type, body, now, success_report=success_report, failure_report=failure_report
            )
        except QueueFull:
            self._settle(message_id, QUEUE_FULL)
            return
        self.run(actions)
        self._endpoint.watch(self, now + self._endpoint.limits.timeout)

    def answer(self, message: Message, status: int, comment: str = "") -> None:
        """Answer a message that `on_message` handed up."""
        self._unanswered -= 1
        if self.connection is not None and self._unanswered == self._endpoint.limits.max_unanswered // 2:
            self.connection.pause(False)
        if self._session is not None and not self.closed:
            self.run(self._session.answer(message, status, comment))

    def close(self) -> None:
        """End the session; what is unanswered becomes CONNECTION_LOST."""
        self.end("")

    def end(self, reason: str) -> None:
        """The session is over; with a reason, its handler is told."""
        if self.closed:
            return
        self.closed = True
        self.bound = False
        self._endpoint.forget(self)
        if self.connection is not None:
            self.connection.legs.pop(self.local_path, None)
            self.connection.close_if_unused()
        for message_id in list(self._futures):
            self._settle(message_id, CONNECTION_LOST)
        if reason:
            self._handler.on_closed(self, reason)

    # The machine.

    def handle_deadline(self, now: float) -> None:
        """A deadline may have come: of a chunk, or of the idle session."""
        limits = self._endpoint.limits
        if self._session is not None:
            self.run(self._session.handle_deadline(now))
        if self.closed:
            return
        if now - self.last_used >= limits.session_idle:
            self.end("idle")
            return
        due = self._session.deadline() if self._session is not None else None
        idle = self.last_used + limits.session_idle
        self._endpoint.watch(self, idle if due is None else min(due, idle), again=True)

    def run(self, actions: list[Action]) -> None:
        """Do what the session asks for."""
        for action in actions:
            if isinstance(action, Transmit):
                if self.connection is not None:
                    self.connection.write(action.data)
            elif isinstance(action, Received):
                self._unanswered += 1
                if self._unanswered > self._endpoint.limits.max_unanswered and self.connection is not None:
                    self.connection.pause(True)
                self._handler.on_message(self, action.message)
            elif isinstance(action, Delivered):
                self._settle(action.message_id, 200)
            elif isinstance(action, Failed):
                self._settle(action.message_id, action.status)
            elif isinstance(action, Bound):
                self._become_bound()

    def _settle(self, message_id: str, status: int) -> None:
        future = self._futures.pop(message_id, None)
        if future is not None and not future.done():
            future.set_result(status)
