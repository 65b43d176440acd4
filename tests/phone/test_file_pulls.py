"""The phone pauses a file that comes over MSRP, and asks for the rest of it."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from edge.http.files_door import PNG
from joyn.phone import Phone, Rejected
from joyn.phone.file_session import Paused
from joyn.protocol.file_transfer import FileOffer
from phone.scripted_files import ScriptedFiles
from phone.scripted_server import BOB, make_phone
from phone.test_file_sessions import DATA, make_offer, names_in, play


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    path = tmp_path / "kept"
    path.mkdir()
    return path


async def paused(phone: Phone, files: ScriptedFiles, at: int = 100_000) -> tuple[Paused, int]:
    """A file comes, and the phone hangs up when so many bytes of it are here; how many are then."""
    offer, enough = make_offer(icon="i@h"), asyncio.Event()

    def on_progress(_offer: FileOffer, here: int) -> None:
        if here >= at:
            enough.set()

    phone.on_file_progress = on_progress
    file = await files.bring(offer, icon=PNG)
    sending = asyncio.ensure_future(file.stream(DATA))
    await enough.wait()
    pause = await phone.pause_file(offer)
    await files.server.wait_for("BYE")
    assert await sending != 200
    directory = phone._file_sessions._directory
    assert directory is not None
    (part,) = directory.iterdir()
    return pause, part.stat().st_size


@pytest.mark.parametrize("setup", ["active", "passive", "actpass"])
def test_a_file_that_was_paused_is_asked_for(setup: str, kept: Path) -> None:
    async def story(phone: Phone, files: ScriptedFiles) -> None:
        pause, here = await paused(phone, files)
        assert 100_000 <= here < len(DATA)
        await phone.resume_file(pause)
        (file,) = files.taken
        assert file.request is not None
        assert BOB in file.request.uri
        invitation = file.invitation
        assert invitation is not None
        assert invitation.media.direction == "recvonly"
        asked = invitation.file
        assert asked is not None
        assert asked.transfer_id != pause.offer.transfer_id
        wanted = replace(make_offer(), transfer_id=asked.transfer_id, start=here, ranged=True)
        assert asked == wanted
        assert await file.stream(DATA[here:]) == 200
        received = await phone.receive(timeout=5)
        assert received.path is not None
        assert received.path.read_bytes() == DATA
        assert (received.sender, received.message_id, received.icon) == (BOB, "t1", PNG)
        assert (await file.bye()).status == 200
        assert not phone._file_sessions._open

    play(story, kept, msrp_setup=setup)


def test_another_process_asks_for_what_is_missing(kept: Path) -> None:
    async def story(phone: Phone, files: ScriptedFiles) -> None:
        pause, here = await paused(phone, files)
        await phone.close()
        async with make_phone(files.server, style="rcse", directory=kept) as second:
            await second.resume_file(pause)
            assert await files.taken[0].stream(DATA[here:]) == 200
            received = await second.receive(timeout=5)
            assert received.path is not None
            assert received.path.read_bytes() == DATA

    play(story, kept)


def test_what_is_cut_is_asked_for_again_or_brought(kept: Path) -> None:
    async def story(phone: Phone, files: ScriptedFiles) -> None:
        pause, here = await paused(phone, files)
        for _ in range(2):
            await phone.resume_file(pause)
            file = files.taken[-1]
            asked = file.invitation.file  # type: ignore[union-attr]  # it asks for a file
            assert asked is not None
            assert asked.start >= here
            here = asked.start
            await file.stream(DATA[here:], upto=50_000)
            await file.closed.wait()
        brought = await files.bring(make_offer(start=here))
        assert brought.answered is not None
        assert brought.answered.start > here
        assert await brought.stream(DATA[brought.answered.start :]) == 200
        received = await phone.receive(timeout=5)
        assert received.path is not None
        assert received.path.read_bytes() == DATA

    play(story, kept)


def test_what_is_not_given_is_told(kept: Path) -> None:
    async def story(phone: Phone, files: ScriptedFiles) -> None:
        pause, here = await paused(phone, files)
        files.statuses = [488]
        with pytest.raises(Rejected) as rejected:
            await phone.resume_file(pause)
        assert rejected.value.status == 488
        assert not phone._file_sessions._open
        assert not phone._file_sessions._taking
        # What has come stays.
        assert [kept.joinpath(name).stat().st_size for name in names_in(kept)] == [here]

    play(story, kept)


def test_a_server_that_would_leave_out_a_part_is_not_believed(kept: Path) -> None:
    async def story(phone: Phone, files: ScriptedFiles) -> None:
        pause, here = await paused(phone, files)
        files.prepare = lambda _file: len(DATA) + 1
        with pytest.raises(Rejected):
            await phone.resume_file(pause)
        await files.server.wait_for("BYE")
        files.prepare = lambda _file: here + 1
        await phone.resume_file(pause)
        assert await files.taken[-1].stream(DATA[here + 1 :]) == 413

    play(story, kept)


def test_only_a_file_that_comes_is_paused(kept: Path) -> None:
    async def story(phone: Phone, files: ScriptedFiles) -> None:
        with pytest.raises(LookupError):
            await phone.pause_file(make_offer())
        file = await files.bring(make_offer())
        assert await file.stream(DATA) == 200
        await file.bye()
        with pytest.raises(LookupError):
            await phone.pause_file(make_offer())

    play(story, kept)
