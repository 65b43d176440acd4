"""Phones of two operators that write to each other all the time, and what became of every message."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import pytest

from interconnect.operators import ALICE, ANNA, BEN, BOB, ORANGE, SFR
from interconnect.processes import Peering
from joyn.phone import Phone
from scenarios.load import Account, settle, show, write
from waiting import until

PAUSE = 0.02
"""Seconds between two messages of a conversation, unless a test says otherwise."""
DRAINING = 40.0
"""Seconds after the trouble in which nothing must be left that waits for a peer."""
CHANCE = 0.5
"""Seconds in which what would be shown twice has its chance."""
PAIRS = ((ALICE, BOB, "cpm", "pager"), (ANNA, BEN, "cpm", "session"))
"""Who writes to whom, and back; with which kind of phone, and how."""


async def cross(
    orange: Peering,
    sfr: Peering,
    trouble: Callable[[Account], Awaitable[None]],
    seed: int,
    *,
    pause: float = PAUSE,
) -> Account:
    """Write across both ways while there is trouble, let everything arrive, and judge it: nothing that was acknowledged
    is lost, nothing is shown twice, conversations are in order, and nothing is left in a queue."""
    account = Account()
    async with AsyncExitStack() as stack:

        async def phone(operator: Peering, number: str, style: str) -> Phone:
            made = operator.phone(number, style=style)
            made.on_message = show(account, number)
            return await stack.enter_async_context(made)

        stopped = asyncio.Event()
        writing = []
        for one, other, style, mode in PAIRS:
            pair = await phone(orange, one, style), await phone(sfr, other, style)
            for sender, recipient in (pair, pair[::-1]):
                work = write(account, sender, recipient.number, mode, stopped, pause=pause)
                writing.append(asyncio.ensure_future(work))
        people = [number for one, other, *_ in PAIRS for number in (one, other)]
        # Only then is it the trouble that everything has to get through.
        await until(lambda: all(account.shown[number] for number in people), within=30)
        await trouble(account)
        stopped.set()
        await asyncio.gather(*writing)
        devices = {number: number for number in people}
        await settle(account, devices)
        print(f"\n{account.table(orange, seed, devices)}\n  ({sfr.kills} kills of {sfr.domain})")
        for number in people:
            assert account.lost(number, number) == []
        await until(lambda: drained(orange, sfr), within=DRAINING, pause=0.1)
        await asyncio.sleep(CHANCE)
    for number in people:
        if disordered := account.disordered(number):
            pytest.fail(f"out of order at {number}: {disordered[:5]} of {account.shown[number]}")
        assert account.doubled(number) == 0
    return account


async def drained(orange: Peering, sfr: Peering) -> bool:
    """Whether nothing waits for either."""
    return await orange.waits_for(SFR) == await sfr.waits_for(ORANGE) == 0
