"""Listening sockets for HTTP, and the bounds of their connections.

Spec: RFC 9112. aiohttp reads and writes; here is what it leaves open: how many connections there may be, and how long
one may take to say what it wants.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from dataclasses import dataclass, replace
from http import HTTPStatus
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import cast

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from joyn import telemetry

log = logging.getLogger(__name__)
MALFORMED = telemetry.counter("request.malformed")
LIMITED = telemetry.counter("flow.limited")
STALLED = telemetry.counter("connection.stalled")
READ_AHEAD = 64 << 10
"""Bytes of a body, for each connection, of which twice as many stop the reading while nobody uses them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpListener:
    """One listening socket: HTTPS with a `tls` context, else HTTP. `advertise` is the host that it is reached at."""

    name: str
    host: str
    port: int
    advertise: str = ""
    tls: ssl.SSLContext | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpLimits:
    """Bounds; times in seconds, sizes in bytes.

    Connections over their bounds are closed at once; from the networks of `shared`, where front proxies are, the bound
    per source does not count. One that has not sent a whole head within `head_timeout` of its
    opening, or that is unused for `keep_alive`, is closed. A head line longer than `max_line` is answered 400, a body
    longer than `max_body` 413 (the application sees to that).
    """

    max_connections: int = 20_000
    max_connections_per_source: int = 2_000
    shared: tuple[IPv4Network | IPv6Network, ...] = ()
    head_timeout: float = 15.0
    keep_alive: float = 75.0
    max_line: int = 8 << 10
    max_body: int = 64 << 10


class HttpServer:
    """All HTTP listeners of a node, serving one application."""

    def __init__(self, application: web.Application, limits: HttpLimits) -> None:
        self.limits = limits
        self.listeners: list[HttpListener] = []
        self._application = application
        self._runner = web.AppRunner(application, handle_signals=False)
        self._servers: list[asyncio.Server] = []
        self._per_source: dict[str, int] = {}
        self._count = 0

    async def listen(self, listener: HttpListener) -> HttpListener:
        """Open a listener; what is returned has its real port when 0 was asked for. Raises OSError."""
        loop = asyncio.get_running_loop()
        if self._runner.server is None:
            await self._runner.setup()
        server = await loop.create_server(
            lambda: _Connection(self, cast(web.Server, self._runner.server)),
            listener.host,
            listener.port,
            ssl=listener.tls,
            ssl_handshake_timeout=self.limits.head_timeout if listener.tls else None,
            backlog=4096,
        )
        bound = replace(listener, port=server.sockets[0].getsockname()[1])
        self._servers.append(server)
        self.listeners.append(bound)
        return bound

    def admit(self, source: str) -> bool:
        """Count a connection in, or say that there are too many."""
        count = self._per_source.get(source, 0)
        full = count >= self.limits.max_connections_per_source and not self._shared(source)
        if full or self._count >= self.limits.max_connections:
            LIMITED.inc()
            return False
        self._count += 1
        self._per_source[source] = count + 1
        return True

    def _shared(self, source: str) -> bool:
        return any(ip_address(source.partition("%")[0]) in network for network in self.limits.shared)

    def lost(self, source: str) -> None:
        """A connection has ended."""
        self._count -= 1
        left = self._per_source[source] - 1
        if left:
            self._per_source[source] = left
        else:
            del self._per_source[source]

    async def close(self, patience: float = 2.0) -> None:
        """Stop listening, let what is being answered end within `patience` seconds, close every connection."""
        for server in self._servers:
            server.close()
        if self._runner.server is not None:
            # What has come in becomes a request; connections without one end here.
            await asyncio.sleep(0)
            self._runner.server.pre_shutdown()
            await asyncio.wait([asyncio.ensure_future(self._runner.shutdown())], timeout=patience)
            await asyncio.wait([asyncio.ensure_future(self._runner.server.shutdown(patience))], timeout=2 * patience)
            await self._runner.cleanup()


class _Connection(RequestHandler):
    """aiohttp's side of one connection, which is counted and must send its first head in time."""

    __slots__ = ("_begun", "_head_timer", "_server", "_source")

    def __init__(self, server: HttpServer, manager: web.Server) -> None:
        limits = server.limits
        super().__init__(
            manager,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=limits.keep_alive,
            access_log=cast(logging.Logger, None),  # none is kept: requests hold numbers and codes
            max_line_size=limits.max_line,
            max_field_size=limits.max_line,
            read_bufsize=READ_AHEAD,
        )
        self._server = server
        self._source: str | None = None
        self._head_timer: asyncio.TimerHandle | None = None
        self._begun = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        peer = transport.get_extra_info("peername")
        if peer is None or not self._server.admit(peer[0]):
            self._force_close = True
            cast(asyncio.Transport, transport).abort()
            return
        self._source = peer[0]
        self._head_timer = self._loop.call_later(self._server.limits.head_timeout, self._stalled)
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if self._head_timer is not None:
            # The end of the head may come in two pieces.
            self._begun += data
            if b"\r\n\r\n" in self._begun:
                self._head_timer.cancel()
                self._head_timer = None
            self._begun = self._begun[-3:]
        if self._source is not None:
            super().data_received(data)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What is no HTTP is told so in our words: aiohttp's repeat the line, codes, tokens and all."""
        MALFORMED.inc()
        log.debug("no HTTP: %s", type(exc).__name__)
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun already")
        headers = {"Server": "joyn", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
        response = web.Response(status=status, text=f"{HTTPStatus(status).phrase}\n", headers=headers)
        response.force_close()
        return response

    def log_exception(self, *args: object, **kw: object) -> None:
        """A fault inside aiohttp: its kind, and none of what it was about."""
        log.error("serving HTTP failed: %s", type(kw.get("exc_info")).__name__)

    def _stalled(self) -> None:
        STALLED.inc()
        if self.transport is not None:
            self.transport.abort()

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
        if self._source is not None:
            self._server.lost(self._source)
            super().connection_lost(exc)
