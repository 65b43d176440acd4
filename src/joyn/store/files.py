"""The store's part about files: uploads, what can be fetched, and what other operators still have.

See joyn.store.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from joyn.model.aor import Aor
from joyn.model.file import FileUsage, ForeignFile, Kind, StoredFile, Upload

__all__ = ["GONE_FOR", "MAX_FOREIGN", "Files", "ForeignFiles"]

GONE_FOR = 30 * 86400.0
"""Seconds for which a file that is over is said to be gone, before it is unknown."""
MAX_FOREIGN = 10_000
"""Files of one peer operator that may be waited for at a time."""


class Files(Protocol):
    """Uploads on their way and files that can be fetched. They go with their subscriber."""

    async def begin(self, upload: Upload) -> Upload | None:
        """Note that an upload begins; durable when it returns. Another of the same owner with the same tid is replaced
        and returned, as what came of it is to be thrown away.

        Raises Refused: UNKNOWN_RECIPIENT for no subscriber, SUBSCRIBER_BLOCKED.
        """
        ...

    async def upload(self, upload_id: str) -> Upload | None:
        """The upload with this id."""
        ...

    async def upload_of(self, owner: Aor, tid: str) -> Upload | None:
        """The upload that its owner calls so."""
        ...

    async def announce(self, upload_id: str, size: int) -> bool:
        """Note the size that an upload will have, said only now; durable. False when the upload is gone."""
        ...

    async def reserve(self, upload_id: str, size: int, most: FileUsage) -> bool:
        """Count so many bytes for an upload, in place of what was counted; durable when it returns.

        False, and nothing has changed, when its owner's would be more than is `allowed`, or all together more than
        `most`, or the upload is gone. Several at once are no more than one after another.
        """
        ...

    async def finish(self, upload_id: str, files: Sequence[StoredFile]) -> bool:
        """An upload has become these files, in one commit; durable when it returns. False, and nothing is kept, when it
        is none any more. Files of the same owner with the same tid are replaced."""
        ...

    async def drop(self, upload_id: str) -> None:
        """Forget an upload."""
        ...

    async def get(self, file_id: str) -> StoredFile | None:
        """The file with this id, expired or not, until `expire` has forgotten it. Of one that `expire` has found to be
        over, the digest and the name are empty and the size is 0."""
        ...

    async def of(self, owner: Aor, tid: str) -> list[StoredFile]:
        """What an upload has become, the thumbnail first; without the form for browsers, which is sent to nobody."""
        ...

    async def beside(self, file: StoredFile, kind: Kind) -> StoredFile | None:
        """What has been made of a file, of this kind."""
        ...

    async def add(self, file_id: str, made: StoredFile, most: FileUsage) -> bool:
        """Keep what has been made of a file beside it, in the place of what there was of its kind; durable when it
        returns. False, and nothing has changed, when the file is gone or over, or its owner's or all together would be
        more than `allowed` of `most`."""
        ...

    async def usage(self, owner: Aor) -> FileUsage:
        """What is taken of the quotas by what is reserved for uploads, and by files until `expire` finds them over."""
        ...

    async def allowed(self, owner: Aor, most: FileUsage) -> FileUsage:
        """`most` with the owner's own quota in its place, where they have one."""
        ...

    async def expire(self, now: float, *, uploads_before: float, limit: int = 1000) -> list[Upload]:
        """Let go of files that are over, forget those that were so for GONE_FOR, and uploads begun before
        `uploads_before`, which are returned: up to `limit` of each."""
        ...

    async def used(self, digests: Sequence[str], now: float) -> set[str]:
        """Which of these contents a file that is not over, or a thumbnail of an upload, still has."""
        ...


class ForeignFiles(Protocol):
    """Files of peer operators' subscribers that our links lead to and that are not here yet; what is, is in `Files`.

    They count as the peer's own, which has no row of a subscriber.
    """

    async def add(self, files: Sequence[ForeignFile]) -> dict[str, float]:
        """Remember these, unless a file or a foreign file with the id is known; durable when it returns. Until when
        each can be fetched: of a known one, what was said first. One that is not among the answer is not remembered:
        MAX_FOREIGN of its owner's are waited for."""
        ...

    async def get(self, file_id: str) -> ForeignFile | None:
        """The one with this id, while it is not here."""
        ...

    async def reserve(self, file_id: str, most: FileUsage) -> bool:
        """Count its size for its owner, once; durable. False, and nothing has changed, when that is more than `most`
        has room for, or it is not waited for."""
        ...

    async def arrive(self, file: StoredFile) -> bool:
        """It is here, and a file like any other from now on; durable. False, and nothing is kept, when it is not waited
        for."""
        ...

    async def lose(self, file_id: str) -> None:
        """It will never be here; durable. Nothing is counted for it any more."""
        ...

    async def waiting(self, now: float) -> list[tuple[Aor, str]]:
        """Owner and id of all that are waited for and not over."""
        ...

    async def expire(self, now: float, limit: int = 1000) -> int:
        """Lose those that are over, and forget those that were so for GONE_FOR: up to `limit` of each. How many were
        lost."""
        ...
