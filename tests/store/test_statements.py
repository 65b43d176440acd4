"""Statements over many rows, values made from rows, and that no statement of the store walks through a whole table."""

import asyncio
import re
import sqlite3
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.store_values import (
    ALICE,
    BOB,
    DAY,
    NOON,
    make_binding,
    make_copied_deposit,
    make_message,
    make_receipt,
    make_subscriber,
)
from joyn.model.message import Cursor, Message, State
from joyn.model.push import PushTarget
from joyn.store.sqlite import open_store
from joyn.store.sqlite.records import pack, unpack
from joyn.store.sqlite.statements import ROWS_PER_STATEMENT, ManyRows, maker

WHOLE_TABLES = {
    # Read once at start, or counted for the operator, in a thread.
    "SCAN binding": "WHERE node = ",
    "SCAN subscriber": "SELECT count(*) FROM subscriber",
    "SCAN push_target": "FROM push_target",
}
LOOKUP = re.compile(r"SCAN words VIRTUAL TABLE INDEX \d+:[=M]|SCAN json_each VIRTUAL TABLE INDEX 1:|SCAN \(subquery")
"""How SQLite says that it asks for words by their number or by a word, or walks through what it was given."""


async def use_everything(store):
    """Call every method of the store."""
    await store.subscribers.put(make_subscriber())
    await store.subscribers.block(ALICE, BOB)
    await store.subscribers.get(ALICE), await store.subscribers.find("alice"), await store.subscribers.blocks(ALICE)
    await store.subscribers.list(), await store.subscribers.count()
    await store.bindings.update(put=[make_binding(), make_binding(BOB)], remove=[make_binding(instance="other")])
    await store.bindings.of(ALICE), await store.bindings.all("n1"), await store.bindings.expire(NOON + DAY)
    mailboxes = store.mailboxes
    await asyncio.gather(*(mailboxes.accept(make_copied_deposit(f"m{n}")) for n in range(9)))
    await asyncio.gather(*(mailboxes.accept(make_receipt(f"m{n}")) for n in range(3)))
    await mailboxes.accept(make_copied_deposit("m1"))
    await mailboxes.read(BOB, 0, 9), await mailboxes.find(ALICE, BOB, "m1"), await mailboxes.trace("m1")
    mailboxes.settle(Cursor(mailbox=BOB, instance="a", low=1), [(7, State.ACKNOWLEDGED)])
    await mailboxes.flush()
    await mailboxes.cursors(BOB), await mailboxes.pending(BOB)
    await mailboxes.drop_cursor(BOB, "a")
    await mailboxes.revoke(ALICE, BOB, "m5", NOON)
    history, push = store.history, store.push_targets
    await history.before(BOB, None, 9), await history.after(BOB, 3, 9), await history.search(BOB, ["see", "you"], 9)
    target = PushTarget(aor=ALICE, device="d", endpoint="https://push.example/1")
    (
        await push.put(target),
        await push.of(ALICE),
        await push.all(),
        await push.remove([target]),
        await store.secrets.keep("push", b"key"),
    )
    await mailboxes.expire(NOON + 2 * DAY), await mailboxes.prune(NOON + 90 * DAY)
    await store.subscribers.remove(ALICE)


def test_no_statement_walks_through_a_whole_table(tmp_path):
    path = tmp_path / "joyn.db"
    statements = set()

    async def scenario():
        store = open_store(path, node="n1", wall_clock=lambda: NOON, on_fatal=print)
        for connection in (store._writer._connection, *(reader._connection for reader in store._readers)):
            connection.set_trace_callback(statements.add)
        await use_everything(store)
        await store.close()

    asyncio.run(scenario())
    # The callback gives the text with its values. It writes -Inf, which SQLite itself does not read.
    verbs = ("SELECT", "WITH", "UPDATE", "DELETE", "REPLACE")
    statements = {one.replace("-Inf", "-9e999") for one in statements if one.startswith(verbs)}
    # What SQLite asks of its own tables behind the index of words is its business.
    statements = {one for one in statements if "'words_" not in one}
    assert len(statements) > 30
    connection = sqlite3.connect(path)
    walks = set()
    for statement in statements:
        for *_, step in connection.execute(f"EXPLAIN QUERY PLAN {statement}"):
            assert "AUTOMATIC" not in step, statement
            # Walking through the values given to the statement itself is what it is for.
            if LOOKUP.match(step):
                continue
            if step.startswith("SCAN") and "CONSTANT ROW" not in step and step != "SCAN place":
                walk = " ".join(step.split()[:2])
                assert WHOLE_TABLES.get(walk, "nowhere") in statement, (step, statement)
                walks.add(walk)
    connection.close()
    assert walks == set(WHOLE_TABLES)


@pytest.mark.parametrize("rows", [0, 1, ROWS_PER_STATEMENT, ROWS_PER_STATEMENT + 1, 3 * ROWS_PER_STATEMENT])
def test_any_number_of_rows_is_written_and_read(rows):
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE t (a, b)")
    ManyRows("INSERT INTO t VALUES ", "(?, ?)").write(connection, [part for n in range(rows) for part in (n, -n)])
    read = ManyRows("SELECT a, b FROM t WHERE a IN (", "?", ")").read(connection, range(rows))
    assert sorted(read) == [(n, -n) for n in range(rows)]


def test_a_made_value_is_the_constructed_one():
    message = make_message()
    made = maker(Message)([getattr(message, field.name) for field in fields(Message)])
    assert made == message
    assert hash(made) == hash(message)


@given(st.integers(0, 2**62), st.frozensets(st.integers(1, 2**62), max_size=20))
def test_what_is_settled_ahead_is_unpacked_as_it_was_packed(low, distances):
    ahead = frozenset(low + distance for distance in distances)
    assert unpack(pack(ahead, low), low) == ahead
