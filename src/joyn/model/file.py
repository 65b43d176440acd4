"""Files on the content server: what is being uploaded, and what can be fetched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from joyn.model.aor import Aor

__all__ = ["Content", "FileUsage", "ForeignFile", "Kind", "StoredFile", "Upload"]

Kind = Literal["file", "thumbnail", "shown"]
"""What was uploaded; what is shown before it is fetched; and the form of it that every browser draws."""


@dataclass(frozen=True, slots=True)
class Content:
    """Bytes that are kept once, whoever sent them: named by a 256-bit hash (hex) of what they are."""

    digest: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A file on its way in. Times are wall-clock seconds.

    `id` is at least 128 random bits: whoever knows it may go on with the upload. `tid` is the client's own name for
    it, which means something together with the owner only. `size` is what was announced, 0 when nothing was.
    `reserved` is what is counted of it on the quotas. `thumbnail` is what the sender made of the file and sent before
    it, None when there was none.
    """

    id: str
    owner: Aor
    tid: str
    size: int
    reserved: int
    name: str
    content_type: str
    thumbnail: Content | None
    thumbnail_type: str
    started_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """A file that can be fetched by whoever knows its `id`, at least 128 random bits, until `until`.

    `digest` and `size` are those of its content. What is made of a file has the same `owner` and `tid`
    as the file; there is one of each kind.
    """

    id: str
    owner: Aor
    tid: str
    kind: Kind
    digest: str
    size: int
    name: str
    content_type: str
    stored_at: float
    until: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignFile:
    """A file that a link of ours leads to while its bytes are still on a peer operator's content server.

    `id` is that link's, and the file's when it is here. `owner` is the peer's mailbox (`model.peer.mailbox_of`), `path`
    where it lies at that peer's origin; what else is said of it was said by its sender. It is `lost` when it will never
    be here: the peer has it no more, or it is not what was said.
    """

    id: str
    owner: Aor
    path: str
    kind: Kind
    size: int
    name: str
    content_type: str
    until: float
    lost: bool = False


@dataclass(frozen=True, slots=True)
class FileUsage:
    """Bytes that a subscriber's files take, and those of all together; a content counts for each file that is it."""

    own: int
    all: int
