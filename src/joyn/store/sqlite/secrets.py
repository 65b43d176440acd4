"""The node's own secrets. The database file is its owner's alone (see connection.py)."""

from __future__ import annotations

import sqlite3

from joyn.store.sqlite.connection import Reader
from joyn.store.sqlite.writer import Writer

__all__ = ["SqliteSecrets"]


class SqliteSecrets:
    """See joyn.store.Secrets."""

    def __init__(self, writer: Writer, quick: Reader) -> None:
        self._writer = writer
        self._quick = quick

    async def keep(self, name: str, fresh: bytes) -> bytes:
        """The secret of this name."""
        # Read first: a node must be able to start on a full disk.
        kept = self._quick.rows("SELECT value FROM secret WHERE name = ?", (name,))
        if kept:
            return bytes(kept[0][0])

        def write(connection: sqlite3.Connection) -> bytes:
            connection.execute("INSERT OR IGNORE INTO secret (name, value) VALUES (?, ?)", (name, fresh))
            value: bytes = connection.execute("SELECT value FROM secret WHERE name = ?", (name,)).fetchone()[0]
            return value

        return await self._writer.call(write)
