"""Ported numbers, with those asked for last kept in memory: every message asks for one."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from joyn.model.ported import PortedNumber
from joyn.model.route import Operator
from joyn.store import MAX_PORTED
from joyn.store.sqlite.connection import Reader
from joyn.store.sqlite.statements import ManyRows
from joyn.store.sqlite.subscribers import Recent
from joyn.store.sqlite.writer import Writer

__all__ = ["SqlitePortedNumbers"]

_PUT = ManyRows(
    "INSERT INTO ported (number, operator, at) VALUES ",
    "(?, ?, ?)",
    " ON CONFLICT (number) DO UPDATE SET operator = excluded.operator, at = excluded.at",
)
_REMOVE = ManyRows("DELETE FROM ported WHERE number IN (", "?", ")")


class SqlitePortedNumbers:
    """See joyn.store.PortedNumbers. The cache holds what is committed; a change makes it forget, on the loop, before
    the coroutine that made it goes on."""

    def __init__(
        self,
        writer: Writer,
        quick: Reader,
        in_thread: Callable[..., Awaitable[list[tuple[Any, ...]]]],
        cached: int,
    ) -> None:
        self._writer = writer
        self._quick = quick
        self._in_thread = in_thread
        self._recent: Recent[str, PortedNumber | None] = Recent(cached)

    async def get(self, number: str) -> PortedNumber | None:
        """The row of a number, or None."""
        return self._recent.get(number, self._read)

    async def put(self, ported: Sequence[PortedNumber]) -> None:
        """Add or replace, and remove what is back; durable when it returns."""
        if len(ported) > MAX_PORTED:
            raise ValueError(f"{len(ported)} ported numbers at once; {MAX_PORTED} is the bound")
        # The last of several rows for one number counts.
        latest = {one.number: one for one in ported}
        rows: list[Any] = []
        for one in latest.values():
            if one.operator:
                rows += (_key(one.number), one.operator, one.at)
        back = [_key(one.number) for one in latest.values() if not one.operator]

        def write(connection: sqlite3.Connection) -> None:
            _PUT.write(connection, rows)
            _REMOVE.write(connection, back)

        def forget(_: None) -> None:
            for number in latest:
                self._recent.forget(number)

        if latest:
            await self._writer.call(write, forget)

    async def counts(self) -> dict[Operator, int]:
        """How many numbers each operator has."""
        rows = await self._in_thread("SELECT operator, count(*) FROM ported GROUP BY operator ORDER BY operator")
        return {Operator(operator): count for operator, count in rows}

    async def of_subscribers(self) -> list[PortedNumber]:
        """Rows of numbers that are subscribers' here."""
        rows = await self._in_thread(
            "SELECT ported.number, operator, at FROM subscriber CROSS JOIN ported "
            "ON ported.number = CAST(substr(subscriber.aor, 6) AS INTEGER) WHERE subscriber.aor LIKE 'tel:+%'"
        )
        return [PortedNumber(number=f"+{number}", operator=Operator(operator), at=at) for number, operator, at in rows]

    def _read(self, number: str) -> PortedNumber | None:
        rows = self._quick.rows("SELECT operator, at FROM ported WHERE number = ?", (_key(number),))
        return PortedNumber(number=number, operator=Operator(rows[0][0]), at=rows[0][1]) if rows else None


def _key(number: str) -> int:
    """An E.164 number as the row's key: it begins with no zero and has at most 15 digits."""
    return int(number[1:])
