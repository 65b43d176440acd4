"""One MSRP session: what is answered, what is sent, and what became of it.

Spec: RFC 4975 §5.4, §7.1 (sending), §7.2 (answering), §7.3 (receiving), §10 (status codes).
Pure: frames and times in, actions out; everything waiting is bounded.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from joyn.protocol.errors import ParseError
from joyn.protocol.msrp.chunk import (
    COMMENTS,
    ByteRange,
    FailureReport,
    Request,
    Response,
    make_response,
)
from joyn.protocol.msrp.intake import REFUSED_MAX, Intake, Piece
from joyn.protocol.msrp.outbox import (
    CHUNK_SIZE,
    Bound,
    Delivered,
    Failed,
    Outbox,
    Outgoing,
    Progress,
    Transmit,
    Wanted,
)
from joyn.protocol.msrp.reassembly import MESSAGES_MAX, RANGES_MAX, Message, Reassembler, Rejected
from joyn.protocol.msrp.uri import MsrpUri, parse_path

TIMEOUT: Final = 30.0
"""Seconds until an unanswered request has failed (RFC 4975 §7.1.1)."""

WINDOW: Final = 32
"""Unanswered chunks on their way at once."""

QUEUED_MAX: Final = 8 * 1024 * 1024
"""Bytes waiting to be sent; one message counts QUEUED_OVERHEAD on top of its body, a streamed one nothing else."""


@dataclass(frozen=True, slots=True)
class Received:
    """A whole message came; commit it, then call `Session.answer`."""

    message: Message


@dataclass(frozen=True, slots=True)
class Arrived:
    """Some bytes of a message came; keep them, then call `Session.take` or `refuse`, once for each, in order."""

    piece: Piece


@dataclass(frozen=True, slots=True)
class Stopped:
    """Nothing more comes of a message that pieces have come of: we answered `status`, or its sender gave it up (0)."""

    message_id: str
    status: int


@dataclass(frozen=True, slots=True)
class Reported:
    """A REPORT came from the far end: `status` 200 for success; no `byte_range` when it named none."""

    message_id: str
    status: int
    byte_range: ByteRange | None


Action = Transmit | Wanted | Progress | Received | Arrived | Stopped | Delivered | Failed | Reported | Bound


class Session:
    """One end of an MSRP session (RFC 4975 §5).

    `local` is the URI we gave in SDP, `remote_path` the peer's `a=path`, nearest hop first; `make_id` gives a fresh
    transaction id at each call; `timeout` is in seconds, `max_size` in bytes per received message, `max_queued` in
    bytes not yet sent. Messages go out one after the other, never interleaved (facts §4.3). When it is `streaming`,
    what comes is handed up in pieces (Arrived) and not as whole messages (Received).
    """

    __slots__ = ("_answered", "_intake", "_local", "_local_text", "_make_id", "_outbox", "_reassembler", "_refused")

    def __init__(
        self,
        local: MsrpUri,
        remote_path: str,
        *,
        max_size: int,
        make_id: Callable[[], str],
        timeout: float = TIMEOUT,
        window: int = WINDOW,
        max_queued: int = QUEUED_MAX,
        max_messages: int = MESSAGES_MAX,
        max_ranges: int = RANGES_MAX,
        streaming: bool = False,
    ) -> None:
        self._local = local
        self._local_text = str(local)
        self._make_id = make_id
        self._outbox = Outbox(
            self._local_text, remote_path, make_id=make_id, timeout=timeout, window=window, max_queued=max_queued
        )
        self._reassembler = Reassembler(max_size, max_messages, max_ranges)
        self._intake = Intake(max_size) if streaming else None
        self._answered = ""  # the transaction refused while pieces of its chunk still come
        # Those refused last: of their chunks pieces may have been handed up before, which are not answered again.
        self._refused: deque[str] = deque(maxlen=REFUSED_MAX)

    @property
    def unsettled(self) -> tuple[str, ...]:
        """Message-IDs of which neither Delivered nor Failed was said, in the order they were sent."""
        return self._outbox.unsettled

    @property
    def queued(self) -> int:
        """Bytes waiting to be sent, QUEUED_OVERHEAD for each message included."""
        return self._outbox.queued

    @property
    def outstanding(self) -> int:
        """Transactions waiting for their answer."""
        return self._outbox.outstanding

    def receive(self, frame: Request | Response, now: float) -> list[Action]:
        """Take one frame of this session. Raises nothing for whatever the peer sent."""
        if type(frame) is Response:
            return [*self._outbox.on_response(frame, now)]
        assert isinstance(frame, Request)
        if frame.to_path != self._local_text and (status := self._misdirected(frame.to_path)):
            return self._refuse(frame, status)
        if frame.method == "SEND":
            return self._on_send(frame) if self._intake is None else self._on_stream(frame, self._intake)
        if frame.method == "REPORT":
            return _on_report(frame)
        return self._refuse(frame, 501)

    # Sending

    def send(
        self,
        message_id: str,
        content_type: str,
        body: bytes,
        now: float,
        *,
        success_report: bool = False,
        failure_report: FailureReport = "yes",
        chunk_size: int = CHUNK_SIZE,
    ) -> list[Action]:
        """Queue a message, and send what the window lets through; Delivered or Failed follows, now or later.

        Raises QueueFull when the bytes unsent would pass `max_queued`, ProtocolError for a Message-ID still unsettled.
        """
        size = len(body)
        outgoing = Outgoing(message_id, content_type, body, size, success_report, failure_report, chunk_size)
        return [*self._outbox.add(outgoing, now)]

    def stream(
        self,
        message_id: str,
        content_type: str,
        size: int,
        now: float,
        *,
        success_report: bool = False,
        chunk_size: int = CHUNK_SIZE,
    ) -> list[Action]:
        """Queue a message of `size` bytes that are asked for as they can go out: each Wanted wants a `supply`.

        Progress tells how far it has come, Delivered or Failed that it is over. Only answers tell how fast it may go,
        so they are wanted (Failure-Report 'yes'). Raises as `send` does.
        """
        outgoing = Outgoing(message_id, content_type, None, size, success_report, "yes", chunk_size)
        return [*self._outbox.add(outgoing, now)]

    def supply(self, message_id: str, data: bytes, now: float) -> list[Action]:
        """The bytes of a Wanted, or the first of them. Nothing happens when the message was given up meanwhile.

        Raises ProtocolError for bytes that were not asked for, and for none.
        """
        return [*self._outbox.supply(message_id, data, now)]

    def send_empty(self, now: float) -> list[Action]:
        """The active side's first SEND (RFC 4975 §5.4), also good to keep a connection alive.

        Bound follows when the peer answers 200, else Failed with the Message-ID made for it.
        """
        outgoing = Outgoing(self._make_id(), "", b"", 0, False, "yes", CHUNK_SIZE, binding=True)
        return [*self._outbox.add(outgoing, now)]

    def abort(self, message_id: str, now: float) -> list[Action]:
        """Give up a message of which not all is sent: the peer is told by '#', and no Delivered or Failed follows.

        Nothing happens to one that is sent to its end: its answer still comes.
        """
        return [*self._outbox.abort(message_id, now)]

    def deadline(self) -> float | None:
        """When `handle_deadline` is due, or None."""
        return self._outbox.deadline()

    def handle_deadline(self, now: float) -> list[Action]:
        """Fail what was not answered in time; take silence for consent where only errors are reported."""
        return [*self._outbox.handle_deadline(now)]

    # Answering

    def answer(self, incoming: Message, status: int, comment: str = "") -> list[Action]:
        """Answer a Received message, once; 200 also reports success to a sender that asked (RFC 4975 §7.1.2)."""
        actions = self._answer(incoming, status, comment)
        if status == 200 and incoming.success_report:
            actions += self.report(incoming)
        return actions

    def take(self, piece: Piece) -> list[Action]:
        """These bytes are kept: their chunk is answered 200 when it ends with them, and the last also by a report."""
        if piece.transaction_id in self._refused:
            return []
        actions = self._answer(piece, 200, "") if piece.ends_chunk else []
        if piece.last and piece.success_report:
            actions += self.report(piece)
        return actions

    def refuse(self, piece: Piece, status: int, comment: str = "") -> list[Action]:
        """These bytes are not wanted, nor is what else comes of their message."""
        assert self._intake is not None
        comment = comment or COMMENTS.get(status, "")
        self._intake.refuse(piece, status, comment)
        if piece.transaction_id in self._refused:
            return []
        self._refused.append(piece.transaction_id)
        return self._answer(piece, status, comment)

    def _answer(self, incoming: Message | Piece, status: int, comment: str) -> list[Action]:
        if not _wants(incoming.failure_report, status):
            return []
        return [
            Transmit(
                Response(
                    incoming.transaction_id,
                    status,
                    comment or COMMENTS.get(status, ""),
                    incoming.from_path.partition(" ")[0],
                    self._local_text,
                ).emit()
            )
        ]

    def report(self, incoming: Message | Piece, status: int = 200, comment: str = "") -> list[Action]:
        """A REPORT about a whole message to its sender (RFC 4975 §7.1.2); `answer` sends it where it is due."""
        size = len(incoming.body) if isinstance(incoming, Message) else incoming.offset + len(incoming.data)
        text = comment or COMMENTS.get(status, "")
        request = Request(
            self._make_id(),
            "REPORT",
            incoming.from_path,
            self._local_text,
            incoming.message_id,
            (1, size, size),
            headers=(("Status", f"000 {status:03d} {text}".rstrip()),),
        )
        return [Transmit(request.emit())]

    # Receiving

    def _misdirected(self, to_path: str) -> int:
        try:
            path = parse_path(to_path)
        except ParseError:
            return 400
        # RFC 4975 §7.3: we are no relay, so nothing may follow our own URI.
        return 0 if len(path) == 1 and path[0].matches(self._local) else 481

    def _on_send(self, request: Request) -> list[Action]:
        again = request.transaction_id == self._answered
        if not request.body and not request.content_type and request.message_id not in self._reassembler:
            return self._on_empty(request)
        try:
            message = self._reassembler.receive(request)
        except Rejected as rejected:
            return self._refuse(request, rejected.status, rejected.comment)
        if again:
            return self._refuse(request, 400)
        if message is not None:
            return [Received(message)]
        # One answer for one transaction: it waits for the last piece of its chunk.
        return [] if request.partial else self._respond(request, 200)

    def _on_stream(self, request: Request, intake: Intake) -> list[Action]:
        name, coming = request.message_id, intake.coming
        if not request.body and not request.content_type and name != coming:
            return self._on_empty(request)
        try:
            piece = intake.receive(request)
        except Rejected as rejected:
            stopped: list[Action] = [Stopped(name, rejected.status)] if name and name == coming else []
            return self._reject(request, rejected) + stopped
        if piece is None:
            over: list[Action] = [Stopped(name, 0)] if name == coming else []
            return ([] if request.transaction_id in self._refused else self._respond(request, 200)) + over
        return [Arrived(piece)]

    def _reject(self, request: Request, rejected: Rejected) -> list[Action]:
        """A chunk is answered once, at the first piece of it that is refused."""
        if request.transaction_id in self._refused:
            return []
        self._refused.append(request.transaction_id)
        return self._respond(request, rejected.status, rejected.comment)

    def _on_empty(self, request: Request) -> list[Action]:
        bound: list[Action] = [Bound()] if request.continuation == "$" else []
        return self._respond(request, 200) + bound

    def _refuse(self, request: Request, status: int, comment: str = "") -> list[Action]:
        """Answer at the first piece of a chunk, and let its other pieces pass unanswered."""
        again = request.transaction_id == self._answered
        self._answered = request.transaction_id if request.partial else ""
        return [] if again or request.method == "REPORT" else self._respond(request, status, comment)

    def _respond(self, request: Request, status: int, comment: str = "") -> list[Action]:
        if not _wants(request.failure_report, status):
            return []
        return [Transmit(make_response(request, status, comment).emit())]


def _wants(failure_report: FailureReport, status: int) -> bool:
    """Whether the sender is to be answered (RFC 4975 §7.2)."""
    return failure_report == "yes" or (failure_report == "partial" and status != 200)


def _on_report(request: Request) -> list[Action]:
    # RFC 4975 §7.1.2: "000" is the only name space of status codes there is.
    words = (request.header("Status") or "").split(" ", 2)
    if len(words) < 2 or words[0] != "000" or not (len(words[1]) == 3 and words[1].isascii() and words[1].isdigit()):
        return []  # nobody to tell: a REPORT is never answered
    return [Reported(request.message_id, int(words[1]), request.byte_range)]
