"""Subscribers and their block lists, with what is asked for often kept in memory."""

# SQL is put together from constants of this package only.
# ruff: noqa: S608

from __future__ import annotations

import json
import sqlite3
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from joyn.model.aor import Aor
from joyn.model.subscriber import Subscriber
from joyn.store.sqlite.connection import Reader
from joyn.store.sqlite.writer import Writer

__all__ = ["Recent", "SqliteSubscribers"]

K = TypeVar("K")
V = TypeVar("V")

_COLUMNS = "aor, username, realm, ha1, algorithms, display_name, blocked, file_quota, created_at"


class Recent(Generic[K, V]):
    """The `size` values asked for last. A value may be None: that there is nobody is worth remembering too."""

    __slots__ = ("_size", "_values")

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K, read: Callable[[K], V]) -> V:
        """The value, from memory or as `read` answers."""
        values = self._values
        try:
            value = values[key]
            values.move_to_end(key)
        except KeyError:
            value = values[key] = read(key)
            if len(values) > self._size:
                values.popitem(last=False)
        return value

    def remember(self, key: K, value: V) -> None:
        """This is known without reading it."""
        self.get(key, lambda _key: value)

    def forget(self, key: K) -> None:
        """Read it anew next time."""
        self._values.pop(key, None)

    def __len__(self) -> int:
        return len(self._values)


class SqliteSubscribers:
    """See joyn.store.Subscribers. Two caches hold what is committed; every change makes them forget, on the loop,
    before the coroutine that made it goes on."""

    def __init__(
        self,
        writer: Writer,
        reader: Reader,
        in_thread: Callable[..., Awaitable[list[tuple[Any, ...]]]],
        forget_mailbox: Callable[[sqlite3.Connection, Aor], None],
        mailbox_forgotten: Callable[[Aor], None],
        cached: int,
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._in_thread = in_thread
        self._forget_mailbox = forget_mailbox
        self._mailbox_forgotten = mailbox_forgotten
        self._by_aor: Recent[str, Subscriber | None] = Recent(cached)
        self._aors: Recent[str, Aor | None] = Recent(cached)
        self._blocks: Recent[str, frozenset[Aor]] = Recent(cached)

    async def get(self, aor: Aor) -> Subscriber | None:
        """The subscriber with this AOR, or None."""
        return self._by_aor.get(aor, self._read)

    def name_of(self, aor: Aor) -> str:
        """What the subscriber is called."""
        found = self._by_aor.get(aor, self._read)
        return "" if found is None else found.display_name

    async def find(self, username: str) -> Subscriber | None:
        """The subscriber with this digest username, or None."""
        aor = self._aors.get(username, self._read_aor)
        return None if aor is None else self._by_aor.get(aor, self._read)

    async def put(self, subscriber: Subscriber) -> None:
        """Add or replace; durable when it returns. Raises ValueError when the username belongs to another AOR."""

        def write(connection: sqlite3.Connection) -> str | None:
            rows = connection.execute(
                "SELECT aor, username FROM subscriber WHERE username = ? OR aor = ?",
                (subscriber.username, subscriber.aor),
            ).fetchall()
            before: str | None = None
            for aor, username in rows:
                if aor == subscriber.aor:
                    before = username
                else:
                    raise ValueError(f"the username {subscriber.username!r} belongs to {aor}")
            connection.execute(
                f"REPLACE INTO subscriber ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                _to_row(subscriber),
            )
            return before

        def forget(before: str | None) -> None:
            self._by_aor.forget(subscriber.aor)
            self._aors.forget(subscriber.username)
            if before is not None:
                self._aors.forget(before)

        await self._writer.call(write, forget)

    async def rename(self, aor: Aor, display_name: str) -> bool:
        """Change how others see them and nothing else. False when there is no such one."""
        return await self._writer.call(
            lambda connection: (
                connection.execute("UPDATE subscriber SET display_name = ? WHERE aor = ?", (display_name, aor)).rowcount
                > 0
            ),
            lambda _: self._by_aor.forget(aor),
        )

    async def remove(self, aor: Aor) -> bool:
        """Forget the subscriber, their block list, bindings, cursors and mailbox. False when there was none."""

        def write(connection: sqlite3.Connection) -> str | None:
            row = connection.execute("SELECT username FROM subscriber WHERE aor = ?", (aor,)).fetchone()
            if row is None:
                return None
            connection.execute("DELETE FROM subscriber WHERE aor = ?", (aor,))
            connection.execute("DELETE FROM block WHERE owner = ?", (aor,))
            connection.execute("DELETE FROM binding WHERE aor = ?", (aor,))
            self._forget_mailbox(connection, aor)
            username: str = row[0]
            return username

        def forget(username: str | None) -> None:
            self._by_aor.forget(aor)
            self._blocks.forget(aor)
            if username is not None:
                self._aors.forget(username)
                self._mailbox_forgotten(aor)

        return await self._writer.call(write, forget) is not None

    async def list(self, after: str = "", limit: int = 1000) -> list[Subscriber]:
        """Subscribers in order of AOR, those after `after`."""
        rows = await self._in_thread(
            f"SELECT {_COLUMNS} FROM subscriber WHERE aor > ? ORDER BY aor LIMIT ?",
            (after, limit),
        )
        return [_from_row(row) for row in rows]

    async def count(self) -> int:
        """How many there are."""
        count: int = (await self._in_thread("SELECT count(*) FROM subscriber"))[0][0]
        return count

    async def block(self, owner: Aor, other: Aor, blocked: bool = True) -> None:
        """Put `other` on the owner's block list, or take it off; durable when it returns."""

        def write(connection: sqlite3.Connection) -> None:
            if blocked:
                connection.execute("INSERT OR IGNORE INTO block (owner, other) VALUES (?, ?)", (owner, other))
            else:
                connection.execute("DELETE FROM block WHERE owner = ? AND other = ?", (owner, other))

        await self._writer.call(write, lambda _: self._blocks.forget(owner))

    async def blocks(self, owner: Aor) -> frozenset[Aor]:
        """The owner's block list."""
        return self._blocks.get(owner, self._read_blocks)

    def _read(self, aor: str) -> Subscriber | None:
        rows = self._reader.rows(f"SELECT {_COLUMNS} FROM subscriber WHERE aor = ?", (aor,))
        if not rows:
            return None
        subscriber = _from_row(rows[0])
        # Who is challenged comes back with this username.
        self._aors.remember(subscriber.username, subscriber.aor)
        return subscriber

    def _read_aor(self, username: str) -> Aor | None:
        rows = self._reader.rows("SELECT aor FROM subscriber WHERE username = ?", (username,))
        return Aor(rows[0][0]) if rows else None

    def _read_blocks(self, owner: str) -> frozenset[Aor]:
        return frozenset(Aor(row[0]) for row in self._reader.rows("SELECT other FROM block WHERE owner = ?", (owner,)))


def _to_row(subscriber: Subscriber) -> tuple[Any, ...]:
    return (
        subscriber.aor,
        subscriber.username,
        subscriber.realm,
        json.dumps(dict(subscriber.ha1)),
        json.dumps(list(subscriber.algorithms)),
        subscriber.display_name,
        int(subscriber.blocked),
        subscriber.file_quota,
        subscriber.created_at,
    )


def _from_row(row: tuple[Any, ...]) -> Subscriber:
    aor, username, realm, ha1, algorithms, display_name, blocked, file_quota, created_at = row
    return Subscriber(
        aor=aor,
        username=username,
        realm=realm,
        # One value is handed to everybody who asks, so nobody may change it.
        ha1=MappingProxyType(json.loads(ha1)),
        algorithms=tuple(json.loads(algorithms)),
        display_name=display_name,
        blocked=bool(blocked),
        file_quota=file_quota,
        created_at=created_at,
    )
