"""The phone's side of files: against a node, through a proxy that cuts, and against servers that lie."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from cutting import CuttingProxy
from edge.http.files_door import FORM, JPEG, PNG, Sender, at_content, make_form
from joyn.config import HttpListener
from joyn.model.aor import Aor
from joyn.phone import Received
from joyn.phone.attempts import OBEYED, RETRY_BASE, RETRY_MAX, TRIES, TransferFailed
from joyn.phone.files import FileTransfer, partial
from joyn.phone.uploading import PIECE
from joyn.protocol.file_info import CONTENT_TYPE, FileInfo, emit
from phone.node import ALICE, BOB, PASSWORD
from ports import free_port
from waiting import until

DATA = JPEG[:4] + os.urandom(3_000_000)
BUFFERS = 1_500_000
"""What may have been under way to a connection's other end when it was cut."""


FUTURE = 4e9


class Pauses(list[float]):
    """Pauses that are only noted."""

    async def __call__(self, seconds: float) -> None:
        self.append(seconds)
        await asyncio.sleep(0.02)


def transfer_to(url: str, password: str = PASSWORD, pause: Callable[[float], Awaitable[object]] | None = None) -> Any:
    return FileTransfer(f"{url}/content", ALICE, password, pause=Pauses() if pause is None else pause)


def names_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def with_files(story: Callable[[Sender, FileTransfer], Awaitable[None]], **settings: Any) -> None:
    async def play(sender: Sender) -> None:
        async with transfer_to(sender.url) as transfer:
            await story(sender, transfer)

    at_content(play, **settings)


def with_proxy(story: Callable[[Sender, FileTransfer, CuttingProxy], Awaitable[None]]) -> None:
    """The content server is reached through a proxy, also by its links."""
    port, front = free_port(), free_port()

    async def play(sender: Sender) -> None:
        async with CuttingProxy(port, front) as proxy, transfer_to(sender.url) as transfer:
            await story(sender, transfer, proxy)

    at_content(play, listeners=(HttpListener(port=port),), url=f"http://127.0.0.1:{front}")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "été à la mer.jpg"
    path.write_bytes(DATA)
    return path


def test_a_file_goes_up_and_comes_down_again(photo: Path, tmp_path: Path) -> None:
    async def story(_sender: Sender, transfer: FileTransfer) -> None:
        moved: list[int] = []
        thumbnail, file = await transfer.upload(
            photo, thumbnail=PNG, on_progress=lambda at, size: moved.append(at) if size == len(DATA) else None
        )
        assert (thumbnail.type, thumbnail.content_type, thumbnail.size) == ("thumbnail", "image/png", len(PNG))
        assert (file.name, file.content_type, file.size) == (photo.name, "image/jpeg", len(DATA))
        assert (moved[0], moved[-1]) == (0, len(DATA))
        assert max(after - before for before, after in pairwise(moved)) <= PIECE
        there = await transfer.download(file, tmp_path / "there.jpg", on_progress=lambda at, _size: moved.append(at))
        assert there.read_bytes() == DATA
        assert moved[-1] == len(DATA)
        assert names_in(tmp_path) == ["there.jpg", photo.name]

    with_files(story)


# Uploads that are cut.


def test_an_upload_goes_on_where_it_was_cut(photo: Path, tmp_path: Path) -> None:
    async def story(_sender: Sender, transfer: FileTransfer, proxy: CuttingProxy) -> None:
        proxy.plan("up", [100, 600_000, 1_500_000, 2_999_000])
        (info,) = await transfer.upload(photo)
        assert proxy.cuts == 4
        assert proxy.up < len(DATA) + 3 * BUFFERS
        proxy.plan("down", [])
        assert (await transfer.download(info, tmp_path / "there")).read_bytes() == DATA

    with_proxy(story)


def test_another_process_goes_on_with_an_upload(photo: Path) -> None:
    async def story(sender: Sender, transfer: FileTransfer, proxy: CuttingProxy) -> None:
        killed = asyncio.Event()

        async def kill(_cut: int) -> None:
            killed.set()

        proxy.plan("up", [2_500_000], kill)
        first = asyncio.ensure_future(transfer.upload(photo, tid="the same"))
        await killed.wait()
        first.cancel()
        await asyncio.wait([first])
        proxy.plan("up", [])
        async with transfer_to(sender.url) as second:
            (info,) = await second.upload(photo, tid="the same")
        assert info.size == len(DATA)
        assert proxy.up < len(DATA) - 2_500_000 + BUFFERS

    with_proxy(story)


def test_an_upload_whose_answer_was_lost_is_not_sent_again(photo: Path) -> None:
    async def story(_sender: Sender, transfer: FileTransfer, proxy: CuttingProxy) -> None:
        (info,) = await transfer.upload(photo, tid="t")
        proxy.plan("up", [])
        assert await transfer.upload(photo, tid="t") == (info,)
        assert proxy.up < 5_000

    with_proxy(story)


def test_an_upload_of_which_only_the_end_of_the_form_was_cut_off_is_complete(photo: Path) -> None:
    async def story(sender: Sender, transfer: FileTransfer, proxy: CuttingProxy) -> None:
        assert (await sender.ask("POST", "/content"))[0] == 204
        whole = make_form(DATA, "t", "a.jpg", "image/jpeg")
        said = f"Content-Range: bytes 0-{len(DATA) - 1}/{len(DATA)}\r\nContent-Type: image/jpeg"
        form = whole.replace(b"Content-Type: image/jpeg", said.encode(), 1)[: -len(b"--joyn42--\r\n")]
        assert (await sender.ask("POST", "/content", form, Content_Type=FORM))[0] == 400
        proxy.plan("up", [])
        (info,) = await transfer.upload(photo, tid="t")
        assert info.size == len(DATA)
        assert proxy.up < 5_000

    with_proxy(story)


def test_an_upload_that_the_server_has_forgotten_begins_anew(photo: Path) -> None:
    async def story(sender: Sender, transfer: FileTransfer, proxy: CuttingProxy) -> None:
        files = sender.office.node.store.files

        async def forget(_cut: int) -> None:
            await until(lambda: files.upload_of(Aor(f"tel:{ALICE}"), "t"))
            assert len(await files.expire(FUTURE, uploads_before=FUTURE)) == 1

        proxy.plan("up", [1_000_000], forget)
        (info,) = await transfer.upload(photo, tid="t")
        assert (info.size, proxy.cuts) == (len(DATA), 1)
        assert proxy.up > len(DATA) + 900_000

    with_proxy(story)


# Downloads that are cut.


def test_a_download_goes_on_where_it_was_cut(photo: Path, tmp_path: Path) -> None:
    async def story(_sender: Sender, transfer: FileTransfer, proxy: CuttingProxy) -> None:
        (info,) = await transfer.upload(photo)
        proxy.plan("down", [100, 600_000, 1_500_000, 2_999_000])
        path = await transfer.download(info, tmp_path / "there")
        assert (path.read_bytes() == DATA, proxy.cuts) == (True, 4)
        assert proxy.down < len(DATA) + 3 * BUFFERS

    with_proxy(story)


def test_what_has_come_stays_for_another_process_and_is_of_one_link(photo: Path, tmp_path: Path) -> None:
    async def story(_sender: Sender, transfer: FileTransfer, proxy: CuttingProxy) -> None:
        (info,), (other,) = await transfer.upload(photo), await transfer.upload(photo)
        path = tmp_path / "there"
        partial(info, path).write_bytes(DATA[:2_900_000])
        assert partial(info, path) != partial(other, path)
        proxy.plan("down", [])
        assert (await transfer.download(info, path)).read_bytes() == DATA
        assert proxy.down < 150_000
        partial(info, path).write_bytes(DATA + b"more than there is")
        assert (await transfer.download(info, path)).read_bytes() == DATA

    with_proxy(story)


# What ends a transfer.


@pytest.mark.parametrize(
    ("data", "settings", "status", "word", "why"),
    [
        (DATA, {"max_file": 100_000}, 413, "too-large", "too large"),
        (DATA, {"quota": 100_000}, 413, "quota", "no room left"),
        (b"<script>" * 2000, {}, 415, "not-what-it-says", "not what its type says"),
    ],
)
def test_what_the_server_does_not_take_is_told_at_once(
    data: bytes, settings: dict[str, int], status: int, word: str, why: str, photo: Path
) -> None:
    photo.write_bytes(data)
    pauses = Pauses()

    async def story(sender: Sender) -> None:
        async with transfer_to(sender.url, pause=pauses) as transfer:
            with pytest.raises(TransferFailed, match=why) as failed:
                await transfer.upload(photo)
        assert (failed.value.status, failed.value.word, failed.value.again) == (status, word, False)
        assert str(failed.value).startswith(photo.name)
        assert pauses == []

    at_content(story, **settings)


def test_a_wrong_password_and_a_wrong_address_are_told(photo: Path) -> None:
    async def story(sender: Sender) -> None:
        for transfer, status, why in (
            (transfer_to(sender.url, "wrong"), 401, "the password"),
            (transfer_to(f"{sender.url}/elsewhere"), 405, "no content server"),
        ):
            async with transfer:
                with pytest.raises(TransferFailed, match=why) as failed:
                    await transfer.upload(photo)
                assert failed.value.status == status

    at_content(story)


def test_a_file_whose_time_is_over_and_one_that_never_was(photo: Path, tmp_path: Path) -> None:
    async def story(sender: Sender, transfer: FileTransfer) -> None:
        (info,) = await transfer.upload(photo)
        unknown = FileInfo(size=1, content_type="a/b", url=f"{sender.url}/file/{'x' * 32}")
        await asyncio.sleep(0.25)
        for one, status in ((info, 410), (unknown, 404)):
            with pytest.raises(TransferFailed) as failed:
                await transfer.download(one, tmp_path / "there")
            assert failed.value.status == status
        assert names_in(tmp_path) == [photo.name]

    with_files(story, keep=0.2)


def test_nobody_there_is_tried_ever_later_and_not_for_ever(photo: Path) -> None:
    pauses = Pauses()

    async def story() -> None:
        async with transfer_to(f"http://127.0.0.1:{free_port()}", pause=pauses) as transfer:
            with pytest.raises(TransferFailed, match="no connection") as failed:
                await transfer.upload(photo)
            assert (failed.value.again, failed.value.status) == (True, 0)

    asyncio.run(story())
    assert len(pauses) == TRIES - 1
    longest = [min(RETRY_BASE * 2**one, RETRY_MAX) for one in range(TRIES - 1)]
    assert all(most / 2 <= pause <= most for pause, most in zip(pauses, longest, strict=True))


def test_a_file_that_is_empty_is_gone_or_changes_is_not_sent(photo: Path, tmp_path: Path) -> None:
    async def story(_sender: Sender, transfer: FileTransfer, proxy: CuttingProxy) -> None:
        (tmp_path / "empty").touch()
        with pytest.raises(TransferFailed, match="nothing to send"):
            await transfer.upload(tmp_path / "empty")
        with pytest.raises(FileNotFoundError):
            await transfer.upload(tmp_path / "nowhere")

        async def change(_cut: int) -> None:
            await asyncio.to_thread(photo.write_bytes, DATA[::-1])

        proxy.plan("up", [1_000_000], change)
        with pytest.raises(TransferFailed, match="was changed"):
            await transfer.upload(photo)

    with_proxy(story)


# Servers of others.


@asynccontextmanager
async def serving(answer: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    app = web.Application(client_max_size=10 << 20)
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


def test_a_busy_server_says_when_to_come_back(photo: Path) -> None:
    pauses = Pauses()
    asked: list[str] = []

    async def busy(request: web.Request) -> web.Response:
        asked.append(f"{request.method} {request.path_qs.partition('tid=')[0]}")
        return web.Response(status=503, headers={"Retry-After": "7" if len(asked) == 1 else "90000"})

    async def story() -> None:
        async with serving(busy) as url, transfer_to(url, pause=pauses) as transfer:
            with pytest.raises(TransferFailed, match="503") as failed:
                await transfer.upload(photo)
            assert failed.value.again

    asyncio.run(story())
    assert pauses == [7.0] + [OBEYED] * (TRIES - 2)
    assert asked[:2] == ["POST /content", "GET /content?"]


@pytest.mark.parametrize("size", [100, 999, 1001, 5000])
def test_a_file_that_is_not_as_long_as_was_said_does_not_come(size: int, tmp_path: Path) -> None:
    async def other(_request: web.Request) -> web.Response:
        return web.Response(body=bytes(size))

    async def story() -> None:
        async with serving(other) as url, transfer_to("http://127.0.0.1:9") as transfer:
            info = FileInfo(size=1000, content_type="a/b", url=f"{url}/f")
            with pytest.raises(TransferFailed, match="not as long"):
                await transfer.download(info, tmp_path / "there")
        assert not (tmp_path / "there").exists()

    asyncio.run(story())


@pytest.mark.parametrize("said", ["bytes 0-999/1000", "bytes 500-1999/2000", "rubbish", ""])
def test_another_part_than_was_asked_for_is_not_mixed_in(said: str, tmp_path: Path) -> None:
    async def other(_request: web.Request) -> web.Response:
        return web.Response(status=206, body=bytes(500), headers={"Content-Range": said})

    async def story() -> None:
        async with serving(other) as url, transfer_to("http://127.0.0.1:9") as transfer:
            info = FileInfo(size=1000, content_type="a/b", url=f"{url}/f")
            partial(info, tmp_path / "there").write_bytes(b"x" * 500)
            with pytest.raises(TransferFailed):
                await transfer.download(info, tmp_path / "there")
            assert partial(info, tmp_path / "there").read_bytes() == b"x" * 500

    asyncio.run(story())


def test_a_server_without_ranges_sends_all_again_and_one_that_refuses_ours_too(tmp_path: Path) -> None:
    async def whole(request: web.Request) -> web.Response:
        if request.path == "/strict" and "Range" in request.headers:
            return web.Response(status=416)
        return web.Response(body=DATA)

    async def story() -> None:
        async with serving(whole) as url, transfer_to("http://127.0.0.1:9") as transfer:
            for path in ("/none", "/strict"):
                info = FileInfo(size=len(DATA), content_type="a/b", url=url + path)
                partial(info, tmp_path / "there").write_bytes(b"x" * 500)
                assert (await transfer.download(info, tmp_path / "there")).read_bytes() == DATA

    asyncio.run(story())


def test_what_proves_the_password_is_not_shown_to_strangers(tmp_path: Path) -> None:
    shown: list[str | None] = []

    async def curious(request: web.Request) -> web.Response:
        shown.append(request.headers.get("Authorization"))
        challenge = 'Digest realm="joyn.localhost", nonce="1", algorithm=MD5, qop="auth"'
        return web.Response(status=401, headers={"WWW-Authenticate": challenge})

    async def story() -> None:
        async with serving(curious) as url, transfer_to("http://127.0.0.1:9") as transfer:
            info = FileInfo(size=1000, content_type="a/b", url=f"{url}/f")
            with pytest.raises(TransferFailed, match="401"):
                await transfer.download(info, tmp_path / "there")

    asyncio.run(story())
    assert shown == [None]


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://h/f", "http://", "//h/f", "http://[::1/f", "x"])
def test_a_link_that_is_no_web_address_is_not_followed(url: str, tmp_path: Path) -> None:
    async def story() -> None:
        async with transfer_to("http://127.0.0.1:9") as transfer:
            with pytest.raises(TransferFailed, match="no web address"):
                await transfer.download(FileInfo(size=1, content_type="a/b", url=url), tmp_path / "there")

    asyncio.run(story())


def test_an_answer_that_is_no_document_is_told(photo: Path) -> None:
    async def strange(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(body=b"<html>")

    async def story() -> None:
        async with serving(strange) as url, transfer_to(url) as transfer:
            with pytest.raises(TransferFailed, match="not understood"):
                await transfer.upload(photo)

    asyncio.run(story())


def test_a_message_leads_to_files_if_it_is_a_document_of_them() -> None:
    info = FileInfo(size=1, content_type="a/b", url="http://h/f")
    small = FileInfo(type="thumbnail", size=1, content_type="image/png", url="http://h/t")

    def received(content_type: str, body: bytes) -> Received:
        return Received(sender=ALICE, recipient=BOB, message_id="1", content_type=content_type, body=body)

    document = received(f"{CONTENT_TYPE.upper()}; charset=utf-8", emit([small, info]))
    assert (document.files, document.file) == ((small, info), info)
    for other in (received("text/plain", emit([info])), received(CONTENT_TYPE, b"<file>")):
        assert (other.files, other.file) == ((), None)
