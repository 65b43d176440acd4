"""Bad input to the content server, line by line: a clear error, nothing half-stored, nothing of anybody else's."""

import asyncio
import io
import os
import resource
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge.http.files_door import FORM, JPEG, PNG, Sender, at_content, make_form, only
from joyn.model.aor import Aor
from joyn.model.file import FileUsage
from phone.node import ALICE, BOB
from pictures.drawing import make_bomb

ROOT = sys.platform == "linux" and os.geteuid() == 0
LARGE = JPEG + bytes(50_000)
DATA = JPEG[:4] + os.urandom(300_000)


async def nothing_is_kept(sender: Sender, tid: str = "t1") -> None:
    """Neither on disk, nor in the store, nor on the quotas."""
    assert sender.kept() == []
    assert await sender.progress(tid) == 404
    assert (await sender.ask("GET", f"/content?tid={tid}&get_download_info"))[0] == 404
    assert await sender.usage() == FileUsage(0, 0)


async def others_are_served(sender: Sender) -> None:
    bob = Sender(sender.office, BOB)
    assert (await bob.ask("POST", "/content"))[0] == 204
    status, files = await bob.upload(b"words", kind="text/plain", name="a.txt")
    assert status == 200
    assert (await bob.fetch(only(files).url))[1] == b"words"


# A file that does not go in: the error in full.


@pytest.mark.parametrize(
    ("form", "settings", "status", "word"),
    [
        pytest.param({"data": LARGE}, {"max_file": 50_000}, 413, "too-large", id="larger than allowed"),
        pytest.param({"data": LARGE}, {"quota": 50_000}, 413, "quota", id="quota passed"),
        pytest.param({"data": LARGE}, {"total": 50_000}, 413, "quota", id="quota of all passed"),
        pytest.param(
            {"data": LARGE, "thumbnail": PNG + bytes(30_000)}, {"quota": 80_000}, 413, "quota",
            id="quota passed by file and thumbnail together",
        ),
        pytest.param(
            {"thumbnail": PNG + bytes(30_000)}, {"max_thumbnail": 20_000}, 413, "too-large", id="a large thumbnail"
        ),
        pytest.param(
            {"data": b"<script>alert(1)</script>" * 900}, {}, 415, "not-what-it-says", id="lying type: page as photo"
        ),
        pytest.param(
            {"data": b"MZ" + bytes(9000), "kind": "video/mp4"}, {}, 415, "not-what-it-says",
            id="lying type: a program as a film",
        ),
        pytest.param({"thumbnail": b"<svg/>" * 20}, {}, 415, "not-what-it-says", id="lying type: page as thumbnail"),
        pytest.param({"data": b""}, {}, 400, "malformed", id="wrong length: an empty file"),
        pytest.param({"tid": ""}, {}, 400, "malformed", id="no tid"),
        pytest.param({"tid": "t" * 200}, {}, 400, "malformed", id="a long tid"),
    ],
)  # fmt: skip
def test_what_does_not_go_in_is_refused_and_nothing_of_it_stays(
    form: dict[str, Any], settings: dict[str, int], status: int, word: str
) -> None:
    async def story(sender: Sender) -> None:
        assert (await sender.ask("POST", "/content"))[0] == 204
        assert await sender.upload(**form) == (status, f'{{"error": "{word}"}}'.encode())
        # A thumbnail that had come first is nobody's, and is swept.
        await sender.office.node.content.sweep()
        await nothing_is_kept(sender)
        await others_are_served(sender)

    at_content(story, upload_for=0.001, **settings)


@pytest.mark.parametrize(
    "form",
    [
        pytest.param(b"no form at all", id="no form"),
        pytest.param(make_form(b"x", "t1", "a", "text/plain").replace(b'"File"', b'"Other"'), id="no file"),
        pytest.param(b"--joyn42\r\n" + b"A: b\r\n" * 200 + b"\r\n", id="headers without end"),
        pytest.param(
            make_form(b"x", "t1", "a", "text/plain")[: -len(b"--joyn42--\r\n")]
            + make_form(b"y", "t1", "b", "text/plain"),
            id="two files in one form",
        ),
    ],
)  # fmt: skip
def test_a_form_that_is_none_is_refused(form: bytes) -> None:
    async def story(sender: Sender) -> None:
        assert (await sender.ask("POST", "/content"))[0] == 204
        status, body, _ = await sender.ask("POST", "/content", form, Content_Type=FORM)
        assert (status, body) == (400, b'{"error": "malformed"}')
        assert (await sender.ask("GET", "/content?tid=t1&get_download_info"))[0] == 404
        await others_are_served(sender)

    at_content(story)


# Wrong length.


def test_wrong_length_a_form_without_its_end_is_no_file() -> None:
    async def story(sender: Sender) -> None:
        assert (await sender.ask("POST", "/content"))[0] == 204
        status, body, _ = await sender.ask(
            "POST", "/content", make_form(b"x", "t1", "a", "text/plain")[:-20], Content_Type=FORM
        )
        assert (status, body) == (400, b'{"error": "malformed"}')
        assert (await sender.ask("GET", "/content?tid=t1&get_download_info"))[0] == 404

    at_content(story)


def test_wrong_length_another_size_than_the_part_said() -> None:
    async def story(sender: Sender) -> None:
        assert (await sender.ask("POST", "/content"))[0] == 204
        form = make_form(b"x" * 100, "t1", "a", "text/plain")
        form = form.replace(b"\r\n\r\nxxx", b"\r\nContent-Range: bytes 0-199/200\r\n\r\nxxx")
        status, body, _ = await sender.ask("POST", "/content", form, Content_Type=FORM)
        assert (status, body) == (400, b'{"error": "malformed"}')
        await nothing_is_kept(sender)

    at_content(story)


@pytest.mark.parametrize(
    ("said", "size"),
    [("bytes 5-9/10", 5), ("bytes 1000-1500/1400", 501), ("bytes 1000-999999/1000000", 500), ("rubbish", 5), ("", 5)],
)
def test_wrong_length_a_rest_that_does_not_fit_is_refused(said: str, size: int) -> None:
    async def story(sender: Sender) -> None:
        await sender.half(DATA, 1000)
        info = await sender.progress()
        assert not isinstance(info, int)
        headers = {"Content_Range": said} if said else {}
        status, _, _ = await sender.ask("PUT", info.url, DATA[:size], **headers)
        assert status == 400

    at_content(story)


# Zip and pixel bombs.


def test_zip_bomb_an_archive_is_kept_as_it_came_and_never_unpacked() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(50_000_000))
    bomb = out.getvalue()
    assert len(bomb) < 100_000

    async def story(sender: Sender) -> None:
        assert (await sender.ask("POST", "/content"))[0] == 204
        status, files = await sender.upload(bomb, name="a.zip", kind="application/zip")
        assert (status, only(files).size) == (200, len(bomb))
        assert [path.stat().st_size for path in sender.kept()] == [len(bomb)]
        assert await sender.usage() == FileUsage(len(bomb), len(bomb))
        assert (await sender.fetch(only(files).url))[1] == bomb
        assert (await sender.fetch(only(files).url + "/shown"))[0] == 415

    at_content(story, thumbnails=True)


def test_pixel_bomb_a_picture_goes_off_nowhere() -> None:
    bomb = make_bomb()  # 2.5 thousand million pixels

    async def story(sender: Sender) -> None:
        assert (await sender.ask("POST", "/content"))[0] == 204
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        status, files = await sender.upload(bomb, name="a.png", kind="image/png")
        assert (status, only(files).type) == (200, "file")
        # It would take 7 GB.
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000
        assert (await sender.fetch(only(files).url))[1] == bomb
        await others_are_served(sender)

    at_content(story, thumbnails=True)


# Path tricks.


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\\\Windows\\\\a.txt", "a.txt"),
        ("photo%E2%80%AEgpj.exe", "photogpj.exe"),
        ("a%0D%0AX-Evil: 1.jpg", "aX-Evil 1.jpg"),
        ("%00a.jpg", "a.jpg"),
        ("", "file"),
        ("..", "file"),
        ("x" * 300 + ".jpeg", "x" * 195 + ".jpeg"),
    ],
)
def test_path_tricks_a_name_is_a_name_and_no_path(name: str, kept: str) -> None:
    async def story(sender: Sender) -> None:
        info = only((await sender.upload(name=name))[1])
        assert info.name == kept
        files = sender.office.node.settings.files_directory
        digest = (await sender.stored(info)).digest
        assert sender.kept() == [files / "blobs" / digest[:2] / digest]

    at_content(story)


@pytest.mark.parametrize("path", ["/file/..%2F..%2Fjoyn.db", "/file/%2Fetc%2Fpasswd", "/file/.", "/upload/..%2Fx"])
def test_path_tricks_a_link_is_a_link_and_no_path(path: str) -> None:
    async def story(sender: Sender) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(sender.url.rpartition(":")[2]))
        # As it is: clients put paths in order before they send them.
        method = "PUT" if path.startswith("/upload") else "GET"
        head = f"{method} {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        writer.write(head.encode())
        assert (await reader.read()).split(b" ", 2)[1] in (b"404", b"400")
        writer.close()

    at_content(story)


# Expired and foreign links.


def test_expired_link_the_file_is_gone_and_so_is_its_form() -> None:
    async def story(sender: Sender) -> None:
        info = only((await sender.upload(kind="image/tiff", data=b"II*\0" + bytes(100)))[1])
        await asyncio.sleep(0.3)
        for path in ("", "/shown"):
            status, body, _ = await sender.fetch(info.url + path)
            assert (status, body) == (410, b'{"error": "gone"}')

    at_content(story, keep=0.25, upload_for=0.001, thumbnails=True)


def test_foreign_link_what_nobody_was_given_leads_nowhere() -> None:
    async def story(sender: Sender) -> None:
        info = only((await sender.upload())[1])
        guess = info.url[:-1] + ("A" if info.url[-1] != "A" else "B")
        for url in (guess, f"{sender.url}/file/{'x' * 32}", f"{sender.url}/file/{'x' * 32}/shown"):
            status, body, _ = await sender.fetch(url)
            assert (status, body) == (404, b'{"error": "unknown"}')
        status, _, _ = await sender.ask("PUT", f"{sender.url}/upload/{'x' * 32}", b"x", Content_Range="bytes 0-0/1")
        assert status == 404

    at_content(story)


def test_foreign_upload_nobody_asks_about_another_s() -> None:
    async def story(sender: Sender) -> None:
        await sender.half(DATA, 1000)
        bob = Sender(sender.office, BOB)
        assert await bob.progress() == 404
        await sender.upload(tid="t2")
        assert (await bob.ask("GET", "/content?tid=t2&get_download_info"))[0] == 404
        assert (await bob.ask("GET", "/content?tid=t2"))[0] == 400
        async with sender.office.http.get(f"{sender.url}/content?tid=t1&get_upload_info") as answer:
            assert answer.status == 401

    at_content(story)


def test_foreign_tid_two_subscribers_use_the_same_and_neither_touches_the_other_s() -> None:
    async def story(sender: Sender) -> None:
        mine = only((await sender.upload(b"mine", kind="text/plain"))[1])
        bob = Sender(sender.office, BOB)
        assert (await bob.ask("POST", "/content"))[0] == 204
        theirs = only((await bob.upload(b"theirs", kind="text/plain"))[1])
        assert (await sender.fetch(mine.url))[1] == b"mine"
        assert (await sender.fetch(theirs.url))[1] == b"theirs"

    at_content(story)


# Quota passed.


def test_quota_passed_uploads_at_the_same_time_take_no_more_room_together_than_there_is() -> None:
    async def story(sender: Sender) -> None:
        assert (await sender.ask("POST", "/content"))[0] == 204
        senders = [Sender(sender.office) for _ in range(4)]
        for one in senders:
            assert (await one.ask("POST", "/content"))[0] == 204
        sent = [one.upload(JPEG + os.urandom(300_000), tid=f"t{number}") for number, one in enumerate(senders)]
        statuses = sorted(status for status, _ in await asyncio.gather(*sent))
        assert statuses == [200, 200, 413, 413]
        usage = await sender.usage()
        assert 600_000 < usage.own <= 700_000

    at_content(story, quota=700_000)


def test_quota_passed_one_subscriber_has_a_quota_of_their_own() -> None:
    async def story(sender: Sender) -> None:
        subscribers = sender.office.node.store.subscribers
        alice = await subscribers.get(Aor(f"tel:{ALICE}"))
        assert alice is not None
        await subscribers.put(replace(alice, file_quota=10_000))
        assert (await sender.ask("POST", "/content"))[0] == 204
        assert await sender.upload(LARGE) == (413, b'{"error": "quota"}')
        await subscribers.put(replace(alice, file_quota=100_000))
        assert (await sender.upload(LARGE))[0] == 200
        bob = Sender(sender.office, BOB)
        assert (await bob.ask("POST", "/content"))[0] == 204
        assert await bob.upload(LARGE) == (413, b'{"error": "quota"}')

    at_content(story, quota=50_000)


# Disk full.


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=700", "joyn-test", str(disk)], check=True)
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.skipif(not ROOT, reason="mounting a small tmpfs needs root")
def test_disk_full_the_client_is_told_to_come_back_and_does(small_disk: Path) -> None:
    data = JPEG[:4] + os.urandom(2_000_000)

    async def story(sender: Sender) -> None:
        assert (await sender.ask("POST", "/content"))[0] == 204
        status, body, headers = await sender.ask(
            "POST", "/content", make_form(data, "t1", "a.jpg", "image/jpeg"), Content_Type=FORM
        )
        assert (status, body) == (503, b'{"error": "overloaded"}')
        assert int(headers["Retry-After"]) > 0
        assert (await sender.ask("GET", "/content?tid=t1&get_download_info"))[0] == 404
        assert [path.parent.name for path in sender.kept()] == ["incoming"]
        await asyncio.to_thread(subprocess.run, ["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
        info = await sender.progress()
        assert not isinstance(info, int)
        rest, said = data[info.end + 1 :], f"bytes {info.end + 1}-{len(data) - 1}/{len(data)}"
        status, body, _ = await sender.ask("PUT", info.url, rest, Content_Range=said)
        assert status == 200
        status, body, _ = await sender.ask("GET", "/content?tid=t1&get_download_info")
        assert status == 200
        await others_are_served(sender)

    at_content(story, directory=small_disk)
