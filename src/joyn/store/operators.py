"""The store's part about other operators: who the peers are, and which numbers have moved.

See joyn.store.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from joyn.model.peer import Peer
from joyn.model.ported import PortedNumber
from joyn.model.route import Operator

__all__ = ["MAX_PEERS", "MAX_PORTED", "Peers", "PortedNumbers"]

MAX_PEERS = 2000
"""Peer operators: more than there are in the world. All are in memory, and looked through for each connection."""
MAX_PORTED = 5_000
"""Ported numbers that are handed in at once: more than that holds up the messages of the same commit."""


class Peers(Protocol):
    """Peer operators. What is due to one lies in its mailbox and does not go with it: it waits for the peer to be
    accepted again, and expires."""

    async def list(self) -> list[Peer]:
        """All of them, in order of domain."""
        ...

    async def get(self, domain: str) -> Peer | None:
        """The peer with this domain, or None."""
        ...

    async def put(self, peer: Peer) -> None:
        """Add, or replace by domain; durable when it returns.

        Raises ValueError, and nothing has changed, when a certificate is another peer's, or there are MAX_PEERS.
        """
        ...

    async def remove(self, domain: str) -> bool:
        """Forget a peer; durable when it returns. False when there was none."""
        ...


class PortedNumbers(Protocol):
    """The numbers whose operator is not the one that their range says."""

    async def get(self, number: str) -> PortedNumber | None:
        """The row of an E.164 number, or None. Every message asks: what was asked for last is answered from memory."""
        ...

    async def put(self, ported: Sequence[PortedNumber]) -> None:
        """Add, or replace by number, and remove those without an operator, in one commit; durable when it returns, and
        what is asked from then on is answered by it. Raises ValueError for more than MAX_PORTED, Refused(STORAGE_FULL),
        Refused(OVERLOADED)."""
        ...

    async def counts(self) -> dict[Operator, int]:
        """How many numbers have been ported to each operator."""
        ...

    async def of_subscribers(self) -> list[PortedNumber]:
        """Rows of numbers that are subscribers' here: who has come, and who has left."""
        ...
