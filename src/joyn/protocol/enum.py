"""ENUM: a telephone number as a domain name, and the SIP URIs that its NAPTR records make of it.

Spec: RFC 6116, RFC 3402 (substitution), RFC 3403 (NAPTR); IR.67 (facts §10).
Pure. A rule's expression is somebody else's text: it is read by a small grammar that cannot backtrack without end.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from joyn.protocol.errors import ParseError

__all__ = ["Naptr", "domain_of", "sip_uris", "substitute"]

MAX_EXPRESSION: Final = 255
"""Characters of a rule: RFC 3403 §4.1 makes it one character-string."""
MAX_REPEATS: Final = 3
"""Repeated atoms of an expression. On 16 characters they can be shared out in some hundred ways, whatever is tried."""
MAX_RECORDS: Final = 32
"""Records of a name that are looked at."""
MAX_RESULT: Final = 256
"""Characters of the URI that comes out."""

_ATOM: Final = re.compile(
    r"""
    [\^$()|]
  | (?: \. | \\[^0-9A-Za-z] | \[\^?\]?[^\]\[\\]*\] | [^\\^$()|*+?{}\[\].] )
    (?P<repeat> [*+?] | \{[0-9]{1,2}(?:,[0-9]{0,2})?\} )?
    """,
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Naptr:
    """One NAPTR record (RFC 3403 §4.1), texts as they came."""

    order: int
    preference: int
    flags: str
    service: str
    regexp: str
    replacement: str = ""


def domain_of(number: str, root: str) -> str:
    """RFC 6116 §3.2: `+33612` under `e164enum.net` is `2.1.6.3.3.e164enum.net`."""
    return ".".join([*reversed(number.removeprefix("+")), root])


def sip_uris(records: Iterable[Naptr], number: str) -> list[str]:
    """What the rules for E2U+sip make of an E.164 number, the one to try first in front.

    RFC 6116 §3.4, RFC 3403 §4.1: by order, then preference. A rule that cannot be read, or does not match, is passed
    over, as are those of other services and those that lead to other names.
    """
    found = []
    rules = sorted(list(records)[:MAX_RECORDS], key=lambda rule: (rule.order, rule.preference))
    for rule in rules:
        if rule.flags.lower() != "u" or not _is_sip(rule.service):
            continue
        try:
            made = substitute(rule.regexp, number)
        except ParseError:
            continue
        if made is not None and made[:5].lower().startswith(("sip:", "sips:")):
            found.append(made)
    return found


def substitute(expression: str, number: str) -> str | None:
    """Apply `!pattern!replacement!flags` to a number; None when the pattern does not match. Raises ParseError."""
    pattern, replacement = _rule(expression)
    match = pattern.search(number)
    if match is None:
        return None
    made = number[: match.start()] + "".join(
        (match[part] or "") if isinstance(part, int) else part for part in replacement
    )
    made += number[match.end() :]
    if len(made) > MAX_RESULT or not made.isascii() or not made.isprintable() or " " in made:
        raise ParseError("what comes out is no URI", 0)
    return made


def _is_sip(service: str) -> bool:
    """RFC 6116 §3.4.3: E2U, then enumservices; `sip` has no subtype (RFC 3764). RFC 2916 turned them round."""
    parts = service.lower().split("+")
    return "e2u" in (parts[0], parts[-1]) and "sip" in parts


@lru_cache(1_024)
def _rule(expression: str) -> tuple[re.Pattern[str], tuple[str | int, ...]]:
    """The pattern, and the replacement as texts and numbers of groups. Raises ParseError."""
    if len(expression) > MAX_EXPRESSION:
        raise ParseError("the expression is too long", MAX_EXPRESSION)
    # RFC 3402 §3.2: the delimiter is whatever comes first, no digit, backslash or flag.
    delimiter = expression[:1]
    if not delimiter or delimiter in "123456789\\i":
        raise ParseError("the expression has no delimiter", 0)
    parts = re.split(rf"(?<!\\){re.escape(delimiter)}", expression)
    if len(parts) != 4 or parts[0] or parts[3] not in ("", "i"):
        raise ParseError("the expression is not !pattern!replacement!", 0)
    pattern, replacement = (part.replace(f"\\{delimiter}", delimiter) for part in parts[1:3])
    compiled = _pattern(pattern, re.IGNORECASE if parts[3] else 0)
    pieces: list[str | int] = []
    for text, group in re.findall(r"([^\\]+)|\\([1-9])", replacement):
        pieces.append(int(group) if group else text)
    written = "".join(f"\\{piece}" if isinstance(piece, int) else piece for piece in pieces)
    if written != replacement:
        raise ParseError("the replacement has a backslash before no digit", 0)
    if any(isinstance(piece, int) and piece > compiled.groups for piece in pieces):
        raise ParseError("the replacement names a group that the pattern has not", 0)
    return compiled, tuple(pieces)


def _pattern(text: str, flags: int) -> re.Pattern[str]:
    """A POSIX extended expression of what rules are made of: characters, sets, anchors, groups, alternatives, and
    repeated characters. A repeated group is refused: only that can backtrack without end."""
    at = repeats = 0
    while at < len(text):
        match = _ATOM.match(text, at)
        if match is None:
            raise ParseError("the pattern has something that rules do not need", at)
        if match["repeat"] is not None:
            repeats += 1
        if match.end() < len(text) and text[match.end()] in "*+?{":
            raise ParseError("the pattern repeats what is no single character", match.end())
        at = match.end()
    if repeats > MAX_REPEATS:
        raise ParseError(f"the pattern repeats more than {MAX_REPEATS} times", 0)
    try:
        return re.compile(text, flags | re.ASCII)
    except re.error as error:
        raise ParseError(f"the pattern is none: {error}", error.pos or 0) from None
