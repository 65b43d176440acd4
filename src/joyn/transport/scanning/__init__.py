"""Virus scanners: programs beside the node that are shown a file and say what they think of it.

Implementations stand beside this file: `clamd`, `icap`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final, Protocol

__all__ = ["CLEAN", "PIECE", "Scanner", "Unscanned"]

CLEAN: Final = ""
"""The verdict on a file in which nothing was found."""
PIECE: Final = 256 << 10
"""Bytes of a file that are in memory at a time."""


class Unscanned(Exception):
    """There is no verdict: nobody is there, too slow, the connection broke, or the answer is none."""


class Scanner(Protocol):
    """One scanner."""

    async def scan(self, pieces: AsyncIterator[bytes], size: int) -> str:
        """The verdict on a file of so many bytes: what was found, or CLEAN. Raises Unscanned, and what `pieces`
        raises. Every attempt has an end in time."""
        ...
