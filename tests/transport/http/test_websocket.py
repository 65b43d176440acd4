"""A WebSocket as an asyncio transport: both directions, its bounds, and each way it ends."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import aiohttp
import pytest
import uvloop
from aiohttp import web
from aiohttp.test_utils import TestServer

from joyn.transport.http import WebSocketTransport, open_websocket

PATIENCE = 5.0
LOOPS = pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])


class Recorder(asyncio.Protocol):
    """Notes what happens to it."""

    def __init__(self) -> None:
        self.transport: WebSocketTransport
        self.events: list[Any] = []
        self.changed = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(WebSocketTransport, transport)
        self._note("made")

    def data_received(self, data: bytes) -> None:
        self._note(data)

    def pause_writing(self) -> None:
        self._note("full")

    def resume_writing(self) -> None:
        self._note("room")

    def connection_lost(self, exc: Exception | None) -> None:
        self._note("lost")

    def _note(self, event: Any) -> None:
        self.events.append(event)
        self.changed.set()

    async def seen(self, event: Any) -> None:
        async with asyncio.timeout(PATIENCE):
            while event not in self.events:
                self.changed.clear()
                await self.changed.wait()


class Ends:
    """A protocol of ours behind a server's WebSocket, and the socket of who connected."""

    def __init__(self, protocol: Recorder, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.protocol = protocol
        self.transport = protocol.transport
        self.socket = socket


def between(
    story: Callable[[Ends], Awaitable[None]], loop: Callable[[], asyncio.AbstractEventLoop] | None = None
) -> None:
    async def play() -> None:
        protocol = Recorder()

        async def upgrade(request: web.Request) -> web.StreamResponse:
            socket = web.WebSocketResponse(protocols=("sip",))
            await socket.prepare(request)
            assert request.transport is not None
            transport = WebSocketTransport(socket, request.transport, protocol, peername=("192.0.2.7", 9))
            transport.start()
            await transport.run()
            return socket

        app = web.Application()
        app.router.add_get("/ws", upgrade)
        async with (
            TestServer(app) as server,
            aiohttp.ClientSession() as session,
            session.ws_connect(server.make_url("/ws"), protocols=("sip",)) as socket,
        ):
            await protocol.seen("made")
            await story(Ends(protocol, socket))
            if not socket.closed:
                await socket.close()
            await protocol.seen("lost")
            assert protocol.events.count("lost") == 1

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(play())


@LOOPS
def test_each_message_that_comes_is_one_call(loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def story(ends: Ends) -> None:
        await ends.socket.send_str("été")
        await ends.socket.send_bytes(b"\xff\x00")
        await ends.protocol.seen(b"\xff\x00")
        assert ends.protocol.events == ["made", "été".encode(), b"\xff\x00"]

    between(story, loop)


@LOOPS
def test_each_write_is_one_message_text_where_it_can_be(loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def story(ends: Ends) -> None:
        for data in ("été".encode(), b"\xff\x00", b""):
            ends.transport.write(data)
        assert (await ends.socket.receive(PATIENCE)).data == "été"
        assert (await ends.socket.receive(PATIENCE)).data == b"\xff\x00"
        assert (await ends.socket.receive(PATIENCE)).data == ""

    between(story, loop)


@LOOPS
def test_what_was_written_leaves_before_the_closing(
    loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def story(ends: Ends) -> None:
        ends.transport.write(b"one")
        ends.transport.close(1013)
        ends.transport.write(b"too late")
        ends.transport.close(1000)
        assert ends.transport.is_closing()
        assert (await ends.socket.receive(PATIENCE)).data == "one"
        assert (await ends.socket.receive(PATIENCE)).type is aiohttp.WSMsgType.CLOSE
        assert ends.socket.close_code == 1013

    between(story, loop)


@LOOPS
def test_an_aborted_one_ends_at_once(loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def story(ends: Ends) -> None:
        ends.transport.write(b"one")
        ends.transport.abort()
        await asyncio.wait_for(ends.protocol.seen("lost"), 1)
        assert (await ends.socket.receive(PATIENCE)).type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
        assert ends.socket.close_code == 1006

    between(story, loop)


@LOOPS
def test_a_connection_that_breaks_is_lost_at_once(loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def story(ends: Ends) -> None:
        connection = ends.socket._response.connection
        assert connection is not None
        assert connection.transport is not None
        connection.transport.abort()
        await asyncio.wait_for(ends.protocol.seen("lost"), 1)

    between(story, loop)


@LOOPS
def test_its_protocol_hears_when_the_reader_falls_behind_and_when_it_has_caught_up(
    loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def story(ends: Ends) -> None:
        ends.transport.set_write_buffer_limits(high=1000)
        ends.transport.write(b"x" * 1000)
        assert "full" not in ends.protocol.events
        ends.transport.write(b"x")
        assert ends.protocol.events[-1] == "full"
        assert ends.transport.get_write_buffer_size() == 1001
        await ends.protocol.seen("room")
        assert ends.protocol.events.count("full") == 1

    between(story, loop)


@LOOPS
def test_what_comes_waits_while_reading_is_paused(loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def story(ends: Ends) -> None:
        ends.transport.pause_reading()
        # One is being waited for already; what comes after it is not.
        for number in range(3):
            await ends.socket.send_str(str(number))
        await asyncio.sleep(0.1)  # it has its chance to come
        assert b"2" not in ends.protocol.events
        ends.transport.resume_reading()
        await ends.protocol.seen(b"2")
        assert ends.protocol.events == ["made", b"0", b"1", b"2"]

    between(story, loop)


def test_it_knows_the_connection_underneath_but_for_what_it_was_told() -> None:
    async def story(ends: Ends) -> None:
        assert ends.transport.get_extra_info("peername") == ("192.0.2.7", 9)
        assert ends.transport.get_extra_info("sockname")[0] == "127.0.0.1"
        assert ends.transport.get_extra_info("nothing", "?") == "?"

    between(story)


# Our own way to a server.


def test_a_server_without_the_protocol_is_not_connected_to() -> None:
    async def play() -> None:
        async def upgrade(request: web.Request) -> web.StreamResponse:
            socket = web.WebSocketResponse()
            await socket.prepare(request)
            await socket.receive()
            return socket

        app = web.Application()
        app.router.add_get("/ws", upgrade)
        protocol = Recorder()
        async with TestServer(app) as server:
            assert server.port is not None
            with pytest.raises(ConnectionError, match="does not speak sip"):
                await open_websocket("127.0.0.1", server.port, "sip", protocol)
        async with TestServer(web.Application()) as server:
            assert server.port is not None
            with pytest.raises(ConnectionError, match="404"):
                await open_websocket("127.0.0.1", server.port, "sip", protocol)
        with pytest.raises(OSError):
            await open_websocket("127.0.0.1", 1, "sip", protocol)
        assert protocol.events == []

    asyncio.run(play())
