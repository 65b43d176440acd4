"""GET /api/history and /api/search: the subscriber's own messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, Literal

import msgspec

from joyn.edge.http.describing import Asked, Caller, Operation, Provider, Serve
from joyn.model.aor import Aor
from joyn.model.history import HistoryItem, HistoryPage
from joyn.model.message import State
from joyn.services.history import MAX_CURSOR, MAX_PAGE, MAX_QUERY, Past

__all__ = ["HistoryDoor"]

Cursor = Annotated[
    str, msgspec.Meta(max_length=MAX_CURSOR, description="The cursor of an item, opaque; 0 is before everything.")
]
Limit = Annotated[int, msgspec.Meta(ge=1, le=MAX_PAGE, description="Items at most; large ones make short pages.")]


class HistoryQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`before` for older items, the newest first; `after` for newer ones, the oldest first; neither: the newest."""

    before: Cursor | None = None
    after: Cursor | None = None
    limit: Limit = 100


class SearchQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Words or their beginnings; case and accents do not count."""

    q: Annotated[str, msgspec.Meta(max_length=MAX_QUERY)]
    limit: Limit = 50


class Item(msgspec.Struct, frozen=True):
    """One message. `cpim` is the CPIM message as it was accepted, in base64; `at` when, in Unix seconds."""

    cursor: str
    direction: Literal["incoming", "outgoing"]
    peer: str
    message_id: str
    at: float
    content_type: str
    cpim: bytes
    state: Literal["sent", "stored", "delivered", "displayed", "failed"]
    kind: Literal["chat"] = "chat"


class Items(msgspec.Struct, frozen=True):
    """Some items, and whether there are more behind them."""

    items: list[Item]
    more: bool


HISTORY: Final = Operation(
    method="GET",
    path="/api/history",
    summary="What the subscriber sent and received, from any device.",
    query=HistoryQuery,
    answer=Items,
)
SEARCH: Final = Operation(
    method="GET",
    path="/api/search",
    summary="The subscriber's messages that have all these words, the newest first.",
    query=SearchQuery,
    answer=Items,
)

_OUTGOING: Final[dict[State, Literal["sent", "stored", "delivered", "displayed", "failed"]]] = {
    State.PENDING: "sent",
    State.STORED: "stored",
    State.FAILED: "failed",
    State.REVOKED: "failed",
    # A device has the bytes and has said nothing yet.
    State.ACKNOWLEDGED: "sent",
    State.DELIVERED: "delivered",
    State.NOT_DISPLAYED: "delivered",
    State.DISPLAYED: "displayed",
}


class HistoryDoor(Provider):
    """The provider."""

    def __init__(self, past: Past, caller: Caller) -> None:
        self._past = past
        super().__init__(caller)

    @property
    def operations(self) -> Sequence[tuple[Operation, Serve]]:
        """What it serves."""
        return ((HISTORY, self._history), (SEARCH, self._search))

    async def _history(self, asked: Asked) -> Items:
        query: HistoryQuery = asked.query
        page = await self._past.page(asked.aor, before=query.before, after=query.after, limit=query.limit)
        return self._shown(asked.aor, page)

    async def _search(self, asked: Asked) -> Items:
        query: SearchQuery = asked.query
        return self._shown(asked.aor, await self._past.search(asked.aor, query.q, query.limit))

    def _shown(self, owner: Aor, page: HistoryPage) -> Items:
        seal = self._past.cursors.seal
        return Items(items=[_item(item, seal(owner, item.message.id)) for item in page.items], more=page.more)


def _item(item: HistoryItem, cursor: str) -> Item:
    message = item.message
    incoming_state: Literal["delivered", "displayed"] = "displayed" if item.state is State.DISPLAYED else "delivered"
    return Item(
        cursor=cursor,
        direction="incoming" if item.incoming else "outgoing",
        peer=message.sender if item.incoming else message.conversation,
        message_id=message.message_id,
        at=message.accepted_at,
        content_type=message.content_type,
        cpim=message.cpim,
        state=incoming_state if item.incoming else _OUTGOING[item.state],
    )
