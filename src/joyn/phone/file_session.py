"""One session that carries one file, out or in.

Spec: RFC 5547 §8, RFC 4975; facts §6.1. What is cut is gone on with in another session.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from joyn.phone.uploading import Upload
from joyn.protocol.file_transfer import FileOffer
from joyn.protocol.sip.dialog import Dialog
from joyn.transport.msrp import Message, MsrpLeg, Piece

__all__ = ["FileSession", "Paused", "Sending", "Taking", "hash_of"]

HASHES: Final = {"sha-1": "sha1", "sha-256": "sha256"}
"""The hashes that are looked at, as RFC 5547 and as Python calls them; another is the sender's own affair."""


@dataclass(frozen=True, slots=True)
class Paused:
    """A file that `sender` was bringing when we hung up: what it was announced as, and its picture. How much of it is
    here is seen when it is gone on with."""

    sender: str
    offer: FileOffer
    icon: bytes = b""


class _Unwanted(Exception):
    """What comes is not what was said, whenever it comes."""


class FileSession:
    """What both directions have in common. `dialog` is there once it is established; `on_end` hears that it is over."""

    media: MsrpLeg

    def __init__(self, offer: FileOffer) -> None:
        self.offer = offer
        self.dialog: Dialog | None = None
        self.description = b""
        self.on_end: Callable[[FileSession], None] = lambda _session: None
        self.closed = False

    def on_bound(self, leg: MsrpLeg) -> None:
        """The session has its connection."""

    def on_closed(self, leg: MsrpLeg, reason: str) -> None:
        """The session's connection has gone."""
        self.end()

    def on_message(self, leg: MsrpLeg, message: Message) -> None:
        """Somebody to whom a file is sent writes back: nobody listens here."""
        leg.answer(message, 403)

    def end(self) -> None:
        """It is over, whoever says so."""
        if not self.closed:
            self.closed = True
            self.media.close()
            self.on_end(self)


class Sending(FileSession):
    """A file that leaves."""

    async def send(self, upload: Upload, message_id: str, start: int) -> int:
        """Send what is behind byte `start`; the MSRP status of it. Raises OSError when it cannot be read."""
        with await asyncio.to_thread(upload.path.open, "rb") as file:

            def read(offset: int, size: int) -> Awaitable[bytes]:
                return asyncio.to_thread(os.pread, file.fileno(), size, start + offset)

            def moved(taken: int) -> None:
                upload.there = start + taken
                upload.sent = max(upload.there, upload.sent)
                upload.on_progress(upload.there, upload.size)

            moved(0)
            # RFC 5547 §8: the rest is a message of its own.
            return await self.media.stream(message_id, upload.content_type, upload.size - start, read, progress=moved)


class Taking(FileSession):
    """A file that comes, as `paused` would have it gone on with, written to `part` as it does; `start` is where we want
    it to begin.

    When all of it is there and is what was said, it becomes `path`, and `on_whole` is told before the last byte is
    answered. Without a part it is one that we have already: it is taken again and not kept. `on_give_up` is told when
    it cannot be taken now and may be later.
    """

    def __init__(
        self,
        paused: Paused,
        path: Path,
        part: Path | None,
        start: int,
        *,
        on_whole: Callable[[Taking], None],
        on_give_up: Callable[[Taking, str], None],
        on_progress: Callable[[FileOffer, int], None],
    ) -> None:
        super().__init__(paused.offer)
        self.paused = paused
        self.path = path
        self.start = start
        self._part = part
        self._on_whole = on_whole
        self._on_give_up = on_give_up
        self._on_progress = on_progress
        self._pieces: deque[Piece] = deque()
        self._writing: asyncio.Task[None] | None = None
        self._file: BinaryIO | None = None
        self._message_id = ""
        self._base = 0  # of the message: the byte of the file that its first one is
        self._refused = ""

    def on_piece(self, leg: MsrpLeg, piece: Piece) -> None:
        """Some bytes came; what is read ahead of the disk the session bounds."""
        self._pieces.append(piece)
        if self._writing is None:
            self._writing = asyncio.get_running_loop().create_task(self._write())

    def on_stopped(self, leg: MsrpLeg, message_id: str, status: int) -> None:
        """Nothing more comes of it: its sender may come again."""

    async def stop(self) -> None:
        """End it, and wait until nothing is written any more."""
        self.end()
        if self._writing is not None:
            await self._writing

    def end(self) -> None:
        """See FileSession; what has come stays."""
        super().end()
        if self._writing is None:
            self._close()

    async def _write(self) -> None:
        while self._pieces and not self.closed:
            pieces = list(self._pieces)
            self._pieces.clear()
            try:
                if self._part is not None and not self._refused:
                    await asyncio.to_thread(self._keep, self._part, pieces)
            except _Unwanted as unwanted:
                self._refused = str(unwanted)
            except OSError as error:
                # What a disk cannot do now it can later: who refused it would be heard as wanting it never.
                self._on_give_up(self, f"{error}")
                break
            for piece in pieces:
                if self._refused:
                    # RFC 4975 §10.5: the sender shall stop.
                    self.media.refuse(piece, 413, self._refused)
                else:
                    self._take(piece)
        self._writing = None
        if self.closed:
            self._close()

    def _take(self, piece: Piece) -> None:
        if self._part is not None:
            self._on_progress(self.offer, self._base + piece.offset + len(piece.data))
        if piece.last:
            self._on_whole(self)
        self.media.take(piece)

    def _keep(self, part: Path, pieces: list[Piece]) -> None:
        """Write these bytes, and finish the file with its last. Raises _Unwanted, OSError."""
        for piece in pieces:
            if piece.message_id != self._message_id or self._file is None:
                self._file = self._begin(part, piece)
            self._file.write(piece.data)
        if self._file is not None:
            self._file.flush()
        if pieces[-1].last:
            self._finish(part)

    def _begin(self, part: Path, first: Piece) -> BinaryIO:
        """Find out where a message begins: its positions are its own, or those of the whole file."""
        file = self._file or os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "wb")
        self._message_id, self._file = first.message_id, file
        self._base = self.start if first.total is None else (self.offer.size or 0) - first.total
        at = self._base + first.offset
        if not 0 <= at <= os.fstat(file.fileno()).st_size:
            raise _Unwanted("A part of it is missing")
        file.truncate(at)
        return file

    def _finish(self, part: Path) -> None:
        """All is here: it gets its name, if it is what was said."""
        if self._file is not None:
            os.fsync(self._file.fileno())
        self._close()
        whole = part.stat().st_size == self.offer.size
        for function, value in self.offer.hashes if whole else ():
            whole = whole and (function not in HASHES or hash_of(part, function) == value)
        if not whole:
            # What is not what was said is begun anew, not gone on with.
            part.unlink()
            raise _Unwanted("It is not what was said")
        part.replace(self.path)

    def _close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):  # what could not be written was told when it was
                file.close()


def hash_of(path: Path, function: str) -> str:
    """The hash of a file in hexadecimal digits, by a function as RFC 5547 calls it. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, HASHES[function]).hexdigest()
