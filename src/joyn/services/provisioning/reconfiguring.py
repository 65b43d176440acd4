"""Telling phones to fetch their configuration anew, when the operator has changed what they are told.

Spec: facts §9.1 step 4: an SMS to the port where the phone's client listens, `<IMPI>-rcscfg`. Who was told is kept, so
that a restart tells nobody twice.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from joyn import telemetry
from joyn.sms import Sms
from joyn.store import Devices

__all__ = ["Reconfiguring"]

PAGE: Final = 100
RETRY: Final = 60.0
"""Seconds to wait when an SMS cannot leave."""
SENT: Final = telemetry.counter("configuration.announced")


class Reconfiguring:
    """Tells one phone after the other of `configuration`, `pause` seconds apart."""

    def __init__(
        self,
        devices: Devices,
        sms: Sms,
        *,
        configuration: str,
        pause: float,
        sleep: Callable[[float], Awaitable[object]],
    ) -> None:
        self._devices = devices
        self._sms = sms
        self._configuration = configuration
        self._pause = pause
        self._sleep = sleep

    async def run(self) -> None:
        """Returns when nobody is left to be told."""
        while page := await self._devices.outdated(self._configuration, PAGE):
            for device in page:
                try:
                    await self._sms.send(device.aor, f"{device.username}-rcscfg", port=device.sms_port)
                except OSError:
                    telemetry.event("sms.failed")
                    await self._sleep(RETRY)
                    break
                await self._devices.change(device.id, told=self._configuration)
                SENT.inc()
                await self._sleep(self._pause)
