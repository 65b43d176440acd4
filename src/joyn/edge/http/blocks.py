"""/api/blocks: whom the subscriber does not want to hear from. Those are not told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from joyn.edge.http.describing import Asked, Caller, Operation, Problem, ProblemFound, Provider, Serve
from joyn.model.aor import Aor, Numbering
from joyn.store import Subscribers

__all__ = ["BlocksDoor"]

MAX_BLOCKS: Final = 1000
"""Entries of one subscriber's list."""
BAD_ADDRESS: Final = Problem(400, "bad-address", "The path names no number, and nobody of this operator.")
FULL: Final = Problem(409, "too-many", "The list holds as many as it can.")
_PARAMETERS: Final = {"aor": "A tel: or sip: URI."}

LIST: Final = Operation(method="GET", path="/api/blocks", summary="The subscriber's block list.", answer=list[str])
BLOCK: Final = Operation(
    method="PUT",
    path="/api/blocks/{aor}",
    summary="Put somebody on it.",
    parameters=_PARAMETERS,
    problems=(BAD_ADDRESS, FULL),
)
UNBLOCK: Final = Operation(
    method="DELETE",
    path="/api/blocks/{aor}",
    summary="Take somebody off it.",
    parameters=_PARAMETERS,
    problems=(BAD_ADDRESS,),
)


class BlocksDoor(Provider):
    """The provider."""

    def __init__(self, subscribers: Subscribers, numbering: Numbering, caller: Caller) -> None:
        self._subscribers = subscribers
        self._numbering = numbering
        super().__init__(caller)

    @property
    def operations(self) -> Sequence[tuple[Operation, Serve]]:
        """What it serves."""
        return ((LIST, self._list), (BLOCK, self._block), (UNBLOCK, self._unblock))

    async def _list(self, asked: Asked) -> list[str]:
        return sorted(await self._subscribers.blocks(asked.aor))

    async def _block(self, asked: Asked) -> None:
        other = self._other(asked)
        there = await self._subscribers.blocks(asked.aor)
        if len(there) >= MAX_BLOCKS and other not in there:
            raise ProblemFound(FULL)
        await self._subscribers.block(asked.aor, other)

    async def _unblock(self, asked: Asked) -> None:
        await self._subscribers.block(asked.aor, self._other(asked), blocked=False)

    def _other(self, asked: Asked) -> Aor:
        # The same normal form that messages are compared in, however the client writes the number.
        other = self._numbering.aor(asked.parameters["aor"])
        if other is None:
            raise ProblemFound(BAD_ADDRESS)
        return other
