"""Which devices are ready: the operator's catalogue, one TOML table of rules on vendor, model and software version.

Spec: facts §9.2 (what a device says of itself). The first rule that fits decides; without one a device is ready.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from enum import Enum
from fnmatch import fnmatchcase
from typing import Any, Final

__all__ = ["Catalogue", "CatalogueError", "Rule", "Verdict"]

_KEYS: Final = frozenset(("vendor", "model", "before", "verdict", "message"))


class CatalogueError(ValueError):
    """The file is no catalogue; the text says where and why."""


class Verdict(Enum):
    """What a device may do."""

    READY = "ready"
    UPDATE = "update"
    """Its software has to be brought up to date first: it sleeps until then (VERS dormant)."""
    UNSUPPORTED = "unsupported"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Fits devices of these names (`*` stands for anything) whose software is older than `before` (empty: any)."""

    vendor: str = "*"
    model: str = "*"
    before: str = ""
    verdict: Verdict
    message: str = ""

    def fits(self, vendor: str, model: str, version: str) -> bool:
        """Whether this rule is about such a device."""
        if not fnmatchcase(vendor.lower(), self.vendor.lower()) or not fnmatchcase(model.lower(), self.model.lower()):
            return False
        return not self.before or _parts(version) < _parts(self.before)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The rules in their order."""

    rules: tuple[Rule, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Catalogue:
        """Read a file with a `[[device]]` table for each rule. Raises CatalogueError."""
        try:
            tables = tomllib.loads(text).get("device", [])
        except tomllib.TOMLDecodeError as error:
            raise CatalogueError(f"not TOML: {error}") from None
        if not isinstance(tables, list):
            raise CatalogueError("device: a list of tables is wanted: [[device]]")
        return cls(tuple(_rule(number, table) for number, table in enumerate(tables)))

    def verdict(self, vendor: str, model: str, version: str) -> tuple[Verdict, str]:
        """What such a device may do, and what to tell its user."""
        for rule in self.rules:
            if rule.fits(vendor, model, version):
                return rule.verdict, rule.message
        return Verdict.READY, ""


def _rule(number: int, table: Any) -> Rule:
    where = f"device[{number}]"
    if not isinstance(table, dict) or not all(isinstance(value, str) for value in table.values()):
        raise CatalogueError(f"{where}: a table of texts is wanted")
    unknown = table.keys() - _KEYS
    if unknown:
        raise CatalogueError(f"{where}: there is no key {min(unknown)}; known are {', '.join(sorted(_KEYS))}")
    try:
        verdict = Verdict(table.get("verdict"))
    except ValueError:
        raise CatalogueError(f"{where}.verdict: it is one of {', '.join(one.value for one in Verdict)}") from None
    return Rule(**table | {"verdict": verdict})


def _parts(version: str) -> tuple[tuple[int, int | str], ...]:
    """A version in an order: numbers as numbers, and before letters."""
    return tuple(
        (0, int(part)) if part.isdigit() else (1, part) for part in re.findall(r"[0-9]{1,9}|[a-z]+", version.lower())
    )
