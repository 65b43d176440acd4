"""What of a transfer fails, why, and when it is tried again.

Spec: RFC 9110 §10.2.3 (Retry-After), §15; facts §6.2 for the answers of content servers.
"""

from __future__ import annotations

import json
import random
from collections.abc import Awaitable, Callable
from email.utils import parsedate_to_datetime
from typing import Final

import aiohttp
from yarl import URL

__all__ = ["BROKEN", "Attempts", "TransferFailed", "broken", "refusal", "short"]

TRIES: Final = 12
"""Attempts on end that bring a transfer no further, after which it is given up for now."""
RETRY_BASE, RETRY_MAX = 0.2, 5.0
"""Seconds before another attempt: doubled from the one to the other. One that is killed is back within them all."""
OBEYED: Final = 30.0
"""Seconds of a Retry-After that are waited for at most."""
MAX_ANSWER: Final = 64 << 10
"""Bytes of an answer that is no file."""
BROKEN: Final = (aiohttp.ClientError, ConnectionError, TimeoutError)
"""What is raised when a request comes to no answer; neither a disk's troubles nor a program's faults are among it."""
_PASSING: Final = frozenset((408, 425, 429, 500, 502, 503, 504))
_WHY: Final = {
    400: "the content server does not understand it",
    401: "the content server does not take the password",
    403: "the content server forbids it",
    404: "the content server does not know it",
    405: "there is no content server at this address",
    410: "its time is over",
    413: "it is too large",
    415: "it is not what its type says",
}
_QUOTA: Final = "there is no room left for the subscriber's files"


class TransferFailed(Exception):
    """A file did not get through; the text says which and why.

    `status` is the HTTP status, 0 when nobody answered, and `word` the server's own word for it. `again` says that the
    same call may end otherwise later: it goes on where this one stopped. `after` is the server's Retry-After in
    seconds. `untrusted` says that it was the server's certificate.
    """

    def __init__(
        self,
        text: str,
        *,
        status: int = 0,
        word: str = "",
        again: bool = False,
        after: float = 0.0,
        untrusted: bool = False,
    ) -> None:
        super().__init__(text)
        self.status = status
        self.word = word
        self.again = again
        self.after = after
        self.untrusted = untrusted


class Attempts:
    """How often what has broken is tried again: TRIES times on end without getting any further, ever later."""

    def __init__(self, pause: Callable[[float], Awaitable[object]]) -> None:
        self._pause = pause
        self._furthest = -1
        self._tries = 0

    async def next(self, failure: TransferFailed, reached: int) -> None:
        """Wait until it is time for another; raises the failure when it is final, or was the last.

        `reached` counts the bytes that got away.
        """
        if reached > self._furthest:
            self._furthest, self._tries = reached, 0
        self._tries += 1
        if not failure.again or self._tries >= TRIES:
            raise failure
        wait = min(RETRY_BASE * 2 ** (self._tries - 1), RETRY_MAX)
        spread = wait * random.uniform(0.5, 1.0)  # noqa: S311  # spreads phones, guards nothing
        await self._pause(max(spread, min(failure.after, OBEYED)))


async def short(answer: aiohttp.ClientResponse) -> bytes:
    """The beginning of an answer that is no file."""
    text = bytearray()
    while len(text) < MAX_ANSWER and (piece := await answer.content.read(MAX_ANSWER - len(text))):
        text += piece
    return bytes(text)


def refusal(what: str, answer: aiohttp.ClientResponse, text: bytes) -> TransferFailed:
    """What an answer that is no 2xx means for a file."""
    word = _word(text)
    why = _QUOTA if word == "quota" else _WHY.get(answer.status, "the content server cannot")
    return TransferFailed(
        f"{what}: {why} ({answer.status}{f' {word}' if word else ''})",
        status=answer.status,
        word=word,
        again=answer.status in _PASSING,
        after=_seconds(answer.headers.get("Retry-After", ""), answer.headers.get("Date", "")),
    )


def broken(what: str, url: URL, error: BaseException) -> TransferFailed:
    """What one of BROKEN means for a file. A certificate that is wrong stays so, and so does what is no HTTP."""
    untrusted = isinstance(error, aiohttp.ClientConnectorCertificateError)
    passes = not untrusted and not isinstance(error, aiohttp.InvalidURL)
    passes = passes and not isinstance(error, aiohttp.ClientResponseError)
    why = str(error) or "nothing came for too long"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        why = getattr(error.certificate_error, "verify_message", "") or why
    trouble = "is not trusted" if untrusted else "gives no connection that lasts"
    return TransferFailed(f"{what}: {url.host}:{url.port} {trouble}: {why}", again=passes, untrusted=untrusted)


def _word(text: bytes) -> str:
    """The word of a problem as joyn's content server writes it, {"error": word}; empty for others."""
    try:
        found = json.loads(text)
    except ValueError:
        return ""
    word = found.get("error") if isinstance(found, dict) else None
    return word if isinstance(word, str) and word.isprintable() and len(word) < 40 else ""


def _seconds(retry_after: str, date: str) -> float:
    """Seconds, or a time, which is measured from the answer's own; 0 for neither."""
    if retry_after.isascii() and retry_after.isdigit() and len(retry_after) < 10:
        return float(retry_after)
    try:
        return max(0.0, (parsedate_to_datetime(retry_after) - parsedate_to_datetime(date)).total_seconds())
    except (TypeError, ValueError):
        return 0.0
