"""Pictures to decode, and what is looked for in what was made of them."""

from __future__ import annotations

import base64
import io
import json
import random
import struct
import zlib
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

HEIC = base64.b64decode(
    json.loads((Path(__file__).parent.parent / "vectors/pictures/heic.json").read_text())["wire_base64"]
)
RED, BLUE = (200, 30, 30), (30, 30, 200)
FORMATS = {
    "image/avif": "AVIF",
    "image/gif": "GIF",
    "image/jpeg": "JPEG",
    "image/png": "PNG",
    "image/tiff": "TIFF",
    "image/webp": "WEBP",
}


def draw(width: int = 96, height: int = 64) -> Image.Image:
    """White with a red quarter at the top left and a blue one at the bottom right."""
    image = Image.new("RGB", (width, height), "white")
    drawing = ImageDraw.Draw(image)
    drawing.rectangle((0, 0, width // 2 - 1, height // 2 - 1), fill=RED)
    drawing.rectangle((width // 2, height // 2, width, height), fill=BLUE)
    return image


def encode(image: Image.Image, kind: str = "image/jpeg", **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, FORMATS[kind], **options)
    return out.getvalue()


def make_picture(kind: str = "image/jpeg", width: int = 96, height: int = 64, **options: Any) -> bytes:
    """A file of this type with the drawing."""
    return HEIC if kind == "image/heic" else encode(draw(width, height), kind, **options)


def make_noise(width: int, height: int) -> bytes:
    """A JPEG that no quality makes small."""
    return encode(Image.frombytes("RGB", (width, height), random.Random(1).randbytes(3 * width * height)))


def make_bomb(width: int = 50_000, height: int = 50_000) -> bytes:
    """A PNG of some bytes that says it has so many pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(1 + 3 * width) * 20, 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def opened(made: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(made))
    image.load()
    return image


def is_near(found: Any, colour: tuple[int, int, int]) -> bool:
    """Whether a pixel has about this colour."""
    return all(abs(one - other) < 40 for one, other in zip(found, colour, strict=True))
