"""From a stream of bytes to MSRP frames, however the stream is cut.

Spec: RFC 4975 §5.1 (framing), §7.3 (receiving), §9 (grammar).
Pure; linear in the bytes received and bounded in memory: a long body is handed on in pieces.
"""

from dataclasses import replace
from typing import Final

from joyn.protocol.errors import ParseError
from joyn.protocol.msrp.chunk import (
    HEAD_MAX,
    TRANSACTION_ID_MAX,
    ByteRange,
    Continuation,
    Request,
    Response,
    parse_head,
)

PIECE: Final = 65536
"""Bytes of body in one Request at most; the rest of the chunk follows in further ones."""

END_LINE_MAX: Final = 2 + 7 + TRANSACTION_ID_MAX + 1 + 2
"""Bytes of an end-line, with the line breaks before and after."""

BUFFERED_MAX: Final = 2 + PIECE + END_LINE_MAX
"""Bytes held between two calls of `Framer.receive` at most."""

_BLANK: Final = b"\r\n\r\n"
_DASHES: Final = b"\r\n-------"
_FLAGS: Final[dict[int, Continuation]] = {ord("$"): "$", ord("+"): "+", ord("#"): "#"}
_MORE: Final = -1

Frame = Request | Response


class FramingError(ParseError):
    """The stream is not MSRP from `at` on, counted in bytes from its beginning; `frames` came before in this call."""

    def __init__(self, what: str, at: int, frames: list[Frame]) -> None:
        super().__init__(what, at)
        self.frames = frames


class Framer:
    """Cuts one connection's bytes into frames (RFC 4975 §5.1).

    A body longer than PIECE comes as several Requests of one transaction: each but the last has `partial` set,
    the continuation '+' and the byte range of the piece itself; the last has the flag of the wire, and its range
    ends where the sender said it would, so that a false claim still shows.
    """

    __slots__ = ("_broken", "_buffer", "_end_line", "_lead", "_offset", "_open", "_scanned", "_start")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._offset = 0  # of the first unread byte, in the stream
        self._scanned = 0  # bytes of the buffer known to hold no end of a head, or of a body
        self._open: Request | Response | None = None  # the head whose body is being read
        self._end_line = b""
        self._lead = 0  # 2 while the line break that ends the head is still in front of the body
        self._start = 1  # position in the message of the next byte of body
        self._broken: ParseError | None = None

    @property
    def buffered(self) -> int:
        """Bytes held back until more come; never above BUFFERED_MAX."""
        return len(self._buffer)

    def receive(self, data: bytes) -> list[Frame]:
        """The frames that `data` completes.

        Raises FramingError (a ParseError) at the first frame that is none, and from then on at every call:
        where the next frame starts is not known any more, so the connection is to be closed.
        """
        frames: list[Frame] = []
        if self._broken is not None:
            raise FramingError(self._broken.what, self._broken.at, frames)
        source: bytes | bytearray = data
        if self._buffer:
            self._buffer += data
            source = self._buffer
        at, size = 0, len(source)
        try:
            while at < size:
                read = self._head if self._open is None else self._body
                after = read(source, at, frames)
                if after == _MORE:
                    break
                at = after
        except ParseError as error:
            self._broken = error
            self._buffer = bytearray()
            raise FramingError(error.what, error.at, frames) from None
        if source is self._buffer:
            del self._buffer[:at]
        elif at < size:
            self._buffer += data[at:] if at else data
        self._offset += at
        return frames

    def _head(self, source: bytes | bytearray, at: int, frames: list[Frame]) -> int:
        """Read a head and, when all of it is there, its body; where to go on, or _MORE."""
        if not source.startswith(b"MSRP ", at) and not b"MSRP ".startswith(source[at : at + 5]):
            raise ParseError("first line is not MSRP", self._offset + at)
        # The head ends at a blank line or, without a body, at the end-line; a body holds neither its own end-line
        # nor, nearly always, any other, so the first dashes are the end of the frame.
        dashes = source.find(_DASHES, at + self._scanned)
        blank = source.find(_BLANK, at + self._scanned, dashes + 2 if dashes >= 0 else len(source))
        end = blank if blank >= 0 else dashes
        if (len(source) - 9 if end < 0 else end) > at + HEAD_MAX:
            raise ParseError(f"head longer than {HEAD_MAX} bytes", self._offset + at + HEAD_MAX)
        if end < 0:
            self._scanned = max(0, len(source) - at - len(_DASHES) + 1)
            return _MORE
        stop = source.find(b"\r\n", dashes + 9, dashes + END_LINE_MAX) if dashes >= 0 else -1
        if blank < 0 and stop < 0:
            if len(source) >= dashes + END_LINE_MAX:
                raise ParseError("end-line expected", self._offset + dashes)
            self._scanned = dashes - at
            return _MORE
        self._scanned = 0
        try:
            text = source[at:end].decode()
        except UnicodeDecodeError as error:
            raise ParseError("head is not UTF-8", self._offset + at + error.start) from None
        frame = parse_head(text, self._offset + at)
        name = frame.transaction_id.encode()
        flag = None
        if stop == dashes + 10 + len(name) and source.startswith(name, dashes + 9):
            flag = _FLAGS.get(source[stop - 1])
        if flag is not None and dashes - end <= 4 + PIECE:
            body = bytes(source[blank + 4 : dashes]) if 0 <= blank < dashes - 2 else None
            self._finish(frame, body, flag, self._offset + (end if blank < 0 else end + 2))
            frames.append(frame)
            return stop + 2
        if blank < 0:
            raise ParseError("end-line of another transaction", self._offset + dashes)
        self._open, self._end_line, self._lead = frame, _DASHES + name, 2
        if type(frame) is Request and frame.byte_range is not None:
            self._start = frame.byte_range[0]
        else:
            self._start = 1
        return blank + 2

    def _body(self, source: bytes | bytearray, at: int, frames: list[Frame]) -> int:
        """Read the next piece of the open frame's body; where to go on, or _MORE."""
        frame, lead, length = self._open, self._lead, len(self._end_line)
        assert frame is not None
        # An end-line that starts here or before belongs to this piece.
        last = at + lead + PIECE
        found = source.find(self._end_line, at + self._scanned, last + length)
        while found >= 0:
            stop = found + length
            if len(source) < stop + 3:
                self._scanned = found - at
                return _MORE
            flag = _FLAGS.get(source[stop])
            if flag is not None and source.startswith(b"\r\n", stop + 1):
                body = None if found < at + lead else bytes(source[at + lead : found])
                self._close(frame, body, flag, self._offset + at)
                frames.append(frame)
                return stop + 3
            # A longer id that begins with ours: part of the body.
            found = source.find(self._end_line, found + 2, last + length)
        if len(source) < last + length:
            self._scanned = max(0, len(source) - at - length + 1)
            return _MORE
        if type(frame) is not Request:
            raise ParseError("a response has no body", self._offset + at)
        end = self._start + PIECE - 1
        total = frame.byte_range[2] if frame.byte_range is not None else None
        byte_range: ByteRange = (self._start, end, total)
        piece = bytes(source[at + lead : last])
        frames.append(replace(frame, byte_range=byte_range, body=piece, continuation="+", partial=True))
        self._start, self._lead, self._scanned = end + 1, 0, 0
        return last

    def _close(self, frame: Frame, body: bytes | None, flag: Continuation, at: int) -> None:
        if self._lead == 0 and type(frame) is Request:
            _, end, total = frame.byte_range or (1, None, None)
            frame.byte_range = (self._start, end, total)
        self._finish(frame, body, flag, at)
        self._open, self._scanned = None, 0

    def _finish(self, frame: Frame, body: bytes | None, flag: Continuation, at: int) -> None:
        if type(frame) is Request:
            frame.body, frame.continuation = body, flag
        elif body is not None or flag != "$":
            raise ParseError("a response has no body and ends in '$'", at)
