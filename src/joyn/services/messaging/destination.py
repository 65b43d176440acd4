"""Where a message goes: whom it is for, and the mailbox that leads there.

Spec: architecture §2 (every destination has a mailbox); IR.90 (facts §10).
"""

from __future__ import annotations

import math
from typing import Protocol

from joyn.model.aor import Aor
from joyn.model.value import value

__all__ = ["Destination", "Destinations"]


@value
class Destination:
    """A recipient, and the mailbox of whoever brings it to them: their own, or their operator's.

    `keep_for` is how many seconds it may wait there; the sender's wish and our own bound stand beside it.
    """

    aor: Aor
    mailbox: Aor
    keep_for: float = math.inf

    @classmethod
    def of_subscriber(cls, aor: Aor) -> Destination:
        """A subscriber of ours."""
        return cls(aor=aor, mailbox=aor)

    @property
    def is_local(self) -> bool:
        """Whether it is a subscriber of ours."""
        return self.mailbox == self.aor


class Destinations(Protocol):
    """Knows where every address leads."""

    async def choose(self, uri: str) -> Destination:
        """Where a URI leads. Raises Refused: UNKNOWN_RECIPIENT, and OVERLOADED when too much waits there."""
        ...
