"""The store in one SQLite file, for one process: nothing to install, nothing to run beside the node.

One thread writes (writer.py), in group commits that are on disk before anybody is answered. Reads that are a few pages
at most are done where they are asked, on the event loop: that is cheaper than asking a thread. Long ones go to a
thread. A database `:memory:` has the same code and one connection, guarded by a lock.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from joyn.model.aor import Aor
from joyn.store import (
    SETTLE_DELAY,
    Bindings,
    Devices,
    Files,
    ForeignFiles,
    History,
    Mailboxes,
    Peers,
    PortedNumbers,
    PushTargets,
    Secrets,
    Store,
    Subscribers,
)
from joyn.store.sqlite import upkeep
from joyn.store.sqlite.acceptance import Acceptance
from joyn.store.sqlite.bindings import SqliteBindings
from joyn.store.sqlite.connection import Lock, Locked, Reader, connect
from joyn.store.sqlite.devices import SqliteDevices, forget_devices
from joyn.store.sqlite.files import SqliteFiles, forget_files
from joyn.store.sqlite.foreign_files import SqliteForeignFiles
from joyn.store.sqlite.history import SqliteHistory, forget_owner
from joyn.store.sqlite.mailboxes import SqliteMailboxes
from joyn.store.sqlite.migration import Migration, NewerSchema, migrate, migrations
from joyn.store.sqlite.peers import SqlitePeers
from joyn.store.sqlite.ported import SqlitePortedNumbers
from joyn.store.sqlite.progress import Progress
from joyn.store.sqlite.push_targets import SqlitePushTargets, forget_targets
from joyn.store.sqlite.secrets import SqliteSecrets
from joyn.store.sqlite.settlement import Settlement
from joyn.store.sqlite.subscribers import SqliteSubscribers
from joyn.store.sqlite.writer import Limits, Writer

__all__ = ["Limits", "Locked", "NewerSchema", "SqliteStore", "open_store"]

logger = logging.getLogger(__name__)


def open_store(
    path: str | Path,
    *,
    node: str,
    wall_clock: Callable[[], float],
    on_fatal: Callable[[BaseException], None],
    on_commit: Callable[[int], None] | None = None,
    limits: Limits | None = None,
    settle_delay: float = SETTLE_DELAY,
    max_pages: int | None = None,
    steps: Sequence[Migration] | None = None,
) -> Store:
    """Open the database at `path` (`:memory:` for one that goes with the store), creating or migrating it first.

    `node` names this node in the lock file. `wall_clock` (seconds) names the copy made before a migration and has no
    other use. `on_fatal` is called, on the event loop's thread, when the disk failed and nothing can be promised any
    more: the node must stop. `on_commit` is called on the writer's thread after each commit with the pieces of work in
    it. `max_pages` bounds the database file in pages of 4 KiB. Use the store from one event loop only.

    Raises Locked when another process has it open, NewerSchema when a newer joyn wrote it, sqlite3.Error or OSError
    when it cannot be opened.
    """
    database = None if str(path) == ":memory:" else Path(path)
    lock = Lock(database, node) if database else None
    opened: list[sqlite3.Connection] = []
    try:
        connection = connect(database, writing=True)
        opened.append(connection)
        copy = migrate(connection, migrations() if steps is None else steps, database, wall_clock())
        if copy is not None:
            logger.warning("the database was migrated; the copy made before is %s", copy)
        if max_pages is not None:
            connection.execute(f"PRAGMA max_page_count = {max_pages:d}")
        readers = [connect(database, writing=False) for _ in range(2)] if database else []
        opened += readers
        progress = Progress(connection)
    except BaseException:
        for one in opened:
            one.close()
        if lock is not None:
            lock.release()
        raise
    guard = threading.Lock()
    pair = [Reader(reader, threading.Lock()) for reader in readers] or [Reader(connection, guard)] * 2
    writer = Writer(
        connection, guard, limits=limits or Limits(), on_fatal=on_fatal, on_commit=on_commit, database=database
    )
    return SqliteStore(writer, (pair[0], pair[1]), progress, lock, limits or Limits(), settle_delay)


class SqliteStore:
    """See joyn.store.Store. Made by `open_store`."""

    def __init__(
        self,
        writer: Writer,
        readers: tuple[Reader, Reader],
        progress: Progress,
        lock: Lock | None,
        limits: Limits,
        settle_delay: float,
    ) -> None:
        self._writer = writer
        self._readers = readers
        self._lock = lock
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="joyn-store-reader")
        self._settlement = settlement = Settlement(writer, settle_delay, limits.settled)
        acceptance = Acceptance(progress)
        quick = readers[0]
        bindings = SqliteBindings(writer, quick, self._in_thread)
        self.bindings: Bindings = bindings
        self.mailboxes: Mailboxes = SqliteMailboxes(writer, quick, self._in_thread, settlement, acceptance, progress)
        self.history: History = SqliteHistory(writer, quick, self._in_thread)
        self.push_targets: PushTargets = SqlitePushTargets(writer, quick, self._in_thread)
        self.devices: Devices = SqliteDevices(writer, quick, self._in_thread)
        self.files: Files = SqliteFiles(writer, quick)
        self.foreign_files: ForeignFiles = SqliteForeignFiles(writer, quick, self._in_thread)
        self.peers: Peers = SqlitePeers(writer, quick)
        self.ported: PortedNumbers = SqlitePortedNumbers(writer, quick, self._in_thread, limits.cached)
        self.secrets: Secrets = SqliteSecrets(writer, quick)

        def forget(connection: sqlite3.Connection, aor: Aor) -> None:
            """What goes with a subscriber besides their own row, block list and bindings."""
            upkeep.forget_mailbox(connection, progress, aor)
            forget_owner(connection, aor)
            forget_targets(connection, aor)
            forget_devices(connection, aor)
            forget_files(connection, aor)

        self.subscribers: Subscribers = SqliteSubscribers(
            writer,
            quick,
            self._in_thread,
            forget,
            settlement.forget,
            limits.cached,
        )
        writer.start(acceptance, (bindings,), settlement)

    async def close(self) -> None:
        """Write everything handed in, close, and let another process open the database. Repeating is harmless."""
        self._settlement.stop()
        await self._writer.stop()
        self._thread.shutdown()
        for reader in self._readers:
            reader.close()
        self._writer.close()
        if self._lock is not None:
            self._lock.release()

    async def _in_thread(self, sql: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._readers[1].rows, sql, parameters)
