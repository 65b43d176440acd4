"""Long messages as they come: each piece is handed up at once and held by nobody here.

Spec: RFC 4975 §5.1, §7.3.1 (byte ranges, '#'), §10 (status codes).
Pure; one message at a time, its bytes in order. What is not taken in order would have to be held, and is refused.
"""

from dataclasses import dataclass
from typing import Final

from joyn.protocol.msrp.chunk import FailureReport, Headers, Request
from joyn.protocol.msrp.reassembly import Rejected, position

REFUSED_MAX: Final = 8
"""Messages refused while more of them comes; beyond that the oldest is judged afresh."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Some bytes of a message, and what is needed to answer their chunk.

    `offset` counts from 0; `total` is None while the sender has not said it. The pieces of a message follow each
    other without a gap from wherever its first one begins; `last` is the end of it. `ends_chunk` says that taking this
    piece answers a chunk.
    """

    message_id: str
    content_type: str
    offset: int
    total: int | None
    data: bytes
    last: bool
    ends_chunk: bool
    success_report: bool
    failure_report: FailureReport
    headers: Headers
    transaction_id: str
    to_path: str
    from_path: str


@dataclass(slots=True)
class _Coming:
    """The message that is coming in; `expected` is the position of its next byte."""

    message_id: str
    content_type: str
    headers: Headers
    expected: int
    success_report: bool = False
    total: int | None = None


class Intake:
    """The receiving half of a session that streams; `max_size` bounds a message in bytes."""

    __slots__ = ("_coming", "_max_size", "_refused")

    def __init__(self, max_size: int) -> None:
        self._max_size = max_size
        self._coming: _Coming | None = None
        self._refused: dict[str, Rejected] = {}

    @property
    def coming(self) -> str:
        """The Message-ID of what is coming in, empty for nothing."""
        return "" if self._coming is None else self._coming.message_id

    def receive(self, chunk: Request) -> Piece | None:
        """What a chunk, or a piece of it, brings; None when the sender breaks the message off by '#'.

        Raises Rejected, and drops that message: 400 for a range that cannot be or another total, 413 for a message too
        long and for a second one while a first is coming, 423 for a byte that is not the next. Further chunks of it
        meet the same answer until its last.
        """
        name = chunk.message_id
        if name in self._refused:
            refused = self._refused[name]
            if chunk.continuation != "+":
                del self._refused[name]
            if chunk.continuation == "#":
                return None
            raise Rejected(refused.status, refused.comment)
        try:
            return self._take(chunk)
        except Rejected as rejected:
            if name and name == self.coming:
                self._coming = None
            if name and chunk.continuation == "+":
                self._remember(name, rejected)
            raise

    def refuse(self, piece: Piece, status: int, comment: str) -> None:
        """The message is not wanted after all: what else comes of it meets this answer."""
        if piece.message_id == self.coming:
            self._coming = None
            self._remember(piece.message_id, Rejected(status, comment))

    def _take(self, chunk: Request) -> Piece | None:
        coming = self._coming
        if chunk.message_id and coming is not None and coming.message_id != chunk.message_id:
            # 413 and not 403: the sender is to stop this message, and nothing is wrong with the session.
            raise Rejected(413, "One message at a time")
        start = position(chunk, self._max_size)
        if chunk.continuation == "#":
            self._coming = None
            return None
        if coming is None:
            coming = self._coming = _Coming(chunk.message_id, chunk.content_type, chunk.headers, start)
        elif start != coming.expected:
            raise Rejected(423, "Not the next byte")
        body = chunk.body or b""
        coming.expected += len(body)
        coming.success_report |= chunk.success_report
        self._count(coming, chunk)
        last = chunk.continuation == "$"
        if last:
            self._coming = None
        return Piece(
            message_id=coming.message_id,
            content_type=coming.content_type,
            offset=start,
            total=coming.total,
            data=body,
            last=last,
            ends_chunk=not chunk.partial,
            success_report=coming.success_report,
            failure_report=chunk.failure_report,
            headers=coming.headers,
            transaction_id=chunk.transaction_id,
            to_path=chunk.to_path,
            from_path=chunk.from_path,
        )

    @staticmethod
    def _count(coming: _Coming, chunk: Request) -> None:
        """See that the total stays what it was, and is what comes."""
        total = chunk.byte_range[2] if chunk.byte_range is not None else None
        if chunk.continuation == "$":
            # RFC 4975 §7.1.1: '$' marks the end of the message, so this chunk tells its length.
            total = coming.expected if total is None else total
            if total != coming.expected:
                raise Rejected(400, "Last chunk ends before the total")
        if total is not None:
            if coming.total not in (None, total):
                raise Rejected(400, "Total changed")
            coming.total = total
        if coming.total is not None and coming.expected > coming.total:
            raise Rejected(400, "Bytes beyond the total")

    def _remember(self, name: str, rejected: Rejected) -> None:
        if len(self._refused) >= REFUSED_MAX:
            del self._refused[next(iter(self._refused))]
        self._refused[name] = rejected
