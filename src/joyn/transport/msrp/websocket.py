"""MSRP over WebSocket: what we write at once is one chunk, and goes as one message.

Spec: RFC 7977 §5. What comes is cut into chunks like a stream, so it does not matter how a client packs them.
"""

from __future__ import annotations

from typing import cast

from aiohttp import WSCloseCode

from joyn.transport.http import WebSocketTransport
from joyn.transport.msrp.connection import MsrpConnection


class WebSocketConnection(MsrpConnection):
    """A connection that was upgraded from HTTP."""

    __slots__ = ()

    def turn_away(self) -> None:
        """See MsrpConnection; a script sees no more of a WebSocket's end than its code."""
        cast(WebSocketTransport, self._transport).close(WSCloseCode.TRY_AGAIN_LATER)
