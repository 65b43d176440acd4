"""The way to a peer: which of its connections are used."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from joyn.model.peer import Peer, PeerAddress
from joyn.protocol.sip.message import SipRequest, SipResponse
from joyn.services.interconnect.link import UNANSWERED, Link
from joyn.transport.sip import LocalResponse
from waiting import until

PEER = Peer(
    domain="sfr.example",
    name="SFR",
    addresses=(PeerAddress(host="192.0.2.1", port=5061),),
    certificates=(),
    ranges=("+33639980",),
)


@dataclass(eq=False, slots=True)
class Connection:
    """A connection as the link sees it."""

    listener: Any
    closed: bool = False

    def close(self) -> None:
        self.closed = True

    abort = close


@dataclass(slots=True)
class Listening:
    transport: str = "TLS"
    sent_by: str = "orange.example"


@dataclass(slots=True)
class Connecting:
    """An endpoint whose first connections are `refused`; the others stand, and the peer answers each probe."""

    made: list[Connection] = field(default_factory=list)
    refused: int = 0
    tried: int = 0

    async def connect(self, _transport: str, _host: str, _port: int, *, tls: Any) -> Connection:
        self.tried += 1
        if self.tried <= self.refused:
            raise ConnectionRefusedError
        self.made.append(Connection(Listening()))
        return self.made[-1]

    async def request(self, _flow: Connection, _request: SipRequest) -> SipResponse:
        return SipResponse("SIP/2.0 200 OK\r\nContent-Length: 0", b"", 200, "OK")

    def make_branch(self) -> str:
        return "z9hG4bK1"

    make_tag = make_call_id = make_branch


async def resolve(_peer: Peer) -> list[tuple[str, int]]:
    return [("192.0.2.1", 5061)]


@asynccontextmanager
async def link_of(endpoint: Any) -> AsyncIterator[Link]:
    """A link of two connections."""
    link = Link(
        PEER,
        endpoint,
        context=ssl.create_default_context,
        resolve=resolve,
        believed=lambda _flow: True,
        connections=2,
        random=lambda: 0.0,
        on_change=lambda: None,
    )
    try:
        yield link
    finally:
        await link.close()


def test_a_connection_that_has_ended_is_not_used_while_the_word_of_it_is_still_on_its_way() -> None:
    async def play() -> None:
        endpoint = Connecting()
        async with link_of(endpoint) as link:
            await until(lambda: link.connected == 2)
            one, other = endpoint.made
            assert {link.flow(), link.flow()} == {one, other}
            # What is under way on a connection is answered first, and only then is the link told that it has ended.
            one.closed = True
            assert link.ready
            assert {link.flow(), link.flow()} == {other}
            other.closed = True
            assert not link.ready
            assert link.flow() is None

    asyncio.run(play())


def test_a_peer_that_comes_to_us_is_connected_to_at_once_however_long_it_was_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("joyn.services.interconnect.link.BACK_OFF", 0.001)

    async def play() -> None:
        endpoint = Connecting(refused=2 * 20)
        async with link_of(endpoint) as link:
            # Each of the two has failed so often by now that it rests for a second, and longer each time.
            await until(lambda: endpoint.tried >= 2 * 11)
            endpoint.refused = 0
            link.heard()
            tried = endpoint.tried
            await asyncio.sleep(0.1)
            assert link.connected == 2
            assert endpoint.tried == tried + 2

    asyncio.run(play())


@dataclass(slots=True)
class TurningDown(Connecting):
    """An endpoint of a peer that ends each connection at the first request: it knows our certificate from nobody."""

    lost: Callable[[Any], None] = lambda _flow: None

    async def request(self, flow: Connection, _request: SipRequest) -> SipResponse:
        flow.closed = True
        self.lost(flow)
        return LocalResponse("SIP/2.0 503 Service Unavailable\r\nContent-Length: 0", b"", 503, "connection lost")


def test_a_peer_that_lets_us_connect_and_then_hangs_up_is_told_from_one_that_is_well() -> None:
    async def play() -> None:
        endpoint = TurningDown()
        async with link_of(endpoint) as link:
            endpoint.lost = link.lost
            await until(lambda: link.last_error == UNANSWERED)
            assert link.connected == 0
        well = Connecting()
        async with link_of(well) as link:
            await until(lambda: link.connected == 2)
            link.lost(well.made[0])
            await until(lambda: len(well.made) == 3)
            assert link.last_error == ""

    asyncio.run(play())


def test_a_peer_that_talks_and_cannot_be_connected_to_is_tried_ever_less_often(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sleep, pauses = asyncio.sleep, list[float]()

    async def play() -> None:
        endpoint = Connecting(refused=1_000_000)
        async with link_of(endpoint) as link:

            async def at_once(seconds: float) -> None:
                pauses.append(seconds)
                await sleep(0)
                asyncio.get_running_loop().call_soon(link.heard)

            monkeypatch.setattr("joyn.services.interconnect.link.asyncio.sleep", at_once)
            while len(pauses) < 40:
                await sleep(0)
            monkeypatch.setattr("joyn.services.interconnect.link.asyncio.sleep", sleep)

    asyncio.run(play())
    assert pauses[0] < 1
    assert pauses[-1] > 20
