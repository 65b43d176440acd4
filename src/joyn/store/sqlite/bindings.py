"""Contact bindings. Updates of one commit are folded by key, then written in two statements."""

# SQL is put together from constants of this package only.
# ruff: noqa: S608

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from operator import attrgetter
from typing import Any

from joyn.model.aor import Aor
from joyn.model.binding import Binding
from joyn.store.sqlite.connection import Reader
from joyn.store.sqlite.statements import ManyRows, fields_of, maker
from joyn.store.sqlite.writer import Writer

__all__ = ["SqliteBindings"]

_FIELDS = fields_of(Binding)
_COLUMNS = ", ".join(_FIELDS)
_make = maker(Binding)
_values = attrgetter(*_FIELDS)

_PUT = ManyRows(
    f"INSERT INTO binding (key, {_COLUMNS}) VALUES ",
    f"({', '.join('?' * (len(_FIELDS) + 1))})",
    " ON CONFLICT (aor, key, reg_id) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in _FIELDS if name not in ("aor", "reg_id")),
)
_REMOVE = "DELETE FROM binding WHERE aor = ? AND key = ? AND reg_id = ?"

Update = tuple[Sequence[Binding], Sequence[Binding]]


class SqliteBindings:
    """See joyn.store.Bindings."""

    def __init__(
        self, writer: Writer, reader: Reader, in_thread: Callable[..., Awaitable[list[tuple[Any, ...]]]]
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._in_thread = in_thread

    async def of(self, aor: Aor) -> list[Binding]:
        """All bindings of an AOR, expired ones included until `expire` took them."""
        rows = self._reader.rows(f"SELECT {_COLUMNS} FROM binding WHERE aor = ?", (aor,))
        return [_make(row) for row in rows]

    async def update(self, put: Sequence[Binding] = (), remove: Sequence[Binding] = ()) -> None:
        """Replace by (aor, key) and remove by (aor, key), in one commit; durable when it returns. Batched.

        What stands in both is removed first, then put.
        """
        await self._writer.submit(self, (put, remove))

    def write(self, connection: sqlite3.Connection, works: Sequence[Update]) -> Sequence[None]:
        """All updates of one commit: the last word on each key counts."""
        last: dict[tuple[str, str, int], Binding | None] = {}
        for put, remove in works:
            for binding in remove:
                last[(binding.aor, *binding.key)] = None
            for binding in put:
                last[(binding.aor, *binding.key)] = binding
        puts: list[Any] = []
        removals: list[tuple[str, str, int]] = []
        for place, last_word in last.items():
            if last_word is None:
                removals.append(place)
            else:
                puts.append(place[1])
                puts.extend(_values(last_word))
        connection.executemany(_REMOVE, removals)
        _PUT.write(connection, puts)
        return [None] * len(works)

    async def all(self, node: str) -> list[Binding]:
        """Every binding whose flow is on this node; read once at start."""
        rows = await self._in_thread(f"SELECT {_COLUMNS} FROM binding WHERE node = ?", (node,))
        return [_make(row) for row in rows]

    async def expire(self, now: float) -> list[Binding]:
        """Remove and return those whose expires_at has passed."""

        def write(connection: sqlite3.Connection) -> list[tuple[Any, ...]]:
            rows = connection.execute(
                f"SELECT {_COLUMNS} FROM binding WHERE expires_at <= ? ORDER BY expires_at",
                (now,),
            ).fetchall()
            if rows:
                connection.execute("DELETE FROM binding WHERE expires_at <= ?", (now,))
            return rows

        return [_make(row) for row in await self._writer.call(write)]
