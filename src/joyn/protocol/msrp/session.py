"""One MSRP session: what is answered, what is sent, and what became of it.

Spec: RFC 4975 §5.4, §7.1 (sending), §7.2 (answering), §7.3 (receiving), §10 (status codes).
Pure: frames and times in, actions out; everything waiting is bounded.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from joyn.protocol.errors import ParseError, ProtocolError
from joyn.protocol.msrp.chunk import (
    COMMENTS,
    ByteRange,
    FailureReport,
    Request,
    Response,
    free_transaction_id,
    make_response,
)
from joyn.protocol.msrp.reassembly import MESSAGES_MAX, RANGES_MAX, Message, Reassembler, Rejected
from joyn.protocol.msrp.uri import MsrpUri, parse_path

TIMEOUT: Final = 30.0
"""Seconds until an unanswered request has failed (RFC 4975 §7.1.1)."""

CHUNK_SIZE: Final = 10_240
"""Bytes of body in one chunk: what deployed clients send (facts §4.3)."""

WINDOW: Final = 32
"""Unanswered chunks on their way at once."""

SILENT_MAX: Final = 256
"""Chunks with Failure-Report 'partial' remembered in case an error comes for them."""

QUEUED_MAX: Final = 8 * 1024 * 1024
"""Bytes waiting to be sent; one message counts QUEUED_OVERHEAD on top of its body."""

QUEUED_OVERHEAD: Final = 512


class QueueFull(Exception):
    """The session holds as much unsent as it may: nothing was queued, try again when something was delivered."""


@dataclass(frozen=True, slots=True)
class Transmit:
    """Write `data`, one frame, to the connection (one WebSocket message, RFC 7977)."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Received:
    """A whole message came; commit it, then call `Session.answer`."""

    message: Message


@dataclass(frozen=True, slots=True)
class Delivered:
    """The peer answered 200 to every chunk, or was not asked to answer."""

    message_id: str


@dataclass(frozen=True, slots=True)
class Failed:
    """The peer refused a chunk with `status`, or did not answer in time (408)."""

    message_id: str
    status: int


@dataclass(frozen=True, slots=True)
class Reported:
    """A REPORT came from the far end: `status` 200 for success; no `byte_range` when it named none."""

    message_id: str
    status: int
    byte_range: ByteRange | None


@dataclass(frozen=True, slots=True)
class Bound:
    """An empty SEND was answered 200, by us or to us: the session now belongs to this connection (RFC 4975 §5.4)."""


Action = Transmit | Received | Delivered | Failed | Reported | Bound


@dataclass(slots=True, eq=False)
class _Outgoing:
    message_id: str
    content_type: str
    body: bytes
    success_report: bool
    failure_report: FailureReport
    chunk_size: int
    binding: bool = False
    offset: int = 0
    sent: bool = False
    unanswered: int = 0

    @property
    def cost(self) -> int:
        return len(self.body) - self.offset + QUEUED_OVERHEAD


class Session:
    """One end of an MSRP session (RFC 4975 §5).

    `local` is the URI we gave in SDP, `remote_path` the peer's `a=path`, nearest hop first; `make_id` gives a fresh
    transaction id at each call; `timeout` is in seconds, `max_size` in bytes per received message, `max_queued` in
    bytes not yet sent. Messages go out one after the other, never interleaved (facts §4.3).
    """

    __slots__ = (
        "_answered",
        "_local",
        "_local_text",
        "_make_id",
        "_max_queued",
        "_outgoing",
        "_queue",
        "_queued",
        "_reassembler",
        "_remote_path",
        "_silent",
        "_timeout",
        "_waiting",
        "_window",
    )

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
    ) -> None:
        self._local = local
        self._local_text = str(local)
        self._remote_path = remote_path
        self._make_id = make_id
        self._timeout = timeout
        self._window = window
        self._max_queued = max_queued
        self._reassembler = Reassembler(max_size, max_messages, max_ranges)
        self._answered = ""  # the transaction refused while pieces of its chunk still come
        self._outgoing: dict[str, _Outgoing] = {}
        self._queue: deque[_Outgoing] = deque()
        self._queued = 0
        # By transaction id, oldest first: all wait equally long, so the first is the first to expire.
        self._waiting: dict[str, tuple[_Outgoing, float]] = {}
        self._silent: dict[str, tuple[_Outgoing, float]] = {}

    @property
    def unsettled(self) -> tuple[str, ...]:
        """Message-IDs of which neither Delivered nor Failed was said, in the order they were sent."""
        return tuple(self._outgoing)

    @property
    def queued(self) -> int:
        """Bytes waiting to be sent, QUEUED_OVERHEAD for each message included."""
        return self._queued

    @property
    def outstanding(self) -> int:
        """Transactions waiting for their answer."""
        return len(self._waiting)

    def receive(self, frame: Request | Response, now: float) -> list[Action]:
        """Take one frame of this session. Raises nothing for whatever the peer sent."""
        if type(frame) is Response:
            return self._on_response(frame, now)
        assert isinstance(frame, Request)
        if frame.to_path != self._local_text and (status := self._misdirected(frame.to_path)):
            return self._refuse(frame, status)
        if frame.method == "SEND":
            return self._on_send(frame)
        if frame.method == "REPORT":
            return _on_report(frame)
        return self._refuse(frame, 501)

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
        if chunk_size < 1:
            raise ProtocolError("a chunk holds one byte at least")
        return self._enqueue(_Outgoing(message_id, content_type, body, success_report, failure_report, chunk_size), now)

    def send_empty(self, now: float) -> list[Action]:
        """The active side's first SEND (RFC 4975 §5.4), also good to keep a connection alive.

        Bound follows when the peer answers 200, else Failed with the Message-ID made for it.
        """
        return self._enqueue(_Outgoing(self._make_id(), "", b"", False, "yes", CHUNK_SIZE, binding=True), now)

    def answer(self, incoming: Message, status: int, comment: str = "") -> list[Action]:
        """Answer a Received message, once; 200 also reports success to a sender that asked (RFC 4975 §7.1.2)."""
        actions: list[Action] = []
        if _wants(incoming.failure_report, status):
            actions.append(
                Transmit(
                    Response(
                        incoming.transaction_id,
                        status,
                        comment or COMMENTS.get(status, ""),
                        incoming.from_path.partition(" ")[0],
                        self._local_text,
                    ).emit()
                )
            )
        if status == 200 and incoming.success_report:
            actions += self.report(incoming)
        return actions

    def report(self, incoming: Message, status: int = 200, comment: str = "") -> list[Action]:
        """A REPORT about a whole message to its sender (RFC 4975 §7.1.2); `answer` sends it where it is due."""
        size = len(incoming.body)
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

    def abort(self, message_id: str, now: float) -> list[Action]:
        """Give up a message of which not all is sent: the peer is told by '#', and no Delivered or Failed follows.

        Nothing happens to one that is sent to its end: its answer still comes.
        """
        outgoing = self._outgoing.get(message_id)
        if outgoing is None or outgoing.sent:
            return []
        return self._drop(outgoing, interrupt=True) + self._flush(now)

    def deadline(self) -> float | None:
        """When `handle_deadline` is due, or None."""
        times = [next(iter(waiting.values()))[1] for waiting in (self._waiting, self._silent) if waiting]
        return min(times, default=None)

    def handle_deadline(self, now: float) -> list[Action]:
        """Fail what was not answered in time; take silence for consent where only errors are reported."""
        actions: list[Action] = []
        while self._silent and (first := next(iter(self._silent.items())))[1][1] <= now:
            actions += self._settle(first[0], self._silent)
        while self._waiting and (late := next(iter(self._waiting.values())))[1] <= now:
            # RFC 4975 §7.1.1: no answer within the time counts as 408.
            actions += self._fail(late[0], 408, interrupt=False)
        return actions + self._flush(now)

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
            bound: list[Action] = [Bound()] if request.continuation == "$" else []
            return self._respond(request, 200) + bound
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

    def _refuse(self, request: Request, status: int, comment: str = "") -> list[Action]:
        """Answer at the first piece of a chunk, and let its other pieces pass unanswered."""
        again = request.transaction_id == self._answered
        self._answered = request.transaction_id if request.partial else ""
        return [] if again or request.method == "REPORT" else self._respond(request, status, comment)

    def _respond(self, request: Request, status: int, comment: str = "") -> list[Action]:
        if not _wants(request.failure_report, status):
            return []
        return [Transmit(make_response(request, status, comment).emit())]

    def _on_response(self, response: Response, now: float) -> list[Action]:
        name = response.transaction_id
        waiting = self._waiting if name in self._waiting else self._silent
        entry = waiting.get(name)
        if entry is None:
            return []  # late, or to a message given up
        if response.status == 200:
            actions = self._settle(name, waiting)
        else:
            # RFC 4975 §7.1.1: an error ends the message. Where the session itself is gone, '#' would be in vain.
            actions = self._fail(entry[0], response.status, interrupt=response.status not in (481, 506))
        return actions + self._flush(now)

    # Sending

    def _enqueue(self, outgoing: _Outgoing, now: float) -> list[Action]:
        if outgoing.message_id in self._outgoing:
            raise ProtocolError("this Message-ID is being sent already")
        if self._queued + outgoing.cost > self._max_queued:
            raise QueueFull(f"{self._queued} bytes of {self._max_queued} wait to be sent")
        self._outgoing[outgoing.message_id] = outgoing
        self._queue.append(outgoing)
        self._queued += outgoing.cost
        return self._flush(now)

    def _flush(self, now: float) -> list[Action]:
        actions: list[Action] = []
        while self._queue:
            outgoing = self._queue[0]
            if outgoing.failure_report == "yes" and len(self._waiting) >= self._window:
                break
            actions.append(Transmit(self._next_chunk(outgoing, now)))
            if outgoing.sent:
                self._queue.popleft()
                self._queued -= outgoing.cost
                if outgoing.unanswered == 0:
                    actions += self._delivered(outgoing)
            while len(self._silent) > SILENT_MAX:
                actions += self._settle(next(iter(self._silent)), self._silent)
        return actions

    def _next_chunk(self, outgoing: _Outgoing, now: float) -> bytes:
        start, total = outgoing.offset, len(outgoing.body)
        # Deviates: RFC 4975 §7.1.1 wants a chunk above 2048 bytes to end in '*' and be interruptible; ours are handed
        # over whole, are interrupted only between chunks, and name their end for the peers that read nothing else.
        end = min(start + outgoing.chunk_size, total)
        # A message in one chunk is not copied.
        body = outgoing.body if end - start == total else outgoing.body[start:end]
        name = free_transaction_id(self._make_id, body)
        outgoing.sent = end == total
        outgoing.offset = end
        self._queued -= end - start
        if outgoing.failure_report != "no":
            outgoing.unanswered += 1
            waiting = self._waiting if outgoing.failure_report == "yes" else self._silent
            waiting[name] = (outgoing, now + self._timeout)
        request = self._request(outgoing, name)
        if not outgoing.binding:
            request.byte_range = (start + 1, end, total)
            request.body = body
            request.continuation = "$" if outgoing.sent else "+"
        return request.emit()

    def _request(self, outgoing: _Outgoing, name: str) -> Request:
        return Request(
            name,
            "SEND",
            self._remote_path,
            self._local_text,
            outgoing.message_id,
            content_type=outgoing.content_type,
            success_report=outgoing.success_report,
            failure_report=outgoing.failure_report,
        )

    def _settle(self, name: str, waiting: dict[str, tuple[_Outgoing, float]]) -> list[Action]:
        outgoing = waiting.pop(name)[0]
        outgoing.unanswered -= 1
        return self._delivered(outgoing) if outgoing.sent and outgoing.unanswered == 0 else []

    def _delivered(self, outgoing: _Outgoing) -> list[Action]:
        del self._outgoing[outgoing.message_id]
        return [Bound()] if outgoing.binding else [Delivered(outgoing.message_id)]

    def _fail(self, outgoing: _Outgoing, status: int, *, interrupt: bool) -> list[Action]:
        actions = self._drop(outgoing, interrupt=interrupt)
        actions.append(Failed(outgoing.message_id, status))
        return actions

    def _drop(self, outgoing: _Outgoing, *, interrupt: bool) -> list[Action]:
        """Forget a message; tell the peer by '#' if it has a part of it."""
        del self._outgoing[outgoing.message_id]
        for waiting in (self._waiting, self._silent):
            for name in [name for name, entry in waiting.items() if entry[0] is outgoing]:
                del waiting[name]
        if outgoing.sent:
            return []
        self._queue.remove(outgoing)
        self._queued -= outgoing.cost
        if outgoing.offset == 0 or not interrupt:
            return []
        request = self._request(outgoing, self._make_id())
        request.byte_range = (outgoing.offset + 1, None, len(outgoing.body))
        request.continuation = "#"
        return [Transmit(request.emit())]


def _wants(failure_report: FailureReport, status: int) -> bool:
    """Whether the sender is to be answered (RFC 4975 §7.2)."""
    return failure_report == "yes" or (failure_report == "partial" and status != 200)


def _on_report(request: Request) -> list[Action]:
    # RFC 4975 §7.1.2: "000" is the only name space of status codes there is.
    words = (request.header("Status") or "").split(" ", 2)
    if len(words) < 2 or words[0] != "000" or not (len(words[1]) == 3 and words[1].isascii() and words[1].isdigit()):
        return []  # nobody to tell: a REPORT is never answered
    return [Reported(request.message_id, int(words[1]), request.byte_range)]
