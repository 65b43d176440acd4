"""SIP messages: parsed once, looked into when asked, forwarded byte for byte.

Spec: RFC 3261 §7, §20 (compact forms), RFC 3581 (rport), RFC 4475 (torture tests).
The head is decoded as UTF-8 with surrogate escapes, so any byte survives a round trip; the body stays bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache

from joyn.protocol.errors import ParseError

MAX_HEAD = 16 * 1024
"""Bytes of start line and headers together."""
MAX_HEADERS = 128
"""Header lines in one message."""
MAX_START_LINE = 2048
"""Characters of the start line."""

Headers = Iterable[tuple[str, str]]

# RFC 3261 §7.3.3 and the extensions' registered compact forms.
_COMPACT = {
    "a": "accept-contact",
    "b": "referred-by",
    "c": "content-type",
    "e": "content-encoding",
    "f": "from",
    "i": "call-id",
    "j": "reject-contact",
    "k": "supported",
    "l": "content-length",
    "m": "contact",
    "o": "event",
    "r": "refer-to",
    "s": "subject",
    "t": "to",
    "u": "allow-events",
    "v": "via",
    "x": "session-expires",
}
_DELIMITER = re.compile(r'[",<>\\]')
_TOKEN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-.!%*_+`'~")
MAX_SPELLINGS = 1024
"""Spellings of header names remembered; the rest are worked out each time."""


class _Names(dict[str, str]):
    """From a header name as written to its canonical form, so that nearly every name costs one look-up."""

    def __missing__(self, name: str) -> str:
        known = name.rstrip(" \t").lower()
        if not known or not _TOKEN.issuperset(known):
            raise ParseError("header line without a name", 0)
        known = _COMPACT.get(known, known)
        if len(self) < MAX_SPELLINGS and len(name) < 64:
            self[name] = known
        return known


# The spellings nearly everybody sends, first.
_NAMES = _Names(
    (name, name.lower())
    for name in (
        "Via Max-Forwards From To Call-ID CSeq Contact Expires Authorization Proxy-Authorization Supported Require "
        "User-Agent Server Allow Accept Accept-Contact Content-Type Content-Length Content-Disposition Route "
        "Record-Route Path Event P-Preferred-Identity P-Asserted-Identity P-Preferred-Service P-Asserted-Service "
        "Conversation-ID Contribution-ID InReplyTo-Contribution-ID Referred-By Session-Expires Min-SE Subject "
        "WWW-Authenticate Proxy-Authenticate Authentication-Info Service-Route P-Associated-URI Date Reason "
        "Retry-After Min-Expires Subscription-State Privacy Warning Flow-Timer"
    ).split()
)
_NAMES.update(_COMPACT)

_STATUSES = {str(status): status for status in range(100, 700)}
_NOTHING: dict[str, str] = {}
"""The fields of a head not looked at yet."""

_METHODS = frozenset("MESSAGE INVITE ACK BYE CANCEL REGISTER OPTIONS SUBSCRIBE NOTIFY PUBLISH REFER UPDATE".split())


def canonical(name: str) -> str:
    """The lower-case full name of a header as it was written: `Via`, `v`, `VIA ` are all `via`. Raises ParseError."""
    return _NAMES[name]


class SipMessage:
    """What requests and responses share: header fields, kept as they came, and a body.

    `body` is bytes; `raw_head` is the start line and the header lines as received, without the blank line.
    """

    __slots__ = ("_first", "_lines", "body", "raw_head")

    def __init__(self, raw_head: str, body: bytes) -> None:
        self.raw_head = raw_head
        self.body = body
        self._first = _NOTHING
        self._lines: list[str] = []

    @property
    def fields(self) -> list[tuple[str, str]]:
        """Every header field in order, as (canonical name, unfolded value). Raises ParseError."""
        if not self._first:
            self._index()
        pairs = [line.split(":", 1) for line in self._lines]
        return [(_NAMES[name], value.strip(" \t")) for name, value in pairs]

    def header(self, name: str) -> str | None:
        """The value of the first field called `name` (canonical, lower case), or None. Raises ParseError."""
        return (self._first or self._index()).get(name)

    @property
    def first_values(self) -> dict[str, str]:
        """First value of each header by canonical name: for hot paths that look at many. Raises ParseError."""
        return self._first or self._index()

    def headers(self, name: str) -> list[str]:
        """The values of all fields called `name`, one per line, commas untouched. Raises ParseError."""
        first = self.header(name)
        if first is None:
            return []
        if not self.repeats:
            return [first]
        return [value for key, value in self.fields if key == name]

    @property
    def repeats(self) -> bool:
        """Whether any header name stands on more than one line. Raises ParseError."""
        if not self._first:
            self._index()
        return len(self._lines) != len(self._first)

    def _index(self) -> dict[str, str]:
        lines = self.raw_head.split("\r\n")
        if len(lines) > MAX_HEADERS + 1:
            raise ParseError(f"more than {MAX_HEADERS} header lines", len(self.raw_head))
        text = "".join(lines)
        if "\n" in text or "\r" in text:
            # The next hop may see another header there; RFC 3261 §7.3 knows only CRLF.
            raise ParseError("stray line break in the head", 0)
        del lines[0]
        names = _NAMES
        first: dict[str, str] = {}
        try:
            for line in lines:
                name, colon, value = line.partition(":")
                first[names[name if colon else ""]] = value.strip(" \t")
        except ParseError:
            # No name: in a well-formed message, the second line of a folded value.
            lines = _unfold(lines)
            first = self._first_of_each(lines)
        if len(first) != len(lines):
            first = self._first_of_each(lines)
        self._first = first
        self._lines = lines
        return first

    def _first_of_each(self, lines: list[str]) -> dict[str, str]:
        first: dict[str, str] = {}
        for line in lines:
            name, colon, value = line.partition(":")
            try:
                first.setdefault(_NAMES[name if colon else ""], value.strip(" \t"))
            except ParseError:
                raise ParseError("header line without a name", max(self.raw_head.find(line), 0)) from None
        return first

    @property
    def cseq(self) -> tuple[int, str]:
        """CSeq number and method. Raises ParseError when missing or not a number below 2**31 and a method."""
        value = self._first.get("cseq") or (not self._first and self._peek("\r\nCSeq: ")) or self.header("cseq") or ""
        try:
            return _cseq(value)
        except ParseError as error:
            raise ParseError(error.what, max(self.raw_head.find(value), 0)) from None

    @property
    def top_via(self) -> str:
        """The first Via value, which may hold several separated by commas. Raises ParseError when there is none."""
        via = self._first.get("via")
        if not self._first:
            head = self.raw_head
            if head.startswith("\r\nVia: ", head.find("\r\n")):
                via = self._peek("\r\nVia: ")
        via = via or self.header("via")
        if not via:
            raise ParseError("no Via", 0)
        return via

    def _peek(self, start: str) -> str | None:
        """The value of the first line that starts just so, found without reading the others; None: read them."""
        head = self.raw_head
        at = head.find(start)
        end = head.find("\n", at + 2)
        if at < 0 or end < 0 or head[end - 1] != "\r" or head[end + 1 : end + 2] in (" ", "\t"):
            return None
        value = head[at + len(start) : end - 1].strip(" \t")
        return None if "\r" in value else value

    @property
    def call_id(self) -> str:
        """Call-ID, empty when absent (mandatory() refuses such messages)."""
        return self.header("call-id") or ""

    def __bytes__(self) -> bytes:
        return b"%b\r\n\r\n%b" % (encode(self.raw_head), self.body)


@lru_cache(maxsize=256)
def _cseq(value: str) -> tuple[int, str]:
    """Number and method. Nearly every request has the CSeq of many others."""
    number, _, method = value.replace("\t", " ").partition(" ")
    method = method.strip(" ")
    if not (number.isascii() and number.isdigit() and len(number) <= 10 and method) or int(number) >= 2**31:
        raise ParseError("CSeq is not a number and a method", 0)
    return int(number), method


class SipRequest(SipMessage):
    """A request. `source` is the address it came from, which its responses go back to (RFC 3581).

    `keep` is the interval in seconds that an answer to a `keep` in the top Via recommends, 0 for none (RFC 6223).
    """

    __slots__ = ("keep", "method", "source", "uri")

    def __init__(self, raw_head: str, body: bytes, method: str, uri: str) -> None:
        # Written out, not inherited: these are made for every message.
        self.raw_head = raw_head
        self.body = body
        self._first = _NOTHING
        self.method = method
        self.uri = uri
        self.source: tuple[str, int] | None = None
        self.keep = 0

    def __repr__(self) -> str:
        return f"<SipRequest {self.method}>"


class SipResponse(SipMessage):
    """A response: `status` (100 to 699) and `reason`."""

    __slots__ = ("reason", "status")

    def __init__(self, raw_head: str, body: bytes, status: int, reason: str) -> None:
        self.raw_head = raw_head
        self.body = body
        self._first = _NOTHING
        self.status = status
        self.reason = reason

    def __repr__(self) -> str:
        return f"<SipResponse {self.status}>"


def _unfold(lines: list[str]) -> list[str]:
    """RFC 3261 §7.3.1: a line that begins with white space continues the one above."""
    fields: list[list[str]] = []
    for line in lines:
        if line[:1] in (" ", "\t") and fields:
            fields[-1].append(line.strip(" \t"))
        else:
            fields.append([line])
    return [" ".join(parts) for parts in fields]


def encode(text: str) -> bytes:
    """The bytes of a head or header text, with the bytes that were not UTF-8 restored."""
    return text.encode("utf-8", "surrogateescape")


def parse_head(data: bytes) -> SipRequest | SipResponse:
    """Read start line and headers (without the blank line that ends them) of a message whose body is still to come.

    Raises ParseError when the start line is no request line and no status line, or a limit is passed. Header lines
    are looked at when first asked for; `mandatory` asks for all that RFC 3261 §8.1.1 wants.
    """
    if len(data) > MAX_HEAD:
        raise ParseError(f"head longer than {MAX_HEAD} bytes", MAX_HEAD)
    head = data.decode("utf-8", "surrogateescape")
    end = head.find("\r\n")
    if end < 0 and head.find("\n") > 0 and "\r" not in head:
        head = head.replace("\n", "\r\n")  # a peer that sends nothing but LF is understood
        end = head.find("\r\n")
    start = head if end < 0 else head[:end]
    if len(start) > MAX_START_LINE:
        raise ParseError(f"start line longer than {MAX_START_LINE} characters", MAX_START_LINE)
    first, _, rest = start.partition(" ")
    if first == "SIP/2.0":
        code, _, reason = rest.partition(" ")
        status = _STATUSES.get(code)
        if status is None:
            raise ParseError("status code is not three digits from 100 to 699", 8)
        return SipResponse(head, b"", status, reason)
    uri, _, version = rest.partition(" ")
    if version != "SIP/2.0":
        raise ParseError("not a SIP/2.0 start line", len(first))
    if not first or not uri or (first not in _METHODS and not _TOKEN.issuperset(first)):
        raise ParseError("request line without method or Request-URI", 0)
    return SipRequest(head, b"", first, uri)


def find_blank_line(data: bytes | bytearray, start: int = 0) -> tuple[int, int]:
    """Where the head ends and where the body begins; (-1, -1) while the blank line is not there yet."""
    line = data.find(b"\n", start)
    if line > start and data[line - 1] != 13:
        # The start line ended in a bare LF, so the others do.
        end = data.find(b"\n\n", line)
        return (end, end + 2) if end >= 0 else (-1, -1)
    end = data.find(b"\r\n\r\n", start)
    return (end, end + 4) if end >= 0 else (-1, -1)


def parse(data: bytes) -> SipRequest | SipResponse:
    """Read one datagram. RFC 3261 §18.3: bytes after Content-Length are dropped, too few are an error (ParseError)."""
    end, body = find_blank_line(data)
    if end < 0:
        raise ParseError("no blank line after the headers", len(data))
    message = parse_head(data[:end])
    available = len(data) - body
    if isinstance(message, SipResponse) and message.raw_head.endswith(f"\r\nContent-Length: {available}"):
        length: int | None = available  # the usual case, without looking at every line
    else:
        length = content_length(message)
    if length is None or length == available:
        message.body = data[body:]
    elif length > available:
        raise ParseError(f"Content-Length {length} but only {available} bytes of body", body)
    else:
        message.body = data[body : body + length]
    return message


def content_length(message: SipMessage) -> int | None:
    """Content-Length in bytes, None when absent. Raises ParseError when not a number, or given twice differently."""
    first = message.first_values
    value = first.get("content-length")
    if value is None:
        return None
    if not (value.isascii() and value.isdigit()) or len(value) > 9:
        raise ParseError("Content-Length is not a number", max(message.raw_head.find(value), 0))
    # A second, different length is how requests are smuggled past a first reader.
    if len(message._lines) != len(first) and any(
        other.lstrip("0") != value.lstrip("0") for other in message.headers("content-length")
    ):
        raise ParseError("two different Content-Length", 0)
    return int(value)


_MANDATORY = ("via", "from", "to", "call-id", "cseq")


def mandatory(message: SipMessage) -> None:
    """Check what RFC 3261 §8.1.1 wants in every message: Via, From, To, Call-ID, CSeq. Raises ParseError."""
    first = message.first_values
    get = first.get
    if not (get("via") and get("from") and get("to") and get("call-id") and get("cseq")):
        missing = next(name for name in _MANDATORY if not get(name))
        raise ParseError(f"no {missing} header", len(message.raw_head))
    _, method = message.cseq
    if isinstance(message, SipRequest):
        if method != message.method:
            raise ParseError("CSeq method is not the request's", max(message.raw_head.find("CSeq"), 0))
        if len(message._lines) != len(first):
            names = [name for name, _ in message.fields]
            for once in ("from", "to", "call-id", "cseq"):
                if names.count(once) > 1:
                    raise ParseError(f"more than one {once} header", len(message.raw_head))


def split_commas(value: str) -> list[str]:
    """Split a header value at its commas, but not inside quotes or angle brackets. Linear time."""
    if "," not in value:
        return [value]
    return list(_split_commas(value))


def _split_commas(value: str) -> Iterator[str]:
    start, quoted, bracket, escaped = 0, False, False, -1
    for found in _DELIMITER.finditer(value):
        at = found.start()
        c = value[at]
        if at == escaped:
            continue
        if quoted:
            if c == "\\":
                escaped = at + 1
            elif c == '"':
                quoted = False
        elif c == '"':
            quoted = True
        elif c == "<":
            bracket = True
        elif c == ">":
            bracket = False
        elif c == "," and not bracket:
            yield value[start:at].strip()
            start = at + 1
    yield value[start:].strip()
