"""Blobs: contents too large for the store, each kept once under the BLAKE3 hash of what it is (ADR 10).

Implementations stand beside this file and pass `tests/contracts/test_blobs.py`. An incoming blob has a name of the
caller's choice until it is finished; nothing that is not finished can be read.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import BinaryIO, Protocol

from joyn.model.file import Content

__all__ = ["Blobs", "Incoming", "put"]


class Incoming(Protocol):
    """A blob on its way in. One at a time per name; `close` leaves what has come for another to go on with."""

    @property
    def received(self) -> int:
        """Bytes that have come."""
        ...

    def write(self, data: memoryview | bytes) -> None:
        """Append. It has left our memory when this returns: killing the process loses nothing of it.

        Raises Refused(STORAGE_FULL) when the disk is full; then nothing of `data` counts as received.
        """
        ...

    @property
    def digest(self) -> str:
        """The BLAKE3 (hex) of what has come."""
        ...

    def read(self) -> BinaryIO:
        """What has come, from its beginning, to be read and closed by the caller. Before it is finished; what is
        open stays open. Raises Refused(BUSY) when it was discarded."""
        ...

    async def finish(self) -> Content:
        """Make it a blob: durable, and named by what it is, when this returns. Raises Refused: STORAGE_FULL, and
        BUSY when it was discarded meanwhile. Either way it is closed."""
        ...

    def close(self) -> None:
        """Stop here. What has come stays."""
        ...


class Blobs(Protocol):
    """All blobs. Calls that may take long do not hold up the loop."""

    async def resume(self, name: str) -> Incoming:
        """Go on with the incoming blob of this name, or begin it. Raises Refused(BUSY) while somebody else has it."""
        ...

    async def received(self, name: str) -> int:
        """Bytes that have come under this name; 0 when there is no such one."""
        ...

    async def discard(self, name: str) -> None:
        """Forget an incoming blob."""
        ...

    async def path(self, digest: str) -> Path | None:
        """The file that a blob is; None when there is none."""
        ...

    async def remove(self, digest: str, *, before: float | None = None) -> None:
        """Forget a blob; with `before` only if it was finished, the last time, before then. Who sweeps says so: the
        same content may have come again since `unused_since` named it."""
        ...

    def unused_since(self, before: float) -> AsyncIterator[list[str]]:
        """Digests of blobs that were finished, the last time, before then (wall clock), some at a time."""
        ...

    def abandoned_since(self, before: float) -> AsyncIterator[list[str]]:
        """Names of incoming blobs that nothing was written to since then."""
        ...


async def put(
    blobs: Blobs, name: str, data: bytes, check: Callable[[Incoming], Awaitable[None]] | None = None
) -> Content:
    """Keep something that is in memory whole, under a name of the caller's while it is not finished; `check` may raise
    before it is. Raises Refused."""
    incoming = await blobs.resume(name)
    try:
        incoming.write(data)
        if check is not None:
            await check(incoming)
        return await incoming.finish()
    except BaseException:
        incoming.close()
        await blobs.discard(name)
        raise
