"""MSRP URIs and the paths made of them.

Spec: RFC 4975 §6 (URIs, §6.1 comparison), RFC 7977 §5 (the `ws` transport).
Pure: text in, frozen values out; anything else is a ParseError with the offset of the first wrong character.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from joyn.protocol.errors import ParseError

URI_MAX: Final = 1024
"""Characters of one URI."""

HOPS_MAX: Final = 16
"""URIs in one To-Path or From-Path: far above any chain of relays in use."""

_REMEMBERED: Final = 2048
"""Parsed URIs kept: each session names its two over and over."""

_USERINFO: Final = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()*+,;=:]|%[0-9A-Fa-f]{2})*")
_HOST: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9\-._])*")
_SESSION_ID: Final = re.compile(r"[A-Za-z0-9\-._~+=/%]+")
_TOKEN: Final = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]+")
_VALUE: Final = re.compile(r"[\x21-\x3a\x3c-\x7e]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class MsrpUri:
    """Where one end of an MSRP session is reached (RFC 4975 §6).

    `scheme` is 'msrp' or 'msrps', `transport` 'tcp' or 'ws' (others are kept as they came, in lower case).
    An IPv6 `host` is held without its brackets. `==` compares letter by letter; use `matches` for the RFC's rules.
    """

    scheme: str = "msrp"
    userinfo: str = ""
    host: str
    port: int | None = None
    session_id: str = ""
    transport: str = "tcp"
    parameters: tuple[tuple[str, str | None], ...] = ()

    @staticmethod
    def parse(text: str) -> "MsrpUri":
        """Read one URI; the result of a recent reading is reused. Raises ParseError."""
        return _parse(text)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        user = f"{self.userinfo}@" if self.userinfo else ""
        port = "" if self.port is None else f":{self.port}"
        session = f"/{self.session_id}" if self.session_id else ""
        rest = "".join(f";{name}" if value is None else f";{name}={value}" for name, value in self.parameters)
        return f"{self.scheme}://{user}{host}{port}{session};{self.transport}{rest}"

    @property
    def secure(self) -> bool:
        """Whether the connection must be TLS."""
        return self.scheme == "msrps"

    def matches(self, other: "MsrpUri") -> bool:
        """Whether both name the same thing by RFC 4975 §6.1.

        User part and other parameters do not count; a missing port or session-id equals only a missing one.
        """
        return (
            self.session_id == other.session_id
            and self.port == other.port
            and self.scheme == other.scheme
            and self.transport == other.transport
            and (self.host == other.host or _canonical(self.host) == _canonical(other.host))
        )


def parse_path(text: str) -> tuple[MsrpUri, ...]:
    """The URIs of a To-Path or From-Path, nearest hop first (RFC 4975 §7.1). Raises ParseError."""
    words = text.split(" ", HOPS_MAX)
    if len(words) > HOPS_MAX:
        raise ParseError(f"path of more than {HOPS_MAX} URIs", len(text) - len(words[-1]))
    uris: list[MsrpUri] = []
    at = 0
    for word in words:
        try:
            uris.append(MsrpUri.parse(word))
        except ParseError as error:
            raise ParseError(error.what, at + error.at) from None
        at += len(word) + 1
    return tuple(uris)


def _canonical(host: str) -> str | IPv4Address | IPv6Address:
    # RFC 4975 §6.1: addresses are compared by value, names without regard to case.
    try:
        return ip_address(host)
    except ValueError:
        return host.lower()


@lru_cache(maxsize=_REMEMBERED)
def _parse(text: str) -> MsrpUri:
    if len(text) > URI_MAX:
        raise ParseError(f"URI longer than {URI_MAX} characters", URI_MAX)
    scheme, separator, rest = text.partition("://")
    scheme = scheme.lower()
    if not separator or scheme not in ("msrp", "msrps"):
        raise ParseError("not an msrp or msrps URI", 0)
    at = len(text) - len(rest)
    # A user part may hold ';' but no '/', so it ends at the last '@' before the first '/'.
    slash = text.find("/", at)
    mark = text.rfind("@", at, slash if slash >= 0 else len(text))
    userinfo = ""
    if mark >= 0:
        userinfo = _whole(_USERINFO, text, at, mark, "user part")
        at = mark + 1
    host, at = _host(text, at)
    port, at = _port(text, at)
    session_id = ""
    if text.startswith("/", at):
        end = _until(text, ";", at)
        session_id = _whole(_SESSION_ID, text, at + 1, end, "session-id")
        at = end
    transport, parameters = _parameters(text, at)
    return MsrpUri(
        scheme=scheme,
        userinfo=userinfo,
        host=host,
        port=port,
        session_id=session_id,
        transport=transport,
        parameters=parameters,
    )


def _host(text: str, at: int) -> tuple[str, int]:
    if not text.startswith("[", at):
        found = _HOST.match(text, at)
        if found is None:
            raise ParseError("host expected", at)
        return found[0], found.end()
    end = text.find("]", at)
    try:
        # A zone ("%eth0") means nothing to the peer and is refused with the rest.
        if end < 0 or "%" in text[at:end]:
            raise ValueError
        IPv6Address(text[at + 1 : end])
    except ValueError:
        raise ParseError("IPv6 address expected", at + 1) from None
    return text[at + 1 : end], end + 1


def _port(text: str, at: int) -> tuple[int | None, int]:
    if not text.startswith(":", at):
        return None, at
    end = at + 1
    while end < len(text) and text[end] in "0123456789":
        end += 1
    digits = text[at + 1 : end]
    if not 1 <= len(digits) <= 5 or not 1 <= int(digits) <= 65535:
        raise ParseError("port from 1 to 65535 expected", at + 1)
    return int(digits), end


def _parameters(text: str, at: int) -> tuple[str, tuple[tuple[str, str | None], ...]]:
    if not text.startswith(";", at):
        raise ParseError("';' and a transport expected", at)
    end = _until(text, ";", at + 1)
    # RFC 4975 §6.1: the transport is compared without regard to case.
    transport = _whole(_TOKEN, text, at + 1, end, "transport").lower()
    parameters: list[tuple[str, str | None]] = []
    while end < len(text):
        at, end = end + 1, _until(text, ";", end + 1)
        equals = text.find("=", at, end)
        name = _whole(_TOKEN, text, at, end if equals < 0 else equals, "parameter")
        value = None if equals < 0 else _whole(_VALUE, text, equals + 1, end, "parameter value")
        parameters.append((name, value))
    return transport, tuple(parameters)


def _until(text: str, mark: str, at: int) -> int:
    found = text.find(mark, at)
    return len(text) if found < 0 else found


def _whole(pattern: re.Pattern[str], text: str, at: int, end: int, what: str) -> str:
    found = pattern.match(text, at, end)
    if found is None or found.end() != end:
        raise ParseError(f"{what} expected", at if found is None else found.end())
    return found[0]
