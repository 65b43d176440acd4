"""Looking up, withdrawing, expiring and pruning messages: queries, and work for the writer's thread."""

# SQL is put together from constants of this package only.
# ruff: noqa: S608

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

from joyn.model.aor import Aor
from joyn.model.message import State
from joyn.store.sqlite.acceptance import KEEP_DISPOSITIONS
from joyn.store.sqlite.progress import Progress
from joyn.store.sqlite.records import ENTRY_COLUMNS, MESSAGE_COLUMNS
from joyn.store.sqlite.settlement import raise_states
from joyn.store.sqlite.statements import ManyRows

__all__ = ["expire", "forget_mailbox", "prune", "revoke"]

_ENTRIES_OF = "entry.seq >= message.id AND entry.seq < message.id + message.entries"

FIND = (
    f"SELECT {MESSAGE_COLUMNS} FROM message WHERE key = ? AND kind = 0 AND sender = ? AND conversation = ? "
    "AND message_id = ? ORDER BY id DESC LIMIT 1"
)
TRACE = f"SELECT {MESSAGE_COLUMNS} FROM message WHERE key BETWEEN ? AND ? AND message_id = ? ORDER BY id"
ENTRIES = f"SELECT {ENTRY_COLUMNS} FROM message JOIN entry ON {_ENTRIES_OF} WHERE message.id = ? ORDER BY entry.seq"
DISPOSITIONS = "SELECT recipient, state, at FROM disposition WHERE message = ? ORDER BY recipient, state"
PENDING = "SELECT count(*) FROM entry WHERE mailbox = ? AND state < 2"
FORGET_CURSORS = (
    "DELETE FROM cursor WHERE (mailbox, instance) IN "
    "(SELECT mailbox, instance FROM cursor WHERE touched_at < ? LIMIT ?)"
)
UNACKNOWLEDGED = "SELECT seq FROM entry WHERE mailbox = ? AND kind = 0 AND state < 2 ORDER BY seq"
LAST = "SELECT coalesce(max(seq), 0) FROM entry WHERE mailbox = ?"

# CROSS JOIN and the plus sign: by deliver_until first, then each message's few entries by their numbers.
_OVERDUE = (
    f"SELECT {ENTRY_COLUMNS}, {MESSAGE_COLUMNS} FROM message CROSS JOIN entry ON {_ENTRIES_OF} "
    "WHERE message.kind = 0 AND message.deliver_until > ? AND message.deliver_until <= ? "
    "AND +entry.kind = 0 AND entry.state < 2 ORDER BY message.deliver_until, entry.seq LIMIT ?"
)
_DELETE_ENTRIES = ManyRows(
    f"DELETE FROM entry WHERE seq IN (SELECT entry.seq FROM message JOIN entry ON {_ENTRIES_OF} WHERE message.id IN (",
    "?",
    "))",
)
_DELETE_MESSAGES = ManyRows("DELETE FROM message WHERE id IN (", "?", ")")
_DELETE_WORDS = ManyRows("DELETE FROM words WHERE rowid IN (", "?", ")")


def revoke(
    connection: sqlite3.Connection, key: int, sender: Aor, conversation: Aor, message_id: str, now: float
) -> bool:
    """Withdraw the newest chat message with this identity, if nobody has it."""
    found = connection.execute(
        "SELECT id, retain_until FROM message WHERE key = ? AND kind = 0 AND sender = ? AND conversation = ? "
        "AND message_id = ? ORDER BY id DESC LIMIT 1",
        (key, sender, conversation, message_id),
    ).fetchone()
    if found is None:
        return False
    message, retain_until = found
    entries = [(row[1], row[0], row[2], row[4]) for row in connection.execute(ENTRIES, (message,))]
    dispositions = connection.execute(DISPOSITIONS, (message,)).fetchall()
    # The sender's other devices may have their copy: that is not delivery.
    incoming = [(mailbox, state) for _, mailbox, kind, state in entries if kind == 0]
    taken = [state for _, state in incoming] + [state for _, state, _ in dispositions]
    if any(state >= State.ACKNOWLEDGED for state in taken):
        return False
    pending = {seq: int(State.REVOKED) for seq, _, _, state in entries if state < State.FAILED}
    raise_states(connection, pending)
    # The recipient, also where the entry is due to their operator (a peer's mailbox).
    if any(state < State.FAILED for _, state in incoming):
        connection.execute(
            "INSERT OR IGNORE INTO disposition (message, recipient, state, at, forget_at) VALUES (?, ?, ?, ?, ?)",
            (message, conversation, int(State.REVOKED), now, retain_until + KEEP_DISPOSITIONS),
        )
    return any(state < State.FAILED or state == State.REVOKED for _, state in incoming)


def expire(
    connection: sqlite3.Connection,
    progress: Progress,
    after_commit: Callable[[Callable[[], None]], None],
    now: float,
    limit: int,
) -> list[tuple[Any, ...]]:
    """Fail what nobody took in time; the rows (entry, message) of at most `limit` entries.

    What was delivered long ago stays in the index of deliver_until, so each sweep begins where the last one ended.
    """
    rows = connection.execute(_OVERDUE, (progress.swept_until, now, limit)).fetchall()
    raise_states(connection, {row[1]: int(State.FAILED) for row in rows})
    if len(rows) < limit and now > progress.swept_until:
        if rows:
            progress.save_swept_until(connection, now)

        def swept() -> None:
            progress.swept_until = now

        after_commit(swept)
    return rows


def prune(connection: sqlite3.Connection, progress: Progress, now: float, limit: int) -> int:
    """Delete at most `limit` messages, and as many dispositions, whose time is over; how many messages it were."""
    messages = [
        row[0]
        for row in connection.execute(
            "SELECT id FROM message WHERE retain_until <= ? ORDER BY retain_until, id LIMIT ?", (now, limit)
        )
    ]
    if messages:
        progress.save_next_id(connection)
        _DELETE_ENTRIES.write(connection, messages)
        _DELETE_MESSAGES.write(connection, messages)
        # Last: on a full disk it takes the room that the messages leave.
        _DELETE_WORDS.write(connection, messages)
    forgotten = connection.execute(
        "SELECT message, recipient, state FROM disposition WHERE forget_at <= ? ORDER BY forget_at LIMIT ?",
        (now, limit),
    ).fetchall()
    connection.executemany("DELETE FROM disposition WHERE message = ? AND recipient = ? AND state = ?", forgotten)
    return len(messages)


def forget_mailbox(connection: sqlite3.Connection, progress: Progress, mailbox: Aor) -> None:
    """Delete a mailbox's entries and cursors. The messages stay: they are in their senders' traces."""
    progress.save_next_id(connection)
    connection.execute("DELETE FROM entry WHERE mailbox = ?", (mailbox,))
    connection.execute("DELETE FROM cursor WHERE mailbox = ?", (mailbox,))
