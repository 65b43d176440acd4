"""Multipart bodies: several bodies in one, each with its own headers.

Spec: RFC 2046 §5.1, RFC 2045 §6.8; RFC 5621 for their use in SIP.
Promises: part bodies are byte-exact; what `build` writes, `parse` gives back; linear time.
"""

import binascii
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from joyn.protocol.errors import ParseError, ProtocolError

MAX_PARTS = 32
"""Parts of one multipart body."""
MAX_NESTING = 4
"""Multipart bodies inside each other, the outermost counted."""
MAX_PART_HEAD = 8 * 1024
"""Bytes of the headers of one part."""
MAX_PART_HEADERS = 64
"""Headers of one part."""
MAX_BOUNDARY = 70
"""Characters of a boundary (RFC 2046 §5.1.1)."""
BOUNDARY_ATTEMPTS = 8
"""Boundaries `build` asks for before it gives up."""

Headers = tuple[tuple[str, str], ...]

_BASE64_LINE = 57  # bytes that make a line of 76 characters (RFC 2045 §6.8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One body part: its headers in order, as sent, and its body to the byte."""

    headers: Headers
    body: bytes

    @classmethod
    def make(cls, content_type: str, body: bytes, headers: Sequence[tuple[str, str]] = ()) -> "Part":
        """A part with Content-Type, then `headers`, then Content-Length, as joyn clients write it."""
        length = ("Content-Length", str(len(body)))
        return cls(headers=(("Content-Type", content_type), *headers, length), body=body)

    def header(self, name: str) -> str:
        """The first header of this name in any case; empty when there is none."""
        wanted = name.lower()
        for candidate, value in self.headers:
            if candidate.lower() == wanted:
                return value
        return ""

    @property
    def content_type(self) -> str:
        """Type and subtype in lower case, `text/plain` when unsaid (RFC 2046 §5.1)."""
        return self.header("Content-Type").partition(";")[0].strip().lower() or "text/plain"

    @property
    def decoded_body(self) -> bytes:
        """The body with Content-Transfer-Encoding base64 undone, else as sent. Raises ParseError if it is broken."""
        if self.header("Content-Transfer-Encoding").lower() != "base64":
            return self.body
        return decode_base64(self.body)


def parse(content_type: str, body: bytes) -> tuple[Part, ...]:
    """Split a body by the boundary that its Content-Type header names; preamble and epilogue are left out.

    Raises ParseError when there is no boundary, no closing delimiter, or more than the limits allow; a
    Content-Length within a part is not believed.
    """
    boundary = boundary_of(content_type)
    parts: list[Part] = []
    start = -1
    for before, after, closing in _delimiters(body, boundary.encode()):
        if start >= 0:
            if len(parts) == MAX_PARTS:
                raise ParseError(f"more than {MAX_PARTS} parts", start)
            # An empty part without headers ends where the delimiter's own line break begins.
            parts.append(_part(body, start, max(start, before)))
        if closing:
            return tuple(parts)
        start = after
    raise ParseError("multipart body without closing delimiter", len(body))


def flatten(content_type: str, body: bytes) -> Iterator[Part]:
    """Every part that is not itself multipart, depth first. Raises ParseError as `parse`, and past MAX_NESTING."""
    stack = [(1, iter(parse(content_type, body)))]
    while stack:
        depth, parts = stack[-1]
        part = next(parts, None)
        if part is None:
            stack.pop()
        elif not part.content_type.startswith("multipart/"):
            yield part
        elif depth == MAX_NESTING:
            raise ParseError(f"multipart nested deeper than {MAX_NESTING}")
        else:
            stack.append((depth + 1, iter(parse(part.header("Content-Type"), part.body))))


def build(parts: Sequence[Part], make_boundary: Callable[[], str], *, subtype: str = "mixed") -> tuple[str, bytes]:
    """Return the Content-Type header and the body that holds `parts`.

    `make_boundary` gives unguessable names; one that occurs in a body is passed over. Raises ProtocolError when a
    boundary or a header could not be read back, or none will do.
    """
    if not 0 < len(parts) <= MAX_PARTS:
        raise ProtocolError(f"a multipart body of {len(parts)} parts")
    for _ in range(BOUNDARY_ATTEMPTS):
        boundary = make_boundary()
        if not 0 < len(boundary) <= MAX_BOUNDARY or not boundary.isascii() or not boundary.isalnum():
            raise ProtocolError("a boundary is 1 to 70 letters and digits")
        delimiter = b"--" + boundary.encode()
        if not any(delimiter in part.body for part in parts):
            break
    else:
        raise ProtocolError("no boundary that its parts do not contain")
    pieces = []
    for part in parts:
        head = "".join([f"{name}: {value}\r\n" for name, value in part.headers])
        if head.count("\n") != len(part.headers) or head.count("\r") != len(part.headers):
            raise ProtocolError("a part header with a line break")
        pieces += [delimiter, b"\r\n", head.encode(), b"\r\n", part.body, b"\r\n"]
    return f"multipart/{subtype};boundary={boundary}", b"".join((*pieces, delimiter, b"--\r\n"))


def boundary_of(content_type: str) -> str:
    """The boundary parameter of a Content-Type header. Raises ParseError when there is none or it is too long."""
    at = content_type.find(";")
    while at >= 0:
        name, equals, rest = content_type[at + 1 :].partition("=")
        if not equals:
            break
        value_at = len(content_type) - len(rest)
        quoted = rest.lstrip().startswith('"')
        if quoted:
            opened = content_type.index('"', value_at)
            closed = content_type.find('"', opened + 1)
            if closed < 0:
                raise ParseError("a quoted parameter without end", opened)
            value = content_type[opened + 1 : closed]
            at = content_type.find(";", closed)
        else:
            at = content_type.find(";", value_at)
            value = content_type[value_at : at if at >= 0 else len(content_type)].strip()
        if name.strip().lower() == "boundary":
            # RFC 2046 §5.1.1: a boundary does not end in white space.
            if not 0 < len(value) <= MAX_BOUNDARY or value[-1].isspace() or not value.isascii():
                raise ParseError(f"a boundary is 1 to {MAX_BOUNDARY} ASCII characters", value_at)
            return value
    raise ParseError("Content-Type without a boundary", len(content_type))


def encode_base64(body: bytes) -> bytes:
    """`body` in base64, in lines of 76 characters ended by CRLF."""
    lines = [
        binascii.b2a_base64(body[at : at + _BASE64_LINE], newline=False) for at in range(0, len(body), _BASE64_LINE)
    ]
    return b"".join([line + b"\r\n" for line in lines])


def decode_base64(body: bytes) -> bytes:
    """Undo base64, passing over line breaks and other foreign characters (RFC 2045 §6.8)."""
    try:
        return binascii.a2b_base64(body)
    except binascii.Error as error:
        raise ParseError(f"base64: {error}") from None


def _delimiters(body: bytes, boundary: bytes) -> Iterator[tuple[int, int, bool]]:
    """Yield each delimiter line: where the content before it ends, where what follows starts, whether it closes."""
    delimiter = b"--" + boundary
    found = body.find(delimiter)
    while found >= 0:
        end = found + len(delimiter)
        if found == 0 or body[found - 1] == 0x0A:
            closing = body.startswith(b"--", end)
            after = _end_of_padding(body, end + 2 * closing)
            # A closing delimiter may be the last thing there is; no other may. A longer word, such as another
            # boundary that begins like ours, is no delimiter.
            if body.startswith((b"\r\n", b"\n"), after) or (closing and after == len(body)):
                before = max(found - 1, 0)
                if body[before - 1 : before] == b"\r":
                    before -= 1
                yield before, body.find(b"\n", after) + 1, closing
        found = body.find(delimiter, end)


def _end_of_padding(body: bytes, at: int) -> int:
    while body[at : at + 1] in (b" ", b"\t"):
        at += 1
    return at


def _part(body: bytes, start: int, end: int) -> Part:
    """Read headers up to a blank line, and take the rest."""
    headers: list[tuple[str, str]] = []
    at = start
    while at < end:
        newline = body.find(b"\n", at, min(end, start + MAX_PART_HEAD))
        if newline < 0:
            what = "part headers without a blank line" if end - start < MAX_PART_HEAD else "part headers too long"
            raise ParseError(what, at)
        line = body[at:newline].removesuffix(b"\r")
        if not line:
            return Part(headers=tuple(headers), body=body[newline + 1 : end])
        _read_header(line, at, headers)
        at = newline + 1
    # RFC 2046 §5.1.1: the blank line may be missing when there is no body.
    return Part(headers=tuple(headers), body=b"")


def _read_header(line: bytes, at: int, headers: list[tuple[str, str]]) -> None:
    """Add one header line to `headers`, or a folded line to the last of them."""
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise ParseError("part headers are not UTF-8", at + error.start) from None
    if "\r" in text or "\0" in text:
        raise ParseError("control character in a part header", at)
    name, colon, value = text.partition(":")
    if text[0] in " \t" and headers:
        last, before = headers[-1]
        headers[-1] = (last, f"{before} {text.strip()}".strip())
        return
    if not colon or not name.strip():
        raise ParseError("a part header line without a name", at)
    if len(headers) == MAX_PART_HEADERS:
        raise ParseError(f"more than {MAX_PART_HEADERS} part headers", at)
    headers.append((name.strip(), value.strip()))
