"""Two numbers the store must not lose: the next free id, and how far expiry has been swept."""

from __future__ import annotations

import math
import sqlite3

__all__ = ["Progress"]


class Progress:
    """Belongs to the writer's thread.

    `next_id` is not written with every message: the highest number in the tables says it as well, except when that
    was deleted, and whoever deletes calls `save_next_id` in the same transaction.
    """

    __slots__ = ("next_id", "swept_until")

    def __init__(self, connection: sqlite3.Connection) -> None:
        saved = dict(connection.execute("SELECT name, value FROM progress").fetchall())
        (message,) = connection.execute("SELECT max(id) FROM message").fetchone()
        (entry,) = connection.execute("SELECT max(seq) FROM entry").fetchone()
        self.next_id: int = max(saved.get("next_id", 1), (message or 0) + 1, (entry or 0) + 1)
        self.swept_until: float = saved.get("swept_until", -math.inf)

    def take(self, count: int) -> int:
        """The first of `count` numbers that nothing else ever gets."""
        number = self.next_id
        self.next_id = number + count
        return number

    def save_next_id(self, connection: sqlite3.Connection) -> None:
        """To be called where messages or entries are deleted."""
        self._save(connection, "next_id", self.next_id)

    def save_swept_until(self, connection: sqlite3.Connection, until: float) -> None:
        """Every chat message due until then has been looked at. Set `swept_until` too, once that is committed."""
        self._save(connection, "swept_until", until)

    def sweep_again_from(self, connection: sqlite3.Connection, due: float) -> None:
        """A message is due at a time that was swept before: look at it too."""
        self.swept_until = math.nextafter(due, -math.inf)
        self._save(connection, "swept_until", self.swept_until)

    @staticmethod
    def _save(connection: sqlite3.Connection, name: str, value: float) -> None:
        connection.execute("REPLACE INTO progress (name, value) VALUES (?, ?)", (name, value))
