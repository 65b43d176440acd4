"""/api/devices: where the subscriber is signed in, and signing out from afar."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

import msgspec

from joyn.edge.http.describing import Asked, Caller, Operation, Problem, ProblemFound, Provider, Serve
from joyn.model.device import Device
from joyn.model.refused import Refused
from joyn.services.provisioning.devices import Devices

__all__ = ["DevicesDoor"]

UNKNOWN: Final = Problem(404, "unknown", "The subscriber has no such device.")
_ID: Final = {"id": "The device's id."}


class Shown(msgspec.Struct, frozen=True):
    """One device; `here` is the one that asks."""

    id: str
    name: str
    browser: str
    system: str
    last_active: float
    here: bool


class Name(msgspec.Struct, frozen=True):
    """What its owner calls it."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


LIST: Final = Operation(
    method="GET", path="/api/devices", summary="Where the subscriber is signed in.", answer=list[Shown]
)
RENAME: Final = Operation(
    method="PATCH",
    path="/api/devices/{id}",
    summary="Call a device something else.",
    body=Name,
    parameters=_ID,
    problems=(UNKNOWN,),
)
REMOVE: Final = Operation(
    method="DELETE",
    path="/api/devices/{id}",
    summary="Sign a device out; it takes effect at once.",
    parameters=_ID,
    problems=(UNKNOWN,),
)
REMOVE_OTHERS: Final = Operation(
    method="POST", path="/api/devices/sign-out-others", summary="Sign every device out but this one."
)


class DevicesDoor(Provider):
    """The provider."""

    def __init__(self, devices: Devices, caller: Caller) -> None:
        self._devices = devices
        super().__init__(caller)

    @property
    def operations(self) -> Sequence[tuple[Operation, Serve]]:
        """What it serves."""
        return (
            (LIST, self._list),
            (RENAME, self._rename),
            (REMOVE_OTHERS, self._remove_others),
            (REMOVE, self._remove),
        )

    async def _list(self, asked: Asked) -> list[Shown]:
        return [
            Shown(
                id=one.id,
                name=one.name,
                browser=one.agent,
                system=one.system,
                last_active=one.last_active,
                here=one.id == asked.device,
            )
            for one in await self._devices.of(asked.aor)
        ]

    async def _own(self, asked: Asked) -> Device:
        try:
            return await self._devices.own(asked.aor, asked.parameters["id"])
        except Refused:
            raise ProblemFound(UNKNOWN) from None

    async def _rename(self, asked: Asked) -> None:
        name: Name = asked.body
        if not await self._devices.rename(await self._own(asked), name.name):
            raise ProblemFound(UNKNOWN)

    async def _remove(self, asked: Asked) -> None:
        await self._devices.sign_out(await self._own(asked))

    async def _remove_others(self, asked: Asked) -> None:
        for device in await self._devices.of(asked.aor):
            if device.id != asked.device:
                await self._devices.sign_out(device)
