"""Cursor moves and entry states on their way to disk: merged in memory, written with whatever commits next.

Losing them costs a second delivery, so they wait for a commit instead of causing one; a commit of their own comes only
when none has come for a while.
"""

# SQL is put together from constants of this package only.
# ruff: noqa: S608

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from joyn.model.aor import Aor
from joyn.model.message import Cursor, State
from joyn.model.refused import Refused
from joyn.store.sqlite.records import cursor_from, pack
from joyn.store.sqlite.statements import ManyRows
from joyn.store.sqlite.writer import Writer

__all__ = ["Settlement", "merge_cursors", "merged", "move_cursors", "raise_states"]

_MAX_SEQ = 2**63 - 1

# A join, because SQLite would scan the table for `(mailbox, instance) IN (VALUES …)`.
_SELECT = ManyRows(
    "WITH place (mailbox, instance) AS (VALUES ",
    "(?, ?)",
    ") SELECT cursor.mailbox, cursor.instance, low, ahead, touched_at FROM place CROSS JOIN cursor "
    "ON cursor.mailbox = place.mailbox AND cursor.instance = place.instance",
)
_REPLACE = ManyRows("REPLACE INTO cursor (mailbox, instance, low, ahead, touched_at) VALUES ", "(?, ?, ?, ?, ?)")
# How nearly every cursor moves: forwards, and nothing ahead. What it leaves out is merged the long way round.
_ADVANCE = ManyRows(
    "INSERT INTO cursor (mailbox, instance, low, ahead, touched_at) VALUES ",
    "(?, ?, ?, x'', ?)",
    " ON CONFLICT DO UPDATE SET low = excluded.low, touched_at = max(touched_at, excluded.touched_at) "
    "WHERE low <= excluded.low AND ahead = x''",
)
_RAISE = {
    int(state): ManyRows(f"UPDATE entry SET state = {state:d} WHERE state < {state:d} AND seq IN (", "?", ")")
    for state in State
}

_Cursors = dict[str, dict[str, Cursor]]


def merged(one: Cursor, other: Cursor) -> Cursor:
    """Everything either has settled: merging in any order, or twice, gives the same and never moves back."""
    low = max(one.low, other.low)
    ahead = one.ahead | other.ahead
    return Cursor(
        mailbox=one.mailbox,
        instance=one.instance,
        low=low,
        ahead=frozenset([seq for seq in ahead if seq > low]) if ahead else ahead,
        touched_at=max(one.touched_at, other.touched_at),
    )


def _checked(cursor: Cursor) -> Cursor:
    """The cursor with nothing in `ahead` that `low` covers. Raises ValueError for one that can be nowhere."""
    if not 0 <= cursor.low <= max(cursor.low, *cursor.ahead, 0) <= _MAX_SEQ:
        raise ValueError(f"no cursor can be at {cursor.low}")
    return merged(cursor, cursor)


def raise_states(connection: sqlite3.Connection, states: Mapping[int, int]) -> None:
    """Raise the entries (by seq) to these states; one that is higher already stays."""
    by_state: dict[int, list[int]] = {}
    for seq, state in states.items():
        by_state.setdefault(state, []).append(seq)
    for state, seqs in by_state.items():
        _RAISE[state].write(connection, seqs)


def move_cursors(connection: sqlite3.Connection, cursors: Sequence[Cursor]) -> None:
    """Write the cursors, each of another device; what stands on disk already stays settled."""
    plain = [cursor for cursor in cursors if not cursor.ahead]
    others = [cursor for cursor in cursors if cursor.ahead]
    rows = [part for c in plain for part in (c.mailbox, c.instance, c.low, c.touched_at)]
    if _ADVANCE.write(connection, rows) < len(plain):
        others += plain
    if others:
        merge_cursors(connection, others)


def merge_cursors(connection: sqlite3.Connection, cursors: Sequence[Cursor]) -> None:
    """The same, whatever they are: each is read, merged and written again."""
    places = [part for cursor in cursors for part in (cursor.mailbox, cursor.instance)]
    on_disk = {(row[0], row[1]): row for row in _SELECT.read(connection, places)}
    rows: list[Any] = []
    for cursor in cursors:
        row = on_disk.get((cursor.mailbox, cursor.instance))
        if row is not None:
            cursor = merged(cursor_from(row), cursor)
        rows.extend((cursor.mailbox, cursor.instance, cursor.low, pack(cursor.ahead, cursor.low), cursor.touched_at))
    _REPLACE.write(connection, rows)


class Settlement:
    """What was settled and is not on disk yet. Filled on the loop, emptied by the writer.

    Two generations: what waits for a commit, and what the running commit writes. Who reads takes both before reading
    the database, so that a commit in between hides nothing.
    """

    def __init__(self, writer: Writer, delay: float, bound: int) -> None:
        self._writer = writer
        self._delay = delay
        self._bound = bound
        self._lock = threading.Lock()
        self._cursors: _Cursors = {}
        self._states: dict[int, int] = {}
        self._count = 0
        self._writing_cursors: _Cursors = {}
        self._writing_states: dict[int, int] = {}
        self._timer: asyncio.TimerHandle | None = None
        self.forgotten = 0
        """Moves and states not taken because the bound was reached; their entries will be delivered once more."""

    # On the loop's thread

    def settle(self, cursor: Cursor, states: Iterable[tuple[int, State]]) -> None:
        """See joyn.store.Mailboxes.settle."""
        if cursor.ahead or not 0 <= cursor.low <= _MAX_SEQ:
            cursor = _checked(cursor)
        with self._lock:
            self._add_cursor(cursor)
            for seq, state in states:
                self._add_state(seq, int(state))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._delay, self._on_due)

    def waiting(self) -> bool:
        """Is anything not on disk yet?"""
        return bool(self._cursors or self._states or self._writing_cursors or self._writing_states)

    def cursors(self, mailbox: Aor) -> list[Cursor]:
        """The moves in one mailbox that are not on disk yet; one device may have two."""
        with self._lock:
            return [
                cursor
                for generation in (self._writing_cursors, self._cursors)
                for cursor in generation.get(mailbox, {}).values()
            ]

    def states(self) -> tuple[Mapping[int, int], Mapping[int, int]]:
        """The states by seq that are not on disk yet, of both generations."""
        with self._lock:
            return self._states, self._writing_states

    def forget(self, mailbox: Aor) -> None:
        """The mailbox is gone: its moves need not be written."""
        with self._lock:
            self._count -= len(self._cursors.pop(mailbox, {}))

    def stop(self) -> None:
        """Set no timer off any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _on_due(self) -> None:
        self._timer = None
        if not self.waiting():
            return
        try:
            commit = asyncio.ensure_future(self._writer.flush())
        except Refused:
            return
        commit.add_done_callback(self._on_flushed)

    def _on_flushed(self, commit: asyncio.Future[None]) -> None:
        # Refused (the disk is full, too much is waiting): what was settled is still here, so try again later.
        if not commit.cancelled() and commit.exception() is not None and self.waiting() and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._delay, self._on_due)

    def _add_cursor(self, cursor: Cursor) -> None:
        instances = self._cursors.get(cursor.mailbox)
        before = instances.get(cursor.instance) if instances else None
        if instances and before is not None:
            instances[cursor.instance] = merged(before, cursor)
        elif self._count >= self._bound:
            self.forgotten += 1
        else:
            self._count += 1
            if instances is None:
                instances = self._cursors[cursor.mailbox] = {}
            instances[cursor.instance] = cursor

    def _add_state(self, seq: int, state: int) -> None:
        before = self._states.get(seq)
        if before is None and len(self._states) >= self._bound:
            self.forgotten += 1
        elif before is None or before < state:
            self._states[seq] = state

    # On the writer's thread: joyn.store.sqlite.writer.Settled

    def take(self) -> bool:
        """What waits becomes what is being written."""
        with self._lock:
            self._writing_cursors, self._cursors = self._cursors, {}
            self._writing_states, self._states = self._states, {}
            self._count = 0
        return bool(self._writing_cursors or self._writing_states)

    def write(self, connection: sqlite3.Connection) -> None:
        """Write what was taken."""
        raise_states(connection, self._writing_states)
        cursors = [cursor for instances in self._writing_cursors.values() for cursor in instances.values()]
        move_cursors(connection, cursors)

    def done(self, committed: bool) -> None:
        """It is on disk; or it waits again, together with what came in the meantime."""
        with self._lock:
            cursors, self._writing_cursors = self._writing_cursors, {}
            states, self._writing_states = self._writing_states, {}
            if committed:
                return
            for instances in cursors.values():
                for cursor in instances.values():
                    self._add_cursor(cursor)
            for seq, state in states.items():
                self._add_state(seq, state)
