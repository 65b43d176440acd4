"""POST /api/reports: a subscriber says that somebody's messages are unwanted. Counted and logged, without content."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Annotated, Final

import msgspec

from joyn import telemetry
from joyn.edge.http.blocks import BAD_ADDRESS
from joyn.edge.http.describing import Asked, Caller, Operation, Problem, ProblemFound, Provider, Serve
from joyn.model.aor import Aor, Numbering
from joyn.protocol.cpim import MAX_MESSAGE_ID
from joyn.store import Mailboxes

__all__ = ["ReportsDoor"]

MAX_MESSAGES: Final = 20
"""Messages one report can name."""
MAX_REPORTS: Final = 30
"""Reports of one subscriber within PERIOD; who sends more is answered 429."""
PERIOD: Final = 3600.0
"""Seconds."""
TOO_MANY: Final = Problem(429, "too-many", "This subscriber has reported too much lately.")


class Report(msgspec.Struct, frozen=True):
    """Who wrote, and the Message-IDs of what they wrote to the subscriber."""

    aor: Annotated[str, msgspec.Meta(max_length=256)]
    message_ids: Annotated[
        list[Annotated[str, msgspec.Meta(max_length=MAX_MESSAGE_ID)]], msgspec.Meta(max_length=MAX_MESSAGES)
    ]


REPORT: Final = Operation(
    method="POST",
    path="/api/reports",
    summary="Tell the operator of unwanted messages.",
    body=Report,
    problems=(BAD_ADDRESS, TOO_MANY),
)


class ReportsDoor(Provider):
    """The provider."""

    def __init__(
        self, mailboxes: Mailboxes, numbering: Numbering, caller: Caller, *, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._mailboxes = mailboxes
        self._numbering = numbering
        super().__init__(caller)
        self._now = now
        self._begun = now()
        # Emptied every period, so no larger than the number of subscribers.
        self._reports: Counter[Aor] = Counter()

    @property
    def operations(self) -> Sequence[tuple[Operation, Serve]]:
        """What it serves."""
        return ((REPORT, self._report),)

    async def _report(self, asked: Asked) -> None:
        report: Report = asked.body
        other = self._numbering.aor(report.aor)
        if other is None:
            raise ProblemFound(BAD_ADDRESS)
        self._count(asked.aor)
        # Only what they really sent counts: a report must not be a way to accuse anybody of anything.
        found = [await self._mailboxes.find(other, asked.aor, one) for one in dict.fromkeys(report.message_ids)]
        telemetry.event(
            "sender.reported", subscriber=asked.aor, sender=other, messages=sum(one is not None for one in found)
        )

    def _count(self, aor: Aor) -> None:
        """Nobody shall drown the operator's log, or somebody else's good name."""
        if self._now() - self._begun >= PERIOD:
            self._begun = self._now()
            self._reports.clear()
        if self._reports[aor] >= MAX_REPORTS:
            raise ProblemFound(TOO_MANY)
        self._reports[aor] += 1
