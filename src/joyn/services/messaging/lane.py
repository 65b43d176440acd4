"""A lane: the attempts to bring one chat's entries to one device, in their order.

Spec: architecture §2: order holds per conversation. An entry goes over another session only when those before it have
ended, and not at all when one of them has failed: then the pump begins again from there.
"""

from __future__ import annotations

import asyncio

from joyn.services.messaging.sessions import Leg

WINDOW = 16
"""Attempts under way in one lane; MSRP answers each (RFC 4975 §7.1)."""


class Lane:
    """`count` attempts are under way, `waiting` of them not sent, the others over `leg`.

    When it is `broken`, one of them has failed: nothing more is sent, and the lane ends with the last of them.
    """

    __slots__ = ("_waiters", "broken", "count", "leg", "waiting")

    def __init__(self) -> None:
        self.leg: Leg | None = None
        self.count = 0
        self.waiting = 0
        self.broken = False
        self._waiters: list[asyncio.Future[None]] = []

    def free_for(self, leg: Leg | None) -> bool:
        """Whether an entry may go over this leg now: nothing before it is under way over another one."""
        return self.count == self.waiting or (leg is not None and leg is self.leg and not leg.closed)

    async def changed(self) -> None:
        """Returns when an attempt has ended. Who waits first goes on first."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        await waiter

    def ended(self) -> None:
        """One attempt less."""
        self.count -= 1
        self.wake()

    def wake(self) -> None:
        """Let those who wait look again."""
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
