"""/api/profile: how others see the subscriber."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

import msgspec

from joyn.edge.http.describing import MALFORMED, SIGNED_OUT, Asked, Caller, Operation, ProblemFound, Provider, Serve
from joyn.store import Subscribers

__all__ = ["ProfileDoor"]

MAX_NAME: Final = 64
"""Characters of a name."""


class Profile(msgspec.Struct, frozen=True):
    """How others see the subscriber; an empty name shows them the number."""

    name: Annotated[str, msgspec.Meta(max_length=MAX_NAME)]


READ: Final = Operation(method="GET", path="/api/profile", summary="How others see the subscriber.", answer=Profile)
WRITE: Final = Operation(method="PUT", path="/api/profile", summary="Change it.", body=Profile)


class ProfileDoor(Provider):
    """The provider."""

    def __init__(self, subscribers: Subscribers, caller: Caller) -> None:
        self._subscribers = subscribers
        super().__init__(caller)

    @property
    def operations(self) -> Sequence[tuple[Operation, Serve]]:
        """What it serves."""
        return ((READ, self._read), (WRITE, self._write))

    async def _read(self, asked: Asked) -> Profile:
        subscriber = await self._subscribers.get(asked.aor)
        if subscriber is None:
            raise ProblemFound(SIGNED_OUT)
        return Profile(name=subscriber.display_name)

    async def _write(self, asked: Asked) -> None:
        profile: Profile = asked.body
        name = profile.name.strip()
        # Also in SIP headers, where a line end would begin another one; direction marks could disguise a number.
        if not name.isprintable():
            raise ProblemFound(MALFORMED)
        if not await self._subscribers.rename(asked.aor, name):
            raise ProblemFound(SIGNED_OUT)
