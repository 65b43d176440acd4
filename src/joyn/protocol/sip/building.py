"""Building SIP messages: requests of our own, and responses to what came in.

Spec: RFC 3261 §7, §8.2.6 (responses), §18.2.1 and RFC 3581 (received, rport), RFC 6223 (keep).
"""

from __future__ import annotations

from joyn.protocol.errors import ParseError
from joyn.protocol.sip.message import Headers, SipRequest, encode, parse, split_commas

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
    555: "Push Notification Service Not Supported",
    600: "Busy Everywhere",
    603: "Decline",
    606: "Not Acceptable",
}
_COPIED = (("From", "from"), ("To", "to"), ("Call-ID", "call-id"), ("CSeq", "cseq"))


def emit(start: str, headers: Headers, body: bytes = b"") -> bytes:
    """The bytes of a message; Content-Length is added. Header values must not hold line breaks (ValueError)."""
    lines = [start, *[f"{name}: {value}" for name, value in headers]]
    text = "".join(lines)
    if "\n" in text or "\r" in text:
        raise ValueError("line break inside a header value")
    lines.append(f"Content-Length: {len(body)}\r\n\r\n")
    return encode("\r\n".join(lines)) + body


def build_request(method: str, uri: str, headers: Headers, body: bytes = b"") -> SipRequest:
    """A request of our own, ready to send with `bytes()`."""
    request = parse(emit(f"{method} {uri} SIP/2.0", headers, body))
    assert isinstance(request, SipRequest)
    return request


def build_response(
    request: SipRequest, status: int, *, reason: str = "", to_tag: str = "", headers: Headers = (), body: bytes = b""
) -> bytes:
    """The bytes of a response (RFC 3261 §8.2.6): Via, From, To, Call-ID and CSeq copied, To tagged, Via filled in.

    Raises ParseError when there is no Via to go back by, ValueError for a line break in what is added.
    """
    start = f"SIP/2.0 {status} {reason or REASONS.get(status, 'Unknown')}"
    if status == 202 and not headers and not request.repeats:
        return _accepted(request, start, to_tag)
    vias = request.headers("via")
    if not vias:
        raise ParseError("no Via", 0)
    vias[0] = with_source(vias[0], request.source)
    if request.keep:
        vias[0] = _with_keep(vias[0], request.keep)
    lines = [("Via", via) for via in vias]
    for name, key in _COPIED:
        value = request.header(key)
        if value is not None:  # only a request that is answered 400 lacks one
            if key == "to" and to_tag and not _has_tag(value):
                value = f"{value};tag={to_tag}"
            lines.append((name, value))
    lines += headers
    return emit(start, lines, body)


def _accepted(request: SipRequest, start: str, to_tag: str) -> bytes:
    """What every message is answered with, in one go: the same bytes as the general way. `mandatory` has passed."""
    first = request.first_values
    via = with_source(first["via"], request.source)
    to = first["to"]
    if to_tag and not _has_tag(to):
        to = f"{to};tag={to_tag}"
    return encode(
        f"{start}\r\nVia: {via}\r\nFrom: {first['from']}\r\nTo: {to}\r\n"
        f"Call-ID: {first['call-id']}\r\nCSeq: {first['cseq']}\r\nContent-Length: 0\r\n\r\n"
    )


def _with_keep(via: str, seconds: int) -> str:
    """RFC 6223 §4.3: a bare `keep` in the top Via gets the recommended interval."""
    first, comma, rest = via.partition(",")
    parameters = [f"keep={seconds}" if part.strip().lower() == "keep" else part for part in first.split(";")]
    return ";".join(parameters) + comma + rest


def _has_tag(to: str) -> bool:
    return "tag" in to and "tag" in {
        part.partition("=")[0].strip().lower() for part in to.rpartition(">")[2].split(";")
    }


def with_source(via: str, source: tuple[str, int] | None) -> str:
    """RFC 3261 §18.2.1 and RFC 3581 §4: say in the top Via where the request really came from."""
    if source is None:
        return via
    host, port = source
    if via.endswith(";rport") and "," not in via and '"' not in via and "received" not in via:
        return f"{via}={port};received={host}"  # as nearly every client writes it
    first = split_commas(via)[0]
    end = via.find(first) + len(first)
    sent, *parameters = first.split(";") if '"' not in first else [first]
    asked = False
    marked = [sent]
    for parameter in parameters:
        name = parameter.partition("=")[0].strip().lower()
        if name == "rport":
            asked = True
            marked.append(f"rport={port}")
        elif name != "received":  # what the peer claims there is not what we saw
            marked.append(parameter)
    if asked or _sent_by_host(sent) != host:
        marked.append(f"received={host}")
    return ";".join(marked) + via[end:]


def _sent_by_host(sent: str) -> str:
    host = sent.strip(" \t").rpartition(" ")[2]
    return host[1:].partition("]")[0] if host[:1] == "[" else host.partition(":")[0]
