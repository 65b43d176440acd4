"""SIP messages: parsed once, looked into when asked, forwarded byte for byte.

Spec: RFC 3261 §7, §20 (compact forms), RFC 3581 (rport), RFC 4475 (torture tests).
The head is decoded as UTF-8 with surrogate escapes, so any byte survives a round trip; the body stays bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

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
# The spellings nearly everybody sends, so that most names cost one dictionary look-up.
_CANONICAL = {
    name: name.lower()
    for name in (
        "Via Max-Forwards From To Call-ID CSeq Contact Expires Authorization Proxy-Authorization Supported Require "
        "User-Agent Server Allow Accept Accept-Contact Content-Type Content-Length Content-Disposition Route "
        "Record-Route Path Event P-Preferred-Identity P-Asserted-Identity P-Preferred-Service P-Asserted-Service "
        "Conversation-ID Contribution-ID InReplyTo-Contribution-ID Referred-By Session-Expires Min-SE Subject "
        "WWW-Authenticate Proxy-Authenticate Authentication-Info Service-Route P-Associated-URI Date Reason "
        "Retry-After Min-Expires Subscription-State Privacy Warning Flow-Timer"
    ).split()
} | _COMPACT
_TOKEN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-.!%*_+`'~")

REASONS = {
    100: "Trying",
    180: "Ringing",
    200: "OK",
    202: "Accepted",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    407: "Proxy Authentication Required",
    408: "Request Timeout",
    413: "Request Entity Too Large",
    415: "Unsupported Media Type",
    416: "Unsupported URI Scheme",
    420: "Bad Extension",
    421: "Extension Required",
    423: "Interval Too Brief",
    439: "First Hop Lacks Outbound Support",
    480: "Temporarily Unavailable",
    481: "Call/Transaction Does Not Exist",
    482: "Loop Detected",
    483: "Too Many Hops",
    486: "Busy Here",
    487: "Request Terminated",
    488: "Not Acceptable Here",
    489: "Bad Event",
    491: "Request Pending",
    493: "Undecipherable",
    500: "Server Internal Error",
    501: "Not Implemented",
    503: "Service Unavailable",
    505: "Version Not Supported",
    513: "Message Too Large",
    600: "Busy Everywhere",
    603: "Decline",
    606: "Not Acceptable",
}


def canonical(name: str) -> str:
    """The lower-case full name of a header as it was written: `Via`, `v` and `VIA ` are all `via`."""
    known = _CANONICAL.get(name)
    if known is None:
        known = name.rstrip(" \t").lower()
        known = _COMPACT.get(known, known)
    return known


class SipMessage:
    """What requests and responses share: header fields, kept as they came, and a body.

    `body` is bytes; `raw_head` is the start line and the header lines as received, without the blank line.
    """

    __slots__ = ("_fields", "_first", "body", "raw_head")

    def __init__(self, raw_head: str, body: bytes) -> None:
        self.raw_head = raw_head
        self.body = body
        self._fields: list[tuple[str, str]] | None = None
        self._first: dict[str, str] = {}

    @property
    def fields(self) -> list[tuple[str, str]]:
        """Every header field in order, as (canonical name, unfolded value). Raises ParseError."""
        if self._fields is None:
            self._index()
        return self._fields  # type: ignore[return-value]  # _index has just set it

    def header(self, name: str) -> str | None:
        """The value of the first field called `name` (canonical, lower case), or None."""
        if self._fields is None:
            self._index()
        return self._first.get(name)

    def headers(self, name: str) -> list[str]:
        """The values of all fields called `name`, one per line, commas untouched."""
        first = self.header(name)
        if first is None:
            return []
        if not self.repeats:
            return [first]
        return [value for key, value in self.fields if key == name]

    @property
    def repeats(self) -> bool:
        """Whether any header name stands on more than one line."""
        return len(self.fields) != len(self._first)

    def _index(self) -> None:
        head = self.raw_head
        if "\n " in head or "\n\t" in head:
            head = _unfold(head)
        lines = head.split("\r\n")
        if len(lines) > MAX_HEADERS + 1:
            raise ParseError(f"more than {MAX_HEADERS} header lines", len(head))
        fields = []
        get = _CANONICAL.get
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            key = get(name)
            if key is None:
                if not colon or not name.strip() or not _TOKEN.issuperset(name.rstrip(" \t")):
                    raise ParseError("header line without a name", self.raw_head.find(line))
                key = canonical(name)
            fields.append((key, value.strip(" \t")))
        self._first = dict(reversed(fields))
        self._fields = fields

    @property
    def cseq(self) -> tuple[int, str]:
        """CSeq number and method. Raises ParseError when missing or not a number below 2**31 and a method."""
        value = self.header("cseq") or ""
        number, _, method = value.partition(" ")
        method = method.strip(" \t")
        if not (number.isascii() and number.isdigit() and len(number) <= 10 and method) or int(number) >= 2**31:
            raise ParseError("CSeq is not a number and a method", max(self.raw_head.find(value), 0))
        return int(number), method

    @property
    def top_via(self) -> str:
        """The first Via value, which may hold several separated by commas. Raises ParseError when there is none."""
        via = self.header("via")
        if not via:
            raise ParseError("no Via", 0)
        return via

    @property
    def call_id(self) -> str:
        """Call-ID, empty when absent (mandatory() refuses such messages)."""
        return self.header("call-id") or ""

    def __bytes__(self) -> bytes:
        return b"%b\r\n\r\n%b" % (encode(self.raw_head), self.body)


class SipRequest(SipMessage):
    """A request. `source` is the address it came from, which its responses go back to (RFC 3581)."""

    __slots__ = ("method", "source", "uri")

    def __init__(self, raw_head: str, body: bytes, method: str, uri: str) -> None:
        super().__init__(raw_head, body)
        self.method = method
        self.uri = uri
        self.source: tuple[str, int] | None = None

    def __repr__(self) -> str:
        return f"<SipRequest {self.method}>"


class SipResponse(SipMessage):
    """A response: `status` (100 to 699) and `reason`."""

    __slots__ = ("reason", "status")

    def __init__(self, raw_head: str, body: bytes, status: int, reason: str) -> None:
        super().__init__(raw_head, body)
        self.status = status
        self.reason = reason

    def __repr__(self) -> str:
        return f"<SipResponse {self.status}>"


def _unfold(head: str) -> str:
    """RFC 3261 §7.3.1: a line that begins with white space continues the one above."""
    lines: list[list[str]] = []
    for line in head.split("\r\n"):
        if line[:1] in (" ", "\t") and len(lines) > 1:
            lines[-1].append(line.strip(" \t"))
        else:
            lines.append([line])
    return "\r\n".join(" ".join(parts) for parts in lines)


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
    if b"\n" in data and b"\r\n" not in data:
        head = head.replace("\n", "\r\n")  # RFC 4475 spirit: a peer that sends bare LF is understood
    end = head.find("\r\n")
    start = head if end < 0 else head[:end]
    if len(start) > MAX_START_LINE:
        raise ParseError(f"start line longer than {MAX_START_LINE} characters", MAX_START_LINE)
    first, _, rest = start.partition(" ")
    if first == "SIP/2.0":
        code, _, reason = rest.partition(" ")
        if len(code) != 3 or not (code.isascii() and code.isdigit()) or not "1" <= code[0] <= "6":
            raise ParseError("status code is not three digits from 100 to 699", 8)
        return SipResponse(head, b"", int(code), reason)
    uri, _, version = rest.partition(" ")
    if version != "SIP/2.0":
        raise ParseError("not a SIP/2.0 start line", len(first))
    if not first or not uri or not _TOKEN.issuperset(first):
        raise ParseError("request line without method or Request-URI", 0)
    return SipRequest(head, b"", first, uri)


def find_blank_line(data: bytes | bytearray, start: int = 0) -> tuple[int, int]:
    """Where the head ends and where the body begins; (-1, -1) while the blank line is not there yet."""
    end = data.find(b"\r\n\r\n", start)
    bare = data.find(b"\n\n", start, end if end >= 0 else len(data))
    if bare >= 0:
        return bare, bare + 2
    return (end, end + 4) if end >= 0 else (-1, -1)


def parse(data: bytes) -> SipRequest | SipResponse:
    """Read one datagram. RFC 3261 §18.3: bytes after Content-Length are dropped, too few are an error (ParseError)."""
    end, body = find_blank_line(data)
    if end < 0:
        raise ParseError("no blank line after the headers", len(data))
    message = parse_head(data[:end])
    length = content_length(message)
    available = len(data) - body
    if length is None or length == available:
        message.body = data[body:]
    elif length > available:
        raise ParseError(f"Content-Length {length} but only {available} bytes of body", body)
    else:
        message.body = data[body : body + length]
    return message


def content_length(message: SipMessage) -> int | None:
    """Content-Length in bytes, None when absent. Raises ParseError when not a number, or given twice differently."""
    value = message.header("content-length")
    if value is None:
        return None
    if not (value.isascii() and value.isdigit()) or len(value) > 9:
        raise ParseError("Content-Length is not a number", max(message.raw_head.find(value), 0))
    # A second, different length is how requests are smuggled past a first reader.
    if message.repeats and any(other.lstrip("0") != value.lstrip("0") for other in message.headers("content-length")):
        raise ParseError("two different Content-Length", 0)
    return int(value)


def mandatory(message: SipMessage) -> None:
    """Check what RFC 3261 §8.1.1 wants in every message: Via, From, To, Call-ID, CSeq. Raises ParseError."""
    header = message.header
    if not (header("via") and header("from") and header("to") and header("call-id") and header("cseq")):
        missing = next(name for name in ("via", "from", "to", "call-id", "cseq") if not header(name))
        raise ParseError(f"no {missing} header", len(message.raw_head))
    number_method = message.cseq
    if isinstance(message, SipRequest):
        if number_method[1] != message.method:
            raise ParseError("CSeq method is not the request's", max(message.raw_head.find("CSeq"), 0))
        if message.repeats:
            for once in ("from", "to", "call-id", "cseq"):
                if len(message.headers(once)) > 1:
                    raise ParseError(f"more than one {once} header", len(message.raw_head))


def emit(start: str, headers: Headers, body: bytes = b"") -> bytes:
    """The bytes of a message; Content-Length is added. Header values must not hold line breaks (ValueError)."""
    head = "\r\n".join([start, *[f"{name}: {value}" for name, value in headers]])
    lines = head.count("\n")
    if lines != head.count("\r\n") or "\r\n\r\n" in head:
        raise ValueError("line break inside a header value")
    return encode(f"{head}\r\nContent-Length: {len(body)}\r\n\r\n") + body


def build_request(method: str, uri: str, headers: Headers, body: bytes = b"") -> SipRequest:
    """A request of our own, ready to send with `bytes()`."""
    request = parse(emit(f"{method} {uri} SIP/2.0", headers, body))
    assert isinstance(request, SipRequest)
    return request


def build_response(
    request: SipRequest, status: int, *, reason: str = "", to_tag: str = "", headers: Headers = (), body: bytes = b""
) -> bytes:
    """The bytes of a response (RFC 3261 §8.2.6): Via, From, To, Call-ID and CSeq copied, To tagged, Via filled in."""
    lines = [f"SIP/2.0 {status} {reason or REASONS.get(status, 'Unknown')}"]
    vias = request.headers("via")
    vias[0] = with_source(vias[0], request.source)
    lines += [f"Via: {via}" for via in vias]
    to = request.header("to") or ""
    if to_tag and ";tag=" not in to:
        to = f"{to};tag={to_tag}"
    lines.append(
        f"From: {request.header('from')}\r\nTo: {to}\r\nCall-ID: {request.header('call-id')}\r\n"
        f"CSeq: {request.header('cseq')}"
    )
    lines += [f"{name}: {value}" for name, value in headers]
    lines.append(f"Content-Length: {len(body)}\r\n\r\n")
    return encode("\r\n".join(lines)) + body


def with_source(via: str, source: tuple[str, int] | None) -> str:
    """RFC 3261 §18.2.1 and RFC 3581 §4: say in the top Via where the request really came from."""
    if source is None:
        return via
    host, port = source
    first, comma, rest = via.partition(",")
    if ";rport" in first and ";rport=" not in first:
        first = first.replace(";rport", f";rport={port};received={host}", 1)
    elif ";received=" not in first and host not in first:
        first = f"{first};received={host}"
    return first + comma + rest


def split_commas(value: str) -> list[str]:
    """Split a header value at its commas, but not inside quotes or angle brackets. Linear time."""
    if "," not in value:
        return [value]
    return list(_split_commas(value))


def _split_commas(value: str) -> Iterator[str]:
    start, quoted, bracket, escaped = 0, False, False, False
    for i, c in enumerate(value):
        if escaped:
            escaped = False
        elif quoted:
            if c == "\\":
                escaped = True
            elif c == '"':
                quoted = False
        elif c == '"':
            quoted = True
        elif c == "<":
            bracket = True
        elif c == ">":
            bracket = False
        elif c == "," and not bracket:
            yield value[start:i].strip()
            start = i + 1
    yield value[start:].strip()
