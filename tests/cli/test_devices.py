"""`joyn device` and `joyn sms`."""

import asyncio
import time
from pathlib import Path

import pytest

from cli.test_cli import AOR, NUMBER, place, said  # noqa: F401 - a fixture
from joyn.cli import main
from joyn.config import load
from joyn.model.aor import Aor
from joyn.model.device import Device
from joyn.node import Node, open_store
from joyn.sms.outbox import Outbox

pytestmark = pytest.mark.usefixtures("place")


async def set_up(path: Path, *ids: str) -> None:
    async with open_store(load(path / "joyn.toml")) as store:
        for one in ids:
            device = Device(id=one, aor=Aor(AOR), kind="browser", name=f"Laptop {one}", token=one, username=one)
            assert await store.devices.add(device)


def test_devices_are_listed_and_signed_out_one_by_one_and_all(tmp_path, capsys) -> None:
    assert main(["subscriber", "add", NUMBER]) == 0
    asyncio.run(set_up(tmp_path, "d1", "d2", "d3"))
    said(capsys)
    assert main(["device", "list", NUMBER]) == 0
    assert [line.split()[0] for line in said(capsys).splitlines()[1:]] == ["d1", "d2", "d3"]
    assert main(["device", "revoke", NUMBER, "d2"]) == 0
    assert said(capsys) == "1 device signed out.\n"
    assert main(["device", "revoke", NUMBER, "d2"]) == 1
    assert main(["device", "revoke", NUMBER]) == 0
    assert "2 devices signed out." in said(capsys)
    assert main(["device", "revoke", NUMBER]) == 1
    assert main(["device", "list", "06 39 98 00 09"]) == 1
    assert "is no subscriber" in said(capsys)


def test_a_running_node_signs_out_at_once(tmp_path, capsys) -> None:
    assert main(["subscriber", "add", NUMBER]) == 0
    asyncio.run(set_up(tmp_path, "d1"))
    said(capsys)

    async def play() -> None:
        node = Node(load(tmp_path / "joyn.toml"))
        gone: list[str] = []
        await node.start()
        try:
            node.setting_up.devices.on_signed_out = lambda device: gone.append(device.id)
            assert await asyncio.to_thread(main, ["device", "revoke", NUMBER, "d1"]) == 0
            assert gone == ["d1"]
            assert await node.store.devices.get("d1") is None
        finally:
            await node.stop()

    asyncio.run(play())


def test_the_outbox_is_printed_and_followed(tmp_path, capsys, monkeypatch) -> None:
    path = load(tmp_path / "joyn.toml").sms_outbox
    path.parent.mkdir()
    outbox = Outbox(path, wall=lambda: 1_800_000_000.0)
    asyncio.run(outbox.send(Aor(AOR), "418902 is your code.\x1b[2J"))
    said(capsys)
    assert main(["sms", "outbox"]) == 0
    first = said(capsys)
    assert first.rstrip().endswith(AOR + "  418902 is your code.\\x1b[2J")
    looks = iter(range(3))

    def look(_seconds: float) -> None:
        if next(looks) == 2:
            raise KeyboardInterrupt
        asyncio.run(outbox.send(Aor(AOR), "ABCDEFGHJK", port=37273))

    monkeypatch.setattr(time, "sleep", look)
    assert main(["sms", "outbox", "--follow"]) == 0
    lines = said(capsys).splitlines()
    assert lines[0] + "\n" == first
    assert [line.endswith(f"{AOR} port 37273  ABCDEFGHJK") for line in lines[1:]] == [True, True]
