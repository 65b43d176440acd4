"""How much is fetched at a time, and what an earlier run was waiting for; the rest is seen at the border
(tests/interconnect/test_files.py)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from joyn.blobs.directory import DirectoryBlobs
from joyn.model.file import FileUsage, ForeignFile
from joyn.model.peer import mailbox_of, operator_of
from joyn.model.refused import Reason, Refused
from joyn.services.files.fetching import Fetching, FetchPolicy
from joyn.services.files.scanning import Scanning
from joyn.store import Store
from joyn.store.sqlite import open_store
from joyn.telemetry import counters
from joyn.transport.scanning import CLEAN
from waiting import until

DATA = b"x" * 1000
PEERS = ("a.example", "b.example", "c.example")


class Origins:
    """Content servers that answer when the test says so, and note how many are asked at a time."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.under_way: list[str] = []
        self.most: dict[str, int] = {}
        self.asked: list[str] = []

    @asynccontextmanager
    async def get(self, origin: str, path: str, start: int) -> AsyncIterator[Any]:
        self.asked.append(path)
        self.under_way.append(origin)
        for one in ("all", origin):
            now = len(self.under_way) if one == "all" else self.under_way.count(one)
            self.most[one] = max(self.most.get(one, 0), now)
        try:
            await self.open.wait()
            yield Whole()
        finally:
            self.under_way.remove(origin)


class Whole:
    status, length, content_range, encoded, ends, retry_after = 200, len(DATA), "", False, True, 0.0

    def __init__(self) -> None:
        self._rest = [DATA, b""]

    async def read(self) -> bytes:
        return self._rest.pop(0)


class Verdict:
    """A virus scanner with one opinion."""

    def __init__(self, says: str | None) -> None:
        self._says = says

    async def scan(self, pieces: AsyncIterator[bytes], size: int) -> str | None:
        async for _ in pieces:
            pass
        return self._says


def make_foreign(number: int, peer: str = PEERS[0]) -> ForeignFile:
    return ForeignFile(
        id=f"{number:016}",
        owner=mailbox_of(peer),
        path=f"/{number}",
        kind="file",
        size=len(DATA),
        name="a.bin",
        content_type="application/octet-stream",
        until=time.time() + 1000,
    )


class Scene:
    def __init__(self, store: Store, root: Path) -> None:
        self.store = store
        self.origins = Origins()
        self.blobs = DirectoryBlobs(root, wall=time.time)
        self._made: list[Fetching] = []

    def fetching(self, **fields: Any) -> Fetching:
        values = {
            "origin_of": lambda operator: f"https://files.{operator}",
            "wall": time.time,
            "clock": time.monotonic,
            "patience": 0.05,
        }
        policy = FetchPolicy(at_once=5, per_peer=2, room=FileUsage(10**6, 10**6))
        made = Fetching(
            self.store.foreign_files, self.store.files, self.blobs, self.origins, policy, **(values | fields)
        )
        self._made.append(made)
        return made

    async def stop(self) -> None:
        for one in self._made:
            await one.stop()

    async def here(self) -> int:
        found = [await self.store.files.get(f"{number:016}") for number in range(20)]
        return len([one for one in found if one is not None])


def play(root: Path, story: Callable[[Scene], Awaitable[None]]) -> None:
    async def run() -> None:
        store = open_store(":memory:", node="n1", wall_clock=time.time, on_fatal=pytest.fail)
        scene = Scene(store, root)
        try:
            await story(scene)
        finally:
            await scene.stop()
            await store.close()

    asyncio.run(run())


def test_only_so_many_are_fetched_at_a_time_from_one_peer_and_from_all(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        files = [make_foreign(number, PEERS[number % 3]) for number in range(12)]
        await scene.store.foreign_files.add(files)
        fetching = scene.fetching()
        fetching.want(files)
        fetching.want(files)
        await until(lambda: len(scene.origins.under_way) == 5)
        scene.origins.open.set()
        await until(lambda: _is(scene.here, 12))
        assert scene.origins.most.pop("all") == 5
        assert max(scene.origins.most.values()) == 2
        assert len(scene.origins.asked) == 12

    play(tmp_path, story)


async def _is(count: Callable[[], Awaitable[int]], wanted: int) -> bool:
    return await count() == wanted


def test_who_asks_waits_a_little_and_is_told_to_come_back(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        await scene.store.foreign_files.add([make_foreign(1)])
        fetching = scene.fetching()
        with pytest.raises(Refused) as refused:
            await fetching.awaited(make_foreign(1).id)
        assert refused.value.reason is Reason.AWAITED
        scene.origins.open.set()
        await until(lambda: _is(scene.here, 1))
        found = await fetching.awaited(make_foreign(1).id)
        assert found is not None
        assert found.size == len(DATA)
        assert await fetching.awaited("nobody's") is None

    play(tmp_path, story)


def test_what_an_earlier_run_was_waiting_for_is_fetched_by_the_next(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        files = [make_foreign(number) for number in range(3)]
        await scene.store.foreign_files.add(files)
        first = scene.fetching()
        first.want(files)
        await until(lambda: len(scene.origins.under_way) == 2)
        await first.stop()
        assert scene.origins.under_way == []
        scene.origins.open.set()
        await scene.fetching().start()
        await until(lambda: _is(scene.here, 3))

    play(tmp_path, story)


def test_a_content_server_that_says_nothing_does_not_hold_its_place_for_ever(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        files = [make_foreign(number) for number in range(4)]
        await scene.store.foreign_files.add(files)
        scene.fetching(turn=0.05).want(files)
        await until(lambda: len(set(scene.origins.asked)) == 4)
        assert scene.origins.most["all"] == 2
        scene.origins.open.set()
        await until(lambda: _is(scene.here, 4))

    play(tmp_path, story)


def test_nothing_is_fetched_from_a_peer_that_is_paused_or_gone(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        scene.origins.open.set()
        origins: dict[str, str] = {}
        await scene.store.foreign_files.add([make_foreign(1)])
        fetching = scene.fetching(origin_of=lambda operator: origins.get(operator, ""), patience=5.0)
        before = counters().get("file.delayed", 0)
        waiting = asyncio.ensure_future(fetching.awaited(make_foreign(1).id))
        await until(lambda: counters().get("file.delayed", 0) == before + 1)
        assert scene.origins.asked == []
        origins[operator_of(make_foreign(1).owner)] = "https://files.a.example"
        assert (await waiting) is not None

    play(tmp_path, story)


@pytest.mark.parametrize(("says", "lost"), [(CLEAN, False), ("Eicar", True)])
def test_what_comes_goes_past_the_virus_scanner(tmp_path: Path, says: str, lost: bool) -> None:
    async def story(scene: Scene) -> None:
        scene.origins.open.set()
        await scene.store.foreign_files.add([make_foreign(1)])
        scanning = Scanning(Verdict(says), required=True, now=time.monotonic)
        found = await scene.fetching(scanning=scanning, patience=5.0).awaited(make_foreign(1).id)
        await scanning.close()
        assert found is not None
        assert (found.digest == "") is lost
        foreign = await scene.store.foreign_files.get(make_foreign(1).id)
        assert (foreign is not None and foreign.lost) is lost

    play(tmp_path, story)
