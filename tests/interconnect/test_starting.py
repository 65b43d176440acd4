"""A node that starts knows its peers before it answers anybody."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from interconnect.operators import BOB, ORANGE, RANGES, SFR, settings_of
from interconnect.scripted_peer import ScriptedPeer
from joyn.config import Settings
from joyn.model.peer import mailbox_of
from joyn.node import Node, open_store
from joyn.services.registrar import Registrar
from ports import free_port


def test_whoever_writes_while_a_node_starts_is_not_told_that_a_peers_subscriber_is_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(settings_of(ORANGE, tmp_path, free_port()), store=Settings().store)
    peer = ScriptedPeer(tmp_path, 9).as_peer(ranges=(RANGES[SFR],))
    found = []

    async def story() -> None:
        async with open_store(settings) as store:
            await store.peers.put(peer)
        node = Node(settings)
        restore = Registrar.restore

        async def asking(self: Registrar, *arguments: Any) -> Any:
            # Phones can connect by now: this comes after the listeners.
            found.append(await node.interconnect.choose(f"tel:{BOB}"))
            return await restore(self, *arguments)

        monkeypatch.setattr(Registrar, "restore", asking)
        await node.start()
        await node.stop()

    asyncio.run(story())
    assert [destination.mailbox for destination in found] == [mailbox_of(SFR)]
