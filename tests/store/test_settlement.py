import sqlite3
import time

from hypothesis import given
from hypothesis import strategies as st

from joyn.model.aor import Aor
from joyn.model.message import Cursor
from joyn.store.sqlite.migration import migrate, migrations
from joyn.store.sqlite.records import cursor_from
from joyn.store.sqlite.settlement import merge_cursors, merged, move_cursors

BOB = Aor("sip:bob@joyn.example")


@st.composite
def cursors(draw, instance: str) -> Cursor:
    low = draw(st.integers(0, 9))
    ahead = draw(st.just(frozenset()) | st.frozensets(st.integers(low + 1, 12), max_size=3))
    return Cursor(mailbox=BOB, instance=instance, low=low, ahead=ahead, touched_at=float(draw(st.integers(0, 5))))


def open_database() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection, migrations(), None, time.time())
    return connection


def on_disk(connection: sqlite3.Connection) -> dict[str, Cursor]:
    rows = connection.execute("SELECT mailbox, instance, low, ahead, touched_at FROM cursor").fetchall()
    return {cursor.instance: cursor for cursor in map(cursor_from, rows)}


# Commits, each with at most one move of each device.
@given(
    st.lists(st.lists(st.sampled_from("abc"), unique=True).flatmap(lambda i: st.tuples(*map(cursors, i))), max_size=4)
)
def test_cursors_on_disk_are_what_merging_all_moves_gives_whichever_way_they_are_written(commits):
    quick, thorough = open_database(), open_database()
    expected: dict[str, Cursor] = {}
    for moves in commits:
        move_cursors(quick, moves)
        merge_cursors(thorough, moves)
        for move in moves:
            before = expected.get(move.instance)
            expected[move.instance] = move if before is None else merged(before, move)
    assert on_disk(quick) == on_disk(thorough) == expected
