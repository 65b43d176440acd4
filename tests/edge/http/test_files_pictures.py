"""What the content server makes of pictures, over real HTTP: thumbnails, and the form that browsers draw."""

import asyncio
from pathlib import Path

import pytest

from edge.http.files_door import FORM, PNG, Sender, at_content, make_form, only
from joyn import telemetry
from joyn.model.file import FileUsage
from joyn.protocol.file_info import FileInfo
from pictures.drawing import RED, is_near, make_noise, make_picture, opened
from waiting import until

DECODING = {"thumbnails": True, "thumbnail_wait": 30.0}
"""Pictures are decoded, however busy the machine is."""
HANGS = "import time; time.sleep(60)"
CRASHES = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"


def use_worker(sender: Sender, tmp_path: Path, body: str) -> None:
    """From now on decoding is this."""
    (tmp_path / "worker.py").write_text(body)
    sandbox = sender.office.node.content.sandbox
    assert sandbox is not None
    sandbox.worker = tmp_path / "worker.py"


async def uploaded(sender: Sender, data: bytes, kind: str = "image/jpeg", **more) -> tuple[FileInfo, ...]:
    assert (await sender.ask("POST", "/content"))[0] == 204
    status, files = await sender.upload(data, kind=kind, **more)
    assert status == 200
    assert isinstance(files, tuple)
    return files


def test_a_picture_without_a_thumbnail_gets_one_and_it_comes_first() -> None:
    async def story(sender: Sender) -> None:
        thumbnail, file = await uploaded(sender, make_picture(width=2000, height=1000))
        assert (thumbnail.type, thumbnail.content_type, thumbnail.until) == ("thumbnail", "image/jpeg", file.until)
        assert thumbnail.size <= 50 << 10
        status, made, headers = await sender.fetch(thumbnail.url)
        assert (status, len(made), headers["Content-Type"]) == (200, thumbnail.size, "image/jpeg")
        assert opened(made).size == (480, 240)
        assert await sender.usage() == FileUsage(file.size + thumbnail.size, file.size + thumbnail.size)
        status, again, _ = await sender.ask("GET", "/content?tid=t1&get_download_info")
        assert status == 200
        assert again.index(thumbnail.url.encode()) < again.index(file.url.encode())

    at_content(story, **DECODING)


def test_a_thumbnail_that_the_sender_made_is_the_sender_s() -> None:
    async def story(sender: Sender) -> None:
        thumbnail, _ = await uploaded(sender, make_picture(), thumbnail=PNG)
        assert (await sender.fetch(thumbnail.url))[1] == PNG

    at_content(story, **DECODING)


@pytest.mark.parametrize(
    ("data", "kind", "settings"),
    [
        (make_picture()[:-300], "image/jpeg", {}),
        (make_picture("image/png"), "image/jpeg", {}),
        (b"words", "text/plain", {}),
        (make_picture(), "image/jpeg", {"picture_pixels": 1000}),
        (make_picture(), "image/jpeg", {"thumbnails": False}),
        (make_noise(300, 300), "image/jpeg", {"quota": len(make_noise(300, 300)) + 100}),
    ],
    ids=["truncated", "a lying type", "no picture", "too many pixels", "not wanted", "no room"],
)
def test_what_can_have_no_thumbnail_comes_in_without(data: bytes, kind: str, settings: dict[str, int]) -> None:
    async def story(sender: Sender) -> None:
        file = only(await uploaded(sender, data, kind))
        assert (await sender.fetch(file.url))[1] == data
        assert await sender.usage() == FileUsage(len(data), len(data))

    at_content(story, **DECODING | settings)


@pytest.mark.parametrize(
    ("body", "wait", "event"), [(CRASHES, 30.0, "picture.failed"), (HANGS, 0.5, "picture.abandoned")]
)
def test_a_decoder_that_crashes_or_hangs_costs_the_thumbnail_and_nothing_else(
    tmp_path: Path, body: str, wait: float, event: str
) -> None:
    async def story(sender: Sender) -> None:
        use_worker(sender, tmp_path, body)
        before = telemetry.counters().get(event, 0)
        file = only(await uploaded(sender, make_picture()))
        assert telemetry.counters().get(event, 0) == before + 1
        assert (await sender.fetch(file.url))[1] == make_picture()

    at_content(story, thumbnails=True, thumbnail_wait=wait)


# The form that browsers draw.


@pytest.mark.parametrize("kind", ["image/heic", "image/tiff"])
def test_what_browsers_do_not_draw_is_shown_as_jpeg_and_made_once(kind: str) -> None:
    async def story(sender: Sender) -> None:
        _, file = await uploaded(sender, make_picture(kind), kind, name="été.x")
        made = telemetry.counters()["picture.made"]
        answers = await asyncio.gather(*(sender.fetch(file.url + "/shown") for _ in range(3)))
        status, body, headers = answers[0]
        assert (status, headers["Content-Type"]) == (200, "image/jpeg")
        assert headers["Content-Disposition"] == "attachment; filename*=UTF-8''%C3%A9t%C3%A9.jpg"
        assert "sandbox" in headers["Content-Security-Policy"]
        assert headers["Access-Control-Allow-Origin"] == "*"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert is_near(opened(body).getpixel((20, 10)), RED)
        assert [answer[1] for answer in answers] == [body] * 3
        assert (await sender.fetch(file.url + "/shown", Range="bytes=0-1"))[:2] == (206, body[:2])
        assert telemetry.counters()["picture.made"] == made + 1
        # It is sent to nobody, and counts.
        assert b".jpg" not in (await sender.ask("GET", "/content?tid=t1&get_download_info"))[1]
        usage = await sender.usage()
        assert usage.own >= file.size + len(body)

    at_content(story, **DECODING)


def test_what_needs_no_other_form_has_none() -> None:
    async def story(sender: Sender) -> None:
        for kind in ("image/jpeg", "text/plain"):
            file = (await uploaded(sender, make_picture(), kind))[-1]
            status, body, _ = await sender.fetch(file.url + "/shown")
            assert (status, body) == (415, b'{"error": "not-needed"}')

    at_content(story, **DECODING)


def test_what_cannot_be_decoded_is_tried_once_and_said_so() -> None:
    async def story(sender: Sender) -> None:
        file = only(await uploaded(sender, make_picture("image/heic")[:400], "image/heic"))
        before = telemetry.counters()["picture.refused"]
        for _ in range(2):
            status, body, _ = await sender.fetch(file.url + "/shown")
            assert (status, body) == (422, b'{"error": "undecodable"}')
        assert telemetry.counters()["picture.refused"] == before + 1

    at_content(story, **DECODING)


def test_where_nothing_is_decoded_there_is_no_form() -> None:
    async def story(sender: Sender) -> None:
        file = only(await uploaded(sender, make_picture("image/tiff"), "image/tiff"))
        assert (await sender.fetch(file.url + "/shown"))[0] == 422

    at_content(story, thumbnails=False)


def test_without_room_there_is_no_form() -> None:
    data = make_picture("image/tiff")

    async def story(sender: Sender) -> None:
        file = only(await uploaded(sender, data, "image/tiff"))
        status, body, _ = await sender.fetch(file.url + "/shown")
        assert (status, body) == (507, b'{"error": "quota"}')

    at_content(story, **DECODING, quota=len(data) + 10)


def test_when_too_many_wait_the_browser_is_told_to_come_back(tmp_path: Path) -> None:
    async def story(sender: Sender) -> None:
        file = only(await uploaded(sender, b"II*\0" + bytes(100), "image/tiff"))
        sandbox = sender.office.node.content.sandbox
        assert sandbox is not None
        use_worker(sender, tmp_path, HANGS)
        hanging = [
            asyncio.ensure_future(uploaded(Sender(sender.office), make_picture(), tid=f"h{number}"))
            for number in range(20)
        ]
        await until(lambda: sandbox.is_full)
        async with sender.office.http.get(file.url + "/shown") as answer:
            assert (answer.status, await answer.json()) == (503, {"error": "makers-busy"})
            assert int(answer.headers["Retry-After"]) > 0
        # Every upload is answered, with its file.
        for files in await asyncio.gather(*hanging):
            assert only(files).type == "file"

    at_content(story, thumbnails=True, thumbnail_wait=2.0, pictures_at_once=1)


def test_a_form_ends_with_its_file_and_its_owner() -> None:
    async def story(sender: Sender) -> None:
        file = (await uploaded(sender, make_picture("image/tiff"), "image/tiff"))[-1]
        assert (await sender.fetch(file.url + "/shown"))[0] == 200
        await sender.ask("POST", "/content", make_form(b"x", "t1", "a", "text/plain"), Content_Type=FORM)
        assert (await sender.fetch(file.url + "/shown"))[0] == 404
        assert await sender.usage() == FileUsage(1, 1)

    at_content(story, **DECODING)
