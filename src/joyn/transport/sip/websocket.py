"""SIP over WebSocket: one message of one is one message of the other.

Spec: RFC 7118. The flow is everything: a browser's Contact and Via name hosts that do not exist (§5.2: `.invalid`), so
requests reach it over the connection it registered on, and a closed WebSocket is a lost flow.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from aiohttp import WSCloseCode

from joyn.protocol.errors import ParseError
from joyn.protocol.sip.framing import BodyTooLong
from joyn.protocol.sip.message import parse
from joyn.transport.http import WebSocketTransport
from joyn.transport.sip.flow import MALFORMED, StreamFlow
from joyn.transport.sip.settings import Listener

if TYPE_CHECKING:
    from joyn.transport.sip.endpoint import Endpoint


class WebSocketFlow(StreamFlow):
    """A StreamFlow whose protocol is cut into messages already."""

    __slots__ = ()

    def keep_alive_wanted(self, seconds: float | None) -> None:
        """RFC 7118 §6: the pings of the WebSocket itself tell whether the browser is there, so silence is no end."""
        self.keep_alive = None

    def data_received(self, data: bytes) -> None:
        """One message, or a keep-alive: a double CRLF is answered with one (RFC 5626 §3.5.1), a single one is none."""
        self._used_at = self._endpoint.now()
        if not data.strip(b"\r\n"):
            if data == b"\r\n\r\n":
                self.send(b"\r\n")
            return
        try:
            message = parse(data)
            if len(message.body) > self._endpoint.limits.max_body:
                raise BodyTooLong("body too long", len(data))
        except ParseError as error:
            MALFORMED.inc()
            self._endpoint.malformed(self, data, error)
            self._close(WSCloseCode.PROTOCOL_ERROR)
            return
        self._endpoint.received(message, self)

    def turn_away(self) -> None:
        """See StreamFlow; a script sees no more of a WebSocket's end than its code."""
        self._close(WSCloseCode.TRY_AGAIN_LATER)

    def _close(self, code: WSCloseCode) -> None:
        cast(WebSocketTransport, self._transport).close(code)


def serve(endpoint: Endpoint, listener: Listener) -> asyncio.Protocol:
    """The protocol for one upgraded WebSocket; `listener` is what Via and Contact say of us (`WS` or `WSS`)."""
    return WebSocketFlow(endpoint, listener)
