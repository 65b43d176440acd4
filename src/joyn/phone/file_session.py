"""One session that carries one file, out or in.

Spec: RFC 5547 §8, RFC 4975; facts §6.1. What is cut is gone on with in another session.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import BinaryIO, Final

from joyn.phone.uploading import Upload
from joyn.protocol.file_transfer import FileOffer
from joyn.protocol.sip.dialog import Dialog
from joyn.transport.msrp import Message, MsrpLeg, Piece

__all__ = ["FileSession", "Sending", "Taking", "hash_of"]

HASHES: Final = {"sha-1": "sha1", "sha-256": "sha256"}
"""The hashes that are looked at, as RFC 5547 and as Python calls them; another is the sender's own affair."""


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
    """A file that comes, written to `part` as it does; `start` is where we want it to begin.

    When all of it is there and is what was said, it becomes `path`, and `on_whole` is told before the last byte is
    answered. Without a part it is one that we have already: it is taken again and not kept.
    """

    def __init__(
        self,
        offer: FileOffer,
        path: Path,
        part: Path | None,
        start: int,
        *,
        on_whole: Callable[[Taking], None],
        on_progress: Callable[[FileOffer, int], None],
    ) -> None:
        super().__init__(offer)
        self.path = path
        self.start = start
        self._part = part
        self._on_whole = on_whole
        self._on_progress = on_progress
        self._pieces: deque[Piece] = deque()
        self._writing: asyncio.Task[None] | None = None
        self._file: BinaryIO | None = None
        self._message_id = ""
        self._base = 0  # of the message: the byte of the file that its first one is
        self._refused = False

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
                why = await asyncio.to_thread(self._keep, pieces)
            except OSError as error:
                why = f"it cannot be written: {error.strerror}"
            if why and not self._refused:
                self._refused = True
                self._close()
            for piece in pieces:
                if self._refused:
                    # RFC 4975 §10.5: the sender shall stop.
                    self.media.refuse(piece, 413, "The file is not taken")
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

    def _keep(self, pieces: list[Piece]) -> str:
        """Write these bytes, and finish the file with its last; why not, empty when all is well. Raises OSError."""
        if self._part is None or self._refused:
            return ""
        for piece in pieces:
            if piece.message_id != self._message_id and (why := self._begin(piece)):
                return why
            assert self._file is not None
            self._file.write(piece.data)
        assert self._file is not None
        self._file.flush()
        return self._finish() if pieces[-1].last else ""

    def _begin(self, first: Piece) -> str:
        """Find out where a message begins: its positions are its own, or those of the whole file."""
        assert self._part is not None
        size = self.offer.size or 0
        self._message_id, self._base = first.message_id, self.start
        if first.total is not None:
            self._base = size - first.total
        at = self._base + first.offset
        if self._file is None:
            self._file = os.fdopen(os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "wb")
        if not 0 <= at <= os.fstat(self._file.fileno()).st_size:
            return "a part of it is missing"
        self._file.truncate(at)
        return ""

    def _finish(self) -> str:
        """All is here: it gets its name, if it is what was said."""
        assert self._part is not None
        assert self._file is not None
        os.fsync(self._file.fileno())
        self._close()
        whole = self._part.stat().st_size == self.offer.size
        for function, value in self.offer.hashes if whole else ():
            whole = whole and (function not in HASHES or hash_of(self._part, function) == value)
        if not whole:
            # What is not what was said is begun anew, not gone on with.
            self._part.unlink()
            return "it is not what was said"
        self._part.replace(self.path)
        return ""

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def hash_of(path: Path, function: str) -> str:
    """The hash of a file in hexadecimal digits, by a function as RFC 5547 calls it. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, HASHES[function]).hexdigest()
