"""A WebSocket as an asyncio transport: what is written is one message, and each message that comes is one call.

Spec: RFC 6455. SIP and MSRP need nothing else of it (RFC 7118 §5, RFC 7977 §5), so their protocols run over it as they
do over TCP, with the same bounds on what waits for a slow reader.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, cast

from aiohttp import ClientWebSocketResponse, WSCloseCode, WSMsgType, web

__all__ = ["WebSocketTransport"]

CLOSING = 5.0
"""Seconds that what was written may take to leave before a closing."""


class WebSocketTransport(asyncio.Transport):
    """Runs `protocol` over a WebSocket that has been upgraded, ours or a server's: `start`, then `run`.

    Messages that are UTF-8 go as text, which browsers show in their tools, others as binary. `get_extra_info` answers
    for the connection underneath, except for `peername`, which may be given (behind a proxy).
    """

    def __init__(
        self,
        socket: web.WebSocketResponse | ClientWebSocketResponse,
        below: asyncio.BaseTransport,
        protocol: asyncio.Protocol,
        **extra: Any,
    ) -> None:
        super().__init__(extra)
        self._socket = socket
        self._below = below
        self._protocol = protocol
        self._queue: deque[bytes] = deque()
        self._waiting = 0
        self._high = 64 << 10
        self._paused = False
        self._closing = False
        self._aborted = False
        self._code = WSCloseCode.OK
        self._wake = asyncio.Event()
        self._readable = asyncio.Event()
        self._readable.set()

    def start(self) -> None:
        """Tell the protocol of its connection."""
        self._protocol.connection_made(self)

    async def run(self) -> None:
        """Carry messages both ways until either side ends, and tell the protocol of the end."""
        writer = asyncio.ensure_future(self._write_out())
        error: Exception | None = None
        try:
            await self._read_in()
        except ConnectionError as lost:
            error = lost
        finally:
            self._closing = True
            self._wake.set()
            try:
                await asyncio.wait([writer], timeout=CLOSING)
            finally:
                writer.cancel()
                self._protocol.connection_lost(error)

    async def _read_in(self) -> None:
        while not self._closing:
            await self._readable.wait()
            message = await self._socket.receive()
            if message.type is WSMsgType.TEXT:
                self._protocol.data_received(cast(str, message.data).encode("utf-8", "surrogatepass"))
            elif message.type is WSMsgType.BINARY:
                self._protocol.data_received(message.data)
            else:  # CLOSE, CLOSING, CLOSED, ERROR; pings are answered below
                return

    async def _write_out(self) -> None:
        try:
            while True:
                while self._queue:
                    data = self._queue.popleft()
                    await self._send(data)
                    self._waiting -= len(data)
                    self._relax()
                if self._closing:
                    break
                self._wake.clear()
                await self._wake.wait()
        except ConnectionError:
            pass  # the reading side learns of it too
        if not self._socket.closed and not self._aborted:
            await self._socket.close(code=self._code)

    async def _send(self, data: bytes) -> None:
        try:
            text = data.decode()
        except UnicodeDecodeError:
            await self._socket.send_bytes(data)
        else:
            await self._socket.send_str(text)

    def _relax(self) -> None:
        if self._paused and self._waiting <= self._high // 4:
            self._paused = False
            self._protocol.resume_writing()

    # asyncio.Transport

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send one message."""
        if self._closing:
            return
        self._queue.append(bytes(data))
        self._waiting += len(data)
        self._wake.set()
        if self._waiting > self._high and not self._paused:
            self._paused = True
            self._protocol.pause_writing()

    def close(self, code: int = WSCloseCode.OK) -> None:
        """Send what waits, then close with this code (RFC 6455 §7.4)."""
        if not self._closing:
            self._closing = True
            self._code = WSCloseCode(code)
            self._wake.set()
            self._readable.set()

    def abort(self) -> None:
        """Close without sending anything more: the peer sees 1006, no code of ours."""
        self._closing = self._aborted = True
        self._queue.clear()
        self._wake.set()
        self._readable.set()
        cast(asyncio.Transport, self._below).abort()

    def is_closing(self) -> bool:
        """Whether it is over."""
        return self._closing

    def pause_reading(self) -> None:
        """Take no further message: aiohttp stops reading when its own small buffer is full."""
        self._readable.clear()

    def resume_reading(self) -> None:
        """Go on."""
        self._readable.set()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """How many bytes may wait before the protocol is told."""
        if high is not None:
            self._high = high

    def get_write_buffer_size(self) -> int:
        """How many bytes wait."""
        return self._waiting

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Facts of the connection underneath."""
        own = super().get_extra_info(name)
        return own if own is not None else self._below.get_extra_info(name, default)
