"""Number ranges: whose numbers begin so. The longest prefix wins."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from joyn.model.route import Operator

__all__ = ["PREFIX", "RangeTaken", "Ranges"]

PREFIX: Final = re.compile(r"\+[1-9][0-9]{0,14}", re.ASCII)
"""A prefix of E.164 numbers."""


class RangeTaken(ValueError):
    """A prefix was given to two operators."""


class Ranges:
    """Prefixes of E.164 numbers and the operator of each. Raises RangeTaken, ValueError for what is no prefix."""

    def __init__(self, ranges: Iterable[tuple[str, Operator]] = ()) -> None:
        self._owners: dict[str, Operator] = {}
        for prefix, operator in ranges:
            if not PREFIX.fullmatch(prefix):
                raise ValueError(f"{prefix!r} is no prefix of numbers, as +3363998")
            taken = self._owners.setdefault(prefix, operator)
            if taken != operator:
                raise RangeTaken(f"{prefix} is a range of {taken} and of {operator}")
        # Longest first; there are no more lengths than an E.164 number has digits.
        self._lengths = sorted({len(prefix) for prefix in self._owners}, reverse=True)

    def with_more(self, ranges: Iterable[tuple[str, Operator]]) -> Ranges:
        """These and more of them; what a prefix is already stays."""
        merged: dict[str, Operator] = {}
        for prefix, operator in (*self._owners.items(), *ranges):
            merged.setdefault(prefix, operator)
        return Ranges(merged.items())

    def __len__(self) -> int:
        return len(self._owners)

    def find(self, number: str) -> tuple[str, Operator] | None:
        """The longest prefix that an E.164 number begins with, and its operator."""
        for length in self._lengths:
            prefix = number[:length]
            operator = self._owners.get(prefix)
            # A number of fewer digits than the prefix is none of its range.
            if operator is not None and len(prefix) == length:
                return prefix, operator
        return None

    def carved_out(self) -> list[tuple[str, str]]:
        """Each prefix that lies within another operator's, with that one: legal, as the longest wins, and worth
        knowing."""
        found = []
        for prefix, operator in sorted(self._owners.items()):
            around = next((prefix[:end] for end in range(len(prefix) - 1, 1, -1) if prefix[:end] in self._owners), "")
            if around and self._owners[around] != operator:
                found.append((prefix, around))
        return found
