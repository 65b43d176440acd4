"""Uploads and downloads: who may send what, how much room it takes, and how long it can be fetched.

Spec: RCC.07 §3.5.4.8 (facts §6.2). A file's link is a capability of 128 random bits or more, which ends with the file.
What has come of an upload stays when its connection breaks, and the client goes on from there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from joyn import telemetry
from joyn.blobs import Blobs, Incoming
from joyn.model.aor import Aor
from joyn.model.file import Content, StoredFile, Upload
from joyn.model.refused import Reason, Refused
from joyn.protocol.file_info import FileInfo
from joyn.services.files.sniffing import HEAD, is_lie, served_as
from joyn.store import Files

__all__ = ["Announced", "ContentServer", "FilePolicy", "Receiving"]

MAX_TID: Final = 128
"""Characters of a client's own name for an upload."""
MAX_NAME: Final = 200
"""Characters of a file's name."""
RECEIVED = telemetry.counter("file.received")
SWEPT = telemetry.counter("file.removed")


@dataclass(frozen=True, slots=True, kw_only=True)
class FilePolicy:
    """What the operator allows. Sizes in bytes, times in seconds.

    `own` is the room of one subscriber, `all` that of everybody; `keep` is how long files can be fetched, `upload_for`
    how long an upload that stopped can be gone on with.
    """

    max_file: int
    max_thumbnail: int
    own: int
    all: int
    keep: float
    upload_for: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Announced:
    """What a client says of the file it is about to send; `size` 0 when it does not say."""

    tid: str
    name: str
    content_type: str
    size: int = 0


class Receiving:
    """A file that is coming in. Everything that comes is checked; `close` keeps it for later."""

    def __init__(self, server: ContentServer, upload: Upload, incoming: Incoming, room: int) -> None:
        self._server = server
        self._incoming = incoming
        self._room = room
        self._head = b""
        self._closed = False
        self.upload = upload

    @property
    def received(self) -> int:
        """Bytes that are here."""
        return self._incoming.received

    def write(self, data: memoryview | bytes) -> None:
        """The next bytes. Raises Refused: TOO_LARGE, QUOTA_PASSED, UNSUPPORTED_CONTENT, STORAGE_FULL, and BUSY when the
        client goes on with it elsewhere."""
        if self._closed:
            raise Refused(Reason.BUSY)
        received = self._incoming.received
        self._server.check_size(received + len(data), self._room)
        if received < HEAD and received == len(self._head):
            self._head += bytes(data[: HEAD - received])
            if is_lie(self.upload.content_type, self._head):
                raise Refused(Reason.UNSUPPORTED_CONTENT, "the file is not what it is called")
        self._incoming.write(data)

    def close(self) -> None:
        """It stops here for now; what has come stays."""
        if not self._closed:
            self._closed = True
            self._incoming.close()
            self._server.closed(self)

    async def finish(self, size: int = 0) -> Sequence[FileInfo]:
        """All has come: keep it, and say how it is sent on. `size` is what the client says it is, 0 when it does not.

        Raises Refused(MALFORMED) when it is not as long as was announced, and for nothing at all.
        """
        said = size or self.upload.size
        if not self.received or (said and said != self.received):
            raise Refused(Reason.MALFORMED, f"{said} bytes were announced and {self.received} came")
        if self._closed:
            raise Refused(Reason.BUSY)
        self._closed = True
        try:
            content = await self._incoming.finish()
        finally:
            self._server.closed(self)
        return await self._server.keep(self.upload, content)


class ContentServer:
    """All uploads and files. `url` says where clients reach it; `make_id` gives 128 random bits or more, in letters of
    URLs."""

    def __init__(
        self,
        files: Files,
        blobs: Blobs,
        policy: FilePolicy,
        *,
        url: Callable[[], str],
        wall: Callable[[], float],
        make_id: Callable[[], str],
    ) -> None:
        self._files = files
        self._blobs = blobs
        self._policy = policy
        self._url = url
        self._wall = wall
        self._make_id = make_id
        self._coming: dict[str, Receiving] = {}

    # Uploads.

    async def room(self, owner: Aor, announced: int = 0) -> int:
        """Bytes that this subscriber may still upload. Raises Refused when what is announced does not go in."""
        if announced > self._policy.max_file:
            raise Refused(Reason.TOO_LARGE)
        usage = await self._files.usage(owner)
        room = min(self._policy.own - usage.own, self._policy.all - usage.all)
        if room <= 0 or announced > room:
            raise Refused(Reason.QUOTA_PASSED)
        return room

    def check_size(self, size: int, room: int) -> None:
        """Whether so much may come. Raises Refused."""
        if size > self._policy.max_file:
            raise Refused(Reason.TOO_LARGE)
        if size > room:
            raise Refused(Reason.QUOTA_PASSED)

    @property
    def max_held(self) -> int:
        """Bytes of a thumbnail, which comes into memory whole."""
        return self._policy.max_thumbnail

    async def take_thumbnail(self, data: bytes, content_type: str) -> Content:
        """Keep a thumbnail. Raises Refused(UNSUPPORTED_CONTENT, STORAGE_FULL)."""
        declared = served_as(content_type)
        if not declared.startswith("image/") or is_lie(declared, data[:HEAD]):
            raise Refused(Reason.UNSUPPORTED_CONTENT, "the thumbnail is no picture")
        name = self._make_id()
        incoming = await self._blobs.resume(name)
        try:
            incoming.write(data)
            return await incoming.finish()
        except BaseException:
            incoming.close()
            await self._blobs.discard(name)
            raise

    async def begin(
        self, owner: Aor, announced: Announced, thumbnail: Content | None, thumbnail_type: str
    ) -> Receiving:
        """A file begins to come. Raises Refused."""
        tid = announced.tid.strip()
        if not tid or len(tid) > MAX_TID:
            raise Refused(Reason.MALFORMED, "no tid, or one that is too long")
        room = await self.room(owner, announced.size)
        upload = Upload(
            id=self._make_id(),
            owner=owner,
            tid=tid,
            size=announced.size,
            name=clean_name(announced.name),
            content_type=served_as(announced.content_type),
            thumbnail=thumbnail,
            thumbnail_type=served_as(thumbnail_type) if thumbnail else "",
            started_at=self._wall(),
        )
        before = await self._files.begin(upload)
        if before is not None:
            self._stop(before.id)
            await self._blobs.discard(before.id)
        return self._receive(upload, await self._blobs.resume(upload.id), room)

    async def resume(self, upload_id: str, start: int, size: int) -> Receiving | None:
        """Go on with an upload whose next byte is number `start` of `size`; None when there is no such one.

        A connection that it is still coming on ends: the client knows better than we that it is dead. Raises Refused:
        MALFORMED when that is not where it stopped.
        """
        upload = await self._files.upload(upload_id)
        if upload is None:
            return None
        self._stop(upload.id)
        room = await self.room(upload.owner) + upload.size
        if size > self._policy.max_file:
            raise Refused(Reason.TOO_LARGE)
        incoming = await self._blobs.resume(upload.id)
        try:
            if start != incoming.received or (upload.size and size and upload.size != size):
                raise Refused(Reason.MALFORMED, f"the next byte is number {incoming.received}")
            if size and not upload.size and not await self._files.announce(upload.id, size):
                incoming.close()
                return None
        except BaseException:
            incoming.close()
            raise
        return self._receive(upload, incoming, room)

    async def progress(self, owner: Aor, tid: str) -> tuple[Upload, int] | None:
        """An upload of this subscriber that is not complete, and the bytes that are here; None for no such one.

        It stops for that, so that what is said stays true until the client goes on.
        """
        upload = await self._files.upload_of(owner, tid)
        if upload is None:
            return None
        self._stop(upload.id)
        received = await self._blobs.received(upload.id)
        if upload.size and received == upload.size:
            # Only the end of the form was cut off, or we were before it was kept: there is no rest to send.
            receiving = await self.resume(upload.id, received, upload.size)
            if receiving is not None:
                await self._finish(receiving)
            return None
        return upload, received

    async def _finish(self, receiving: Receiving) -> None:
        try:
            await receiving.finish()
        except Refused as refused:
            if refused.reason not in (Reason.BUSY, Reason.STORAGE_FULL):
                await self.give_up(receiving)
            raise
        finally:
            receiving.close()

    def _receive(self, upload: Upload, incoming: Incoming, room: int) -> Receiving:
        self._coming[upload.id] = receiving = Receiving(self, upload, incoming, room)
        return receiving

    def _stop(self, upload_id: str) -> None:
        coming = self._coming.get(upload_id)
        if coming is not None:
            coming.close()

    def closed(self, receiving: Receiving) -> None:
        """Nothing more comes this way."""
        if self._coming.get(receiving.upload.id) is receiving:
            del self._coming[receiving.upload.id]

    async def give_up(self, receiving: Receiving) -> None:
        """Nothing will come of an upload: it is as if it had not begun."""
        receiving.close()
        await self._files.drop(receiving.upload.id)
        await self._blobs.discard(receiving.upload.id)

    async def keep(self, upload: Upload, content: Content) -> Sequence[FileInfo]:
        """The upload is complete: it can be fetched.

        Raises Refused when it was given up meanwhile, or is not what it was called.
        """
        path = await self._blobs.path(content.digest)
        if path is None or is_lie(upload.content_type, await asyncio.to_thread(_head, path)):
            raise Refused(Reason.UNSUPPORTED_CONTENT, "the file is not what it is called")
        now = self._wall()

        def stored(kind: str, what: Content, name: str, content_type: str) -> StoredFile:
            return StoredFile(
                id=self._make_id(),
                owner=upload.owner,
                tid=upload.tid,
                kind="thumbnail" if kind == "thumbnail" else "file",
                digest=what.digest,
                size=what.size,
                name=name,
                content_type=content_type,
                stored_at=now,
                until=now + self._policy.keep,
            )

        files = [stored("file", content, upload.name, upload.content_type)]
        if upload.thumbnail is not None:
            files.insert(0, stored("thumbnail", upload.thumbnail, "", upload.thumbnail_type))
        if not await self._files.finish(upload.id, files):
            raise Refused(Reason.MALFORMED, "the upload was given up")
        RECEIVED.inc()
        return [self._info(one) for one in files]

    async def infos(self, owner: Aor, tid: str) -> Sequence[FileInfo]:
        """How a file that this subscriber has uploaded is sent on; nothing when there is no such one."""
        now = self._wall()
        return [self._info(one) for one in await self._files.of(owner, tid) if one.until > now]

    def upload_url(self, upload: Upload) -> str:
        """Where the rest of an upload goes."""
        return f"{self._url()}/upload/{upload.id}"

    def _info(self, file: StoredFile) -> FileInfo:
        until = datetime.fromtimestamp(file.until, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return FileInfo(
            type=file.kind,
            size=file.size,
            name=file.name,
            content_type=file.content_type,
            url=f"{self._url()}/file/{file.id}",
            until=until,
        )

    # Downloads.

    async def find(self, file_id: str) -> tuple[StoredFile, Path | None] | None:
        """A file and where its content is: None instead of that when its time is over. None for what nobody knows."""
        file = await self._files.get(file_id)
        if file is None:
            return None
        return file, await self._blobs.path(file.digest) if file.until > self._wall() else None

    # Upkeep.

    async def sweep(self) -> int:
        """Forget what is over: files, uploads that nobody goes on with, contents that nobody has. How many contents.

        A content is left alone for as long as an upload takes: what has just been finished is not in the store yet.
        """
        now, swept = self._wall(), 0
        patience = now - self._policy.upload_for
        while given_up := await self._files.expire(now, uploads_before=patience):
            for upload in given_up:
                await self._blobs.discard(upload.id)
        async for names in self._blobs.abandoned_since(patience):
            for name in names:
                if await self._files.upload(name) is None:
                    await self._blobs.discard(name)
        async for digests in self._blobs.unused_since(patience):
            used = await self._files.used(digests, now)
            for digest in digests:
                if digest not in used:
                    await self._blobs.remove(digest, before=patience)
                    SWEPT.inc()
                    swept += 1
        return swept


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEAD)


def clean_name(name: str) -> str:
    """A name that is a name and no path, without what would hide its ending or break a header."""
    last = name.replace("\\", "/").rpartition("/")[2]
    # Attacks: right-to-left overrides make `gpj.exe` look like `exe.jpg`.
    kept = "".join(letter for letter in last if letter.isprintable() and letter not in '"<>|:*?')
    stem, dot, ending = kept.strip(" .").rpartition(".")
    if not dot or len(ending) > 20:
        return kept.strip(" .")[:MAX_NAME] or "file"
    return f"{stem[: MAX_NAME - len(ending) - 1]}.{ending}"
