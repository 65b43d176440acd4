"""`joyn decode`: what a captured message says, or where it stops being one."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

from cyclopts import Parameter

from joyn.cli.printing import plain
from joyn.cli.trouble import NO, Trouble

if TYPE_CHECKING:
    from joyn.protocol.msrp.chunk import Request, Response

MAX_INPUT: Final = 16 << 20
"""Bytes read at most."""
_PREVIEW: Final = 400
"""Characters of a body that are shown."""
_WINDOW: Final = 100
"""Characters of a bad line that are shown around the place."""


def decode(
    format: Annotated[Literal["sip", "msrp", "cpim"], Parameter(help="What it is.")],  # noqa: A002 - the user's word
    file: Annotated[Path, Parameter(help="The file; - is standard input.", allow_leading_hyphen=True)],
) -> int:
    """Print the structure of a message. Status 0: valid. Status 1: not, with the line, the column and a caret."""
    from joyn.protocol.errors import ParseError

    data = _read(file)
    lines = {"sip": _sip, "msrp": _msrp, "cpim": _cpim}[format]
    try:
        told = list(lines(data))
    except ParseError as error:
        print(f"{file}: not valid {format.upper()}\n{pointed(data, error, in_characters=format == 'sip')}")
        return NO
    for line in told:
        print(plain(line))
    return 0


def pointed(data: bytes, error: Exception, *, in_characters: bool = False) -> str:
    """Where a ParseError lies: line, column, the line itself and a caret. Offsets of a SIP head count characters."""
    at = getattr(error, "at", 0)
    what = getattr(error, "what", str(error))
    text = data.decode("utf-8", "surrogateescape") if in_characters else data.decode("latin-1")
    at = min(max(at, 0), len(text))
    start = text.rfind("\n", 0, at) + 1
    end = text.find("\n", at)
    end = len(text) if end < 0 else end
    line = text[start:end].rstrip("\r")
    number, column = text.count("\n", 0, at) + 1, at - start + 1
    left = max(0, column - 1 - _WINDOW // 2)
    shown = "".join(one if one.isprintable() else "·" for one in line[left : left + _WINDOW])
    caret = " " * (column - 1 - left) + "^"
    return f"line {number}, column {column}: {plain(what)}\n\n    {shown}\n    {caret}"


def _read(file: Path) -> bytes:
    try:
        with sys.stdin.buffer if str(file) == "-" else file.open("rb") as source:
            data = source.read(MAX_INPUT + 1)
    except OSError as error:
        raise Trouble(f"{file}: {error.strerror}") from None
    if len(data) > MAX_INPUT:
        raise Trouble(f"{file}: has more than {MAX_INPUT} bytes")
    return data


def _sip(data: bytes) -> Iterator[str]:
    from joyn.protocol.errors import ParseError
    from joyn.protocol.sip.message import SipRequest, find_blank_line, mandatory, parse

    message = parse(data)
    mandatory(message)
    if isinstance(message, SipRequest):
        yield f"request {message.method} {message.uri}"
    else:
        yield f"response {message.status} {message.reason}"
    yield from _fields(message.fields)
    if (message.header("content-type") or "").partition(";")[0].strip().lower() == "message/cpim":
        try:
            yield from _indented("CPIM", message.body)
        except ParseError as error:
            body = find_blank_line(data)[1]
            raise ParseError(
                f"in the CPIM body: {error.what}", len(data[:body].decode("utf-8", "surrogateescape")) + error.at
            )
    else:
        yield from _body(message.body)


def _msrp(data: bytes) -> Iterator[str]:
    from joyn.protocol.errors import ParseError
    from joyn.protocol.msrp.connection import Framer

    framer = Framer()
    frames = framer.receive(data)
    if not frames or framer.buffered or getattr(frames[-1], "partial", False):
        raise ParseError("the frame has no end-line", len(data))
    for index, frame in enumerate(frames):
        if index:
            yield ""
        yield from _frame(frame)


def _frame(frame: Request | Response) -> Iterator[str]:
    from joyn.protocol.errors import ParseError
    from joyn.protocol.msrp.chunk import Response, format_range

    paths = [("To-Path", frame.to_path), ("From-Path", frame.from_path)]
    if isinstance(frame, Response):
        yield f"response {frame.status} {frame.comment} (transaction {frame.transaction_id})"
        yield from _fields([*paths, *frame.headers])
        return
    yield f"request {frame.method} (transaction {frame.transaction_id})"
    known = [
        ("Message-ID", frame.message_id),
        ("Byte-Range", format_range(frame.byte_range) if frame.byte_range else ""),
        ("Success-Report", "yes" if frame.success_report else ""),
        ("Failure-Report", "" if frame.failure_report == "yes" else frame.failure_report),
        ("Content-Type", frame.content_type),
    ]
    yield from _fields([*paths, *((name, value) for name, value in known if value), *frame.headers])
    endings = {"$": "the end of the message", "+": "more follows", "#": "the message was given up"}
    yield f"  ends with {frame.continuation}: {endings[frame.continuation]}"
    # Only a whole message can be read further: a chunk may end anywhere.
    whole = frame.continuation == "$" and (frame.byte_range is None or frame.byte_range[0] == 1) and not frame.partial
    if whole and frame.body and frame.content_type.lower().startswith("message/cpim"):
        try:
            yield from _indented("CPIM", frame.body)
        except ParseError as error:
            yield f"  not valid CPIM: {error}"
    elif frame.body is not None:
        yield from _body(frame.body)


def _cpim(data: bytes) -> Iterator[str]:
    from joyn.protocol.cpim import CpimMessage

    message = CpimMessage.parse(data)
    yield "CPIM message"
    yield from _fields(message.headers)
    yield "  content"
    yield from ("  " + line for line in _fields(message.content_headers))
    yield from ("  " + line for line in _body(message.decoded_body))


def _indented(title: str, data: bytes) -> Iterator[str]:
    yield f"  body, {len(data)} bytes: {title}"
    yield from ("    " + line for line in _cpim(data))


def _fields(headers: object) -> Iterator[str]:
    assert isinstance(headers, (list, tuple))
    width = max((len(name) for name, _ in headers), default=0)
    for name, value in headers:
        yield f"  {name:<{width}}  {value}"


def _body(body: bytes) -> Iterator[str]:
    if not body:
        yield "  no body"
        return
    yield f"  body, {len(body)} bytes"
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        yield f"    {body[:32].hex(' ')}{' …' if len(body) > 32 else ''}"
        return
    shown = text[:_PREVIEW]
    for line in shown.splitlines():
        yield f"    {line}"
    if len(text) > _PREVIEW:
        yield f"    … and {len(text) - _PREVIEW} characters more"
