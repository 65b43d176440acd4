"""Challenges and credentials as they stand in headers; what they mean is in `digest`.

Spec: RFC 3261 §20.7, §20.44 and §25.1; RFC 7616 §3.3 to §3.5; RFC 7235 §2.1 (several challenges on a line).
Pure: text gives a value or ParseError, in linear time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from joyn.protocol.errors import ParseError
from joyn.protocol.sip.headers import TOKEN, quote, quoted_end, unquote

MAX_CHALLENGES = 16
"""Challenges or credentials in one message."""

# RFC 7616 §3.3, §3.4: these go without quotes, everything else within.
_UNQUOTED = frozenset(("algorithm", "stale", "nc"))
_USUAL = frozenset("username realm nonce uri response algorithm qop nc cnonce opaque stale".split())


@dataclass(frozen=True, slots=True)
class Auth:
    """A challenge (WWW-Authenticate, Proxy-Authenticate) or credentials (Authorization, Proxy-Authorization).

    `scheme` as written, usually `Digest`; `parameters` with lower-case names and values without quotes.
    """

    scheme: str
    parameters: dict[str, str] = field(default_factory=dict)

    def get(self, name: str) -> str:
        """The parameter `name` (lower case), empty when absent."""
        return self.parameters.get(name, "")

    def __str__(self) -> str:
        return f"{self.scheme} {emit_auth_parameters(self.parameters)}"


def parse_auth(value: str) -> Auth:
    """Read one challenge or one set of credentials. Raises ParseError."""
    scheme, space, rest = value.strip(" \t").partition(" ")
    if not space or not TOKEN.issuperset(scheme):
        raise ParseError("no authentication scheme", 0)
    return Auth(scheme, parse_auth_parameters(rest))


def parse_auths(values: Iterable[str]) -> list[Auth]:
    """Read every challenge of every field of one name, several on a line included. Raises ParseError."""
    found: list[Auth] = []
    for value in values:
        alone = _alone(value)
        if alone is not None:
            found.append(alone)
        for part in () if alone is not None else _split(value):
            scheme, space, rest = part.partition(" ")
            if space and "=" not in scheme and rest.lstrip(" \t")[:1] != "=":
                if not TOKEN.issuperset(scheme):
                    raise ParseError("no authentication scheme", 0)
                found.append(Auth(scheme, parse_auth_parameters(rest)))
            elif found:
                _first_counts(found[-1].parameters, part)
            else:
                raise ParseError("no authentication scheme", 0)
        if len(found) > MAX_CHALLENGES:
            raise ParseError(f"more than {MAX_CHALLENGES} challenges", 0)
    return found


def parse_auth_parameters(text: str) -> dict[str, str]:
    """Read `name=value, name="value"`: what follows a scheme, or all of Authentication-Info. Raises ParseError."""
    found: dict[str, str] = {}
    at, end = 0, len(text)
    while at < end:
        equals = text.find("=", at)
        if equals < 0:
            if text[at:].strip(" \t,"):
                raise ParseError("authentication parameter without a value", at)
            break
        name = text[at:equals].strip(" \t,")
        if name not in _USUAL:
            name = name.lower()
            if not name or not TOKEN.issuperset(name):
                raise ParseError("authentication parameter without a name", at)
        at = equals + 1
        while at < end and text[at] in " \t":
            at += 1
        if at < end and text[at] == '"':
            close = quoted_end(text, at)
            value = text[at + 1 : close]
            if "\\" in value:
                value = unquote(f'"{value}"')
            at = close + 1
            if at < end and text[at] != ",":
                comma = text.find(",", at)
                if text[at : comma if comma >= 0 else end].strip(" \t"):
                    raise ParseError("text after a quoted value", at)
                at = comma if comma >= 0 else end
        else:
            comma = text.find(",", at)
            value = text[at : comma if comma >= 0 else end].strip(" \t")
            at = comma if comma >= 0 else end
        at += 1
        # RFC 7616 §3.4: a repeated parameter is an error; taking either one would let two readers differ.
        if name in found:
            raise ParseError("authentication parameter given twice", equals)
        found[name] = value
    return found


def emit_auth_parameters(parameters: dict[str, str]) -> str:
    """`name=value, name="value"`, quoted as RFC 7616 wants it."""
    # RFC 7616 §3.4: qop is quoted in a challenge, where it is a list, and not in an answer.
    answer = "response" in parameters or "rspauth" in parameters
    return ", ".join(
        f"{name}={value}" if name in _UNQUOTED or (name == "qop" and answer) else f"{name}={quote(value)}"
        for name, value in parameters.items()
    )


def _alone(value: str) -> Auth | None:
    """The one challenge or set of credentials of a field, as nearly all have; None when it has to be taken apart."""
    scheme, space, rest = value.strip(" \t").partition(" ")
    rest = rest.lstrip(" \t")
    if not space or not TOKEN.issuperset(scheme) or rest[:1] == "=":
        return None
    try:
        # A second scheme stands before its first parameter's name, which is then no token.
        return Auth(scheme, parse_auth_parameters(rest))
    except ParseError:
        return None


def _first_counts(parameters: dict[str, str], part: str) -> None:
    for name, value in parse_auth_parameters(part).items():
        if name in parameters:
            raise ParseError("authentication parameter given twice", 0)
        parameters[name] = value


def _split(value: str) -> list[str]:
    """At commas outside quotes; angle brackets mean nothing here."""
    parts, start, at = [], 0, 0
    while True:
        comma = value.find(",", at)
        opening = value.find('"', at, comma if comma >= 0 else len(value))
        if opening >= 0:
            at = quoted_end(value, opening) + 1
            continue
        parts.append(value[start : comma if comma >= 0 else len(value)].strip(" \t"))
        if comma < 0:
            return [part for part in parts if part]
        start = at = comma + 1
