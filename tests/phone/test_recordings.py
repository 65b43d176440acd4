import asyncio
from pathlib import Path

import pytest

from edge.http.files_door import Sender, at_content
from joyn.phone.recordings import MAX_FRAMES, audio_type, recorded_seconds
from phone.node import ALICE, BOB, make_phone
from phone.recordings import make_amr, make_wav
from phone.scripted_server import make_phone as make_lonely_phone
from phone.scripted_server import running


@pytest.mark.parametrize(("seconds", "told"), [(12, 12), (0.2, 1), (1.4, 1), (1.6, 2), (61.5, 62)])
def test_a_wav_file_says_how_long_it_is(seconds: float, told: int, tmp_path: Path) -> None:
    assert recorded_seconds(make_wav(tmp_path / "a.wav", seconds)) == told


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize(("frames", "told"), [(600, 12), (1, 1), (1_080, 22)])
def test_the_frames_of_an_amr_file_are_counted(frames: int, told: int, wide: bool, tmp_path: Path) -> None:
    assert recorded_seconds(make_amr(tmp_path / "a.amr", frames, wide=wide)) == told


def test_silence_in_amr_is_short_frames(tmp_path: Path) -> None:
    path = make_amr(tmp_path / "a.amr", 50)
    path.write_bytes(path.read_bytes() + 50 * (b"\x44" + bytes(5)) + 50 * b"\x7c")
    assert recorded_seconds(path) == 3


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"#!AMR\n",
        b"#!AMR\n\x3c" + bytes(30),  # the end is missing
        b"#!AMR\n\x4c" + bytes(31),  # a type that does not occur in files
        b"RIFF\x24\0\0\0WAVEfmt ",
        b"\0\0\0\x18ftypM4A " + bytes(100),
        b"#!AMR\n" + (MAX_FRAMES + 1) * b"\x7c",
    ],
)
def test_what_does_not_say_how_long_it_is_is_not_guessed(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(data)
    assert recorded_seconds(path) is None


def test_an_empty_wav_file_has_no_length(tmp_path: Path) -> None:
    assert recorded_seconds(make_wav(tmp_path / "a.wav", 0)) is None


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("a.amr", "audio/amr"),
        ("a.3gp", "audio/3gpp"),
        ("a.m4a", "audio/mp4"),
        ("a.MP4", "audio/mp4"),
        ("a.wav", "audio/x-wav"),
        ("a.jpg", ""),
        ("a.avi", ""),
        ("a", ""),
    ],
)
def test_a_recording_is_sound_whatever_its_container_is_called(name: str, told: str) -> None:
    assert audio_type(Path(name)) == told


def test_a_voice_message_arrives_as_one_with_its_length(tmp_path: Path) -> None:
    async def story(sender: Sender) -> None:
        listeners = sender.office.node.settings.sip.listeners
        servers = {"tcp": f"127.0.0.1:{listeners[1].port}"}
        content = f"{sender.url}/content"
        async with (
            make_phone(servers, ALICE, content_server=content) as alice,
            make_phone(servers, BOB, content_server=content) as bob,
        ):
            recording = make_amr(tmp_path / "memo.amr", 600)
            for path, length, told in ((recording, None, 12), (recording, 75, 75)):
                await alice.send_voice(BOB, path, playing_length=length)
                file = (await bob.receive(timeout=5)).file
                assert file is not None
                assert (file.voice, file.playing_length, file.content_type) == (True, told, "audio/amr")
                got = await bob.fetch(file, tmp_path / "got")
                assert got.read_bytes() == recording.read_bytes()
            await alice.send_file(BOB, recording)
            file = (await bob.receive(timeout=5)).file
            assert file is not None
            assert not file.voice

    at_content(story)


def test_what_is_no_recording_or_has_no_length_is_not_sent_as_one(tmp_path: Path) -> None:
    async def story() -> None:
        async with running() as server, make_lonely_phone(server) as phone:
            photo = tmp_path / "a.jpg"
            photo.write_bytes(b"x")
            with pytest.raises(ValueError, match="no recording"):
                await phone.send_voice(BOB, photo, playing_length=3)
            memo = photo.rename(tmp_path / "a.m4a")
            with pytest.raises(ValueError, match="how long"):
                await phone.send_voice(BOB, memo)
            assert not server.of("MESSAGE")

    asyncio.run(story())
