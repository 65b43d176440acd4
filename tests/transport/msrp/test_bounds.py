import asyncio
import socket
from typing import cast

import pytest

from joyn.protocol.msrp import Request
from joyn.transport.msrp import CONNECTION_LOST, MsrpLeg
from transport.msrp.ends import REMOTE, Ours, Peer, Recorder, accepting, listening, make_endpoint, on_both_loops, until

SMALL = 4096
"""A receive buffer that is soon full; the system doubles it."""


async def nothing_more_is_read(ours: Ours) -> None:
    """Returns when our loop has served a connection that was made after what was written before."""
    leg, peer = await ours.bound(Recorder())
    peer.send(leg.local_path, "m1", b"hello")
    assert await peer.status() == 200
    leg.close()


def flood(peer: Peer, leg: MsrpLeg, first: int, count: int) -> None:
    for number in range(first, first + count):
        peer.send(leg.local_path, f"m{number}", b"hello")


@on_both_loops
async def test_too_much_unanswered_stops_the_reading_until_half_of_it_is() -> None:
    async with listening(max_unanswered=4) as ours:
        handler = Recorder(status=None)
        leg, peer = await ours.bound(handler)
        flood(peer, leg, 1, 4)
        await handler.seen(1 + 4)
        flood(peer, leg, 5, 1)
        await handler.seen(1 + 5)
        flood(peer, leg, 6, 1)
        await nothing_more_is_read(ours)
        for message in handler.messages[:3]:
            leg.answer(message, 200)
        await nothing_more_is_read(ours)
        assert len(handler.messages) == 5
        leg.answer(handler.messages[3], 200)
        await handler.seen(1 + 6)


@on_both_loops
async def test_a_connection_is_read_again_when_none_of_its_sessions_has_too_much() -> None:
    async with listening(max_unanswered=1) as ours:
        one, other = Recorder(status=None), Recorder(status=None)
        leg, peer = await ours.bound(one)
        second = ours.expecting(other)
        await peer.bind(second)
        frames = [
            Request(
                f"abcd{number}", "SEND", session.local_path, REMOTE, f"m{number}", (1, 1, 1), "a/b", body=b"1"
            ).emit()
            for number, session in enumerate((leg, leg, second, second))
        ]
        peer.write(b"".join(frames))  # read at once, so both have one too many
        await one.seen(3)
        await other.seen(3)
        flood(peer, leg, 9, 1)
        for message in other.messages:
            second.answer(message, 200)
        await nothing_more_is_read(ours)
        assert len(one.messages) == 2
        leg.close()
        assert [await peer.status() for _ in range(3)] == [200, 200, 481]


@on_both_loops
async def test_a_connection_over_the_bound_is_closed_and_one_that_goes_makes_room() -> None:
    async with listening(max_connections=2) as ours:
        leg, first = await ours.bound(handler := Recorder())
        await ours.bound(Recorder())
        assert await (await ours.peer()).ended()
        first.close()
        await handler.seen(2)
        assert leg.closed
        await ours.bound(Recorder())


@on_both_loops
async def test_a_source_has_a_bound_of_its_own() -> None:
    async with listening(max_connections_per_source=1) as ours:
        _, first = await ours.bound(handler := Recorder())
        assert await (await ours.peer()).ended()
        first.close()
        await handler.seen(2)
        await ours.bound(Recorder())


@on_both_loops
async def test_connections_of_ours_count_too() -> None:
    async with accepting() as (path, _):
        endpoint = make_endpoint(max_connections=1)
        await endpoint.session(Recorder()).connect(path)
        with pytest.raises(ConnectionError, match="one too many"):
            await endpoint.session(Recorder()).connect(path)
        await endpoint.close()


@on_both_loops
async def test_a_connection_without_a_session_is_closed_and_one_with_a_session_stays() -> None:
    async with listening(idle_timeout=32.0) as ours:
        leg, bound = await ours.bound(Recorder())
        idle = await ours.peer()
        idle.write(b"MSRP abcd SEND\r\nTo-Path: ")
        await nothing_more_is_read(ours)
        ours.clock.now += 32.2
        assert await idle.ended()
        bound.send(leg.local_path)
        assert await bound.status() == 200


@on_both_loops
async def test_an_accepted_connection_waits_for_another_session_after_its_last() -> None:
    async with listening(idle_timeout=32.0) as ours:
        leg, peer = await ours.bound(Recorder())
        ours.clock.now += 100
        leg.close()
        ours.clock.now += 31.8
        second = ours.expecting(Recorder())
        await peer.bind(second)
        second.close()
        ours.clock.now += 32.2
        assert await peer.ended()


@on_both_loops
async def test_a_connection_of_ours_is_closed_after_its_last_session() -> None:
    async with accepting() as (path, came):
        endpoint = make_endpoint()
        leg = endpoint.session(Recorder())
        await leg.connect(path)
        peer = await came.get()
        peer.respond(await peer.request())
        leg.close()
        assert await peer.ended()
        await endpoint.close()


@on_both_loops
async def test_an_unused_session_ends_and_a_used_one_does_not() -> None:
    async with listening(session_idle=300.0) as ours:
        unused, used = Recorder(), Recorder()
        idle, _ = await ours.bound(unused)
        leg, peer = await ours.bound(used)
        never = ours.expecting(nobody := Recorder())
        ours.clock.now += 299.9
        idle.handle_deadline(ours.clock.now)
        assert not idle.closed
        peer.send(leg.local_path)
        assert await peer.status() == 200
        ours.clock.now += 0.3
        assert await unused.seen(2) == ["bound", "closed: idle"]
        assert await nobody.seen(1) == ["closed: idle"]
        assert idle.closed
        assert never.closed
        assert leg.last_used == ours.clock.now - 0.3
        assert used.events == ["bound"]


@on_both_loops
async def test_who_sends_and_never_reads_the_answers_is_cut_off() -> None:
    async with listening(max_write_buffer=16 << 10) as ours:
        leg, peer = await ours.bound(handler := Recorder(), receive_buffer=SMALL)
        small_send_buffer(leg)
        cast(asyncio.Transport, peer.writer.transport).pause_reading()
        frame = Request("abcd1234", "SEND", leg.local_path, REMOTE, "m1").emit()
        while not leg.closed:
            peer.write(frame * 50)
            await asyncio.sleep(0)
        assert await handler.seen(2) == ["bound", "closed: slow reader"]


@on_both_loops
async def test_messages_wait_for_a_peer_that_falls_behind_and_go_when_it_reads() -> None:
    async with listening() as ours:
        leg, peer = await ours.bound(Recorder(), receive_buffer=SMALL)
        small_send_buffer(leg)
        sent = [leg.send(f"m{number}", "text/plain", bytes(10_240), failure_report="no") for number in range(100)]
        assert leg.connection is not None
        assert leg.connection.full
        assert not sent[-1].done()
        for number in range(100):
            assert (await peer.request()).message_id == f"m{number}"
        assert await asyncio.gather(*sent) == [200] * 100
        assert not leg.connection.full


@on_both_loops
async def test_a_long_message_to_a_slow_peer_fits_into_the_write_buffer() -> None:
    async with listening() as ours:
        leg, peer = await ours.bound(Recorder(), receive_buffer=SMALL)
        small_send_buffer(leg)
        sent = leg.send("m1", "text/plain", bytes(1 << 20))
        while not sent.done():
            peer.respond(request := await peer.request())
            if request.continuation == "$":
                break
        assert await sent == 200


@on_both_loops
async def test_a_closed_connection_waits_no_longer_for_its_peer_to_read() -> None:
    async with listening(idle_timeout=32.0) as ours:
        leg, _ = await ours.bound(handler := Recorder(), receive_buffer=SMALL)
        small_send_buffer(leg)
        idle = await ours.peer()
        ours.clock.now += 32.2
        assert await idle.ended()  # and the time the other had to bind a session is over too
        leg.send("m1", "text/plain", bytes(60_000))
        connection = leg.connection
        assert connection is not None
        assert not connection.full
        connection.close("stopping")
        assert handler.events == ["bound", "closed: stopping"]
        assert not connection.closed
        ours.clock.now += 32.2
        await until(lambda: connection.closed)


@on_both_loops
async def test_a_peer_that_never_catches_up_is_cut_off() -> None:
    async with listening(timeout=30.0) as ours:
        leg, _ = await ours.bound(handler := Recorder(), receive_buffer=SMALL)
        small_send_buffer(leg)
        sent = [leg.send(f"m{number}", "text/plain", bytes(10_240)) for number in range(100)]
        assert leg.connection is not None
        assert leg.connection.full
        ours.clock.now += 30.2
        assert await handler.seen(2) == ["bound", "closed: slow reader"]
        # What was on its way may have met its own time-out just before.
        assert set(await asyncio.gather(*sent)) <= {CONNECTION_LOST, 408}


@on_both_loops
async def test_closing_the_endpoint_ends_everything() -> None:
    async with listening() as ours:
        leg, peer = await ours.bound(handler := Recorder())
        sent = leg.send("m1", "text/plain", b"hello")
        await peer.request()
        await ours.endpoint.close()
        assert await sent == CONNECTION_LOST
        assert await peer.ended()
        assert handler.events == ["bound"]
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", ours.port)) != 0


def small_send_buffer(leg: MsrpLeg) -> None:
    """So that the system takes no more than some kilobytes from us."""
    assert leg.connection is not None
    assert leg.connection._transport is not None
    sock = leg.connection._transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL)
