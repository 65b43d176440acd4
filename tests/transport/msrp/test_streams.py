"""Long messages: handed up as they come, read as they go."""

import asyncio
import hashlib
import tracemalloc

import pytest

from joyn.protocol.msrp import Request
from joyn.transport.msrp import ABORTED, CONNECTION_LOST, MsrpLeg, Piece
from joyn.transport.msrp.streams import PIECE_OVERHEAD
from transport.msrp.ends import (
    REMOTE,
    Ours,
    Peer,
    Recorder,
    joined,
    listening,
    make_endpoint,
    on_both_loops,
    until,
)

MIB = 1 << 20


class Taking(Recorder):
    """Takes pieces, or leaves them to the test."""

    def __init__(self, *, at_once: bool = True) -> None:
        super().__init__()
        self.at_once = at_once
        self.pieces: list[Piece] = []
        self.digest = hashlib.sha256()
        self.size = 0

    def on_piece(self, leg: MsrpLeg, piece: Piece) -> None:
        if self.at_once:
            self.digest.update(piece.data)
            self.size += len(piece.data)
            leg.take(piece)
        else:
            self.pieces.append(piece)
        if piece.last:
            self._note(f"last {piece.message_id}")

    def on_stopped(self, leg: MsrpLeg, message_id: str, status: int) -> None:
        self._note(f"stopped {message_id} {status}")


async def streaming(ours: Ours, handler: Taking, max_size: int = 200 * MIB) -> tuple[MsrpLeg, Peer]:
    """A session that streams, bound to a connection of its own."""
    leg = ours.endpoint.session(handler, receiver=handler, max_size=max_size)
    leg.expect(REMOTE)
    peer = await ours.peer()
    await peer.bind(leg)
    return leg, peer


# Received


@on_both_loops
async def test_a_chunk_is_answered_when_its_bytes_are_taken_and_not_before() -> None:
    async with listening() as ours:
        handler = Taking(at_once=False)
        leg, peer = await streaming(ours, handler)
        peer.send(leg.local_path, "m1", b"hel", byte_range=(1, 3, 5), continuation="+")
        await until(lambda: len(handler.pieces) == 1)
        peer.send(leg.local_path)  # an empty one, answered at once
        assert await peer.status() == 200
        leg.take(handler.pieces[0])
        assert (await peer.frame()).transaction_id == "peer0002"


@on_both_loops
async def test_a_consumer_that_falls_behind_holds_the_sender_back() -> None:
    bound = 64 << 10
    async with listening(max_held=bound) as ours:
        handler = Taking(at_once=False)
        leg, peer = await streaming(ours, handler)
        body = b"x" * 8000

        async def pour() -> None:
            for number in range(2000):  # 16 MB
                first = number * len(body) + 1
                peer.send(
                    leg.local_path,
                    "m1",
                    body,
                    byte_range=(first, first + len(body) - 1, None),
                    continuation="+",
                    failure_report="no",
                )
                await peer.writer.drain()

        pouring = asyncio.get_running_loop().create_task(pour())
        await until(lambda: leg._pausing)
        held = len(handler.pieces)
        for _ in range(50):
            await asyncio.sleep(0)
        # What was read already is handed up, and nothing more is read.
        assert len(handler.pieces) == held
        assert held * (len(body) + PIECE_OVERHEAD) < bound + (512 << 10)
        assert not pouring.done()
        taken = 0
        while taken < 2000:
            await until(lambda: len(handler.pieces) > taken)  # noqa: B023  # looked at before it changes
            leg.take(handler.pieces[taken])
            taken += 1
        await pouring


@on_both_loops
async def test_another_session_of_the_connection_is_not_harmed_by_a_message_that_is_refused() -> None:
    async with listening() as ours:
        handler, chat = Taking(at_once=False), Recorder()
        leg, peer = await streaming(ours, handler)
        other = ours.expecting(chat, "msrp://192.0.2.7:9/phone2;tcp")
        await peer.bind(other, "msrp://192.0.2.7:9/phone2;tcp")
        peer.send(leg.local_path, "m1", b"hel", byte_range=(1, 3, 9), continuation="+")
        await until(lambda: len(handler.pieces) == 1)
        leg.refuse(handler.pieces[0], 415)
        assert await peer.status() == 415
        peer.send(other.local_path, "m2", b"hello", from_path="msrp://192.0.2.7:9/phone2;tcp")
        assert await peer.status() == 200
        peer.send(leg.local_path, "m1", b"lo", byte_range=(4, 5, 9), continuation="+")
        assert await peer.status() == 415
        assert chat.messages[0].body == b"hello"


@on_both_loops
async def test_a_sender_that_gives_up_is_told_of() -> None:
    async with listening() as ours:
        handler = Taking()
        leg, peer = await streaming(ours, handler)
        peer.send(leg.local_path, "m1", b"hel", byte_range=(1, 3, 9), continuation="+")
        assert await peer.status() == 200
        peer.write(Request("end1", "SEND", leg.local_path, REMOTE, "m1", (4, None, 9), continuation="#").emit())
        assert await peer.status() == 200
        assert handler.events[-1] == "stopped m1 0"


@on_both_loops
async def test_a_session_that_ends_while_it_holds_its_connection_back_lets_it_go() -> None:
    async with listening(max_held=1000) as ours:
        handler, chat = Taking(at_once=False), Recorder()
        leg, peer = await streaming(ours, handler)
        other = ours.expecting(chat, "msrp://192.0.2.7:9/phone2;tcp")
        await peer.bind(other, "msrp://192.0.2.7:9/phone2;tcp")
        peer.send(leg.local_path, "m1", b"x" * 2000, byte_range=(1, 2000, 9000), continuation="+")
        await until(lambda: leg._pausing)
        leg.close()
        leg.take(handler.pieces[0])  # late, and no harm
        peer.send(other.local_path, "m2", b"hello", from_path="msrp://192.0.2.7:9/phone2;tcp")
        assert await peer.status() == 200


@on_both_loops
async def test_a_session_may_have_an_idle_time_of_its_own() -> None:
    async with listening(session_idle=300.0) as ours:
        handler = Taking()
        leg = ours.endpoint.session(handler, receiver=handler, max_size=MIB, idle=60.0)
        leg.expect(REMOTE)
        ours.clock.now += 59.0
        leg.handle_deadline(ours.clock.now)
        assert not leg.closed
        ours.clock.now += 1.0
        leg.handle_deadline(ours.clock.now)
        assert handler.events == ["closed: idle"]


# Sent


@on_both_loops
async def test_a_source_is_read_as_the_peer_answers() -> None:
    async with listening() as ours:
        leg, peer = await ours.bound(Recorder())
        body, reads, taken = bytes(range(256)) * 2000, [], []

        def read(offset: int, size: int) -> bytes:
            reads.append((offset, size))
            return body[offset : offset + size]

        sent = leg.stream("f1", "image/jpeg", len(body), read, progress=taken.append)
        came = b""
        while len(came) < len(body):
            request = await peer.request()
            assert request.failure_report == "yes"
            assert request.body is not None
            came += request.body
            # Never more in memory than the window.
            assert reads[-1][0] + reads[-1][1] <= len(came) + ours.endpoint._window * 10_240
            peer.respond(request)
        assert await sent == 200
        assert came == body
        assert taken[-1] == len(body)
        assert taken == sorted(taken)


@on_both_loops
async def test_a_source_may_take_its_time() -> None:
    async with listening() as ours:
        leg, peer = await ours.bound(Recorder())
        asked = asyncio.Event()
        ready: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        async def read(_offset: int, _size: int) -> bytes:
            asked.set()
            return await ready

        sent = leg.stream("f1", "image/jpeg", 5, read)
        await asked.wait()
        ready.set_result(b"hello")
        request = await peer.request()
        peer.respond(request)
        assert (request.body, await sent) == (b"hello", 200)


@on_both_loops
async def test_a_message_with_a_source_waits_for_its_session() -> None:
    async with listening() as ours:
        leg, peer = ours.expecting(Recorder()), await ours.peer()
        sent = leg.stream("f1", "image/jpeg", 5, lambda _offset, _size: b"hello")
        await peer.bind(leg)
        request = await peer.request()
        peer.respond(request)
        assert (request.body, await sent) == (b"hello", 200)


@pytest.mark.parametrize("gives", [b"", b"x" * 100])
def test_a_source_that_does_not_give_what_it_should_ends_its_message(gives: bytes) -> None:
    async def story() -> None:
        async with listening() as ours:
            leg, _peer = await ours.bound(Recorder())
            assert await leg.stream("f1", "image/jpeg", 5, lambda _offset, _size: gives) == ABORTED

    asyncio.run(story())


@on_both_loops
async def test_a_source_that_fails_ends_its_message_and_the_peer_is_told() -> None:
    async with listening(max_write_buffer=1) as ours:  # a window of one
        leg, peer = await ours.bound(Recorder())

        def read(offset: int, size: int) -> bytes:
            if offset:
                raise OSError("the disk is gone")
            return b"x" * size

        sent = leg.stream("f1", "image/jpeg", 20_000, read)
        peer.respond(await peer.request())
        assert (await peer.request()).continuation == "#"
        assert await sent == ABORTED


@on_both_loops
async def test_a_message_with_a_source_can_be_given_up() -> None:
    async with listening(max_write_buffer=1) as ours:
        leg, peer = await ours.bound(Recorder())
        sent = leg.stream("f1", "image/jpeg", 10**9, lambda _offset, size: b"x" * size)
        await peer.request()
        leg.abort("f1")
        assert (await peer.request()).continuation == "#"
        assert await sent == ABORTED


@on_both_loops
async def test_a_message_given_up_before_its_session_is_bound_is_not_sent() -> None:
    async with listening() as ours:
        leg, peer = ours.expecting(Recorder()), await ours.peer()
        sent = leg.stream("f1", "image/jpeg", 5, lambda _offset, _size: b"hello")
        leg.abort("f1")
        assert await sent == ABORTED
        await peer.bind(leg)
        after = leg.send("m2", "text/plain", b"the next")
        peer.respond(await peer.request())
        assert await after == 200


@on_both_loops
async def test_a_lost_connection_ends_a_message_with_a_source() -> None:
    async with listening() as ours:
        leg, peer = await ours.bound(Recorder())
        sent = leg.stream("f1", "image/jpeg", 10**9, lambda _offset, size: b"x" * size)
        await peer.request()
        peer.close()
        assert await sent == CONNECTION_LOST


def test_a_hundred_megabytes_go_from_end_to_end_in_little_memory() -> None:
    size, block = 100 * MIB, bytes(range(256)) * 4096

    def read(offset: int, want: int) -> bytes:
        at = offset % len(block)
        return block[at : at + want]

    async def story() -> None:
        handler = Taking()
        async with listening() as ours:
            taker = ours.endpoint.session(handler, receiver=handler, max_size=size)
            sender = make_endpoint(prefix="far").session(Recorder())
            taker.expect(str(sender.local))
            await sender.connect(taker.local_path)
            await joined(taker)
            tracemalloc.start()
            assert await sender.stream("f1", "video/mp4", size, read) == 200
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            sender.close()
        digest = hashlib.sha256()
        for _ in range(size // len(block)):
            digest.update(block)
        assert (handler.size, handler.digest.digest()) == (size, digest.digest())
        assert peak < 4 * MIB

    asyncio.run(story())
