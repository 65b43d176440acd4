"""Devices: who has been set up, by what each proves itself, and how it is signed out.

Each has digest credentials of its own, so that one can be signed out without the others, and a token for HTTP. Both
rotate. Spec: facts §2.3, §9.1; attacks: a stolen configuration must not be the whole account.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

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
    """All devices. `on_signed_out(device)` is called when one is: the store has forgotten its bindings by then, and its
    connections go at once."""

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
        self.on_signed_out: Callable[[Device], None] = lambda _device: None

    async def set_up(
        self, aor: Aor, kind: str, about: About, *, token_for: float = 0.0, sms_port: int = 0
    ) -> tuple[Device, str]:
        """A new device of a subscriber, and its token, good for `token_for` seconds (0: without end).

        Raises Refused(UNKNOWN_RECIPIENT) when they are no subscriber any more.
        """
        now, token, device_id = self._wall(), self._make_secret(), self._make_id()
        device = Device(
            id=device_id,
            aor=aor,
            kind=kind,
            name=about.name[:64],
            agent=about.agent[:64],
            system=about.system[:64],
            token=hashed(token),
            token_until=now + token_for if token_for else 0.0,
            username=f"{device_id}@{self._realm}",
            sms_port=sms_port,
            created_at=now,
            last_active=now,
        )
        others = await self._stored.of(aor)
        if len(others) >= MAX_DEVICES:
            await self.sign_out(min(others, key=lambda one: one.last_active))
        if not await self._stored.add(device):
            raise Refused(Reason.UNKNOWN_RECIPIENT, "no such subscriber")
        telemetry.event("device.added", aor=aor, kind=kind)
        return device, token

    async def of_token(self, token: str, kind: str) -> tuple[Device, Subscriber] | None:
        """The device of this kind that shows this token, and its subscriber, who may be blocked."""
        shown = hashed(token)
        device = await self._stored.with_token(shown) if token else None
        if device is None or device.kind != kind:
            return None
        now = self._wall()
        newest = device.token == shown
        until = device.token_until if newest else device.before_until
        subscriber = await self._subscribers.get(device.aor)
        if subscriber is None or 0.0 < until <= now:
            return None
        changes: dict[str, Any] = {}
        if newest and device.token_before:
            # It has the new one: now the old one holds no more.
            changes |= {"token_before": "", "before_until": 0.0}
        if device.last_active + ACTIVE_EVERY < now:
            changes["last_active"] = now
        if changes and not await self._stored.change(device.id, **changes):
            return None
        return replace(device, **changes), subscriber

    async def rotate(self, device: Device, shown: str, token_for: float) -> str | None:
        """A new token for a device that has shown this one, which holds until the new one is seen: the answer may be
        lost. None when the device is gone."""
        now, token, old = self._wall(), self._make_secret(), hashed(shown)
        until = device.token_until if device.token == old else device.before_until
        kept = await self._stored.change(
            device.id,
            token=hashed(token),
            token_until=now + token_for,
            token_before=old,
            before_until=until or now + token_for,
            last_active=now,
        )
        return token if kept else None

    async def mint(self, device: Device, valid_for: float, configuration: str = "") -> Credentials | None:
        """New digest credentials for a device, which come with this configuration; the old ones hold no more.

        None when the device is gone.
        """
        password, until = self._make_secret(), self._wall() + valid_for
        hashes = {algorithm: ha1(device.username, self._realm, password, algorithm) for algorithm in ALGORITHMS}
        kept = await self._stored.change(
            device.id, ha1=hashes, credentials_until=until, configuration=configuration, told=""
        )
        return Credentials(username=device.username, password=password, until=until) if kept else None

    async def listens(self, device: Device, sms_port: int) -> None:
        """Its client reads SMS on this port now."""
        if device.sms_port != sms_port:
            await self._stored.change(device.id, sms_port=sms_port)

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

    async def of(self, aor: Aor) -> list[Device]:
        """A subscriber's devices."""
        return await self._stored.of(aor)

    async def own(self, aor: Aor, device_id: str) -> Device:
        """A device of this subscriber. Raises Refused(UNKNOWN_RECIPIENT) when it is none of theirs."""
        device = await self._stored.get(device_id)
        if device is None or device.aor != aor:
            raise Refused(Reason.UNKNOWN_RECIPIENT, "no such device")
        return device

    async def rename(self, device: Device, name: str) -> bool:
        """Call it something else. False when it is gone."""
        return await self._stored.change(device.id, name=name[:64])

    async def accept_terms(self, device_id: str) -> bool:
        """Its user agrees. False when it is gone."""
        return await self._stored.change(device_id, terms=True)

    async def sign_out(self, device: Device) -> bool:
        """Forget a device: nothing it has is good for anything any more. False when it was gone.

        Raises Refused when the store takes nothing now: then it is all as before.
        """
        gone = await self._stored.remove(device.id)
        if gone is None:
            return False
        telemetry.event("device.removed", aor=gone.aor)
        self.on_signed_out(gone)
        return True
