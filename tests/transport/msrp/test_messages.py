import asyncio

from joyn.protocol.msrp import Request, Response
from joyn.transport.msrp import CONNECTION_LOST, QUEUE_FULL
from joyn.transport.msrp.leg import MAX_WAITING, MAX_WAITING_BYTES
from transport.msrp.ends import REMOTE, Peer, Recorder, accepting, listening, make_endpoint, on_both_loops

MIB = 1 << 20


async def take(peer: Peer, count: int, status: int = 200) -> list[Request]:
    """Read and answer so many requests."""
    requests = []
    for _ in range(count):
        requests.append(await peer.request())
        peer.respond(requests[-1], status)
    return requests


# Received


@on_both_loops
async def test_a_message_is_answered_when_its_handler_answers_and_not_before() -> None:
    async with listening() as ours:
        handler = Recorder(status=None)
        leg, peer = await ours.bound(handler)
        peer.send(leg.local_path, "m1", b"hello")
        later = peer.send(leg.local_path)
        await handler.seen(2)
        assert (await peer.frame()).transaction_id == later
        leg.answer(handler.messages[0], 403, "Not today")
        answer = await peer.frame()
        assert isinstance(answer, Response)
        assert (answer.status, answer.comment) == (403, "Not today")


@on_both_loops
async def test_a_success_report_follows_the_answer_for_who_asked() -> None:
    async with listening() as ours:
        leg, peer = await ours.bound(Recorder())
        peer.send(leg.local_path, "m1", b"hello", success_report=True)
        assert await peer.status() == 200
        report = await peer.request()
        assert (report.method, report.message_id, report.header("Status")) == ("REPORT", "m1", "000 200 OK")


@on_both_loops
async def test_bytes_may_come_one_by_one() -> None:
    async with listening() as ours:
        handler = Recorder()
        leg, peer = ours.expecting(handler), await ours.peer()
        frame = Request("abcd1234", "SEND", leg.local_path, REMOTE, "m1", (1, 5, 5), "text/plain", body=b"hello").emit()
        for byte in frame:
            peer.write(bytes((byte,)))
            await peer.writer.drain()
            await asyncio.sleep(0)
        assert await peer.status() == 200
        assert handler.messages[0].body == b"hello"


@on_both_loops
async def test_a_message_as_long_as_allowed_is_taken_and_a_longer_one_is_413() -> None:
    async with listening(max_message=MIB) as ours:
        handler = Recorder()
        leg, peer = await ours.bound(handler)
        body = bytes(range(256)) * (MIB // 256)
        peer.send(leg.local_path, "m1", body)
        assert await peer.status() == 200
        assert handler.messages[0].body == body
        peer.send(leg.local_path, "m2", body + b"!")
        assert await peer.status() == 413
        assert len(handler.messages) == 1


@on_both_loops
async def test_chunks_of_two_sessions_may_alternate() -> None:
    async with listening() as ours:
        one, other = Recorder(), Recorder()
        leg, peer = await ours.bound(one)
        second = ours.expecting(other)
        await peer.bind(second)
        for start, text, continuation in ((1, b"hel", "+"), (4, b"lo", "$")):
            for session in (leg, second):
                end = start + len(text) - 1
                peer.send(session.local_path, "same", text, byte_range=(start, end, 5), continuation=continuation)
        assert [await peer.status() for _ in range(4)] == [200] * 4
        assert [message.body for message in one.messages + other.messages] == [b"hello", b"hello"]


@on_both_loops
async def test_what_is_not_msrp_ends_the_connection_after_what_came_before_it() -> None:
    async with listening() as ours:
        handler = Recorder()
        leg, peer = await ours.bound(handler)
        message = Request("abcd1234", "SEND", leg.local_path, REMOTE, "m1", (1, 5, 5), "text/plain", body=b"hello")
        peer.write(message.emit() + b"GET / HTTP/1.1\r\n\r\n")
        assert await peer.status() == 200
        assert await peer.ended()
        assert handler.events == ["bound", "message m1", "closed: malformed"]


@on_both_loops
async def test_an_answer_after_the_end_goes_nowhere() -> None:
    async with listening() as ours:
        handler = Recorder(status=None)
        leg, peer = await ours.bound(handler)
        peer.send(leg.local_path, "m1", b"hello")
        await handler.seen(2)
        leg.close()
        leg.answer(handler.messages[0], 200)
        peer.send(leg.local_path)
        assert await peer.status() == 481


# Sent


@on_both_loops
async def test_a_message_is_sent_and_its_future_becomes_the_peers_status() -> None:
    async with listening() as ours:
        leg, peer = await ours.bound(Recorder())
        sent = leg.send("m1", "text/plain", b"hello", success_report=True)
        (request,) = await take(peer, 1)
        assert (request.message_id, request.content_type, request.body) == ("m1", "text/plain", b"hello")
        assert request.success_report
        assert await sent == 200
        refused = leg.send("m2", "text/plain", b"hello")
        await take(peer, 1, 415)
        assert await refused == 415


@on_both_loops
async def test_who_asks_for_no_answer_has_it_sent_at_once() -> None:
    async with listening() as ours:
        leg, peer = await ours.bound(Recorder())
        assert await leg.send("m1", "text/plain", b"hello", failure_report="no") == 200
        assert (await peer.request()).failure_report == "no"


@on_both_loops
async def test_a_long_message_wants_answers_whatever_its_sender_wants() -> None:
    async with listening(max_write_buffer=64 << 10) as ours:
        leg, peer = await ours.bound(Recorder())
        leg.send("m1", "text/plain", bytes(16 << 10), failure_report="no")
        leg.send("m2", "text/plain", bytes((16 << 10) + 1), failure_report="no")
        reports = [(request.message_id, request.failure_report) for request in await take(peer, 4)]
        assert reports == [("m1", "no"), ("m1", "no"), ("m2", "yes"), ("m2", "yes")]


@on_both_loops
async def test_a_message_nobody_answers_is_408() -> None:
    async with listening(timeout=30.0) as ours:
        leg, peer = await ours.bound(Recorder())
        ours.clock.now += 100
        sent = leg.send("m1", "text/plain", b"hello")
        await peer.request()
        ours.clock.now += 30.2
        assert await sent == 408
        assert not leg.closed


@on_both_loops
async def test_what_is_under_way_when_the_peer_dies_is_lost() -> None:
    async with listening() as ours:
        handler = Recorder()
        leg, peer = await ours.bound(handler)
        sent = leg.send("m1", "text/plain", b"hello")
        await peer.request()
        peer.writer.transport.abort()
        assert await sent == CONNECTION_LOST
        assert await handler.seen(2) == ["bound", "closed: connection lost"]
        assert leg.closed
        assert await leg.send("m2", "text/plain", b"hello") == CONNECTION_LOST


@on_both_loops
async def test_close_settles_what_is_under_way_and_tells_nobody() -> None:
    async with listening() as ours:
        handler = Recorder()
        leg, _ = await ours.bound(handler)
        sent = leg.send("m1", "text/plain", b"hello")
        leg.close()
        leg.close()
        assert await sent == CONNECTION_LOST
        assert handler.events == ["bound"]


@on_both_loops
async def test_a_future_given_up_by_its_waiter_disturbs_nobody() -> None:
    async with listening() as ours:
        leg, peer = await ours.bound(Recorder())
        leg.send("m1", "text/plain", b"hello").cancel()
        sent = leg.send("m2", "text/plain", b"hello")
        await take(peer, 2)
        assert await sent == 200


@on_both_loops
async def test_an_id_under_way_is_not_sent_again() -> None:
    async with listening() as ours:
        leg, peer = await ours.bound(Recorder())
        sent = leg.send("m1", "text/plain", b"hello")
        assert await leg.send("m1", "text/plain", b"hello") == QUEUE_FULL
        await take(peer, 1)
        assert await sent == 200


@on_both_loops
async def test_messages_wait_for_their_session_to_be_bound() -> None:
    async with listening() as ours:
        leg, peer = ours.expecting(Recorder()), await ours.peer()
        sent = [leg.send(f"m{number}", "text/plain", b"hello") for number in range(MAX_WAITING)]
        assert await leg.send("one too many", "text/plain", b"hello") == QUEUE_FULL
        await peer.bind(leg)
        requests = await take(peer, MAX_WAITING)
        assert [request.message_id for request in requests] == [f"m{number}" for number in range(MAX_WAITING)]
        assert await asyncio.gather(*sent) == [200] * MAX_WAITING


@on_both_loops
async def test_so_many_bytes_may_wait_or_one_message_of_any_length() -> None:
    async with listening() as ours:
        leg = ours.expecting(Recorder())
        leg.send("m1", "text/plain", bytes(MAX_WAITING_BYTES - 1))
        fits = leg.send("m2", "text/plain", b"1")
        assert await leg.send("m3", "text/plain", b"2") == QUEUE_FULL
        assert not fits.done()
        alone = ours.expecting(Recorder()).send("m1", "text/plain", bytes(MAX_WAITING_BYTES + 1))
        assert not alone.done()


@on_both_loops
async def test_two_endpoints_bring_long_messages_to_each_other() -> None:
    async with listening() as ours:
        here, there = Recorder(), Recorder()
        phone = make_endpoint(prefix="phone")
        active, passive = phone.session(there), ours.endpoint.session(here)
        passive.expect(active.local_path)
        await active.connect(passive.local_path)
        bodies = [bytes((number,)) * MIB for number in range(3)]
        sent = [active.send(f"a{number}", "text/plain", body) for number, body in enumerate(bodies)]
        sent += [passive.send(f"p{number}", "text/plain", body) for number, body in enumerate(bodies)]
        assert await asyncio.gather(*sent) == [200] * 6
        assert [message.body for message in here.messages] == bodies
        assert [message.body for message in there.messages] == bodies
        await phone.close()


@on_both_loops
async def test_a_message_that_holds_end_lines_of_earlier_chunks_arrives() -> None:
    async with listening() as ours:
        leg, peer = await ours.bound(Recorder())
        leg.send("m1", "text/plain", b"hello")
        (first,) = await take(peer, 1)
        body = f"\r\n-------{first.transaction_id}$\r\n".encode()
        sent = leg.send("m2", "text/plain", body)
        assert (await take(peer, 1))[0].body == body
        assert await sent == 200


@on_both_loops
async def test_every_chunk_has_a_token_of_its_own_as_its_name() -> None:
    async with accepting() as (path, came):
        endpoint = make_endpoint(prefix="x" * 24)
        await endpoint.session(Recorder()).connect(path)
        name = (await (await came.get()).request()).transaction_id
        assert name == f"{'x' * 24}00000000"  # cut to the 32 characters of RFC 4975 §9
        await endpoint.close()
