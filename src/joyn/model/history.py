"""What a subscriber sees of the past: the chat messages they sent and received.

See docs/architecture.md §2: history is reading one's own mailbox from an older position.
"""

from __future__ import annotations

from joyn.model.message import Message, State
from joyn.model.value import value


@value
class HistoryItem:
    """One chat message as its owner sees it. Its place is `message.id`, which rises with acceptance.

    `state` is the highest one recorded for the recipient. For an incoming message it says what the owner's own devices
    have told: DISPLAYED, or less.
    """

    message: Message
    incoming: bool
    state: State


@value
class HistoryPage:
    """Some items in the order that was asked for, and whether there are more behind them."""

    items: tuple[HistoryItem, ...]
    more: bool
