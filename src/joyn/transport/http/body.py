"""The body of a large request, read past aiohttp: into one buffer that all connections share, and used there.

aiohttp hands a body over in pieces of memory of their own, each of which wakes a task: for a file that costs as much as
writing it. A body that has been taken over is read into the caller's buffer and offered to the caller at once, in the
same call; only what it cannot use at once goes the common way, through the request's content.
Spec: RFC 9112 §6.2 (the length says where the body ends), §9.6 (the connection ends with the answer).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Final, Self, cast

from aiohttp import web
from aiohttp.streams import StreamReader

__all__ = ["BUFFER", "Body", "Take"]

BUFFER: Final = 1 << 20
"""Bytes that are read at once; of one buffer for all connections of a loop."""
FIRST: Final = 64 << 10
"""Bytes that are read at once until the caller uses what comes: what it does not is kept, for each connection."""
Take = Callable[[bytearray, int], bool]
"""Uses the first so many bytes of the buffer, or says False, having done nothing, when that would have to wait."""


class Body(asyncio.BufferedProtocol):
    """What is left of one request's body. It stays the connection's protocol until the connection ends.

    `left` are the bytes still to come, `last` is when the last ones came, on the loop's clock.
    """

    def __init__(self, request: web.Request, left: int, buffer: bytearray, take: Take) -> None:
        assert request.transport is not None
        self._connection = request.protocol
        self._transport = request.transport
        self._content: StreamReader = request.content
        self._loop = asyncio.get_running_loop()
        self._buffer = buffer
        self._take: Take | None = take
        self._waiting = False
        self._failed = False
        self._room = FIRST
        self.left = left
        self.last = self._loop.time()

    @classmethod
    def take_over(cls, request: web.Request, used: int, buffer: bytearray, take: Take) -> Self | None:
        """Read the rest of a body this way. None where that cannot be, or not yet.

        `used` are the bytes that the caller has got from the request's content: all that came must have been used.
        """
        length, content = request.content_length, request.content
        # Without a length only aiohttp's parser knows where the body ends; packed, only it can unpack it. Windows reads
        # into the buffer before there is anything to read, so that it cannot be shared.
        if length is None or "Content-Encoding" in request.headers or os.name != "posix":
            return None
        if request.transport is None or content.is_eof() or content.exception() or content.total_bytes != used:
            return None
        body = cls(request, length - used, buffer, take)
        request.transport.set_protocol(body)
        return body

    @staticmethod
    def was_taken_over(request: web.Request) -> bool:
        """Whether the connection must end with the answer: aiohttp's parser does not know that the body has."""
        return request.transport is not None and isinstance(request.transport.get_protocol(), Body)

    def wait(self) -> None:
        """The caller has used what the request's content had, and waits there: what comes is offered to it."""
        self._waiting = True
        self._transport.resume_reading()

    def drop(self) -> None:
        """Nobody wants what still comes. It is read, so that the client gets to reading the answer."""
        self._take = None
        if self._failed:
            # The caller has been told. aiohttp, which reads on while the answer goes, would end the connection for it.
            self._content.set_exception(cast(BaseException, None))
        self._transport.resume_reading()

    # What the transport calls.

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go."""
        return memoryview(self._buffer)[: self._room]

    def buffer_updated(self, nbytes: int) -> None:
        """They are there."""
        count = min(nbytes, self.left)
        if not count:
            return  # a next request, which nobody will answer: the connection ends
        self.left -= count
        self.last = self._loop.time()
        if self._take is not None:
            self._offer(self._take, count)
        if not self.left:
            self._content.feed_eof()

    def _offer(self, take: Take, count: int) -> None:
        try:
            if self._waiting and take(self._buffer, count):
                self._room = len(self._buffer)
                return
        except Exception as error:  # noqa: BLE001 - raised again where the caller waits
            self._take, self._failed = None, True
            self._content.set_exception(error)
            return
        self._waiting, self._room = False, FIRST
        self._transport.pause_reading()
        self._content.feed_data(bytes(memoryview(self._buffer)[:count]))

    def eof_received(self) -> bool | None:
        """Nothing more will come."""
        self._connection.eof_received()
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended: who waits is told by aiohttp."""
        self._connection.connection_lost(exc)

    def pause_writing(self) -> None:
        """The answer goes slowly."""
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        """It goes on."""
        self._connection.resume_writing()
