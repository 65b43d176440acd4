"""Recordings of silence, made on the spot."""

import wave
from pathlib import Path


def make_wav(path: Path, seconds: float, *, rate: int = 8000) -> Path:
    with wave.open(str(path), "wb") as recording:
        recording.setnchannels(1)
        recording.setsampwidth(2)
        recording.setframerate(rate)
        recording.writeframes(bytes(2 * int(seconds * rate)))
    return path


def make_amr(path: Path, frames: int, *, wide: bool = False) -> Path:
    """Frames of the best mode: 12.2 kbit/s, or 23.85."""
    head, frame = (b"#!AMR-WB\n", b"\x44" + bytes(60)) if wide else (b"#!AMR\n", b"\x3c" + bytes(31))
    path.write_bytes(head + frames * frame)
    return path
