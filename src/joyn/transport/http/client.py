"""WebSockets that we open: a phone's way to its server through HTTP.

Spec: RFC 6455 §4.1, RFC 7118 §4, RFC 7977 §4.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Final

import aiohttp

from joyn.transport.http.websocket import WebSocketTransport

__all__ = ["PATH", "open_websocket"]

PATH: Final = "/ws"
"""Where a node takes WebSockets."""
MAX_MESSAGE: Final = 1 << 24
"""Bytes of one message from the server."""

_running: set[asyncio.Task[None]] = set()


async def open_websocket(
    host: str,
    port: int,
    subprotocol: str,
    protocol: asyncio.Protocol,
    *,
    tls: ssl.SSLContext | None = None,
    local: tuple[str, int] | None = None,
) -> None:
    """Connect, over TLS with `tls`, and run `protocol`, whose connection is made when this returns. Raises OSError."""
    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(local_addr=local))
    where = f"[{host}]" if ":" in host else host
    url = f"{'wss' if tls else 'ws'}://{where}:{port}{PATH}"
    try:
        socket = await session.ws_connect(url, protocols=(subprotocol,), ssl=tls or True, max_msg_size=MAX_MESSAGE)
        if socket.protocol != subprotocol:
            raise ConnectionError(f"the server does not speak {subprotocol} over WebSocket")
        connection = socket._response.connection
        if connection is None or connection.transport is None:
            raise ConnectionError("the connection was lost at once")
    except BaseException as error:
        await session.close()
        if isinstance(error, aiohttp.ClientError) and not isinstance(error, OSError):
            raise ConnectionError(str(error)) from error
        raise
    transport = WebSocketTransport(socket, connection.transport, protocol)
    transport.start()
    task = asyncio.get_running_loop().create_task(_run(transport, session))
    _running.add(task)
    task.add_done_callback(_running.discard)


async def _run(transport: WebSocketTransport, session: aiohttp.ClientSession) -> None:
    try:
        await transport.run()
    finally:
        await session.close()
