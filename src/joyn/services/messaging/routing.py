"""Where a message goes: a subscriber of ours, or nobody we know.

Spec: IR.90 (facts §10). Peer operators and SMS join this choice when they exist.
"""

from __future__ import annotations

from joyn.model.aor import Numbering
from joyn.model.refused import Reason, Refused
from joyn.services.messaging.destination import Destination
from joyn.store import Subscribers


class Routing:
    """Turns a Request-URI into a mailbox."""

    def __init__(self, numbering: Numbering, subscribers: Subscribers) -> None:
        self._numbering = numbering
        self._subscribers = subscribers

    async def choose(self, uri: str) -> Destination:
        """The local subscriber the URI means. Raises Refused(UNKNOWN_RECIPIENT)."""
        aor = self._numbering.aor(uri)
        if aor is not None:
            subscriber = await self._subscribers.get(aor)
            if subscriber is not None and not subscriber.blocked:
                return Destination.of_subscriber(aor)
        raise Refused(Reason.UNKNOWN_RECIPIENT)
