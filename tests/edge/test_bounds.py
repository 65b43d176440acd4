"""Who takes too much meets a bound and a clear answer, and nobody else notices."""

import asyncio
import threading
from collections import Counter
from dataclasses import replace

import pytest

from edge.stranger import DOMAIN, Door, aor, connection, make_cpim, meets, writer_of
from joyn.phone import Rejected
from phone.node import BOB, CAROL

PATIENCE = 5.0


def test_somebody_who_asks_and_does_not_read_is_disconnected() -> None:
    async def story(door: Door) -> None:
        async with door.stranger() as somebody:
            somebody.deaf()
            # The answer repeats the Via: what the sockets hold in between is soon used up.
            long = f"SIP/2.0/TCP 127.0.0.1:5060;branch=z9hG4bKlong;x={'x' * 12_000}"
            flows = len(door.node.endpoint.flows)
            for _ in range(5_000):
                somebody.say(somebody.request("OPTIONS", f"sip:{DOMAIN}", via=long))
                await asyncio.sleep(0)
                if len(door.node.endpoint.flows) < flows:
                    break
            assert len(door.node.endpoint.flows) == flows - 1
            assert door.counted("connection.stalled") == 1

    meets(story, sip={"max_write_buffer": 64 << 10})


@pytest.mark.parametrize("said", [b"", b"MESSAGE tel:+33639980002 SIP/2.0\r\nVia: ", b"\r\n\r\n"])
def test_a_connection_that_never_says_a_whole_request_is_closed(said: bytes) -> None:
    async def story(door: Door) -> None:
        async with door.stranger() as somebody:
            somebody.say(said)
            await door.until(lambda: len(door.node.endpoint.flows) == 3)  # Alice's, Bob's, and this one
            door_looks_at(door, 31.0)
            await somebody.silence()
            assert not somebody.closed
            door_looks_at(door, 33.0)
            assert await somebody.hear() is None

    meets(story, sip={"idle_timeout": 32.0})


def door_looks_at(door: Door, later: float) -> None:
    """The node's look at silent connections, so many seconds later."""
    now = door.node.endpoint.now() + later
    for flow in list(door.node.endpoint.flows.values()):
        connection(flow).check_silence(now)


def test_a_registered_phone_that_keeps_its_flow_alive_no_more_is_closed_and_unregistered() -> None:
    async def story(door: Door) -> None:
        async with door.stranger() as carol:
            assert (await carol.register()).status == 200
            flow = door.node.endpoint.flows[door.node.registrar.of(aor(CAROL))[0].flow]
            flow.keep_alive_wanted(120.0)
            now = door.node.endpoint.now()
            connection(flow).check_silence(now + 149)
            assert await carol.status(carol.message()) == 202
            connection(flow).check_silence(now + 160)
            while await carol.hear() is not None:
                pass
            await door.until(lambda: not door.node.registrar.of(aor(CAROL)))

    meets(story)


def test_one_source_has_so_many_connections_and_no_more() -> None:
    async def story(door: Door) -> None:
        async with door.stranger() as third, door.stranger() as fourth, door.stranger() as fifth:
            assert await fifth.hear() is None
            for one in (third, fourth):
                assert await one.status(one.request("OPTIONS", f"sip:{DOMAIN}")) == 200
        await door.until(lambda: len(door.node.endpoint.flows) == 2)
        async with door.stranger() as again:
            assert await again.status(again.request("OPTIONS", f"sip:{DOMAIN}")) == 200

    meets(story, sip={"max_connections_per_source": 4})


def test_a_flood_of_datagrams_is_told_to_come_later_and_loses_nothing_it_was_promised() -> None:
    async def story(door: Door) -> None:
        async with door.stranger("trusted") as carol:
            assert (await carol.register()).status == 200
            writer, go_on = writer_of(door), threading.Event()
            write = writer._write
            writer._write = lambda *work: go_on.wait(PATIENCE) and write(*work)
            for number in range(60):
                carol.say(carol.message(BOB, make_cpim(str(number))))
            answers = [await carol.answer()]  # while nothing is on disk: the first that is one too many
            go_on.set()
            answers += [await carol.answer() for _ in range(59)]
            counted = Counter(answer.status for answer in answers)
            assert set(counted) == {202, 503}
            assert counted[202] >= 3
            assert {answer.header("retry-after") for answer in answers if answer.status == 503} == {"5"}
            for _ in range(counted[202]):
                assert (await door.bob.receive(timeout=PATIENCE)).sender == CAROL

    meets(story, sip={"max_in_flight_per_flow": 3})


def test_a_flood_over_a_connection_is_read_as_fast_as_it_can_be_served() -> None:
    async def story(door: Door) -> None:
        async with door.stranger() as carol:
            assert (await carol.register()).status == 200
            carol.say(b"".join(carol.message(BOB, make_cpim(str(number))) for number in range(200)))
            assert {(await carol.answer()).status for _ in range(200)} == {202}
            received = [(await door.bob.receive(timeout=PATIENCE)).text for _ in range(200)]
            assert received == [str(number) for number in range(200)]

    meets(story, sip={"max_in_flight_per_flow": 3})


def test_a_flood_of_registrations_with_wrong_passwords_stops_nobody() -> None:
    async def story(door: Door) -> None:
        async with door.stranger("udp") as somebody:
            for _ in range(300):
                value = f'Digest username="{CAROL}",realm="{DOMAIN}",nonce="x",uri="sip:{DOMAIN}",response="{"0" * 32}"'
                somebody.say(
                    somebody.request("REGISTER", f"sip:{DOMAIN}", to=f"<tel:{CAROL}>", more=[("Authorization", value)])
                )
            await door.still_serves()
            assert (await somebody.answer()).status == 401

    meets(story)


def test_a_datagram_that_comes_twice_is_answered_twice_and_served_once() -> None:
    async def story(door: Door) -> None:
        async with door.stranger("trusted") as carol:
            assert (await carol.register()).status == 200
            request = carol.message(BOB, make_cpim("une fois"))
            first = await carol.ask(request)
            second = await carol.ask(request)
            assert bytes(first) == bytes(second)
            assert (await door.bob.receive(timeout=PATIENCE)).text == "une fois"

    meets(story)


def test_a_message_too_large_for_a_session_is_answered_413() -> None:
    async def story(door: Door) -> None:
        with pytest.raises(Rejected) as raised:
            await door.alice.send(BOB, "x" * 20_000, mode="session")
        assert raised.value.status == 413

    meets(story, msrp={"max_message": 10_000})


def test_a_store_that_has_too_much_to_do_makes_senders_come_later() -> None:
    async def story(door: Door) -> None:
        writer = writer_of(door)
        limits, writer._limits = writer._limits, replace(writer._limits, queued=0)
        async with door.stranger() as carol:
            assert (await carol.prove("MESSAGE", f"tel:{BOB}", make_cpim("salut"))).status == 503
            answer = await carol.again("MESSAGE", f"tel:{BOB}", make_cpim("salut"))
            assert (answer.status, answer.header("retry-after")) == (503, "5")
        writer._limits = limits
        assert await door.node.store.mailboxes.read(aor(BOB), 0, 10) == []

    meets(story)
