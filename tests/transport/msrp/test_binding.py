import asyncio

import pytest

from joyn.model.refused import Refused
from joyn.transport.msrp import CONNECTION_LOST, MsrpListener
from transport.msrp.ends import REMOTE, Clock, Recorder, accepting, joined, listening, make_endpoint, on_both_loops


@on_both_loops
async def test_an_empty_send_binds_the_session_to_its_connection() -> None:
    async with listening() as ours:
        handler = Recorder()
        leg, peer = ours.expecting(handler), await ours.peer()
        name = peer.send(leg.local_path)
        answer = await peer.frame()
        assert (answer.transaction_id, answer.to_path, answer.from_path) == (name, REMOTE, leg.local_path)
        assert await handler.seen(1) == ["bound"]
        assert leg.bound


@on_both_loops
async def test_a_message_binds_as_well_and_is_handed_up_after_that() -> None:
    async with listening() as ours:
        handler = Recorder()
        leg, peer = ours.expecting(handler), await ours.peer()
        peer.send(leg.local_path, "m1", b"hello")
        assert await peer.status() == 200
        assert handler.events == ["bound", "message m1"]
        assert handler.messages[0].body == b"hello"


@on_both_loops
async def test_a_session_nobody_made_is_481() -> None:
    async with listening() as ours:
        leg, peer = ours.expecting(Recorder()), await ours.peer()
        peer.send(leg.local_path.replace(leg.local.session_id, "guessed"))
        assert await peer.status() == 481


@on_both_loops
async def test_who_wants_no_failure_report_gets_none_for_an_unknown_session_either() -> None:
    async with listening() as ours:
        leg, peer = ours.expecting(Recorder()), await ours.peer()
        peer.send("msrp://127.0.0.1:9/unknown;tcp", failure_report="no")
        peer.send("msrp://127.0.0.1:9/unknown;tcp", "m1", b"long", failure_report="no")
        name = peer.send(leg.local_path)
        assert (await peer.frame()).transaction_id == name


@on_both_loops
async def test_a_path_that_goes_on_behind_us_is_481_and_an_unreadable_one_400() -> None:
    async with listening() as ours:
        leg, peer = ours.expecting(Recorder()), await ours.peer()
        peer.send(f"{leg.local_path} msrp://192.0.2.9:9/other;tcp")
        assert await peer.status() == 481
        peer.send("msrp://")
        assert await peer.status() == 400
        assert leg.connection is None


@on_both_loops
async def test_another_from_path_than_announced_does_not_bind() -> None:
    async with listening() as ours:
        leg, peer = ours.expecting(Recorder()), await ours.peer()
        peer.send(leg.local_path, from_path="msrp://192.0.2.7:9/phone2;tcp")
        assert await peer.status() == 481
        peer.send(leg.local_path, from_path="nonsense")
        assert await peer.status() == 400
        assert not leg.bound


@on_both_loops
async def test_behind_a_relay_the_session_id_alone_must_be_the_announced_one() -> None:
    async with listening() as ours:
        leg, peer = ours.expecting(Recorder()), await ours.peer()
        await peer.bind(leg, from_path="msrp://198.51.100.1:2855/relay;tcp msrp://10.0.0.1:1234/phone1;tcp")
        assert leg.bound


@on_both_loops
async def test_a_second_connection_for_a_bound_session_is_506() -> None:
    async with listening() as ours:
        leg, first = await ours.bound(Recorder())
        second = await ours.peer()
        second.send(leg.local_path)
        assert await second.status() == 506
        first.send(leg.local_path)
        assert await first.status() == 200


@on_both_loops
async def test_two_sessions_share_a_connection_and_end_apart() -> None:
    async with listening() as ours:
        one, other = Recorder(), Recorder()
        leg, peer = await ours.bound(one)
        second = ours.expecting(other, "msrp://192.0.2.7:9/phone2;tcp")
        await peer.bind(second, "msrp://192.0.2.7:9/phone2;tcp")
        peer.send(leg.local_path, "m1", b"to one")
        peer.send(second.local_path, "m2", b"to the other")
        assert [await peer.status(), await peer.status()] == [200, 200]
        assert [message.body for message in one.messages + other.messages] == [b"to one", b"to the other"]
        leg.close()
        peer.send(leg.local_path, "m3", b"too late")
        peer.send(second.local_path, "m4", b"in time")
        assert [await peer.status(), await peer.status()] == [481, 200]


@on_both_loops
async def test_only_a_send_binds() -> None:
    async with listening() as ours:
        leg, peer = ours.expecting(Recorder()), await ours.peer()
        head = f"MSRP abcd1234 {{}}\r\nTo-Path: {leg.local_path}\r\nFrom-Path: {REMOTE}\r\n"
        end = "-------abcd1234$\r\n"
        peer.write(f"{head.format('REPORT')}{end}".encode())  # never answered
        peer.write(f"{head.format('AUTH')}{end}".encode())
        assert await peer.status() == 501
        peer.write(f"{head.format('200 OK')}{end}".encode())  # nor is a response, of nothing
        await peer.bind(leg)


@on_both_loops
async def test_an_msrps_session_does_not_take_a_connection_without_tls() -> None:
    async with listening() as ours:
        leg, peer = ours.endpoint.session(Recorder(), tls=True), await ours.peer()
        leg.expect(REMOTE)
        peer.send(leg.local_path)
        assert await peer.status() == 481


@on_both_loops
async def test_a_peer_quicker_than_its_answer_is_heard_once_that_is_here() -> None:
    async with listening() as ours:
        handler = Recorder()
        leg, peer = ours.endpoint.session(handler), await ours.peer()
        peer.send(leg.local_path)
        peer.send(leg.local_path, "m1", b"hello")
        await joined(leg)
        assert handler.events == []
        leg.expect(REMOTE)
        assert [await peer.status(), await peer.status()] == [200, 200]
        peer.send(leg.local_path, "m2", b"again")
        assert await peer.status() == 200
        assert handler.events == ["bound", "message m1", "message m2"]


@on_both_loops
async def test_a_quick_stranger_is_refused_once_the_answer_is_here_and_the_peer_may_come() -> None:
    async with listening() as ours:
        leg, stranger = ours.endpoint.session(Recorder()), await ours.peer()
        stranger.send(leg.local_path, from_path="msrp://192.0.2.66:9/stranger;tcp")
        await joined(leg)
        leg.expect(REMOTE)
        assert await stranger.status() == 481
        await (await ours.peer()).bind(leg)
        stranger.send(leg.local_path, from_path="msrp://192.0.2.66:9/stranger;tcp")
        assert await stranger.status() == 481


@on_both_loops
async def test_the_connection_of_a_quick_stranger_has_its_time_for_another_session() -> None:
    async with listening(idle_timeout=32.0) as ours:
        leg, stranger, idle = ours.endpoint.session(Recorder()), await ours.peer(), await ours.peer()
        stranger.send(leg.local_path, from_path="msrp://192.0.2.66:9/stranger;tcp")
        await joined(leg)
        ours.clock.now += 32.2
        assert await idle.ended()
        leg.expect(REMOTE)
        assert await stranger.status() == 481
        ours.clock.now += 32.2
        assert await stranger.ended()


@on_both_loops
async def test_a_session_that_ends_before_its_answer_lets_its_connection_be_read_again() -> None:
    async with listening() as ours:
        leg, peer = ours.endpoint.session(Recorder()), await ours.peer()
        peer.send(leg.local_path)
        await joined(leg)
        leg.close()
        peer.send(leg.local_path)
        assert await peer.status() == 481


@on_both_loops
async def test_the_active_side_sends_an_empty_send_and_is_bound_by_its_answer() -> None:
    async with accepting() as (path, came):
        endpoint, handler = make_endpoint(), Recorder()
        leg = endpoint.session(handler)
        assert leg.listener is None
        assert ":9/" in leg.local_path
        await leg.connect(path)
        peer = await came.get()
        request = await peer.request()
        assert (request.method, request.to_path, request.from_path) == ("SEND", path, leg.local_path)
        assert (request.body, request.byte_range) == (None, None)
        assert not leg.bound
        peer.respond(request)
        assert await handler.seen(1) == ["bound"]
        await endpoint.close()


@on_both_loops
async def test_host_and_port_may_be_others_than_the_path_says() -> None:
    async with accepting() as (path, came):
        endpoint = make_endpoint()
        port = int(path.split(":")[2].split("/")[0])
        await endpoint.session(Recorder()).connect("msrp://192.0.2.1:9/phone1;tcp", host="127.0.0.1", port=port)
        assert (await (await came.get()).request()).to_path == "msrp://192.0.2.1:9/phone1;tcp"
        await endpoint.close()


@on_both_loops
async def test_a_refused_binding_ends_the_session_and_what_waited_for_it() -> None:
    async with accepting() as (path, came):
        endpoint, handler = make_endpoint(), Recorder()
        leg = endpoint.session(handler)
        sent = leg.send("m1", "text/plain", b"hello")
        await leg.connect(path)
        peer = await came.get()
        peer.respond(await peer.request(), 481)
        assert await handler.seen(1) == ["closed: refused 481"]
        assert await sent == CONNECTION_LOST
        assert await peer.ended()
        await endpoint.close()


@on_both_loops
async def test_an_unanswered_binding_ends_the_session() -> None:
    async with accepting() as (path, _):
        clock, handler = Clock(), Recorder()
        endpoint = make_endpoint(clock, timeout=30.0)
        await endpoint.session(handler).connect(path)
        clock.now += 30.2
        assert await handler.seen(1) == ["closed: refused 408"]
        await endpoint.close()


@on_both_loops
async def test_a_session_closed_while_it_connects_sends_nothing() -> None:
    async with accepting() as (path, came):
        endpoint = make_endpoint()
        leg = endpoint.session(Recorder())
        connecting = asyncio.create_task(leg.connect(path))
        await asyncio.sleep(0)
        leg.close()
        await connecting
        assert await (await came.get()).ended()
        await endpoint.close()


@on_both_loops
async def test_where_nobody_listens_connect_raises() -> None:
    async with accepting() as (path, _):
        pass
    endpoint = make_endpoint()
    with pytest.raises(OSError):
        await endpoint.session(Recorder()).connect(path)
    await endpoint.close()


@on_both_loops
async def test_a_uri_is_on_the_listener_of_its_kind_and_holds_two_tokens() -> None:
    endpoint = make_endpoint()
    bound = await endpoint.listen(
        MsrpListener(name="m", transport="TCP", host="127.0.0.1", port=0, advertise="chat.joyn.example")
    )
    leg = endpoint.session(Recorder())
    assert leg.listener == bound
    assert leg.local_path.startswith(f"msrp://chat.joyn.example:{bound.port}/")
    assert leg.local.session_id == "ours000000000001ours000000000002"
    assert endpoint.session(Recorder(), tls=True).listener is None
    await endpoint.close()


@on_both_loops
async def test_more_sessions_than_allowed_are_refused_until_one_ends() -> None:
    endpoint = make_endpoint(max_sessions=2)
    first, _ = endpoint.session(Recorder()), endpoint.session(Recorder())
    with pytest.raises(Refused):
        endpoint.session(Recorder())
    first.close()
    endpoint.session(Recorder())
    await endpoint.close()
