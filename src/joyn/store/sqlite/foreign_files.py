"""Files of peer operators' subscribers that our links lead to and that are not here yet."""

# SQL is put together from constants of this package only.
# ruff: noqa: S608

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from joyn.model.aor import Aor
from joyn.model.file import FileUsage, ForeignFile, StoredFile
from joyn.store import GONE_FOR, MAX_FOREIGN
from joyn.store.sqlite.connection import Reader
from joyn.store.sqlite.files import PUT_FILE, count, fits, row_of
from joyn.store.sqlite.statements import fields_of
from joyn.store.sqlite.writer import Writer

__all__ = ["SqliteForeignFiles"]

_FIELDS = fields_of(ForeignFile)
_GET = f"SELECT {', '.join(_FIELDS)} FROM foreign_file WHERE id = ?"
_PUT = f"INSERT INTO foreign_file ({', '.join(_FIELDS)}, reserved) VALUES ({', '.join('?' * len(_FIELDS))}, 0)"
_KNOWN = "SELECT until FROM foreign_file WHERE id = ?1 UNION ALL SELECT until FROM file WHERE id = ?1"
_WAITED_FOR = "SELECT owner, size, reserved FROM foreign_file WHERE id = ? AND lost = 0"
_WAIT = (
    "INSERT INTO foreign_waiting (owner, files) VALUES (?, ?) "
    "ON CONFLICT (owner) DO UPDATE SET files = files + excluded.files"
)


class SqliteForeignFiles:
    """See joyn.store.ForeignFiles."""

    def __init__(
        self, writer: Writer, quick: Reader, in_thread: Callable[..., Awaitable[list[tuple[Any, ...]]]]
    ) -> None:
        self._writer = writer
        self._quick = quick
        self._in_thread = in_thread

    async def add(self, files: Sequence[ForeignFile]) -> dict[str, float]:
        """Remember these."""

        def write(connection: sqlite3.Connection) -> dict[str, float]:
            found: dict[str, float] = {}
            for file in files:
                known = connection.execute(_KNOWN, (file.id,)).fetchone()
                if known is not None:
                    found[file.id] = known[0]
                elif _waiting(connection, file.owner) < MAX_FOREIGN:
                    connection.execute(_PUT, tuple(getattr(file, name) for name in _FIELDS))
                    _wait(connection, file.owner, 1)
                    found[file.id] = file.until
            return found

        return await self._writer.call(write)

    async def get(self, file_id: str) -> ForeignFile | None:
        """The one with this id."""
        rows = self._quick.rows(_GET, (file_id,))
        if not rows:
            return None
        values = dict(zip(_FIELDS, rows[0], strict=True))
        return ForeignFile(**values | {"lost": bool(values["lost"])})

    async def reserve(self, file_id: str, most: FileUsage) -> bool:
        """Count its size for its owner."""

        def write(connection: sqlite3.Connection) -> bool:
            row = connection.execute(_WAITED_FOR, (file_id,)).fetchone()
            if row is None:
                return False
            owner, size, reserved = row
            if reserved:
                return True
            if not fits(connection, owner, size, most):
                return False
            connection.execute("UPDATE foreign_file SET reserved = size WHERE id = ?", (file_id,))
            count(connection, owner, size)
            return True

        return await self._writer.call(write)

    async def arrive(self, file: StoredFile) -> bool:
        """It is here."""

        def write(connection: sqlite3.Connection) -> bool:
            row = connection.execute(_WAITED_FOR, (file.id,)).fetchone()
            if row is None:
                return False
            connection.execute("DELETE FROM foreign_file WHERE id = ?", (file.id,))
            _wait(connection, file.owner, -1)
            connection.execute(PUT_FILE, row_of(file))
            count(connection, file.owner, file.size - row[2])
            return True

        return await self._writer.call(write)

    async def lose(self, file_id: str) -> None:
        """It will never be here."""

        def write(connection: sqlite3.Connection) -> None:
            row = connection.execute(_WAITED_FOR, (file_id,)).fetchone()
            if row is not None:
                _lose(connection, file_id, row[0], row[2])

        await self._writer.call(write)

    async def waiting(self, now: float) -> list[tuple[Aor, str]]:
        """Owner and id of all that are waited for."""
        rows = await self._in_thread("SELECT owner, id FROM foreign_file WHERE lost = 0 AND until > ?", (now,))
        return [(Aor(owner), file_id) for owner, file_id in rows]

    async def expire(self, now: float, limit: int = 1000) -> int:
        """Lose those that are over."""

        def write(connection: sqlite3.Connection) -> int:
            over = connection.execute(
                "SELECT id, owner, reserved FROM foreign_file WHERE until <= ? AND lost = 0 LIMIT ?", (now, limit)
            ).fetchall()
            for file_id, owner, reserved in over:
                _lose(connection, file_id, owner, reserved)
            connection.execute(
                "DELETE FROM foreign_file WHERE id IN "
                "(SELECT id FROM foreign_file WHERE until <= ? AND lost = 1 LIMIT ?)",
                (now - GONE_FOR, limit),
            )
            return len(over)

        return await self._writer.call(write)


def _waiting(connection: sqlite3.Connection, owner: Aor) -> int:
    row = connection.execute("SELECT files FROM foreign_waiting WHERE owner = ?", (owner,)).fetchone()
    return 0 if row is None else int(row[0])


def _wait(connection: sqlite3.Connection, owner: Aor, more: int) -> None:
    connection.execute(_WAIT, (owner, more))


def _lose(connection: sqlite3.Connection, file_id: str, owner: Aor, reserved: int) -> None:
    connection.execute("UPDATE foreign_file SET lost = 1, reserved = 0 WHERE id = ?", (file_id,))
    count(connection, owner, -reserved)
    _wait(connection, owner, -1)
