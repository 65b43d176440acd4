"""The pump of a peer operator's mailbox: many conversations at once, each in its order, until the peer has taken all.

Spec: architecture §2 (rules of the cursor); IR.90 (facts §10: never a failure for what the transport could not do).
The store is the truth: what is known here is what is next and what is under way, and is rebuilt from the cursor.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Final

from joyn import telemetry
from joyn.model.aor import Aor
from joyn.model.message import TIME_OVER, Cursor, Deposit, Entry, EntryKind, Kind, Message, State
from joyn.model.peer import mailbox_of
from joyn.model.refused import Refused
from joyn.services.interconnect.lane import Lane
from joyn.services.interconnect.outcome import Answer, Outcome
from joyn.store import Mailboxes

__all__ = ["Pump"]

KNOWN: Final = 2048
"""Entries in memory at a time that wait for their turn or are under way."""
AHEAD: Final = 32_768
"""Entries known at a time together with those that are over but stand behind one that is not. What holds up that many
others is given up the next time it is put off, and its sender told."""
PAGE: Final = 256
"""Entries read from the store at a time."""
WINDOW: Final = 256
"""Attempts under way at a time."""
SETTLE_EVERY: Final = 0.02
"""Seconds for which what the peer has taken is gathered before the cursor moves; longer when it has more to tell."""
SETTLED_AT_EASE: Final = 256
"""Entries beyond one that is not over, for which a cursor is moved at that pace."""
READ_AGAIN: Final = 5.0
"""Seconds until the mailbox is read again when the store would not answer."""
PATIENCE: Final = 3
"""Times in a row that a conversation may see the way to the peer go before it rests: it may be what breaks it."""
INSTANCE: Final = "link"
"""The one cursor of a peer's mailbox."""

log = logging.getLogger(__name__)
TAKEN = telemetry.counter("peer.taken")
REFUSED = telemetry.counter("peer.refused")

_Conversation = tuple[Aor, Aor]


class Pump:
    """What is due to one operator, `domain`.

    `begin(entry, answer)` sends an entry and calls `answer` exactly once; `ready()` says whether there is a way to
    the peer. `moved(entry)` says where an entry goes instead, if its recipient has another operator now.
    `report(message, state)` tells a sender; `failure(entry, cause)` makes what they get with a failure, with the SIP
    status that says why.
    """

    def __init__(
        self,
        domain: str,
        mailboxes: Mailboxes,
        *,
        begin: Callable[[Entry, Callable[[Answer], None]], None],
        ready: Callable[[], bool],
        wall: Callable[[], float],
        random: Callable[[], float],
    ) -> None:
        self.domain = domain
        self.mailbox = mailbox_of(domain)
        self._mailboxes = mailboxes
        self._begin = begin
        self._ready = ready
        self._wall = wall
        self._random = random
        self._lanes: dict[_Conversation, Lane] = {}
        self._turns: deque[Lane] = deque()
        self._order: deque[int] = deque()  # of all that is known, as the store has it
        self._settled: set[int] = set()  # of these, what is over
        self._states: list[tuple[int, State]] = []
        self._revoking: set[tuple[Aor, Aor, str]] = set()
        self._read_to = self._low = 0
        self._complete = False
        self._opened = False
        self._opened_at = 0.0
        self._reading = self._running = False
        self._behind = False  # something was committed while a page was read, which may be without it
        self._closed = False
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.in_flight = 0
        self.taken = self.refused = 0
        self.last_error = ""
        self.report: Callable[[Message, State], None] = lambda _message, _state: None
        self.failure: Callable[[Entry, int], Deposit | None] = lambda _entry, _cause: None
        self.moved: Callable[[Entry], Coroutine[None, None, Deposit | None] | None] = lambda _entry: None

    @property
    def known(self) -> int:
        """Entries in memory that are not over."""
        return len(self._order) - len(self._settled)

    # What others tell.

    async def open(self) -> None:
        """Begin where the last run ended. Raises what the store raises."""
        cursors = await self._mailboxes.cursors(self.mailbox)
        own = next((cursor for cursor in cursors if cursor.instance == INSTANCE), None)
        if own is None:
            self._low = await self._mailboxes.first_unacknowledged(self.mailbox)
            self._ahead: frozenset[int] = frozenset()
        else:
            self._low, self._ahead = own.low, own.ahead
        self._read_to = self._low
        self._opened_at = self._wall()
        self._opened = True
        self.run()

    def nudge(self, entry: Entry) -> None:
        """This entry has just been committed."""
        if not self._ready() and entry.message.kind is Kind.CHAT:
            self.report(entry.message, State.STORED)
        if self._reading:
            self._behind = True
        elif self._opened and self._complete and entry.seq > self._read_to:
            if self.known < KNOWN and len(self._order) < AHEAD:
                self._take_in(entry)
            else:
                self._complete = False
        self.run()

    def run(self) -> None:
        """Begin whatever can be begun; called whenever something changes."""
        if self._closed or not self._opened or self._running:
            return  # what is answered at once is gone on with by who has begun it
        self._running = True
        try:
            while self._turns and self.in_flight < WINDOW and self._ready():
                lane = self._turns.popleft()
                lane.queued = False
                if lane.due and not lane.busy:
                    self._attempt(lane)
        finally:
            self._running = False
        room = self.known < KNOWN // 2 and len(self._order) < AHEAD
        if room and not self._complete and not self._reading:
            self._reading = True
            self._spawn(self._read())

    async def revoke(self, recipient: Aor, sender: Aor, message_id: str) -> bool:
        """Withdraw a message that the peer has not been given. True when it will never have it."""
        lane = self._lanes.get((sender, recipient))
        first = lane.due[0].message if lane is not None and lane.due else None
        if lane is not None and first is not None and first.message_id == message_id:
            # The peer may have it, though its answer was lost; what an earlier run sent we do not know.
            maybe_there = lane.busy or lane.given or first.accepted_at < self._opened_at
            if maybe_there:
                return False
        if self._timer is not None:
            # What the peer has taken is known here a moment before the store hears of it.
            self._timer.cancel()
            self._settle()
        identity = (sender, recipient, message_id)
        self._revoking.add(identity)  # until the store has decided, nothing is begun with it
        withdrawn = False
        try:
            withdrawn = await self._mailboxes.revoke(sender, recipient, message_id, self._wall())
        finally:
            self._revoking.discard(identity)
            lane = self._lanes.get((sender, recipient))
            if lane is not None:
                if withdrawn:
                    for entry in [one for one in lane.due if one.message.message_id == message_id]:
                        self._over(lane, entry, None)
                self._queue(lane)
            self.run()
        return withdrawn

    async def close(self) -> None:
        """Nothing is begun any more; what the peer has taken is noted."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for lane in self._lanes.values():
            lane.close()
        if self._timer is not None:
            self._timer.cancel()
            self._settle()

    # Reading.

    async def _read(self) -> None:
        self._behind = False
        try:
            entries = await self._mailboxes.read(self.mailbox, self._read_to, PAGE)
        except Exception:  # the loop that owns a mailbox: it must not end because the store failed once
            log.exception("a peer's mailbox could not be read")
            await asyncio.sleep(READ_AGAIN)
        else:
            self._complete = len(entries) < PAGE and not self._behind
            for entry in entries:
                if entry.seq not in self._ahead:
                    self._take_in(entry)
                self._read_to = entry.seq
        self._reading = False
        self.run()

    def _take_in(self, entry: Entry) -> None:
        self._read_to = entry.seq
        self._order.append(entry.seq)
        message = entry.message
        key = (message.sender, message.conversation)
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Lane(key)
        lane.due.append(entry)
        self._queue(lane)

    def _queue(self, lane: Lane) -> None:
        if lane.due and not (lane.busy or lane.queued or lane.resting):
            lane.queued = True
            self._turns.append(lane)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        if self._closed:
            work.close()
            return
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # One entry.

    def _attempt(self, lane: Lane) -> None:
        entry = lane.due[0]
        message = entry.message
        if message.deliver_until <= self._wall():
            if message.kind is Kind.CHAT:
                # It has failed, or is about to: the sweep tells its sender.
                self._over(lane, entry, None)
            else:
                self._give_up(lane, entry, TIME_OVER)
            return
        if self._revoking and (message.sender, message.conversation, message.message_id) in self._revoking:
            return
        lane.busy = True
        self.in_flight += 1
        work = self.moved(entry)
        if work is not None:
            self._spawn(self._move(lane, entry, work))
        else:
            self._hand_over(lane, entry)

    def _hand_over(self, lane: Lane, entry: Entry) -> None:
        lane.given = True
        self._begin(entry, lambda answer: self._answered(lane, entry, answer))

    async def _move(self, lane: Lane, entry: Entry, work: Coroutine[None, None, Deposit | None]) -> None:
        """The recipient's operator is looked up again; when it is another one the entry goes there."""
        try:
            elsewhere = await work
            if elsewhere is not None:
                # In one commit: it fails here and is accepted there.
                await self._mailboxes.fail(self.mailbox, entry.seq, elsewhere)
        except Refused as refused:
            self._answered(lane, entry, Answer(outcome=Outcome.LATER, reason=refused.detail))
        except Exception:  # the loop that owns an entry: a bug of ours must not hold up its conversation for ever
            log.exception("where an entry goes could not be found out")
            self._answered(lane, entry, Answer(outcome=Outcome.LATER, reason="an error of ours"))
        else:
            if elsewhere is None:
                self._hand_over(lane, entry)
                return
            lane.busy = False
            self.in_flight -= 1
            self._over(lane, entry, None)
            self.run()

    def _answered(self, lane: Lane, entry: Entry, answer: Answer) -> None:
        self.in_flight -= 1
        lane.busy = False
        if answer.outcome is Outcome.TAKEN:
            TAKEN.inc()
            self.taken += 1
            self._over(lane, entry, State.ACKNOWLEDGED)
        else:
            self.last_error = answer.reason
            in_the_way = answer.outcome is Outcome.LATER and len(self._order) >= AHEAD and entry.seq == self._order[0]
            if answer.outcome is Outcome.REFUSED or in_the_way:
                REFUSED.inc()
                self.refused += 1
                self._give_up(lane, entry, answer.status)
            else:
                self._put_off(lane, entry, answer)
        self.run()

    def _give_up(self, lane: Lane, entry: Entry, cause: int) -> None:
        lane.busy = True
        self.in_flight += 1
        self._spawn(self._fail(lane, entry, cause))

    def _put_off(self, lane: Lane, entry: Entry, answer: Answer) -> None:
        """Not now. When the way is gone the link says when there is one again; else this conversation rests."""
        if not lane.put_off and entry.message.kind is Kind.CHAT and entry.kind is EntryKind.INCOMING:
            self.report(entry.message, State.STORED)
        if answer.outcome is Outcome.GONE and lane.broken < PATIENCE:
            lane.broken += 1
            self._queue(lane)
            return
        lane.rest(self._random(), lambda: self._rested(lane))

    def _rested(self, lane: Lane) -> None:
        self._queue(lane)
        self.run()

    async def _fail(self, lane: Lane, entry: Entry, cause: int) -> None:
        """The peer will never take it: its sender is told."""
        try:
            await self._mailboxes.fail(self.mailbox, entry.seq, self.failure(entry, cause))
        except Exception as error:  # Refused, or a bug of ours, which must not hold up its conversation for ever
            if not isinstance(error, Refused):
                log.exception("a failure could not be noted")
            lane.busy = False
            self.in_flight -= 1
            lane.rest(self._random(), lambda: self._rested(lane))
            return
        lane.busy = False
        self.in_flight -= 1
        self._over(lane, entry, None)
        self.run()

    def _over(self, lane: Lane, entry: Entry, state: State | None) -> None:
        if entry is lane.due[0]:
            lane.next()
        lane.due.remove(entry)  # nearly always the first
        if lane.due:
            self._queue(lane)
        else:
            lane.close()
            self._lanes.pop(lane.key, None)
        self._settled.add(entry.seq)
        if state is not None:
            self._states.append((entry.seq, state))
        if self._timer is None and not self._closed:
            pause = SETTLE_EVERY * max(1.0, len(self._settled) / SETTLED_AT_EASE)
            self._timer = asyncio.get_running_loop().call_later(pause, self._settle)

    def _settle(self) -> None:
        """Move the cursor: losing a move costs a second delivery, which the peer knows by its Message-ID."""
        self._timer = None
        order, settled = self._order, self._settled
        while order and order[0] in settled:
            self._low = order.popleft()
            settled.discard(self._low)
        if not order:
            self._low = max(self._low, self._read_to)
        ahead = frozenset(settled)
        states, self._states = self._states, []
        cursor = Cursor(mailbox=self.mailbox, instance=INSTANCE, low=self._low, ahead=ahead, touched_at=self._wall())
        self._mailboxes.settle(cursor, states)
        self.run()
