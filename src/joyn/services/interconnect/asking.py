"""What peers say of their subscribers' capabilities, remembered for a little while.

Spec: RCC.07 §2.6.1.3 (facts §3.2, §13: polling is the battery's cost, so answers come from a cache).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final

from joyn.model.aor import Aor
from joyn.protocol.errors import ParseError
from joyn.protocol.sip.feature_tags import FeatureTags
from joyn.protocol.sip.headers import parse_contacts
from joyn.protocol.sip.message import SipResponse

__all__ = ["Asking", "Said"]

KEEP_FOR: Final = 30.0
"""Seconds that an answer holds."""
MAX_KEPT: Final = 20_000
"""Answers that are remembered."""

Said = FeatureTags | int | None
"""What somebody can do; 404 for nobody there, 480 for nobody who is there now; None when the peer did not say."""


class Asking:
    """Asks with `ask(aor, operator)`."""

    def __init__(self, ask: Callable[[Aor, str], Awaitable[SipResponse | None]], now: Callable[[], float]) -> None:
        self._ask = ask
        self._now = now
        self._kept: OrderedDict[tuple[Aor, str], tuple[float, Said]] = OrderedDict()

    async def of(self, aor: Aor, operator: str) -> Said:
        """What an operator says of one of its subscribers now."""
        key = (aor, operator)
        kept = self._kept.get(key)
        if kept is not None and kept[0] > self._now():
            return kept[1]
        said = _said(await self._ask(aor, operator))
        if said is None:
            # Better what was true before than that somebody has gone because a link has.
            return None if kept is None else kept[1]
        self._kept[key] = (self._now() + KEEP_FOR, said)
        self._kept.move_to_end(key)
        if len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)
        return said


def _said(response: SipResponse | None) -> Said:
    if response is None:
        return None
    if response.status == 200:
        try:
            contacts = parse_contacts(response.headers("contact"))
        except ParseError:
            return None
        tags = FeatureTags()
        for contact in contacts if isinstance(contacts, list) else []:
            tags |= FeatureTags.parse(contact.parameters)
        return tags
    return response.status if response.status in (404, 480, 604) else None
