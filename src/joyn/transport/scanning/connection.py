"""The connection to a scanner: opened for one file, bounded in time and in what is read."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

from joyn.transport.scanning import Unscanned
from joyn.transport.scanning.address import Address

__all__ = ["MAX_ANSWER", "Connection", "answered", "connected"]

MAX_ANSWER: Final = 16 << 10
"""Bytes of a scanner's answer."""
_READ: Final = 64 << 10

Answer = TypeVar("Answer")


class Connection:
    """A socket that waits: what is sent has left our memory, and what comes is bounded."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._loop = asyncio.get_running_loop()
        self._come = bytearray()

    async def send(self, data: bytes) -> None:
        """Send all of it. Raises OSError."""
        await self._loop.sock_sendall(self._socket, data)

    async def receive(self, end: bytes) -> bytes:
        """What comes before `end`. Raises OSError, Unscanned."""
        while end not in self._come:
            if len(self._come) > MAX_ANSWER:
                raise Unscanned("its answer is too long")
            await self._more()
        line, _, rest = self._come.partition(end)
        self._come = rest
        return bytes(line)

    async def receive_exactly(self, size: int) -> AsyncIterator[bytes]:
        """The next bytes, as they come. Raises OSError, Unscanned."""
        while size:
            if not self._come:
                await self._more()
            piece = bytes(self._come[:size])
            del self._come[: len(piece)]
            size -= len(piece)
            yield piece

    async def _more(self) -> None:
        data = await self._loop.sock_recv(self._socket, _READ)
        if not data:
            raise Unscanned("it hung up without a verdict")
        self._come += data


@asynccontextmanager
async def connected(address: Address, seconds: float) -> AsyncIterator[Connection]:
    """A connection for as long as the block takes, `seconds` at most. Raises Unscanned in the place of all that goes
    wrong with it."""
    try:
        async with asyncio.timeout(seconds):
            with await _connect(address) as opened:
                yield Connection(opened)
    except TimeoutError:
        raise Unscanned("it took too long") from None
    except OSError as error:
        raise Unscanned(f"no connection: {error.strerror or error}") from error


async def answered(sending: Coroutine[Any, Any, None], answering: Coroutine[Any, Any, Answer]) -> Answer:
    """The answer, which may come before everything is sent. Raises what `answering` raises, and what `sending` does
    unless the connection broke, as the answer may tell why."""
    sent, answer = asyncio.ensure_future(sending), asyncio.ensure_future(answering)
    try:
        await asyncio.wait((sent, answer), return_when=asyncio.FIRST_COMPLETED)
        if sent.done() and not isinstance(sent.exception(), ConnectionError):
            sent.result()
        return await answer
    finally:
        for task in (sent, answer):
            task.cancel()
        await asyncio.gather(sent, answer, return_exceptions=True)


async def _connect(address: Address) -> socket.socket:
    """Raises OSError."""
    loop = asyncio.get_running_loop()
    if address.path:
        return await _open(socket.AF_UNIX, address.path)
    found = await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    for family, _, _, _, where in found[:-1]:
        try:
            return await _open(family, where)
        except OSError:
            continue  # the next of its addresses may do
    family, _, _, _, where = found[-1]
    return await _open(family, where)


async def _open(family: int, where: Any) -> socket.socket:
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.setblocking(False)
        await asyncio.get_running_loop().sock_connect(opened, where)
    except BaseException:
        opened.close()
        raise
    return opened
