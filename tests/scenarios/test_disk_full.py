"""The disk fills up under load: senders are told, nothing acknowledged is lost, and work goes on when there is room."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from joyn.node import Node
from joyn.phone import Phone, Rejected
from phone.node import ALICE, BOB, make_phone, make_subscriber, node_settings
from scenarios.operator import Operator

PADDING = "x" * 3000
ROOT = sys.platform == "linux" and os.geteuid() == 0


async def send_until_refused(alice: Phone, most: int) -> tuple[list[str], int]:
    """The texts that were acknowledged, and the status of the first refusal."""
    acknowledged = []
    for number in range(most):
        text = f"{number} {PADDING}"
        try:
            await alice.send(BOB, text, mode="pager", request=())
        except Rejected as rejected:
            return acknowledged, rejected.status
        acknowledged.append(text)
    return acknowledged, 0


def test_a_full_database_refuses_and_keeps_what_it_has() -> None:
    async def story() -> None:
        with node_settings() as settings:
            node = Node(settings, max_pages=400)
            await node.start()
            try:
                for number in (ALICE, BOB):
                    await node.store.subscribers.put(make_subscriber(number, settings.operator.domain))
                servers = {"tcp": f"127.0.0.1:{settings.sip.listeners[1].port}"}
                async with make_phone(servers, ALICE) as alice:
                    acknowledged, status = await send_until_refused(alice, 1000)
                    assert (len(acknowledged) > 50, status) == (True, 500)
                    async with make_phone(servers, BOB) as bob:
                        shown = [(await bob.receive(timeout=10)).text for _ in acknowledged]
                        assert shown == acknowledged
            finally:
                await node.stop()

    asyncio.run(story())


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "joyn-test", str(disk)], check=True)
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.scenario
@pytest.mark.skipif(not ROOT, reason="mounting a small tmpfs needs root")
def test_a_full_disk_refuses_and_goes_on_when_there_is_room(small_disk: Path) -> None:
    operator = Operator(small_disk, [ALICE, BOB])
    operator.start()
    try:
        asyncio.run(fill_and_empty(operator, small_disk))
    finally:
        operator.stop()


async def fill_and_empty(operator: Operator, disk: Path) -> None:
    async with make_phone(operator.servers, ALICE) as alice:
        acknowledged, status = await send_until_refused(alice, 4000)
        assert (len(acknowledged) > 50, status) == (True, 500)
        # Killed while the disk is full, it comes up again with all it has acknowledged.
        await asyncio.to_thread(subprocess.run, ["mount", "-o", "remount,size=32m", str(disk)], check=True)
        await asyncio.to_thread(operator.kill)
        await asyncio.to_thread(operator.start)
        await alice.come_back()
        more, status = await send_until_refused(alice, 20)
        assert (len(more), status) == (20, 0)
        async with make_phone(operator.servers, BOB) as bob:
            assert [(await bob.receive(timeout=10)).text for _ in acknowledged + more] == acknowledged + more
