"""One conversation on its way to a peer operator: its entries go one after the other.

Spec: architecture §2: order holds per conversation, and none blocks another.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from joyn.model.aor import Aor
from joyn.model.message import Entry

REST: Final = 1.0
"""Seconds that a conversation rests after a peer would not take its first entry; twice that each further time."""
LONGEST_REST: Final = 60.0
"""Seconds at most."""


class Lane:
    """The entries of one sender to one recipient, the oldest first; the first one is under way when `busy`, and
    `given` says that it was handed to a connection, once at least.

    `queued` says that it stands in the pump's queue of turns. How often in a row its first was put off: `broken` times
    because there was no way, and begun again as soon as there was one; `rests` times with a rest.
    """

    __slots__ = ("_timer", "broken", "busy", "due", "given", "key", "queued", "rests")

    def __init__(self, key: tuple[Aor, Aor]) -> None:
        self.key = key
        self.due: deque[Entry] = deque()
        self.busy = False
        self.queued = False
        self.given = False
        self.broken = 0
        self.rests = 0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def resting(self) -> bool:
        """Whether it waits until it may be tried again."""
        return self._timer is not None

    @property
    def put_off(self) -> bool:
        """Whether its first has been tried in vain."""
        return bool(self.broken or self.rests)

    def next(self) -> None:
        """Its first is over: whatever was in the way of that one is not known to be in the way of the next."""
        self.given = False
        self.broken = self.rests = 0

    def rest(self, random: float, then: Callable[[], object]) -> None:
        """Wait, the longer the more often; `random` (0 to 1) keeps conversations from coming back all at once."""
        seconds = min(LONGEST_REST, REST * 2.0 ** min(self.rests, 16)) * (0.5 + random / 2)
        self.rests += 1

        def over() -> None:
            self._timer = None
            then()

        self._timer = asyncio.get_running_loop().call_later(seconds, over)

    def close(self) -> None:
        """Nothing more comes of it."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
