"""What only the SQLite store promises: one process, migrations, group commits, and what happens when the disk does."""

import asyncio
import os
import signal
import sqlite3
import stat
import subprocess
import sys
from itertools import count
from pathlib import Path

import pytest

from contracts.store_values import (
    ALICE,
    BOB,
    DAY,
    HOUR,
    NOON,
    make_binding,
    make_copied_deposit,
    make_deposit,
    make_receipt,
    make_subscriber,
)
from joyn.model.message import Cursor, State
from joyn.model.refused import Reason, Refused
from joyn.store.sqlite import Limits, Locked, NewerSchema, open_store
from joyn.store.sqlite.migration import Migration, migrations

ACCEPTING = Path(__file__).with_name("accepting.py")
"""A child that accepts messages and writes each acknowledged Message-ID to its standard output, until it is killed."""


def never(error):
    raise AssertionError(error)


def open_at(path, **options):
    return open_store(path, **{"node": "n1", "wall_clock": lambda: NOON, "on_fatal": never} | options)


def play(scenario, path, **options):
    """Run a scenario with a store open at a path."""

    async def run():
        store = open_at(path, **options)
        try:
            return await scenario(store)
        finally:
            await store.close()

    return asyncio.run(run())


def query(path, sql):
    connection = sqlite3.connect(path)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "joyn.db"


# The file and its lock


def test_a_second_opener_is_told_who_has_the_database(path):
    async def scenario(store):
        with pytest.raises(Locked) as locked:
            open_at(path, node="n2")
        assert str(path) in str(locked.value)
        assert f"node n1, process {os.getpid()}" in str(locked.value)
        assert "Stop that one first" in str(locked.value)

    play(scenario, path)
    play(nothing, path)


async def nothing(store):
    pass


def test_a_store_that_could_not_be_opened_holds_no_lock(path):
    path.write_bytes(b"this is no database" * 100)
    for _ in range(2):
        with pytest.raises(sqlite3.DatabaseError):
            open_at(path)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
def test_only_the_owner_can_read_the_files(path):
    async def scenario(store):
        await store.subscribers.put(make_subscriber())
        files = sorted(path.parent.iterdir())
        assert [file.name for file in files] == ["joyn.db", "joyn.db-shm", "joyn.db-wal", "joyn.db.lock"]
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}

    before = os.umask(0)
    try:
        play(scenario, path)
    finally:
        os.umask(before)


def test_a_closed_store_leaves_one_whole_file(path):
    async def scenario(store):
        await store.mailboxes.accept(make_deposit())

    play(scenario, path)
    assert sorted(file.name for file in path.parent.iterdir()) == ["joyn.db", "joyn.db.lock"]
    assert query(path, "SELECT count(*) FROM message") == [(1,)]


def test_a_commit_is_synced(path):
    async def scenario(store):
        writing = store._writer._connection
        # 2 is FULL: the log is synced at every commit.
        assert writing.execute("PRAGMA synchronous").fetchall() == [(2,)]
        assert writing.execute("PRAGMA journal_mode").fetchall() == [("wal",)]

    play(scenario, path)


# Migrations


def test_migrations_are_numbered_without_gaps():
    steps = migrations()
    assert [step.version for step in steps] == list(range(1, len(steps) + 1))


def test_a_database_of_an_older_schema_is_copied_and_migrated(path):
    play(lambda store: store.subscribers.put(make_subscriber()), path)
    newest = migrations()[-1].version
    steps = [*migrations(), Migration(newest + 1, "next", "CREATE TABLE one (a);\nCREATE TABLE two (b);")]
    found = play(lambda store: store.subscribers.get(ALICE), path, steps=steps)
    assert found == make_subscriber()
    assert query(path, "PRAGMA user_version") == [(newest + 1,)]
    assert query(path, "SELECT count(*) FROM two") == [(0,)]

    (copy,) = path.parent.glob("*.backup")
    assert copy.name == f"joyn.db.schema{newest}-20270115T080000Z.backup"
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert query(copy, "PRAGMA user_version") == [(newest,)]
    assert query(copy, "SELECT username FROM subscriber") == [("alice",)]


def test_a_migration_that_fails_changes_nothing(path):
    play(nothing, path)
    steps = [*migrations(), Migration(99, "broken", "CREATE TABLE one (a);\nINSERT INTO nowhere VALUES (1);")]
    with pytest.raises(sqlite3.OperationalError, match="nowhere"):
        open_at(path, steps=steps)
    assert query(path, "PRAGMA user_version") == [(migrations()[-1].version,)]
    assert query(path, "SELECT * FROM sqlite_master WHERE name = 'one'") == []
    play(nothing, path)


def test_a_new_database_needs_no_copy(path):
    play(nothing, path)
    play(nothing, path)
    assert list(path.parent.glob("*.backup")) == []


def test_a_newer_schema_is_refused(path):
    play(nothing, path, steps=[*migrations(), Migration(99, "future", "CREATE TABLE future (a);")])
    with pytest.raises(NewerSchema, match="has schema 99"):
        open_at(path)


# Group commits


def test_what_is_handed_in_together_shares_commits(path):
    commits = []

    async def scenario(store):
        await asyncio.gather(
            *(store.mailboxes.accept(make_deposit(f"m{n}")) for n in range(200)),
            *(store.bindings.update(put=[make_binding(instance=str(n))]) for n in range(100)),
        )

    play(scenario, path, on_commit=commits.append)
    assert sum(commits) == 300
    # The first commit may start with little; nobody knows how many follow, but it is not hundreds.
    assert len(commits) <= 10


def test_a_commit_takes_no_more_than_its_bounds(path):
    commits = []

    async def scenario(store):
        await asyncio.gather(*(store.mailboxes.accept(make_deposit(f"m{n}")) for n in range(20)))
        await asyncio.gather(*(store.mailboxes.accept(make_deposit(f"b{n}", body=b"x" * 5000)) for n in range(6)))

    play(scenario, path, on_commit=commits.append, limits=Limits(batch=5, batch_bytes=10_000))
    assert sum(commits) == 26
    assert max(commits) <= 5
    assert len(commits) >= 4 + 3


def test_settled_cursors_ride_on_the_next_commit(path):
    commits = []

    async def scenario(store):
        store.mailboxes.settle(Cursor(mailbox=BOB, instance="a", low=5))
        assert query(path, "SELECT * FROM cursor") == []
        await store.mailboxes.accept(make_deposit())
        assert query(path, "SELECT low FROM cursor") == [(5,)]
        await store.mailboxes.flush()

    play(scenario, path, on_commit=commits.append, settle_delay=HOUR)
    assert commits == [1]


def test_settled_cursors_wait_no_longer_than_the_delay(path):
    async def scenario(store):
        committed = asyncio.Event()
        loop = asyncio.get_running_loop()
        store._writer._on_commit = lambda works: loop.call_soon_threadsafe(committed.set)
        store.mailboxes.settle(Cursor(mailbox=BOB, instance="a", low=5))
        await asyncio.wait_for(committed.wait(), 5)
        assert query(path, "SELECT low FROM cursor") == [(5,)]

    play(scenario, path, settle_delay=0.001)


def test_moves_beyond_the_bound_are_forgotten_and_counted(path):
    async def scenario(store):
        for n in range(5):
            store.mailboxes.settle(Cursor(mailbox=BOB, instance=str(n), low=1), [(n, State.STORED)])
        store.mailboxes.settle(Cursor(mailbox=BOB, instance="0", low=2), [(0, State.DELIVERED)])
        assert [(cursor.instance, cursor.low) for cursor in await store.mailboxes.cursors(BOB)] == [
            ("0", 2),
            ("1", 1),
            ("2", 1),
        ]
        assert store._settlement.forgotten == 2 + 2
        await store.mailboxes.flush()
        store.mailboxes.settle(Cursor(mailbox=BOB, instance="9", low=1))
        assert len(await store.mailboxes.cursors(BOB)) == 4

    play(scenario, path, limits=Limits(settled=3), settle_delay=HOUR)


def test_a_cursor_that_can_be_nowhere_is_refused(path):
    async def scenario(store):
        for low, ahead in ((-1, ()), (2**63, ()), (0, (2**63,))):
            with pytest.raises(ValueError, match="no cursor"):
                store.mailboxes.settle(Cursor(mailbox=BOB, instance="a", low=low, ahead=frozenset(ahead)))

    play(scenario, path)


@pytest.mark.parametrize(("pages", "shrinks"), [(50, True), (100_000, False)])
def test_the_log_is_copied_back_now_and_then(path, pages, shrinks):
    async def scenario(store):
        for n in range(200):
            await store.mailboxes.accept(make_deposit(f"m{n}"))
        log, database = path.with_name("joyn.db-wal").stat().st_size, path.stat().st_size
        assert (log < 200 * 4096, database > 10 * 4096) == (shrinks, shrinks)

    play(scenario, path, limits=Limits(checkpoint_pages=pages))


def test_dispositions_outlive_their_message_by_thirty_days(path):
    async def scenario(store):
        await store.mailboxes.accept(make_deposit(retain_until=NOON))
        await store.mailboxes.accept(make_receipt())
        assert await store.mailboxes.prune(NOON) == 1
        assert query(path, "SELECT mailbox FROM entry") == [(ALICE,)]
        await store.mailboxes.prune(NOON + 30 * DAY - 1)
        assert query(path, "SELECT recipient, state FROM disposition") == [(BOB, State.DELIVERED)]
        await store.mailboxes.prune(NOON + 30 * DAY)
        assert query(path, "SELECT count(*) FROM disposition") == [(0,)]

    play(scenario, path)


# When the disk does not do


async def fill(store):
    """Accept until the disk is full; the Message-IDs that were acknowledged."""
    acknowledged = []

    async def for_ever():
        for n in count():
            await store.mailboxes.accept(make_deposit(f"m{n}", body=b"x" * 3000, retain_until=NOON))
            acknowledged.append(f"m{n}")

    with pytest.raises(Refused) as refused:
        await for_ever()
    assert refused.value.reason is Reason.STORAGE_FULL
    return acknowledged


async def read_ids(store):
    return [entry.message.message_id for entry in await store.mailboxes.read(BOB, 0, 10_000)]


def test_a_full_disk_refuses_the_deposit_and_keeps_all_others(path):
    async def scenario(store):
        acknowledged = await fill(store)
        assert acknowledged
        assert await read_ids(store) == acknowledged

    play(scenario, path, max_pages=70)


def test_on_a_full_disk_cursors_move_and_pruning_makes_room(path):
    async def scenario(store):
        store.mailboxes.settle(Cursor(mailbox=BOB, instance="a", low=1))
        await store.mailboxes.flush()
        acknowledged = await fill(store)
        store.mailboxes.settle(Cursor(mailbox=BOB, instance="a", low=2))
        # The deposit that shares their commit is refused; they are not.
        refused, pruned = await asyncio.gather(
            store.mailboxes.accept(make_deposit("too much", body=b"x" * 30_000)),
            store.mailboxes.prune(NOON),
            return_exceptions=True,
        )
        assert refused.reason is Reason.STORAGE_FULL
        assert pruned == len(acknowledged)
        assert query(path, "SELECT low FROM cursor") == [(2,)]
        assert not (await store.mailboxes.accept(make_deposit("again"))).duplicate
        assert await read_ids(store) == ["again"]

    play(scenario, path, max_pages=70)


def test_cursors_that_find_no_room_wait_in_memory(path):
    async def scenario(store):
        await fill(store)
        for n in range(400):
            store.mailboxes.settle(Cursor(mailbox=BOB, instance=f"urn:uuid:{n:030}", low=n))
        with pytest.raises(Refused) as refused:
            await store.mailboxes.flush()
        assert refused.value.reason is Reason.STORAGE_FULL
        assert query(path, "SELECT count(*) FROM cursor") == [(0,)]
        assert len(await store.mailboxes.cursors(BOB)) == 400
        await store.mailboxes.prune(NOON)
        await store.mailboxes.flush()
        assert query(path, "SELECT count(*) FROM cursor") == [(400,)]

    play(scenario, path, max_pages=70, settle_delay=HOUR)


def test_an_operators_tool_that_holds_the_database_makes_us_refuse_not_fail(path):
    async def scenario(store):
        tool = sqlite3.connect(path, isolation_level=None)
        tool.execute("BEGIN IMMEDIATE")
        with pytest.raises(Refused) as refused:
            await store.mailboxes.accept(make_deposit())
        assert refused.value.reason is Reason.OVERLOADED
        tool.execute("ROLLBACK")
        tool.close()
        assert not (await store.mailboxes.accept(make_deposit())).duplicate

    play(scenario, path)


class FailingConnection:
    """A connection whose next COMMITs fail as SQLite says they may."""

    def __init__(self, connection, code, times):
        self._connection, self._code, self._times = connection, code, times

    def __getattr__(self, name):
        return getattr(self._connection, name)

    def execute(self, sql, *parameters):
        if sql == "COMMIT" and self._times:
            self._times -= 1
            error = sqlite3.OperationalError("the disk failed")
            error.sqlite_errorcode = self._code
            raise error
        return self._connection.execute(sql, *parameters)


def fail_commits(store, code, times):
    store._writer._connection = FailingConnection(store._writer._connection, code, times)


def test_after_a_failed_sync_nothing_is_acknowledged_any_more(path):
    failures = []

    async def scenario(store):
        await store.mailboxes.accept(make_deposit("before"))
        fail_commits(store, sqlite3.SQLITE_IOERR_FSYNC, 1)
        results = await asyncio.gather(
            *(store.mailboxes.accept(make_deposit(f"m{n}")) for n in range(3)), return_exceptions=True
        )
        assert [result.reason for result in results] == [Reason.STOPPING] * 3
        assert [failure.sqlite_errorcode for failure in failures] == [sqlite3.SQLITE_IOERR_FSYNC]
        with pytest.raises(Refused) as refused:
            await store.mailboxes.accept(make_deposit("after"))
        assert refused.value.reason is Reason.STOPPING
        assert await read_ids(store) == ["before"]

    play(scenario, path, on_fatal=failures.append)


def test_a_write_error_on_a_disk_with_room_is_no_full_disk(path):
    failures = []

    async def scenario(store):
        fail_commits(store, sqlite3.SQLITE_IOERR_WRITE, 1)
        with pytest.raises(Refused) as refused:
            await store.mailboxes.accept(make_deposit())
        assert refused.value.reason is Reason.STOPPING
        assert len(failures) == 1

    play(scenario, path, on_fatal=failures.append)


def test_expiry_that_could_not_be_written_is_tried_again(path):
    async def scenario(store):
        await store.mailboxes.accept(make_deposit())
        # Together with everything else, then alone.
        fail_commits(store, sqlite3.SQLITE_FULL, 2)
        with pytest.raises(Refused) as refused:
            await store.mailboxes.expire(NOON + 2 * DAY)
        assert refused.value.reason is Reason.STORAGE_FULL
        assert len(await store.mailboxes.expire(NOON + 2 * DAY)) == 1

    play(scenario, path)


def test_an_observer_that_fails_changes_nothing(path):
    def fail(works):
        raise RuntimeError(works)

    async def scenario(store):
        assert not (await store.mailboxes.accept(make_deposit())).duplicate

    play(scenario, path, on_commit=fail)


def acknowledged_until_killed(path, number):
    """Start a child, kill it while it works, and return what it had acknowledged."""
    child = subprocess.Popen(
        [sys.executable, str(ACCEPTING), str(path), str(number)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        lines = [child.stdout.readline() for _ in range(60 + 97 * number)]
    finally:
        child.send_signal(signal.SIGKILL)
    lines += child.stdout.readlines()
    child.stdout.close()
    child.wait()
    return [line.decode().strip() for line in lines if line.endswith(b"\n")]


def test_what_was_acknowledged_survives_being_killed(path):
    acknowledged = []

    async def scenario(store):
        entries = await store.mailboxes.read(BOB, 0, 1_000_000)
        ids = [entry.message.message_id for entry in entries]
        assert set(acknowledged) <= set(ids)
        assert len(ids) == len(set(ids))
        # Each message is whole: its copy is there as well.
        copies = await store.mailboxes.read(ALICE, 0, 1_000_000)
        assert [entry.message for entry in copies] == [entry.message for entry in entries]
        again = await store.mailboxes.accept(make_copied_deposit(acknowledged[-1]))
        assert again.duplicate

    for number in range(3):
        more = acknowledged_until_killed(path, number)
        assert len(more) >= 60 + 97 * number
        acknowledged += more
        play(scenario, path)
