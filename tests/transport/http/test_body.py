"""Bodies that are read past aiohttp: whose bytes they are, what is kept meanwhile, and how the connection ends."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiofastnet
import pytest
import uvloop
from aiohttp import web

from joyn.edge.http import application
from joyn.transport.http import BUFFER, Body, HttpLimits, HttpListener, HttpServer
from joyn.transport.http.body import FIRST
from waiting import until

DATA = os.urandom(3 * BUFFER + 777)
LOOPS = pytest.mark.parametrize(
    "loop",
    [
        asyncio.new_event_loop,
        uvloop.new_event_loop,
        lambda: aiofastnet.patch_loop(asyncio.SelectorEventLoop()),
    ],
    ids=["asyncio", "uvloop", "aiofastnet"],
)


class Taker:
    """Takes bodies: what is used at once, and what has to wait, are told apart."""

    def __init__(self) -> None:
        self.buffer = bytearray(BUFFER)
        self.at_once = True
        self.refuse_after = len(DATA) * 2
        self.got: dict[str, bytearray] = {}
        self.largest: dict[bool, int] = {True: 0, False: 0}
        self.go_on = asyncio.Event()
        self.go_on.set()

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/{name}", self._take)]

    async def _take(self, request: web.Request) -> web.Response:
        got = self.got.setdefault(request.match_info["name"], bytearray())

        def take(buffer: bytearray, end: int) -> bool:
            if not self.at_once:
                return False
            if len(got) > self.refuse_after:
                raise ValueError("enough")
            got.extend(buffer[:end])
            self.largest[True] = max(self.largest[True], end)
            return True

        used, body = 0, None
        try:
            while True:
                body = body or Body.take_over(request, used, self.buffer, take)
                if body is not None:
                    body.wait()
                piece = await request.content.readany()
                if not piece:
                    return web.Response(text=str(len(got)))
                used += len(piece)
                got.extend(piece)
                if body is not None:
                    self.largest[False] = max(self.largest[False], len(piece))
                await self.go_on.wait()
        except ValueError as error:
            return web.Response(status=413, text=str(error))
        finally:
            if body is not None:
                body.drop()


@asynccontextmanager
async def serving(taker: Taker) -> AsyncIterator[int]:
    server = HttpServer(application([taker], patience=None, cookieless=True), HttpLimits())
    listener = await server.listen(HttpListener(name="http", host="127.0.0.1", port=0))
    try:
        yield listener.port
    finally:
        await server.close(patience=0.2)


def play(loop: Callable[[], asyncio.AbstractEventLoop], story: Callable[[Taker, int], Awaitable[None]]) -> None:
    async def run() -> None:
        taker = Taker()
        async with serving(taker) as port:
            await story(taker, port)

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(run())


async def post(port: int, data: bytes, name: str = "a", more: bytes = b"") -> bytes:
    """All that is answered until the connection ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST /%b HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % (name.encode(), len(data)))
    await writer.drain()
    writer.write(data + more)
    answer = await reader.read()
    writer.close()
    return answer


@LOOPS
def test_a_body_is_used_as_it_was_sent_and_the_connection_ends_with_the_answer(loop) -> None:
    async def story(taker: Taker, port: int) -> None:
        answer = await post(port, DATA)
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b"Connection: close\r\n" in answer
        assert taker.got["a"] == DATA
        assert FIRST < taker.largest[True] <= BUFFER

    play(loop, story)


@LOOPS
def test_bodies_that_come_at_once_share_the_buffer_and_nothing_else(loop) -> None:
    async def story(taker: Taker, port: int) -> None:
        bodies = {str(number): os.urandom(BUFFER + number) for number in range(8)}
        await asyncio.gather(*(post(port, body, name) for name, body in bodies.items()))
        assert taker.got == bodies

    play(loop, story)


@LOOPS
def test_what_has_to_wait_is_kept_in_small_pieces_and_in_order(loop) -> None:
    async def story(taker: Taker, port: int) -> None:
        taker.at_once = False
        taker.go_on.clear()
        asking = asyncio.ensure_future(post(port, DATA))
        await until(lambda: taker.got.get("a"))
        held = len(taker.got["a"])
        taker.go_on.set()
        assert (await asking).startswith(b"HTTP/1.1 200 ")
        assert taker.got["a"] == DATA
        assert held < BUFFER
        assert 0 < taker.largest[False] <= 2 * FIRST

    play(loop, story)


@LOOPS
def test_who_is_refused_in_the_middle_reads_why(loop) -> None:
    async def story(taker: Taker, port: int) -> None:
        taker.refuse_after = BUFFER
        answer = await post(port, DATA)
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert len(taker.got["a"]) < len(DATA)

    play(loop, story)


@LOOPS
def test_a_request_that_follows_the_body_is_no_part_of_it(loop) -> None:
    async def story(taker: Taker, port: int) -> None:
        answer = await post(port, DATA, more=b"POST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx")
        assert answer.count(b"HTTP/1.1 ") == 1
        assert taker.got == {"a": DATA}

    play(loop, story)
