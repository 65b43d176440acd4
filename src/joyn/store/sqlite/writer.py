"""The one writer: a thread that commits, in one transaction, whatever was asked for while the last commit ran.

Callers are coroutines on one event loop. They hand in work and wait on a future; all futures of a commit are resolved
by one call into the loop, after the commit is on disk.

What happens when it is not:
- The disk is full: the transaction is rolled back and its deposits are refused (STORAGE_FULL). The rest is tried once
  more, apart, since it may need no new page: each call (pruning makes room), then bindings, then what is settled. What
  finds no room then is refused too; what is settled stays in memory for the next commit. The writer goes on.
- An operator's tool holds the database: the same, with OVERLOADED.
- Any other error of the disk: nobody can say what is on it. `on_fatal` is told and everything is refused from then on.
- One piece of work is impossible (a value SQLite cannot hold): every piece is run alone, and that one gets its error.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import sqlite3
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Protocol, TypeVar

from joyn.model.refused import Reason, Refused

__all__ = ["Calls", "Lane", "Limits", "Settled", "Writer"]

T = TypeVar("T")
logger = logging.getLogger(__name__)

FREE_BYTES_MEANING_FULL = 1 << 20
"""A write that failed with less than this left on the disk failed because the disk is full."""

# SQLite's primary and extended result codes (sqlite.org/rescode.html); sqlite3 names them from Python 3.11 on.
_FULL = frozenset({sqlite3.SQLITE_FULL})
_FULL_PERHAPS = frozenset({sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE, sqlite3.SQLITE_IOERR_TRUNCATE})
_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The writer's bounds, and those of what the store keeps in memory."""

    queued: int = 20_000
    """Pieces of work waiting or being written; one more is refused with OVERLOADED."""
    queued_bytes: int = 64 << 20
    """Bytes of messages among them; one more message is refused with OVERLOADED."""
    batch: int = 1_000
    """Pieces of work in one commit."""
    batch_bytes: int = 16 << 20
    """Bytes of messages in one commit, more or less: the one that passes the bound is still taken."""
    settled: int = 20_000
    """Cursor moves and states in memory, each; beyond it a move is forgotten (its entry is delivered once more)."""
    checkpoint_pages: int = 4_000
    """Written pages (estimated, 4 KiB each) after which the log is copied back into the database."""
    cached: int = 20_000
    """Subscribers, block lists, and ported numbers or that they are not ported, each, kept in memory."""


class Lane(Protocol):
    """One kind of work, written many at a time."""

    def write(self, connection: sqlite3.Connection, works: Sequence[Any]) -> Sequence[Any]:
        """Do all of it in the open transaction; one result each, in order. A result that is an exception is raised."""
        ...


class Settled(Protocol):
    """What may ride on any commit."""

    def take(self) -> bool:
        """Take all there is for the next commit; False when there is nothing."""
        ...

    def write(self, connection: sqlite3.Connection) -> None:
        """Write what was taken."""
        ...

    def done(self, committed: bool) -> None:
        """The commit succeeded, or did not: then what was taken waits for another."""
        ...


class Calls:
    """The lane of rare work: each piece is a function, run on its own."""

    def write(
        self, connection: sqlite3.Connection, works: Sequence[Callable[[sqlite3.Connection], Any]]
    ) -> Sequence[Any]:
        """Call each. One that refuses must do so before it has written anything."""
        results: list[Any] = []
        for work in works:
            try:
                results.append(work(connection))
            except (Refused, ValueError) as refusal:
                results.append(refusal)
        return results


class _Flushes:
    """The lane of those who only want to know when what is settled is on disk."""

    def write(self, connection: sqlite3.Connection, works: Sequence[None]) -> Sequence[None]:
        return works


_Job = tuple[Lane, Any, int, "asyncio.Future[Any]", Callable[[Any], None] | None]
"""The lane, the work, its bytes, who waits for it, and what to do on the loop before they go on."""


class Writer:
    """Owns the writing connection and its thread.

    `on_commit` is called on its thread after each commit, with the number of pieces of work in it.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        lock: threading.Lock,
        *,
        limits: Limits,
        on_fatal: Callable[[BaseException], None],
        on_commit: Callable[[int], None] | None,
        database: Path | None,
    ) -> None:
        self._connection = connection
        self._lock = lock
        self._limits = limits
        self._on_fatal = on_fatal
        self._on_commit = on_commit
        self._database = database
        self._calls = Calls()
        self._flushes = _Flushes()
        self._others: Sequence[Lane] = ()
        self._queue: SimpleQueue[_Job | None] = SimpleQueue()
        self._queued = 0
        self._queued_bytes = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._refusal: str | None = None
        self._failed = False
        self._settled: Settled | None = None
        self._lanes: tuple[Lane, ...] = ()
        self._after_commit: list[Callable[[], None]] = []
        self._written_at_checkpoint = 0
        self._written_bytes = 0
        self._commits = 0
        self._thread = threading.Thread(target=self._run, name="joyn-store-writer", daemon=True)

    def start(self, deposits: Lane, others: Sequence[Lane], settled: Settled) -> None:
        """Start the thread. In each commit `settled` comes first, then the deposits, the other lanes, the calls."""
        self._settled = settled
        self._others = others
        self._lanes = (deposits, *others, self._calls, self._flushes)
        self._written_at_checkpoint = self._connection.total_changes
        self._thread.start()

    # On the loop's thread

    def submit(
        self, lane: Lane, work: Any, size: int = 0, then: Callable[[Any], None] | None = None
    ) -> asyncio.Future[Any]:
        """Hand in one piece of work. `then` is called on the loop with its result, even if nobody waits any more.

        Raises Refused(OVERLOADED) at once when too much is waiting, Refused(STOPPING) when the store is closed.
        """
        if self._refusal is not None:
            raise self._stopping()
        if self._queued >= self._limits.queued or (size and self._queued_bytes + size > self._limits.queued_bytes):
            raise Refused(Reason.OVERLOADED)
        loop = self._loop
        if loop is None:
            loop = self._loop = asyncio.get_running_loop()
        future = loop.create_future()
        self._queued += 1
        self._queued_bytes += size
        self._queue.put((lane, work, size, future, then))
        return future

    async def call(self, work: Callable[[sqlite3.Connection], T], then: Callable[[T], None] | None = None) -> T:
        """Run one function in the next commit and wait for that."""
        result: T = await self.submit(self._calls, work, 0, then)
        return result

    async def flush(self) -> None:
        """Returns when all that is settled or handed in by now is on disk. Raises Refused when that cannot be."""
        await self.submit(self._flushes, None)

    async def stop(self) -> None:
        """Write everything handed in and stop the thread. Nothing is taken from here on."""
        self._refusal = self._refusal or "the store is closed"
        self._queue.put(None)
        await asyncio.get_running_loop().run_in_executor(None, self._thread.join)
        # What the thread resolved last is still on its way through the loop.
        await asyncio.sleep(0)

    def close(self) -> None:
        """Close the connection. The last one to close leaves no log behind, and only this one can."""
        self._connection.close()

    def _stopping(self) -> Refused:
        return Refused(Reason.STOPPING, self._refusal or "")

    def _resolve(self, jobs: Sequence[_Job], results: Sequence[Any]) -> None:
        for (_, _, size, future, then), result in zip(jobs, results, strict=True):
            self._queued -= 1
            self._queued_bytes -= size
            if isinstance(result, BaseException):
                if not future.done():
                    future.set_exception(result)
                continue
            if then is not None:
                then(result)
            if not future.done():
                future.set_result(result)

    # On the writer's thread

    def after_commit(self, action: Callable[[], None]) -> None:
        """Called by work in progress: do this on the writer's thread once the transaction is on disk, else never."""
        self._after_commit.append(action)

    def _run(self) -> None:
        stopping = False
        while not stopping:
            jobs, stopping = self._next_batch()
            if self._failed:
                self._answer(jobs, [self._stopping()] * len(jobs))
                continue
            self._answer(jobs, self._write(jobs))
            self._checkpoint_if_due()
        if not self._failed:
            # Closed: what is settled but rode on no commit yet.
            self._write([])

    def _next_batch(self) -> tuple[list[_Job], bool]:
        """Whatever is waiting, within the bounds of one commit; waits for the first."""
        queue = self._queue
        job = queue.get()
        jobs: list[_Job] = []
        size = 0
        waiting = min(queue.qsize(), self._limits.batch - 1)
        while job is not None:
            jobs.append(job)
            size += job[2]
            if not waiting or size >= self._limits.batch_bytes:
                return self._in_order(jobs), False
            waiting -= 1
            job = queue.get()
        return self._in_order(jobs), True

    def _in_order(self, jobs: list[_Job]) -> list[_Job]:
        """As their lanes are written: what is told of a commit is then told in the order of its numbers."""
        if any(job[0] is not jobs[0][0] for job in jobs):
            jobs.sort(key=lambda job: self._lanes.index(job[0]))
        return jobs

    def _answer(self, jobs: Sequence[_Job], results: Sequence[Any]) -> None:
        if jobs and not self._on_loop(self._resolve, jobs, results):
            logger.warning("the event loop was closed before the store was")

    def _on_loop(self, action: Callable[..., None], *arguments: Any) -> bool:
        """Have this done on the loop's thread; False when there is no loop to do it."""
        if self._loop is None:
            return False
        try:
            self._loop.call_soon_threadsafe(action, *arguments)
        except RuntimeError:
            return False
        return True

    def _write(self, jobs: Sequence[_Job], riding: bool = True) -> Sequence[Any]:
        """One commit of all jobs, and of what is settled, if that is possible; a result or an exception for each."""
        try:
            return self._commit(jobs, riding)
        except sqlite3.OperationalError as error:
            refusal = self._refusal_for(error)
            if refusal is None:
                return self._fail(jobs, error)
            return self._write_apart(jobs, refusal) if riding else [refusal] * len(jobs)
        except Exception as error:  # noqa: BLE001 - this loop owns the connection
            if type(error) is sqlite3.DatabaseError:
                # SQLITE_CORRUPT, SQLITE_NOTADB: what is wrong is the file, not a piece of work.
                return self._fail(jobs, error)
            return self._write_alone(jobs, error)

    def _write_apart(self, jobs: Sequence[_Job], refusal: Refused) -> Sequence[Any]:
        """There was no room for everything: see the module's docstring."""
        flushes = [place for place, job in enumerate(jobs) if job[0] is self._flushes]
        if len(flushes) == len(jobs):
            return [refusal] * len(jobs)
        groups = [[place] for place, job in enumerate(jobs) if job[0] is self._calls]
        groups += [[place for place, job in enumerate(jobs) if job[0] is lane] for lane in self._others]
        results: list[Any] = [refusal] * len(jobs)
        for group, riding in [*((group, False) for group in groups if group), (flushes, True)]:
            written = self._write([jobs[place] for place in group], riding)
            for place, result in zip(group, written, strict=True):
                results[place] = result
        return results

    def _write_alone(self, jobs: Sequence[_Job], error: Exception) -> Sequence[Any]:
        if len(jobs) == 1:
            return [error]
        if not jobs:
            return self._fail(jobs, error)
        return [result for job in jobs for result in self._write([job])]

    def _fail(self, jobs: Sequence[_Job], error: Exception) -> Sequence[Any]:
        self._failed = True
        self._refusal = f"the store failed: {error}"
        if not self._on_loop(self._on_fatal, error):
            self._on_fatal(error)
        return [self._stopping()] * len(jobs)

    def _refusal_for(self, error: sqlite3.DatabaseError) -> Refused | None:
        """The refusal of everything in a transaction that failed like this; None when the store itself has failed."""
        code = error.sqlite_errorcode
        if code in _FULL or (code in _FULL_PERHAPS and self._disk_is_full()):
            return Refused(Reason.STORAGE_FULL, str(error))
        if code & 0xFF in _BUSY:
            return Refused(Reason.OVERLOADED, str(error))
        return None

    def _disk_is_full(self) -> bool:
        return self._database is not None and shutil.disk_usage(self._database.parent).free < FREE_BYTES_MEANING_FULL

    def _commit(self, jobs: Sequence[_Job], riding: bool) -> Sequence[Any]:
        settled = self._settled
        assert settled is not None
        riding = riding and settled.take()
        if not riding and all(job[0] is self._flushes for job in jobs):
            return [None] * len(jobs)
        committed = False
        self._after_commit.clear()
        try:
            with self._lock:
                results = self._transaction(jobs, settled if riding else None)
            committed = True
        finally:
            if riding:
                settled.done(committed)
        self._commits += 1
        for action in self._after_commit:
            action()
        if self._on_commit is not None:
            try:
                self._on_commit(len(jobs))
            except Exception:
                # It is on disk: whoever watches must not make it look as if it were not.
                logger.exception("on_commit failed")
        return results

    def _transaction(self, jobs: Sequence[_Job], settled: Settled | None) -> Sequence[Any]:
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            if settled is not None:
                settled.write(connection)
            results = self._run_lanes(connection, jobs)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        return results

    def _run_lanes(self, connection: sqlite3.Connection, jobs: Sequence[_Job]) -> Sequence[Any]:
        if not jobs:
            return ()
        self._written_bytes += sum([size for _, _, size, _, _ in jobs])
        lanes = {id(job[0]) for job in jobs}
        if len(lanes) == 1:
            return jobs[0][0].write(connection, [work for _, work, _, _, _ in jobs])
        results: list[Any] = [None] * len(jobs)
        for lane in self._lanes:
            places = [place for place, job in enumerate(jobs) if job[0] is lane]
            if places:
                written = lane.write(connection, [jobs[place][1] for place in places])
                for place, result in zip(places, written, strict=True):
                    results[place] = result
        return results

    def _checkpoint_if_due(self) -> None:
        """Copy the log back into the database now and then: after the answers have left, not before them."""
        connection = self._connection
        # A changed row dirties its page and about one page of an index, a commit the ends of some tables.
        rows = connection.total_changes - self._written_at_checkpoint
        pages = 2 * (rows + self._commits) + self._written_bytes // 4096
        if self._database is None or self._failed or pages < self._limits.checkpoint_pages:
            return
        self._written_at_checkpoint = connection.total_changes
        self._written_bytes = self._commits = 0
        try:
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        except sqlite3.DatabaseError as error:
            # Full or busy: the log still holds everything, and the next checkpoint tries again.
            if self._refusal_for(error) is None:
                self._fail((), error)
