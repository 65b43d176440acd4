"""A timer wheel: thousands of deadlines, one timer of the event loop.

A deadline is kept to the tick; what is armed can be disarmed in constant time, so nothing lingers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

TICK = 0.1
"""Seconds between two looks; RFC 3261's smallest timer is T1, five times as long."""

K = TypeVar("K", bound=Hashable)


class TimerWheel(Generic[K]):
    """Calls `on_due(key)` soon after the deadline each key was armed with. One deadline per key."""

    __slots__ = ("_armed", "_now", "_on_due", "_position", "_slots", "_ticking")

    def __init__(self, now: Callable[[], float], on_due: Callable[[K], None]) -> None:
        self._now = now
        self._on_due = on_due
        self._slots: dict[int, dict[K, None]] = {}
        self._armed: dict[K, int] = {}
        self._position = 0
        self._ticking: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._armed)

    def arm(self, key: K, deadline: float | None) -> None:
        """Call `on_due(key)` at `deadline` (monotonic seconds), instead of what was armed before; None disarms."""
        before = self._armed.get(key)
        if deadline is None:
            if before is not None:
                self.disarm(key)
            return
        slot = int(deadline / TICK) + 1
        if before == slot:
            return
        if before is not None:
            self._slots[before].pop(key, None)
        if self._ticking is None:
            self._position = int(self._now() / TICK)
            self._ticking = asyncio.get_running_loop().call_later(TICK, self._tick)
        slot = max(slot, self._position + 1)
        self._armed[key] = slot
        bucket = self._slots.get(slot)
        if bucket is None:
            bucket = self._slots[slot] = {}
        bucket[key] = None

    def disarm(self, key: K) -> None:
        """Forget the key's deadline, if it has one."""
        slot = self._armed.pop(key, None)
        if slot is not None:
            bucket = self._slots.get(slot)
            if bucket is not None:
                bucket.pop(key, None)

    def clear(self) -> None:
        """Forget every deadline."""
        self._slots.clear()
        self._armed.clear()
        if self._ticking is not None:
            self._ticking.cancel()
            self._ticking = None

    def _tick(self) -> None:
        reached = int(self._now() / TICK)
        self._ticking = asyncio.get_running_loop().call_later(TICK, self._tick)
        while self._position < reached:
            self._position += 1
            for key in self._slots.pop(self._position, ()):
                # An earlier key of this tick may have disarmed it, or armed it anew for later.
                if self._armed.get(key) == self._position:
                    del self._armed[key]
                    self._on_due(key)
        if not self._armed and self._ticking is not None:
            self._ticking.cancel()
            self._ticking = None
            self._slots.clear()
