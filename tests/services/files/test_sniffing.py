"""What calls itself a sound: recorders' containers are believed, as they share their signatures with films."""

import pytest

from joyn.services.files.sniffing import is_lie, served_as

FRAMES = bytes(range(256)) * 4
WEBM = bytes.fromhex("1a45dfa39f4286810142f7810142f2810442f381084282847765626d42878104428581021853806701") + FRAMES


def box(brand: bytes, *compatible: bytes) -> bytes:
    """The beginning of an MP4 (ISO 14496-12 §4.3)."""
    brands = brand + bytes(4) + b"".join(compatible)
    return (8 + len(brands)).to_bytes(4, "big") + b"ftyp" + brands + b"\x00\x00\x02\x5dmoov" + FRAMES


@pytest.mark.parametrize(
    ("declared", "head"),
    [
        ("audio/webm", WEBM),
        ("audio/mp4", box(b"isom", b"isom", b"iso6", b"iso2", b"vp09", b"mp41")),
        ("audio/mp4", box(b"iso5", b"iso5", b"iso6", b"mp41")),
        ("audio/mp4", box(b"M4A ", b"M4A ", b"mp42", b"isom")),
        ("audio/3gpp", box(b"3gp4", b"isom", b"3gp4")),
        ("audio/ogg", b"OggS\x00\x02" + bytes(22) + b"OpusHead" + FRAMES),
        ("audio/amr", b"#!AMR\n" + FRAMES),
        ("audio/amr-wb", b"#!AMR-WB\n" + FRAMES),
    ],
)
def test_a_voice_message_is_what_it_says(declared: str, head: bytes) -> None:
    assert not is_lie(declared, head)


def test_a_recorder_s_codecs_are_left_out_of_the_type() -> None:
    assert served_as("audio/webm;codecs=opus") == "audio/webm"


@pytest.mark.parametrize("head", [b"#!/bin/sh\nrm -r /\n", b"<script>alert(1)</script>", b"%PDF-1.7\n" + FRAMES])
def test_what_runs_or_is_read_is_no_voice_message(head: bytes) -> None:
    assert is_lie("audio/amr", head)
