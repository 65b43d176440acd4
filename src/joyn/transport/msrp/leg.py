"""One MSRP session and the connection it is bound to.

Spec: RFC 4975 §5.4, §7.1; the machine is protocol.msrp.Session, here it meets a connection and the clock.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from joyn.protocol.msrp import (
    Action,
    Arrived,
    Bound,
    Delivered,
    Failed,
    Message,
    MsrpUri,
    Piece,
    Progress,
    QueueFull,
    Received,
    Request,
    Response,
    Session,
    Stopped,
    Transmit,
    Wanted,
    parse_path,
)
from joyn.protocol.msrp.chunk import FailureReport
from joyn.transport.msrp.handlers import Handler, Receiver
from joyn.transport.msrp.streams import ABORTED, PIECE_OVERHEAD, Outflow, Source

if TYPE_CHECKING:
    from joyn.transport.msrp.connection import MsrpConnection
    from joyn.transport.msrp.endpoint import MsrpEndpoint
    from joyn.transport.msrp.settings import MsrpListener

CONNECTION_LOST = 503
"""The status of a message whose session ended before the peer had answered; not a status of MSRP itself."""
QUEUE_FULL = 500
"""The status of a message that found too much waiting before it: nothing was sent, the peer has refused nothing."""
MAX_WAITING = 256
"""Messages that may wait until their session is bound, or its peer reads again."""
MAX_WAITING_BYTES = 4 << 20
"""Bytes of them; a single message may be longer."""
MSRP_PORT = 2855
"""The port of a URI that names none (RFC 4975 §15.4)."""

_Outgoing = tuple[str, str, bytes, bool, FailureReport]


def _unheeded(_taken: int) -> None:
    """Nobody asked how far it has come."""


class MsrpLeg:
    """A session of ours. Made by `MsrpEndpoint.session`; then `expect` or `connect`.

    `bound` says that the peer has used or confirmed its connection; `last_used` is the time of the last frame from it
    or message to it, in the endpoint's clock. With a `receiver` it streams: what comes goes there in pieces, up to
    `max_size` bytes in a message, and `on_message` is never called.
    """

    __slots__ = (
        "_ahead",
        "_endpoint",
        "_futures",
        "_handler",
        "_held",
        "_outflows",
        "_pausing",
        "_session",
        "_unanswered",
        "_waiting",
        "_waiting_bytes",
        "bound",
        "closed",
        "connection",
        "due_at",
        "idle",
        "last_used",
        "listener",
        "local",
        "local_path",
        "max_size",
        "receiver",
        "remote",
    )

    def __init__(
        self,
        endpoint: MsrpEndpoint,
        handler: Handler,
        local: MsrpUri,
        listener: MsrpListener | None,
        now: float,
        *,
        receiver: Receiver | None = None,
        max_size: int,
    ) -> None:
        self._endpoint = endpoint
        self._handler = handler
        self.receiver = receiver
        self.max_size = max_size
        self.local = local
        self.local_path = str(local)
        self.listener = listener
        self.remote: MsrpUri | None = None
        self.connection: MsrpConnection | None = None
        self.bound = False
        self.closed = False
        self.last_used = now
        self.due_at = 0.0
        self.idle = endpoint.limits.session_idle
        self._session: Session | None = None
        self._futures: dict[str, asyncio.Future[int]] = {}
        # An idle session holds neither of these: most of them are idle.
        self._waiting: deque[_Outgoing | Outflow] | None = None
        self._outflows: dict[str, Outflow] | None = None
        self._ahead: list[Request | Response] | None = None
        self._waiting_bytes = 0
        self._unanswered = 0
        self._held = 0  # bytes of pieces handed up and not taken
        self._pausing = False

    # Getting bound.

    def expect(self, remote_path: str) -> None:
        """Passive: the peer of this `a=path` will connect and send, or has done so. Raises ParseError.

        A peer that was quicker is heard now: `on_bound` and `on_message` may be called before this returns.
        """
        self.remote = parse_path(remote_path)[-1]
        self._session = self._endpoint.machine(self, remote_path)
        connection, ahead = self.connection, self._ahead
        if ahead is not None and connection is not None:
            # The connection shows them again to whoever may have them: us, when From-Path is the announced one.
            self._ahead = self.connection = None
            connection.legs.pop(self.local_path, None)
            self._pausing = False
            connection.resume()
            connection.dispatch(ahead)
            if self.connection is None:
                connection.leave(self)

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
        `fingerprint` (hash function and value, RFC 4572). When the peer refuses the session, `on_closed` tells.
        """
        self.expect(remote_path)
        if self.connection is not None:
            return  # the peer has connected to us meanwhile
        first = parse_path(remote_path)[0]
        connection = await self._endpoint.open(
            host or first.host,
            port or first.port or MSRP_PORT,
            ssl=ssl,
            secure=first.secure or self.local.secure,
            # Ours decides: what the peer writes shall not make us speak HTTP.
            web=self.local.transport == "ws",
            fingerprint=fingerprint,
        )
        if self.closed or self.connection is not None:
            connection.close("unused")
            return
        self.join(connection)
        assert self._session is not None
        now = self._endpoint.now()
        self.run(self._session.send_empty(now))
        self._endpoint.watch(self, now + self._endpoint.limits.timeout)

    def may_join(self, connection: MsrpConnection, request: Request) -> int:
        """0 when this request may bind us to that connection, else the status that says why not. Raises ParseError."""
        if request.method != "SEND":
            return 501
        if self.local.secure and not connection.secure:
            return 481  # an msrps URI promises TLS
        # Deviates: RFC 4975 §7.3 compares the whole From-Path; behind a relay or CEMA its host and port are another's,
        # so the session-id, which cannot be guessed, decides.
        if self.remote is not None and parse_path(request.from_path)[-1].session_id != self.remote.session_id:
            return 481
        return 0 if self.connection is None or self.connection is connection else 506

    def join(self, connection: MsrpConnection) -> None:
        """This connection is ours from now on (RFC 4975 §5.4)."""
        self.connection = connection
        connection.legs[self.local_path] = self

    def _become_bound(self) -> None:
        if not self.bound:
            self.bound = True
            self._handler.on_bound(self)
            if not self.closed:  # nothing is sent to who was not believed
                self.flush()

    # Messages that come.

    def receive(self, frame: Request | Response, now: float) -> None:
        """A frame for this session came."""
        self.last_used = now
        session = self._session
        if session is None:
            # RFC 3264 §5.1: media may overtake the answer that describes it. Nothing more is read until that is here.
            if self._ahead is None:
                self._ahead = []
                self._pause()
            self._ahead.append(frame)
            return
        if not self.bound and type(frame) is Request and (frame.body or frame.content_type):
            self._become_bound()  # an empty SEND does that too, after its answer
        self.run(session.receive(frame, now))

    def answer(self, message: Message, status: int, comment: str = "") -> None:
        """Answer a message that `on_message` handed up. Nothing is sent when the session has ended."""
        if self.closed or self._session is None:
            return
        self._unanswered -= 1
        self.run(self._session.answer(message, status, comment))
        if self._unanswered * 2 < self._endpoint.limits.max_unanswered:
            self._resume()

    def take(self, piece: Piece) -> None:
        """The bytes that `on_piece` handed up are kept. Nothing is sent when the session has ended."""
        if self._let_go(piece):
            assert self._session is not None
            self.run(self._session.take(piece))

    def refuse(self, piece: Piece, status: int, comment: str = "") -> None:
        """They are not, nor will be what else comes of their message; what was handed up of it is due to be refused."""
        if self._let_go(piece):
            assert self._session is not None
            self.run(self._session.refuse(piece, status, comment))

    def _hand_up(self, receiver: Receiver, piece: Piece) -> None:
        self._held += len(piece.data) + PIECE_OVERHEAD
        if self._held > self._endpoint.limits.max_held:
            self._pause()
        receiver.on_piece(self, piece)

    def _let_go(self, piece: Piece) -> bool:
        """Whether there is still somebody to answer."""
        self._held -= len(piece.data) + PIECE_OVERHEAD
        if self._held * 2 < self._endpoint.limits.max_held:
            self._resume()
        return not self.closed

    def _resume(self) -> None:
        if self._pausing:
            self._pausing = False
            if self.connection is not None:
                self.connection.resume()

    def _pause(self) -> None:
        if not self._pausing and self.connection is not None:
            self._pausing = True
            self.connection.pause()

    # Messages that go.

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

        200 when every chunk was answered 200 (or no answer was asked for); the peer's status; 408 when it did not
        answer; CONNECTION_LOST; QUEUE_FULL, also for a `message_id` still under way. Before the session is bound, and
        while the peer does not keep up, messages wait.
        """
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        message = (message_id, content_type, body, success_report, failure_report)
        if self.closed:
            future.set_result(CONNECTION_LOST)
        elif message_id in self._futures:
            future.set_result(QUEUE_FULL)
        elif self.bound and not self._waiting and self.connection is not None and not self.connection.full:
            self._futures[message_id] = future
            self._send_now(*message)
        elif self._enqueue(message):
            self._futures[message_id] = future
        else:
            future.set_result(QUEUE_FULL)
        return future

    def stream(
        self,
        message_id: str,
        content_type: str,
        size: int,
        read: Source,
        *,
        progress: Callable[[int], None] = _unheeded,
    ) -> asyncio.Future[int]:
        """Send a message of `size` bytes that are read as they can go out; the future becomes its status, as in `send`.

        `progress` is called with the number of bytes that the peer has taken, from the first one on. Besides the
        statuses of `send` there is ABORTED.
        """
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        outflow = Outflow(message_id, content_type, size, read, progress)
        if self.closed:
            future.set_result(CONNECTION_LOST)
        elif message_id in self._futures or not self._enqueue(outflow):
            future.set_result(QUEUE_FULL)
        else:
            self._futures[message_id] = future
            self.flush()
        return future

    def abort(self, message_id: str) -> None:
        """Give up a streamed message: ABORTED, unless all of it is sent already and waits for its last answers."""
        outflow = (self._outflows or {}).get(message_id)
        if outflow is None:
            waiting = [one for one in self._waiting or () if isinstance(one, Outflow) and one.message_id == message_id]
            if waiting and self._waiting is not None:
                self._waiting.remove(waiting[0])
                self._settle(message_id, ABORTED)
        elif self._session is not None:
            self.run(self._session.abort(message_id, self._endpoint.now()))
            if message_id not in self._session.unsettled:
                self._settle(message_id, ABORTED)

    def supply(self, message_id: str, data: bytes) -> None:
        """The bytes that a streamed message wanted have been read."""
        if self._session is not None and not self.closed:
            now = self.last_used = self._endpoint.now()
            self.run(self._session.supply(message_id, data, now))
            self._endpoint.watch(self, now + self._endpoint.limits.timeout)

    def _enqueue(self, message: _Outgoing | Outflow) -> bool:
        if self._waiting is None:
            self._waiting = deque()
        size = self._waiting_bytes + (0 if isinstance(message, Outflow) else len(message[2]))
        if self._waiting and (len(self._waiting) >= MAX_WAITING or size > MAX_WAITING_BYTES):
            return False
        self._waiting.append(message)
        self._waiting_bytes = size
        return True

    def flush(self) -> None:
        """Send what waits, as far as the peer keeps up."""
        while self._waiting and self.bound and self.connection is not None and not self.connection.full:
            message = self._waiting.popleft()
            if isinstance(message, Outflow):
                self._stream_now(message)
            else:
                self._waiting_bytes -= len(message[2])
                self._send_now(*message)
        if not self._waiting:
            self._waiting = None
        for outflow in (self._outflows or {}).values():
            outflow.wake()

    def _stream_now(self, outflow: Outflow) -> None:
        assert self._session is not None
        now = self.last_used = self._endpoint.now()
        if self._outflows is None:
            self._outflows = {}
        self._outflows[outflow.message_id] = outflow
        outflow.begin(self)
        try:
            actions = self._session.stream(outflow.message_id, outflow.content_type, outflow.size, now)
        except QueueFull:
            self._settle(outflow.message_id, QUEUE_FULL)
            return
        self.run(actions)
        self._endpoint.watch(self, now + self._endpoint.limits.timeout)

    def _send_now(
        self, message_id: str, content_type: str, body: bytes, success_report: bool, failure_report: FailureReport
    ) -> None:
        assert self._session is not None
        limits = self._endpoint.limits
        now = self.last_used = self._endpoint.now()
        if len(body) > limits.hold_write_buffer:
            # Only answers tell how fast a long message may go out; they are wanted then, whatever the caller wants.
            failure_report = "yes"
        try:
            actions = self._session.send(
                message_id, content_type, body, now, success_report=success_report, failure_report=failure_report
            )
        except QueueFull:
            self._settle(message_id, QUEUE_FULL)
            return
        self.run(actions)
        if failure_report != "no":
            self._endpoint.watch(self, now + limits.timeout)

    # The end.

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
        connection, self.connection = self.connection, None
        self._waiting = self._ahead = None
        if connection is not None:
            if self._pausing:
                connection.resume()
            connection.leave(self)
        for message_id in list(self._futures):
            self._settle(message_id, CONNECTION_LOST)
        if reason:
            self._handler.on_closed(self, reason)

    # The machine.

    def handle_deadline(self, now: float) -> None:
        """A deadline may have come: of a chunk, or of the idle session."""
        session = self._session
        if session is not None:
            self.run(session.handle_deadline(now))
        if self.closed:
            return
        idle = self.last_used + self.idle
        if now >= idle:
            self.end("idle")
            return
        due = session.deadline() if session is not None else None
        self._endpoint.watch(self, idle if due is None else min(due, idle), again=True)

    def run(self, actions: list[Action]) -> None:
        """Do what the session asks for."""
        for action in actions:
            if isinstance(action, Transmit):
                if self.connection is not None:
                    self.connection.write(action.data)
            elif isinstance(action, Received):
                self._unanswered += 1
                if self._unanswered > self._endpoint.limits.max_unanswered:
                    self._pause()
                self._handler.on_message(self, action.message)
            elif isinstance(action, Arrived):
                if self.receiver is not None:
                    self._hand_up(self.receiver, action.piece)
            elif isinstance(action, Stopped):
                if self.receiver is not None:
                    self.receiver.on_stopped(self, action.message_id, action.status)
            elif isinstance(action, Wanted | Progress):
                self._on_stream(action)
            elif isinstance(action, Delivered):
                self._settle(action.message_id, 200)
            elif isinstance(action, Failed):
                self._failed(action.message_id, action.status)
            elif isinstance(action, Bound):
                self._become_bound()

    def _on_stream(self, action: Wanted | Progress) -> None:
        outflow = (self._outflows or {}).get(action.message_id)
        if outflow is None:
            return
        if isinstance(action, Wanted):
            outflow.want(action)
        else:
            outflow.progress(action.taken)

    def _failed(self, message_id: str, status: int) -> None:
        if message_id in self._futures:
            self._settle(message_id, status)
        else:
            # Nobody waits for it, so it is our empty SEND: the peer does not know the session, or not from us.
            self.end(f"refused {status}")

    def _settle(self, message_id: str, status: int) -> None:
        if self._outflows is not None and (outflow := self._outflows.pop(message_id, None)) is not None:
            outflow.end()
        future = self._futures.pop(message_id, None)
        if future is not None and not future.done():
            future.set_result(status)
