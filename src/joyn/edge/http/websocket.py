"""The WebSocket door: a browser's SIP and MSRP connections, upgraded at /ws.

Spec: RFC 6455 §4 (the handshake and its Origin), RFC 7118 §4 (subprotocol `sip`), RFC 7977 §4 (`msrp`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

from aiohttp import WSCloseCode, web

from joyn.edge.http import is_https, origin_of, source_of
from joyn.edge.http.describing import CROSS_SITE, ProblemFound
from joyn.transport.http import PATH, WebSocketTransport
from joyn.transport.msrp import MsrpEndpoint
from joyn.transport.sip import Endpoint, Listener, websocket

__all__ = ["PATH", "WebSocketDoor"]

HEARTBEAT: Final = 60.0
"""Seconds between pings: a browser that is gone is noticed, and NATs keep the connection open."""

GOODBYE: Final = 1.0
"""Seconds in which browsers take their leave when the node stops."""


class WebSocketDoor:
    """Upgrades connections and hands them to the SIP and MSRP endpoints.

    `listener(secure, port)` says what Via and Contact tell of us over TLS or not, on this port of ours. `origins` are
    those of other sites' pages that may connect; our own always may, and so may what is no browser and sends none.
    """

    def __init__(
        self,
        sip: Endpoint,
        msrp: MsrpEndpoint,
        listener: Callable[[bool, int], Listener],
        *,
        origins: Sequence[str] = (),
        max_message: int,
    ) -> None:
        self._sip = sip
        self._msrp = msrp
        self._listener = listener
        self._origins = frozenset(origins)
        self._max_message = max_message
        self._open: dict[WebSocketTransport, asyncio.Event] = {}

    def routes(self) -> list[web.RouteDef]:
        """The one path."""
        return [web.get(PATH, self._upgrade)]

    async def close(self) -> None:
        """The node stops: browsers are told to come back."""
        over = [asyncio.ensure_future(over.wait()) for over in self._open.values()]
        for transport in list(self._open):
            transport.close(WSCloseCode.GOING_AWAY)
        if over:
            _, waiting = await asyncio.wait(over, timeout=GOODBYE)
            for one in waiting:
                one.cancel()

    async def _upgrade(self, request: web.Request) -> web.StreamResponse:
        origin = request.headers.get("Origin")
        if origin is not None and origin != origin_of(request) and origin not in self._origins:
            # RFC 6455 §10.2: another site's page would speak with the rights of whoever looks at it.
            raise ProblemFound(CROSS_SITE)
        # No permessage-deflate: what is compressed together with a guess tells whether the guess was right (CRIME).
        socket = web.WebSocketResponse(
            protocols=("sip", "msrp"), heartbeat=HEARTBEAT, max_msg_size=self._max_message, compress=False
        )
        if not socket.can_prepare(request):
            return web.json_response({"error": "upgrade-required"}, status=426, headers={"Upgrade": "websocket"})
        await socket.prepare(request)
        secure = is_https(request)
        assert request.transport is not None
        port = request.transport.get_extra_info("sockname")[1]
        if socket.ws_protocol == "sip":
            protocol: asyncio.Protocol = websocket.serve(self._sip, self._listener(secure, port))
        elif socket.ws_protocol == "msrp":
            protocol = self._msrp.accept_websocket()
        else:
            # RFC 7118 §4: without the subprotocol nobody knows what would be spoken.
            await socket.close(code=WSCloseCode.PROTOCOL_ERROR, message=b"offer the subprotocol sip or msrp")
            return socket
        peer = request.transport.get_extra_info("peername") or ("", 0)
        extra: dict[str, Any] = {"peername": (source_of(request), peer[1])}
        if secure:
            # Behind a proxy the TLS is the proxy's, and as good.
            extra["ssl_object"] = request.transport.get_extra_info("ssl_object") or True
        transport = WebSocketTransport(socket, request.transport, protocol, **extra)
        over = self._open[transport] = asyncio.Event()
        try:
            transport.start()
            await transport.run()
        finally:
            del self._open[transport]
            over.set()
        return socket
