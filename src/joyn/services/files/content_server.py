"""Uploads and downloads: who may send what, how much room it takes, and how long it can be fetched.

Spec: RCC.07 §3.5.4.8 (facts §6.2). A file's link is a capability of 128 random bits or more, which ends with the file.
What has come of an upload stays when its connection breaks, and the client goes on from there.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final, Self

from joyn import telemetry
from joyn.blobs import Blobs, Incoming, put
from joyn.model.aor import Aor
from joyn.model.file import Content, FileUsage, Kind, StoredFile, Upload
from joyn.model.refused import Reason, Refused
from joyn.protocol.file_info import FileInfo
from joyn.services.files.fetching import Fetching
from joyn.services.files.forms import Forms
from joyn.services.files.scanning import Scanning
from joyn.services.files.sniffing import HEAD, is_lie, served_as
from joyn.store import Files

__all__ = ["Announced", "ContentServer", "FilePolicy", "Receiving"]

MAX_TID: Final = 128
"""Characters of a client's own name for an upload."""
MAX_NAME: Final = 200
"""Characters of a file's name."""
RESERVE: Final = 16 << 20
"""Bytes that are reserved ahead for a file whose size nobody has said."""
SETTLED: Final = 900.0
"""Seconds after which a content that nobody has is nobody's: what has just been finished is not in the store yet."""
_FOR_NOW: Final = frozenset((Reason.BUSY, Reason.STORAGE_FULL, Reason.OVERLOADED, Reason.STOPPING, Reason.UNSCANNED))
"""Refusals that say nothing of the file: the client may go on with it."""
RECEIVED = telemetry.counter("file.received")
SWEPT = telemetry.counter("file.removed")


@dataclass(frozen=True, slots=True, kw_only=True)
class FilePolicy:
    """What the operator allows. Sizes in bytes, times in seconds.

    `own` is the room of one subscriber who has no quota of their own, `all` that of everybody; `keep` is how long files
    can be fetched, `upload_for` how long an upload that stopped can be gone on with.
    """

    max_file: int
    max_thumbnail: int
    own: int
    all: int
    keep: float
    upload_for: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Announced:
    """What a client says of a file it is about to send; `size` 0 when it does not say.

    `least` and `most` are what it is at least and at most, as what it comes in tells; `most` 0 when nothing does.
    """

    tid: str
    name: str
    content_type: str
    size: int = 0
    least: int = 1
    most: int = 0


class Receiving:
    """A file that is coming in. Everything that comes is checked, and room is reserved before it is kept.

    Used as `async with`: at the end it stops, and what has come stays for the client to go on with; unless it was
    refused for what it is, then nothing of it stays.
    """

    def __init__(self, server: ContentServer, upload: Upload, incoming: Incoming) -> None:
        self._server = server
        self._incoming = incoming
        self._reserved = upload.reserved
        self._head = b""
        self._closed = False
        self.upload = upload

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        await self.end(error)

    async def end(self, error: BaseException | None) -> None:
        """It stops here; nothing of it stays when it was refused for what it is."""
        self.close()
        if isinstance(error, Refused) and error.reason not in _FOR_NOW:
            await self.give_up()

    async def give_up(self) -> None:
        """Nothing will come of it."""
        await self._server.give_up(self.upload)

    @property
    def closed(self) -> bool:
        """Whether nothing more comes this way: it stopped, was finished, or goes on elsewhere."""
        return self._closed

    @property
    def received(self) -> int:
        """Bytes that are here."""
        return self._incoming.received

    def has_room(self, size: int) -> bool:
        """Whether room is reserved for so many bytes more."""
        return self._incoming.received + size <= self._reserved

    async def write(self, data: memoryview | bytes) -> None:
        """The next bytes. Raises Refused: TOO_LARGE, QUOTA_PASSED, and as `write_reserved`."""
        if not self.has_room(len(data)):
            self._reserved = await self._server.reserve(self.upload, self._incoming.received + len(data))
        self.write_reserved(data)

    def write_reserved(self, data: memoryview | bytes) -> None:
        """The next bytes, which there is room for. Raises Refused: UNSUPPORTED_CONTENT, STORAGE_FULL, and BUSY when the
        client goes on with it elsewhere."""
        if self._closed:
            raise Refused(Reason.BUSY)
        assert self.has_room(len(data))
        received = self._incoming.received
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

    async def finish(
        self, size: int = 0, *, hashes: Sequence[tuple[str, str]] = (), tid: str = ""
    ) -> Sequence[FileInfo]:
        """All has come: keep it, and say how it is sent on. `size` is what the client says it is, 0 when it does not;
        `hashes` are what it says of the content, `tid` another name for what it has become than that of the upload.

        Raises Refused: MALFORMED when it is not as long as was announced, for another content, and for nothing at
        all; INFECTED, and UNSCANNED while the virus scanner has not spoken.
        """
        said = size or self.upload.size
        if not self.received or (said and said != self.received):
            raise Refused(Reason.MALFORMED, f"{said} bytes were announced and {self.received} came")
        if self._closed:
            raise Refused(Reason.BUSY)
        # Nobody else goes on with it from here: what is scanned is what is kept.
        self._closed = True
        try:
            await self._server.scan_whole(self.upload, self._incoming)
            content = await self._incoming.finish()
        finally:
            self._incoming.close()
            self._server.closed(self)
        return await self._server.keep(replace(self.upload, tid=tid or self.upload.tid), content, hashes)


class ContentServer:
    """All uploads and files. `url` says where clients reach it; `make_id` gives 128 random bits or more, in letters of
    URLs. Without `forms` no picture is decoded, without `scanning` no file is scanned, without `fetching` no link leads
    to what is still elsewhere."""

    def __init__(
        self,
        files: Files,
        blobs: Blobs,
        policy: FilePolicy,
        *,
        url: Callable[[], str],
        wall: Callable[[], float],
        make_id: Callable[[], str],
        forms: Forms | None = None,
        scanning: Scanning | None = None,
        fetching: Fetching | None = None,
    ) -> None:
        self._files = files
        self._blobs = blobs
        self._forms = forms
        self._scanning = scanning
        self._fetching = fetching
        self._policy = policy
        self._url = url
        self._wall = wall
        self._make_id = make_id
        self._coming: dict[str, Receiving] = {}

    # Uploads.

    async def admit(self, owner: Aor, announced: int = 0) -> None:
        """Look whether there is room before anything comes. Raises Refused: TOO_LARGE, QUOTA_PASSED."""
        if announced > self._policy.max_file:
            raise Refused(Reason.TOO_LARGE)
        usage = await self._files.usage(owner)
        allowed = await self._files.allowed(owner, FileUsage(self._policy.own, self._policy.all))
        if usage.own + max(announced, 1) > allowed.own or usage.all + max(announced, 1) > allowed.all:
            raise Refused(Reason.QUOTA_PASSED)

    async def reserve(self, upload: Upload, size: int, most: int = 0) -> int:
        """Reserve room for so many bytes of a file, and while there is some for some more, or for the `most` that it
        can be; how many that is.

        Raises Refused: TOO_LARGE, QUOTA_PASSED.
        """
        policy = self._policy
        if size > policy.max_file:
            raise Refused(Reason.TOO_LARGE)
        beside = upload.thumbnail.size if upload.thumbnail else 0
        more = size if upload.size else min(most or size + RESERVE, policy.max_file)
        for wanted in (max(more, size), size):
            if await self._files.reserve(upload.id, wanted + beside, FileUsage(policy.own, policy.all)):
                return wanted
        raise Refused(Reason.QUOTA_PASSED)

    @property
    def max_held(self) -> int:
        """Bytes of a thumbnail, which comes into memory whole."""
        return self._policy.max_thumbnail

    async def take_thumbnail(self, data: bytes, content_type: str) -> Content:
        """Keep a thumbnail. Raises Refused: UNSUPPORTED_CONTENT, STORAGE_FULL, INFECTED, UNSCANNED."""
        declared = served_as(content_type)
        if not declared.startswith("image/") or is_lie(declared, data[:HEAD]):
            raise Refused(Reason.UNSUPPORTED_CONTENT, "the thumbnail is no picture")
        name = self._make_id()
        return await put(
            self._blobs, name, data, lambda incoming: self.scan(incoming, lambda: self._blobs.discard(name))
        )

    async def begin(
        self, owner: Aor, announced: Announced, thumbnail: Content | None, thumbnail_type: str
    ) -> Receiving:
        """A file begins to come. Raises Refused."""
        tid = announced.tid.strip()
        if not tid or len(tid) > MAX_TID:
            raise Refused(Reason.MALFORMED, "no tid, or one that is too long")
        upload = Upload(
            id=self._make_id(),
            owner=owner,
            tid=tid,
            size=announced.size,
            reserved=0,
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
        try:
            reserved = await self.reserve(upload, announced.size or announced.least, announced.most)
        except Refused:
            await self._files.drop(upload.id)
            raise
        return self._receive(replace(upload, reserved=reserved), await self._blobs.resume(upload.id))

    async def resume(self, upload_id: str, start: int, size: int) -> Receiving | None:
        """Go on with an upload whose next byte is number `start` of `size`; None when there is no such one.

        A connection that it is still coming on ends: the client knows better than we that it is dead. Raises Refused:
        MALFORMED when that is not where it stopped.
        """
        upload = await self._files.upload(upload_id)
        if upload is None:
            return None
        self._stop(upload.id)
        incoming = await self._blobs.resume(upload.id)
        try:
            if start != incoming.received or (upload.size and size and upload.size != size):
                raise Refused(Reason.MALFORMED, f"the next byte is number {incoming.received}")
            if size and not upload.size:
                await self._files.announce(upload.id, size)
                upload = replace(upload, size=size)
            reserved = await self.reserve(upload, max(size, upload.size, incoming.received, 1))
        except BaseException:
            incoming.close()
            raise
        return self._receive(replace(upload, reserved=reserved), incoming)

    async def go_on(self, owner: Aor, tid: str) -> Receiving | None:
        """Go on with what this subscriber calls so, from wherever it stopped; None when there is no such upload."""
        upload = await self._files.upload_of(owner, tid)
        if upload is None:
            return None
        self._stop(upload.id)
        return await self.resume(upload.id, await self._blobs.received(upload.id), 0)

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
                async with receiving:
                    await receiving.finish()
            return None
        return upload, received

    def _receive(self, upload: Upload, incoming: Incoming) -> Receiving:
        self._coming[upload.id] = receiving = Receiving(self, upload, incoming)
        return receiving

    def _stop(self, upload_id: str) -> None:
        coming = self._coming.get(upload_id)
        if coming is not None:
            coming.close()

    def closed(self, receiving: Receiving) -> None:
        """Nothing more comes this way."""
        if self._coming.get(receiving.upload.id) is receiving:
            del self._coming[receiving.upload.id]

    async def give_up(self, upload: Upload) -> None:
        """Nothing will come of an upload: it is as if it had not begun."""
        await self._files.drop(upload.id)
        await self._blobs.discard(upload.id)

    async def scan(self, incoming: Incoming, forget: Callable[[], Awaitable[None]]) -> None:
        """Let the virus scanner see what has come, if there is one; see Scanning.check."""
        if self._scanning is not None:
            await self._scanning.check(incoming, forget)

    async def scan_whole(self, upload: Upload, incoming: Incoming) -> None:
        """Let the virus scanner see an upload of which all has come. Raises Refused; see Scanning.check."""
        try:
            await self.scan(incoming, lambda: self.give_up(upload))
        except Refused:
            # The client will come back and have no more to send: that it was all must be known then.
            await self._files.announce(upload.id, incoming.received)
            raise

    async def keep(
        self, upload: Upload, content: Content, hashes: Sequence[tuple[str, str]] = ()
    ) -> Sequence[FileInfo]:
        """The upload is complete: it can be fetched.

        Raises Refused when it was given up meanwhile, or is not what it was called.
        """
        path = await self._blobs.path(content.digest)
        if path is None or is_lie(upload.content_type, await asyncio.to_thread(_head, path)):
            raise Refused(Reason.UNSUPPORTED_CONTENT, "the file is not what it is called")
        if not await asyncio.to_thread(_hashes_to, path, hashes):
            raise Refused(Reason.MALFORMED, "the file hashes to something else than was announced")
        now = self._wall()

        def stored(kind: Kind, what: Content, name: str, content_type: str) -> StoredFile:
            return StoredFile(
                id=self._make_id(),
                owner=upload.owner,
                tid=upload.tid,
                kind=kind,
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
        if upload.thumbnail is None and self._forms is not None:
            made = await self._forms.thumbnail(files[0])
            files = [*([made] if made else []), *files]
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
            type="file" if file.kind == "file" else "thumbnail",
            size=file.size,
            name=file.name,
            content_type=file.content_type,
            url=f"{self._url()}/file/{file.id}",
            until=until,
        )

    # Downloads.

    async def find(self, file_id: str) -> tuple[StoredFile, Path | None] | None:
        """A file and where its content is: None instead of that when its time is over. None for what nobody knows.

        Raises Refused(AWAITED) while it is on its way from another operator.
        """
        file = await self._files.get(file_id)
        if file is None and self._fetching is not None:
            file = await self._fetching.awaited(file_id)
        if file is None:
            return None
        return file, await self._blobs.path(file.digest) if file.until > self._wall() else None

    async def shown(self, file: StoredFile) -> tuple[StoredFile, Path]:
        """The form of a picture that browsers draw. Raises Refused; see Forms.shown."""
        if self._forms is None:
            raise Refused(Reason.UNSUPPORTED_CONTENT, "this node decodes no pictures")
        return await self._forms.shown(file)

    # Upkeep.

    async def sweep(self) -> int:
        """Forget what is over: files, uploads that nobody goes on with, contents that nobody has. How many contents."""
        now, swept = self._wall(), 0
        patience, settled = now - self._policy.upload_for, now - min(SETTLED, self._policy.upload_for)
        while given_up := await self._files.expire(now, uploads_before=patience):
            for upload in given_up:
                await self._blobs.discard(upload.id)
        async for names in self._blobs.abandoned_since(patience):
            for name in names:
                if await self._files.upload(name) is None:
                    await self._blobs.discard(name)
        async for digests in self._blobs.unused_since(settled):
            used = await self._files.used(digests, now)
            for digest in digests:
                if digest not in used:
                    await self._blobs.remove(digest, before=settled)
                    SWEPT.inc()
                    swept += 1
        return swept


def _hashes_to(path: Path, hashes: Sequence[tuple[str, str]]) -> bool:
    """Whether a content has these hashes (function, hex); those of functions that we do not know are believed."""
    for function, value in hashes:
        if function == "sha-256":
            maker: Callable[[], hashlib._Hash] = hashlib.sha256
        elif function == "sha-1":
            # RFC 5547 §6 has no other word; it shows what was damaged, and protects from nobody.
            maker = partial(hashlib.sha1, usedforsecurity=False)
        else:
            continue
        with path.open("rb") as file:
            if value != hashlib.file_digest(file, maker).hexdigest():
                return False
    return True


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
