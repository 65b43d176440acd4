"""URIs of SIP: sip, sips and tel taken apart, every other scheme kept whole.

Spec: RFC 3261 §19.1 (sip, sips), RFC 3966 (tel), RFC 5118 (IPv6).
Pure: text gives a frozen value or ParseError; `str()` of a value parses back to an equal value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import AddressValueError, IPv6Address
from urllib.parse import quote_from_bytes, unquote_to_bytes

from joyn.protocol.errors import ParseError

MAX_URI = 2048
"""Characters of one URI."""
MAX_CACHED = 256
"""Characters up to which a parsed URI is remembered; longer ones are parsed each time."""
CACHE_SIZE = 4096
"""URIs remembered."""
MAX_NUMBER = 15
"""Digits of an E.164 number."""

_ALPHA = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
_DIGITS = frozenset("0123456789")
_SCHEME = _ALPHA | _DIGITS | frozenset("+-.")
# Underscores are in no grammar but in many internal names.
_HOST = _ALPHA | _DIGITS | frozenset("-._")
_LOCAL_NUMBER = _DIGITS | frozenset("abcdefABCDEF*#")
_SEPARATORS = str.maketrans("", "", "-.() ")
# RFC 3261 §25.1: what may stand unescaped, besides letters, digits and `_.-~`.
_USER_SAFE = "!*'()&=+$,;?/"
_PASSWORD_SAFE = "!*'()&=+$,"  # noqa: S105 - characters, no password
_PARAMETER_SAFE = "!*'()[]/:&+$"
_HEADER_SAFE = "!*'()[]/?:+$"
# RFC 3261 §19.1.4: when only one of two URIs has one of these, they differ.
_MUST_AGREE = ("user", "ttl", "method", "maddr")

Parameters = Mapping[str, str | None]
"""In their order, names lower case, None for a bare one. Values are shared through the cache: never change one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SipUri:
    """A sip or sips URI with its escapes undone.

    `host` is lower case, an IPv6 address in brackets and in its shortest form. `==` compares as written, `equivalent`
    as RFC 3261 §19.1.4 does.
    """

    scheme: str = "sip"
    user: str | None = None
    password: str | None = None
    host: str
    port: int | None = None
    parameters: Parameters = field(default_factory=dict, hash=False)
    headers: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        parts = [self.scheme, ":"]
        if self.user is not None:
            parts.append(_escape(self.user, _USER_SAFE))
            if self.password is not None:
                parts += (":", _escape(self.password, _PASSWORD_SAFE))
            parts.append("@")
        parts.append(self.host)
        if self.port is not None:
            parts.append(f":{self.port}")
        parts.append(_emit_parameters(self.parameters))
        if self.headers:
            pairs = (f"{_escape(name, _HEADER_SAFE)}={_escape(value, _HEADER_SAFE)}" for name, value in self.headers)
            parts.append("?" + "&".join(pairs))
        return "".join(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class TelUri:
    """A tel URI: `number` without visual separators, with its + when global (RFC 3966 §5.1.4)."""

    number: str
    parameters: Parameters = field(default_factory=dict, hash=False)

    def __str__(self) -> str:
        return f"tel:{self.number}{_emit_parameters(self.parameters)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpaqueUri:
    """A URI of another scheme (urn:, http:, im: …), what follows the colon kept as it came."""

    scheme: str
    rest: str

    def __str__(self) -> str:
        return f"{self.scheme}:{self.rest}"


Uri = SipUri | TelUri | OpaqueUri


def parse_uri(text: str) -> Uri:
    """Read one URI without angle brackets. Raises ParseError. Answers are cached, so asking again is cheap."""
    return _cached_uri(text) if len(text) <= MAX_CACHED else _parse_uri(text)


def number_of(uri: str | Uri) -> str | None:
    """The E.164 number, `+` and at most 15 digits, that a tel URI or the user part of a sip URI holds; else None.

    RFC 3261 §19.1.6: `user=phone` is not asked for, as joyn clients often leave it out. Text that is no URI has none.
    """
    if isinstance(uri, str):
        return _cached_number(uri) if len(uri) <= MAX_CACHED else _number_in(uri)
    if isinstance(uri, TelUri):
        number = uri.number
    elif isinstance(uri, SipUri) and uri.user is not None:
        number = uri.user.partition(";")[0].translate(_SEPARATORS)
    else:
        return None
    digits = number[1:]
    if number[:1] != "+" or not 0 < len(digits) <= MAX_NUMBER or not _DIGITS.issuperset(digits) or digits[0] == "0":
        return None
    return number


def equivalent(one: Uri, other: Uri) -> bool:
    """Whether two URIs mean the same: RFC 3261 §19.1.4 for sip and sips, RFC 3966 §4 for tel, else letter by letter."""
    if isinstance(one, SipUri) and isinstance(other, SipUri):
        same = (one.scheme, one.user, one.password, one.host, one.port)
        if same != (other.scheme, other.user, other.password, other.host, other.port):
            return False
        mine, theirs = _folded(one.parameters), _folded(other.parameters)
        # A parameter that only one of them has is ignored, unless it is one of the four.
        if any(mine.get(name) != theirs.get(name) for name in (*_MUST_AGREE, *(mine.keys() & theirs.keys()))):
            return False
        return _header_set(one) == _header_set(other)
    if isinstance(one, TelUri) and isinstance(other, TelUri):
        return one.number.lower() == other.number.lower() and _folded(one.parameters) == _folded(other.parameters)
    return one == other


def _parse_uri(text: str) -> Uri:
    if len(text) > MAX_URI:
        raise ParseError(f"URI longer than {MAX_URI} characters", MAX_URI)
    scheme, colon, rest = text.partition(":")
    if not colon or not rest or scheme[:1] not in _ALPHA or not _SCHEME.issuperset(scheme):
        raise ParseError("no URI scheme", 0)
    scheme = scheme.lower()
    if " " in rest or (not rest.isprintable() and any(c < " " or c == "\x7f" for c in rest)):
        raise ParseError("white space or control character in a URI", len(scheme) + 1)
    if scheme in ("sip", "sips"):
        return _parse_sip(scheme, rest)
    if scheme == "tel":
        return _parse_tel(rest)
    return OpaqueUri(scheme=scheme, rest=rest)


_cached_uri = lru_cache(CACHE_SIZE)(_parse_uri)


def _number_in(text: str) -> str | None:
    try:
        return number_of(parse_uri(text))
    except ParseError:
        return None


_cached_number = lru_cache(CACHE_SIZE)(_number_in)


def _parse_sip(scheme: str, rest: str) -> SipUri:
    user = password = None
    # A user part may hold `;` and `?`, and nothing after it may hold `@`.
    userinfo, at, after = rest.rpartition("@")
    if at:
        name, colon, secret = userinfo.partition(":")
        if not name:
            raise ParseError("empty user part", len(scheme) + 1)
        user = _unescape(name)
        if colon:
            password = _unescape(secret)
    after, _, query = after.partition("?")
    hostport, *parameters = after.split(";")
    host, port = parse_host_port(hostport, len(scheme) + 1 + len(userinfo) + len(at))
    return SipUri(
        scheme=scheme,
        user=user,
        password=password,
        host=host,
        port=port,
        parameters=_parse_parameters(parameters),
        headers=_parse_headers(query) if query else (),
    )


def parse_host_port(text: str, at: int = 0) -> tuple[str, int | None]:
    """Read `host[:port]`: the host in lower case, IPv6 in brackets and shortest form. Raises ParseError."""
    if text[:1] == "[":
        address, bracket, rest = text[1:].partition("]")
        try:
            host = f"[{IPv6Address(address)}]" if bracket and "%" not in address else ""
        except AddressValueError:
            host = ""
        if not host:
            raise ParseError("not an IPv6 address in brackets", at)
        colon, port = rest[:1], rest[1:]
        if colon not in ("", ":"):
            raise ParseError("host runs on after its bracket", at)
    else:
        host, colon, port = text.partition(":")
        host = host.lower()
        if not host or not _HOST.issuperset(host):
            raise ParseError("not a host name", at)
    if not colon:
        return host, None
    if not port or len(port) > 5 or not _DIGITS.issuperset(port) or int(port) > 65535:
        raise ParseError("not a port", at)
    return host, int(port)


def _parse_tel(rest: str) -> TelUri:
    number, *parameters = rest.split(";")
    number = _unescape(number).translate(_SEPARATORS)
    digits = number.removeprefix("+")
    allowed = _DIGITS if number[:1] == "+" else _LOCAL_NUMBER
    if not digits or not allowed.issuperset(digits):
        raise ParseError("not a telephone number", 4)
    return TelUri(number=number, parameters=_parse_parameters(parameters))


def _parse_parameters(parts: list[str]) -> Parameters:
    found: dict[str, str | None] = {}
    for part in parts:
        name, equals, value = part.partition("=")
        if not name:
            if equals:
                raise ParseError("URI parameter without a name", 0)
            continue  # an empty one, as in `;;lr`, is harmless
        # RFC 3261 §19.1.1 forbids repetition; when it happens the first counts.
        found.setdefault(_unescape(name).lower(), _unescape(value) if equals else None)
    return found


def _parse_headers(query: str) -> tuple[tuple[str, str], ...]:
    found = []
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        if not name:
            raise ParseError("URI header without a name", 0)
        found.append((_unescape(name), _unescape(value)))
    return tuple(found)


def _emit_parameters(parameters: Parameters) -> str:
    return "".join(
        f";{_escape(name, _PARAMETER_SAFE)}" + ("" if value is None else f"={_escape(value, _PARAMETER_SAFE)}")
        for name, value in parameters.items()
    )


def _folded(parameters: Parameters) -> dict[str, str]:
    return {name: (value or "").lower() for name, value in parameters.items()}


def _header_set(uri: SipUri) -> frozenset[tuple[str, str]]:
    return frozenset((name.lower(), value) for name, value in uri.headers)


def _unescape(text: str) -> str:
    if "%" not in text:
        return text
    # By way of bytes: escaped and raw bytes may together make one UTF-8 character.
    raw = text.encode("utf-8", "surrogateescape")
    return unquote_to_bytes(raw).decode("utf-8", "surrogateescape")


def _escape(text: str, safe: str) -> str:
    return quote_from_bytes(text.encode("utf-8", "surrogateescape"), safe)
