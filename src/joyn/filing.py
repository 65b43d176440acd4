"""The content server as messaging sees it: files that come by MSRP are put there, and taken from there to go by MSRP.

Everything is done on the files' own loop and awaited on the node's, a piece of some 256 KiB at a time, so that a disk
that is slow holds up no message (ADR 5). What comes back is read once, when the other loop has finished with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from io import BufferedReader
from pathlib import Path
from typing import Any, Protocol, TypeVar

from joyn.model.file import StoredFile
from joyn.model.refused import Reason, Refused
from joyn.protocol.file_info import Disposition, FileInfo, emit
from joyn.services.files.content_server import Announced, ContentServer, Receiving
from joyn.services.messaging.contents import Arriving, Described, Leaving

__all__ = ["Filing"]

log = logging.getLogger(__name__)
Result = TypeVar("Result")
MAX_HASHED = 10_000
"""Contents of which the SHA-1 is remembered: a file may be asked for in many small parts."""
_DISPOSITIONS: dict[str, Disposition] = {"render": "render", "attachment": "attachment"}


class There(Protocol):
    """Does something on the files' loop."""

    async def __call__(self, work: Coroutine[Any, Any, Result], /) -> Result:
        """What it gives."""
        ...


class Filing:
    """See joyn.services.messaging.contents.Contents. `url` says where clients reach the content server."""

    def __init__(self, server: Callable[[], ContentServer], there: There, url: Callable[[], str]) -> None:
        self._server = server
        self._elsewhere = there
        self._url = url
        self._stopped = False
        self._sha1: dict[str, str] = {}  # by digest; on the files' loop

    def stop(self) -> None:
        """The files' loop ends: nothing is begun on it any more."""
        self._stopped = True

    async def _there(self, work: Coroutine[Any, Any, Result]) -> Result:
        if self._stopped:
            work.close()
            raise Refused(Reason.STOPPING)
        return await self._elsewhere(work)

    async def receive(self, described: Described) -> Arriving:
        """A file begins to come, or goes on."""
        return await self._there(self._receive(described))

    async def _receive(self, described: Described) -> Arriving:
        server, owner = self._server(), described.owner
        known = await server.infos(owner, described.transfer)
        if known:
            return _Known(known, described)
        await server.admit(owner, described.size)
        receiving = await server.go_on(owner, described.upload) if described.resumed else None
        if receiving is None:
            receiving = await self._begin(server, described)
        return _Arriving(self._there, receiving, described)

    async def _begin(self, server: ContentServer, described: Described) -> Receiving:
        thumbnail = None
        if 0 < len(described.thumbnail) <= server.max_held:
            try:
                thumbnail = await server.take_thumbnail(described.thumbnail, described.thumbnail_type)
            except Refused as refused:
                if refused.reason is not Reason.UNSUPPORTED_CONTENT:
                    raise
                # A file is worth more than a picture of it that is none.
        announced = Announced(
            tid=described.upload, name=described.name, content_type=described.content_type, size=described.size
        )
        return await server.begin(described.owner, announced, thumbnail, described.thumbnail_type)

    def has(self, url: str) -> bool:
        """Whether a link leads here."""
        return bool(self._url()) and url.startswith(f"{self._url()}/file/")

    async def open(self, url: str) -> Leaving | None:
        """The file behind a link of ours."""
        return await self._there(self._open(url.removeprefix(f"{self._url()}/file/")))

    async def here(self, url: str) -> bool:
        """Wait a little for the file behind a link of ours."""
        try:
            await self._there(self._server().find(url.removeprefix(f"{self._url()}/file/")))
        except Refused as refused:
            return refused.reason is not Reason.AWAITED
        return True

    async def _open(self, file_id: str) -> Leaving | None:
        found = await self._server().find(file_id)
        if found is None:
            return None
        file, path = found
        if path is None:
            return None
        try:
            opened, sha1 = await asyncio.to_thread(_opened, path, self._sha1.get(file.digest))
        except FileNotFoundError:
            return None  # swept in this moment
        if len(self._sha1) >= MAX_HASHED:
            self._sha1.pop(next(iter(self._sha1)))
        self._sha1[file.digest] = sha1
        return _Leaving(self._there, file, opened, sha1)


class _Arriving:
    """See Arriving."""

    repeated = False

    def __init__(self, there: There, receiving: Receiving, described: Described) -> None:
        self._there = there
        self._receiving = receiving
        self._described = described

    @property
    def received(self) -> int:
        """Bytes that are here."""
        return self._receiving.received

    async def write(self, data: bytes) -> None:
        """The next bytes."""
        await self._there(self._watched(self._receiving.write(data)))

    async def finish(self) -> bytes:
        """Keep it."""
        described = self._described
        finishing = self._receiving.finish(described.size, hashes=described.hashes, tid=described.transfer)
        return _message(await self._there(self._watched(finishing)), described)

    async def close(self) -> None:
        """Stop here."""
        with contextlib.suppress(Refused):  # the node stops, and lets go of everything
            await self._there(self._stop())

    async def _watched(self, work: Coroutine[Any, Any, Result]) -> Result:
        """What is refused for what it is, is thrown away."""
        try:
            return await work
        except Refused as refused:
            await self._receiving.end(refused)
            raise

    async def _stop(self) -> None:
        nothing_came = not self._receiving.received and not self._receiving.closed
        await self._receiving.end(None)
        if nothing_came:
            # Its room is not kept for who sent nothing.
            await self._receiving.give_up()


class _Known:
    """See Arriving: a file that came before, whose sender did not hear that it had. Its bytes are counted, not kept."""

    repeated = True

    def __init__(self, infos: Sequence[FileInfo], described: Described) -> None:
        self._infos = infos
        self._described = described
        file = next(info for info in infos if info.type == "file")
        if file.size != described.size:
            raise Refused(Reason.ID_REUSED, "the transfer has brought another file before")
        self.received = file.size if described.resumed else 0

    async def write(self, data: bytes) -> None:
        """The next bytes."""
        self.received += len(data)
        if self.received > self._described.size:
            raise Refused(Reason.TOO_LARGE)

    async def finish(self) -> bytes:
        """It is here."""
        return _message(self._infos, self._described)

    async def close(self) -> None:
        """Nothing is held."""


class _Leaving:
    """See Leaving."""

    def __init__(self, there: There, file: StoredFile, opened: BufferedReader, sha1: str) -> None:
        self._there = there
        self._file = opened
        self.name = file.name
        self.content_type = file.content_type
        self.size = file.size
        self.sha1 = sha1

    async def read(self, offset: int, size: int) -> bytes:
        """So many bytes from an offset on."""
        return await self._there(self._read(offset, size))

    async def _read(self, offset: int, size: int) -> bytes:
        self._file.seek(offset)
        return self._file.read(size)

    async def close(self) -> None:
        """It is not read any more."""
        self._file.close()


def _opened(path: Path, sha1: str | None) -> tuple[BufferedReader, str]:
    """An open file and its SHA-1, read if it is not known: selectors have it, and it proves nothing to anybody here."""
    file = path.open("rb")  # closed by who has it
    try:
        return file, sha1 or hashlib.file_digest(file, lambda: hashlib.sha1(usedforsecurity=False)).hexdigest()
    except BaseException:
        file.close()
        raise


def _message(infos: Sequence[FileInfo], described: Described) -> bytes:
    disposition = _DISPOSITIONS.get(described.disposition, "")
    return emit([replace(info, disposition=disposition) if info.type == "file" else info for info in infos])
