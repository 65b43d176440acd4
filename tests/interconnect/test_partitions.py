"""The network between two operators loses everything, both ways or one way, under load: packets vanish, nobody refuses.
Nothing acknowledged is lost, nothing is shown twice, and what waited drains.

Each operator is a process in a network namespace of its own. `JOYN_SEED` says how long each partition is.
"""

import asyncio
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from interconnect.crossing import PEOPLE, cross
from interconnect.namespaces import Cut, Network, networks, why_not
from interconnect.operators import ALICE, BOB, ORANGE, RANGES, SFR
from interconnect.processes import Peering, exchange_all, start_all, stop_all
from scenarios.load import Account
from waiting import until

pytestmark = [
    pytest.mark.scenario,
    pytest.mark.timeout(240),
    pytest.mark.skipif(bool(why_not()), reason=why_not() or "it has all that is needed"),
]

SEED = int(os.environ.get("JOYN_SEED", "20261130"))
SHORT = (1.0, 3.0)
"""Seconds of a partition that connections outlive."""
LONG_PAUSE = 0.2
"""Seconds between two messages where so much time passes: conversations drain one message at a time."""
GIVEN_UP = 60.0
"""Seconds in which connections that lead nowhere must have been given up: two requests' patience, and some."""


@contextmanager
def two_networks(directory: Path) -> Iterator[tuple[Network, Peering, Peering]]:
    with networks() as network:
        operators = [
            Peering(
                directory / domain,
                domain,
                RANGES[domain],
                PEOPLE[domain],
                border_host=network.border[place],
                host=network.street[place],
                before=network.inside(place),
            )
            for place, domain in enumerate((ORANGE, SFR))
        ]
        try:
            exchange_all(operators)
            start_all(operators)
            yield network, operators[0], operators[1]
        finally:
            stop_all(operators)


@pytest.mark.parametrize("way", ["both ways", "the way there", "the way back"])
def test_a_partition_under_load_loses_and_doubles_nothing(tmp_path: Path, way: Cut) -> None:
    chance = random.Random(f"{SEED} {way}")

    with two_networks(tmp_path) as (network, orange, sfr):

        async def partition(account: Account) -> None:
            for _ in range(2):
                shown = account.shown[BOB][-1]
                await asyncio.to_thread(network.cut, way)
                await asyncio.sleep(chance.uniform(*SHORT))
                assert await orange.waits_for(SFR), "the partition kept nothing away"
                await asyncio.to_thread(network.mend)
                await until(lambda shown=shown: account.shown[BOB][-1] != shown, within=30)

        asyncio.run(cross(orange, sfr, partition, SEED))


def test_connections_that_a_partition_leaves_dead_are_given_up_and_made_anew(tmp_path: Path) -> None:
    with two_networks(tmp_path) as (network, orange, sfr):

        async def partition(account: Account) -> None:
            # One way only: what Orange says still arrives, and nothing comes back.
            await asyncio.to_thread(network.cut, "the way back")

            async def given_up() -> bool:
                return not (await orange.health(SFR))["health"]["connected"]

            await until(given_up, within=GIVEN_UP, pause=0.1)
            assert await orange.waits_for(SFR)
            await asyncio.to_thread(network.mend)
            counted = len(account.shown[ALICE])
            await until(lambda: len(account.shown[ALICE]) > counted, within=60)

        asyncio.run(cross(orange, sfr, partition, SEED, pause=LONG_PAUSE))
