"""Content-Range: which bytes of a file a request carries.

Spec: RFC 9110 §14.4; facts §6.2 for the ways clients write it.
"""

from dataclasses import dataclass

from joyn.protocol.errors import ParseError
from joyn.protocol.file_info import MAX_SIZE

MAX_CONTENT_RANGE = 64
"""Characters of a header."""


@dataclass(frozen=True, slots=True)
class ContentRange:
    """Bytes `start` to `end`, both included, of `size` in all, which is None when the sender does not know it yet."""

    start: int
    end: int
    size: int | None

    @classmethod
    def parse(cls, text: str) -> "ContentRange":
        """Read `bytes 500-999/1000`; the unit may be missing, as some clients leave it out. Raises ParseError."""
        if len(text) > MAX_CONTENT_RANGE:
            raise ParseError("Content-Range too long", MAX_CONTENT_RANGE)
        extent = text.strip()
        if extent[:5].lower() == "bytes":
            extent = extent[5:].lstrip(" =")
        span, slash, whole = extent.partition("/")
        first, dash, last = span.partition("-")
        if not slash or not dash:
            raise ParseError("no Content-Range")
        start, end, size = _number(first), _number(last), None if whole.strip() == "*" else _number(whole)
        if end < start or (size is not None and end >= size):
            raise ParseError("Content-Range without bytes in it")
        return cls(start, end, size)

    def emit(self) -> str:
        """Write it as RFC 9110 does."""
        return f"bytes {self.start}-{self.end}/{'*' if self.size is None else self.size}"


def _number(text: str) -> int:
    digits = text.strip()
    if not digits.isascii() or not digits.isdigit() or len(digits) > 16 or int(digits) > MAX_SIZE:
        raise ParseError("Content-Range without numbers")
    return int(digits)
