"""Stores to meet the contracts with: every implementation there is."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from contracts.store_values import NOON
from joyn.store import Store
from joyn.store.sqlite import open_store

Scenario = Callable[[Store], Awaitable[None]]


def never(error):
    raise AssertionError(error)


@pytest.fixture(params=["memory", "sqlite"])
def run(request, tmp_path):
    """Runs a scenario with an open store; several in a row find what the ones before left, where there is a disk."""

    def run_with(*scenarios: Scenario, **options) -> None:
        async def all_of_them() -> None:
            path = ":memory:" if request.param == "memory" else tmp_path / "joyn.db"
            for scenario in scenarios:
                store = open_store(path, node="n1", wall_clock=lambda: NOON, on_fatal=never, **options)
                try:
                    await scenario(store)
                finally:
                    await store.close()

        if len(scenarios) > 1 and request.param == "memory":
            pytest.skip("nothing in memory outlives its store")
        asyncio.run(all_of_them())

    return run_with
