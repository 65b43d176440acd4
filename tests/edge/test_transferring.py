"""Files for phones that know MSRP alone: invited to, brought to the byte, gone on with, refused."""

import hashlib
import os
import tracemalloc
from pathlib import Path

import aiohttp
import pytest

from edge.receiving import MSRP_ALONE, Invitation, invited, respond, tags
from edge.sending import JPEG, PNG, Sending, entries_of, selector
from edge.stranger import Door, Stranger, aor, meets
from joyn.model.message import State
from joyn.model.tags import FILE_OVER_HTTP, FILE_OVER_MSRP, THUMBNAIL
from joyn.phone.files import FileTransfer
from joyn.phone.messages import Sent
from joyn.protocol.file_info import CONTENT_TYPE, FileInfo, emit
from joyn.services.messaging.transferring import MAX_ICON
from phone.node import ALICE, BOB, CAROL, PASSWORD
from waiting import until

FILES = {"files": {}}
PATIENCE = 5.0
MIB = 1 << 20


async def upload(door: Door, path: Path, data: bytes = JPEG, thumbnail: bytes = b"") -> tuple[FileInfo, ...]:
    """Alice brings a file to the content server by HTTP."""
    file = path / "a.jpg"
    file.write_bytes(data)
    async with FileTransfer(f"{door.node.content.url}/content", ALICE, PASSWORD) as transfer:
        return await transfer.upload(file, thumbnail=thumbnail)


async def send(door: Door, path: Path, data: bytes = JPEG, thumbnail: bytes = b"") -> Sent:
    """Alice sends Carol a file by HTTP."""
    infos = await upload(door, path, data, thumbnail)
    return await door.alice.send(
        CAROL, emit(infos), content_type=CONTENT_TYPE, request=("positive-delivery", "negative-delivery")
    )


async def receiver(carol: Stranger, parameters: str = MSRP_ALONE) -> Stranger:
    carol.tags = parameters
    assert (await carol.register()).status == 200
    return carol


def of_carol(door: Door) -> int:
    return len(door.node.transferring._pouring) if door.node.transferring is not None else 0


def test_a_file_goes_as_itself_to_a_phone_that_knows_msrp_alone(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        async with door.stranger() as carol:
            await receiver(carol)
            sent = await send(door, tmp_path)
            invitation = await invited(carol)
            file = invitation.file
            assert (file.name, file.content_type, file.size) == ("a.jpg", "image/jpeg", len(JPEG))
            assert file.hashes == (("sha-1", hashlib.sha1(JPEG, usedforsecurity=False).hexdigest()),)
            assert (file.transfer_id, file.disposition, file.ranged) == (sent.message_id, "attachment", False)
            media = invitation.description.msrp_of(invitation.medium)
            assert (media.direction, media.max_size, media.accept_types) == ("sendonly", len(JPEG), ("image/jpeg",))
            assert invitation.request.header("accept-contact") == "*;+g.oma.sip-im"
            assert ALICE in (invitation.request.header("p-asserted-identity") or "")
            receiving = await invitation.take()
            assert await receiving.whole() == JPEG
            assert receiving.requests[0].content_type == "image/jpeg"
            # It is complete: BYE; and the phone, which knows no receipt for it, has it.
            await carol.requested("BYE")
            await sent.delivered(timeout=PATIENCE)
            (entry,) = await entries_of(door, CAROL)
            assert entry.state is State.DELIVERED

    meets(story, **FILES)


def test_a_file_waits_for_a_phone_that_is_away(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        sent = await send(door, tmp_path)
        async with door.stranger() as carol:
            await receiver(carol)
            invitation = await invited(carol)
            # Facts §4.8: that header is for stored chats.
            assert invitation.request.header("referred-by") is None
            assert await (await invitation.take()).whole() == JPEG
            await sent.delivered(timeout=PATIENCE)

    meets(story, **FILES)


def test_a_thumbnail_rides_along_for_a_phone_that_shows_it(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        async with door.stranger() as carol:
            await receiver(carol)
            await send(door, tmp_path, thumbnail=PNG)
            invitation = await invited(carol)
            icon = invitation.parts[1]
            assert icon.header("Content-ID") == f"<{invitation.file.icon}>"
            assert (icon.content_type, icon.decoded_body) == ("image/png", PNG)
            assert icon.header("Content-Disposition") == "icon"
            invitation.say(603)

    meets(story, **FILES)


@pytest.mark.parametrize(
    ("parameters", "thumbnail"), [(tags(FILE_OVER_MSRP), PNG), (MSRP_ALONE, PNG + bytes(MAX_ICON)), (MSRP_ALONE, b"")]
)
def test_it_does_not_for_others_nor_when_it_is_large(parameters: str, thumbnail: bytes, tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        async with door.stranger() as carol:
            await receiver(carol, parameters)
            await send(door, tmp_path, thumbnail=thumbnail)
            invitation = await invited(carol)
            assert (invitation.file.icon, len(invitation.parts)) == ("", 1)
            invitation.say(603)

    meets(story, **FILES)


def test_a_phone_that_knows_links_is_given_the_link(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        async with door.stranger() as carol:
            await receiver(carol, tags(FILE_OVER_MSRP, FILE_OVER_HTTP, THUMBNAIL))
            await send(door, tmp_path)
            request = await carol.requested("INVITE")
            assert b"file-selector" not in request.body
            assert CONTENT_TYPE.encode() in request.body
            carol.say(respond(request, 486, carol.contact(CAROL)))

    meets(story, **FILES)


def test_what_is_said_meanwhile_does_not_wait_for_a_file(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        async with door.stranger() as carol:
            await receiver(carol)
            await send(door, tmp_path)
            invitation = await invited(carol)
            receiving = await invitation.take()
            await receiving.peer.request()  # and leaves it unanswered
            await door.alice.send(CAROL, "are you there?")
            request = await carol.requested("INVITE")
            assert b"are you there?" in request.body
            carol.say(respond(request, 486, carol.contact(CAROL)))
            assert of_carol(door) == 1

    meets(story, **FILES)


def test_a_file_that_is_put_off_holds_back_nothing(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        async with door.stranger() as carol:
            await receiver(carol)
            await send(door, tmp_path)
            (await invited(carol)).say(486)
            await carol.requested("ACK")
            await door.until(lambda: not of_carol(door))
            await door.alice.send(CAROL, "are you there?")
            request = await carol.requested("INVITE")
            assert b"are you there?" in request.body
            carol.say(respond(request, 480, carol.contact(CAROL)))
            # It is tried again when the phone registers.
            more = [("Contact", carol.contact(CAROL))]
            own = f"<sip:{CAROL}@joyn.localhost;user=phone>"
            answer = await carol.again("REGISTER", "sip:joyn.localhost", from_=CAROL, to=own, more=more)
            assert answer.status == 200
            while b"file-selector" not in (await carol.requested("INVITE")).body:
                pass

    meets(story, **FILES)


def test_who_declines_a_file_has_refused_it_for_good(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        async with door.stranger() as carol:
            await receiver(carol)
            sent = await send(door, tmp_path)
            (await invited(carol)).say(603)
            await failed(door, sent)

    meets(story, **FILES)


def test_who_stops_a_file_has_refused_it_for_good(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        async with door.stranger() as carol:
            await receiver(carol)
            sent = await send(door, tmp_path, JPEG * 3)
            receiving = await (await invited(carol)).take()
            await receiving.chunk(413)
            await failed(door, sent)
            await carol.requested("BYE")

    meets(story, **FILES)


async def failed(door: Door, sent: Sent) -> None:
    """The sender is told that nobody takes it."""

    async def is_failed() -> bool:
        (trace,) = await door.node.store.mailboxes.trace(sent.message_id)
        return any(one.state is State.FAILED for one in trace.dispositions)

    await until(is_failed)
    receipts = [one.message for one in await entries_of(door, ALICE)]
    assert any(b"<failed/>" in one.cpim and sent.message_id.encode() in one.cpim for one in receipts)


def test_a_file_whose_time_is_over_fails(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        sent = await send(door, tmp_path)
        door.node.content._server._wall = lambda: 4e9
        async with door.stranger() as carol:
            await receiver(carol)
            await failed(door, sent)

    meets(story, **FILES)


@pytest.mark.parametrize(
    "body", [b"<file/>", emit([FileInfo(size=5, content_type="image/png", url="https://x/file/1")])]
)
def test_what_does_not_lie_here_is_not_fetched_and_fails(body: bytes) -> None:
    async def story(door: Door) -> None:
        sent = await door.alice.send(CAROL, body, content_type=CONTENT_TYPE, request=("negative-delivery",))
        async with door.stranger() as carol:
            await receiver(carol)
            await failed(door, sent)

    meets(story, **FILES)


# Cut and gone on with.


async def half(invitation: Invitation, count: int) -> int:
    """Take so many chunks, then lose the connection; the bytes that were taken."""
    receiving = await invitation.take()
    for _ in range(count):
        await receiving.chunk()
    await receiving.peer.request()  # the next one is there, so the answers before are
    receiving.peer.close()
    return len(receiving.data)


def test_a_file_that_was_cut_goes_on_from_what_the_phone_has(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        data = JPEG * 5
        async with door.stranger() as carol:
            await receiver(carol)
            sent = await send(door, tmp_path, data)
            have = await half(await invited(carol), 20)
            again = await invited(carol)
            assert again.file.ranged
            # Answers on their way when the connection was lost may not have been heard.
            start = again.file.start
            assert 0 < start <= have
            receiving = await again.take("file-selector", f"file-range:{start + 1}-*")
            rest = await receiving.whole()
            assert receiving.requests[0].byte_range == (1, 10_240, len(data) - start)
            assert data[:start] + rest == data
            await sent.delivered(timeout=PATIENCE)

    meets(story, **FILES)


def test_a_phone_that_says_nothing_of_the_range_is_sent_all_of_it(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        data = JPEG * 5
        async with door.stranger() as carol:
            await receiver(carol)
            await send(door, tmp_path, data)
            await half(await invited(carol), 20)
            assert await (await (await invited(carol)).take()).whole() == data

    meets(story, **FILES)


def test_a_phone_that_keeps_losing_a_file_is_not_asked_for_ever(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        async with door.stranger() as carol:
            await receiver(carol)
            await send(door, tmp_path, JPEG * 5)
            for _ in range(4):
                await half(await invited(carol), 1)
            with pytest.raises(TimeoutError):
                await carol.requested("INVITE", 0.3)

    meets(story, **FILES)


def test_so_many_files_go_to_a_device_at_a_time(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        async with door.stranger() as carol:
            await receiver(carol)
            for _ in range(3):
                await send(door, tmp_path)
            first, second = await invited(carol), await invited(carol)
            with pytest.raises(TimeoutError):
                await carol.requested("INVITE", 0.3)
            first.say(603)
            second.say(603)
            (await invited(carol)).say(603)

    meets(story, files={"transfers_per_device": 2})


def test_files_of_who_was_signed_out_end(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        async with door.stranger() as carol:
            await receiver(carol)
            await send(door, tmp_path, JPEG * 5)
            receiving = await (await invited(carol)).take()
            await receiving.peer.request()
            door.node.sessions.end_all(aor(CAROL))
            await carol.requested("BYE")

    meets(story, **FILES)


# From one way to the other.


@pytest.mark.parametrize("away", [False, True])
def test_a_file_from_msrp_is_fetched_by_http(away: bool) -> None:
    data = JPEG[:4] + os.urandom(8 * MIB)

    async def story(door: Door) -> None:
        if away:
            await door.bob.unregister()
        async with door.stranger() as carol:
            await carol.register()
            sending = Sending(door, carol, data)
            assert (await sending.offer(file_selector=selector(data))).status == 200
            await sending.connect()
            assert set(await sending.send()) == {200}
            if away:
                await door.bob.register()
            received = await door.bob.receive(timeout=PATIENCE)
            (info,) = received.files
            async with aiohttp.ClientSession() as http, http.get(info.url) as answer:
                assert hashlib.sha256(await answer.read()).digest() == hashlib.sha256(data).digest()
            # His receipt comes to her phone, which knows the transfer by its id.
            while b"<delivered/>" not in (receipt := await carol.requested("MESSAGE")).body:
                pass
            assert sending.transfer_id.encode() in receipt.body
            carol.say(respond(receipt, 200, carol.contact(CAROL)))

    meets(story, **FILES)


@pytest.mark.parametrize("away", [False, True])
def test_a_file_from_msrp_goes_on_by_msrp(away: bool) -> None:
    data = JPEG[:4] + os.urandom(MIB)

    async def story(door: Door) -> None:
        async with door.stranger() as dave, door.stranger() as carol:
            if not away:
                await receiver(carol)
            await dave.register(ALICE)
            sending = Sending(door, dave, data)
            answer = await sending.offer(to=f"tel:{CAROL}", from_=ALICE, file_selector=selector(data))
            assert answer.status == 200
            await sending.connect()
            assert set(await sending.send()) == {200}
            if away:
                await receiver(carol)
            assert await (await (await invited(carol)).take()).whole() == data

    meets(story, **FILES)


def test_a_large_file_passes_in_little_memory(tmp_path: Path) -> None:
    size = 12 * MIB
    data = JPEG[:4] + os.urandom(size)

    async def story(door: Door) -> None:
        async with door.stranger() as dave, door.stranger() as carol:
            await receiver(carol)
            await dave.register(ALICE)
            sending = Sending(door, dave, data)
            assert (await sending.offer(to=f"tel:{CAROL}", from_=ALICE, file_selector=selector(data))).status == 200
            peer = await sending.connect()
            tracemalloc.start()
            for at in range(0, len(data), 64 << 10):
                sending.chunk(at, min(at + (64 << 10), len(data)), len(data))
                assert await peer.status() == 200
            receiving = await (await invited(carol)).take()
            digest = hashlib.sha256()
            more = True
            while more:
                more = (await receiving.chunk()).continuation == "+"
                digest.update(receiving.data)
                receiving.data = b""
                receiving.requests.clear()
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert digest.digest() == hashlib.sha256(data).digest()
            assert peak < 6 * MIB

    meets(story, **FILES)


def test_the_capabilities_of_everybody_hold_files_over_msrp() -> None:
    async def story(door: Door) -> None:
        found = await door.alice.capabilities(CAROL)
        assert found.status == "offline"
        found = await door.alice.capabilities(BOB)
        for name in ("rcse.ft", "rcs.ftthumb", "rcs.ftstandfw", "rcs.fthttp"):
            assert any(urn.endswith(name) for urn in found.tags.iari)

    meets(story, **FILES)
