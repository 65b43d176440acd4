"""Both ends of a connection: our endpoint with a clock of its own, and a peer that writes bytes by hand."""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvloop

import waiting
from joyn.protocol.msrp import Framer, Request, Response
from joyn.transport.msrp import Message, MsrpEndpoint, MsrpLeg, MsrpLimits, MsrpListener
from stories import as_test

PATIENCE = 5.0
REMOTE = "msrp://192.0.2.7:9/phone1;tcp"


def on_both_loops(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test on asyncio's loop and on uvloop's."""

    def run(loop: str, **fixtures: Any) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop if loop == "uvloop" else None) as runner:
            runner.run(asyncio.wait_for(test(**fixtures), 4 * PATIENCE))

    made = as_test(test, run, given=0, wanted=("loop",))
    return pytest.mark.parametrize("loop", ["asyncio", "uvloop"])(made)


class Clock:
    """A clock that stands still until it is told otherwise."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Recorder:
    """A handler that notes what happens, and answers messages with `status` unless that is None."""

    def __init__(self, status: int | None = 200) -> None:
        self.status = status
        self.messages: list[Message] = []
        self.events: list[str] = []
        self._changed = asyncio.Event()

    def on_message(self, leg: MsrpLeg, message: Message) -> None:
        self.messages.append(message)
        self._note(f"message {message.message_id}")
        if self.status is not None:
            leg.answer(message, self.status)

    def on_bound(self, leg: MsrpLeg) -> None:
        self._note("bound")

    def on_closed(self, leg: MsrpLeg, reason: str) -> None:
        self._note(f"closed: {reason}")

    def _note(self, event: str) -> None:
        self.events.append(event)
        self._changed.set()

    async def seen(self, count: int) -> list[str]:
        """The first `count` events, once they are there."""
        async with asyncio.timeout(PATIENCE):
            while len(self.events) < count:
                self._changed.clear()
                await self._changed.wait()
        return self.events[:count]


class Peer:
    """The other end of a connection, in bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._framer = Framer()
        self._frames: list[Request | Response] = []
        self._numbers = itertools.count(1)

    @classmethod
    async def to(cls, port: int, *, receive_buffer: int = 0) -> Peer:
        sock = socket.socket()
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        return cls(*await asyncio.open_connection(sock=sock, limit=receive_buffer or 2**16))

    def write(self, data: bytes) -> None:
        self.writer.write(data)

    def send(
        self,
        to_path: str,
        message_id: str = "",
        body: bytes | None = None,
        *,
        from_path: str = REMOTE,
        **fields: Any,
    ) -> str:
        """Write a SEND, an empty one without a body; its transaction id."""
        name = f"peer{next(self._numbers):04}"
        request = Request(name, "SEND", to_path, from_path, message_id or f"m-{name}", body=body, **fields)
        if body is not None:
            request.content_type = "text/plain"
            request.byte_range = request.byte_range or (1, len(body), len(body))
        self.write(request.emit())
        return name

    async def frame(self) -> Request | Response:
        """The next frame."""
        async with asyncio.timeout(PATIENCE):
            while not self._frames:
                data = await self.reader.read(65536)
                assert data, "the connection was closed"
                self._frames = self._framer.receive(data)
        return self._frames.pop(0)

    async def status(self) -> int:
        """The status of the next frame, which is a response."""
        frame = await self.frame()
        assert isinstance(frame, Response)
        return frame.status

    async def request(self) -> Request:
        """The next frame, which is a request."""
        frame = await self.frame()
        assert isinstance(frame, Request)
        return frame

    def respond(self, request: Request, status: int = 200) -> None:
        """Answer it."""
        self.write(
            Response(
                request.transaction_id, status, "", request.from_path.split()[0], request.to_path.split()[0]
            ).emit()
        )

    async def ended(self) -> bool:
        """Whether the connection ends now, with nothing more on it."""
        async with asyncio.timeout(PATIENCE):
            try:
                return await self.reader.read(1) == b""
            except ConnectionError:
                return True

    async def bind(self, leg: MsrpLeg, from_path: str = REMOTE) -> None:
        """Bind a session to this connection by an empty SEND."""
        self.send(leg.local_path, from_path=from_path)
        assert await self.status() == 200

    def close(self) -> None:
        self.writer.close()


class Ours:
    """Our endpoint, listening, with all that a test wants to know of it."""

    def __init__(self, endpoint: MsrpEndpoint, listener: MsrpListener, clock: Clock) -> None:
        self.endpoint = endpoint
        self.port = listener.port
        self.clock = clock
        self._peers: list[Peer] = []

    async def peer(self, *, receive_buffer: int = 0) -> Peer:
        """A new connection to our listener."""
        self._peers.append(peer := await Peer.to(self.port, receive_buffer=receive_buffer))
        return peer

    def expecting(self, handler: Recorder, remote: str = REMOTE) -> MsrpLeg:
        """A session that waits for its peer."""
        leg = self.endpoint.session(handler)
        leg.expect(remote)
        return leg

    async def bound(self, handler: Recorder, *, receive_buffer: int = 0) -> tuple[MsrpLeg, Peer]:
        """A session, bound to a connection of its own."""
        leg, peer = self.expecting(handler), await self.peer(receive_buffer=receive_buffer)
        await peer.bind(leg)
        return leg, peer

    async def close(self) -> None:
        for peer in self._peers:
            peer.close()
        await self.endpoint.close()


async def until(condition: Callable[[], bool]) -> None:
    """Returns when the loop has come so far; for what no event tells."""
    await waiting.until(condition, within=PATIENCE, pause=0)


async def joined(leg: MsrpLeg) -> None:
    """Returns when the session has a connection, bound or not."""
    await until(lambda: leg.connection is not None)


def make_tokens(prefix: str) -> Callable[[], str]:
    numbers = itertools.count(1)
    return lambda: f"{prefix}{next(numbers):012}"


def make_endpoint(clock: Callable[[], float] | None = None, prefix: str = "ours", **limits: Any) -> MsrpEndpoint:
    return MsrpEndpoint(MsrpLimits(**limits), make_token=make_tokens(prefix), now=clock or Clock())


@asynccontextmanager
async def listening(**limits: Any) -> AsyncIterator[Ours]:
    clock = Clock()
    endpoint = make_endpoint(clock, **limits)
    listener = await endpoint.listen(MsrpListener(name="msrp", transport="TCP", host="127.0.0.1", port=0))
    ours = Ours(endpoint, listener, clock)
    try:
        yield ours
    finally:
        await ours.close()


@asynccontextmanager
async def accepting() -> AsyncIterator[tuple[str, asyncio.Queue[Peer]]]:
    """A peer that listens: its path, and the connections that come."""
    came: asyncio.Queue[Peer] = asyncio.Queue()
    peers: list[Peer] = []

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peers.append(Peer(reader, writer))
        came.put_nowait(peers[-1])

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"msrp://127.0.0.1:{port}/phone1;tcp", came
    finally:
        server.close()
        for peer in peers:
            peer.close()
