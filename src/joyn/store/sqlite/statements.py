"""Statements over many rows, and frozen values made from rows.

sqlite3 lets go of the interpreter lock at every step, and with a busy event loop beside it each step may wait a whole
switch interval to get it back: few large statements beat many small ones. So every writer here says what it wants with
one statement per 64 rows, compiled once per size.
"""

from __future__ import annotations

import dataclasses
import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from itertools import repeat
from operator import call
from typing import Any, TypeVar

__all__ = ["ROWS_PER_STATEMENT", "ManyRows", "fields_of", "maker"]

ROWS_PER_STATEMENT = 64

V = TypeVar("V")


class ManyRows:
    """A statement with a repeated part: `head row, row, row tail`, each row holding `width` parameters."""

    __slots__ = ("_head", "_row", "_sizes", "_tail", "_width")

    def __init__(self, head: str, row: str, tail: str = "") -> None:
        self._head, self._row, self._tail = head, row, tail
        self._width = row.count("?")
        self._sizes: dict[int, str] = {}

    def _sql(self, rows: int) -> str:
        sql = self._sizes.get(rows)
        if sql is None:
            sql = self._sizes[rows] = self._head + ",".join([self._row] * rows) + self._tail
        return sql

    def write(self, connection: sqlite3.Connection, parameters: Sequence[Any], after: tuple[Any, ...] = ()) -> int:
        """Run it over all rows in `parameters` (one flat sequence); `after` are the parameters of the tail.

        Returns how many rows it has changed.
        """
        step = ROWS_PER_STATEMENT * self._width
        changed = 0
        for start in range(0, len(parameters), step):
            part = parameters[start : start + step]
            statement = connection.execute(self._sql(len(part) // self._width), (*part, *after) if after else part)
            changed += statement.rowcount
        return changed

    def read(self, connection: sqlite3.Connection, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        """The rows it answers, for all rows in `parameters`."""
        found: list[tuple[Any, ...]] = []
        step = ROWS_PER_STATEMENT * self._width
        for start in range(0, len(parameters), step):
            part = parameters[start : start + step]
            found += connection.execute(self._sql(len(part) // self._width), part).fetchall()
        return found


def fields_of(kind: type[Any]) -> tuple[str, ...]:
    """The names of a dataclass's fields in order."""
    return tuple(field.name for field in dataclasses.fields(kind))


def maker(kind: type[V]) -> Callable[[Sequence[Any]], V]:
    """A function making a frozen, slotted dataclass from all its field values in order.

    The same value its constructor makes, in half the time: the constructor of a frozen class goes through
    `object.__setattr__` by name for every field, this through the slots themselves, with no bytecode in between.
    """
    setters = tuple(getattr(kind, name).__set__ for name in fields_of(kind))
    new = object.__new__

    def make(values: Sequence[Any]) -> V:
        value = new(kind)
        # A deque of length 0 runs the map to its end and keeps nothing.
        deque(map(call, setters, repeat(value), values), 0)
        return value

    return make
