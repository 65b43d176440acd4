"""One of two operators is killed under load, again and again, or now one and now the other: nothing acknowledged is
lost, nothing is shown twice, conversations are in order, and what waited for who was away drains.

`JOYN_KILLS` says how often (3; `make chaos`: 20), `JOYN_SEED` when.
"""

import asyncio
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from interconnect.crossing import PEOPLE, cross
from interconnect.operators import ALICE, BOB, ORANGE, RANGES, SFR
from interconnect.processes import Peering, exchange_all, start_all, stop_all
from scenarios.load import Account, disturb

pytestmark = [pytest.mark.scenario, pytest.mark.timeout(900)]

KILLS = int(os.environ.get("JOYN_KILLS", "3"))
SEED = int(os.environ.get("JOYN_SEED", "20261130"))


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[Peering, Peering]]:
    orange = Peering(tmp_path / "orange", ORANGE, RANGES[ORANGE], PEOPLE[ORANGE])
    sfr = Peering(tmp_path / "sfr", SFR, RANGES[SFR], PEOPLE[SFR])
    try:
        exchange_all((orange, sfr))  # before they run: the commands need no node
        start_all((orange, sfr))
        yield orange, sfr
    finally:
        stop_all((orange, sfr))


@pytest.mark.parametrize("killed", ["the one", "the other", "both"])
def test_kill_of_an_operator_under_load_loses_and_doubles_nothing(two: tuple[Peering, Peering], killed: str) -> None:
    async def kill(_account: Account) -> None:
        if killed == "both":
            # Each at moments of its own: now one, now the other, now both are gone.
            halves = [disturb(one, KILLS, SEED + place) for place, one in enumerate(two)]
            await asyncio.gather(*halves)
        else:
            await disturb(two[killed == "the other"], KILLS, SEED)

    asyncio.run(cross(*two, kill, SEED))
    assert sum(one.kills for one in two) == (2 * KILLS if killed == "both" else KILLS)


def test_kill_of_an_operator_for_which_something_waits_delivers_it_after_its_next_start(
    two: tuple[Peering, Peering],
) -> None:
    orange, sfr = two
    texts = [f"pendant la nuit {number}" for number in range(30)]

    async def story() -> None:
        async with sfr.phone(BOB):
            pass  # a device that was never there has no mailbox of its own
        await asyncio.to_thread(sfr.kill)
        async with orange.phone(ALICE) as alice:
            sent = [await alice.send(BOB, text) for text in texts]
            assert await orange.waits_for(SFR) == len(texts)
            # Who holds what waits dies too; either is up first.
            await asyncio.to_thread(orange.kill)
            for one in random.Random(SEED).sample(two, 2):
                await asyncio.to_thread(one.start)
            async with sfr.phone(BOB) as bob:
                assert [(await bob.receive(timeout=30)).text for _ in texts] == texts
                for one in sent:
                    await one.delivered(timeout=30)

    asyncio.run(story())
