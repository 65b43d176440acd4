"""Tickets: a browser's leave to use the content server for a while, without a password or a cookie."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable
from typing import Final

from joyn.model.aor import Aor

__all__ = ["LIFETIME", "Tickets"]

LIFETIME: Final = 600.0
"""Seconds a ticket is good for: to begin something. What has begun goes on."""
_MAC: Final = 32


class Tickets:
    """Makes tickets and knows them again, without remembering any. They are bearer tokens (RFC 6750 §2.1)."""

    def __init__(self, key: bytes, *, wall: Callable[[], float]) -> None:
        self._key = key
        self._wall = wall

    def make(self, aor: Aor, device: str) -> tuple[str, float]:
        """A ticket of this subscriber's device, and until when (wall clock) it is good."""
        until = int(self._wall() + LIFETIME)
        said = f"{until} {device} {aor}".encode()
        return base64.urlsafe_b64encode(self._seal(said) + said).rstrip(b"=").decode(), float(until)

    def read(self, ticket: str) -> tuple[Aor, str] | None:
        """Whose ticket this is, and which device's; None for one that is over, and for what is none."""
        try:
            data = base64.urlsafe_b64decode(ticket + "=" * (-len(ticket) % 4))
        except ValueError:
            return None
        seal, said = data[:_MAC], data[_MAC:]
        if not hmac.compare_digest(seal, self._seal(said)):
            return None
        until, device, aor = said.decode().split(" ", 2)
        return (Aor(aor), device) if float(until) > self._wall() else None

    def _seal(self, said: bytes) -> bytes:
        return hmac.new(self._key, said, hashlib.sha256).digest()
