"""One MSRP request or response: the values, their bytes, and the reading of a head.

Spec: RFC 4975 §5.1, §7.1, §7.2, §9.
Pure; a head is split once, paths stay text until somebody asks for more (uri.parse_path).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from joyn.protocol.errors import ParseError, ProtocolError

START_LINE_MAX: Final = 512
"""Characters of the first line."""

HEADER_LINE_MAX: Final = 8192
"""Characters of one header line; long enough for a path of many relays."""

HEADERS_MAX: Final = 64
"""Header lines of one frame."""

HEAD_MAX: Final = 16384
"""Bytes from the first line to the last header."""

TRANSACTION_ID_MAX: Final = 64
"""Twice what RFC 4975 §9 allows."""

NUMBER_DIGITS_MAX: Final = 18
"""Digits of a number in Byte-Range: an exabyte."""

ID_ATTEMPTS: Final = 16
"""Transaction ids tried against one body before the id maker itself is blamed."""

ByteRange = tuple[int, int | None, int | None]
"""First byte (counted from 1), last byte (inclusive), total; None is '*'."""

BAD_RANGE: Final[ByteRange] = (0, 0, 0)
"""What an unreadable Byte-Range becomes: no legal range starts at 0, so the session answers 400 by itself."""

FailureReport = Literal["yes", "no", "partial"]
Continuation = Literal["$", "+", "#"]
Headers = tuple[tuple[str, str], ...]

COMMENTS: Final = {
    200: "OK",
    400: "Bad Request",
    403: "Forbidden",
    408: "Request Timeout",
    413: "Stop Sending",
    415: "Unsupported Media Type",
    423: "Out of Bounds",
    481: "Session Does Not Exist",
    501: "Method Not Implemented",
    506: "Session Already Bound",
}
"""What we write after a status code (RFC 4975 §10)."""

_FAILURE_REPORTS: Final[dict[str, FailureReport]] = {"yes": "yes", "no": "no", "partial": "partial"}
_REQUEST_FIELDS: Final = (
    "To-Path",
    "From-Path",
    "Message-ID",
    "Byte-Range",
    "Content-Type",
    "Success-Report",
    "Failure-Report",
)
# Header names are ABNF literals and so match in any case; the usual spelling is found at the first look-up.
_REQUEST_NAMES: Final = {spelling: name for name in _REQUEST_FIELDS for spelling in (name, name.lower())}
_RESPONSE_NAMES: Final = {spelling: name for name in _REQUEST_FIELDS[:2] for spelling in (name, name.lower())}
_IDENT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.\-+%=]*")
_NUMBER: Final = f"[0-9]{{1,{NUMBER_DIGITS_MAX}}}"
_RANGE: Final = re.compile(rf"({_NUMBER})-({_NUMBER}|\*)/({_NUMBER}|\*)")
# A SEND as nearly every sender writes it, taken apart in one go; no two parts of it can match the same character, so
# nothing is tried twice. Whatever looks otherwise goes the longer way, which reads these alike.
_USUAL: Final = re.compile(
    rf"MSRP ([A-Za-z0-9][A-Za-z0-9.\-+%=]{{0,{TRANSACTION_ID_MAX - 1}}}) SEND\r\n"
    r"To-Path: ([!-~]+)\r\nFrom-Path: ([!-~]+)\r\nMessage-ID: ([!-~]+)\r\n"
    r"(?:Success-Report: (yes|no)\r\n)?(?:Failure-Report: (yes|no|partial)\r\n)?"
    rf"Byte-Range: ({_NUMBER})-({_NUMBER}|\*)/({_NUMBER}|\*)\r\nContent-Type: ([!-~]+)"
)
_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


@dataclass(slots=True)
class Request:
    """A SEND, REPORT, AUTH or a method we do not know (RFC 4975 §7.1).

    `to_path` and `from_path` are the text of the headers; `headers` holds every header without a field of its own,
    in order. An absent Message-ID or Content-Type is ''. `body` None means a frame without a body, b'' an empty one.
    `partial` marks a piece of a chunk too long to be held: more of the same transaction follows (connection.Framer).
    """

    transaction_id: str
    method: str
    to_path: str
    from_path: str
    message_id: str = ""
    byte_range: ByteRange | None = None
    content_type: str = ""
    success_report: bool = False
    failure_report: FailureReport = "yes"
    headers: Headers = ()
    body: bytes | None = None
    continuation: Continuation = "$"
    partial: bool = False

    def header(self, name: str) -> str | None:
        """The first of the other headers called `name`, in any case."""
        return _header(self.headers, name)

    def emit(self) -> bytes:
        """The bytes of this frame.

        Raises ProtocolError if a value holds a line break. The caller sees to it that the body does not
        contain the end-line: see `free_transaction_id`.
        """
        lines = [
            f"MSRP {self.transaction_id} {self.method}",
            f"To-Path: {self.to_path}",
            f"From-Path: {self.from_path}",
        ]
        if self.message_id:
            lines.append(f"Message-ID: {self.message_id}")
        if self.success_report:
            lines.append("Success-Report: yes")
        if self.failure_report != "yes":
            lines.append(f"Failure-Report: {self.failure_report}")
        if self.byte_range is not None:
            lines.append(f"Byte-Range: {format_range(self.byte_range)}")
        lines.extend([f"{name}: {value}" for name, value in self.headers])
        if self.content_type:
            # RFC 4975 §9: Content-Type is the last header before the body.
            lines.append(f"Content-Type: {self.content_type}")
        head = _joined(lines)
        end = f"\r\n-------{self.transaction_id}{self.continuation}\r\n"
        if self.body is None:
            return (head + end).encode()
        return b"".join((head.encode(), b"\r\n\r\n", self.body, end.encode()))

    __bytes__ = emit


@dataclass(slots=True)
class Response:
    """The answer to a request (RFC 4975 §7.2); `headers` as WWW-Authenticate or Use-Path, in order."""

    transaction_id: str
    status: int
    comment: str
    to_path: str
    from_path: str
    headers: Headers = ()

    def header(self, name: str) -> str | None:
        """The first of the other headers called `name`, in any case."""
        return _header(self.headers, name)

    def emit(self) -> bytes:
        """The bytes of this frame. Raises ProtocolError if a value holds a line break."""
        start = f"MSRP {self.transaction_id} {self.status:03d}"
        lines = [
            f"{start} {self.comment}" if self.comment else start,
            f"To-Path: {self.to_path}",
            f"From-Path: {self.from_path}",
        ]
        lines.extend([f"{name}: {value}" for name, value in self.headers])
        return f"{_joined(lines)}\r\n-------{self.transaction_id}$\r\n".encode()

    __bytes__ = emit


def make_response(request: Request, status: int, comment: str = "", headers: Headers = ()) -> Response:
    """The response to `request`, paths swapped. Raises ProtocolError for a REPORT, which is never answered."""
    if request.method == "REPORT":
        raise ProtocolError("RFC 4975 §7.1.2: a REPORT is never answered")
    # RFC 4975 §7.2: the answer to a SEND goes one hop back only; any other goes back the whole way.
    to_path = request.from_path.partition(" ")[0] if request.method == "SEND" else request.from_path
    from_path = request.to_path.partition(" ")[0]
    text = comment or COMMENTS.get(status, "")
    return Response(request.transaction_id, status, text, to_path, from_path, headers)


def free_transaction_id(make_id: Callable[[], str], body: bytes | None) -> str:
    """An id from `make_id` whose end-line does not occur in `body` (RFC 4975 §7.1).

    Raises ProtocolError when ID_ATTEMPTS ids in a row occur: then they are not random.
    """
    if not body or b"-------" not in body:
        return make_id()
    for _ in range(ID_ATTEMPTS):
        # Some peers look for the dashes without the line break before them: neither may occur.
        if b"-------" + (name := make_id()).encode() not in body:
            return name
    raise ProtocolError("every transaction id made occurs in the body")


def parse_range(text: str) -> ByteRange:
    """Read `1-2048/5000`, '*' for an unknown end or total; BAD_RANGE when it is anything else."""
    found = _RANGE.fullmatch(text)
    if found is None:
        return BAD_RANGE
    first, end, total = found.groups()
    return int(first), None if end == "*" else int(end), None if total == "*" else int(total)


def format_range(byte_range: ByteRange) -> str:
    """The text of a Byte-Range."""
    first, end, total = byte_range
    return f"{first}-{'*' if end is None else end}/{'*' if total is None else total}"


def parse_head(text: str, at: int = 0) -> Request | Response:
    """Read first line and headers, without the blank line; `at` is the offset of `text` in its stream.

    Raises ParseError. The request has no body yet and the continuation '$'.
    """
    if len(text) <= START_LINE_MAX and (usual := _USUAL.fullmatch(text)) is not None:
        name, to_path, from_path, message_id, success, failure, first, end, total, content_type = usual.groups()
        return Request(
            name,
            "SEND",
            to_path,
            from_path,
            message_id,
            (int(first), None if end == "*" else int(end), None if total == "*" else int(total)),
            content_type,
            success == "yes",
            _FAILURE_REPORTS[failure] if failure else "yes",
        )
    return _parse_any_head(text, at)


def _parse_any_head(text: str, at: int) -> Request | Response:
    lines = text.split("\r\n")
    breaks = len(lines) - 1
    if text.count("\n") != breaks or text.count("\r") != breaks or "\0" in text:
        raise ParseError("stray control character", at + _first_control(text))
    if len(lines[0]) > START_LINE_MAX:
        raise ParseError(f"first line longer than {START_LINE_MAX} characters", at)
    if len(text) > HEADER_LINE_MAX:
        _check_lengths(lines, at)
    if breaks > HEADERS_MAX:
        raise ParseError(f"more than {HEADERS_MAX} headers", _offset(lines, HEADERS_MAX + 1, at))
    words = lines[0].split(" ", 3)
    if len(words) < 3 or words[0] != "MSRP":
        raise ParseError("first line is not MSRP", at)
    transaction_id, word = words[1], words[2]
    if len(transaction_id) > TRANSACTION_ID_MAX or _IDENT.fullmatch(transaction_id) is None:
        raise ParseError("transaction id expected", at + 5)
    if len(word) == 3 and word.isdigit() and word.isascii():
        comment = words[3] if len(words) == 4 else ""
        known, headers = _split(lines, _RESPONSE_NAMES, at)
        to_path, from_path = _paths(known, text, at)
        return Response(transaction_id, int(word), comment, to_path, from_path, headers)
    if len(words) == 4 or not (word.isupper() and word.isalpha() and word.isascii()):
        raise ParseError("method or status code expected", at + 6 + len(transaction_id))
    known, headers = _split(lines, _REQUEST_NAMES, at)
    to_path, from_path = _paths(known, text, at)
    byte_range, success, failure = known.get("Byte-Range"), known.get("Success-Report"), known.get("Failure-Report")
    return Request(
        transaction_id,
        word,
        to_path,
        from_path,
        known.get("Message-ID", ""),
        None if byte_range is None else parse_range(byte_range),
        known.get("Content-Type", ""),
        success is not None and success.lower() == "yes",
        # A word we do not know is read as the default: the sender then hears of failures.
        "yes" if failure is None else _FAILURE_REPORTS.get(failure.lower(), "yes"),
        headers,
    )


def _split(lines: list[str], names: dict[str, str], at: int) -> tuple[dict[str, str], Headers]:
    known: dict[str, str] = {}
    others: list[tuple[str, str]] = []
    for number, line in enumerate(lines):
        if not number:
            continue  # the first line
        name, colon, value = line.partition(":")
        field = names.get(name) or names.get(name.lower())
        if not colon or (field is None and _NAME.fullmatch(name) is None):
            raise ParseError("header expected", _offset(lines, number, at))
        if field is None:
            others.append((name, value.strip(" \t")))
        elif field in known:
            raise ParseError(f"{field} twice", _offset(lines, number, at))
        else:
            known[field] = value.strip(" \t")
    return known, tuple(others)


def _paths(known: dict[str, str], text: str, at: int) -> tuple[str, str]:
    to_path, from_path = known.get("To-Path"), known.get("From-Path")
    if not to_path or not from_path:
        raise ParseError("To-Path or From-Path missing", at + len(text.encode()))
    return to_path, from_path


def _check_lengths(lines: list[str], at: int) -> None:
    for number, line in enumerate(lines):
        if len(line) > HEADER_LINE_MAX:
            raise ParseError(f"header longer than {HEADER_LINE_MAX} characters", _offset(lines, number, at))


def _offset(lines: list[str], number: int, at: int) -> int:
    return at + sum(len(line.encode()) + 2 for line in lines[:number])


def _first_control(text: str) -> int:
    found = re.search(r"\0|\r(?!\n)|(?<!\r)\n", text)
    return len(text[: found.start()].encode()) if found else 0


def _header(headers: Headers, name: str) -> str | None:
    wanted = name.lower()
    return next((value for name, value in headers if name.lower() == wanted), None)


def _joined(lines: list[str]) -> str:
    head = "\r\n".join(lines)
    if head.count("\n") != len(lines) - 1 or head.count("\r") != len(lines) - 1:
        raise ProtocolError("a header value with a line break would be read as a header of its own")
    return head
