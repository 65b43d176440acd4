"""Files over MSRP at the door: what comes is kept to the byte, what is wrong is told and harms nobody."""

import asyncio
import base64
import os
from collections.abc import Sequence
from dataclasses import replace

import pytest

from edge.sending import JPEG, PNG, Sending, content_of, entries_of, files_in, selector
from edge.stranger import Door, Stranger, aor, meets
from joyn.blobs import Incoming
from joyn.model.aor import Aor
from joyn.model.file import Upload
from joyn.model.refused import Reason, Refused
from joyn.protocol.cpim import CpimMessage
from joyn.protocol.file_info import FileInfo
from joyn.services.messaging.sessions import Leg
from phone.node import BOB, CAROL

FILES = {"files": {}}


def legs_of_carol(door: Door) -> list[Leg]:
    """Her open sessions; Bob has one that the message came by."""
    return [leg for leg in door.node.sessions._media.values() if leg.device[0] == aor(CAROL)]


async def came(door: Door) -> bytes:
    """The one file that Bob was sent."""
    (entry,) = await entries_of(door)
    return await content_of(door, files_in(entry)[-1])


def test_a_file_comes_to_the_content_server_and_a_message_about_it_to_the_mailbox() -> None:
    async def story(door: Door) -> None:
        async with door.stranger() as carol:
            await carol.register()
            sending = Sending(door, carol)
            answer = await sending.offer()
            assert answer.status == 200
            assert sending.attributes["file-selector"] == selector(JPEG)
            assert sending.attributes["file-transfer-id"] == sending.transfer_id
            assert "recvonly" in sending.attributes
            assert sending.attributes["accept-types"] == "image/jpeg"
            await sending.connect()
            assert set(await sending.send()) == {200}
            # Acknowledged means on disk and in the mailbox: no waiting here.
            (entry,) = await entries_of(door)
            (info,) = files_in(entry)
            assert (info.name, info.content_type, info.size) == ("a.jpg", "image/jpeg", len(JPEG))
            assert info.disposition == "attachment"
            assert await content_of(door, info) == JPEG
            assert entry.message.message_id == sending.transfer_id
            assert CpimMessage.parse(entry.message.cpim).disposition_request == {"positive-delivery", "display"}
            sending.hang_up()
            assert (await carol.answer()).status == 200
            assert legs_of_carol(door) == []

    meets(story, **FILES)


def test_a_thumbnail_comes_with_the_invite_and_stands_first() -> None:
    async def story(door: Door) -> None:
        async with door.stranger() as carol:
            await carol.register()
            sending = Sending(door, carol)
            sdp = sending.sdp(file_icon="cid:image@joyn.com", file_disposition="render")
            icon = base64.encodebytes(PNG)
            body = (
                b"--b\r\nContent-Type: application/sdp\r\n\r\n" + sdp + b"\r\n--b\r\nContent-Type: image/png\r\n"
                b"Content-Transfer-Encoding: base64\r\nContent-ID: <image@joyn.com>\r\n\r\n" + icon + b"\r\n--b--\r\n"
            )
            assert (await sending.offer(body, content_type="multipart/mixed;boundary=b")).status == 200
            await sending.connect()
            await sending.send()
            (entry,) = await entries_of(door)
            thumbnail, file = files_in(entry)
            assert (thumbnail.type, file.type, file.disposition) == ("thumbnail", "file", "render")
            assert await content_of(door, thumbnail) == PNG

    meets(story, **FILES)


def test_a_transfer_that_is_repeated_is_one_message() -> None:
    async def story(door: Door) -> None:
        async with door.stranger() as carol:
            await carol.register()
            for _ in range(2):
                sending = Sending(door, carol, transfer_id="the-same-file-transfer-id")
                assert (await sending.offer()).status == 200
                await sending.connect()
                assert set(await sending.send()) == {200}
                sending.hang_up()
                assert (await carol.answer()).status == 200
            # Its sender has not heard that it was taken, and goes on.
            sending = Sending(door, carol, transfer_id="the-same-file-transfer-id")
            assert (await sending.offer(file_range=f"{len(JPEG) - 9}-*")).status == 200
            await sending.connect()
            assert await sending.send(len(JPEG) - 10) == [200]
            assert await came(door) == JPEG

    meets(story, **FILES)


def test_a_short_transfer_id_may_come_again_for_another_recipient() -> None:
    async def story(door: Door) -> None:
        async with door.stranger() as carol:
            await carol.register()
            for to in (f"tel:{BOB}", "tel:+33639980001"):
                sending = Sending(door, carol, transfer_id="7")
                assert (await sending.offer(to=to)).status == 200
                await sending.connect()
                assert set(await sending.send()) == {200}
            (one,), (other,) = await entries_of(door), await entries_of(door, "+33639980001")
            assert len(one.message.message_id) == 32
            assert one.message.message_id != other.message.message_id

    meets(story, **FILES)


# Cut and gone on with.


async def cut(door: Door, carol: Stranger, data: bytes, at: int) -> None:
    """A transfer of which `at` bytes come before the connection is lost."""
    sending = Sending(door, carol, data)
    assert (await sending.offer(file_selector=selector(data))).status == 200
    peer = await sending.connect()
    sending.chunk(0, at, len(data))
    assert await peer.status() == 200
    peer.close()
    await door.until(lambda: not door.node.transfers._incoming)


@pytest.mark.parametrize("counts", ["the message", "the file"])
def test_what_was_cut_goes_on_in_a_new_transfer(counts: str) -> None:
    async def story(door: Door) -> None:
        data = JPEG + os.urandom(50_000)
        async with door.stranger() as carol:
            await carol.register()
            await cut(door, carol, data, 70_000)
            sending = Sending(door, carol, data)
            assert (await sending.offer(file_selector=selector(data), file_range="70001-*")).status == 200
            assert sending.attributes["file-range"] == "70001-*"
            peer = await sending.connect()
            if counts == "the message":
                assert set(await sending.send(70_000)) == {200}
            else:
                sending.chunk(70_000, len(data), len(data))
                assert await peer.status() == 200
            assert await came(door) == data

    meets(story, **FILES)


@pytest.mark.parametrize("start", [1, 60_001])
def test_bytes_that_are_here_may_be_sent_again(start: int) -> None:
    async def story(door: Door) -> None:
        data = JPEG + os.urandom(50_000)
        async with door.stranger() as carol:
            await carol.register()
            await cut(door, carol, data, 70_000)
            sending = Sending(door, carol, data)
            assert (await sending.offer(file_selector=selector(data), file_range=f"{start}-*")).status == 200
            await sending.connect()
            assert set(await sending.send(start - 1)) == {200}
            assert await came(door) == data

    meets(story, **FILES)


def test_who_does_not_know_how_far_it_was_is_told() -> None:
    async def story(door: Door) -> None:
        data = JPEG + os.urandom(50_000)
        async with door.stranger() as carol:
            await carol.register()
            await cut(door, carol, data, 70_000)
            sending = Sending(door, carol, data)
            assert (await sending.offer(file_selector=selector(data), file_range="1-*")).status == 200
            assert sending.attributes["file-range"] == "70001-*"
            await sending.connect()
            assert set(await sending.send(70_000)) == {200}
            assert await came(door) == data

    meets(story, **FILES)


def test_who_asks_for_a_file_that_is_here_sends_its_last_byte_and_it_is_one_message() -> None:
    async def story(door: Door) -> None:
        async with door.stranger() as carol:
            await carol.register()
            for start, said in ((0, {}), (len(JPEG) - 1, {"file_range": "1-*"})):
                sending = Sending(door, carol, transfer_id="a-transfer-that-is-repeated")
                assert (await sending.offer(**said)).status == 200
                assert sending.attributes.get("file-range", "1-*") == f"{start + 1}-*"
                await sending.connect()
                assert set(await sending.send(start)) == {200}
                assert await came(door) == JPEG
            assert len(await entries_of(door)) == 1

    meets(story, **FILES)


def test_who_would_go_on_beyond_what_is_here_is_told_where_it_ends() -> None:
    async def story(door: Door) -> None:
        data = JPEG + os.urandom(50_000)
        async with door.stranger() as carol:
            await carol.register()
            await cut(door, carol, data, 70_000)
            deaf = Sending(door, carol, data)
            assert (await deaf.offer(file_selector=selector(data), file_range="80001-*")).status == 200
            assert deaf.attributes["file-range"] == "70001-*"
            await deaf.connect()
            assert await deaf.send(80_000) == [400]
            deaf.hang_up()
            assert (await carol.answer()).status == 200
            # What was not the rest of it has done no harm to what is here.
            sending = Sending(door, carol, data)
            assert (await sending.offer(file_selector=selector(data), file_range="70001-*")).status == 200
            assert sending.attributes["file-range"] == "70001-*"
            await sending.connect()
            assert set(await sending.send(70_000)) == {200}
            assert await came(door) == data

    meets(story, **FILES)


def test_a_transfer_that_goes_on_where_nothing_is_begins_at_the_first_byte() -> None:
    async def story(door: Door) -> None:
        async with door.stranger() as carol:
            await carol.register()
            sending = Sending(door, carol)
            assert (await sending.offer(file_range="5001-*")).status == 200
            assert sending.attributes["file-range"] == "1-*"
            await sending.connect()
            assert set(await sending.send()) == {200}
            assert await came(door) == JPEG

    meets(story, **FILES)


def test_a_new_transfer_of_the_same_file_begins_anew() -> None:
    async def story(door: Door) -> None:
        async with door.stranger() as carol:
            await carol.register()
            await cut(door, carol, JPEG, 50_000)
            sending = Sending(door, carol)
            assert (await sending.offer()).status == 200
            assert "file-range" not in sending.attributes
            await sending.connect()
            assert set(await sending.send()) == {200}
            assert await came(door) == JPEG

    meets(story, **FILES)


def test_a_phone_whose_connection_is_dead_goes_on_before_we_know() -> None:
    async def story(door: Door) -> None:
        async with door.stranger() as carol:
            old = await begun(door, carol)
            assert old.peer is not None
            old.chunk(0, 50_000, len(JPEG))
            assert await old.peer.status() == 200
            sending = Sending(door, carol)
            assert (await sending.offer(file_range="50001-*")).status == 200
            assert sending.attributes["file-range"] == "50001-*"
            await sending.connect()
            assert set(await sending.send(50_000)) == {200}
            assert await came(door) == JPEG

    meets(story, **FILES)


def test_the_same_file_may_come_twice_at_a_time() -> None:
    async def story(door: Door) -> None:
        async with door.stranger() as carol:
            one = await begun(door, carol)
            other = Sending(door, carol)
            assert (await other.offer()).status == 200
            await other.connect()
            assert set(await other.send()) | set(await one.send()) == {200}
            assert len(await entries_of(door)) == 2

    meets(story, **FILES)


# What is refused before anything comes.


@pytest.mark.parametrize(
    ("changed", "status", "warning"),
    [
        ({"file_selector": 'name:"a.jpg" type:image/jpeg'}, 488, "size"),
        ({"file_selector": 'name:"a.jpg" type:image/jpeg size:0'}, 488, "size"),
        ({"file_selector": ""}, 488, "size"),
        ({"file_selector": 'name:"a.jpg" size:20000000'}, 403, "133 Size exceeded"),
        ({"file_selector": 'name:"a.jpg" size:9000000'}, 403, "no room"),
        ({"file_selector": "size:5 hash:sha-1:AB"}, 400, ""),
        ({"file_range": "0-*"}, 400, ""),
        ({"direction": "recvonly"}, 488, "no such file was offered"),
        ({"direction": "inactive"}, 488, "is sent"),
        ({"to": "tel:+33639989999"}, 404, ""),
    ],
)
def test_what_cannot_be_taken_is_refused_before_anything_comes(
    changed: dict[str, str], status: int, warning: str
) -> None:
    async def story(door: Door) -> None:
        async with door.stranger() as carol:
            await carol.register()
            answer = await Sending(door, carol).offer(**changed)
            assert answer.status == status
            assert warning in (answer.header("warning") or "")
            assert door.node.transfers._coming == {}
            assert len(door.node.sessions) == 0
            assert door.node.msrp._legs == {}

    meets(story, files={"max_file": 10 << 20, "quota": 5 << 20})


def test_without_a_content_server_no_file_is_taken() -> None:
    async def story(door: Door) -> None:
        async with door.stranger() as carol:
            await carol.register()
            assert (await Sending(door, carol).offer()).status == 488

    meets(story)


def test_a_device_sends_so_many_files_at_a_time() -> None:
    async def story(door: Door) -> None:
        async with door.stranger() as carol:
            await carol.register()
            files = [JPEG + bytes((number,)) for number in range(3)]
            sendings = [Sending(door, carol, data) for data in files]
            statuses = [(await one.offer(file_selector=selector(one.data))).status for one in sendings]
            assert statuses == [200, 200, 486]
            sendings[0].hang_up()
            assert (await carol.answer()).status == 200
            await door.until(lambda: len(door.node.transfers._incoming) == 1)
            assert (await sendings[2].offer(file_selector=selector(files[2]))).status == 200

    meets(story, files={"transfers_per_device": 2})


def test_a_node_takes_so_many_files_at_a_time() -> None:
    async def story(door: Door) -> None:
        async with door.stranger() as carol:
            await carol.register()
            assert (await Sending(door, carol).offer()).status == 200
            other = Sending(door, carol, JPEG + b"x")
            assert (await other.offer(file_selector=selector(other.data))).status == 503

    meets(story, files={"transfers": 1})


# What is wrong once it comes.


async def begun(door: Door, carol: Stranger, data: bytes = JPEG, **changed: str) -> Sending:
    await carol.register()
    sending = Sending(door, carol, data)
    assert (await sending.offer(**changed)).status == 200
    await sending.connect()
    return sending


def test_a_file_that_hashes_to_something_else_is_not_kept() -> None:
    async def story(door: Door) -> None:
        async with door.stranger() as carol:
            sending = await begun(door, carol, file_selector=selector(JPEG[:-1] + b"!"))
            statuses = await sending.send()
            assert (set(statuses[:-1]), statuses[-1]) == ({200}, 400)
            assert await entries_of(door) == []
            await door.until(lambda: not door.node.transfers._coming)

    meets(story, **FILES)


def test_a_sha_256_is_checked_too() -> None:
    async def story(door: Door) -> None:
        async with door.stranger() as carol:
            text = f'name:"a.jpg" type:image/jpeg size:{len(JPEG)} hash:sha-256:{"AB" * 32}'
            sending = await begun(door, carol, file_selector=text)
            assert (await sending.send())[-1] == 400
            assert await entries_of(door) == []

    meets(story, **FILES)


@pytest.mark.parametrize(("reason", "status", "stays"), [(Reason.INFECTED, 403, False), (Reason.UNSCANNED, 408, True)])
def test_what_the_virus_scanner_says_is_told_and_may_be_asked_again(reason: Reason, status: int, stays: bool) -> None:
    async def story(door: Door) -> None:
        server = door.node.content._server
        scan = server.scan_whole

        async def found(upload: Upload, incoming: Incoming) -> None:
            raise Refused(reason)

        server.scan_whole = found  # type: ignore[method-assign]  # in the place of a scanner
        async with door.stranger() as carol:
            sending = await begun(door, carol)
            assert (await sending.send())[-1] == status
            await door.until(lambda: not door.node.transfers._incoming)
            assert await entries_of(door) == []
            server.scan_whole = scan  # type: ignore[method-assign]  # as it was
            again = Sending(door, carol)
            assert (await again.offer(file_range=f"{len(JPEG) + 1}-*")).status == 200
            assert again.attributes["file-range"] == (f"{len(JPEG) + 1}-*" if stays else "1-*")
            await again.connect()
            if stays:
                again.chunk(len(JPEG), len(JPEG), 0, "$", byte_range=(1, 0, 0))
            else:
                again.chunk(0, len(JPEG), len(JPEG))
            assert again.peer is not None
            assert await again.peer.status() == 200
            assert await came(door) == JPEG

    meets(story, **FILES)


def test_a_repeated_transfer_is_known_though_its_file_has_gained_a_thumbnail() -> None:
    async def story(door: Door) -> None:
        async with door.stranger() as carol:
            sending = await begun(door, carol)
            assert set(await sending.send()) == {200}
            (info,) = files_in((await entries_of(door))[0])
            server = door.node.content._server
            infos = server.infos

            async def with_thumbnail(owner: Aor, tid: str) -> Sequence[FileInfo]:
                found = await infos(owner, tid)
                return [replace(info, type="thumbnail"), *found] if found else found

            server.infos = with_thumbnail  # type: ignore[method-assign]  # made meanwhile
            again = Sending(door, carol, transfer_id=sending.transfer_id)
            assert (await again.offer()).status == 200
            await again.connect()
            assert set(await again.send()) == {200}
            assert len(await entries_of(door)) == 1

    meets(story, **FILES)


def test_a_page_that_calls_itself_a_photo_is_415() -> None:
    async def story(door: Door) -> None:
        page = b"<html><script>alert(1)</script></html>" * 100
        async with door.stranger() as carol:
            sending = await begun(door, carol, page, file_selector=selector(page))
            assert await sending.send() == [415]
            assert await entries_of(door) == []

    meets(story, **FILES)


@pytest.mark.parametrize(
    ("chunk", "status"),
    [
        ({"start": 0, "end": 100, "total": len(JPEG) + 1}, 413),
        ({"start": 0, "end": 100, "total": len(JPEG) - 1}, 400),
        ({"start": 0, "end": 100, "total": 100}, 400),
        ({"start": 10, "end": 100, "total": len(JPEG)}, 400),
        ({"start": 0, "end": 100, "total": None, "flag": "$"}, 400),
        ({"start": 0, "end": 100, "total": None, "byte_range": (1, 99, None)}, 400),
    ],
)
def test_another_number_of_bytes_than_was_offered_is_refused(chunk: dict[str, int], status: int) -> None:
    async def story(door: Door) -> None:
        async with door.stranger() as carol:
            sending = await begun(door, carol)
            sending.chunk(**chunk)  # type: ignore[arg-type]  # the cases differ
            assert sending.peer is not None
            assert await sending.peer.status() == status
            assert await entries_of(door) == []

    meets(story, **FILES)


@pytest.mark.parametrize(("start", "status"), [(200, 423), (50, 423)])
def test_a_byte_that_is_not_the_next_is_423_and_what_came_stays(start: int, status: int) -> None:
    async def story(door: Door) -> None:
        async with door.stranger() as carol:
            sending = await begun(door, carol)
            assert sending.peer is not None
            sending.chunk(0, 100, len(JPEG))
            assert await sending.peer.status() == 200
            sending.chunk(start, start + 100, len(JPEG))
            assert await sending.peer.status() == status
            await door.until(lambda: not door.node.transfers._incoming)
            again = Sending(door, carol)
            assert (await again.offer(file_range="101-*")).status == 200
            assert again.attributes["file-range"] == "101-*"

    meets(story, **FILES)


def test_a_second_message_within_a_file_is_413_and_the_file_goes_on() -> None:
    async def story(door: Door) -> None:
        async with door.stranger() as carol:
            sending = await begun(door, carol)
            peer = sending.peer
            assert peer is not None
            sending.chunk(0, 1000, len(JPEG))
            assert await peer.status() == 200
            sending.chunk(0, 10, 10, message_id="m2")
            assert await peer.status() == 413
            sending.chunk(1000, len(JPEG), len(JPEG))
            assert await peer.status() == 200
            assert await came(door) == JPEG
            sending.chunk(0, 10, 10, message_id="m3")
            assert await peer.status() == 403

    meets(story, **FILES)


def test_a_sender_that_breaks_off_goes_on_later() -> None:
    async def story(door: Door) -> None:
        async with door.stranger() as carol:
            sending = await begun(door, carol)
            peer = sending.peer
            assert peer is not None
            sending.chunk(0, 1000, len(JPEG))
            assert await peer.status() == 200
            sending.chunk(1000, 1000, len(JPEG), "#", byte_range=(1001, None, len(JPEG)))
            assert await peer.status() == 200
            await door.until(lambda: not door.node.transfers._incoming)
            assert await entries_of(door) == []

    meets(story, **FILES)


@pytest.mark.parametrize(
    ("name", "kept"),
    [("../../etc/passwd", "passwd"), ("..%5C..%5Ca.jpg", "a.jpg"), ("%00%0D%0Aa.jpg", "a.jpg"), ("", "file")],
)
def test_a_name_is_a_name_and_no_path(name: str, kept: str) -> None:
    async def story(door: Door) -> None:
        async with door.stranger() as carol:
            sending = await begun(door, carol, file_selector=selector(JPEG, name=name))
            assert set(await sending.send()) == {200}
            (entry,) = await entries_of(door)
            assert files_in(entry)[0].name == kept

    meets(story, **FILES)


def test_a_transfer_of_which_nothing_comes_is_ended() -> None:
    async def story(door: Door) -> None:
        async with door.stranger() as carol:
            await carol.register()
            assert (await Sending(door, carol).offer()).status == 200
            await door.until(lambda: not door.node.transfers._incoming)
            assert len(door.node.sessions) == 0
            # Nothing came, and no room is kept for it.
            usage = await door.node.store.files.usage(aor(CAROL))
            assert usage.own == 0

    meets(story, files={"transfer_idle": 0.2})


def test_who_is_blocked_sends_no_more() -> None:
    async def story(door: Door) -> None:
        async with door.stranger() as carol:
            sending = await begun(door, carol)
            peer = sending.peer
            assert peer is not None
            sending.chunk(0, 1000, len(JPEG))
            assert await peer.status() == 200
            door.node.sessions.end_all(aor(CAROL))
            await door.until(lambda: not door.node.transfers._incoming)
            sending.chunk(1000, len(JPEG), len(JPEG))
            assert await peer.status() == 481
            assert await entries_of(door) == []

    meets(story, **FILES)


@pytest.mark.parametrize(("ends", "count"), [("hung up", 1), ("blocked", 0)])
def test_what_came_before_a_phone_hung_up_still_counts_and_what_a_blocked_one_sent_does_not(
    ends: str, count: int
) -> None:
    async def story(door: Door) -> None:
        async with door.stranger() as carol:
            sending = await begun(door, carol)
            (incoming,) = door.node.transfers._incoming
            arriving, gate = incoming.arriving, asyncio.Event()
            write = arriving.write

            async def slow(data: bytes) -> None:
                await gate.wait()
                await write(data)

            arriving.write = slow  # type: ignore[method-assign]  # the disk is slow
            for at in range(0, len(JPEG), 20_000):
                sending.chunk(at, min(at + 20_000, len(JPEG)), len(JPEG))
            await door.until(lambda: bool(incoming._pieces) and incoming._pieces[-1].last)
            if ends == "blocked":
                door.node.sessions.end_all(aor(CAROL))
            else:
                sending.hang_up()
                assert (await carol.answer()).status == 200
            gate.set()
            await door.until(lambda: not door.node.transfers._incoming)
            assert len(await entries_of(door)) == count

    meets(story, **FILES)


def test_a_file_may_come_from_many_small_chunks_at_once() -> None:
    async def story(door: Door) -> None:
        async with door.stranger() as carol:
            sending = await begun(door, carol)
            peer = sending.peer
            assert peer is not None
            count = 0
            for at in range(0, len(JPEG), 300):
                sending.chunk(at, min(at + 300, len(JPEG)), len(JPEG))
                count += 1
            assert [await peer.status() for _ in range(count)] == [200] * count
            assert await came(door) == JPEG

    meets(story, **FILES)


def test_the_message_about_a_file_reaches_the_other_phone() -> None:
    async def story(door: Door) -> None:
        async with door.stranger() as carol:
            sending = await begun(door, carol)
            await sending.send()
            received = await door.bob.receive(timeout=5.0)
            assert received.content_type == "application/vnd.gsma.rcs-ft-http+xml"

    meets(story, **FILES)


def test_nothing_is_begun_on_a_content_server_that_stops() -> None:
    async def story(door: Door) -> None:
        filing = door.node.content.filing
        assert filing is not None
        filing.stop()
        async with door.stranger() as carol:
            await carol.register()
            assert (await Sending(door, carol).offer()).status == 503
        with pytest.raises(Refused) as caught:
            await filing.open(f"{door.node.content.url}/file/x")
        assert caught.value.reason is Reason.STOPPING

    meets(story, **FILES)


def test_transfers_end_with_the_node() -> None:
    async def story(door: Door) -> None:
        async with door.stranger() as carol:
            sending = await begun(door, carol)
            assert sending.peer is not None
            await asyncio.wait_for(door.node.transfers.close(), 2)
            assert not door.node.transfers._incoming

    meets(story, **FILES)
