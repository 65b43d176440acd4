"""What happens on a session, and who is told of it.

Spec: RFC 4975 §5.4, §7.3. Calls are made from the loop, and shall return soon.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from joyn.protocol.msrp.intake import Piece
from joyn.protocol.msrp.reassembly import Message

if TYPE_CHECKING:
    from joyn.transport.msrp.leg import MsrpLeg

__all__ = ["Handler", "Receiver"]


class Handler(Protocol):
    """Receives what happens on a session."""

    def on_message(self, leg: MsrpLeg, message: Message) -> None:
        """A whole message; its completing chunk is unanswered until `leg.answer`, which is due once per message."""
        ...

    def on_bound(self, leg: MsrpLeg) -> None:
        """The session has its connection."""
        ...

    def on_closed(self, leg: MsrpLeg, reason: str) -> None:
        """The session has ended, not by `close`: the connection went, the peer refused it, or it was idle too long."""
        ...


class Receiver(Protocol):
    """Takes the messages of a session that streams."""

    def on_piece(self, leg: MsrpLeg, piece: Piece) -> None:
        """The next bytes; `leg.take` or `leg.refuse` is due once for each, in order. Until then their chunk is not
        answered, and when much is due the connection is not read."""
        ...

    def on_stopped(self, leg: MsrpLeg, message_id: str, status: int) -> None:
        """Nothing more comes of a message: it was answered `status`, or its sender gave it up (0)."""
        ...
