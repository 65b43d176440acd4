"""The way between two operators is cut, held up, slow or full of garbage, under load: what was acknowledged arrives
once, in order, and what waited drains."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import pytest

from interconnect.meddler import Meddler, Mood
from interconnect.operators import ALICE, ANNA, BEN, BOB, ORANGE, SFR, Operator, operator
from joyn.model.peer import PeerAddress
from scenarios.load import Account, settle, show, write
from waiting import until

pytestmark = pytest.mark.timeout(120)

HOUR = 3600.0
PAUSE = 0.03
"""Seconds between two messages of a conversation: what waits shall drain while somebody watches."""


@dataclass(slots=True)
class Stage:
    """Two operators, what lies between them, and phones that write to each other across it all the time."""

    orange: Operator
    sfr: Operator
    out: Meddler
    back: Meddler
    account: Account

    def meddle(self, mood: Mood) -> None:
        """On the way out and on the way back."""
        self.out.mood = self.back.mood = mood

    async def drained(self) -> bool:
        """Whether nothing waits for either."""
        one = await self.orange.node.interconnect.health(SFR)
        other = await self.sfr.node.interconnect.health(ORANGE)
        assert one is not None
        assert other is not None
        return one["queue"] == other["queue"] == 0


@asynccontextmanager
async def stage(*, ahead: float = 0.0) -> AsyncIterator[Stage]:
    """SFR's clock is so many seconds ahead."""
    async with AsyncExitStack() as stack:
        orange = await stack.enter_async_context(operator(ORANGE, (ALICE, ANNA)))
        sfr = await stack.enter_async_context(operator(SFR, (BOB, BEN), wall=lambda: time.time() + ahead))
        out = await stack.enter_async_context(Meddler(sfr.border, 1))
        back = await stack.enter_async_context(Meddler(orange.border, 2))
        await orange.accept(sfr.as_peer(addresses=(PeerAddress(host="127.0.0.1", port=out.port),)))
        await sfr.accept(orange.as_peer(addresses=(PeerAddress(host="127.0.0.1", port=back.port),)))
        yield Stage(orange, sfr, out, back, Account())


async def play(trouble: Callable[[Stage], Awaitable[None]], *, ahead: float = 0.0) -> Account:
    """Write all the time while there is trouble, and count afterwards."""
    devices = {ALICE: ALICE, BOB: BOB}
    async with stage(ahead=ahead) as set_up:
        alice, bob = set_up.orange.phone(ALICE), set_up.sfr.phone(BOB)
        account = set_up.account
        alice.on_message, bob.on_message = show(account, ALICE), show(account, BOB)
        async with alice, bob:
            stopped = asyncio.Event()
            writing = [
                asyncio.ensure_future(write(account, alice, BOB, "pager", stopped, pause=PAUSE)),
                asyncio.ensure_future(write(account, bob, ALICE, "pager", stopped, pause=PAUSE)),
            ]
            await until(lambda: account.shown[ALICE] and account.shown[BOB], within=20)
            await trouble(set_up)
            stopped.set()
            await asyncio.gather(*writing)
            await settle(account, devices)
            await until(set_up.drained, within=15)
            await asyncio.sleep(0.3)  # what would be shown twice has its chance
    for device, number in devices.items():
        assert account.lost(device, number) == []
        assert account.doubled(device) == 0
        assert account.disordered(device) == []
    return account


@pytest.mark.parametrize("mood", ["hold", "hold up", "hold down"])
def test_a_way_that_lets_nothing_through_loses_nothing(mood: Mood) -> None:
    async def trouble(here: Stage) -> None:
        here.meddle(mood)
        await asyncio.sleep(2)
        here.meddle("pass")
        await asyncio.sleep(1)

    asyncio.run(play(trouble))


def test_a_way_that_stays_shut_is_given_up_and_made_anew() -> None:
    async def trouble(here: Stage) -> None:
        before = here.out.connections
        here.meddle("hold up")
        # Nobody answers: the probe notices, or the requests do.
        await until(lambda: here.out.connections > before, within=30)
        here.meddle("pass")
        await until(lambda: here.orange.node.interconnect.links.peer_for(SFR) is not None)

    asyncio.run(play(trouble))


def test_connections_that_are_cut_again_and_again_lose_nothing() -> None:
    async def trouble(here: Stage) -> None:
        for _ in range(12):
            here.out.cut()
            await asyncio.sleep(0.1)
            here.back.cut()
            await asyncio.sleep(0.15)

    asyncio.run(play(trouble))


@pytest.mark.parametrize("mood", ["slow", "garbage", "refuse"])
def test_a_bad_way_loses_nothing(mood: Mood) -> None:
    async def trouble(here: Stage) -> None:
        here.meddle(mood)
        if mood == "refuse":
            here.out.cut()
            here.back.cut()
        await asyncio.sleep(2)
        here.meddle("pass")

    asyncio.run(play(trouble))


@pytest.mark.parametrize("ahead", [-HOUR, HOUR])
def test_a_peer_whose_clock_is_an_hour_off_is_a_peer_like_any_other(ahead: float) -> None:
    async def trouble(here: Stage) -> None:
        here.out.cut()
        await asyncio.sleep(0.5)

    account = asyncio.run(play(trouble, ahead=ahead))
    assert len(account.acknowledged) > 10
