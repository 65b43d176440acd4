"""Accepting deposits, many in one transaction: duplicates, receipts, numbers, rows. Runs on the writer's thread."""

# SQL is put together from constants of this package only.
# ruff: noqa: S608

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, NamedTuple
from zlib import crc32

from joyn.model.message import Accepted, Deposit, Entry, Kind, Message, Receipt, State
from joyn.model.refused import Reason, Refused
from joyn.store.sqlite.progress import Progress
from joyn.store.sqlite.records import (
    MESSAGE_COLUMNS,
    make_message,
    message_from,
    message_values,
)
from joyn.store.sqlite.statements import ManyRows

__all__ = ["KEEP_DISPOSITIONS", "Acceptance", "Work", "ended", "identity_of", "key_of", "keys_with", "work_of"]

KEEP_DISPOSITIONS = 30 * 86400.0
"""Seconds a disposition outlives its message."""

_PENDING = State.PENDING
_TOKENS = {
    # RFC 5438 §6.3, Disposition-Notification: what the sender must have asked for to be told of a state.
    State.STORED: "processing",
    State.DELIVERED: "positive-delivery",
    State.FAILED: "negative-delivery",
    State.DISPLAYED: "display",
    State.NOT_DISPLAYED: "display",
}

# OR ROLLBACK: whatever fails here fails the transaction, so SQLite need not keep a journal of each statement as well.
_INSERT_MESSAGES = ManyRows(
    "INSERT OR ROLLBACK INTO message (id, key, entries, sender, conversation, message_id, kind, content_type, cpim, "
    "digest, requested, headers, service, instance, accepted_at, deliver_until, retain_until) VALUES ",
    f"({', '.join('?' * 17)})",
)
_INSERT_ENTRIES = ManyRows(
    "INSERT OR ROLLBACK INTO entry (seq, message, mailbox, kind, instance, state) VALUES ", "(?, ?, ?, ?, ?, 0)"
)
_INSERT_DISPOSITIONS = ManyRows(
    "INSERT OR ROLLBACK INTO disposition (message, recipient, state, at, forget_at) VALUES ", "(?, ?, ?, ?, ?)"
)
_SELECT_KNOWN = ManyRows(
    "SELECT id, kind, sender, conversation, message_id, digest, requested, retain_until FROM message WHERE key IN (",
    "?",
    ")",
)
_SELECT_HIGHEST = ManyRows(
    "SELECT message, recipient, max(state) FROM disposition WHERE message IN (", "?", ") GROUP BY message, recipient"
)
_RAISE_INCOMING = {
    state: ManyRows(
        f"UPDATE entry SET state = {state:d} WHERE seq IN (SELECT entry.seq FROM message JOIN entry "
        "ON entry.seq >= message.id AND entry.seq < message.id + message.entries WHERE message.id IN (",
        "?",
        f") AND entry.kind = 0 AND entry.mailbox = message.conversation AND entry.state < {state:d})",
    )
    for state in State
}


class Known(NamedTuple):
    """What acceptance asks of a message that is on disk."""

    id: int
    kind: int
    sender: str
    conversation: str
    message_id: str
    digest: bytes
    requested: str
    retain_until: float


def identity_of(kind: int, sender: str, conversation: str, message_id: str) -> str:
    """One text for what makes two messages the same; two of them are equal only if all four are."""
    return f"{kind:d}:{len(sender)}:{len(conversation)}:{sender}{conversation}{message_id}"


def key_of(identity: str, message_id: str) -> int:
    """The indexed 63-bit hash of an identity; what it finds is compared exactly.

    The upper half depends on the Message-ID alone, so that all messages with it stand together (`keys_with`).
    """
    half = crc32(message_id.encode()) & 0x7FFFFFFF
    return half << 32 | int.from_bytes(blake2b(identity.encode(), digest_size=4).digest())


def keys_with(message_id: str) -> tuple[int, int]:
    """The lowest and the highest key that a message with this Message-ID can have."""
    half = crc32(message_id.encode()) & 0x7FFFFFFF
    return half << 32, half << 32 | 0xFFFFFFFF


Work = tuple[Deposit, str, int, str, int]
"""A deposit, its identity and key, and those of the message its receipt speaks of ("" and 0 without a receipt)."""


def work_of(deposit: Deposit) -> Work:
    """What can be computed before the writer has it. Raises UnicodeEncodeError for text that is none."""
    message = deposit.message
    identity = identity_of(message.kind, message.sender, message.conversation, message.message_id)
    key = key_of(identity, message.message_id)
    receipt = deposit.receipt
    if receipt is None:
        return (deposit, identity, key, "", 0)
    about = identity_of(Kind.CHAT, receipt.sender, receipt.recipient, receipt.message_id)
    return (deposit, identity, key, about, key_of(about, receipt.message_id))


def ended(connection: sqlite3.Connection, first: Message | Known, noted: int = State.PENDING) -> bool:
    """Has this message ended FAILED or REVOKED for its recipient? `noted` is a disposition not in the table yet."""
    (highest,) = connection.execute(
        "SELECT max(state) FROM disposition WHERE message = ? AND recipient = ?", (first.id, first.conversation)
    ).fetchone()
    highest = max(highest or 0, noted)
    if highest >= State.FAILED:
        return highest < State.ACKNOWLEDGED
    states = connection.execute(
        "SELECT entry.state FROM message JOIN entry ON entry.seq >= message.id "
        "AND entry.seq < message.id + message.entries WHERE message.id = ? AND entry.kind = 0",
        (first.id,),
    ).fetchall()
    return bool(states) and all(State.FAILED <= state < State.ACKNOWLEDGED for (state,) in states)


class Acceptance:
    """The lane of deposits."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def write(self, connection: sqlite3.Connection, works: Sequence[Work]) -> Sequence[Accepted | Refused]:
        """Accept all of them, in order."""
        batch = _Batch(connection, self._progress, works)
        results = [batch.accept(work) for work in works]
        batch.write()
        return results


class _Batch:
    """The deposits of one transaction: what they may meet in the database, and the rows they become."""

    def __init__(self, connection: sqlite3.Connection, progress: Progress, works: Sequence[Work]) -> None:
        self._connection = connection
        self._progress = progress
        self._messages: list[Any] = []
        self._entries: list[Any] = []
        self._dispositions: list[Any] = []
        self._raised: dict[State, list[int]] = {}
        keys = [key for _, _, key, _, _ in works]
        receipts = [(about, about_key) for _, _, _, about, about_key in works if about]
        keys += [about_key for _, about_key in receipts]
        # By identity, the newest.
        self._known: dict[str, Message | Known] = {}
        for row in _SELECT_KNOWN.read(connection, keys):
            message = Known._make(row)
            identity = identity_of(message.kind, message.sender, message.conversation, message.message_id)
            newest = self._known.get(identity)
            if newest is None or newest.id < message.id:
                self._known[identity] = message
        # The highest state by message and recipient.
        self._highest: dict[tuple[int, str], int] = {}
        spoken_of = [self._known[about].id for about, _ in receipts if about in self._known]
        for message_id, recipient, state in _SELECT_HIGHEST.read(connection, spoken_of):
            self._highest[message_id, recipient] = state

    def accept(self, work: Work) -> Accepted | Refused:
        """Decide on one deposit and keep its rows for `write`."""
        deposit, identity, _, about, _ = work
        message = deposit.message
        first = self._known.get(identity)
        if first is not None:
            if first.digest != message.digest:
                return Refused(Reason.ID_REUSED)
            if not self._has_ended(first) and not (deposit.returned and self._was_given_away(first)):
                return Accepted(message=self._whole(first), duplicate=True)
        if deposit.receipt is not None:
            dropped = self._note(deposit.receipt, about, message.accepted_at)
            if dropped:
                return Accepted(message=message, dropped=dropped)
        return self._append(work)

    def write(self) -> None:
        """Write all rows."""
        connection = self._connection
        _INSERT_MESSAGES.write(connection, self._messages)
        _INSERT_ENTRIES.write(connection, self._entries)
        _INSERT_DISPOSITIONS.write(connection, self._dispositions)
        for state, ids in self._raised.items():
            _RAISE_INCOMING[state].write(connection, ids)

    def _append(self, work: Work) -> Accepted:
        deposit, identity, key, _, _ = work
        addresses = deposit.addresses
        number = self._progress.take(max(1, len(addresses)))
        values = message_values(deposit.message)
        message = self._known[identity] = make_message((number, *values))
        kind = int(message.kind)
        self._messages += (number, key, len(addresses), *values[:3], kind, *values[4:])
        if kind == 0 and message.deliver_until <= self._progress.swept_until:
            self._progress.sweep_again_from(self._connection, message.deliver_until)
        entries: list[Entry] = []
        seq = number
        for address in addresses:
            mailbox, entry_kind, instance = address.mailbox, address.kind, address.instance
            self._entries += (seq, number, mailbox, int(entry_kind), instance)
            entries.append(
                Entry(mailbox=mailbox, seq=seq, kind=entry_kind, instance=instance, state=_PENDING, message=message)
            )
            seq += 1
        return Accepted(message=message, entries=tuple(entries))

    def _note(self, receipt: Receipt, about: str, at: float) -> str:
        """Record what a receipt says; why it goes no further, or nothing."""
        message = self._known.get(about)
        if message is None:
            return "unknown"
        place = (message.id, receipt.recipient)
        state = receipt.state
        if state <= self._highest.get(place, State.PENDING):
            return "stale"
        self._highest[place] = state
        self._dispositions += (*place, int(state), at, message.retain_until + KEEP_DISPOSITIONS)
        if state >= State.DELIVERED:
            self._raised.setdefault(state, []).append(message.id)
        token = _TOKENS.get(state)
        return "" if token is not None and token in message.requested.split(",") else "unasked"

    def _has_ended(self, first: Message | Known) -> bool:
        noted = self._highest.get((first.id, first.conversation), State.PENDING)
        return ended(self._connection, first, noted)

    def _was_given_away(self, first: Message | Known) -> bool:
        """Whether a message has never been in its recipient's own mailbox here."""
        here = self._connection.execute(
            "SELECT count(*) FROM message JOIN entry ON entry.seq >= message.id AND entry.seq < message.id + "
            "message.entries WHERE message.id = ? AND entry.kind = 0 AND entry.mailbox = message.conversation",
            (first.id,),
        ).fetchone()[0]
        return isinstance(first, Known) and not here

    def _whole(self, first: Message | Known) -> Message:
        if isinstance(first, Message):
            return first
        row = self._connection.execute(
            f"SELECT {MESSAGE_COLUMNS} FROM message WHERE id = ?",
            (first.id,),
        ).fetchone()
        return message_from(row)
