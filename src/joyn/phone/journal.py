"""The journal: what happened to a phone, in order, so that a test can read it like a story."""

from __future__ import annotations

import time
from collections import deque
from typing import NamedTuple

MAX_HAPPENINGS = 10_000
"""Happenings remembered; the oldest go first."""


class Happening(NamedTuple):
    """One thing that happened: `at` is monotonic seconds, `about` a Message-ID, a status, or what else tells more."""

    at: float
    what: str
    about: str = ""


class Journal(deque[Happening]):
    """Happenings in order.

    What is written: `connected`, `registered` (seconds), `unregistered`, `lost`, `cut`, `sent`, `accepted`, `rejected`,
    `received`, `duplicate`, `answered` (method and status), `ignored`, `acknowledged` (a receipt of ours), `receipt`,
    `chat opened`, `chat closed`, `typing`, `idle`.
    """

    def __init__(self) -> None:
        super().__init__(maxlen=MAX_HAPPENINGS)

    def note(self, what: str, about: str = "") -> None:
        """Write it down, now."""
        self.append(Happening(time.monotonic(), what, about))

    def all(self, what: str) -> list[str]:
        """What every happening of one kind was about, in order."""
        return [happening.about for happening in self if happening.what == what]
