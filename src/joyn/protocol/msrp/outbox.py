"""What one MSRP session sends: messages in their order, cut into chunks, as far as answers let them go out.

Spec: RFC 4975 §7.1 (sending), §7.1.1 (chunks, timeouts).
Pure; bounded: a window of chunks, a sum of bytes; a long body is asked for piece by piece and never held.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from joyn.protocol.errors import ProtocolError
from joyn.protocol.msrp.chunk import FailureReport, Request, Response, free_transaction_id

CHUNK_SIZE: Final = 10_240
"""Bytes of body in one chunk: what deployed clients send (facts §4.3)."""

SILENT_MAX: Final = 256
"""Chunks with Failure-Report 'partial' remembered in case an error comes for them."""

QUEUED_OVERHEAD: Final = 512
"""What a message counts in `max_queued` on top of its body."""


class QueueFull(Exception):
    """The session holds as much unsent as it may: nothing was queued, try again when something was delivered."""


@dataclass(frozen=True, slots=True)
class Transmit:
    """Write `data`, one frame, to the connection (one WebSocket message, RFC 7977)."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Wanted:
    """The next bytes of a streamed message: read `size` from `offset` on and call `supply`. One at a time for each."""

    message_id: str
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Progress:
    """The peer has answered 200 for the first `taken` bytes of a streamed message."""

    message_id: str
    taken: int


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
class Bound:
    """An empty SEND was answered 200, by us or to us: the session now belongs to this connection (RFC 4975 §5.4)."""


Sent = Transmit | Wanted | Progress | Delivered | Failed | Bound


@dataclass(slots=True, eq=False)
class Outgoing:
    """A message under way; `body` is None when it is streamed, which `asked` for what comes next of it."""

    message_id: str
    content_type: str
    body: bytes | None
    size: int
    success_report: bool
    failure_report: FailureReport
    chunk_size: int
    binding: bool = False
    asked: bool = False
    offset: int = 0
    sent: bool = False
    unanswered: int = 0

    @property
    def cost(self) -> int:
        """What it counts in `max_queued`."""
        return QUEUED_OVERHEAD + (0 if self.body is None else self.size - self.offset)


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A transaction that waits for its answer: `start` is where its chunk begins, from 0."""

    outgoing: Outgoing
    deadline: float
    start: int


class Outbox:
    """The sending half of a session. The parameters are those of `Session`."""

    __slots__ = (
        "_local_path",
        "_make_id",
        "_max_queued",
        "_outgoing",
        "_queue",
        "_remote_path",
        "_silent",
        "_timeout",
        "_waiting",
        "_window",
        "queued",
    )

    def __init__(
        self,
        local_path: str,
        remote_path: str,
        *,
        make_id: Callable[[], str],
        timeout: float,
        window: int,
        max_queued: int,
    ) -> None:
        self._local_path = local_path
        self._remote_path = remote_path
        self._make_id = make_id
        self._timeout = timeout
        self._window = window
        self._max_queued = max_queued
        self._outgoing: dict[str, Outgoing] = {}
        self._queue: deque[Outgoing] = deque()
        self.queued = 0
        # By transaction id, oldest first: all wait equally long, so the first is the first to expire.
        self._waiting: dict[str, _Waiting] = {}
        self._silent: dict[str, _Waiting] = {}

    @property
    def unsettled(self) -> tuple[str, ...]:
        """See Session.unsettled."""
        return tuple(self._outgoing)

    @property
    def outstanding(self) -> int:
        """Transactions waiting for their answer."""
        return len(self._waiting)

    def add(self, outgoing: Outgoing, now: float) -> list[Sent]:
        """Queue a message, and send what the window lets through. Raises QueueFull, ProtocolError."""
        if outgoing.chunk_size < 1:
            raise ProtocolError("a chunk holds one byte at least")
        if outgoing.message_id in self._outgoing:
            raise ProtocolError("this Message-ID is being sent already")
        if self.queued + outgoing.cost > self._max_queued:
            raise QueueFull(f"{self.queued} bytes of {self._max_queued} wait to be sent")
        self._outgoing[outgoing.message_id] = outgoing
        self._queue.append(outgoing)
        self.queued += outgoing.cost
        return self._flush(now)

    def supply(self, message_id: str, data: bytes, now: float) -> list[Sent]:
        """The bytes that a Wanted asked for. Nothing happens when the message was given up meanwhile.

        Raises ProtocolError when they are not asked for, none, or more than was asked for.
        """
        outgoing = self._outgoing.get(message_id)
        if outgoing is None:
            return []
        wanted = self._wanted(outgoing)
        if not outgoing.asked or outgoing is not self._queue[0] or not 0 < len(data) <= wanted:
            raise ProtocolError("bytes that were not asked for, or none of those that were")
        outgoing.asked = False
        step = outgoing.chunk_size
        chunks = [data[at : at + step] for at in range(0, len(data), step)]
        actions: list[Sent] = [Transmit(self._chunk(outgoing, chunk, now)) for chunk in chunks]
        if outgoing.sent:
            self._dequeue(outgoing)
        return actions + self._flush(now)

    def abort(self, message_id: str, now: float) -> list[Sent]:
        """See Session.abort."""
        outgoing = self._outgoing.get(message_id)
        if outgoing is None or outgoing.sent:
            return []
        return self._drop(outgoing, interrupt=True) + self._flush(now)

    def on_response(self, response: Response, now: float) -> list[Sent]:
        """An answer came."""
        name = response.transaction_id
        waiting = self._waiting if name in self._waiting else self._silent
        entry = waiting.get(name)
        if entry is None:
            return []  # late, or to a message given up
        if response.status == 200:
            actions = self._settle(name, waiting)
        else:
            # RFC 4975 §7.1.1: an error ends the message. Where the session itself is gone, '#' would be in vain.
            actions = self._fail(entry.outgoing, response.status, interrupt=response.status not in (481, 506))
        return actions + self._flush(now)

    def deadline(self) -> float | None:
        """When `handle_deadline` is due, or None."""
        times = [next(iter(waiting.values())).deadline for waiting in (self._waiting, self._silent) if waiting]
        return min(times, default=None)

    def handle_deadline(self, now: float) -> list[Sent]:
        """Fail what was not answered in time; take silence for consent where only errors are reported."""
        actions: list[Sent] = []
        while self._silent and (first := next(iter(self._silent.items())))[1].deadline <= now:
            actions += self._settle(first[0], self._silent)
        while self._waiting and (late := next(iter(self._waiting.values()))).deadline <= now:
            # RFC 4975 §7.1.1: no answer within the time counts as 408.
            actions += self._fail(late.outgoing, 408, interrupt=False)
        return actions + self._flush(now)

    # What goes out next.

    def _flush(self, now: float) -> list[Sent]:
        actions: list[Sent] = []
        while self._queue:
            outgoing = self._queue[0]
            if outgoing.failure_report == "yes" and len(self._waiting) >= self._window:
                break
            if outgoing.body is None and outgoing.size:
                if not outgoing.asked:
                    outgoing.asked = True
                    actions.append(Wanted(outgoing.message_id, outgoing.offset, self._wanted(outgoing)))
                break
            actions.append(Transmit(self._next_chunk(outgoing, now)))
            if outgoing.sent:
                self._dequeue(outgoing)
                if outgoing.unanswered == 0:
                    actions += self._delivered(outgoing)
            while len(self._silent) > SILENT_MAX:
                actions += self._settle(next(iter(self._silent)), self._silent)
        return actions

    def _dequeue(self, outgoing: Outgoing) -> None:
        self._queue.popleft()
        self.queued -= outgoing.cost

    def _wanted(self, outgoing: Outgoing) -> int:
        """Bytes of a streamed message that may go out now."""
        room = (self._window - len(self._waiting)) * outgoing.chunk_size
        return min(room, outgoing.size - outgoing.offset)

    def _next_chunk(self, outgoing: Outgoing, now: float) -> bytes:
        whole = outgoing.body or b""
        end = min(outgoing.offset + outgoing.chunk_size, outgoing.size)
        # A message in one chunk is not copied.
        body = whole if end - outgoing.offset == outgoing.size else whole[outgoing.offset : end]
        self.queued -= len(body)
        return self._chunk(outgoing, body, now)

    def _chunk(self, outgoing: Outgoing, body: bytes, now: float) -> bytes:
        start = outgoing.offset
        # Deviates: RFC 4975 §7.1.1 wants a chunk above 2048 bytes to end in '*' and be interruptible; ours are handed
        # over whole, are interrupted only between chunks, and name their end for the peers that read nothing else.
        end = start + len(body)
        name = free_transaction_id(self._make_id, body)
        outgoing.sent = end == outgoing.size
        outgoing.offset = end
        if outgoing.failure_report != "no":
            outgoing.unanswered += 1
            waiting = self._waiting if outgoing.failure_report == "yes" else self._silent
            waiting[name] = _Waiting(outgoing, now + self._timeout, start)
        request = self._request(outgoing, name)
        if not outgoing.binding:
            request.byte_range = (start + 1, end, outgoing.size)
            request.body = body
            request.continuation = "$" if outgoing.sent else "+"
        return request.emit()

    def _request(self, outgoing: Outgoing, name: str) -> Request:
        return Request(
            name,
            "SEND",
            self._remote_path,
            self._local_path,
            outgoing.message_id,
            content_type=outgoing.content_type,
            success_report=outgoing.success_report,
            failure_report=outgoing.failure_report,
        )

    # What becomes of it.

    def _settle(self, name: str, waiting: dict[str, _Waiting]) -> list[Sent]:
        outgoing = waiting.pop(name).outgoing
        outgoing.unanswered -= 1
        actions: list[Sent] = []
        if outgoing.body is None and not outgoing.binding:
            # The window is small, and the first that waits is mostly the first there is.
            taken = next((one.start for one in waiting.values() if one.outgoing is outgoing), outgoing.offset)
            actions.append(Progress(outgoing.message_id, taken))
        if outgoing.sent and outgoing.unanswered == 0:
            actions += self._delivered(outgoing)
        return actions

    def _delivered(self, outgoing: Outgoing) -> list[Sent]:
        del self._outgoing[outgoing.message_id]
        return [Bound()] if outgoing.binding else [Delivered(outgoing.message_id)]

    def _fail(self, outgoing: Outgoing, status: int, *, interrupt: bool) -> list[Sent]:
        actions = self._drop(outgoing, interrupt=interrupt)
        actions.append(Failed(outgoing.message_id, status))
        return actions

    def _drop(self, outgoing: Outgoing, *, interrupt: bool) -> list[Sent]:
        """Forget a message; tell the peer by '#' if it has a part of it."""
        del self._outgoing[outgoing.message_id]
        for waiting in (self._waiting, self._silent):
            for name in [name for name, entry in waiting.items() if entry.outgoing is outgoing]:
                del waiting[name]
        if outgoing.sent:
            return []
        self._queue.remove(outgoing)
        self.queued -= outgoing.cost
        if outgoing.offset == 0 or not interrupt:
            return []
        request = self._request(outgoing, self._make_id())
        request.byte_range = (outgoing.offset + 1, None, outgoing.size)
        request.continuation = "#"
        return [Transmit(request.emit())]
