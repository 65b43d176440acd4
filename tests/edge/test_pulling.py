"""Files that phones ask for: what they were offered and paused, or lost, from the byte on that they name."""

import asyncio
import hashlib
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from edge.receiving import Invitation, Receiving, invited, respond
from edge.sending import JPEG, Sending, entries_of, selector
from edge.stranger import Door, Stranger, aor, meets
from edge.test_transferring import of_carol, receiver, send
from joyn.model.message import State
from joyn.phone.messages import Sent
from joyn.protocol.file_transfer import FileOffer
from joyn.services.messaging.pouring import Pouring
from phone.node import ALICE, BOB, CAROL, make_phone

FILES: dict[str, Any] = {"files": {}}
DATA = JPEG + os.urandom(300_000)
PATIENCE = 5.0
SILENCE = 0.3
Story = Callable[[Door, Stranger, Sent], Awaitable[None]]


class Asking(Sending):
    """A phone that asks for a file, by the same means as it would send one."""

    async def ask(self, start: int = 0, **changed: Any) -> int:
        """The status of the answer."""
        self.say_ask(start, **changed)
        return (await self.answered()).status

    def say_ask(self, start: int = 0, **changed: Any) -> None:
        """Ask, and leave the answer to whoever hears it."""
        fields = {"to": f"tel:{ALICE}", "direction": "recvonly", "file_range": f"{start + 1}-*"} | changed
        self.say_offer(**fields)

    async def receive(self, start: int = 0, **changed: Any) -> Receiving:
        """Ask, be answered and connect."""
        assert await self.ask(start, **changed) == 200
        return Receiving(await self.connect())


def pouring(door: Door) -> Pouring:
    assert door.node.transferring is not None
    return door.node.transferring._pouring


async def part_of(invitation: Invitation, count: int) -> Receiving:
    """Take so many chunks of a file that is brought."""
    receiving = await invitation.take()
    for _ in range(count):
        await receiving.chunk()
    await receiving.peer.request()
    return receiving


async def paused(door: Door, carol: Stranger, count: int = 10) -> bytes:
    """Carol's phone is brought a file and hangs up after so many chunks; what it has."""
    invitation = await invited(carol)
    receiving = await part_of(invitation, count)
    invitation.hang_up()
    assert (await carol.answer()).status == 200
    await door.until(lambda: not of_carol(door))
    return receiving.data


async def register_again(carol: Stranger) -> None:
    own = f"<sip:{CAROL}@joyn.localhost;user=phone>"
    more = [("Contact", carol.contact(CAROL))]
    assert (await carol.again("REGISTER", "sip:joyn.localhost", from_=CAROL, to=own, more=more)).status == 200


async def nothing_is_brought(carol: Stranger) -> None:
    with pytest.raises(TimeoutError):
        await carol.requested("INVITE", SILENCE)


async def delivered_once(door: Door, carol: Stranger, sent: Sent) -> None:
    """Carol's phone has it: Alice hears of that once, and it is not brought any more."""
    await sent.delivered(timeout=PATIENCE)
    (entry,) = await entries_of(door, CAROL)
    assert entry.state is State.DELIVERED
    await register_again(carol)
    await nothing_is_brought(carol)
    told = [one.message.cpim for one in await entries_of(door, ALICE)]
    assert sum(b"<delivered/>" in cpim and sent.message_id.encode() in cpim for cpim in told) == 1
    assert len(pouring(door)) == len(pouring(door).offers) == 0


def play(story: Story, tmp_path: Path, data: bytes = DATA, **files: Any) -> None:
    """Carol's phone knows files over MSRP alone, and Alice has sent her one."""

    async def begun(door: Door) -> None:
        async with door.stranger() as carol:
            await receiver(carol)
            await story(door, carol, await send(door, tmp_path, data))

    meets(begun, files=files)


@pytest.mark.parametrize("count", [0, 1, 17])
def test_a_file_that_was_paused_is_given_to_who_asks_for_the_rest(count: int, tmp_path: Path) -> None:
    async def story(door: Door, carol: Stranger, sent: Sent) -> None:
        have = await paused(door, carol, count)
        await nothing_is_brought(carol)
        asking = Asking(door, carol, DATA)
        receiving = await asking.receive(len(have))
        assert asking.answer is not None
        assert asking.answer.direction == "sendonly"
        assert asking.answer.accept_types == ("image/jpeg",)
        assert asking.attributes["file-selector"] == selector(DATA)
        assert asking.attributes["file-transfer-id"] == asking.transfer_id
        assert asking.attributes["file-range"] == f"{len(have) + 1}-*"
        assert have + await receiving.whole() == DATA
        assert receiving.requests[0].byte_range == (1, 10_240, len(DATA) - len(have))
        await carol.requested("BYE")
        await delivered_once(door, carol, sent)

    play(story, tmp_path)


def test_the_phone_s_word_counts_for_what_it_has(tmp_path: Path) -> None:
    async def story(door: Door, carol: Stranger, sent: Sent) -> None:
        have = await paused(door, carol)
        receiving = await Asking(door, carol, DATA).receive(len(have) - 500)
        assert have[:-500] + await receiving.whole() == DATA
        await delivered_once(door, carol, sent)

    play(story, tmp_path)


def test_who_names_no_range_is_given_all_of_it(tmp_path: Path) -> None:
    async def story(door: Door, carol: Stranger, sent: Sent) -> None:
        await paused(door, carol)
        asking = Asking(door, carol, DATA)
        receiving = await asking.receive(file_range=None)
        assert "file-range" not in asking.attributes
        assert await receiving.whole() == DATA
        await delivered_once(door, carol, sent)

    play(story, tmp_path)


def test_who_asks_for_a_part_has_not_all_of_it(tmp_path: Path) -> None:
    async def story(door: Door, carol: Stranger, sent: Sent) -> None:
        have = await paused(door, carol)
        asking = Asking(door, carol, DATA)
        receiving = await asking.receive(file_range=f"{len(have) + 1}-250000")
        assert asking.attributes["file-range"] == f"{len(have) + 1}-250000"
        have += await receiving.whole()
        assert have == DATA[:250_000]
        await carol.requested("BYE")
        await nothing_is_brought(carol)
        await register_again(carol)
        invitation = await invited(carol)
        # Never from behind what it has; its answers may not all have been heard.
        assert invitation.file.start <= len(have)
        rest = await invitation.take("file-selector", "file-range:250001-*")
        assert have + await rest.whole() == DATA
        await delivered_once(door, carol, sent)

    play(story, tmp_path)


def test_a_file_may_be_paused_and_asked_for_again_and_again(tmp_path: Path) -> None:
    async def story(door: Door, carol: Stranger, sent: Sent) -> None:
        have = await paused(door, carol)
        for _ in range(3):
            asking = Asking(door, carol, DATA)
            receiving = await asking.receive(len(have))
            await receiving.chunk()
            await receiving.peer.request()
            have += receiving.data
            asking.hang_up()
            assert (await carol.answer()).status == 200
            await door.until(lambda: not of_carol(door))
        await nothing_is_brought(carol)
        receiving = await Asking(door, carol, DATA).receive(len(have))
        assert have + await receiving.whole() == DATA
        await delivered_once(door, carol, sent)

    play(story, tmp_path)


@pytest.mark.parametrize("setup", ["active", "passive"])
def test_the_scripted_phone_pauses_a_file_and_has_all_of_it_in_the_end(setup: str, tmp_path: Path) -> None:
    data = JPEG[:4] + os.urandom(8 << 20)
    kept = tmp_path / "kept"
    kept.mkdir()

    async def story(door: Door) -> None:
        begun = asyncio.Event()
        offers: list[FileOffer] = []

        def on_progress(offer: FileOffer, _here: int) -> None:
            offers.append(offer)
            begun.set()

        servers = {"tcp": f"127.0.0.1:{door.ports['tcp']}"}
        async with make_phone(servers, CAROL, style="rcse", directory=kept, msrp_setup=setup) as carol:
            carol.on_file_progress = on_progress
            sent = await send(door, tmp_path, data)
            for _ in range(2):
                await begun.wait()
                paused = await carol.pause_file(offers[-1])
                begun.clear()
                await door.until(lambda: not of_carol(door))
                await carol.resume_file(paused)
            received = await carol.receive(timeout=PATIENCE)
            assert received.path is not None
            assert hashlib.sha256(received.path.read_bytes()).digest() == hashlib.sha256(data).digest()
            assert received.message_id == sent.message_id
            await sent.delivered(timeout=PATIENCE)
            await carol.register()
            with pytest.raises(TimeoutError):
                await carol.receive(timeout=SILENCE)
            assert len(pouring(door)) == len(pouring(door).offers) == 0

    meets(story, **FILES)


# What is not given.


@pytest.mark.parametrize(
    ("changed", "status", "warning"),
    [
        ({"file_selector": selector(DATA[:-1] + b"!")}, 488, "no such file"),
        ({"file_selector": selector(DATA).replace(f"size:{len(DATA)}", "size:17")}, 488, "no such file"),
        ({"file_selector": f'name:"a.jpg" type:image/jpeg size:{len(DATA)}'}, 488, "sha-1"),
        ({"file_selector": selector(DATA).replace(f"size:{len(DATA)} ", "")}, 488, "the size"),
        ({"file_selector": selector(b"")}, 488, "the size"),
        ({"file_range": f"{len(DATA) + 1}-*"}, 488, "behind the end"),
        ({"file_range": "999999999-*"}, 488, "behind the end"),
        ({"file_range": "0-*"}, 400, ""),
        ({"to": f"tel:{BOB}"}, 488, "no such file"),
        ({"to": "tel:+33639989999"}, 404, ""),
        ({"direction": "inactive"}, 488, "is sent"),
        ({"direction": "sendrecv", "file_selector": "x"}, 488, "size"),
    ],
)
def test_what_was_not_offered_is_not_given(changed: dict[str, str], status: int, warning: str, tmp_path: Path) -> None:
    async def story(door: Door, carol: Stranger, _sent: Sent) -> None:
        await paused(door, carol)
        asking = Asking(door, carol, DATA)
        answer = await asking.offer(**{"to": f"tel:{ALICE}", "direction": "recvonly"} | changed)
        assert answer.status == status
        assert warning in (answer.header("warning") or "")
        assert len(pouring(door)) == 0
        assert door.node.msrp._legs == {}

    play(story, tmp_path)


def test_what_was_offered_to_somebody_is_not_given_to_somebody_else(tmp_path: Path) -> None:
    async def story(door: Door, carol: Stranger, _sent: Sent) -> None:
        await paused(door, carol)
        async with door.stranger() as mallory:
            await mallory.register(BOB)
            assert await Asking(door, mallory, DATA).ask(from_=BOB) == 488
            # Whose number the From says does not matter.
            assert await Asking(door, mallory, DATA).ask() == 488

    play(story, tmp_path)


def test_nor_is_it_to_another_device_of_theirs(tmp_path: Path) -> None:
    async def story(door: Door, carol: Stranger, _sent: Sent) -> None:
        await paused(door, carol)
        async with door.stranger() as tablet:
            tablet.instance = "<urn:uuid:tablet>"
            await receiver(tablet)
            (await invited(tablet)).say(486)
            await tablet.requested("ACK")
            await door.until(lambda: not of_carol(door))
            pouring(door).offers.forget(next(key for key in pouring(door).offers._offers if "tablet" in key[1]))
            assert await Asking(door, tablet, DATA).ask() == 488
            assert await Asking(door, carol, DATA).ask() == 200

    play(story, tmp_path)


def test_a_file_that_was_brought_whole_is_not_given_again(tmp_path: Path) -> None:
    async def story(door: Door, carol: Stranger, sent: Sent) -> None:
        assert await (await (await invited(carol)).take()).whole() == DATA
        await sent.delivered(timeout=PATIENCE)
        assert await Asking(door, carol, DATA).ask() == 488

    play(story, tmp_path)


def test_who_has_declined_a_file_is_not_given_it(tmp_path: Path) -> None:
    async def story(door: Door, carol: Stranger, _sent: Sent) -> None:
        (await invited(carol)).say(603)
        await carol.requested("ACK")
        await door.until(lambda: not of_carol(door))
        assert await Asking(door, carol, DATA).ask() == 488

    play(story, tmp_path)


def test_a_file_that_was_withdrawn_is_not_given(tmp_path: Path) -> None:
    async def story(door: Door, carol: Stranger, sent: Sent) -> None:
        await paused(door, carol)
        assert await door.node.terminating.revoke(aor(CAROL), aor(ALICE), sent.message_id)
        asking = Asking(door, carol, DATA)
        answer = await asking.offer(to=f"tel:{ALICE}", direction="recvonly")
        assert (answer.status, "withdrawn" in (answer.header("warning") or "")) == (488, True)

    play(story, tmp_path)


def test_a_file_that_is_being_given_is_not_withdrawn(tmp_path: Path) -> None:
    async def story(door: Door, carol: Stranger, sent: Sent) -> None:
        have = await paused(door, carol)
        receiving = await Asking(door, carol, DATA).receive(len(have))
        await receiving.chunk()
        assert not await door.node.terminating.revoke(aor(CAROL), aor(ALICE), sent.message_id)
        assert have + await receiving.whole() == DATA
        await delivered_once(door, carol, sent)

    play(story, tmp_path)


def test_nor_is_one_given_while_it_is_withdrawn(tmp_path: Path) -> None:
    async def story(door: Door, carol: Stranger, sent: Sent) -> None:
        await paused(door, carol)
        door.node.terminating._revoking.add((aor(CAROL), aor(ALICE), sent.message_id))
        assert await Asking(door, carol, DATA).ask() == 486
        door.node.terminating._revoking.clear()
        assert await Asking(door, carol, DATA).ask() == 200

    play(story, tmp_path)


@pytest.mark.parametrize("over", ["message", "file", "failed", "mailbox"])
def test_a_file_whose_time_is_over_is_not_given(over: str, tmp_path: Path) -> None:
    async def story(door: Door, carol: Stranger, _sent: Sent) -> None:
        await paused(door, carol)
        (entry,) = await entries_of(door, CAROL)
        if over == "message":
            door.node.terminating._wall = lambda: entry.message.deliver_until
        elif over == "file":
            door.node.content._server._wall = lambda: 4e9
        elif over == "failed":
            assert await door.node.store.mailboxes.fail(aor(CAROL), entry.seq)
        else:
            await door.node.store.mailboxes.prune(4e10)
        assert await Asking(door, carol, DATA).ask() == 488
        assert len(pouring(door)) == 0

    play(story, tmp_path)


def test_who_has_only_a_password_is_no_device_that_was_offered_anything(tmp_path: Path) -> None:
    async def story(door: Door, carol: Stranger, _sent: Sent) -> None:
        await paused(door, carol)
        async with door.stranger() as caller:
            asking = Asking(door, caller, DATA)
            sdp = asking.sdp(direction="recvonly")
            challenge = await asking.offer(sdp, to=f"tel:{ALICE}")
            assert challenge.status == 407
            caller.digest = carol.digest
            assert caller.digest.challenged(challenge)
            credentials = caller.digest.authorize("INVITE", f"tel:{ALICE}", sdp)
            assert (await asking.offer(sdp, to=f"tel:{ALICE}", more=tuple(credentials))).status == 488

    play(story, tmp_path)


def test_a_device_that_was_signed_out_meanwhile_is_given_nothing(tmp_path: Path) -> None:
    async def story(door: Door, carol: Stranger, _sent: Sent) -> None:
        await paused(door, carol)

        async def none(_username: str) -> None:
            return None

        assert door.node.transfers._pulls is not None
        door.node.transfers._pulls._holds = none
        assert await Asking(door, carol, DATA).ask() == 403
        assert len(pouring(door)) == 0
        assert door.node.msrp._legs == {}

    play(story, tmp_path)


# Brought and asked for at the same time.


def test_who_asks_for_a_file_that_is_being_brought_is_given_it_instead(tmp_path: Path) -> None:
    async def story(door: Door, carol: Stranger, sent: Sent) -> None:
        old = await part_of(await invited(carol), 10)
        receiving = await Asking(door, carol, DATA).receive(len(old.data))
        assert old.data + await receiving.whole() == DATA
        await delivered_once(door, carol, sent)

    play(story, tmp_path)


def test_a_phone_that_rings_for_a_file_may_ask_for_it(tmp_path: Path) -> None:
    async def story(door: Door, carol: Stranger, sent: Sent) -> None:
        old = await part_of(await invited(carol), 10)
        old.peer.close()
        invitation = await invited(carol)
        invitation.say(180)
        asking = Asking(door, carol, DATA)
        asking.say_ask(len(old.data))
        await carol.requested("CANCEL")
        invitation.say(487)
        assert (await asking.answered()).status == 200
        receiving = Receiving(await asking.connect())
        assert old.data + await receiving.whole() == DATA
        await delivered_once(door, carol, sent)

    play(story, tmp_path)


def test_a_file_that_waits_for_its_turn_keeps_it_when_there_is_none_for_who_asks(tmp_path: Path) -> None:
    async def story(door: Door, carol: Stranger, _sent: Sent) -> None:
        have = await paused(door, carol)
        await send(door, tmp_path, JPEG)
        other = await invited(carol)  # has the only slot
        await register_again(carol)
        await door.until(lambda: len(pouring(door)) == 2)
        assert await Asking(door, carol, DATA).ask(len(have)) == 486
        other.say(603)
        invitation = await invited(carol)
        rest = await invitation.take("file-selector", f"file-range:{len(have) + 1}-*")
        assert have + await rest.whole() == DATA

    play(story, tmp_path, transfers_per_device=1)


def test_who_asks_has_the_slot_of_what_was_brought_though_others_wait_for_it(tmp_path: Path) -> None:
    async def story(door: Door, carol: Stranger, _sent: Sent) -> None:
        old = await part_of(await invited(carol), 10)
        await send(door, tmp_path, JPEG)
        await door.until(lambda: len(pouring(door)) == 2)
        receiving = await Asking(door, carol, DATA).receive(len(old.data))
        assert old.data + await receiving.whole() == DATA
        assert await (await (await invited(carol)).take()).whole() == JPEG

    play(story, tmp_path, transfers_per_device=1)


def test_what_is_being_given_is_not_brought_as_well(tmp_path: Path) -> None:
    async def story(door: Door, carol: Stranger, sent: Sent) -> None:
        have = await paused(door, carol)
        receiving = await Asking(door, carol, DATA).receive(len(have))
        await receiving.chunk()
        await register_again(carol)
        await door.until(lambda: len(pouring(door)) == 2)
        await nothing_is_brought(carol)
        assert have + await receiving.whole() == DATA
        await delivered_once(door, carol, sent)

    play(story, tmp_path)


def test_when_it_breaks_it_is_brought_from_there(tmp_path: Path) -> None:
    async def story(door: Door, carol: Stranger, sent: Sent) -> None:
        have = await paused(door, carol)
        receiving = await Asking(door, carol, DATA).receive(len(have))
        await receiving.chunk()
        await receiving.peer.request()
        have += receiving.data
        await register_again(carol)
        await door.until(lambda: len(pouring(door)) == 2)
        receiving.peer.close()
        invitation = await invited(carol)
        # Answers on their way when the connection was lost may not have been heard.
        assert 0 < invitation.file.start <= len(have)
        rest = await invitation.take("file-selector", f"file-range:{len(have) + 1}-*")
        assert have + await rest.whole() == DATA
        await delivered_once(door, carol, sent)

    play(story, tmp_path)


def test_when_it_is_paused_once_more_it_is_not_brought_at_once(tmp_path: Path) -> None:
    async def story(door: Door, carol: Stranger, _sent: Sent) -> None:
        have = await paused(door, carol)
        asking = Asking(door, carol, DATA)
        await (await asking.receive(len(have))).chunk()
        await register_again(carol)
        await door.until(lambda: len(pouring(door)) == 2)
        asking.hang_up()
        assert (await carol.answer()).status == 200
        await nothing_is_brought(carol)
        assert len(pouring(door)) == 0

    play(story, tmp_path)


def test_who_asks_twice_is_given_it_once(tmp_path: Path) -> None:
    async def story(door: Door, carol: Stranger, sent: Sent) -> None:
        have = await paused(door, carol)
        first = await Asking(door, carol, DATA).receive(len(have))
        await first.chunk()
        await first.peer.request()
        have += first.data
        second = await Asking(door, carol, DATA).receive(len(have))
        assert have + await second.whole() == DATA
        await delivered_once(door, carol, sent)

    play(story, tmp_path)


def test_of_two_that_ask_at_once_the_later_is_given_it(tmp_path: Path) -> None:
    async def story(door: Door, carol: Stranger, _sent: Sent) -> None:
        have = await paused(door, carol)
        filing, gate = door.node.content.filing, asyncio.Event()
        assert filing is not None
        opened = filing.open

        async def slow(url: str) -> Any:
            await gate.wait()
            return await opened(url)

        filing.open = slow  # type: ignore[method-assign]  # the disk is slow
        asked = [Asking(door, carol, DATA) for _ in range(2)]
        for one in asked:
            one.say_ask(len(have))
        await door.until(lambda: len(pouring(door)) == 2)
        gate.set()
        statuses = [(await carol.answer()).status for _ in asked]
        assert sorted(statuses) == [200, 486]

    play(story, tmp_path)


def test_a_refusal_in_the_middle_begins_it_anew_when_the_phone_registers(tmp_path: Path) -> None:
    async def story(door: Door, carol: Stranger, sent: Sent) -> None:
        have = await paused(door, carol)
        receiving = await Asking(door, carol, DATA).receive(len(have))
        await receiving.chunk(413)
        await carol.requested("BYE")
        await nothing_is_brought(carol)
        await register_again(carol)
        invitation = await invited(carol)
        assert not invitation.file.ranged
        assert await (await invitation.take()).whole() == DATA
        await delivered_once(door, carol, sent)

    play(story, tmp_path)


def test_what_was_given_while_no_pump_saw_it_is_not_brought_afterwards(tmp_path: Path) -> None:
    async def story(door: Door, carol: Stranger, sent: Sent) -> None:
        have = await paused(door, carol)
        receiving = await Asking(door, carol, DATA).receive(len(have))
        door.node.terminating._devices.clear()
        assert have + await receiving.whole() == DATA
        await carol.requested("BYE")
        async with door.stranger() as again:
            await receiver(again)
            await delivered_once(door, again, sent)

    play(story, tmp_path)


# Bounds.


@pytest.mark.parametrize(("bounds", "status"), [({"transfers_per_device": 1}, 486), ({"transfers": 1}, 503)])
def test_as_many_are_given_as_may_be_brought(bounds: dict[str, int], status: int, tmp_path: Path) -> None:
    async def story(door: Door, carol: Stranger, _sent: Sent) -> None:
        await paused(door, carol)
        await send(door, tmp_path, JPEG)
        other = await invited(carol)
        assert await Asking(door, carol, DATA).ask() == status
        assert len(pouring(door)) == 1
        other.say(603)
        await carol.requested("ACK")
        await door.until(lambda: not of_carol(door))
        assert await Asking(door, carol, DATA).ask() == 200

    play(story, tmp_path, **bounds)


def test_a_pull_of_which_nothing_is_taken_is_ended(tmp_path: Path) -> None:
    async def story(door: Door, carol: Stranger, _sent: Sent) -> None:
        invitation = await invited(carol)
        invitation.say(486)
        await carol.requested("ACK")
        await door.until(lambda: not of_carol(door))
        assert await Asking(door, carol, DATA).ask() == 200
        await carol.requested("BYE")
        await door.until(lambda: not of_carol(door))

    play(story, tmp_path, transfer_idle=0.2)


def test_pulls_of_who_was_signed_out_end(tmp_path: Path) -> None:
    async def story(door: Door, carol: Stranger, _sent: Sent) -> None:
        have = await paused(door, carol)
        receiving = await Asking(door, carol, DATA).receive(len(have))
        await receiving.chunk()
        door.node.sessions.end_all(aor(CAROL))
        await carol.requested("BYE")
        await door.until(lambda: not of_carol(door))

    play(story, tmp_path)


def test_pulls_end_with_the_node(tmp_path: Path) -> None:
    async def story(door: Door, carol: Stranger, _sent: Sent) -> None:
        await paused(door, carol)
        assert await Asking(door, carol, DATA).ask() == 200
        await asyncio.wait_for(pouring(door).close(), PATIENCE)
        assert len(pouring(door)) == 0
        await carol.requested("BYE")

    play(story, tmp_path)


def test_a_phone_may_answer_a_call_while_it_is_given_a_file(tmp_path: Path) -> None:
    async def story(door: Door, carol: Stranger, sent: Sent) -> None:
        have = await paused(door, carol)
        receiving = await Asking(door, carol, DATA).receive(len(have))
        await receiving.chunk()
        await door.alice.send(CAROL, "are you there?")
        request = await carol.requested("INVITE")
        assert b"are you there?" in request.body
        carol.say(respond(request, 486, carol.contact(CAROL)))
        assert have + await receiving.whole() == DATA
        await sent.delivered(timeout=PATIENCE)

    play(story, tmp_path)
