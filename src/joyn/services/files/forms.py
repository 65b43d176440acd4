"""What is made of uploaded pictures: thumbnails where senders sent none, and forms that every browser draws.

Spec: RCC.07 §3.5.4.8 (facts §6.2: a thumbnail of 50 KB at most, and a phone that waits 5 s for the answer).
Whatever goes wrong with a picture, its file is there and is answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from joyn import telemetry
from joyn.blobs import Blobs, put
from joyn.model.aor import Aor
from joyn.model.file import FileUsage, Kind, StoredFile
from joyn.model.refused import Reason, Refused
from joyn.pictures import MADE, Form, Pictures
from joyn.store import Files

__all__ = ["SHOWN", "SHOWN_TYPES", "THUMBNAIL_EDGE", "THUMBNAIL_LARGEST", "Forms", "FormsPolicy"]

THUMBNAIL_EDGE: Final = 480
"""Pixels of a thumbnail's longest side."""
THUMBNAIL_LARGEST: Final = 50 << 10
"""Bytes of a thumbnail: phones of the first joyn generation take no larger one."""
SHOWN: Final = Form(edge=4096, largest=16 << 20)
"""How pictures are shown whose own form browsers do not draw."""
SHOWN_TYPES: Final = frozenset(("image/heic", "image/heic-sequence", "image/heif", "image/heif-sequence", "image/tiff"))
"""Types that browsers do not draw."""
MAX_REMEMBERED: Final = 1024
"""Files of which is remembered that they cannot be decoded, so that asking again costs nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FormsPolicy:
    """`thumbnail` is what they shall be; `room` is what an owner of files may have of the quotas, as what is made
    counts as its file's owner's. `patience` is how many seconds the answer to an upload waits for a thumbnail.
    """

    thumbnail: Form
    room: Callable[[Aor], FileUsage]
    patience: float


class Forms:
    """Makes them, and keeps them beside their files, for as long."""

    def __init__(
        self,
        files: Files,
        blobs: Blobs,
        pictures: Pictures,
        policy: FormsPolicy,
        *,
        wall: Callable[[], float],
        make_id: Callable[[], str],
    ) -> None:
        self._files = files
        self._blobs = blobs
        self._pictures = pictures
        self._policy = policy
        self._wall = wall
        self._make_id = make_id
        self._showing: dict[str, asyncio.Task[StoredFile]] = {}
        self._undecodable: dict[str, None] = {}

    async def thumbnail(self, file: StoredFile) -> StoredFile | None:
        """A thumbnail of a file that has none; None when there can be none, or not now."""
        if not self._pictures.takes(file.content_type):
            return None
        try:
            async with asyncio.timeout(self._policy.patience):
                return await self._make(file, "thumbnail", self._policy.thumbnail)
        except TimeoutError:
            telemetry.event("picture.abandoned", kind=file.content_type)
        except Refused as refused:
            if refused.reason is not Reason.UNSUPPORTED_CONTENT:
                telemetry.event("picture.omitted", reason=refused.detail)
        return None

    async def shown(self, file: StoredFile) -> tuple[StoredFile, Path]:
        """The form that browsers draw, made when it is first asked for.

        Raises Refused: NOT_ACCEPTABLE for a type that needs none, UNSUPPORTED_CONTENT when it cannot be decoded,
        OVERLOADED when too many pictures wait, QUOTA_PASSED and STORAGE_FULL when there is no room for it.
        """
        if file.content_type not in SHOWN_TYPES:
            raise Refused(Reason.NOT_ACCEPTABLE, "browsers draw this type, or it is no picture")
        if file.digest in self._undecodable:
            raise Refused(Reason.UNSUPPORTED_CONTENT, "the picture cannot be decoded")
        shown = await self._files.beside(file, "shown")
        path = await self._blobs.path(shown.digest) if shown else None
        if shown is None or path is None:
            # Whoever asks meanwhile waits for the same, and who goes away takes it from nobody.
            shown = await asyncio.shield(self._showing.get(file.id) or self._show(file))
            path = await self._blobs.path(shown.digest)
        if path is None:
            raise Refused(Reason.OVERLOADED, "it was deleted meanwhile")
        return shown, path

    def _show(self, file: StoredFile) -> asyncio.Task[StoredFile]:
        making = asyncio.get_running_loop().create_task(self._make(file, "shown", SHOWN))
        self._showing[file.id] = making

        def made(task: asyncio.Task[StoredFile]) -> None:
            del self._showing[file.id]
            error = None if task.cancelled() else task.exception()
            if isinstance(error, Refused) and error.reason is Reason.UNSUPPORTED_CONTENT:
                self._undecodable[file.digest] = None
                if len(self._undecodable) > MAX_REMEMBERED:
                    del self._undecodable[next(iter(self._undecodable))]

        making.add_done_callback(made)
        return making

    async def _make(self, file: StoredFile, kind: Kind, form: Form) -> StoredFile:
        """Make a form of a file and keep it. Raises Refused."""
        path = await self._blobs.path(file.digest)
        if path is None:
            raise Refused(Reason.OVERLOADED, "the file's time is over")
        data = await self._pictures.make(path, file.content_type, form)
        content = await put(self._blobs, self._make_id(), data)
        made = replace(
            file,
            id=self._make_id(),
            kind=kind,
            digest=content.digest,
            size=content.size,
            name="" if kind == "thumbnail" else f"{Path(file.name).stem}.jpg",
            content_type=MADE,
            stored_at=self._wall(),
        )
        if not await self._files.add(file.id, made, self._policy.room(made.owner)):
            raise Refused(Reason.QUOTA_PASSED)
        return made
