"""multipart/form-data as it comes: large uploads in pieces, never whole.

Spec: RFC 7578, RFC 2046 §5.1; facts §6.2 for the parts phones send.
Promises: feeding byte by byte gives the same parts as feeding whole; nothing is kept but what may be the beginning of a
delimiter; linear time.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from joyn.protocol.errors import ParseError
from joyn.protocol.multipart import MAX_PART_HEAD, MAX_PART_HEADERS, Headers, Part, boundary_of

MAX_FORM_PARTS = 8
"""Parts of one form: phones send three."""


@dataclass(frozen=True, slots=True)
class PartBegun:
    """A part begins."""

    headers: Headers

    @property
    def name(self) -> str:
        """`name` of its Content-Disposition, in lower case: clients differ."""
        return self._parameter("name").lower()

    @property
    def file_name(self) -> str:
        """`filename` of its Content-Disposition as it was written."""
        return self._parameter("filename")

    def header(self, name: str) -> str:
        """The first header of this name in any case; empty when there is none."""
        return Part(headers=self.headers, body=b"").header(name)

    def _parameter(self, name: str) -> str:
        for parameter in _split_quoted(self.header("Content-Disposition"))[1:]:
            key, _, value = parameter.partition("=")
            if key.strip().lower() == name:
                value = value.strip()
                quoted = len(value) > 1 and value[0] == value[-1] == '"'
                return value[1:-1].replace('\\"', '"').replace("\\\\", "\\") if quoted else value
        return ""


@dataclass(frozen=True, slots=True)
class PartEnded:
    """A part has ended."""


Event = PartBegun | PartEnded | memoryview


class FormReader:
    """Reads one form: `feed` gives beginnings, pieces of bodies and ends; `done` is set by the last line."""

    __slots__ = ("_delimiter", "_in_part", "_kept", "_parts", "done")

    def __init__(self, content_type: str) -> None:
        """Raises ParseError when the Content-Type names no boundary."""
        self._delimiter = b"\r\n--" + boundary_of(content_type).encode()
        # RFC 2046 §5.1.1: the first delimiter needs no line break before it.
        self._kept = b"\r\n"
        self._in_part = False
        self._parts = 0
        self.done = False

    @property
    def kept(self) -> int:
        """Bytes that were fed and not given yet."""
        return len(self._kept)

    def feed(self, data: bytes | bytearray, end: int | None = None) -> Iterator[Event]:
        """What this piece brings, or its first `end` bytes. The memoryviews are of it: use them before the next.

        Raises ParseError.
        """
        end = len(data) if end is None else end
        if self._in_part and not self._kept and data.find(self._delimiter, 0, end) < 0:
            # Nearly all of a file goes this way, which copies nothing.
            safe = _without_beginning(data, 0, end, self._delimiter)
            self._kept = bytes(data[safe:end])
            if safe:
                yield memoryview(data)[:safe]
            return
        yield from self._read(self._kept + bytes(memoryview(data)[:end]))

    def _read(self, buffer: bytes) -> Iterator[Event]:
        self._kept = b""
        at = 0
        while not self.done:
            found = buffer.find(self._delimiter, at)
            if found < 0:
                # Whatever may be the beginning of a delimiter waits for what follows.
                safe = _without_beginning(buffer, at, len(buffer), self._delimiter)
                if self._in_part and safe > at:
                    yield memoryview(buffer)[at:safe]
                self._kept = buffer[safe:]
                return
            after = found + len(self._delimiter)
            head = self._head(buffer, after)
            if head is None:
                if self._in_part and found > at:
                    yield memoryview(buffer)[at:found]
                self._kept = buffer[found:]
                return
            if self._in_part:
                if found > at:
                    yield memoryview(buffer)[at:found]
                yield PartEnded()
                self._in_part = False
            headers, at = head
            if headers is None:
                self.done = True
                return
            self._parts += 1
            if self._parts > MAX_FORM_PARTS:
                raise ParseError(f"more than {MAX_FORM_PARTS} parts")
            yield PartBegun(headers)
            self._in_part = True

    def _head(self, buffer: bytes, at: int) -> tuple[Headers | None, int] | None:
        """The headers after a delimiter, none after the last, and where the body begins; None when not all is here."""
        if buffer[at : at + 2] == b"--":
            return None, at + 2
        end = buffer.find(b"\r\n\r\n", at, at + MAX_PART_HEAD + 4)
        if end < 0:
            if len(buffer) - at > MAX_PART_HEAD:
                raise ParseError(f"head of a part over {MAX_PART_HEAD} bytes")
            return None
        lines = buffer[at:end].decode("utf-8", "replace").split("\r\n")
        # RFC 2046 §5.1.1: white space may follow the delimiter on its line.
        if lines[0].strip(" \t"):
            raise ParseError("text after a delimiter")
        if len(lines) > MAX_PART_HEADERS:
            raise ParseError(f"more than {MAX_PART_HEADERS} headers in a part")
        headers = []
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            if not colon or not name.strip():
                raise ParseError("no header in the head of a part")
            headers.append((name.strip(), value.strip()))
        return tuple(headers), end + 4


def _without_beginning(buffer: bytes | bytearray, at: int, end: int, delimiter: bytes) -> int:
    """Where what may be the beginning of `delimiter` before the buffer's `end` begins."""
    start = max(at, end - len(delimiter) + 1)
    while (start := buffer.find(b"\r", start, end)) >= 0:
        if delimiter.startswith(buffer[start:end]):
            return start
        start += 1
    return end


def _split_quoted(text: str) -> list[str]:
    """Split at semicolons that are in no quotes."""
    parts, quoted, begin, at = [], False, 0, 0
    while at < len(text):
        letter = text[at]
        if letter == '"':
            quoted = not quoted
        elif letter == "\\" and quoted:
            at += 1
        elif letter == ";" and not quoted:
            parts.append(text[begin:at])
            begin = at + 1
        at += 1
    parts.append(text[begin:])
    return parts
