"""Flows and who speaks over them: answers come from where the request went, and what nobody uses is let go."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from unittest.mock import patch

import pytest

from edge.sending import JPEG, Sending
from edge.stranger import DOMAIN, Door, Stranger, aor, meets, uri
from joyn.model.binding import Binding
from joyn.model.message import State
from joyn.protocol.sip.message import SipRequest
from phone.node import CAROL
from waiting import until


async def states_of(door: Door, number: str) -> list[State]:
    return [entry.state for entry in await door.node.store.mailboxes.read(aor(number), 0, 10)]


def make_answer(request: SipRequest, status: str = "200 OK") -> bytes:
    lines = [f"{name}: {request.header(name.lower())}" for name in ("Via", "From", "To", "Call-ID", "CSeq")]
    return "\r\n".join([f"SIP/2.0 {status}", *lines, "Content-Length: 0", "", ""]).encode()


@pytest.mark.parametrize("listener", ["tcp", "udp"])
@pytest.mark.parametrize("forger", ["tcp", "udp"])
def test_an_answer_from_anybody_but_the_device_acknowledges_nothing(listener: str, forger: str) -> None:
    async def story(door: Door) -> None:
        async with door.stranger(listener) as carol, door.stranger(forger) as mallory:
            assert (await carol.register()).status == 200
            await door.alice.send(CAROL, "secret", mode="pager")
            request = await carol.hear()
            assert isinstance(request, SipRequest)
            mallory.say(make_answer(request))
            await door.until(lambda: door.counted("response.forged") == 1)
            assert await states_of(door, CAROL) == [State.PENDING]
            carol.say(make_answer(request))
            await door.until(lambda: door.counted("message.acknowledged") == 1)

    meets(story)


def test_nothing_a_device_sees_tells_the_branch_of_its_next_request() -> None:
    async def story(door: Door) -> None:
        branches = []
        async with door.stranger() as carol:
            assert (await carol.register()).status == 200
            for text in ("one", "two"):
                await door.alice.send(CAROL, text, mode="pager")
                request = await carol.hear()
                assert isinstance(request, SipRequest)
                branches.append(request.top_via.partition("branch=")[2].partition(";")[0])
                carol.say(make_answer(request))
        one, two = (branch.removeprefix("z9hG4bK") for branch in branches)
        assert len(one) >= 16
        assert sum(a == b for a, b in zip(one[:16], two[:16], strict=True)) < 12

    meets(story)


# What nobody uses.


def flows_of(door: Door) -> tuple[int, int]:
    return len(door.node.endpoint.flows), len(door.node.endpoint.datagram_flows)


async def ask_for(carol: Stranger, seconds: int) -> int:
    more = [("Contact", carol.contact(CAROL)), ("Expires", str(seconds))]
    return (await carol.again("REGISTER", f"sip:{DOMAIN}", from_=CAROL, to=f"<{uri(CAROL)}>", more=more)).status


def test_a_udp_flow_is_kept_as_long_as_a_binding_uses_it() -> None:
    async def story(door: Door) -> None:
        before = flows_of(door)
        async with door.stranger("udp") as carol:
            assert (await carol.register(more=[("Expires", "0")])).status == 200
            assert flows_of(door) == before
            assert await ask_for(carol, 5) == 423
            assert flows_of(door) == before
            assert await ask_for(carol, 600) == 200
            assert flows_of(door) == (before[0] + 1, before[1] + 1)
            assert await ask_for(carol, 5) == 423
            assert flows_of(door) == (before[0] + 1, before[1] + 1)
            assert await ask_for(carol, 0) == 200
            assert flows_of(door) == before

    meets(story)


def test_udp_devices_take_no_room_from_connections() -> None:
    async def story(door: Door) -> None:
        async with door.stranger("udp") as carol:
            assert (await carol.register()).status == 200
            async with door.stranger("tcp") as somebody:
                assert await somebody.status(somebody.message()) == 407

    # Alice's and Bob's phones, and somebody.
    meets(story, sip={"max_connections": 3})


class Writing:
    """Bindings being written: `begun`, `allowed` to go on, `done`."""

    def __init__(self) -> None:
        self.begun, self.allowed, self.done = asyncio.Event(), asyncio.Event(), asyncio.Event()


@contextmanager
def bindings_written_late(door: Door) -> Iterator[Writing]:
    """The store takes its time."""
    store, writing = door.node.registrar._store, Writing()
    update = store.update

    async def update_late(put: Sequence[Binding] = (), remove: Sequence[Binding] = ()) -> None:
        if put:
            writing.begun.set()
            await writing.allowed.wait()
        await update(put, remove)
        if put:
            writing.done.set()

    with patch.object(store, "update", update_late):
        yield writing


def test_a_registration_that_is_refused_takes_no_flow_from_one_that_is_being_written() -> None:
    async def story(door: Door) -> None:
        before = flows_of(door)
        async with door.stranger("udp") as carol:
            with bindings_written_late(door) as writing:
                registering = asyncio.ensure_future(carol.register())
                await door.until(lambda: flows_of(door) != before)
                more = [("Contact", carol.contact(CAROL)), ("Expires", "5")]
                to = f"<{uri(CAROL)}>"
                again = carol.digest.authorize("REGISTER", f"sip:{DOMAIN}", b"")
                carol.say(carol.request("REGISTER", f"sip:{DOMAIN}", to=to, more=[*more, *again]))
                await door.until(lambda: door.counted("request.refused") == 1)
                writing.allowed.set()
                assert {(await registering).status, (await carol.answer()).status} == {200, 423}
            assert flows_of(door) == (before[0] + 1, before[1] + 1)
            await door.alice.send(CAROL, "salut", mode="pager")
            assert isinstance(await carol.hear(), SipRequest)

    meets(story)


def test_a_connection_that_breaks_while_its_binding_is_written_leaves_no_binding() -> None:
    async def story(door: Door) -> None:
        before = flows_of(door)

        async def is_unbound() -> bool:
            return not door.node.registrar.of(aor(CAROL)) and not await door.node.store.bindings.of(aor(CAROL))

        with bindings_written_late(door) as writing:
            async with door.stranger() as carol:
                registering = asyncio.ensure_future(carol.register())
                await writing.begun.wait()
            await door.until(lambda: flows_of(door) == before)
            registering.cancel()
            writing.allowed.set()
            await writing.done.wait()
        await until(is_unbound)

    meets(story)


def test_a_file_goes_on_coming_when_the_address_of_its_phone_changes() -> None:
    async def story(door: Door) -> None:
        async with door.stranger("trusted") as before, door.stranger("trusted") as after:
            assert (await before.register()).status == 200
            sending = Sending(door, before, JPEG)
            assert (await sending.offer()).status == 200
            await sending.connect()
            sending.chunk(0, 100, len(JPEG))
            assert await sending.peer.status() == 200
            after.contact = before.contact  # type: ignore[method-assign]  # the same phone behind another address
            assert (await after.register()).status == 200
            sending.chunk(100, 200, len(JPEG))
            assert await sending.peer.status() == 200

    meets(story, files={})
