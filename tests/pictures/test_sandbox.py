"""The sandbox that pictures are decoded in: what comes out, and that nothing that goes in harms anybody."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from PIL import ImageCms

from joyn import telemetry
from joyn.model.refused import Reason, Refused
from joyn.pictures import Form
from joyn.pictures.sandbox import WAITING, WORKER, Limits, Sandbox
from pictures.drawing import BLUE, RED, draw, encode, is_near, make_bomb, make_noise, make_picture, opened
from waiting import until

SMALL = Form(edge=480, largest=50 << 10)


def make_limits(pixels: int = 64_000_000, memory: int = 768 << 20, seconds: int = 10, at_once: int = 2) -> Limits:
    return Limits(pixels=pixels, memory=memory, seconds=seconds, at_once=at_once)


@contextlib.asynccontextmanager
async def sandbox(worker: Path = WORKER, **limits: int) -> AsyncIterator[Sandbox]:
    made = Sandbox(make_limits(**limits), worker=worker)
    try:
        yield made
    finally:
        await made.close()


def made_of(tmp_path: Path, data: bytes, kind: str = "image/jpeg", form: Form = SMALL, **options) -> bytes:
    """What comes out for a file with these bytes."""

    async def story() -> bytes:
        path = tmp_path / "picture"
        path.write_bytes(data)
        async with sandbox(**options) as pictures:
            return await pictures.make(path, kind, form)

    return asyncio.run(story())


def refusal_of(tmp_path: Path, data: bytes, kind: str = "image/jpeg", **options) -> Reason:
    with pytest.raises(Refused) as refused:
        made_of(tmp_path, data, kind, **options)
    return refused.value.reason


def make_worker(tmp_path: Path, body: str) -> Path:
    """A worker that does something else."""
    path = tmp_path / "worker.py"
    path.write_text(textwrap.dedent(body))
    return path


def count(name: str) -> int:
    return telemetry.counters().get(name, 0)


# What comes out.


@pytest.mark.parametrize(
    "kind", ["image/avif", "image/gif", "image/heic", "image/jpeg", "image/png", "image/tiff", "image/webp"]
)
def test_a_picture_of_every_type_becomes_a_jpeg_with_the_same_on_it(tmp_path: Path, kind: str) -> None:
    image = opened(made_of(tmp_path, make_picture(kind), kind))
    assert (image.format, image.size) == ("JPEG", (96, 64))
    assert is_near(image.getpixel((20, 10)), RED)
    assert is_near(image.getpixel((80, 50)), BLUE)
    assert is_near(image.getpixel((80, 10)), (255, 255, 255))


def test_the_longest_side_and_the_bytes_are_no_more_than_asked_for(tmp_path: Path) -> None:
    made = made_of(tmp_path, make_picture(width=3000, height=1000))
    assert opened(made).size == (480, 160)
    noise = made_of(tmp_path, make_noise(600, 600), form=Form(edge=480, largest=20_000))
    assert 5_000 < len(noise) <= 20_000
    assert opened(noise).width <= 480


def test_it_is_upright_and_nothing_of_its_metadata_is_left(tmp_path: Path) -> None:
    lying = draw()
    exif = lying.getexif()
    exif[0x0112], exif[0x010F] = 6, "a camera"  # turned a quarter; who made it
    exif.get_ifd(0x8825)[1] = "N"  # where it was
    made = made_of(tmp_path, encode(lying, exif=exif, comment=b"a secret"))
    image = opened(made)
    assert image.size == (64, 96)
    # What was top left stands top right now.
    assert is_near(image.getpixel((54, 20)), RED)
    assert not image.getexif()
    assert set(image.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
    assert b"a camera" not in made
    assert b"a secret" not in made


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "L", "1", "CMYK", "I;16"])
def test_every_kind_of_pixel_is_drawn(tmp_path: Path, mode: str) -> None:
    image = draw().convert(mode) if mode != "I;16" else draw().convert("I").convert("I;16")
    kind = "image/tiff" if mode == "CMYK" else "image/png"
    assert opened(made_of(tmp_path, encode(image, kind), kind)).mode == "RGB"


@pytest.mark.parametrize(
    "profile",
    [ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(), b"rubbish" * 30],
    ids=["a profile", "garbage"],
)
def test_a_colour_profile_is_used_where_it_is_one_and_not_handed_on(tmp_path: Path, profile: bytes) -> None:
    image = opened(made_of(tmp_path, encode(draw(), icc_profile=profile)))
    assert is_near(image.getpixel((20, 10)), RED)
    assert "icc_profile" not in image.info


def test_what_is_transparent_is_white(tmp_path: Path) -> None:
    image = draw().convert("RGBA")
    image.putalpha(0)
    made = made_of(tmp_path, encode(image, "image/png"), "image/png")
    assert is_near(opened(made).getpixel((20, 10)), (255, 255, 255))


# What goes in.


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (make_picture()[:-300], "image/jpeg"),
        (make_picture("image/heic")[:500], "image/heic"),
        (make_picture("image/png"), "image/jpeg"),
        (make_picture("image/tiff"), "image/heic"),
        (b"", "image/jpeg"),
        (b"\xff\xd8\xff\xe0" + bytes(range(256)) * 40, "image/jpeg"),
        (make_bomb(), "image/png"),
    ],
    ids=["truncated", "truncated HEIC", "lying", "another lie", "empty", "garbage", "pixel bomb"],
)
def test_what_is_no_such_picture_is_refused(tmp_path: Path, data: bytes, kind: str) -> None:
    before = count("picture.refused")
    assert refusal_of(tmp_path, data, kind) is Reason.UNSUPPORTED_CONTENT
    assert count("picture.refused") == before + 1


def test_what_has_more_pixels_than_allowed_is_not_decoded(tmp_path: Path) -> None:
    assert refusal_of(tmp_path, make_picture(width=101, height=100), pixels=10_000) is Reason.UNSUPPORTED_CONTENT
    assert made_of(tmp_path, make_picture(width=100, height=100), pixels=10_000)


def test_a_picture_that_wants_more_memory_than_there_is_ends_its_own_process(tmp_path: Path) -> None:
    data = encode(draw(8000, 8000), "image/png")
    before = count("picture.failed")
    assert refusal_of(tmp_path, data, "image/png", memory=256 << 20) is Reason.UNSUPPORTED_CONTENT
    assert count("picture.failed") == before + 1


def test_types_that_nobody_here_decodes_start_no_process(tmp_path: Path) -> None:
    assert refusal_of(tmp_path, b"<svg/>", "image/svg+xml", worker=tmp_path / "none") is Reason.UNSUPPORTED_CONTENT


def test_without_the_extra_nobody_decodes_heic(monkeypatch: pytest.MonkeyPatch) -> None:
    # A module that sys.modules calls None is not installed.
    monkeypatch.setitem(sys.modules, "pi_heif", None)

    async def story() -> None:
        async with sandbox() as pictures:
            taken = [kind for kind in ("image/heic", "image/heif", "image/jpeg") if pictures.takes(kind)]
            assert taken == ["image/jpeg"]

    asyncio.run(story())


# Decoders that misbehave.


@pytest.mark.parametrize(
    "body",
    [
        "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
        "raise SystemExit(1)",
        "import sys\nwhile True: sys.stdout.buffer.write(bytes(65536))",
        "import time; time.sleep(60)",
        "import resource\nresource.setrlimit(resource.RLIMIT_CPU, (1, 2))\nwhile True: pass",
    ],
    ids=["crashes", "ends", "writes without end", "hangs", "computes without end"],
)
def test_a_decoder_that_misbehaves_is_ended_and_the_next_picture_is_made(tmp_path: Path, body: str) -> None:
    before, begun = count("picture.failed"), time.monotonic()
    worker = make_worker(tmp_path, body)
    assert refusal_of(tmp_path, make_picture(), worker=worker, seconds=1) is Reason.UNSUPPORTED_CONTENT
    assert count("picture.failed") == before + 1
    assert time.monotonic() - begun < 10
    assert made_of(tmp_path, make_picture())


def test_a_process_that_is_killed_from_outside_fails_its_picture_alone(tmp_path: Path) -> None:
    worker = make_worker(
        tmp_path,
        f"""
        import os, time
        open({str(tmp_path / "pid")!r}, "w").write(str(os.getpid()))
        time.sleep(60)
        """,
    )
    (tmp_path / "picture").write_bytes(make_picture())

    async def story() -> None:
        async with sandbox(worker) as pictures:
            making = asyncio.ensure_future(pictures.make(tmp_path / "picture", "image/jpeg", SMALL))
            await until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
            os.kill(int((tmp_path / "pid").read_text()), signal.SIGSEGV)
            with pytest.raises(Refused):
                await making

    asyncio.run(story())


def test_who_is_cancelled_ends_the_process(tmp_path: Path) -> None:
    worker = make_worker(
        tmp_path,
        f"""
        import os, time
        open({str(tmp_path / "pid")!r}, "w").write(str(os.getpid()))
        time.sleep(60)
        """,
    )
    (tmp_path / "picture").write_bytes(make_picture())

    async def story() -> None:
        async with sandbox(worker) as pictures:
            making = asyncio.ensure_future(pictures.make(tmp_path / "picture", "image/jpeg", SMALL))
            await until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
            making.cancel()
            await until(lambda: not Path(f"/proc/{(tmp_path / 'pid').read_text()}").exists())

    asyncio.run(story())


def test_too_many_at_once_are_refused_and_no_more_run_than_allowed(tmp_path: Path) -> None:
    running = tmp_path / "running"
    running.mkdir()
    worker = make_worker(
        tmp_path,
        f"""
        import os, time
        open({str(running)!r} + "/" + str(os.getpid()), "w")
        time.sleep(60)
        """,
    )
    (tmp_path / "picture").write_bytes(make_picture())

    async def story() -> None:
        async with sandbox(worker, at_once=1) as pictures:
            making = [
                asyncio.ensure_future(pictures.make(tmp_path / "picture", "image/jpeg", SMALL))
                for _ in range(1 + WAITING)
            ]
            await until(lambda: list(running.iterdir()))
            with pytest.raises(Refused) as refused:
                await pictures.make(tmp_path / "picture", "image/jpeg", SMALL)
            assert refused.value.reason is Reason.OVERLOADED
            assert len(list(running.iterdir())) == 1
            for one in making:
                one.cancel()
            await asyncio.gather(*making, return_exceptions=True)

    asyncio.run(story())


# What the process may do.

PROBE = """
import json, os, resource, socket, sys
sys.path.insert(0, {directory!r})
import worker
worker.bound(1 << 30, 5)
environment = dict(os.environ)
worker.load("image/jpeg")
worker.give_up_everything({threads})
def fails(what):
    try:
        what()
    except (OSError, RuntimeError):
        return True
    return False
import threading
found = {{
    "opens": not fails(lambda: open("/etc/passwd")),
    "connects": not fails(socket.socket),
    "forks": not fails(os.fork),
    "threads": not fails(lambda: threading.Thread(target=int).start()),
    "root": os.geteuid() == 0,
    "environment": sorted(set(environment) - {{"LC_CTYPE"}}),
    "reads": len(sys.stdin.buffer.read()),
}}
sys.stdout.write(json.dumps(found))
"""


def test_it_reads_its_input_and_can_do_nothing_else(tmp_path: Path) -> None:
    data = PROBE.format(directory=str(WORKER.parent), threads=0)
    picture = tmp_path / "picture"
    picture.write_bytes(b"12345")
    with picture.open("rb") as file:
        ran = subprocess.run(
            [sys.executable, "-I", "-c", data], stdin=file, capture_output=True, env={}, check=True, timeout=30
        )
    found = json.loads(ran.stdout)
    assert found == {
        "opens": False,
        "connects": False,
        "forks": False,
        "threads": False,
        "root": False,
        "environment": [],
        "reads": 5,
    }


def test_the_server_s_process_never_imports_a_decoder() -> None:
    code = "import joyn.node, joyn.cli, sys; print([name for name in sys.modules if name in ('PIL', 'pi_heif')])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"
