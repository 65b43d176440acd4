"""Reports that the store would not take at first."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from joyn.model.message import State
from joyn.model.refused import Reason, Refused
from joyn.services.messaging.reporting import AGAIN, Reporting
from services.scene import BOB, make_message


def told(refusals: int) -> tuple[int, list[float]]:
    """How often a report is deposited while the store refuses that many, and the pauses between."""
    tries, pauses = 0, []

    async def report(*_arguments: Any) -> None:
        nonlocal tries
        tries += 1
        if tries <= refusals:
            raise Refused(Reason.OVERLOADED, "busy")

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    async def play() -> None:
        # All of the originating function that is asked for.
        originating: Any = SimpleNamespace(report=report)
        reporting = Reporting(originating, sleep=sleep)
        reporting.tell(make_message("m1"), BOB, State.STORED)
        await reporting.close()

    asyncio.run(play())
    return tries, pauses


def test_a_report_is_tried_again_while_the_store_is_busy() -> None:
    assert told(refusals=2) == (3, list(AGAIN[:2]))


def test_a_report_that_the_store_never_takes_is_given_up_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    tries, _ = told(refusals=100)
    assert tries == len(AGAIN)
    assert "a report that a message is stored was given up" in caplog.text
