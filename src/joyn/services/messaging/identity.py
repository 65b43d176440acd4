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
    """From and P-Asserted-Identity lines of a sender. `name_of` says what a subscriber is called, empty for nothing."""

    def __init__(self, numbering: Numbering, make_tag: Callable[[], str], name_of: Callable[[Aor], str]) -> None:
        self._numbering = numbering
        self._make_tag = make_tag
        self._name_of = name_of
        self._lines = lru_cache(maxsize=MAX_REMEMBERED)(self._made)

    def of(self, aor: Aor) -> str:
        """The lines, each with its line end. The From tag is the sender's: dialogs differ by Call-ID."""
        return self._lines(aor, self._name_of(aor))

    def sip_uri(self, aor: Aor) -> str:
        """The address as clients want it that know SIP URIs only."""
        return self._numbering.sip_uri(aor)

    def _made(self, aor: Aor, name: str) -> str:
        sip = self._numbering.sip_uri(aor)
        # A name is its owner's to choose: it must end no line, turn no text around, and be no address to a client that
        # does not read quotes as RFC 3261 §25.1 writes them.
        name = "".join(letter for letter in name if letter.isprintable() and letter not in '<>"\\')
        shown = f'"{name}" ' if name else ""
        asserted = f"{shown}<{aor}>, {shown}<{sip}>" if sip != aor else f"{shown}<{sip}>"
        return f"From: {shown}<{sip}>;tag={self._make_tag()}\r\nP-Asserted-Identity: {asserted}\r\n"
