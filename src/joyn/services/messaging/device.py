"""A device of a subscriber as its pump sees it: what is next, what is in flight, what has been put off.

Spec: architecture §2 (rules of the cursor). Pure bookkeeping: the terminating function decides and acts.
"""

from __future__ import annotations

from collections import deque

from joyn.model.aor import Aor
from joyn.model.binding import Binding
from joyn.model.message import Cursor, Entry, EntryKind
from joyn.model.tags import traits_of

MAX_AHEAD = 256
"""Entries that may be settled or waiting beyond one that is not settled; then the pump waits for that one, which is
tried again when the device registers."""


class Device:
    """An attached instance and how far it has come.

    `outstanding` are the entries with an attempt in flight, `waiting` those whose attempt ended without a settlement:
    their conversations are `held` until the next registration. Of the outstanding, those `beside` their conversations
    hold back nothing. `queue` is what is known to be next, complete up to the
    mailbox's end when `complete`; `popped` the last entry taken from it. `unanswered` are those that the device has
    left without any answer before: they may be what it cannot stand. It is `behind` when something was committed while
    the mailbox was read, which may be without it.
    """

    __slots__ = (
        "again",
        "ahead",
        "aor",
        "behind",
        "beside",
        "bindings",
        "busy",
        "complete",
        "generation",
        "held",
        "idle",
        "instance",
        "low",
        "opened",
        "outstanding",
        "paused",
        "popped",
        "queue",
        "read_to",
        "restarting",
        "since",
        "unanswered",
        "waiting",
    )

    def __init__(self, aor: Aor, instance: str, low: int, ahead: frozenset[int]) -> None:
        self.aor = aor
        self.instance = instance
        self.bindings: tuple[Binding, ...] = ()
        self.low = self.popped = self.read_to = low
        self.ahead = set(ahead)
        self.outstanding: dict[int, Entry] = {}
        self.beside: set[int] = set()
        self.held: set[Aor] = set()
        self.queue: deque[Entry] = deque()
        self.complete = False
        self.behind = False
        self.paused = False
        self.busy = False
        self.idle = False
        self.waiting: dict[int, Entry] = {}
        self.unanswered: set[int] = set()
        self.since = 0.0
        self.again = 0
        self.restarting = False
        self.generation = 0
        self.opened = False

    @property
    def plain(self) -> bool:
        """Whether this is a plain SIP client, which knows no Message-ID."""
        return not traits_of(self.bindings[0].parameters).rcs

    @property
    def full(self) -> bool:
        """Whether as much is settled or waiting beyond an unsettled entry as may be."""
        return len(self.ahead) + len(self.waiting) >= MAX_AHEAD and bool(self.outstanding or self.waiting)

    @property
    def clear(self) -> bool:
        """Whether nothing is in flight that anything else has to wait for."""
        return self.outstanding.keys() <= self.beside

    def renew(self, since: float, *, fresh: bool = False) -> None:
        """The device has come back at `since` (wall clock): nothing is held back any more.

        When it is `fresh`, on another flow, what was sent over the old one is given up: it is tried again at once, and
        only an acknowledgement still counts.
        """
        if fresh and self.opened:
            self.generation += 1
            self.outstanding.clear()
            self.beside.clear()
            self.busy = False
        self.held.clear()
        self.unanswered = {seq for seq in self.unanswered if seq > self.low}
        self.paused = False
        self.again = 0
        self.since = since
        self.rewind()

    def rewind(self) -> None:
        """Begin again after the last settled entry."""
        self.waiting.clear()
        self.queue.clear()
        self.complete = self.restarting = False
        self.read_to = self.popped = self.low

    def settle(self, seq: int, now: float) -> Cursor:
        """The entry is over for this device; returns the cursor as it stands now (wall clock)."""
        self.outstanding.pop(seq, None)
        self.beside.discard(seq)
        self.waiting.pop(seq, None)
        self.unanswered.discard(seq)
        if not self.outstanding and not self.waiting:
            self.low = max(self.low, self.popped)
            if not self.ahead:
                return Cursor(mailbox=self.aor, instance=self.instance, low=self.low, touched_at=now)
        else:
            self.ahead.add(seq)
            self.low = max(self.low, min([*self.outstanding, *self.waiting]) - 1)
        # After a new beginning there may be more ahead than what was taken from the queue by now.
        self.ahead = {ahead for ahead in self.ahead if ahead > self.low}
        ahead = frozenset(self.ahead)
        return Cursor(mailbox=self.aor, instance=self.instance, low=self.low, ahead=ahead, touched_at=now)


def peer_of(entry: Entry) -> Aor:
    """The other party of the conversation an entry belongs to."""
    return entry.message.conversation if entry.kind is EntryKind.COPY else entry.message.sender
