"""A file that is sent, over HTTP or MSRP: the form it leaves in for the content server, and the rest of it.

Spec: RCC.07 §3.5.4.8 (facts §6.2), RFC 7578.
"""

from __future__ import annotations

import asyncio
import mimetypes
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
import filetype
from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import BytesPayload, Payload, StringPayload

from joyn.phone.attempts import TransferFailed
from joyn.protocol.content_range import ContentRange

__all__ = ["PIECE", "STALL", "Progress", "Upload", "unheard"]

PIECE: Final = 256 << 10
"""Bytes read and written at a time."""
STALL: Final = 30.0
"""Seconds without a byte after which a connection counts as dead."""
UNKNOWN_TYPE: Final = "application/octet-stream"

Progress = Callable[[int, int], None]
"""Hears how many bytes are there, and of how many."""


def unheard(_bytes: int, _size: int) -> None:
    """Nobody wants to know how far a transfer is."""


@dataclass(slots=True, kw_only=True)
class Upload:
    """A file that is sent. `changed` is its time in ns; `there` counts the bytes that the server is known to have,
    `sent` those that ever left."""

    path: Path
    size: int
    changed: int
    content_type: str
    name: str
    thumbnail: bytes
    tid: str
    on_progress: Progress
    there: int = 0
    sent: int = 0

    @classmethod
    def of(cls, path: Path, content_type: str, name: str, thumbnail: bytes, tid: str, on_progress: Progress) -> Upload:
        """Raises OSError when it cannot be read, TransferFailed when it is empty."""
        facts = path.stat()
        with path.open("rb"):
            pass  # that it can be read is better known before anybody is asked
        if not facts.st_size:
            raise TransferFailed(f"{path.name} is empty: there is nothing to send")
        return cls(
            path=path,
            size=facts.st_size,
            changed=facts.st_mtime_ns,
            content_type=content_type or mimetypes.guess_type(path.name)[0] or UNKNOWN_TYPE,
            name=name or path.name,
            thumbnail=thumbnail,
            tid=tid or str(uuid.uuid4()),
            on_progress=on_progress,
        )

    def check(self) -> None:
        """Raises TransferFailed when it is not the file any more that it was: two halves of two files are none."""
        facts = self.path.stat()
        if (facts.st_size, facts.st_mtime_ns) != (self.size, self.changed):
            raise TransferFailed(f"{self.name} was changed while it was sent")

    def form(self) -> aiohttp.MultipartWriter:
        """Facts §6.2: tid, Thumbnail, File, in this order."""
        form = aiohttp.MultipartWriter("form-data")

        def add(part: Payload, **named: Any) -> None:
            part.set_content_disposition("form-data", **named)
            form.append_payload(part)

        add(StringPayload(self.tid, content_type="text/plain"), name="tid")
        if self.thumbnail:
            kind = filetype.guess_mime(self.thumbnail) or UNKNOWN_TYPE
            add(BytesPayload(self.thumbnail, content_type=kind), name="Thumbnail", filename="thumbnail")
        file = self.rest(0)
        # With its size the server knows a whole file from one whose end was cut off.
        file.headers["Content-Range"] = ContentRange(0, self.size - 1, self.size).emit()
        add(file, name="File", filename=self.name)
        return form

    def rest(self, start: int) -> Payload:
        """The body that goes on behind byte `start`."""
        return _Rest(self, start)


class _Rest(Payload):
    """A file from byte `start` on, read as the connection takes it, and written once: how much has arrived when a
    connection breaks is known to the server alone."""

    def __init__(self, upload: Upload, start: int) -> None:
        super().__init__(None, content_type=upload.content_type)
        self._upload = upload
        self._start = start
        self._size = upload.size - start
        self._written = False

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """A file is no text. Raises TypeError."""
        raise TypeError("a file is no text")

    async def as_bytes(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        """All of it in memory: aiohttp asks for that only where a server offers qop=auth-int."""
        return (await asyncio.to_thread(self._upload.path.read_bytes))[self._start :]

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Raises ConnectionError when it was written before, or the file ends too early; OSError."""
        if self._written:
            raise ConnectionError("the request was repeated")
        self._written = True
        at, upload = self._start, self._upload
        upload.on_progress(at, upload.size)
        with await asyncio.to_thread(upload.path.open, "rb") as file:
            file.seek(at)
            while at < upload.size:
                piece = await asyncio.to_thread(file.read, min(PIECE, upload.size - at))
                if not piece:
                    raise ConnectionError("the file became shorter")
                async with asyncio.timeout(STALL):
                    await writer.write(piece)
                at += len(piece)
                upload.sent = max(at, upload.sent)
                upload.on_progress(at, upload.size)
