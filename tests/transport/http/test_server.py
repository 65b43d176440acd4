"""HTTP listeners: what they bound, what they wait for, and how they end."""

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import uvloop
from aiohttp import web

from joyn.edge.http import application
from joyn.transport.http import HttpLimits, HttpListener, HttpServer
from joyn.transport.tls import client_context, issue_certificate, make_development_ca, server_context
from waiting import until

PATIENCE = 5.0
HEAD = b"GET / HTTP/1.1\r\nHost: joyn.localhost\r\n"
LOOPS = pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])


class Pages:
    """A page that is there at once, one that is there when it is let, and one that wants a body."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.ready = asyncio.Event()

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/", self._root), web.get("/slow", self._slow), web.post("/", self._take)]

    async def _root(self, request: web.Request) -> web.Response:
        return web.Response(text=f"hello over {request.scheme}")

    async def _slow(self, request: web.Request) -> web.Response:
        self.asked.set()
        await self.ready.wait()
        return web.Response(text="at last")

    async def _take(self, request: web.Request) -> web.Response:
        return web.Response(text=str(len(await request.read())))


class Site:
    """A server with one listener."""

    def __init__(self, server: HttpServer, pages: Pages, port: int) -> None:
        self.server = server
        self.pages = pages
        self.port = port

    async def connect(self, tls: ssl.SSLContext | None = None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port, ssl=tls)

    async def say(self, data: bytes, tls: ssl.SSLContext | None = None) -> bytes:
        """Everything that comes back on a connection of its own, to its end."""
        reader, writer = await self.connect(tls)
        writer.write(data)
        try:
            return await asyncio.wait_for(reader.read(), PATIENCE)
        except ConnectionResetError:
            return b""
        finally:
            writer.close()


def at_site(
    story: Callable[[Site], Awaitable[None]],
    tls: ssl.SSLContext | None = None,
    loop: Callable[[], asyncio.AbstractEventLoop] | None = None,
    **limits: Any,
) -> None:
    @asynccontextmanager
    async def opened() -> AsyncIterator[Site]:
        pages = Pages()
        bounds = HttpLimits(**limits)
        server = HttpServer(application([pages], max_body=bounds.max_body), bounds)
        bound = await server.listen(HttpListener(name="http", host="127.0.0.1", port=0, tls=tls))
        try:
            yield Site(server, pages, bound.port)
        finally:
            await server.close()

    async def play() -> None:
        async with opened() as site:
            await story(site)

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(play())


@LOOPS
def test_a_request_is_answered_and_the_connection_kept(loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def story(site: Site) -> None:
        answer = await site.say(HEAD + b"\r\n" + HEAD + b"Connection: close\r\n\r\n")
        assert answer.count(b"HTTP/1.1 200 OK") == 2
        assert answer.endswith(b"hello over http")

    at_site(story, loop=loop)


@LOOPS
def test_over_tls_too(loop: Callable[[], asyncio.AbstractEventLoop], tmp_path: Path) -> None:
    make_development_ca(tmp_path)
    files = issue_certificate(tmp_path, ["127.0.0.1"])

    async def story(site: Site) -> None:
        trusting = client_context(tmp_path / "ca.pem")
        assert (await site.say(HEAD + b"Connection: close\r\n\r\n", trusting)).endswith(b"hello over https")
        # Somebody who does not speak TLS ends nothing but their own connection.
        assert b"200" not in await site.say(HEAD + b"\r\n")
        assert (await site.say(HEAD + b"Connection: close\r\n\r\n", trusting)).endswith(b"hello over https")

    at_site(story, server_context(files.certificate, files.key), loop)


@pytest.mark.parametrize("limits", [{"max_connections": 2}, {"max_connections_per_source": 2}])
def test_connections_over_a_bound_are_closed_at_once(limits: dict[str, int]) -> None:
    async def story(site: Site) -> None:
        first, second = await site.connect(), await site.connect()
        second[1].write(HEAD + b"\r\n")
        assert (await second[0].readline()).startswith(b"HTTP/1.1 200")
        assert await site.say(HEAD + b"\r\n") == b""
        first[1].close()
        second[1].close()
        await until(lambda: site.say(HEAD + b"Connection: close\r\n\r\n"))

    at_site(story, **limits)


def test_a_front_proxy_is_not_one_source() -> None:
    async def story(site: Site) -> None:
        await site.connect()
        assert await site.say(HEAD + b"Connection: close\r\n\r\n")

    at_site(story, max_connections_per_source=1, shared=(ip_network("127.0.0.0/8"),))


@pytest.mark.parametrize("said", [b"", HEAD, HEAD + b"X: y\r\n"])
def test_who_does_not_finish_their_first_head_is_disconnected(said: bytes) -> None:
    async def story(site: Site) -> None:
        assert await site.say(said) == b""

    at_site(story, head_timeout=0.05)


def test_a_head_that_comes_in_pieces_is_in_time() -> None:
    async def story(site: Site) -> None:
        reader, writer = await site.connect()
        for piece in (HEAD + b"\r", b"\n"):
            writer.write(piece)
            await asyncio.sleep(0.01)
        assert (await asyncio.wait_for(reader.readline(), PATIENCE)).startswith(b"HTTP/1.1 200")
        # The time for a head is over, and the connection stands.
        await asyncio.sleep(0.6)
        writer.write(HEAD + b"Connection: close\r\n\r\n")
        assert (await reader.read()).endswith(b"hello over http")

    at_site(story, head_timeout=0.5)


SECRET = "SECRET418902"


@pytest.mark.parametrize(
    "said",
    [
        f"GET /config?token={SECRET} HTTP/9.9x\r\nHost: x\r\n\r\n",
        f"GET /config?token={SECRET}{'a' * 9000} HTTP/1.1\r\nHost: x\r\n\r\n",
        f"GET / HTTP/1.1\r\nHost: x\r\nCookie : joyn-session={SECRET}\r\n\r\n",
        f"GET / HTTP/1.1\r\nHost: x\r\nCookie: joyn-session={SECRET}\x01\r\n\r\n",
    ],
)
def test_of_what_is_no_http_nothing_is_repeated(said: str, caplog: pytest.LogCaptureFixture) -> None:
    async def story(site: Site) -> None:
        told = await site.say(said.encode())
        head, _, body = told.partition(b"\r\n\r\n")
        assert (b" 400 " in head, body) == (True, b"Bad Request\n")

    # Another test may have set our own logger to less.
    with caplog.at_level(logging.DEBUG), caplog.at_level(logging.DEBUG, logger="joyn"):
        at_site(story)
    assert "no HTTP" in caplog.text
    assert SECRET not in caplog.text


def test_an_unused_connection_is_closed() -> None:
    async def story(site: Site) -> None:
        assert (await site.say(HEAD + b"\r\n")).endswith(b"hello over http")

    at_site(story, keep_alive=0.05)


@pytest.mark.parametrize(("length", "status"), [(1000, b"200"), (1100, b"400")])
def test_a_line_of_the_head_may_be_so_long(length: int, status: bytes) -> None:
    async def story(site: Site) -> None:
        answer = await site.say(HEAD + b"X: " + b"y" * length + b"\r\nConnection: close\r\n\r\n")
        assert answer.split(b" ", 2)[1] == status

    at_site(story, max_line=1024)


@pytest.mark.parametrize(("length", "status"), [(1024, b"200"), (1025, b"413")])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_may_be_so_long(length: int, status: bytes, chunked: bool) -> None:
    async def story(site: Site) -> None:
        head = b"POST / HTTP/1.1\r\nHost: joyn.localhost\r\nConnection: close\r\n"
        if chunked:
            said = head + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % length + b"x" * length + b"\r\n0\r\n\r\n"
        else:
            said = head + b"Content-Length: %d\r\n\r\n" % length + b"x" * length
        assert (await site.say(said)).split(b" ", 2)[1] == status

    at_site(story, max_body=1024)


def test_what_is_being_answered_when_the_node_stops_is_answered() -> None:
    async def story(site: Site) -> None:
        reader, writer = await site.connect()
        writer.write(b"GET /slow HTTP/1.1\r\nHost: joyn.localhost\r\n\r\n")
        await site.pages.asked.wait()
        closing = asyncio.ensure_future(site.server.close())
        await asyncio.sleep(0)
        site.pages.ready.set()
        assert (await asyncio.wait_for(reader.read(), PATIENCE)).endswith(b"at last")
        await closing
        with pytest.raises(OSError):
            await site.connect()

    at_site(story)


def test_an_idle_connection_does_not_keep_the_node_from_stopping() -> None:
    async def story(site: Site) -> None:
        reader, writer = await site.connect()
        writer.write(HEAD + b"\r\n")
        await reader.readline()
        await asyncio.wait_for(site.server.close(patience=60), 1)
        assert (await reader.read()).endswith(b"hello over http")

    at_site(story)


def test_a_port_that_is_taken_is_told() -> None:
    async def story(site: Site) -> None:
        with pytest.raises(OSError):
            await site.server.listen(HttpListener(name="again", host="127.0.0.1", port=site.port))

    at_site(story)


def test_who_answers_nothing_does_not_keep_the_node_from_stopping() -> None:
    async def story(site: Site) -> None:
        _, writer = await site.connect()
        writer.write(b"GET /slow HTTP/1.1\r\nHost: joyn.localhost\r\n\r\n")
        await site.pages.asked.wait()
        await asyncio.wait_for(site.server.close(patience=0.05), PATIENCE)
        assert socket.socket().connect_ex(("127.0.0.1", site.port)) != 0

    at_site(story)
