"""A subscriber's own past: read page by page, searched, and kept ready to be searched.

Spec: architecture §2 (history is reading one's own mailbox), RCC.07 §3.2 (common message store).
Only the owner's messages come back, whatever is asked for: the owner is the caller, never an argument of the request.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from joyn.model.aor import Aor
from joyn.model.history import HistoryPage
from joyn.store import History

__all__ = ["MAX_PAGE", "MAX_QUERY", "Past"]

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


class Past:
    """History and search for everybody. `sleep` is the event loop's."""

    def __init__(self, history: History, *, sleep: Callable[[float], Awaitable[None]]) -> None:
        self._history = history
        self._sleep = sleep

    async def page(self, owner: Aor, *, before: int | None, after: int | None, limit: int) -> HistoryPage:
        """The newest items first, older than `before`; or the oldest first, newer than `after`, when that is given."""
        limit = min(limit, MAX_PAGE)
        if after is not None:
            return await self._history.after(owner, after, limit)
        return await self._history.before(owner, before, limit)

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
