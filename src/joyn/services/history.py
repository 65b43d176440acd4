"""A subscriber's own past: read page by page, searched, and kept ready to be searched.

Spec: architecture §2 (history is reading one's own mailbox); facts §4.10.
Only the owner's messages come back, whatever is asked for: the owner is the caller, never an argument of the request.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable
from hashlib import blake2b

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES128
from cryptography.hazmat.primitives.ciphers.modes import ECB

from joyn.model.aor import Aor
from joyn.model.history import HistoryPage
from joyn.model.refused import Reason, Refused
from joyn.store import History

__all__ = ["BEGINNING", "CURSOR_KEY_BYTES", "MAX_CURSOR", "MAX_PAGE", "MAX_QUERY", "Cursors", "Past"]

CURSOR_KEY_BYTES = 16
MAX_CURSOR = 22
"""Characters of a cursor: one block in base64url."""
BEGINNING = "0"
"""The cursor before everything, for a client that has seen nothing yet."""

MAX_PAGE = 500
"""Items of a page."""
MAX_QUERY = 200
"""Characters of a search that are looked at."""
BATCH = 200
"""Messages made ready to be found in one commit."""
MAX_BATCHES = 50
"""Batches of one round; what is left is done in the next one, or by whoever searches."""
PAUSE = 0.02
"""Seconds between two batches, in which messages are written."""


class Cursors:
    """Places in the history as clients see them.

    A message's number counts all messages of the node, so it would tell how busy that is. A cursor is one block of AES
    of the number and a mark of its owner: nobody else's opens, and none can be made up.
    """

    def __init__(self, key: bytes) -> None:
        # One block: what ECB gives away, equal blocks, does not occur.
        self._cipher = Cipher(AES128(key), ECB())  # noqa: S305 - see above

    def seal(self, owner: Aor, place: int) -> str:
        """The cursor of a message."""
        sealing = self._cipher.encryptor()
        block = sealing.update(place.to_bytes(8) + self._mark(owner)) + sealing.finalize()
        return base64.urlsafe_b64encode(block)[:MAX_CURSOR].decode()

    def open(self, owner: Aor, cursor: str) -> int:
        """The message's number, 0 for `BEGINNING`. Raises Refused(MALFORMED) for what is no cursor of this owner."""
        if cursor == BEGINNING:
            return 0
        try:
            block = base64.b64decode(cursor + "==", b"-_", validate=True)
        except (binascii.Error, ValueError):
            block = b""
        if len(block) != CURSOR_KEY_BYTES:
            raise Refused(Reason.MALFORMED, "no cursor")
        opening = self._cipher.decryptor()
        opened = opening.update(block) + opening.finalize()
        if opened[8:] != self._mark(owner):
            raise Refused(Reason.MALFORMED, "no cursor")
        return int.from_bytes(opened[:8])

    @staticmethod
    def _mark(owner: Aor) -> bytes:
        return blake2b(owner.encode(), digest_size=8).digest()


class Past:
    """History and search for everybody. `sleep` is the event loop's."""

    def __init__(self, history: History, cursors: Cursors, *, sleep: Callable[[float], Awaitable[None]]) -> None:
        self._history = history
        self.cursors = cursors
        self._sleep = sleep

    async def page(self, owner: Aor, *, before: str | None, after: str | None, limit: int) -> HistoryPage:
        """The newest items first, older than `before`; or the oldest first, newer than `after`, when that is given.

        Raises Refused(MALFORMED) for a cursor that is none of the owner's.
        """
        limit = min(limit, MAX_PAGE)
        if after is not None:
            return await self._history.after(owner, self.cursors.open(owner, after), limit)
        place = None if before is None else self.cursors.open(owner, before)
        return await self._history.before(owner, place, limit)

    async def search(self, owner: Aor, text: str, limit: int) -> HistoryPage:
        """The newest items first that have a word beginning with each of the words in `text`."""
        return await self._history.search(owner, text[:MAX_QUERY].split(), min(limit, MAX_PAGE))

    async def keep_ready(self) -> int:
        """Make what has come lately ready to be found; how many messages that were."""
        done = 0
        for _ in range(MAX_BATCHES):
            ready = await self._history.index(BATCH)
            done += ready
            if ready < BATCH:
                break
            await self._sleep(PAUSE)
        return done
