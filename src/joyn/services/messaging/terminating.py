"""The terminating function: pump each mailbox to the devices attached to it, and move their cursors.

Spec: architecture §2 (rules of the cursor), RFC 3428 §8 (one MESSAGE in flight per device), RCC.07 §3.2.
One `Device` stands for an attached contact binding instance while there is something to do for it; it is rebuilt from
its cursor at any time. The store is the truth: a nudge carries the entry along only to spare a read.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace

from joyn import telemetry
from joyn.model.aor import Aor
from joyn.model.binding import Binding
from joyn.model.message import NOT_ACCEPTABLE, Cursor, Deposit, Entry, EntryKind, Kind, Message, State
from joyn.model.refused import Refused
from joyn.model.tags import traits_of
from joyn.services.messaging.delivery import Delivery, Outcome
from joyn.services.messaging.device import Device, peer_of
from joyn.store import Mailboxes

MAX_AGAIN = 3
"""Broken sessions in a row after which a device's chats wait for its next registration."""
PAGE = 64
"""Entries read from the store at a time."""
MAX_CURSORS = 10
"""Devices of one subscriber whose place in the mailbox is kept; a further one replaces the one longest away."""

log = logging.getLogger(__name__)
DELIVERED = telemetry.counter("message.acknowledged")
REFUSED = telemetry.counter("delivery.refused")
DEFERRED = telemetry.counter("message.deferred")


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
        retry_after: float = 5.0,
    ) -> None:
        """`retry_after`: seconds until a device is served again when the store would not answer for it."""
        self._mailboxes = mailboxes
        self._delivery = delivery
        self._bindings = bindings
        self._wall = wall
        self._queue_bound = queue_per_device
        self._retry_after = retry_after
        self._devices: dict[tuple[Aor, str], Device] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._revoking: set[tuple[Aor, Aor, str]] = set()
        self._revoked = 0
        self._closed = False
        self.report: Callable[[Message, Aor, State], None] = lambda _message, _aor, _state: None
        self.failure: Callable[[Entry, int], Deposit | None] = lambda _entry, _cause: None
        self.is_given: Callable[[Aor, Aor, str], bool] = lambda _recipient, _sender, _message_id: False
        self.on_unanswered: Callable[[Aor, str], None] = lambda _aor, _instance: None

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
        elif not device.complete:
            device.behind = True
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
            lost = device.bindings and device.bindings[0].key == binding.key
            device.bindings = self._of_instance(binding.aor, binding.instance)
            if not device.bindings:
                del self._devices[binding.aor, binding.instance]
            elif lost:
                # RFC 5626 §4.2: it keeps another flow for this case; what was under way goes over that one.
                device.renew(device.since, fresh=True)
                self._pump(device)

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

    def brought(self, entry: Entry, instance: str, heard: Callable[[], None]) -> None:
        """The device has asked for the file that this entry is about, and has all of it. `heard` is called when its
        mailbox knows; until then the file may still come to be brought."""
        device = self._devices.get((entry.mailbox, instance))
        if device is None or (entry.seq not in device.outstanding and entry.seq not in device.waiting):
            self._spawn(self._brought_away(entry, instance, heard))
            return
        device.beside.add(entry.seq)  # as if it had been brought, it is told of by us
        self._taken(device, entry)
        heard()
        self._pump(device)

    async def _brought_away(self, entry: Entry, instance: str, heard: Callable[[], None]) -> None:
        """The same of a device that is not here, or has not come to this entry yet."""
        cursors = await self._mailboxes.cursors(entry.mailbox)
        own = next((cursor for cursor in cursors if cursor.instance == instance), None)
        device = self._devices.get((entry.mailbox, instance))
        if own is None or (device is not None and not device.opened):
            return
        if device is not None:
            device.ahead.add(entry.seq)
        settled = replace(own, ahead=own.ahead | {entry.seq}, touched_at=self._wall())
        self._mailboxes.settle(settled, ((entry.seq, State.ACKNOWLEDGED),))
        self.report(entry.message, entry.mailbox, State.DELIVERED)
        heard()

    def withdraws(self, recipient: Aor, sender: Aor, message_id: str) -> bool:
        """Whether a message is being withdrawn at this moment."""
        return (recipient, sender, message_id) in self._revoking

    def is_over(self, entry: Entry) -> bool:
        """Whether the time in which an entry may be delivered has passed."""
        return entry.message.deliver_until <= self._wall()

    async def revoke(self, recipient: Aor, sender: Aor, message_id: str) -> bool:
        """Withdraw a message that no device has, nor is being given at this moment. True when nobody will get it."""
        identity = (recipient, sender, message_id)
        devices = [device for (aor, _), device in self._devices.items() if aor == recipient]
        if any(_identity(entry) == identity for device in devices for entry in device.outstanding.values()):
            return False
        if self.is_given(*identity):
            return False
        self._revoking.add(identity)  # until the store has decided, no pump begins with it
        withdrawn = False
        try:
            withdrawn = await self._mailboxes.revoke(sender, recipient, message_id, self._wall())
        finally:
            self._revoking.discard(identity)
            self._revoked += withdrawn
            for (aor, _), device in list(self._devices.items()):
                if aor == recipient:
                    if withdrawn:
                        device.queue = deque(entry for entry in device.queue if _identity(entry) != identity)
                        for entry in [entry for entry in device.waiting.values() if _identity(entry) == identity]:
                            self._settle(device, entry, None)
                    self._pump(device)
        return withdrawn

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
        while self._devices.get((device.aor, device.instance)) is device:
            try:
                own = await self._cursor(device)
            except Exception:
                log.exception("the cursor of a device could not be read")
                await asyncio.sleep(self._retry_after)
                continue
            device.low = device.popped = device.read_to = own.low
            device.ahead = set(own.ahead)
            device.opened = True
            device.busy = False
            self._pump(device)
            return

    async def _cursor(self, device: Device) -> Cursor:
        cursors = await self._mailboxes.cursors(device.aor)
        own = next((cursor for cursor in cursors if cursor.instance == device.instance), None)
        if own is None:
            # A new instance starts at the first entry that no device has acknowledged.
            if len(cursors) >= MAX_CURSORS:
                await self._mailboxes.drop_cursor(device.aor, self._oldest(device.aor, cursors))
            low = await self._mailboxes.first_unacknowledged(device.aor)
            own = Cursor(mailbox=device.aor, instance=device.instance, low=low, touched_at=self._wall())
            self._mailboxes.settle(own)
        return own

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
                    self._spawn(self._read(device, device.generation))
                return
            if self._revoking and _identity(device.queue[0]) in self._revoking:
                return
            entry = device.queue.popleft()
            device.popped = max(device.popped, entry.seq)
            if entry.seq <= device.low or entry.seq in device.ahead or entry.seq in device.outstanding:
                continue
            if not self._is_for(device, entry):
                self._settle(device, entry, None)
            elif device.held and entry.message.kind is Kind.CHAT and peer_of(entry) in device.held:
                device.waiting[entry.seq] = entry
            else:
                device.outstanding[entry.seq] = entry
                self._attempt(device, entry, 0)

    async def _read(self, device: Device, generation: int) -> None:
        """Fill the queue from the store."""
        revoked, after = self._revoked, device.read_to
        device.behind = False
        try:
            entries = await self._mailboxes.read(device.aor, after, PAGE)
        except Exception:
            log.exception("a mailbox could not be read")
            await asyncio.sleep(self._retry_after)
        else:
            # What was read while something was being withdrawn may still have it, and what was read when the device
            # began again from an earlier entry is not what comes next: it is read again.
            if (generation, revoked, after) == (device.generation, self._revoked, device.read_to):
                self._fill(device, entries)
        self._free(device, generation)

    def _fill(self, device: Device, entries: list[Entry]) -> None:
        device.complete = len(entries) < PAGE and not device.behind
        device.queue.extend(entries)
        key = (device.aor, device.instance)
        if entries:
            device.read_to = entries[-1].seq
        elif not (device.outstanding or device.waiting or device.behind) and self._devices.get(key) is device:
            # Nothing was due: most devices register and stay silent, and cost no memory here.
            del self._devices[key]

    def _is_for(self, device: Device, entry: Entry) -> bool:
        if entry.instance and entry.instance != device.instance:
            return False
        if self.is_over(entry):
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
        generation, binding = device.generation, device.bindings[index]
        attempt = self._delivery.begin(binding, entry, deferred=deferred)
        if attempt.beside:
            device.beside.add(entry.seq)
        if attempt.pipelined:

            def done_in_line(done: asyncio.Future[Outcome]) -> None:
                full, outcome = device.full, done.result()
                if outcome is Outcome.GONE and generation == device.generation and len(device.bindings) > 1:
                    # The session goes by the device's next flow, and what was in flight with it, in order.
                    if device.bindings[0] == binding:
                        device.bindings = (*device.bindings[1:], binding)
                    outcome = Outcome.AGAIN
                self._ended(device, entry, outcome, generation)
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
        if device.restarting and device.clear:
            device.rewind()
            self._pump(device)

    def _taken(self, device: Device, entry: Entry) -> None:
        DELIVERED.inc()
        silent = entry.seq in device.beside or (device.bindings and device.plain)
        self._settle(device, entry, State.ACKNOWLEDGED)
        if entry.kind is EntryKind.INCOMING and entry.message.kind is Kind.CHAT and silent:
            # RFC 5438 §11: a gateway to a client without IMDN answers in its place.
            self.report(entry.message, device.aor, State.DELIVERED)

    def _put_off(self, device: Device, entry: Entry, outcome: Outcome) -> None:
        DEFERRED.inc()
        del device.outstanding[entry.seq]
        beside = entry.seq in device.beside
        device.beside.discard(entry.seq)
        device.waiting[entry.seq] = entry
        if outcome is Outcome.AGAIN and device.again < MAX_AGAIN:
            # Order: nothing later is begun until all that was in flight has ended; then from the first unsettled one.
            device.again += not device.restarting
            device.restarting = True
            return
        if entry.message.kind is Kind.CHAT and not beside:
            # A receipt that was put off holds back nothing but itself, nor does a file that goes beside its chat.
            device.held.add(peer_of(entry))
        if outcome is Outcome.GONE:
            # A device that leaves this one unanswered a second time is there: it is the message that it cannot stand.
            device.paused = device.paused or entry.seq not in device.unanswered
            device.unanswered.add(entry.seq)
            self.on_unanswered(device.aor, device.instance)

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
        try:
            await self._mailboxes.fail(entry.mailbox, entry.seq, self.failure(entry, NOT_ACCEPTABLE))
        except Refused:
            # The entry stays as it is, and fails when its time is over: the sender hears of it then.
            log.warning("an entry that nobody takes could not be failed yet")


def _identity(entry: Entry) -> tuple[Aor, Aor, str]:
    """What a revocation names: to whom, from whom, which."""
    return entry.mailbox, entry.message.sender, entry.message.message_id
