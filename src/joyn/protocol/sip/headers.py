"""Header values of SIP as typed values: addresses, Via, Event-like tokens, route sets.

Spec: RFC 3261 §20, §25.1; RFC 3326 (Reason), RFC 6665 (Event), RFC 3581 (rport).
Pure: text gives a value or ParseError, in linear time; feature tags are in `feature_tags`, credentials in `auth`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from joyn.protocol.errors import ParseError
from joyn.protocol.sip.message import split_commas
from joyn.protocol.sip.uri import parse_host_port

MAX_DELTA_SECONDS = 2**32 - 1
"""RFC 3261 §20.19: the longest Expires; greater numbers mean this one."""
MAX_CONTACTS = 64
"""Addresses in one Contact, Path or Route header field taken together."""

TOKEN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-.!%*_+`'~")
"""RFC 3261 §25.1: characters of a token."""
_PLAIN = TOKEN | frozenset("[]:")
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)

Parameters = dict[str, str | None]
"""In their order, names lower case, values without quotes, None for a bare name."""


@dataclass(frozen=True, slots=True)
class NameAddr:
    """An address header value: From, To, Contact, Route, P-Asserted-Identity …

    `uri` is text as it was written, without angle brackets; `parameters` are those of the header, not of the URI.
    """

    display_name: str
    uri: str
    parameters: Parameters = field(default_factory=dict)

    @property
    def tag(self) -> str | None:
        """The tag of a From or To."""
        return self.parameters.get("tag")

    def __str__(self) -> str:
        name = f"{quote(self.display_name)} " if self.display_name else ""
        return f"{name}<{self.uri}>{emit_parameters(self.parameters)}"


@dataclass(frozen=True, slots=True)
class Via:
    """One hop of a Via header: where the response goes. `parameters` are all but the branch."""

    transport: str
    host: str
    port: int | None = None
    branch: str = ""
    parameters: Parameters = field(default_factory=dict)

    @property
    def sent_by(self) -> tuple[str, int]:
        """Host and port with the transport's default filled in (RFC 3261 §18.2.2)."""
        return self.host, self.port or (5061 if self.transport in ("TLS", "WSS") else 5060)

    def __str__(self) -> str:
        port = "" if self.port is None else f":{self.port}"
        branch = f";branch={self.branch}" if self.branch else ""
        return f"SIP/2.0/{self.transport} {self.host}{port}{branch}{emit_parameters(self.parameters)}"


@dataclass(frozen=True, slots=True)
class TokenValue:
    """A word and its parameters: Event, Reason, Subscription-State, Session-Expires, Content-Type, Content-Disposition.

    `token` keeps its case; compare it in lower case.
    """

    token: str
    parameters: Parameters = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.token}{emit_parameters(self.parameters)}"


def parse_name_addr(value: str) -> NameAddr:
    """Read one address: `"Name" <uri>;parameters`, `Name <uri>` or a bare `uri;parameters`. Raises ParseError."""
    name = ""
    start = 0
    if value[:1] == '"':
        end = quoted_end(value, 0)
        name = unquote(value[: end + 1])
        start = end + 1
    opening = value.find("<", start)
    if opening < 0:
        if start:
            raise ParseError("quoted name without an address in angle brackets", start)
        # RFC 3261 §20.10: without brackets the parameters are the header's.
        uri, semicolon, rest = value.partition(";")
        uri = uri.strip(" \t")
        if not uri or "," in uri or " " in uri:
            raise ParseError("no address", 0)
        return NameAddr("", uri, parse_parameters(rest) if semicolon else {})
    if start:
        if value[start:opening].strip(" \t"):
            raise ParseError("text between name and address", start)
    else:
        name = value[:opening].strip(" \t")
        if '"' in name or ";" in name:
            raise ParseError("stray character in a display name", 0)
    closing = value.find(">", opening)
    if closing < 0:
        raise ParseError("angle bracket not closed", opening)
    uri = value[opening + 1 : closing].strip(" \t")
    if not uri:
        raise ParseError("empty address", opening)
    return NameAddr(name, uri, _after(value, closing + 1))


def parse_name_addrs(values: Iterable[str]) -> list[NameAddr]:
    """Read all addresses of all fields of one name (P-Asserted-Identity, Path, Record-Route). Raises ParseError."""
    found = [parse_name_addr(part) for value in values for part in split_commas(value) if part]
    if len(found) > MAX_CONTACTS:
        raise ParseError(f"more than {MAX_CONTACTS} addresses", 0)
    return found


def parse_contacts(values: Iterable[str]) -> list[NameAddr] | str:
    """Read the Contact fields: a list of addresses, or `'*'` (RFC 3261 §10.2.2). Raises ParseError."""
    values = list(values)
    if any(value.strip(" \t") == "*" for value in values):
        if len(values) > 1:
            raise ParseError("Contact * beside others", 0)
        return "*"
    return parse_name_addrs(values)


def parse_route_set(values: Iterable[str]) -> list[str]:
    """Read Route, Record-Route, Path or Service-Route fields into one text per hop, each as it was written.

    Raises ParseError when a hop is not an address in angle brackets (RFC 3261 §20.30) or there are too many.
    """
    hops = [part for value in values for part in split_commas(value) if part]
    if len(hops) > MAX_CONTACTS:
        raise ParseError(f"more than {MAX_CONTACTS} routes", 0)
    for hop in hops:
        if "<" not in hop:
            raise ParseError("route without angle brackets", 0)
        parse_name_addr(hop)
    return hops


def parse_via(value: str) -> Via:
    """Read the first Via of a header value that may hold several. Raises ParseError."""
    if "," in value:
        value = split_commas(value)[0]
    sent, semicolon, rest = value.partition(";")
    if sent[:8] == "SIP/2.0/":
        transport, _, host = sent[8:].strip(" \t").partition(" ")
    else:
        # RFC 3261 §25.1 allows white space around the slashes.
        protocol, _, after = sent.partition("/")
        version, slash, after = after.partition("/")
        if not slash or protocol.strip(" \t").upper() != "SIP" or version.strip(" \t") != "2.0":
            raise ParseError("Via is not SIP/2.0", 0)
        transport, _, host = after.strip(" \t").partition(" ")
    if not transport or not TOKEN.issuperset(transport):
        raise ParseError("Via without transport", 8)
    host = host.strip(" \t")
    if " " in host or "\t" in host:
        host = host.replace(" ", "").replace("\t", "")  # `host : port`
    name, port = parse_host_port(host, len(sent) - len(host))
    parameters = parse_parameters(rest) if semicolon else {}
    branch = parameters.pop("branch", None) or ""
    return Via(transport.upper(), name, port, branch, parameters)


def parse_vias(values: Iterable[str]) -> list[Via]:
    """Read every Via of every field, top first. Raises ParseError."""
    return [parse_via(part) for value in values for part in split_commas(value)]


def parse_token_value(value: str) -> TokenValue:
    """Read `token;name=value…`: Event, Reason, Session-Expires, Content-Type … Raises ParseError."""
    token, semicolon, rest = value.partition(";")
    token = token.strip(" \t")
    if not token or " " in token or "," in token or '"' in token:
        raise ParseError("no token", 0)
    return TokenValue(token, parse_parameters(rest) if semicolon else {})


def parse_event(value: str) -> TokenValue:
    """Read Event: the package and its `id` (RFC 6665 §8.2.1). Raises ParseError."""
    return parse_token_value(value)


def parse_reasons(values: Iterable[str]) -> list[TokenValue]:
    """Read every Reason (RFC 3326): protocol with `cause` and `text`. Raises ParseError."""
    return [parse_token_value(part) for value in values for part in split_commas(value)]


def parse_seconds(value: str) -> int:
    """Read delta-seconds (Expires, Min-Expires, Retry-After, Session-Expires); what follows the number is ignored.

    Numbers beyond MAX_DELTA_SECONDS mean MAX_DELTA_SECONDS. Raises ParseError when there is no number.
    """
    digits = value.partition(";")[0].partition("(")[0].strip(" \t")
    if not (digits.isascii() and digits.isdigit()):
        raise ParseError("not a number of seconds", 0)
    return MAX_DELTA_SECONDS if len(digits) > 10 else min(int(digits), MAX_DELTA_SECONDS)


def parse_parameters(text: str) -> Parameters:
    """Read `name=value;name="value";name`, without a leading semicolon. Raises ParseError.

    Of a repeated name the first counts, except that the values of a repeated feature tag (`+g.3gpp.iari-ref`) are
    joined with commas, which is what they mean (RFC 3840 §9).
    """
    found: Parameters = {}
    for part in text.split(";") if '"' not in text else _split_semicolons(text):
        name, equals, value = part.partition("=")
        name = name.strip(" \t").lower()
        if not name and not equals and not part.strip(" \t"):
            continue
        if not name or not TOKEN.issuperset(name):
            raise ParseError("parameter without a name", max(text.find(part), 0))
        read = _read_value(value) if equals else None
        if name not in found:
            found[name] = read
        elif name[0] == "+" and read:
            earlier = found[name]
            found[name] = f"{earlier},{read}" if earlier else read
    return found


def emit_parameters(parameters: Mapping[str, str | None]) -> str:
    """`;name=value…`; a value is quoted when it must be, that of a feature tag (`+…`) always (RFC 3840 §9)."""
    return "".join([f";{name}" if value is None else _pair(name, value) for name, value in parameters.items()])


def quote(text: str) -> str:
    r"""A quoted string, `\` and `"` escaped."""
    if "\\" in text or '"' in text:
        text = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def unquote(text: str) -> str:
    """The meaning of a quoted string, given with its quotes."""
    inner = text[1:-1]
    return _ESCAPED.sub(r"\1", inner) if "\\" in inner else inner


def quoted_end(text: str, start: int) -> int:
    """Where the quoted string that opens at `start` closes. Raises ParseError when it does not."""
    at = text.find('"', start + 1)
    if at > 0 and text[at - 1] != "\\":
        return at
    while at > 0:
        slashes = at
        while slashes - 1 > start and text[slashes - 1] == "\\":
            slashes -= 1
        if (at - slashes) % 2 == 0:
            return at
        at = text.find('"', at + 1)
    raise ParseError("quoted string not closed", start)


def _after(value: str, at: int) -> Parameters:
    if at == len(value):
        return {}
    rest = value[at:].lstrip(" \t")
    if not rest:
        return {}
    if rest[0] != ";":
        raise ParseError("text after the address", at)
    return parse_parameters(rest[1:])


def _split_semicolons(text: str) -> list[str]:
    parts, start, at = [], 0, 0
    while True:
        semicolon = text.find(";", at)
        opening = text.find('"', at, semicolon if semicolon >= 0 else len(text))
        if opening >= 0:
            at = quoted_end(text, opening) + 1
        elif semicolon >= 0:
            parts.append(text[start:semicolon])
            start = at = semicolon + 1
        else:
            parts.append(text[start:])
            return parts


def _read_value(value: str) -> str:
    value = value.strip(" \t")
    if value[:1] == '"':
        if quoted_end(value, 0) != len(value) - 1:
            raise ParseError("text after a quoted value", 0)
        return unquote(value)
    if '"' in value:
        raise ParseError("quote inside a value", 0)
    return value


def _pair(name: str, value: str) -> str:
    if name[0] != "+" and value and _PLAIN.issuperset(value):
        return f";{name}={value}"
    return f";{name}={quote(value)}"
