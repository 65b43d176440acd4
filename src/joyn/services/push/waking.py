"""Wake and wait: a message for a device that is not connected calls it, and is `stored` only if nobody comes.

Spec: RFC 8599 §5 (what a proxy does before it gives up on a contact); facts §4.8, §13.
The message is in the mailbox all the while; delivery is what it always is, when the device has registered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Protocol

from joyn import telemetry
from joyn.model.aor import Aor
from joyn.model.binding import Binding
from joyn.model.message import Entry, EntryKind, Kind, Message, State
from joyn.model.push import PushTarget
from joyn.services.push.sending import Sent
from joyn.store import Mailboxes, PushTargets

__all__ = ["MAX_PER_AOR", "Handle", "Sender", "Waking"]

MAX_PER_AOR = 10
"""Devices of one subscriber that can be woken; a further one replaces the one that was added first."""
MAX_UNDER_WAY = 256
"""Wake-ups being sent at a time; beyond it a device is woken by the next message, or comes by itself."""
MAX_HELD = 10_000
"""Messages whose `stored` waits for a device; beyond it `stored` is said at once."""
REFRESH_BEFORE = 120.0
"""Seconds before a sleeping SIP device's registration ends in which it is woken to refresh (RFC 8599 §5)."""


class Handle(Protocol):
    """Something that will happen later."""

    def cancel(self) -> None:
        """It will not."""
        ...


class Sender(Protocol):
    """Sends wake-ups: joyn.services.push.sending."""

    async def wake(self, target: PushTarget) -> Sent:
        """Send one; returns when it is clear what came of it."""
        ...


class _Device:
    """A target and when it was woken last."""

    __slots__ = ("busy", "later", "target", "woken_at")

    def __init__(self, target: PushTarget) -> None:
        self.target = target
        self.woken_at = float("-inf")
        self.busy = False
        self.later: Handle | None = None


class Waking:
    """All devices of this operator that can be woken.

    `report(message, recipient, STORED)` is called for a message that nobody came for. `patience` is how many seconds
    that takes, `pause` how long a device that was woken is given before it is woken again. `later` is the event loop's
    call_later.
    """

    def __init__(
        self,
        targets: PushTargets,
        mailboxes: Mailboxes,
        sender: Sender,
        bindings: Callable[[Aor], Sequence[Binding]],
        *,
        wall: Callable[[], float],
        later: Callable[[float, Callable[[], None]], Handle],
        patience: float,
        pause: float,
    ) -> None:
        self._store = targets
        self._mailboxes = mailboxes
        self._sender = sender
        self._bindings = bindings
        self._wall = wall
        self._later = later
        self._patience = patience
        self._pause = pause
        self._devices: dict[Aor, dict[str, _Device]] = {}
        self._held: dict[tuple[Aor, int], tuple[Message, Handle]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.report: Callable[[Message, Aor, State], None] = lambda _message, _aor, _state: None

    async def restore(self) -> None:
        """Read what an earlier run knew."""
        for target in await self._store.all():
            self._devices.setdefault(target.aor, {})[target.device] = _Device(target)

    # Targets come and go.

    def targets(self, aor: Aor) -> list[PushTarget]:
        """All targets of an AOR."""
        return [device.target for device in self._devices.get(aor, {}).values()]

    async def add(self, target: PushTarget) -> None:
        """From now on this device can be woken; durable when it returns."""
        there = self._devices.get(target.aor, {}).get(target.device)
        if there is not None and there.target == target:
            return
        for replaced in await self._store.put(target):
            self._forget(replaced)
        mine = self._devices.setdefault(target.aor, {})
        surplus = [device.target for device in list(mine.values())[: max(len(mine) - MAX_PER_AOR + 1, 0)]]
        mine[target.device] = _Device(target)
        await self._remove(surplus)

    def forget(self, aor: Aor, device: str, username: str) -> None:
        """A device was signed out, by its id and its user name; the store has forgotten it already."""
        for target in self.targets(aor):
            if target.device == device or target.username == username:
                self._forget(target)

    async def remove(self, aor: Aor, device: str) -> None:
        """This device is not to be woken any more."""
        await self._remove([one for one in self.targets(aor) if one.device == device])

    async def remove_all(self, aor: Aor) -> None:
        """The subscriber was removed or blocked."""
        await self._remove(self.targets(aor))

    async def _remove(self, targets: Sequence[PushTarget]) -> None:
        for target in targets:
            self._forget(target)
        if targets:
            await self._store.remove(targets)

    def _forget(self, target: PushTarget) -> None:
        mine = self._devices.get(target.aor, {})
        device = mine.get(target.device)
        if device is None or device.target.endpoint != target.endpoint:
            return
        if device.later is not None:
            device.later.cancel()
        del mine[target.device]
        if not mine:
            del self._devices[target.aor]

    # Messages.

    def accepted(self, entries: Iterable[Entry]) -> None:
        """These entries have just been committed: wake whoever they are for and is not connected."""
        if not self._devices:
            return
        for entry in entries:
            devices = self._devices.get(entry.mailbox)
            if devices and entry.kind is EntryKind.INCOMING and entry.message.kind is Kind.CHAT:
                for device in list(devices.values()):
                    self._wake(device)

    def stored(self, message: Message, recipient: Aor) -> None:
        """No device of the recipient is connected. Says `stored` when none comes, at once when none can be woken."""
        now = self._wall()
        place = (recipient, message.id)
        awaited = any(target.expires_at > now for target in self.targets(recipient))
        if not awaited or len(self._held) >= MAX_HELD:
            self.report(message, recipient, State.STORED)
        elif place not in self._held:
            self._held[place] = (message, self._later(self._patience, lambda: self._nobody_came(place)))

    def _nobody_came(self, place: tuple[Aor, int]) -> None:
        message, _ = self._held.pop(place)
        # Whoever is here now is being served like any connected device.
        if not self._bindings(place[0]):
            self._spawn(self._say_stored(message, place[0]))

    async def _say_stored(self, message: Message, recipient: Aor) -> None:
        trace = await self._mailboxes.find(message.sender, message.conversation, message.message_id)
        waiting = trace is not None and any(
            entry.mailbox == recipient and entry.state is State.PENDING for entry in trace.entries
        )
        if waiting:
            self.report(message, recipient, State.STORED)

    # Devices that go while something is due to them.

    def left(self, aor: Aor) -> None:
        """A device's flow has ended. What was on its way to it waits again, so it is called back."""
        devices = self._devices.get(aor)
        if devices:
            self._spawn(self._wake_if_due(list(devices.values())))

    def unanswered(self, aor: Aor, instance: str) -> None:
        """The device has left a message without an answer: its binding is there, but it sleeps."""
        devices = self._devices.get(aor)
        if devices:
            asleep = [binding for binding in self._bindings(aor) if binding.instance == instance]
            for device in list(devices.values()):
                if any(_is_of(device.target, binding) for binding in asleep):
                    self._wake(device, unanswered=True)

    def wake_waiting(self) -> None:
        """The node has started: call everybody to whom something is due since before."""
        known = [device for devices in self._devices.values() for device in devices.values()]
        if known:
            self._spawn(self._wake_if_due(known))

    async def _wake_if_due(self, devices: Sequence[_Device]) -> None:
        for device in devices:
            if await self._mailboxes.pending(device.target.aor):
                self._wake(device)

    # Waking.

    def _wake(self, device: _Device, *, unanswered: bool = False) -> None:
        now, target = self._wall(), device.target
        if target.expires_at <= now or (not unanswered and self._is_bound(target)):
            return
        wait = device.woken_at + self._pause - now
        if device.busy or wait > 0:
            # It may have come and gone since: one more wake-up when its time is over, whatever comes until then.
            if device.later is None:
                device.later = self._later(max(wait, self._pause / 2), lambda: self._wake_again(device))
            return
        if len(self._tasks) >= MAX_UNDER_WAY:
            telemetry.event("push.failed", service="too many at once")
            return
        device.busy = True
        self._spawn(self._send(device))

    def _wake_again(self, device: _Device) -> None:
        device.later = None
        self._wake(device)

    async def _send(self, device: _Device) -> None:
        target = device.target
        device.woken_at = self._wall()
        try:
            sent = await self._sender.wake(target)
        finally:
            device.busy = False
        if sent is Sent.GONE:
            telemetry.event("push.disowned", aor=target.aor)
            await self._remove([target])

    def _is_bound(self, target: PushTarget) -> bool:
        return any(_is_of(target, binding) for binding in self._bindings(target.aor))

    async def sweep(self) -> None:
        """Forget SIP devices whose registration has ended, and wake those whose is about to."""
        now = self._wall()
        known = [device for devices in self._devices.values() for device in devices.values()]
        await self._remove([device.target for device in known if device.target.expires_at <= now])
        for device in known:
            if now < device.target.expires_at <= now + REFRESH_BEFORE:
                self._wake(device)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Say what was held back, and stop."""
        for (recipient, _), (message, timer) in self._held.items():
            timer.cancel()
            self.report(message, recipient, State.STORED)
        self._held.clear()
        for devices in self._devices.values():
            for device in devices.values():
                if device.later is not None:
                    device.later.cancel()
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _is_of(target: PushTarget, binding: Binding) -> bool:
    """Whether a binding is that of the device a target wakes.

    A SIP device's target is called by its instance or contact; one that was set up over HTTP has its id, which its user
    name begins with.
    """
    return target.device in (binding.device, binding.username.partition("@")[0])
