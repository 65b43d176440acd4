"""From chunks to whole messages.

Spec: RFC 4975 §5.1, §7.3.1 (byte ranges, overlap, '#').
Pure; holds no more than max_messages x max_size bytes, and costs what the chunks weigh, in whatever order they come.
"""

from bisect import bisect_right
from dataclasses import dataclass, field
from typing import Final

from joyn.protocol.msrp.chunk import FailureReport, Headers, Request

MESSAGES_MAX: Final = 8
"""Unfinished messages of one session: an honest sender has one, and one more after an interruption."""

RANGES_MAX: Final = 1024
"""Pieces of one unfinished message that do not follow one another."""


class Rejected(Exception):
    """This chunk, and so its message, is not wanted: answer with `status` and `comment` (RFC 4975 §10)."""

    def __init__(self, status: int, comment: str) -> None:
        super().__init__(f"{status} {comment}")
        self.status = status
        self.comment = comment


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A whole message, and what is needed to answer the chunk that completed it."""

    message_id: str
    content_type: str
    body: bytes
    success_report: bool
    failure_report: FailureReport
    headers: Headers
    transaction_id: str
    to_path: str
    from_path: str


@dataclass(slots=True)
class _Partial:
    """What came of a message: pieces by position (from 0), sorted, never overlapping."""

    content_type: str = ""
    headers: Headers = ()
    success_report: bool = False
    total: int | None = None
    ended: bool = False
    starts: list[int] = field(default_factory=list)
    pieces: list[bytearray] = field(default_factory=list)
    size: int = 0

    @property
    def reach(self) -> int:
        """The end of the furthest piece."""
        return self.starts[-1] + len(self.pieces[-1]) if self.starts else 0

    def put(self, start: int, data: bytes) -> None:
        """Lay `data` over what is there: where ranges overlap, the last one wins (facts §4.3)."""
        end = start + len(data)
        at = bisect_right(self.starts, start)
        if at and start <= self.starts[at - 1] + len(self.pieces[at - 1]):
            piece = self.pieces[at - 1]
            before = len(piece)
            offset = start - self.starts[at - 1]
            piece[offset : offset + len(data)] = data
            self.size += len(piece) - before
        elif data:
            self.starts.insert(at, start)
            self.pieces.insert(at, bytearray(data))
            self.size += len(data)
            at += 1
        # What follows is covered wholly, covered at its front, or untouched.
        stop = at
        while stop < len(self.starts) and self.starts[stop] + len(self.pieces[stop]) <= end:
            self.size -= len(self.pieces[stop])
            stop += 1
        del self.starts[at:stop], self.pieces[at:stop]
        if at < len(self.starts) and self.starts[at] < end:
            cut = end - self.starts[at]
            del self.pieces[at][:cut]
            self.starts[at] = end
            self.size -= cut


class Reassembler:
    """Collects the chunks of one session's messages by Message-ID (RFC 4975 §7.3.1).

    `max_size` bounds a message in bytes, `max_messages` the unfinished ones, `max_ranges` the pieces of each.
    """

    __slots__ = ("_max_messages", "_max_ranges", "_max_size", "_partial", "_refused")

    def __init__(self, max_size: int, max_messages: int = MESSAGES_MAX, max_ranges: int = RANGES_MAX) -> None:
        self._max_size = max_size
        self._max_messages = max_messages
        self._max_ranges = max_ranges
        self._partial: dict[str, _Partial] = {}
        self._refused: dict[str, Rejected] = {}

    def __contains__(self, message_id: str) -> bool:
        return message_id in self._partial

    @property
    def held(self) -> int:
        """Bytes of unfinished messages."""
        return sum(partial.size for partial in self._partial.values())

    def receive(self, chunk: Request) -> Message | None:
        """The message that `chunk` completes, or None.

        Raises Rejected, and drops the message: 400 for a range that cannot be, 413 for a message too long or too
        scattered, or when too many are unfinished (413 and not 408: the sender is to stop this message, where
        408 would say that the session hangs). Further chunks of that message meet the same answer until its last.
        """
        message_id = chunk.message_id
        if message_id in self._refused:
            self._refuse_again(chunk)
            return None
        partial = self._partial.get(message_id)
        try:
            start = position(chunk, self._max_size)
            body = chunk.body or b""
            if chunk.continuation == "#":
                self._partial.pop(message_id, None)
                return None
            if partial is None:
                if start == 0 and chunk.continuation == "$" and _is_whole(chunk, body):
                    return _message(chunk, body, chunk.content_type, chunk.headers, chunk.success_report)
                partial = self._begin(message_id)
            return self._add(partial, chunk, start, body)
        except Rejected as rejected:
            self._partial.pop(message_id, None)
            if chunk.continuation == "+":
                self._remember(message_id, rejected)
            raise

    def _begin(self, message_id: str) -> _Partial:
        if len(self._partial) >= self._max_messages:
            raise Rejected(413, "Too many unfinished messages")
        self._partial[message_id] = partial = _Partial()
        return partial

    def _add(self, partial: _Partial, chunk: Request, start: int, body: bytes) -> Message | None:
        total = chunk.byte_range[2] if chunk.byte_range is not None else None
        if chunk.continuation == "$":
            # RFC 4975 §7.1.1: '$' marks the end of the message, so this chunk tells its length.
            partial.ended = True
            total = start + len(body) if total is None else total
            if total != start + len(body):
                raise Rejected(400, "Last chunk ends before the total")
        if total is not None:
            if partial.total not in (None, total):
                raise Rejected(400, "Total changed")
            partial.total = total
        if start == 0 or not partial.content_type:
            partial.content_type = chunk.content_type or partial.content_type
            partial.headers = chunk.headers or partial.headers
        partial.success_report |= chunk.success_report
        partial.put(start, body)
        if len(partial.pieces) > self._max_ranges:
            raise Rejected(413, "Message too scattered")
        if partial.total is not None and partial.reach > partial.total:
            raise Rejected(400, "Bytes beyond the total")
        if not partial.ended or partial.size != partial.total:
            return None
        del self._partial[chunk.message_id]
        return _message(
            chunk,
            b"".join(partial.pieces),
            partial.content_type,
            partial.headers,
            partial.success_report,
        )

    def _remember(self, message_id: str, rejected: Rejected) -> None:
        # Beyond the bound the oldest is forgotten: its next chunk is judged afresh.
        if len(self._refused) >= self._max_messages:
            del self._refused[next(iter(self._refused))]
        self._refused[message_id] = rejected

    def _refuse_again(self, chunk: Request) -> None:
        refused = self._refused[chunk.message_id]
        if chunk.continuation != "+":
            del self._refused[chunk.message_id]
        if chunk.continuation != "#":
            raise Rejected(refused.status, refused.comment)


def position(chunk: Request, max_size: int) -> int:
    """Where a chunk begins, from 0. Raises Rejected: 400 for a range that cannot be, 413 for one too far out."""
    if not chunk.message_id:
        raise Rejected(400, "Message-ID missing")
    first, end, total = chunk.byte_range or (1, None, None)
    length = 0 if chunk.body is None else len(chunk.body)
    last = first + length - 1
    if chunk.continuation == "#":
        # RFC 4975 §7.1.1: an interrupted chunk may end before the end it promised.
        return first - 1
    # A piece of a longer chunk carries its own end; only the last one the sender's (connection.Framer).
    if first < 1 or (end is not None and end != last) or (total is not None and last > total):
        raise Rejected(400, "Bad Byte-Range")
    if max(last, total or 0) > max_size:
        raise Rejected(413, "Message too long")
    return first - 1


def _is_whole(chunk: Request, body: bytes) -> bool:
    return chunk.byte_range is None or chunk.byte_range[2] in (None, len(body))


def _message(chunk: Request, body: bytes, content_type: str, headers: Headers, success_report: bool) -> Message:
    return Message(
        message_id=chunk.message_id,
        content_type=content_type,
        body=body,
        success_report=success_report,
        failure_report=chunk.failure_report,
        headers=headers,
        transaction_id=chunk.transaction_id,
        to_path=chunk.to_path,
        from_path=chunk.from_path,
    )
