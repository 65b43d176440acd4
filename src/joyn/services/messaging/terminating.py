"""The terminating function: pump each mailbox to the devices attached to it, and move their cursors.

Spec: architecture §2 (rules of the cursor), RFC 3428 §8 (one MESSAGE in flight per device), RCC.07 §3.2.
One `Device` stands for an attached contact binding instance while there is something to do for it; it is rebuilt from
its cursor at any time. The store is the truth: a nudge carries the entry along only to spare a read.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sequence

from joyn import telemetry
from joyn.model.aor import Aor
from joyn.model.binding import Binding
from joyn.model.message import Cursor, Entry, EntryKind, Kind, Message, State
from joyn.model.tags import traits_of
from joyn.services.messaging.delivery import Delivery, Outcome
from joyn.store import Mailboxes

MAX_AGAIN = 3
"""Broken sessions in a row after which a device's chats wait for its next registration."""
PAGE = 64
"""Entries read from the store at a time."""
MAX_CURSORS = 10
"""Devices of one subscriber whose place in the mailbox is kept; a further one replaces the one longest away."""
MAX_AHEAD = 256
"""Entries that may be settled or waiting beyond one that is not settled; then the pump waits for that one, which is
tried again when the device registers."""

DELIVERED = telemetry.counter("message.acknowledged")
REFUSED = telemetry.counter("delivery.refused")
DEFERRED = telemetry.counter("message.deferred")


class Device:
    """An attached instance and how far it has come.

    `outstanding` are the entries with an attempt in flight, `waiting` those whose attempt ended without a settlement:
    their conversations are `held` until the next registration. `queue` is what is known to be next, complete up to the
    mailbox's end when `complete`; `popped` the last entry taken from it.
    """

    __slots__ = (
        "again",
        "ahead",
        "aor",
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
        "waiting",
    )

    def __init__(self, aor: Aor, instance: str, low: int, ahead: frozenset[int]) -> None:
        self.aor = aor
        self.instance = instance
        self.bindings: tuple[Binding, ...] = ()
        self.low = self.popped = self.read_to = low
        self.ahead = set(ahead)
        self.outstanding: dict[int, Entry] = {}
        self.held: set[Aor] = set()
        self.queue: deque[Entry] = deque()
        self.complete = False
        self.paused = False
        self.busy = False
        self.idle = False
        self.waiting: dict[int, Entry] = {}
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

    def renew(self, since: float, *, fresh: bool = False) -> None:
        """The device has come back at `since` (wall clock): nothing is held back any more.

        When it is `fresh`, on another flow, what was sent over the old one is given up: it is tried again at once, and
        only an acknowledgement still counts.
        """
        if fresh and self.opened:
            self.generation += 1
            self.outstanding.clear()
            self.busy = False
        self.held.clear()
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
        self.waiting.pop(seq, None)
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


class Terminating:
    """All pumps of this node."""

    def __init__(
        self,
        mailboxes: Mailboxes,
        delivery: Delivery,
        bindings: Callable[[Aor], tuple[Binding, ...]],
        *,
        wall: Callable[[], float],
        queue_per_device: int = 64,
    ) -> None:
        self._mailboxes = mailboxes
        self._delivery = delivery
        self._bindings = bindings
        self._wall = wall
        self._queue_bound = queue_per_device
        self._devices: dict[tuple[Aor, str], Device] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        self.report: Callable[[Message, Aor, State], None] = lambda _message, _aor, _state: None

    # What others tell us.

    def nudge(self, entries: Sequence[Entry]) -> None:
        """These entries have just been committed."""
        for entry in entries:
            bindings = self._bindings(entry.mailbox)
            if len(bindings) == 1:
                self._offer(entry, bindings[0].instance)
            elif bindings:
                for instance in dict.fromkeys(binding.instance for binding in bindings):
                    self._offer(entry, instance)
            elif entry.kind is EntryKind.INCOMING and entry.message.kind is Kind.CHAT:
                self.report(entry.message, entry.mailbox, State.STORED)

    def _offer(self, entry: Entry, instance: str) -> None:
        device = self._devices.get((entry.mailbox, instance))
        if device is None:
            self._start(entry.mailbox, instance)
            return
        if device.complete and entry.seq > device.read_to:
            if len(device.queue) < self._queue_bound:
                device.queue.append(entry)
                device.read_to = entry.seq
            else:
                device.complete = False
        self._pump(device)

    def attached(self, binding: Binding, fresh: bool) -> None:
        """A device has registered, or refreshed its registration."""
        device = self._devices.get((binding.aor, binding.instance))
        if device is not None:
            device.bindings = self._of_instance(binding.aor, binding.instance)
            if fresh or device.waiting or device.paused:
                device.renew(binding.registered_at, fresh=fresh)
            self._pump(device)
        elif fresh:
            self._start(binding.aor, binding.instance)

    def detached(self, binding: Binding) -> None:
        """A device has gone."""
        device = self._devices.get((binding.aor, binding.instance))
        if device is not None:
            device.bindings = self._of_instance(binding.aor, binding.instance)
            if not device.bindings:
                del self._devices[binding.aor, binding.instance]

    def heard(self, aor: Aor, instance: str) -> None:
        """The device sent something: if it was unreachable, it is not any more."""
        device = self._devices.get((aor, instance))
        if device is not None and device.paused:
            device.renew(self._wall())
            self._pump(device)

    def opened(self, aor: Aor, instance: str, peer: str) -> None:
        """The device has opened the chat with `peer` itself: what it would not take before, it takes now."""
        device = self._devices.get((aor, instance))
        if device is not None and peer in device.held:
            device.held.discard(Aor(peer))
            device.rewind()
            self._pump(device)

    def acknowledged(self, aor: Aor, instance: str, sender: Aor, message_id: str) -> None:
        """The device sent delivered or displayed for a message: it has it, whatever became of our attempt."""
        device = self._devices.get((aor, instance))
        if device is None:
            return
        for entry in [*device.outstanding.values(), *device.waiting.values()]:
            if entry.message.message_id == message_id and entry.message.sender == sender:
                self._settle(device, entry, State.ACKNOWLEDGED)

    def may_revoke(self, recipient: Aor, sender: Aor, message_id: str) -> bool:
        """Whether no attempt to deliver the message is in flight; if so, it is taken out of every queue."""
        devices = [d for (aor, _), d in self._devices.items() if aor == recipient]
        for device in devices:
            if any(
                e.message.message_id == message_id and e.message.sender == sender for e in device.outstanding.values()
            ):
                return False
        for device in devices:
            kept = [e for e in device.queue if e.message.message_id != message_id or e.message.sender != sender]
            device.queue = deque(kept)
        return True

    def wants_copies(self, aor: Aor, instance: str) -> bool:
        """Whether another device of this subscriber registered the sync tag."""
        for binding in self._bindings(aor):
            if binding.instance != instance and traits_of(binding.parameters).sync:
                return True
        return False

    def forget_idle(self) -> None:
        """Called now and then: devices that had nothing to do since the last call are dropped from memory."""
        for key, device in list(self._devices.items()):
            if device.busy or device.outstanding or device.waiting or device.held or device.paused or device.queue:
                device.idle = False
            elif device.idle:
                del self._devices[key]
            else:
                device.idle = True

    async def close(self) -> None:
        """Stop every pump; none begins any more."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # The pump.

    def _of_instance(self, aor: Aor, instance: str) -> tuple[Binding, ...]:
        return tuple(b for b in reversed(self._bindings(aor)) if b.instance == instance)

    def _start(self, aor: Aor, instance: str) -> None:
        device = Device(aor, instance, 0, frozenset())
        device.bindings = self._of_instance(aor, instance)
        if not device.bindings:
            return
        device.since = device.bindings[0].registered_at
        self._devices[aor, instance] = device
        device.busy = True
        self._spawn(self._open(device))

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        if self._closed:
            work.close()  # what attempts end in while the node stops is begun by its next run
            return
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _open(self, device: Device) -> None:
        cursors = await self._mailboxes.cursors(device.aor)
        own = next((cursor for cursor in cursors if cursor.instance == device.instance), None)
        if own is None:
            # A new instance starts at the first entry that no device has acknowledged.
            if len(cursors) >= MAX_CURSORS:
                await self._mailboxes.drop_cursor(device.aor, self._oldest(device.aor, cursors))
            low = await self._mailboxes.first_unacknowledged(device.aor)
            own = Cursor(mailbox=device.aor, instance=device.instance, low=low, touched_at=self._wall())
            self._mailboxes.settle(own)
        device.low = device.popped = device.read_to = own.low
        device.ahead = set(own.ahead)
        device.opened = True
        device.busy = False
        self._pump(device)

    def _oldest(self, aor: Aor, cursors: Sequence[Cursor]) -> str:
        """The instance used least recently, of those that are not here now if there is one."""
        here = {binding.instance for binding in self._bindings(aor)}
        return min(cursors, key=lambda cursor: (cursor.instance in here, cursor.touched_at)).instance

    def _pump(self, device: Device) -> None:
        """Begin whatever can be begun now; called again whenever something changes for the device."""
        device.idle = False
        while device.bindings and not (device.busy or device.paused or device.restarting or device.full):
            if not device.queue:
                if not device.complete:
                    device.busy = True
                    self._spawn(self._read(device))
                return
            entry = device.queue.popleft()
            device.popped = max(device.popped, entry.seq)
            if entry.seq <= device.low or entry.seq in device.ahead or entry.seq in device.outstanding:
                continue
            if not self._is_for(device, entry):
                self._settle(device, entry, None)
            elif device.held and entry.message.kind is Kind.CHAT and _peer(entry) in device.held:
                device.waiting[entry.seq] = entry
            else:
                device.outstanding[entry.seq] = entry
                self._attempt(device, entry, 0)

    async def _read(self, device: Device) -> None:
        """Fill the queue from the store."""
        generation = device.generation
        try:
            entries = await self._mailboxes.read(device.aor, device.read_to, PAGE)
            if generation == device.generation:
                device.complete = len(entries) < PAGE
                device.queue.extend(entries)
                if entries:
                    device.read_to = entries[-1].seq
                elif not (device.outstanding or device.waiting):
                    # Nothing was due: most devices register and stay silent, and cost no memory here.
                    self._devices.pop((device.aor, device.instance), None)
        finally:
            self._free(device, generation)

    def _is_for(self, device: Device, entry: Entry) -> bool:
        if entry.instance and entry.instance != device.instance:
            return False
        if entry.message.deliver_until <= self._wall():
            return False
        traits = traits_of(device.bindings[0].parameters)
        if entry.kind is EntryKind.COPY:
            return traits.sync and entry.message.instance != device.instance
        if traits.rcs:
            return True
        # A plain SIP client understands text, and neither IMDN nor anything else of RCS.
        return entry.message.kind is Kind.CHAT and entry.message.content_type.startswith("text/")

    def _attempt(self, device: Device, entry: Entry, index: int) -> None:
        """Try the device's binding number `index`; if it cannot be reached there, the next."""
        deferred = entry.message.accepted_at < device.since
        generation = device.generation
        attempt = self._delivery.begin(device.bindings[index], entry, deferred=deferred)
        if attempt.pipelined:

            def done_in_line(done: asyncio.Future[Outcome]) -> None:
                full = device.full
                self._ended(device, entry, done.result(), generation)
                if full:
                    self._pump(device)

            attempt.done.add_done_callback(done_in_line)
            if attempt.room.done():
                return
            device.busy = True
            attempt.room.add_done_callback(lambda _room: self._free(device, generation))
            return
        device.busy = True

        def ended(done: asyncio.Future[Outcome]) -> None:
            outcome = done.result()
            if outcome is Outcome.GONE and generation == device.generation and index + 1 < len(device.bindings):
                self._attempt(device, entry, index + 1)
                return
            self._ended(device, entry, outcome, generation)
            if device.bindings and device.plain:
                self._spawn(self._flushed(device, generation))
            else:
                self._free(device, generation)

        attempt.done.add_done_callback(ended)

    def _free(self, device: Device, generation: int) -> None:
        if generation == device.generation:
            device.busy = False
            self._pump(device)

    async def _flushed(self, device: Device, generation: int) -> None:
        """A client that knows no Message-ID cannot tell a repetition: its cursor is on disk before the next one."""
        try:
            await self._mailboxes.flush()
        finally:
            self._free(device, generation)

    def _ended(self, device: Device, entry: Entry, outcome: Outcome, generation: int) -> None:
        if generation != device.generation and outcome is not Outcome.TAKEN:
            return
        if entry.seq not in device.outstanding:
            return
        if outcome is Outcome.TAKEN:
            device.again = 0
            self._taken(device, entry)
        elif outcome is Outcome.REFUSED:
            REFUSED.inc()
            self._settle(device, entry, None)
            self._spawn(self._fail_if_nobody_is_left(entry))
        else:
            self._put_off(device, entry, outcome)
        if device.restarting and not device.outstanding:
            device.rewind()
            self._pump(device)

    def _taken(self, device: Device, entry: Entry) -> None:
        DELIVERED.inc()
        self._settle(device, entry, State.ACKNOWLEDGED)
        if entry.kind is EntryKind.INCOMING and entry.message.kind is Kind.CHAT and device.bindings and device.plain:
            # RFC 5438 §11: a gateway to a client without IMDN answers in its place.
            self.report(entry.message, device.aor, State.DELIVERED)

    def _put_off(self, device: Device, entry: Entry, outcome: Outcome) -> None:
        DEFERRED.inc()
        del device.outstanding[entry.seq]
        device.waiting[entry.seq] = entry
        if outcome is Outcome.AGAIN and device.again < MAX_AGAIN:
            # Order: nothing later is begun until all that was in flight has ended; then from the first unsettled one.
            device.again += not device.restarting
            device.restarting = True
            return
        if entry.message.kind is Kind.CHAT:
            # A receipt that was put off holds back nothing but itself.
            device.held.add(_peer(entry))
        device.paused = device.paused or outcome is Outcome.GONE

    def _settle(self, device: Device, entry: Entry, state: State | None) -> None:
        cursor = device.settle(entry.seq, self._wall())
        states = () if state is None or entry.kind is EntryKind.COPY else ((entry.seq, state),)
        self._mailboxes.settle(cursor, states)

    async def _fail_if_nobody_is_left(self, entry: Entry) -> None:
        """`failed` only when no device is left: every cursor of the mailbox is past the entry and nobody took it."""
        if entry.kind is not EntryKind.INCOMING:
            return
        here = [self._devices.get((entry.mailbox, b.instance)) for b in self._bindings(entry.mailbox)]
        if any(device is not None and not device.opened for device in here):
            # One has just come whose cursor is not there yet: this entry is still to be tried at it.
            return
        cursors = await self._mailboxes.cursors(entry.mailbox)
        if any(cursor.low < entry.seq and entry.seq not in cursor.ahead for cursor in cursors):
            return
        if await self._mailboxes.fail(entry.mailbox, entry.seq) and entry.message.kind is Kind.CHAT:
            self.report(entry.message, entry.mailbox, State.FAILED)


def _peer(entry: Entry) -> Aor:
    """The other party of the conversation an entry belongs to."""
    return entry.message.conversation if entry.kind is EntryKind.COPY else entry.message.sender
