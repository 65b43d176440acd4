"""A TCP proxy that counts what passes, and cuts connections where it is told to."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Literal

from ports import free_port

PIECE = 16 << 10
BUFFER = 64 << 10
"""Bytes of each of its sockets' buffers, as the kernel is asked for; it takes twice that."""

Way = Literal["up", "down"]


async def nothing(_cut: int) -> None:
    """Nothing more than the cut."""


class CuttingProxy:
    """Listens on `port` of loopback and passes everything on to `target`; `up` and `down` count bytes that it read.

    `host` is its own address: with another of loopback it may have the very port that it passes on to.
    """

    def __init__(self, target: int, port: int = 0, *, host: str = "127.0.0.1") -> None:
        self.host = host
        self.port = port or free_port()
        self.up = self.down = self.cuts = 0
        self.rate = 0
        """Bytes a second that it passes down on each connection; 0 is as many as come. Slowed down here, they do not
        wait in the buffers of whoever reads."""
        self._target = target
        self._way: Way = "up"
        self._points: list[int] = []
        self._strike = nothing
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> CuttingProxy:
        listening = _socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((self.host, self.port))
        self._server = await asyncio.start_server(self._pass, sock=listening, limit=PIECE)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.close()
        self.cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def plan(self, way: Way, points: Sequence[int], strike: Callable[[int], Awaitable[None]] = nothing) -> None:
        """Count anew, and cut the connection on which so many bytes have gone that way. `strike` is awaited with the
        cut's number first, while nothing passes there."""
        self.up = self.down = self.cuts = 0
        self._way, self._points, self._strike = way, sorted(points), strike

    def cut(self) -> None:
        """Close all connections, as they are."""
        for writer in self._writers:
            writer.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._writers.add(writer)
        other = None
        try:
            sending = _socket()
            sending.setblocking(False)
            await asyncio.get_running_loop().sock_connect(sending, ("127.0.0.1", self._target))
            back, other = await asyncio.open_connection(sock=sending, limit=PIECE)
            self._writers.add(other)
            await asyncio.gather(self._pump("up", reader, other), self._pump("down", back, writer))
        except OSError:
            pass
        finally:
            for one in (writer, other):
                if one is not None:
                    one.transport.abort()
                    self._writers.discard(one)

    async def _pump(self, way: Way, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(PIECE):
            count = len(piece) + (self.up if way == "up" else self.down)
            if way == "up":
                self.up = count
            else:
                self.down = count
            writer.write(piece)
            try:
                await writer.drain()
            except ConnectionError:
                if way == "down":
                    raise  # whom it is for has gone: nothing more is read for them
            if way == "down" and self.rate:
                await asyncio.sleep(len(piece) / self.rate)
            if way == self._way and self._points and count >= self._points[0]:
                # What was not cut before its turn came is one cut with it.
                del self._points[0]
                self.cuts += 1
                await self._strike(self.cuts)
                raise ConnectionAbortedError
        writer.close()


def _socket() -> socket.socket:
    made = socket.socket()
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        made.setsockopt(socket.SOL_SOCKET, option, BUFFER)
    return made
