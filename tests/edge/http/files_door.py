"""A node with a content server, and a phone that sends files as joyn-era phones do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from edge.http.browser import Office, open_office
from joyn.config import HttpListener
from joyn.model.aor import Aor
from joyn.model.file import FileUsage, StoredFile
from joyn.protocol.file_info import CONTENT_TYPE, FileInfo, ResumeInfo, parse
from phone.node import ALICE, PASSWORD
from ports import free_port

# They begin like pictures and are none.
PNG = b"\x89PNG\r\n\x1a\n" + bytes(40)
JPEG = b"\xff\xd8\xff\xe0" + bytes(range(256)) * 40


class Sender:
    """A subscriber's phone, which proves itself by digest."""

    def __init__(self, office: Office, number: str = ALICE, password: str = PASSWORD) -> None:
        self.office = office
        self.number = number
        self.url = office.node.content.url
        self._digest = aiohttp.DigestAuthMiddleware(number, password)

    async def ask(self, method: str, path: str, data: Any = None, **headers: str) -> tuple[int, bytes, dict[str, str]]:
        """One request; the status, the body, the headers."""
        url = path if path.startswith("http") else self.url + path
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        http = self.office.http
        async with http.request(method, url, data=data, headers=named, middlewares=(self._digest,)) as answer:
            return answer.status, await answer.read(), dict(answer.headers)

    async def upload(
        self, data: bytes = JPEG, tid: str = "t1", name: str = "a.jpg", kind: str = "image/jpeg", thumbnail: bytes = b""
    ) -> tuple[int, tuple[FileInfo, ...] | bytes]:
        """All of a file in one form."""
        status, body, headers = await self.ask(
            "POST", "/content", make_form(data, tid, name, kind, thumbnail), Content_Type=FORM
        )
        if status != 200:
            return status, body
        assert headers["Content-Type"] == CONTENT_TYPE
        return status, parse(body)

    async def half(self, data: bytes, size: int, tid: str = "t1", kind: str = "image/jpeg", **more: Any) -> None:
        """A connection that breaks when `size` bytes of the file have been sent; returns when the node knows them."""
        assert (await self.ask("POST", "/content"))[0] == 204
        form = make_form(data, tid, "a.jpg", kind, **more)
        begin = form.index(data[:64])

        async def cut() -> AsyncIterator[bytes]:
            yield form[: begin + size]
            await asyncio.sleep(0.2)
            raise ConnectionAbortedError

        try:
            await self.ask("POST", "/content", cut(), Content_Type=FORM)
        except (aiohttp.ClientError, ConnectionAbortedError):
            return
        raise AssertionError("it did not break")

    async def progress(self, tid: str = "t1") -> ResumeInfo | int:
        """What get_upload_info says."""
        status, body, _ = await self.ask("GET", f"/content?tid={tid}&get_upload_info")
        return ResumeInfo.parse(body) if status == 200 else status

    async def stored(self, info: FileInfo) -> StoredFile:
        """What the node knows of a file."""
        found = await self.office.node.store.files.get(info.url.rpartition("/")[2])
        assert found is not None
        return found

    async def fetch(self, url: str, **headers: str) -> tuple[int, bytes, dict[str, str]]:
        """A link followed, by anybody: the status, the body, the headers."""
        async with self.office.http.get(url, headers=headers) as answer:
            return answer.status, await answer.read(), dict(answer.headers)

    async def usage(self) -> FileUsage:
        """What is taken of the quotas."""
        return await self.office.node.store.files.usage(Aor(f"tel:{self.number}"))

    def kept(self) -> list[Path]:
        """Everything that lies in the content server's directory."""
        return [path for path in self.office.node.settings.files_directory.rglob("*") if path.is_file()]


FORM = "multipart/form-data; boundary=joyn42"


def make_form(
    data: bytes, tid: str, name: str, kind: str, thumbnail: bytes = b"", thumbnail_type: str = "image/png"
) -> bytes:
    """tid, Thumbnail, File, as rcsjta writes them."""
    parts = [b'Content-Disposition: form-data; name="tid"\r\nContent-Type: text/plain\r\n\r\n' + tid.encode()]
    if thumbnail:
        head = 'Content-Disposition: form-data; name="Thumbnail"; filename="thumb_a"\r\n'
        head += f"Content-Type: {thumbnail_type}\r\n\r\n"
        parts.append(head.encode() + thumbnail)
    head = f'Content-Disposition: form-data; name="File"; filename="{name}"\r\nContent-Type: {kind}\r\n\r\n'
    parts.append(head.encode() + data)
    return b"".join(b"--joyn42\r\n" + part + b"\r\n" for part in parts) + b"--joyn42--\r\n"


def only(files: tuple[FileInfo, ...] | bytes) -> FileInfo:
    """The one file that an upload became."""
    assert isinstance(files, tuple), files
    (info,) = files
    return info


@asynccontextmanager
async def open_content(**settings: Any) -> AsyncIterator[Office]:
    """An office with a content server, whose section has these settings. It decodes pictures where a test asks for it:
    a process for each would make every test wait."""
    files = {"listeners": (HttpListener(port=free_port()),), "thumbnails": False} | settings
    async with open_office(files=files) as office:
        yield office


def at_content(story: Callable[[Sender], Awaitable[None]], **settings: Any) -> None:
    """Play a story of Alice's phone there."""

    async def play() -> None:
        async with open_content(**settings) as office:
            await story(Sender(office))

    asyncio.run(play())
