"""How long a recording is, where its file says so in a simple way: WAV and AMR.

Spec: RFC 4867 §5 (AMR and AMR-WB in files); RIFF for WAV, which the standard library reads.
"""

from __future__ import annotations

import mimetypes
import wave
from pathlib import Path
from typing import Final

__all__ = ["MAX_FRAMES", "audio_type", "recorded_seconds"]

MAX_FRAMES: Final = 1_000_000
"""Frames of one AMR file that are counted: five hours and a half."""
FRAMES_A_SECOND: Final = 50
"""RFC 4867 §3.1: a frame is 20 ms."""
# RFC 4867 §5.3: bytes behind the head of a frame, by its type; the types that are missing do not occur in files.
_NARROW: Final = {0: 12, 1: 13, 2: 15, 3: 17, 4: 19, 5: 20, 6: 26, 7: 31, 8: 5, 15: 0}
_WIDE: Final = {0: 17, 1: 23, 2: 32, 3: 36, 4: 40, 5: 46, 6: 50, 7: 58, 8: 60, 9: 5, 14: 0, 15: 0}
_MAGIC: Final = ((b"#!AMR\n", _NARROW), (b"#!AMR-WB\n", _WIDE))


def audio_type(path: Path) -> str:
    """The type of a recording by its file's name; empty when that is none of sound."""
    kind, _, subtype = (mimetypes.guess_type(path.name)[0] or "").lower().partition("/")
    # Sound and film share their containers, and a recording is sound.
    return f"audio/{subtype}" if kind == "audio" or (kind == "video" and subtype in ("3gpp", "mp4", "webm")) else ""


def recorded_seconds(path: Path) -> int | None:
    """Whole seconds that a recording takes, at least one; None when its file does not say. Raises OSError."""
    with path.open("rb") as file:
        head = file.read(max(len(magic) for magic, _ in _MAGIC))
    for magic, sizes in _MAGIC:
        if head.startswith(magic):
            frames = _frames(path, len(magic), sizes)
            return max(1, round(frames / FRAMES_A_SECOND)) if frames else None
    try:
        with wave.open(str(path), "rb") as recording:
            return max(1, round(recording.getnframes() / recording.getframerate())) if recording.getnframes() else None
    except (wave.Error, EOFError):
        return None


def _frames(path: Path, start: int, sizes: dict[int, int]) -> int:
    """The frames of an AMR file; 0 when it is not made of whole ones."""
    end, at = path.stat().st_size, start
    with path.open("rb") as file:
        for frames in range(MAX_FRAMES):
            file.seek(at)
            head = file.read(1)
            if not head:
                return frames
            size = sizes.get(head[0] >> 3 & 0xF)
            if size is None or at + 1 + size > end:
                return 0
            at += 1 + size
    return 0
