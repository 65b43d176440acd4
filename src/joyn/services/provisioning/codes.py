"""One-time codes by SMS: who can read one owns the number.

Spec: facts §9.1; SRLabs 2019 (attacks: six digits and unlimited tries fall in five minutes). A code has three tries, a
number one code at a time with a pause between two and a bound per hour, and all numbers together have a bound. What is
kept are hashes, in the store, so that a restart forgives nothing.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from joyn import telemetry
from joyn.model.aor import Aor
from joyn.model.device import SentCode
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
    """Times in seconds. `per_hour` codes for one number, `all_per_minute` for all numbers together."""

    tries: int = 3
    valid_for: float = 600.0
    again_after: float = 30.0
    locked_for: float = 600.0
    per_hour: int = 5
    all_per_minute: int = 600


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
        self._sent: deque[float] = deque()

    async def send(self, aor: Aor, *, port: int = 0, about: str = "") -> Sending:
        """Send a code to a number: letters to the `port` a client listens on, else digits for a person.

        Raises TooMany or Locked, and OSError when the SMS cannot leave.
        """
        now = self._wall()
        before = await self._devices.code(aor)
        sends, since = self._count(before, now)
        self._count_all(now)
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
            sends=sends,
            since=since,
            about=about,
        )
        # Before the SMS leaves: what the number may still ask for is counted even if it never arrives.
        await self._devices.put_code(made)
        await self._sms.send(aor, code if port else self._text(code), port=port)
        SENT.inc()
        return Sending(cookie=cookie, length=length, again=now + self._rules.again_after)

    def _count(self, before: SentCode | None, now: float) -> tuple[int, float]:
        """How many codes the number has had in this hour with the next one, and since when. Raises TooMany, Locked."""
        if before is None:
            return 1, now
        if before.locked_until > now:
            raise Locked(before.locked_until)
        if before.sent_at + self._rules.again_after > now:
            raise TooMany(before.sent_at + self._rules.again_after)
        if before.since + 3600.0 <= now:
            return 1, now
        if before.sends >= self._rules.per_hour:
            raise TooMany(before.since + 3600.0)
        return before.sends + 1, before.since

    def _count_all(self, now: float) -> None:
        while self._sent and self._sent[0] <= now - 60.0:
            self._sent.popleft()
        if len(self._sent) >= self._rules.all_per_minute:
            telemetry.event("code.limited")
            raise TooMany(self._sent[0] + 60.0)
        self._sent.append(now)

    async def check(self, cookie: str, code: str) -> SentCode:
        """The number whose code this is; a code holds once. Raises Wrong, Expired, Locked."""
        now = self._wall()
        key = hashed(cookie)
        known = await self._devices.code_of(key)
        if known is None:
            raise Expired
        if known.locked_until > now:
            raise Locked(known.locked_until)
        if known.expires_at <= now:
            raise Expired
        # The try is taken before it is looked at: many at once are no more than the same tries one after another.
        tried = await self._devices.try_code(key)
        if tried is None:
            raise Expired
        if hmac.compare_digest(hashed(cookie + code.strip().upper()), tried.code):
            await self._devices.put_code(replace(tried, tries_left=0, expires_at=now))
            return tried
        WRONG.inc()
        left = tried.tries_left - 1
        if left <= 0:
            telemetry.event("code.locked", number=tried.aor)
            until = now + self._rules.locked_for
            await self._devices.put_code(replace(tried, tries_left=0, locked_until=until))
            raise Locked(until)
        raise Wrong(left)


def hashed(text: str) -> str:
    """What the store keeps of a secret with enough random bits."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
