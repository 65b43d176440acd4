"""Forwarding: a message goes on with the few lines changed that a proxy must change, and not one byte more.

Spec: RFC 3261 §16.3 (checks), §16.6 (requests), §16.7 (responses); RFC 5393 (loops); RFC 3581 (rport).
Pure: messages in, bytes out; folding, spelling, spacing and order of all other lines stay as they came.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator

from joyn.protocol.errors import ParseError, ProtocolError
from joyn.protocol.sip.building import with_source as seen_from
from joyn.protocol.sip.headers import parse_vias
from joyn.protocol.sip.message import Headers, SipMessage, SipRequest, SipResponse, encode, split_commas

MAX_FORWARDS = 70
"""Hops given to a request that does not say how many it has left (RFC 3261 §16.6 step 3)."""


def hops_left(request: SipRequest) -> int:
    """Max-Forwards, 70 when absent. At 0 the request must be answered 483, not forwarded. Raises ParseError."""
    value = request.header("max-forwards")
    if value is None:
        return MAX_FORWARDS
    if not (value.isascii() and value.isdigit()) or len(value) > 3 or int(value) > 255:
        raise ParseError("Max-Forwards is not a number up to 255", max(request.raw_head.find(value), 0))
    return int(value)


def loop_token(request: SipRequest) -> str:
    """A digest of all that decides where a request goes; make it the last part of our branch, after a dot.

    RFC 5393 §4.2.1: a request that comes back with the same token has changed nothing and will circle for ever.
    """
    header = request.header
    parts = (request.method, request.uri, header("from"), header("to"), request.call_id, str(request.cseq[0]))
    text = "\n".join([part or "" for part in parts] + request.headers("route"))
    return hashlib.blake2b(encode(text), digest_size=8).hexdigest()


def looped(request: SipRequest, sent_by: tuple[str, int]) -> bool:
    """Whether we, `sent_by` (host, port), have forwarded this very request before: 482. Raises ParseError."""
    token = f".{loop_token(request)}"
    return any(via.sent_by == sent_by and via.branch.endswith(token) for via in parse_vias(request.headers("via")))


def forward_request(
    request: SipRequest,
    *,
    uri: str | None = None,
    via: str,
    record_route: str | None = None,
    drop_routes: int = 0,
    drop: Collection[str] = (),
    add: Headers = (),
) -> bytes:
    """The bytes of a request to send on.

    `via` is our own Via value, put on top; `uri` the new Request-URI; `record_route` our own Record-Route value;
    `drop_routes` counts the topmost Route values to remove; `drop` names headers (canonical, lower case) to leave out;
    `add` are headers to append. The Via below ours gets received and rport when the request has a `source`.

    Raises ParseError for a broken message, ProtocolError at Max-Forwards 0 and for a line break in what is added.
    """
    hops = hops_left(request)
    if hops == 0:
        raise ProtocolError("forwarding a request that has no hops left")
    new = [uri or "", via, record_route or "", *(text for pair in add for text in pair)]
    if any("\n" in text or "\r" in text for text in new):
        raise ProtocolError("line break in a header to add")
    lines = [f"{request.method} {uri or request.uri} SIP/2.0"]
    seen: set[str] = set()
    for name, field in _fields(request):
        if name in drop:
            continue
        first = name not in seen
        seen.add(name)
        kept: str | None = field
        if name == "via" and first:
            lines.append(f"Via: {via}")
            kept = _with_source(field, request)
        elif name == "record-route" and first and record_route:
            lines.append(f"Record-Route: {record_route}")
        elif name == "max-forwards" and first:
            kept = _replace_value(field, str(hops - 1))
        elif name == "route" and drop_routes:
            kept, drop_routes = _drop_values(field, drop_routes)
        if kept is not None:
            lines.append(kept)
    if "via" not in seen:
        raise ParseError("no Via", len(request.raw_head))
    if "record-route" not in seen and record_route:
        lines.append(f"Record-Route: {record_route}")
    if "max-forwards" not in seen:
        lines.append(f"Max-Forwards: {MAX_FORWARDS}")
    lines += [f"{name}: {value}" for name, value in add]
    return _join(lines, request, "content-length" in seen)


def forward_response(response: SipResponse) -> bytes:
    """The bytes of a response to send on: our own Via, the topmost, is gone (RFC 3261 §16.7 step 3).

    Raises ParseError when it was the only one: then the response is for us, and not to be forwarded.
    """
    lines = [response.raw_head.partition("\r\n")[0]]
    left, vias, length = 1, 0, False
    for name, field in _fields(response):
        if name == "via":
            kept, left = _drop_values(field, left)
            if kept is None:
                continue
            vias += 1
            lines.append(kept)
        else:
            length = length or name == "content-length"
            lines.append(field)
    if not vias:
        raise ParseError("no Via below ours", len(response.raw_head))
    return _join(lines, response, length)


def _join(lines: list[str], message: SipMessage, has_length: bool) -> bytes:
    if not has_length:
        # RFC 3261 §16.6 step 9: it may have come in a datagram and leave on a stream.
        lines.append(f"Content-Length: {len(message.body)}")
    return b"%b\r\n\r\n%b" % (encode("\r\n".join(lines)), message.body)


def _fields(message: SipMessage) -> Iterator[tuple[str, str]]:
    """Canonical name and full text of each header field, folded lines included. Raises ParseError."""
    lines = message.raw_head.split("\r\n")
    at = 1
    # `fields` has checked every line, and unfolded: what it counts is what we join here.
    for name, _ in message.fields:
        end = at + 1
        while end < len(lines) and lines[end][:1] in (" ", "\t"):
            end += 1
        yield name, lines[at] if end == at + 1 else "\r\n".join(lines[at:end])
        at = end


def _with_source(field: str, request: SipRequest) -> str:
    if request.source is None:
        return field
    value = request.top_via
    marked = seen_from(value, request.source)
    return field if marked == value else _replace_value(field, marked)


def _replace_value(field: str, value: str) -> str:
    name, colon, old = field.partition(":")
    space = old[: len(old) - len(old.lstrip(" \t"))]
    return f"{name}{colon}{space}{value}"


def _drop_values(field: str, count: int) -> tuple[str | None, int]:
    """The field without its first `count` comma-separated values, None when nothing is left; and how many to go."""
    name, _, value = field.partition(":")
    values = split_commas(value)
    if len(values) <= count:
        return None, count - len(values)
    if count == 0:
        return field, 0
    at = 0
    for dropped in values[:count]:
        at = value.find(dropped, at) + len(dropped)
        at = value.index(",", at) + 1
    return f"{name}:{value[at:]}", 0
