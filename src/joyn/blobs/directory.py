"""Blobs in a directory: `incoming/<name>` while they come, `blobs/ab/abcdef…` under their BLAKE3 when they are whole.

Nothing is kept back in our memory, so a killed process loses nothing that was written; what is finished is synced and
renamed, so a machine that loses power loses no finished blob. For one process, and one event loop of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import re
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final, TypeVar

from blake3 import blake3

from joyn.model.file import Content
from joyn.model.refused import Reason, Refused

__all__ = ["DirectoryBlobs"]

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{16,64}")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_PIECE: Final = 1 << 20
_BATCH: Final = 1000
_FULL: Final = frozenset((errno.ENOSPC, errno.EDQUOT))
# Windows has neither; nor has it O_BINARY elsewhere.
_FLAGS: Final = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
Result = TypeVar("Result")
SYNC_EVERY: Final = 16 << 20
"""Bytes after which the disk is asked to begin writing: the last sync, which the client waits for, is then short."""


class DirectoryBlobs:
    """See joyn.blobs.Blobs."""

    def __init__(self, root: Path, *, wall: Callable[[], float]) -> None:
        self._incoming = root / "incoming"
        self._blobs = root / "blobs"
        self._wall = wall
        self._busy: set[str] = set()
        # A blob must not be removed as old in the moment in which it comes again.
        self._moving = threading.Lock()
        for directory in (root, self._incoming, self._blobs):
            if not directory.is_dir():
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
                _sync(directory.parent)

    async def resume(self, name: str) -> DirectoryIncoming:
        """Go on with the incoming blob of this name, or begin it."""
        path = self._incoming / _checked(_NAME, name)
        if name in self._busy:
            raise Refused(Reason.BUSY)
        self._busy.add(name)
        try:
            with _full_is_refused():
                file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | _FLAGS, 0o600)
            try:
                digest, received = await _in_thread(_read_again, file)
            except BaseException:
                os.close(file)
                raise
        except BaseException:
            self._busy.discard(name)
            raise
        return DirectoryIncoming(self, name, path, file, digest, received)

    async def received(self, name: str) -> int:
        """Bytes that have come under this name."""
        try:
            return (self._incoming / _checked(_NAME, name)).stat(follow_symlinks=False).st_size
        except FileNotFoundError:
            return 0

    async def discard(self, name: str) -> None:
        """Forget an incoming blob."""
        await _in_thread(_unlink, self._incoming / _checked(_NAME, name))

    async def path(self, digest: str) -> Path | None:
        """The file that a blob is."""
        path = self.place(digest)
        return path if path.is_file() else None

    async def remove(self, digest: str, *, before: float | None = None) -> None:
        """Forget a blob, unless it was finished again."""
        place = self.place(digest)

        def remove() -> None:
            with self._moving:
                if before is None or place.lstat().st_mtime < before:
                    place.unlink()

        with contextlib.suppress(FileNotFoundError):  # it went already
            await _in_thread(remove)

    async def unused_since(self, before: float) -> AsyncIterator[list[str]]:
        """Digests of blobs that were finished, the last time, before then."""
        for directory in await _in_thread(_directories, self._blobs):
            async for names in _older(directory, before, _DIGEST):
                yield names

    async def abandoned_since(self, before: float) -> AsyncIterator[list[str]]:
        """Names of incoming blobs that nothing was written to since then."""
        async for names in _older(self._incoming, before, _NAME):
            yield [name for name in names if name not in self._busy]

    def place(self, digest: str) -> Path:
        """Where a blob belongs."""
        return self._blobs / _checked(_DIGEST, digest)[:2] / digest

    def relative(self, path: Path) -> str:
        """A blob's path below `blobs/`, as front proxies are told it."""
        return path.relative_to(self._blobs).as_posix()

    def keep(self, path: Path, digest: str) -> None:
        """Make a synced file the blob that it is. Called in a thread. Raises Refused(BUSY) when it was discarded."""
        place = self.place(digest)
        place.parent.mkdir(mode=0o700, exist_ok=True)
        now = self._wall()
        try:
            with self._moving:
                # First, so that it is never there and old.
                os.utime(path, (now, now))
                if place.is_file():
                    # The same content is here: it is as new as if it had come now.
                    os.utime(place, (now, now))
                    path.unlink()
                else:
                    path.rename(place)
        except FileNotFoundError:
            raise Refused(Reason.BUSY, "the upload was discarded meanwhile") from None
        for directory in (place.parent, self._blobs, self._incoming):
            _sync(directory)

    def left(self, name: str) -> None:
        """Nobody has this incoming blob any more."""
        self._busy.discard(name)


class DirectoryIncoming:
    """See joyn.blobs.Incoming."""

    def __init__(self, blobs: DirectoryBlobs, name: str, path: Path, file: int, digest: blake3, received: int) -> None:
        self._blobs = blobs
        self._name = name
        self._path = path
        self._file = file
        self._digest = digest
        self._received = received
        self._synced = received

    @property
    def received(self) -> int:
        """Bytes that have come."""
        return self._received

    @property
    def digest(self) -> str:
        """The BLAKE3 of what has come."""
        return self._digest.hexdigest()

    def read(self) -> BinaryIO:
        """What has come, from its beginning."""
        try:
            return os.fdopen(os.open(self._path, os.O_RDONLY | _FLAGS), "rb")
        except FileNotFoundError:
            raise Refused(Reason.BUSY, "the upload was discarded meanwhile") from None

    def write(self, data: memoryview | bytes) -> None:
        """Append."""
        rest = memoryview(data)
        try:
            with _full_is_refused():
                while rest:
                    rest = rest[os.write(self._file, rest) :]
        except BaseException:
            os.ftruncate(self._file, self._received)
            raise
        self._digest.update(data)
        self._received += len(data)
        if self._received - self._synced >= SYNC_EVERY:
            self._start_writing()

    def _start_writing(self) -> None:
        """Let the kernel begin: it does not wait, and what it does not do now it does at the end."""
        if hasattr(os, "posix_fadvise"):
            # Linux begins to write dirty pages out when it is told that they are not needed.
            os.posix_fadvise(self._file, self._synced, self._received - self._synced, os.POSIX_FADV_DONTNEED)
        self._synced = self._received

    async def finish(self) -> Content:
        """Make it a blob."""
        if self._file < 0:
            raise ValueError("it is closed")
        # From here on nobody else writes to the file or closes it.
        file, self._file = self._file, -1
        content = Content(self._digest.hexdigest(), self._received)

        def become_blob() -> None:
            try:
                os.fsync(file)
            finally:
                os.close(file)  # before it is renamed: Windows renames no open file
            self._blobs.keep(self._path, content.digest)

        try:
            with _full_is_refused():
                await _in_thread(become_blob)
        finally:
            self._blobs.left(self._name)
        return content

    def close(self) -> None:
        """Stop here."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
            self._blobs.left(self._name)


def _checked(pattern: re.Pattern[str], name: str) -> str:
    """The name, if it is one and no path. Raises ValueError."""
    if not pattern.fullmatch(name):
        raise ValueError("no name of a blob")
    return name


@contextlib.contextmanager
def _full_is_refused() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise Refused(Reason.STORAGE_FULL) from error
        raise


async def _in_thread(work: Callable[..., Result], *arguments: object) -> Result:
    """Do it in a thread, to its end: who is cancelled meanwhile waits for it, as they close or leave to others what it
    is using."""
    doing = asyncio.get_running_loop().run_in_executor(None, work, *arguments)
    cancelled: asyncio.CancelledError | None = None
    while not doing.done():
        try:
            await asyncio.wait([doing])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        doing.exception()  # it was looked at
        raise cancelled
    return doing.result()


def _read_again(file: int) -> tuple[blake3, int]:
    """What has come, hashed anew: a hash that was not finished cannot be kept."""
    digest, received = blake3(), 0
    while piece := os.read(file, _PIECE):
        digest.update(piece)
        received += len(piece)
    return digest, received


async def _older(directory: Path, before: float, pattern: re.Pattern[str]) -> AsyncIterator[list[str]]:
    """Files last written to before then, a batch at a time, each looked up in a thread."""
    entries = await _in_thread(os.scandir, directory)
    with entries:
        while batch := await _in_thread(lambda: list(islice(entries, _BATCH))):
            yield await _in_thread(_written_before, batch, before, pattern)


def _directories(parent: Path) -> list[Path]:
    """Those in which blobs are; no links."""
    with os.scandir(parent) as entries:
        return sorted(Path(one.path) for one in entries if len(one.name) == 2 and one.is_dir(follow_symlinks=False))


def _written_before(entries: list[os.DirEntry[str]], before: float, pattern: re.Pattern[str]) -> list[str]:
    found = []
    for entry in entries:
        with contextlib.suppress(FileNotFoundError):  # it went while we looked
            if (
                pattern.fullmatch(entry.name)
                and entry.is_file(follow_symlinks=False)
                and entry.stat(follow_symlinks=False).st_mtime < before
            ):
                found.append(entry.name)
    return found


def _unlink(path: Path) -> None:
    path.unlink(missing_ok=True)


def _sync(directory: Path) -> None:
    """Make a rename durable; Windows neither can nor needs to."""
    if os.name == "posix":
        file = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(file)
        finally:
            os.close(file)
