"""Devices: who has been set up, by what each proves itself, and how it is signed out.

Each has digest credentials of its own, so that one can be signed out without the others, and a token for HTTP. Both
rotate. Spec: facts §2.3, §9.1; attacks: a stolen configuration must not be the whole account.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from joyn import telemetry
from joyn.model.aor import Aor
from joyn.model.device import Device
from joyn.model.refused import Reason, Refused
from joyn.model.subscriber import Subscriber
from joyn.protocol.sip.digest import ha1
from joyn.services.provisioning.codes import hashed
from joyn.store import Devices as StoredDevices
from joyn.store import Subscribers

__all__ = ["About", "Credentials", "Devices"]

ACTIVE_EVERY = 60.0
"""Seconds between two notes that a device is active."""
MAX_DEVICES = 20
"""Devices of one subscriber; a further one replaces the one longest away."""
ALGORITHMS = ("SHA-256", "MD5")


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a device says of itself."""

    name: str = ""
    agent: str = ""
    system: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What a device registers with; the password is known here for the last time."""

    username: str
    password: str
    until: float


class Devices:
    """All devices. `on_signed_out(device)` is awaited when one is: its bindings and connections go at once."""

    def __init__(
        self,
        stored: StoredDevices,
        subscribers: Subscribers,
        *,
        realm: str,
        wall: Callable[[], float],
        make_id: Callable[[], str],
        make_secret: Callable[[], str],
    ) -> None:
        self._stored = stored
        self._subscribers = subscribers
        self._realm = realm
        self._wall = wall
        self._make_id = make_id
        self._make_secret = make_secret
        self.on_signed_out: Callable[[Device], Awaitable[None]] = _nobody

    async def set_up(self, aor: Aor, kind: str, about: About) -> tuple[Device, str]:
        """A new device of a subscriber, and its token."""
        now, token, device_id = self._wall(), self._make_secret(), self._make_id()
        device = Device(
            id=device_id,
            aor=aor,
            kind=kind,
            name=about.name[:64],
            agent=about.agent[:64],
            system=about.system[:64],
            token=hashed(token),
            username=f"{device_id}@{self._realm}",
            created_at=now,
            last_active=now,
        )
        others = await self._stored.of(aor)
        if len(others) >= MAX_DEVICES:
            await self.sign_out(min(others, key=lambda one: one.last_active))
        await self._stored.put(device)
        telemetry.event("device.added", aor=aor, kind=kind)
        return device, token

    async def of_token(self, token: str) -> tuple[Device, Subscriber] | None:
        """The device that shows this token and its subscriber, unless the operator has blocked them."""
        device = await self._stored.with_token(hashed(token)) if token else None
        if device is None:
            return None
        subscriber = await self._subscribers.get(device.aor)
        if subscriber is None or subscriber.blocked:
            return None
        now = self._wall()
        if device.last_active + ACTIVE_EVERY < now:
            device = replace(device, last_active=now)
            await self._stored.put(device)
        return device, subscriber

    async def rotate(self, device: Device) -> tuple[Device, str]:
        """A new token for a device; the old one holds no more."""
        token = self._make_secret()
        device = replace(device, token=hashed(token), last_active=self._wall())
        await self._stored.put(device)
        return device, token

    async def mint(self, device: Device, valid_for: float) -> tuple[Device, Credentials]:
        """New digest credentials for a device; the old ones hold no more."""
        password, until = self._make_secret(), self._wall() + valid_for
        hashes = {algorithm: ha1(device.username, self._realm, password, algorithm) for algorithm in ALGORITHMS}
        device = replace(device, ha1=hashes, credentials_until=until)
        await self._stored.put(device)
        return device, Credentials(username=device.username, password=password, until=until)

    async def find(self, username: str) -> Subscriber | None:
        """The subscriber a device's user name stands for, with that device's credentials; None for no device's."""
        if not username.endswith(f"@{self._realm}"):
            return None
        device = await self._stored.with_username(username)
        if device is None or device.credentials_until <= self._wall():
            return None
        subscriber = await self._subscribers.get(device.aor)
        if subscriber is None:
            return None
        return replace(subscriber, username=username, ha1=device.ha1, algorithms=ALGORITHMS)

    async def registered(self, username: str, instance: str) -> None:
        """A device has registered with this `+sip.instance`: by it its bindings are found when it is signed out."""
        device = await self._stored.with_username(username) if username.endswith(f"@{self._realm}") else None
        if device is not None and device.instance != instance:
            await self._stored.put(replace(device, instance=instance))

    async def of(self, aor: Aor) -> list[Device]:
        """A subscriber's devices."""
        return await self._stored.of(aor)

    async def own(self, aor: Aor, device_id: str) -> Device:
        """A device of this subscriber. Raises Refused(UNKNOWN_RECIPIENT) when it is none of theirs."""
        device = await self._stored.get(device_id)
        if device is None or device.aor != aor:
            raise Refused(Reason.UNKNOWN_RECIPIENT, "no such device")
        return device

    async def instance_of(self, device_id: str) -> str:
        """The `+sip.instance` a device registered with last; empty when it never has."""
        device = await self._stored.get(device_id)
        return "" if device is None else device.instance

    async def rename(self, device: Device, name: str) -> None:
        """Call it something else."""
        await self._stored.put(replace(device, name=name[:64]))

    async def accept_terms(self, device: Device) -> None:
        """Its user agrees."""
        await self._stored.put(replace(device, terms=True))

    async def sign_out(self, device: Device) -> None:
        """Forget a device: nothing it has is good for anything any more."""
        if await self._stored.remove(device.id):
            telemetry.event("device.removed", aor=device.aor)
            await self.on_signed_out(device)


async def _nobody(_device: Device) -> None:
    return None
