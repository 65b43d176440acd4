"""What the composition root itself does: reports that the store would not take at first."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from joyn.config import Settings
from joyn.model.message import State
from joyn.model.refused import Reason, Refused
from joyn.node import REPORT_AGAIN, Node
from services.scene import BOB, make_message


def told(monkeypatch: pytest.MonkeyPatch, refusals: int) -> tuple[int, list[float]]:
    """How often a report is deposited while the store refuses that many, and the pauses between."""
    tries, pauses = 0, []

    async def report(*_arguments: Any) -> None:
        nonlocal tries
        tries += 1
        if tries <= refusals:
            raise Refused(Reason.OVERLOADED, "busy")

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    node = Node(Settings())
    # All of it that `_tell` asks for.
    monkeypatch.setattr(node, "originating", SimpleNamespace(report=report), raising=False)
    monkeypatch.setattr(asyncio, "sleep", sleep)
    asyncio.run(node._tell(make_message("m1"), BOB, State.STORED))
    return tries, pauses


def test_a_report_is_tried_again_while_the_store_is_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    assert told(monkeypatch, refusals=2) == (3, list(REPORT_AGAIN[:2]))


def test_a_report_that_the_store_never_takes_is_given_up_with_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tries, _ = told(monkeypatch, refusals=100)
    assert tries == len(REPORT_AGAIN)
    assert "a report that a message is stored was given up" in caplog.text
