"""How a command comes to the running node."""

import asyncio
from pathlib import Path

import pytest

from joyn.cli import access


class Door(access.Door):
    """Opens when it has been looked at so many times."""

    def __init__(self, opens_after: int) -> None:
        super().__init__(Path("unused"))
        self.left = opens_after

    def answers(self) -> bool:
        self.left -= 1
        return self.left < 0


def test_a_command_waits_for_a_node_that_is_just_starting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "LOOK_EVERY", 0.001)
    monkeypatch.setattr(access, "STARTING", 0.05)
    assert asyncio.run(access._opens(Door(3)))
    assert not asyncio.run(access._opens(Door(1000)))
