"""Ported numbers: those whose operator is not the one that their range says."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from joyn.model.route import Operator
from joyn.model.value import value
from joyn.protocol.errors import ParseError

__all__ = ["BACK", "DOMAIN", "NUMBER", "PortedNumber", "operator_named", "read_row"]

NUMBER: Final = re.compile(r"\+[1-9][0-9]{2,14}", re.ASCII)
DOMAIN: Final = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*"
)


@value
class PortedNumber:
    """`number` (E.164) is `operator`'s since `at`, wall-clock seconds. With an empty operator it is back with the one
    that its range says."""

    number: str
    operator: Operator
    at: float


def operator_named(text: str) -> Operator:
    """The operator of a SIP domain, in lower case. Raises ParseError."""
    domain = text.strip().lower()
    if not DOMAIN.fullmatch(domain) or domain.replace(".", "").isdecimal():
        raise ParseError(f"{text[:80]!r} is no operator's domain, as sfr.example", 0)
    return Operator(domain)


BACK: Final = Operator("")
"""The operator of a number that is back with the one its range says."""
# A table of a million rows has a few names.
_cached_operator = lru_cache(1_000)(operator_named)


def read_row(row: str, at: float) -> PortedNumber | None:
    """A line `number,operator` of a table of ported numbers; None for an empty one, a comment (#) and the heading.

    An empty operator says that the number is back. Raises ParseError.
    """
    line = row.strip()
    number, comma, operator = line.partition(",")
    if not line or line[0] == "#" or number == "number":
        return None
    number = number.strip()
    if not comma or "," in operator:
        raise ParseError("is not number,operator", 0)
    if not NUMBER.fullmatch(number):
        raise ParseError(f"{number[:40]!r} is no number as +33639980001", 0)
    return PortedNumber(number=number, operator=_cached_operator(operator) if operator.strip() else BACK, at=at)
