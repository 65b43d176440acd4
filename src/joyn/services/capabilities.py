"""Capability discovery: the server answers OPTIONS for its subscribers.

Spec: RCC.07 §2.6.1.3 (facts §3.2); RFC 3840.
What the devices registered, joined, plus what the server itself provides: chat for every subscriber.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import Enum

from joyn.model.aor import Aor
from joyn.model.binding import Binding
from joyn.model.tags import PROVIDED, SYNC, tags_of
from joyn.protocol.sip.feature_tags import FeatureTags
from joyn.store import Subscribers


class Presence(Enum):
    """What is known of somebody asked about."""

    ONLINE = "online"
    OFFLINE = "offline"
    UNKNOWN = "unknown"


async def _nobody(_aor: Aor) -> tuple[Presence, FeatureTags] | None:
    return None


class Capabilities:
    """Answers what somebody can do right now. `elsewhere(aor)` asks the peer operator whose subscriber that is, and
    says None when it is nobody's but ours."""

    def __init__(
        self,
        subscribers: Subscribers,
        bindings: Callable[[Aor], tuple[Binding, ...]],
        provided: FeatureTags = PROVIDED,
    ) -> None:
        self._subscribers = subscribers
        self._bindings = bindings
        self._provided = provided
        self.elsewhere: Callable[[Aor], Awaitable[tuple[Presence, FeatureTags] | None]] = _nobody

    async def of(self, aor: Aor) -> tuple[Presence, FeatureTags]:
        """What a number can do, whoever's subscriber it is."""
        return await self.elsewhere(aor) or await self.here(aor)

    async def here(self, aor: Aor) -> tuple[Presence, FeatureTags]:
        """Facts §3.2: 404 only for a number that is nobody's here, offline for a subscriber without a device."""
        bindings = self._bindings(aor)
        if not bindings:
            known = await self._subscribers.get(aor)
            return (Presence.OFFLINE if known and not known.blocked else Presence.UNKNOWN), self._provided
        tags = self._provided
        for binding in bindings:
            tags |= tags_of(binding.parameters)
        return Presence.ONLINE, FeatureTags(tags.bare - {SYNC}, tags.icsi, tags.iari, tags.valued)
