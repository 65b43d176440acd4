"""The phone's side of files over MSRP, against a server that cuts, refuses and lies."""

import asyncio
import hashlib
import os
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge.http.files_door import JPEG, PNG
from joyn.phone import Phone, TransferFailed
from joyn.phone.attempts import TRIES
from joyn.phone.file_sessions import MAX_DONE, MAX_FILE, MAX_TRANSFERS
from joyn.protocol.file_transfer import FileOffer
from joyn.protocol.sip.feature_tags import FeatureTags
from joyn.protocol.sip.headers import parse_name_addrs
from joyn.transport.msrp import CONNECTION_LOST
from phone.scripted_files import ScriptedFile, ScriptedFiles
from phone.scripted_server import ALICE, BOB, make_phone, running
from waiting import until

DATA = JPEG[:4] + os.urandom(400_000)
SHA_1 = hashlib.sha1(DATA, usedforsecurity=False).hexdigest()


class Pauses(list[float]):
    """Pauses that are only noted."""

    async def __call__(self, seconds: float) -> None:
        self.append(seconds)
        await asyncio.sleep(0)


def names_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def make_offer(**said: Any) -> FileOffer:
    selected = {"name": "a.jpg", "content_type": "image/jpeg", "size": len(DATA), "hashes": (("sha-1", SHA_1),)}
    return FileOffer(**{**selected, "transfer_id": "t1", "ranged": "start" in said, **said})


def play(
    story: Callable[[Phone, ScriptedFiles], Awaitable[None]], directory: Path | None = None, **settings: Any
) -> Pauses:
    """A phone with a server; its pauses between attempts."""
    pauses = Pauses()

    async def within() -> None:
        async with (
            running() as server,
            ScriptedFiles(server, ALICE) as files,
            make_phone(server, style="rcse", directory=directory, pause=pauses, **settings) as phone,
        ):
            await story(phone, files)

    asyncio.run(within())
    return pauses


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / 'été "1".jpg'
    path.write_bytes(DATA)
    return path


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    path = tmp_path / "kept"
    path.mkdir()
    return path


def test_a_phone_of_the_first_generation_says_that_it_takes_files_over_msrp_alone() -> None:
    async def story(_phone: Phone, files: ScriptedFiles) -> None:
        contact = parse_name_addrs(files.server.of("REGISTER")[0].headers("contact"))[0]
        tags = FeatureTags.parse(contact.parameters)
        names = {urn.rpartition(".iari.")[2] for urn in tags.iari}
        assert {"rcse.ft", "rcs.ftthumb"} <= names
        assert "rcs.fthttp" not in names
        assert "+g.oma.sip-im" in tags.bare

    play(story)


# Sending.


@pytest.mark.parametrize("setup", ["active", "passive", "actpass"])
def test_a_file_goes_in_a_session_of_its_own(setup: str, photo: Path) -> None:
    async def story(phone: Phone, files: ScriptedFiles) -> None:
        moved: list[int] = []
        sent = await phone.send_file(
            BOB, photo, thumbnail=PNG, message_id="t7", on_progress=lambda at, _: moved.append(at)
        )
        (file,) = files.taken
        assert file.data == DATA
        invitation = file.invitation
        assert invitation is not None
        assert invitation.media.direction == "sendonly"
        assert invitation.media.accept_types == ("image/jpeg",)
        assert invitation.media.max_size == len(DATA)
        assert invitation.icon == PNG
        said = {"transfer_id": "t7", "disposition": "attachment", "icon": "image@joyn.com"}
        assert invitation.file == make_offer(name=photo.name, **said)
        assert (sent.message_id, sent.mode, sent.state) == ("t7", "msrp", "accepted")
        assert (moved[0], moved[-1], moved) == (0, len(DATA), sorted(moved))
        await files.server.wait_for("BYE")

    assert play(story, msrp_setup=setup) == []


def test_what_is_to_be_played_says_so(photo: Path) -> None:
    memo = photo.rename(photo.with_suffix(".m4a"))

    async def story(phone: Phone, files: ScriptedFiles) -> None:
        await phone.send_voice(BOB, memo, playing_length=12)
        invitation = files.taken[0].invitation
        assert invitation is not None
        assert invitation.file is not None
        assert (invitation.file.disposition, invitation.file.content_type) == ("render", "audio/mp4")

    play(story)


def test_a_phone_of_another_kind_does_it_when_told_to(photo: Path) -> None:
    async def story(phone: Phone, files: ScriptedFiles) -> None:
        async with make_phone(files.server, BOB, radio=phone._radio) as other:
            await other.send_file(ALICE, photo, over="msrp")
        assert files.taken[0].data == DATA

    play(story)


def test_what_is_cut_is_gone_on_with_from_what_was_answered(photo: Path) -> None:
    async def story(phone: Phone, files: ScriptedFiles) -> None:
        cuts = [150_000, 70_000, 1 << 40]
        files.prepare = lambda file: setattr(file, "cut_after", cuts.pop(0))
        await phone.send_file(BOB, photo)
        offers = [file.invitation.file for file in files.taken if file.invitation and file.invitation.file]
        starts = [offer.start for offer in offers]
        assert [offer.ranged for offer in offers] == [False, True, True]
        assert starts[0] == 0 < starts[1] < 150_000 < starts[2] < 220_000
        got = bytearray()
        for file, start in zip(files.taken, starts, strict=True):
            got[start:] = file.data
        assert got == DATA
        assert len({replace(offer, start=0, ranged=False) for offer in offers}) == 1

    assert len(play(story)) == 2


@pytest.mark.parametrize("start", [0, 1, 399_999])
def test_the_server_s_word_counts_for_where_it_goes_on(start: int, photo: Path) -> None:
    async def story(phone: Phone, files: ScriptedFiles) -> None:
        files.prepare = lambda _file: start
        moved: list[int] = []
        await phone.send_file(BOB, photo, on_progress=lambda at, _: moved.append(at))
        assert files.taken[0].data == DATA[start:]
        assert (moved[0], moved[-1]) == (start, len(DATA))

    assert play(story) == []


def test_an_answer_that_names_no_byte_means_the_one_that_was_offered(photo: Path) -> None:
    async def story(phone: Phone, files: ScriptedFiles) -> None:
        def prepare(file: ScriptedFile) -> int:
            if len(files.taken) == 1:
                file.cut_after = 150_000
            return -1

        files.prepare = prepare
        await phone.send_file(BOB, photo)
        offer = files.taken[1].invitation.file  # type: ignore[union-attr]  # it brought a file
        assert offer is not None
        assert files.taken[1].data == DATA[offer.start :]
        assert offer.start > 0

    play(story)


def test_of_what_the_server_has_the_last_byte_is_sent_for_its_answer(photo: Path) -> None:
    async def story(phone: Phone, files: ScriptedFiles) -> None:
        files.prepare = lambda _file: len(DATA)
        sent = await phone.send_file(BOB, photo)
        assert sent.state == "accepted"
        assert files.taken[0].data == DATA[-1:]

    assert play(story) == []


def test_a_server_that_names_a_byte_behind_the_end_is_not_believed(photo: Path) -> None:
    async def story(phone: Phone, files: ScriptedFiles) -> None:
        files.prepare = lambda _file: len(DATA) + 1
        with pytest.raises(TransferFailed, match="488"):
            await phone.send_file(BOB, photo)
        await files.server.wait_for("BYE")

    assert play(story) == []


@pytest.mark.parametrize(
    ("status", "why"), [(603, "do not want it"), (413, "too large"), (404, "nobody"), (488, "no files this way")]
)
def test_a_refusal_is_told_at_once(status: int, why: str, photo: Path) -> None:
    async def story(phone: Phone, files: ScriptedFiles) -> None:
        files.statuses = [status]
        with pytest.raises(TransferFailed, match=why) as failed:
            await phone.send_file(BOB, photo)
        assert (failed.value.status, failed.value.again) == (status, False)
        assert str(failed.value).startswith(photo.name)

    assert play(story) == []


def test_a_server_that_is_busy_is_asked_again_and_not_for_ever(photo: Path) -> None:
    async def story(phone: Phone, files: ScriptedFiles) -> None:
        files.statuses = [503, 480]
        await phone.send_file(BOB, photo)
        assert files.taken[0].data == DATA
        files.statuses = [503] * (TRIES + 1)
        with pytest.raises(TransferFailed, match="cannot be reached") as failed:
            await phone.send_file(BOB, photo)
        assert failed.value.again
        assert len(files.statuses) == 1

    assert len(play(story)) == 2 + TRIES - 1


@pytest.mark.parametrize(("status", "attempts"), [(413, 1), (403, 1), (408, TRIES)])
def test_what_the_session_refuses_is_told_and_what_passes_is_tried_again(
    status: int, attempts: int, photo: Path
) -> None:
    async def story(phone: Phone, files: ScriptedFiles) -> None:
        files.prepare = lambda file: setattr(file, "status", status)
        with pytest.raises(TransferFailed, match=str(status)) as failed:
            await phone.send_file(BOB, photo)
        assert failed.value.again == (attempts > 1)
        assert len(files.taken) == attempts

    play(story)


def test_a_file_that_changes_between_two_attempts_is_not_sent(photo: Path) -> None:
    async def story(phone: Phone, files: ScriptedFiles) -> None:
        def prepare(file: ScriptedFile) -> None:
            file.cut_after = 100_000
            photo.write_bytes(DATA[::-1])

        files.prepare = prepare
        with pytest.raises(TransferFailed, match="was changed"):
            await phone.send_file(BOB, photo)

    play(story)


def test_who_stops_sending_ends_the_session_and_another_process_goes_on(photo: Path) -> None:
    async def story(phone: Phone, files: ScriptedFiles) -> None:
        begun = asyncio.Event()
        sending = asyncio.ensure_future(
            phone.send_file(BOB, photo, tid="t", on_progress=lambda at, _: at and begun.set())
        )
        await begun.wait()
        sending.cancel()
        await asyncio.wait([sending])
        await files.server.wait_for("BYE")
        have = len(files.taken[0].data)
        assert 0 < have < len(DATA)

        def prepare(file: ScriptedFile) -> int:
            assert file.invitation is not None
            assert file.invitation.file is not None
            assert file.invitation.file.ranged  # it asks how far it is
            return have

        files.prepare = prepare
        async with make_phone(files.server, style="rcse") as second:
            await second.send_file(BOB, photo, tid="t")
        assert bytes(files.taken[0].data + files.taken[1].data) == DATA

    play(story)


# Taking.


def test_a_file_that_comes_is_kept_and_told(kept: Path) -> None:
    async def story(phone: Phone, files: ScriptedFiles) -> None:
        here: list[int] = []
        phone.on_file_progress = lambda _offer, at: here.append(at)
        offer = make_offer(icon="i@h", disposition="render")
        file = await files.bring(offer, icon=PNG)
        assert await file.stream(DATA) == 200
        received = await phone.receive(timeout=5)
        assert received.path is not None
        assert received.path.parent == kept
        assert received.path.read_bytes() == DATA
        assert (received.sender, received.message_id, received.way) == (BOB, "t1", "msrp")
        assert (received.content_type, received.icon, received.offer) == ("image/jpeg", PNG, offer)
        assert received.path.stat().st_mode & 0o777 == 0o600
        assert here == sorted(here)
        assert here[-1] == len(DATA)
        assert names_in(kept) == [received.path.name]
        assert (await file.bye()).status == 200
        assert not phone._file_sessions._open

    play(story, kept)


@pytest.mark.parametrize("setup", ["active", "passive"])
def test_what_was_cut_is_gone_on_with_from_what_is_here(setup: str, kept: Path) -> None:
    async def story(phone: Phone, files: ScriptedFiles) -> None:
        file = await files.bring(make_offer())
        await file.stream(DATA, upto=150_000)
        await file.closed.wait()
        again = await files.bring(make_offer(start=100_000))
        assert again.answered is not None
        start = again.answered.start
        assert 0 < start <= 150_000
        assert await again.stream(DATA[start:]) == 200
        received = await phone.receive(timeout=5)
        assert received.path is not None
        assert received.path.read_bytes() == DATA

    play(story, kept, msrp_setup=setup)


def test_a_server_that_goes_on_where_it_said_is_understood_too(kept: Path) -> None:
    async def story(phone: Phone, files: ScriptedFiles) -> None:
        file = await files.bring(make_offer())
        await file.stream(DATA, upto=150_000)
        await file.closed.wait()
        again = await files.bring(make_offer(start=100_000))
        assert await again.stream(DATA[100_000:]) == 200
        received = await phone.receive(timeout=5)
        assert received.path is not None
        assert received.path.read_bytes() == DATA

    play(story, kept)


def test_another_process_goes_on_with_what_has_come(kept: Path) -> None:
    async def story(phone: Phone, files: ScriptedFiles) -> None:
        file = await files.bring(make_offer())
        await file.stream(DATA, upto=150_000)
        await file.closed.wait()
        await phone.close()
        async with make_phone(files.server, style="rcse", directory=kept) as second:
            again = await files.bring(make_offer())
            assert again.answered is not None
            assert again.answered.start > 0
            assert await again.stream(DATA[again.answered.start :]) == 200
            received = await second.receive(timeout=5)
            assert received.path is not None
            assert received.path.read_bytes() == DATA

    play(story, kept)


def test_a_part_of_which_the_beginning_is_missing_is_not_taken(kept: Path) -> None:
    async def story(_phone: Phone, files: ScriptedFiles) -> None:
        file = await files.bring(make_offer(start=1000))
        assert file.answered is not None
        assert file.answered.start == 0
        assert await file.stream(DATA[1000:]) == 413

    play(story, kept)


def test_what_is_not_what_was_said_is_not_kept_and_comes_anew(kept: Path) -> None:
    async def story(phone: Phone, files: ScriptedFiles) -> None:
        file = await files.bring(make_offer())
        assert await file.stream(DATA[:-1] + b"!") == 413
        await file.bye()
        assert names_in(kept) == []
        again = await files.bring(make_offer())
        assert await again.stream(DATA) == 200
        assert (await phone.receive(timeout=5)).path is not None

    play(story, kept)


def test_what_the_disk_cannot_do_ends_the_session_and_refuses_nothing(kept: Path) -> None:
    async def story(_phone: Phone, files: ScriptedFiles) -> None:
        file = await files.bring(make_offer())
        await asyncio.to_thread(kept.rmdir)
        sending = asyncio.ensure_future(file.stream(DATA))
        await files.server.wait_for("BYE")
        assert await sending == CONNECTION_LOST
        await asyncio.to_thread(kept.mkdir)
        again = await files.bring(make_offer())
        assert await again.stream(DATA) == 200

    play(story, kept)


def test_what_comes_again_is_told_once(kept: Path) -> None:
    async def story(phone: Phone, files: ScriptedFiles) -> None:
        for start in (0, 390_000):
            file = await files.bring(make_offer(start=start))
            assert await file.stream(DATA[start:]) == 200
            await file.bye()
        received = await phone.receive(timeout=5)
        assert received.path is not None
        assert received.path.read_bytes() == DATA
        with pytest.raises(TimeoutError):
            await phone.receive(timeout=0.1)

    play(story, kept)


def test_so_many_files_are_known_when_they_come_again(kept: Path) -> None:
    async def story(phone: Phone, files: ScriptedFiles) -> None:
        done = phone._file_sessions._done
        done.update(dict.fromkeys(map(str, range(MAX_DONE))))
        file = await files.bring(make_offer())
        assert await file.stream(DATA) == 200
        assert len(done) == MAX_DONE
        assert "0" not in done

    play(story, kept)


def test_when_it_comes_again_the_session_before_is_over(kept: Path) -> None:
    async def story(phone: Phone, files: ScriptedFiles) -> None:
        first = await files.bring(make_offer())
        second = await files.bring(make_offer())
        await first.closed.wait()
        assert await second.stream(DATA) == 200
        assert len(phone._file_sessions._open) == 1

    play(story, kept)


@pytest.mark.parametrize(
    ("policy", "said", "status"),
    [
        (603, {}, 603),
        (486, {}, 486),
        ("at_once", {"size": None}, 488),
        ("at_once", {"size": 0}, 488),
        ("at_once", {"size": MAX_FILE + 1}, 413),
    ],
)
def test_what_is_not_wanted_or_not_said_is_refused(policy: Any, said: dict[str, Any], status: int, kept: Path) -> None:
    async def story(phone: Phone, files: ScriptedFiles) -> None:
        phone.accept_files = policy
        assert (await files.ask(make_offer(**said))).status == status
        assert names_in(kept) == []

    play(story, kept)


def test_a_file_that_is_asked_for_is_not_given(kept: Path) -> None:
    async def story(_phone: Phone, files: ScriptedFiles) -> None:
        assert (await files.ask(make_offer(), direction="recvonly")).status == 488

    play(story, kept)


def test_without_a_place_for_them_no_file_is_taken() -> None:
    async def story(_phone: Phone, files: ScriptedFiles) -> None:
        assert (await files.ask(make_offer())).status == 603

    play(story)


def test_so_many_files_come_at_a_time(kept: Path) -> None:
    async def story(_phone: Phone, files: ScriptedFiles) -> None:
        for number in range(MAX_TRANSFERS):
            await files.bring(make_offer(transfer_id=str(number)))
        assert (await files.ask(make_offer(transfer_id="more"))).status == 486
        await files.brought.bye()
        assert (await files.ask(make_offer(transfer_id="more"))).status == 200

    play(story, kept)


def test_a_phone_that_loses_its_connection_ends_what_comes(kept: Path) -> None:
    async def story(phone: Phone, files: ScriptedFiles) -> None:
        file = await files.bring(make_offer())
        await until(lambda: file.media.bound)
        phone.cut()
        await file.closed.wait()
        await until(lambda: not phone._file_sessions._open)

    play(story, kept)
