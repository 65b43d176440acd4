"""Who a message is from, as its recipient is told.

Spec: RFC 3325 §9.1, facts §1: both forms of a number, since clients look for either.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from joyn.model.aor import Aor, Numbering

MAX_REMEMBERED = 16_384
"""Senders whose header lines are kept ready."""


class IdentityHeaders:
    """From and P-Asserted-Identity lines of a sender."""

    def __init__(self, numbering: Numbering, make_tag: Callable[[], str]) -> None:
        self._numbering = numbering
        self._make_tag = make_tag
        self.of = lru_cache(maxsize=MAX_REMEMBERED)(self._of)

    def sip_uri(self, aor: Aor) -> str:
        """The address as clients want it that know SIP URIs only."""
        return self._numbering.sip_uri(aor)

    def _of(self, aor: Aor) -> str:
        """The lines, each with its line end. The From tag is the sender's: dialogs differ by Call-ID."""
        sip = self._numbering.sip_uri(aor)
        asserted = f"<{aor}>, <{sip}>" if sip != aor else f"<{sip}>"
        return f"From: <{sip}>;tag={self._make_tag()}\r\nP-Asserted-Identity: {asserted}\r\n"
