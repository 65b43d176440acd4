"""Opening the database file: the lock that keeps it to one process, the pragmas, and reading through a connection."""

from __future__ import annotations

import os
import sqlite3
import sys
import threading
from pathlib import Path
from typing import IO, Any

__all__ = ["Lock", "Locked", "Reader", "connect"]

BUSY_TIMEOUT = 100
"""Milliseconds to wait for somebody else's lock: only an operator's own tools can hold one, never for long."""

CACHED_STATEMENTS = 1024
"""Room for every size of every statement (see statements.py)."""

WRITER_CACHE = 8 * 1024
READER_CACHE = 2 * 1024
"""KiB of pages each connection keeps."""


class Locked(Exception):
    """Another process has the database open."""


class Lock:
    """Holds FILE.lock for as long as this process has the store open.

    The lock is the kernel's and goes with the process, however it ends; what stands in the file only says who holds it.
    """

    def __init__(self, database: Path, node: str) -> None:
        self.path = database.with_name(database.name + ".lock")
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        self._file: IO[str] = os.fdopen(descriptor, "r+", encoding="utf-8")
        try:
            _lock(self._file)
        except OSError:
            holder = self._file.read(200).strip() or "another process"
            self._file.close()
            raise Locked(
                f"{database} is open in {holder}, and only one process may have it. Stop that one first, "
                f"or give this node a database of its own. (The lock is {self.path}.)"
            ) from None
        self._file.truncate(0)
        self._file.write(f"node {node}, process {os.getpid()}\n")
        self._file.flush()

    def release(self) -> None:
        """Let another process open the database. The file stays: removing it would let two in."""
        self._file.close()


if sys.platform == "win32":
    import msvcrt

    def _lock(file: IO[str]) -> None:
        # Far behind the text, so that who holds it can still be read.
        file.seek(1 << 20)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        file.seek(0)
else:
    import fcntl

    def _lock(file: IO[str]) -> None:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)


def connect(database: Path | None, *, writing: bool) -> sqlite3.Connection:
    """A connection to the file, or to a new database in memory. Used from several threads, one at a time."""
    if database is None:
        connection = _open(":memory:")
    elif writing:
        # SQLite gives its -wal and -shm files the mode of the database; password hashes are nobody else's business.
        os.close(os.open(database, os.O_RDWR | os.O_CREAT, 0o600))
        connection = _open(database)
    else:
        connection = _open(f"{database.absolute().as_uri()}?mode=ro", uri=True)
    cache = WRITER_CACHE if writing else READER_CACHE
    connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT}")
    connection.execute(f"PRAGMA cache_size = -{cache}")
    # An index made for one query costs more than the query: all that are needed are there.
    connection.execute("PRAGMA automatic_index = OFF")
    if writing:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = OFF")
        # What a statement needs to undo itself stays in memory; the default is a file for each.
        connection.execute("PRAGMA temp_store = MEMORY")
        # Pages that are rewritten anyway lose what was deleted on them; no page is written for that alone.
        connection.execute("PRAGMA secure_delete = FAST")
        # The writer checkpoints itself, after the answers have left.
        connection.execute("PRAGMA wal_autocheckpoint = 0")
    return connection


def _open(database: Path | str, *, uri: bool = False) -> sqlite3.Connection:
    return sqlite3.connect(
        database, uri=uri, isolation_level=None, check_same_thread=False, cached_statements=CACHED_STATEMENTS
    )


class Reader:
    """Reads committed rows. The lock matters for a database in memory, whose one connection the writer uses too."""

    __slots__ = ("_connection", "_lock")

    def __init__(self, connection: sqlite3.Connection, lock: threading.Lock) -> None:
        self._connection = connection
        self._lock = lock

    def rows(self, sql: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """All rows of one query, out of one committed state of the database."""
        with self._lock:
            return self._connection.execute(sql, parameters).fetchall()

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._connection.close()
