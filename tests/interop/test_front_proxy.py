"""The content server behind nginx as docs/howto/front-proxy.md sets it up: TLS and downloads are nginx's."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from edge.http.browser import open_office
from edge.http.files_door import JPEG, Sender
from interop.front_proxy import configuration, running_nginx
from joyn.config import HttpListener
from joyn.protocol.file_info import FileInfo, parse
from ports import free_port

pytestmark = pytest.mark.interop

DATA = JPEG[:4] + os.urandom(3_000_000)
SAFE = (
    "Content-Security-Policy",
    "X-Content-Type-Options",
    "Referrer-Policy",
    "Cross-Origin-Resource-Policy",
    "Strict-Transport-Security",
    "Access-Control-Allow-Origin",
    "Access-Control-Expose-Headers",
    "Content-Disposition",
    "Content-Type",
    "Cache-Control",
)


def behind_nginx(place: Path, story: Callable[[Sender, int], Awaitable[None]], **settings: float) -> None:
    """Play a story of Alice's phone, which reaches the node through nginx. The story is told the node's own port."""
    port, backend = free_port(), free_port()

    async def play() -> None:
        async with open_office(
            secure=True,
            trusted_proxies=("127.0.0.1/32",),
            files={
                "listeners": (HttpListener(port=backend),),
                "url": f"https://127.0.0.1:{port}",
                "accel": "/joyn-blobs/",
                **settings,
            },
        ) as office:
            (listener,) = office.node.settings.http.listeners
            assert listener.certificate is not None
            assert listener.key is not None
            blobs = office.node.settings.files_directory / "blobs"
            text = configuration(place, port, backend, listener.certificate, listener.key, blobs)
            async with running_nginx(place, text, port):
                await story(Sender(office), backend)

    asyncio.run(play())


async def fetch(sender: Sender, url: str, method: str = "GET", **headers: str) -> tuple[int, bytes, dict[str, str]]:
    async with sender.office.http.request(method, url, headers=headers) as answer:
        return answer.status, await answer.read(), dict(answer.headers)


async def sent(sender: Sender) -> FileInfo:
    status, files = await sender.upload(DATA)
    assert status == 200
    assert isinstance(files, tuple)
    return files[0]


def test_a_file_goes_up_through_the_proxy_and_is_sent_by_it_with_what_the_node_says_of_it(tmp_path: Path) -> None:
    async def story(sender: Sender, backend: int) -> None:
        info = await sent(sender)
        status, body, headers = await fetch(sender, info.url)
        assert (status, body) == (200, DATA)
        assert headers["Server"] == "nginx"
        assert "X-Accel-Redirect" not in headers
        # What the node itself says of another request, under its own port.
        path = info.url.partition(":")[2].partition("/file/")[2]
        direct = f"http://127.0.0.1:{backend}/file/{path}"
        _, empty, own = await fetch(sender, direct, **{"X-Forwarded-Proto": "https"})
        assert (empty, own["X-Accel-Redirect"][:13]) == (b"", "/joyn-blobs/" + (await sender.stored(info)).digest[0])
        assert {name: headers.get(name) for name in SAFE} == {name: own[name] for name in SAFE}

    behind_nginx(tmp_path, story)


@pytest.mark.parametrize(
    ("said", "status", "begin", "end"),
    [
        ("bytes=1000000-", 206, 1_000_000, len(DATA)),
        ("bytes=0-99", 206, 0, 100),
        ("bytes=9000000-", 416, 0, 0),
    ],
)
def test_a_download_goes_on_where_it_stopped(said: str, status: int, begin: int, end: int, tmp_path: Path) -> None:
    async def story(sender: Sender, _backend: int) -> None:
        info = await sent(sender)
        found, body, headers = await fetch(sender, info.url, Range=said)
        assert found == status
        if status == 206:
            assert body == DATA[begin:end]
            assert headers["Content-Range"] == f"bytes {begin}-{end - 1}/{len(DATA)}"
        found, body, headers = await fetch(sender, info.url, "HEAD")
        assert (found, body, headers["Content-Length"]) == (200, b"", str(len(DATA)))

    behind_nginx(tmp_path, story)


def test_an_upload_that_was_cut_before_the_proxy_is_gone_on_with(tmp_path: Path) -> None:
    async def story(sender: Sender, _backend: int) -> None:
        await sender.half(DATA, 1_000_000)
        info = await sender.progress()
        assert not isinstance(info, int)
        # The proxy keeps back less than one of its buffers.
        assert 1_000_000 - (256 << 10) <= info.end + 1 <= 1_000_000
        start = info.end + 1
        said = f"bytes {start}-{len(DATA) - 1}/{len(DATA)}"
        status, body, _ = await sender.ask("PUT", info.url, DATA[start:], Content_Range=said)
        assert status == 200
        (file,) = parse(body)
        assert (await fetch(sender, file.url))[:2] == (200, DATA)

    behind_nginx(tmp_path, story)


def test_a_file_whose_time_is_over_is_gone_and_one_that_never_was_is_unknown(tmp_path: Path) -> None:
    async def story(sender: Sender, _backend: int) -> None:
        info = await sent(sender)
        assert (await fetch(sender, info.url))[0] == 410
        assert (await fetch(sender, info.url + "x"))[0] == 404

    behind_nginx(tmp_path, story, keep=0.0)


def test_nobody_but_the_node_leads_to_the_files(tmp_path: Path) -> None:
    async def story(sender: Sender, _backend: int) -> None:
        info = await sent(sender)
        digest = (await sender.stored(info)).digest
        for path in (f"/joyn-blobs/{digest[:2]}/{digest}", f"/joyn-blobs//{digest[:2]}/{digest}", "/joyn-blobs/"):
            assert (await fetch(sender, sender.url + path))[0] == 404
        said = {"X-Accel-Redirect": f"/joyn-blobs/{digest[:2]}/{digest}"}
        assert (await fetch(sender, sender.url + "/file/unknown", **said))[0] == 404

    behind_nginx(tmp_path, story)
