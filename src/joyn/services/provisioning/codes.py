"""One-time codes by SMS: who can read one owns the number.

Spec: facts §9.1; SRLabs 2019 (attacks: six digits and unlimited tries fall in five minutes). A code has three tries, a
number one code at a time with a pause between two and a bound per hour; who asks from one address has a bound, and all
numbers together. What is kept are hashes, in the store, so that a restart forgives nothing and many requests at once
are no more than one after another.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from joyn import telemetry
from joyn.model.aor import Aor
from joyn.model.device import CodeLimits, Limit, SentCode
from joyn.sms import Sms
from joyn.store import Devices

__all__ = ["CodeRules", "Codes", "Expired", "Locked", "Sending", "TooMany", "Wrong"]

DIGITS: Final = "0123456789"
LETTERS: Final = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
"""For codes that a client reads: 32 letters and digits that no two people read differently."""
TYPED: Final = 6
"""Digits of a code that a person types."""
READ: Final = 10
"""Letters of a code that a client reads out of the SMS itself: 50 bits."""
SENT = telemetry.counter("code.sent")
WRONG = telemetry.counter("code.refused")


class TooMany(Exception):
    """No code now; `until` (wall clock) says when."""

    def __init__(self, until: float) -> None:
        super().__init__(until)
        self.until = until


class Locked(TooMany):
    """Too many wrong tries."""


class Expired(Exception):
    """The code's time is over, or there never was one."""


class Wrong(Exception):
    """That is not the code."""

    def __init__(self, tries_left: int) -> None:
        super().__init__(tries_left)
        self.tries_left = tries_left


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeRules:
    """How long codes hold; times in seconds."""

    tries: int = 3
    valid_for: float = 600.0
    locked_for: float = 600.0
    limits: CodeLimits = field(default_factory=CodeLimits)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """A code is on its way. `cookie` goes to who asked for it and comes back with it; from `again` (wall clock) on
    another may be asked for."""

    cookie: str
    length: int
    again: float


class Codes:
    """Sends codes and checks them. `pick(alphabet)` gives one letter of it, `make_cookie` 128 random bits or more."""

    def __init__(
        self,
        devices: Devices,
        sms: Sms,
        rules: CodeRules,
        *,
        text: Callable[[str], str],
        wall: Callable[[], float],
        pick: Callable[[str], str],
        make_cookie: Callable[[], str],
    ) -> None:
        self._devices = devices
        self._sms = sms
        self._rules = rules
        self._text = text
        self._wall = wall
        self._pick = pick
        self._make_cookie = make_cookie

    async def send(self, aor: Aor, *, port: int = 0, about: str = "", source: str = "") -> Sending:
        """Send a code to a number: letters to the `port` a client listens on, else digits for a person.

        `source` is the address that asks. Raises TooMany or Locked, and OSError when the SMS cannot leave.
        """
        now = self._wall()
        alphabet, length = (LETTERS, READ) if port else (DIGITS, TYPED)
        code = "".join(self._pick(alphabet) for _ in range(length))
        cookie = self._make_cookie()
        made = SentCode(
            aor=aor,
            cookie=hashed(cookie),
            code=hashed(cookie + code),
            tries_left=self._rules.tries,
            sent_at=now,
            expires_at=now + self._rules.valid_for,
            since=now,
            about=about,
        )
        # Before the SMS leaves: what the number may still ask for is counted even if it never arrives.
        wait = await self._devices.reserve_code(made, self._rules.limits, _network(source))
        if wait is not None:
            if wait.limit in (Limit.SOURCE, Limit.ALL):
                telemetry.event("code.limited", limit=wait.limit.value)
            raise (Locked if wait.limit is Limit.LOCKED else TooMany)(wait.until)
        await self._sms.send(aor, code if port else self._text(code), port=port)
        SENT.inc()
        return Sending(cookie=cookie, length=length, again=now + self._rules.limits.again_after)

    async def asked_in_vain(self, source: str) -> None:
        """Count that `source` asked about a number that nobody has. Raises TooMany when it goes through the numbers."""
        wait = await self._devices.asked_in_vain(self._rules.limits, _network(source), self._wall())
        if wait is not None:
            telemetry.event("code.limited", limit=wait.limit.value)
            raise TooMany(wait.until)

    async def check(self, cookie: str, code: str) -> SentCode:
        """The number whose code this is; a code holds once. Raises Wrong, Expired, Locked.

        People type codes as they read them: blanks and hyphens between the letters are none of the code.
        """
        now = self._wall()
        until = now + self._rules.locked_for
        typed = "".join(one for one in code.upper() if one.isalnum())
        tried = await self._devices.try_code(hashed(cookie), hashed(cookie + typed), now=now, locked_until=until)
        if tried is None:
            raise Expired
        known = tried.code
        if tried.right:
            return known
        if known.locked_until > now:
            raise Locked(known.locked_until)
        if known.expires_at <= now or known.tries_left <= 0:
            raise Expired
        WRONG.inc()
        if known.tries_left == 1:
            telemetry.event("code.locked", number=known.aor)
            raise Locked(until)
        raise Wrong(known.tries_left - 1)

    async def sweep(self) -> None:
        """Forget codes that are over and limit nothing any more."""
        await self._devices.forget_codes(self._wall() - 3600.0)


def _network(source: str) -> str:
    """Who is counted as one asker, hashed: an IPv4 address, or the 64 bits one IPv6 subscriber has to choose from."""
    try:
        address = ipaddress.ip_address(source)
    except ValueError:
        return hashed(source) if source else ""
    if isinstance(address, ipaddress.IPv6Address):
        mapped = address.ipv4_mapped
        return hashed(str(mapped or ipaddress.ip_network((address, 64), strict=False)))
    return hashed(str(address))


def hashed(text: str) -> str:
    """What the store keeps of a secret with enough random bits."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
