"""Phones of two operators that write to each other all the time, and what became of every message."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any

import pytest

from interconnect.operators import ALICE, ANNA, BEN, BOB, ORANGE, SFR
from interconnect.processes import Peering
from joyn.phone import Phone, Sent
from joyn.services.messaging.crossing import MESSAGE_LIMIT
from scenarios.load import Account, settle, write
from waiting import until

PAUSE = 0.02
"""Seconds between two messages of a conversation, unless a test says otherwise."""
DRAINING = 40.0
"""Seconds after the trouble in which nothing must be left that waits for a peer."""
CHANCE = 0.5
"""Seconds in which what would be shown twice has its chance."""
TRACED = 3
"""Lost messages whose way is told."""
CARLA, CYRIL = "+33639980003", "+33639980103"
PEOPLE = {ORANGE: (ALICE, ANNA, CARLA), SFR: (BOB, BEN, CYRIL)}
"""The subscribers that either operator needs for this."""
WORDS = MESSAGE_LIMIT + 1000
"""Characters of what Carla and Cyril say: it crosses the border over MSRP."""
PAIRS = ((ALICE, BOB, "pager", 0), (ANNA, BEN, "session", 0), (CARLA, CYRIL, "session", WORDS))
"""Who writes to whom, and back; how, and at least how much."""


class Wordy(Phone):
    """Says all it says at length."""

    async def send(self, number: str, content: str | bytes, **settings: Any) -> Sent:
        """See Phone."""
        assert isinstance(content, str)
        return await super().send(number, content.ljust(WORDS), **settings)


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

        async def phone(operator: Peering, number: str, words: int) -> Phone:
            made = operator.phone(number, kind=Wordy if words else Phone)
            made.on_message = lambda message: account.shown[number].append(message.text.rstrip())
            return await stack.enter_async_context(made)

        stopped = asyncio.Event()
        writing = []
        for one, other, mode, words in PAIRS:
            pair = await phone(orange, one, words), await phone(sfr, other, words)
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
        over = time.monotonic()
        await settle(account, devices)
        settled = f"settled {time.monotonic() - over:.1f} s after"
        print(f"\n{account.table(orange, seed, devices)}\n  ({sfr.kills} kills of {sfr.domain}), {settled}")
        for number in people:
            if lost := account.lost(number, number):
                pytest.fail(f"lost at {number}:\n" + await asyncio.to_thread(traces, (orange, sfr), lost))
        await until(lambda: drained(orange, sfr), within=DRAINING, pause=0.1)
        await asyncio.sleep(CHANCE)
    for number in people:
        if disordered := account.disordered(number):
            pytest.fail(f"out of order at {number}: {disordered[:5]} of {account.shown[number]}")
        assert account.doubled(number) == 0
    return account


def traces(operators: Sequence[Peering], texts: Sequence[str]) -> str:
    """What each operator knows of some messages."""
    named = [(text, text.replace(">", "-").replace(" ", "-")) for text in texts[:TRACED]]  # as `write` names them
    return "\n".join(
        f"{text} at {operator.domain}:\n{operator.joyn('message', 'trace', message_id)}"
        for text, message_id in named
        for operator in operators
    )


async def drained(orange: Peering, sfr: Peering) -> bool:
    """Whether nothing waits for either."""
    return await orange.waits_for(SFR) == await sfr.waits_for(ORANGE) == 0
