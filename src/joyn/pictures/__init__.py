"""Pictures: what is made of them, small or in a form that every browser draws.

Implementations stand beside this file. Decoders of pictures are where attackers come in: whatever makes a picture must
not decode it in this process.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

__all__ = ["MADE", "Form", "Pictures"]

MADE: Final = "image/jpeg"
"""The type of everything that is made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How a picture shall come out: JPEG, upright, without metadata, no side above `edge` pixels, `largest` bytes."""

    edge: int
    largest: int


class Pictures(Protocol):
    """Makes pictures of pictures."""

    def takes(self, content_type: str) -> bool:
        """Whether files of this type can be decoded here."""
        ...

    async def make(self, path: Path, content_type: str, form: Form) -> bytes:
        """A picture in this form, made of a file. Who is cancelled ends the work.

        Raises Refused: OVERLOADED when too many wait, UNSUPPORTED_CONTENT when it cannot be decoded within the limits
        or is not of that type.
        """
        ...
