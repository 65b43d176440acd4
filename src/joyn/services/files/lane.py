"""What is to be fetched from one peer operator, and when: each file ever later when it fails, all when nobody answers.

Spec: none. Times are those of a monotonic clock.
"""

from __future__ import annotations

import asyncio
import heapq
import math
from typing import Final

__all__ = ["Lane"]

PAUSE_FIRST, PAUSE_MAX = 1.0, 300.0
"""Seconds before another attempt: doubled from the one to the other."""
HURRIED: Final = 1.0
"""Seconds between two attempts, however much somebody wants the file."""


class Lane:
    """Hands out ids, each to one worker at a time. Its size is the caller's bound, who adds to it."""

    __slots__ = ("_changed", "_due", "_failures", "_heap", "_rest_until", "_rests", "_tried_at", "active", "workers")

    def __init__(self) -> None:
        self._due: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []  # also what is due at another time by now: `_due` is right
        self._failures: dict[str, int] = {}
        self._rests = 0
        self._rest_until = self._tried_at = -math.inf
        self._changed = asyncio.Event()
        self.active: set[str] = set()
        self.workers: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        """Files that no worker has."""
        return len(self._due)

    def add(self, file_id: str, now: float) -> None:
        """Fetch this one, in its turn."""
        if file_id not in self._due and file_id not in self.active:
            self._put(file_id, now)

    def hurry(self, file_id: str, now: float) -> None:
        """Somebody waits for it: fetch it before all others."""
        if file_id in self.active:
            return
        soonest = max(now, self._tried_at + HURRIED)
        self._rest_until = min(self._rest_until, soonest)
        # Before what has been due for long: that has nobody who waits.
        due = soonest if soonest > now else now - 86400.0
        if due < self._due.get(file_id, math.inf):
            self._put(file_id, due)
        else:
            self._wake()

    def take(self, now: float) -> str | None:
        """The next; None when none is due."""
        due, file_id = self._first()
        if max(due, self._rest_until) > now:
            return None
        heapq.heappop(self._heap)
        del self._due[file_id]
        self.active.add(file_id)
        return file_id

    async def wait(self, now: float) -> None:
        """Until one may be due."""
        due = max(self._first()[0], self._rest_until)
        try:
            async with asyncio.timeout(None if due == math.inf else max(due - now, 0.0)):
                await self._changed.wait()
        except TimeoutError:
            pass

    def done(self, file_id: str) -> None:
        """It is not to be fetched any more."""
        self.active.discard(file_id)
        self._failures.pop(file_id, None)
        self._rests = 0
        self._rest_until = -math.inf

    def later(self, file_id: str, now: float, *, after: float = 0.0, further: bool = False) -> None:
        """It was not to be had now. `after` is how many seconds it was asked to be left alone, and `further` says that
        more of it is here than before."""
        self.active.discard(file_id)
        self._tried_at = now
        failures = self._failures[file_id] = 1 if further else self._failures.get(file_id, 0) + 1
        self._put(file_id, now + max(_pause(failures), min(after, PAUSE_MAX)))

    def rest(self, file_id: str, now: float) -> None:
        """Nobody answers: none is to be fetched for a while."""
        self.active.discard(file_id)
        # Several workers find out at once.
        if now >= self._rest_until:
            self._rests += 1
            self._rest_until = now + _pause(self._rests)
        self._tried_at = now
        self._put(file_id, now)

    def _put(self, file_id: str, due: float) -> None:
        self._due[file_id] = due
        heapq.heappush(self._heap, (due, file_id))
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed.clear()  # who waits has been woken

    def _first(self) -> tuple[float, str]:
        while self._heap and self._due.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0] if self._heap else (math.inf, "")


def _pause(failures: int) -> float:
    return float(min(PAUSE_FIRST * 2 ** min(failures - 1, 20), PAUSE_MAX))
