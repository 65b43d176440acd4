"""The process that decodes one picture. It is run as a program and never imported: nothing else imports a decoder.

Attacks: decoders are written in C and read what strangers send. This one reads standard input, writes standard output
and can do nothing else: no file, no socket, no process, and so much memory and time.
"""

from __future__ import annotations

import importlib
import io
import json
import os
import resource
import sys
import threading
import warnings
from typing import Any, Final

__all__ = ["UNDECODABLE", "UNPRIVILEGED"]

UNDECODABLE: Final = 65
"""The status that says: this is no such picture, or a larger one than allowed (EX_DATAERR)."""
UNPRIVILEGED: Final = 65534
"""The user that a decoder of root's becomes: nobody."""
FORMATS: Final = {
    "image/avif": ("AVIF",),
    "image/gif": ("GIF",),
    "image/heic": ("HEIF",),
    "image/jpeg": ("JPEG", "MPO"),
    "image/png": ("PNG",),
    "image/tiff": ("TIFF",),
    "image/webp": ("WEBP",),
}
"""The decoders for a type: a file that lies about its type reaches no other."""
ALWAYS: Final = (
    "copy",
    "PIL.ImageCms",
    "PIL.ImageColor",
    "PIL.ImageOps",
    "PIL.ImagePalette",
    "PIL.JpegImagePlugin",  # what is written
    "PIL.MpoImagePlugin",  # how some phones write JPEG
    "PIL.TiffImagePlugin",  # how EXIF is written
)
"""Modules that Pillow would import when it needs them."""
DECODERS: Final = {
    "image/avif": ("PIL.AvifImagePlugin",),
    "image/gif": ("PIL.GifImagePlugin",),
    "image/heic": (),
    "image/jpeg": (),
    "image/png": ("PIL.PngImagePlugin",),
    "image/tiff": (),
    "image/webp": ("PIL.WebPImagePlugin",),
}
"""What a type needs besides."""
THREADS: Final = {"image/heic": 4}
"""Threads that a decoder cannot do without (libde265 starts its own); the others have none."""
MOST_TASKS: Final = 1 << 22
"""No system runs more (Linux: PID_MAX_LIMIT)."""
QUALITIES: Final = (82, 70, 55, 40)
NICENESS: Final = 5
"""How far it stands back behind the messages."""
SMALLER: Final = 0.75
"""How much of its edge a picture keeps when no quality makes it small enough."""


def bound(memory: int, seconds: int) -> None:
    """Before anything is imported that reads pictures."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    # At the first SIGXCPU ends it; a second later nothing could hold SIGKILL back.
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    os.nice(NICENESS)


def load(kind: str) -> Any:
    """Pillow with the decoder of a type: what is needed later must be there now, as no file opens any more then."""
    for name in (*ALWAYS, *DECODERS[kind]):
        importlib.import_module(name)
    from PIL import Image

    Image.preinit()
    if kind == "image/avif":
        from PIL import AvifImagePlugin

        AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    elif kind == "image/heic":
        import pi_heif

        pi_heif.options.DECODE_THREADS = 1
        pi_heif.register_heif_opener()
    return Image


def give_up_everything(threads: int) -> None:
    """After the imports and before the first byte: what is open stays open, nothing else opens; and only `threads`
    start."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(UNPRIVILEGED)
        os.setuid(UNPRIVILEGED)
    most = fewest_tasks() + threads - 1 if threads else 0
    resource.setrlimit(resource.RLIMIT_NPROC, (most, most))
    # A file, a socket, a pipe: each would need a number.
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))


def fewest_tasks() -> int:
    """The lowest limit under which a thread starts. The limit counts all threads of the user, whoever started them, so
    the number has to be found."""
    ceiling = resource.getrlimit(resource.RLIMIT_NPROC)[1]
    low, high = 0, 1
    while not starts(high, ceiling):
        low, high = high, 2 * high
        if high > MOST_TASKS:
            raise OSError("no thread starts")
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if starts(middle, ceiling) else (middle, high)
    return high


def starts(limit: int, ceiling: int) -> bool:
    """Whether a thread starts under this limit."""
    resource.setrlimit(resource.RLIMIT_NPROC, (limit, ceiling))
    thread = threading.Thread(target=int)
    try:
        thread.start()
    except RuntimeError:
        return False
    thread.join()
    return True


def picture(pillow: Any, kind: str, edge: int, pixels: int) -> Any:
    """The picture as RGB, upright, no side above `edge`. Raises what Pillow raises, ValueError."""
    from PIL import ImageOps

    warnings.simplefilter("ignore")
    pillow.MAX_IMAGE_PIXELS = pixels
    image = pillow.open(sys.stdin.buffer, formats=FORMATS[kind])
    # Only the header has been read: a bomb has not gone off.
    if image.width * image.height > pixels:
        raise ValueError("more pixels than allowed")
    image.draft("RGB", (edge, edge))
    profile = image.info.get("icc_profile")
    if image.mode not in ("RGB", "RGBA", "L", "CMYK"):
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    image.thumbnail((edge, edge), reducing_gap=2.0)
    image = ImageOps.exif_transpose(image)
    if image.mode == "RGBA":
        paper = pillow.new("RGB", image.size, "white")
        paper.paste(image, mask=image.getchannel("A"))
        image = paper
    return as_srgb(image, profile).convert("RGB")


def as_srgb(image: Any, profile: bytes | None) -> Any:
    """The colours of a camera that sees more of them (Display P3), as they look without its profile."""
    from PIL import ImageCms

    if not profile:
        return image
    try:
        return ImageCms.profileToProfile(
            image, ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image


def written(pillow: Any, image: Any, largest: int) -> bytes:
    """JPEG of `largest` bytes at most, as good as goes into it. Raises ValueError when nothing does."""
    # A new picture: what was beside the pixels (EXIF, XMP, comments) is not handed on.
    bare = pillow.new("RGB", image.size)
    bare.paste(image)
    while max(bare.size) > 16:
        for quality in QUALITIES:
            out = io.BytesIO()
            bare.save(out, format="JPEG", quality=quality)
            if out.tell() <= largest:
                return out.getvalue()
        bare = bare.resize([max(1, round(side * SMALLER)) for side in bare.size])
    raise ValueError("no picture is so small")


def main() -> int:
    """Decode standard input as the one argument says, a JSON object."""
    asked = json.loads(sys.argv[1])
    bound(asked["memory"], asked["seconds"])
    pillow = load(asked["kind"])
    give_up_everything(THREADS.get(asked["kind"], 0))
    try:
        made = written(pillow, picture(pillow, asked["kind"], asked["edge"], asked["pixels"]), asked["largest"])
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - whatever a decoder says, it is no picture for us
        return UNDECODABLE
    sys.stdout.buffer.write(made)
    sys.stdout.buffer.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
