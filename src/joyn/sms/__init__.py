"""SMS: how a text leaves towards a number. Implementations stand beside this file; only the node picks one.

Spec: 3GPP TS 23.040 (UDH ports); facts §9.1 step 3 and 4.
"""

from __future__ import annotations

from typing import Protocol

from joyn.model.aor import Aor

__all__ = ["Sms"]


class Sms(Protocol):
    """One way out."""

    async def send(self, to: Aor, text: str, *, port: int = 0) -> None:
        """Hand a text over; it is on its way when this returns. Raises OSError when it cannot be.

        With a `port` it is a binary SMS to that port of the phone (its RCS client reads it, nobody else sees it), else
        an ordinary one.
        """
        ...
