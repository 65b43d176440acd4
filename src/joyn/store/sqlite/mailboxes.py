"""Mailboxes as the rest of the node sees them: what is asked on the loop, and what is handed to the writer."""

# SQL is put together from constants of this package only.
# ruff: noqa: S608

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

from joyn.model.aor import Aor
from joyn.model.message import Accepted, Cursor, Deposit, Entry, Kind, Message, State, Trace
from joyn.model.refused import Refused
from joyn.store.sqlite import upkeep
from joyn.store.sqlite.acceptance import Acceptance, identity_of, key_of, keys_with, work_of
from joyn.store.sqlite.connection import Reader
from joyn.store.sqlite.progress import Progress
from joyn.store.sqlite.records import (
    ENTRY_COLUMNS,
    MESSAGE_COLUMNS,
    cursor_from,
    disposition_from,
    entry_from,
    message_from,
)
from joyn.store.sqlite.settlement import Settlement, merged
from joyn.store.sqlite.writer import Writer

__all__ = ["SqliteMailboxes"]

logger = logging.getLogger(__name__)

DEPOSIT_BYTES = 512
"""What a queued deposit weighs besides its body, for the bound on queued bytes."""

_ENTRY_WIDTH = 5
_READ = (
    f"SELECT {ENTRY_COLUMNS}, {MESSAGE_COLUMNS} FROM entry JOIN message ON message.id = entry.message "
    "WHERE entry.mailbox = ? AND entry.seq > ? AND entry.state NOT IN (2, 3) ORDER BY entry.seq LIMIT ?"
)
_CURSORS = "SELECT mailbox, instance, low, ahead, touched_at FROM cursor WHERE mailbox = ?"
_FAIL = "UPDATE entry SET state = 2 WHERE seq = ? AND mailbox = ? AND state < 2"
_HIDDEN = (State.FAILED, State.REVOKED)


class SqliteMailboxes:
    """See joyn.store.Mailboxes."""

    def __init__(
        self,
        writer: Writer,
        reader: Reader,
        in_thread: Callable[..., Awaitable[list[tuple[Any, ...]]]],
        settlement: Settlement,
        acceptance: Acceptance,
        progress: Progress,
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._in_thread = in_thread
        self._settlement = settlement
        self._acceptance = acceptance
        self._progress = progress
        self.on_accepted: Callable[[Sequence[Entry]], None] = lambda _entries: None

    async def accept(self, deposit: Deposit) -> Accepted:
        """Append to mailboxes in one commit; on disk when it returns. See joyn.store.Mailboxes.accept."""
        message = deposit.message
        size = DEPOSIT_BYTES + len(message.cpim) + len(message.headers)
        accepted: Accepted = await self._writer.submit(self._acceptance, work_of(deposit), size, self._tell)
        return accepted

    def _tell(self, accepted: Accepted) -> None:
        if accepted.entries:
            try:
                self.on_accepted(accepted.entries)
            except Exception:  # whoever listens must not keep the others' commits from being told
                logger.exception("on_accepted failed")

    async def read(self, mailbox: Aor, after: int, limit: int) -> list[Entry]:
        """Entries with seq > after in order, at most `limit`; FAILED and REVOKED ones are left out."""
        entries: list[Entry] = []
        # Before the rows: what is committed in between is then seen in one of the two.
        states = self._settlement.states()
        while (missing := limit - len(entries)) > 0:
            rows = self._reader.rows(_READ, (mailbox, after, missing))
            for row in rows:
                state = _state(row, states)
                if state not in _HIDDEN:
                    entries.append(entry_from(row, state, message_from(row[_ENTRY_WIDTH:])))
            if len(rows) < missing:
                break
            after = rows[-1][1]
        return entries

    async def cursors(self, mailbox: Aor) -> list[Cursor]:
        """All cursors of a mailbox, including moves not yet on disk."""
        return self._merged_cursors(self._settlement.cursors(mailbox), self._reader.rows(_CURSORS, (mailbox,)))

    def settle(self, cursor: Cursor, states: Iterable[tuple[int, State]] = ()) -> None:
        """Note a cursor's move and the states that entries reached. See joyn.store.Mailboxes.settle.

        At the bound (Limits.settled) a move is forgotten, and its entry delivered once more.
        """
        self._settlement.settle(cursor, states)

    async def flush(self) -> None:
        """Returns when everything settled so far is on disk."""
        if self._settlement.waiting():
            await self._writer.flush()

    async def drop_cursor(self, mailbox: Aor, instance: str) -> None:
        """Forget a device's cursor (idle too long, or removed)."""
        # What was settled before this call is written before it, in the same commit at the latest.
        await self._writer.call(
            lambda connection: (
                connection.execute(
                    "DELETE FROM cursor WHERE mailbox = ? AND instance = ?", (mailbox, instance)
                ).rowcount
            )
        )

    async def forget_cursors(self, before: float, limit: int = 1000) -> int:
        """Drop up to `limit` cursors untouched since `before` (wall clock)."""
        return await self._writer.call(
            lambda connection: connection.execute(upkeep.FORGET_CURSORS, (before, limit)).rowcount
        )

    async def find(self, sender: Aor, conversation: Aor, message_id: str) -> Trace | None:
        """The chat message with this identity, its entries and dispositions; the newest, if it was accepted anew."""
        key = key_of(identity_of(Kind.CHAT, sender, conversation, message_id), message_id)
        states = self._settlement.states()
        rows = self._reader.rows(upkeep.FIND, (key, sender, conversation, message_id))
        if not rows:
            return None
        message = message_from(rows[0])
        return self._trace(
            message,
            self._reader.rows(upkeep.ENTRIES, (message.id,)),
            self._reader.rows(upkeep.DISPOSITIONS, (message.id,)),
            states,
        )

    async def revoke(self, sender: Aor, conversation: Aor, message_id: str, now: float) -> bool:
        """Withdraw: its pending entries become REVOKED, if no entry or disposition says a device has taken it.

        True also when it was withdrawn before.
        """
        key = key_of(identity_of(Kind.CHAT, sender, conversation, message_id), message_id)
        return await self._writer.call(
            lambda connection: upkeep.revoke(connection, key, sender, conversation, message_id, now)
        )

    async def first_unacknowledged(self, mailbox: Aor) -> int:
        """Where a new device begins: just before the first INCOMING entry that nobody has acknowledged."""
        # The end is read first: what is committed between the two reads is found by the second one.
        ((last,),) = self._reader.rows(upkeep.LAST, (mailbox,))
        states = self._settlement.states()
        for (seq,) in self._reader.rows(upkeep.UNACKNOWLEDGED, (mailbox,)):
            if max(generation.get(seq, 0) for generation in states) < State.FAILED:
                return int(seq) - 1
        return int(last)

    async def fail(self, mailbox: Aor, seq: int, report: Deposit | None = None) -> bool:
        """The last device has refused this entry: FAILED, unless somebody has taken it. See joyn.store.Mailboxes."""

        def work(connection: sqlite3.Connection) -> tuple[bool, Sequence[Accepted | Refused]]:
            failed = connection.execute(_FAIL, (seq, mailbox)).rowcount > 0
            return failed, self._deposit(connection, [report] if failed and report is not None else [])

        failed, _ = await self._writer.call(work, self._tell_all)
        return failed

    async def expire(
        self, now: float, limit: int = 1000, report: Callable[[Entry], Deposit | None] | None = None
    ) -> list[Entry]:
        """Entries that nobody took in time become FAILED. See joyn.store.Mailboxes.expire."""

        def work(connection: sqlite3.Connection) -> tuple[list[Entry], Sequence[Accepted | Refused]]:
            rows = upkeep.expire(connection, self._progress, self._writer.after_commit, now, limit)
            entries = [entry_from(row, State.FAILED, message_from(row[_ENTRY_WIDTH:])) for row in rows]
            reports = [report(entry) for entry in entries] if report is not None else []
            return entries, self._deposit(connection, [made for made in reports if made is not None])

        entries, _ = await self._writer.call(work, self._tell_all)
        return entries

    def _deposit(self, connection: sqlite3.Connection, deposits: Sequence[Deposit]) -> Sequence[Accepted | Refused]:
        """Accept deposits inside other work."""
        return self._acceptance.write(connection, [work_of(deposit) for deposit in deposits]) if deposits else ()

    def _tell_all(self, result: tuple[object, Sequence[Accepted | Refused]]) -> None:
        for accepted in result[1]:
            if isinstance(accepted, Accepted):
                self._tell(accepted)

    async def prune(self, now: float, limit: int = 1000) -> int:
        """Delete up to `limit` messages past retain_until, with entries; dispositions stay 30 days longer."""
        return await self._writer.call(lambda connection: upkeep.prune(connection, self._progress, now, limit))

    async def trace(self, message_id: str) -> list[Trace]:
        """All messages with this Message-ID, whoever sent them, with entries, dispositions and cursors."""
        traces = []
        for row in await self._in_thread(upkeep.TRACE, (*keys_with(message_id), message_id)):
            message = message_from(row)
            states = self._settlement.states()
            entries = await self._in_thread(upkeep.ENTRIES, (message.id,))
            dispositions = await self._in_thread(upkeep.DISPOSITIONS, (message.id,))
            cursors: list[Cursor] = []
            for mailbox in dict.fromkeys(row[0] for row in entries):
                moves = self._settlement.cursors(mailbox)
                cursors += self._merged_cursors(moves, await self._in_thread(_CURSORS, (mailbox,)))
            traces.append(self._trace(message, entries, dispositions, states, tuple(cursors)))
        return traces

    async def pending(self, mailbox: Aor) -> int:
        """How many entries nobody has acknowledged yet (PENDING or STORED). Writes first what is settled."""
        await self.flush()
        count: int = (await self._in_thread(upkeep.PENDING, (mailbox,)))[0][0]
        return count

    @staticmethod
    def _merged_cursors(moves: list[Cursor], rows: list[tuple[Any, ...]]) -> list[Cursor]:
        cursors = {cursor.instance: cursor for cursor in map(cursor_from, rows)}
        for move in moves:
            before = cursors.get(move.instance)
            cursors[move.instance] = move if before is None else merged(before, move)
        return list(cursors.values())

    @staticmethod
    def _trace(
        message: Message,
        entries: list[tuple[Any, ...]],
        dispositions: list[tuple[Any, ...]],
        states: tuple[Mapping[int, int], Mapping[int, int]],
        cursors: tuple[Cursor, ...] = (),
    ) -> Trace:
        return Trace(
            message=message,
            entries=tuple(entry_from(row, _state(row, states), message) for row in entries),
            dispositions=tuple(disposition_from((row[0], row[1], row[2])) for row in dispositions),
            cursors=cursors,
        )


def _state(row: tuple[Any, ...], states: tuple[Mapping[int, int], Mapping[int, int]]) -> int:
    """The state of an entry's row, or a higher one that is not on disk yet."""
    state: int = row[4]
    for waiting in states:
        if waiting:
            state = max(state, waiting.get(row[1], 0))
    return state
