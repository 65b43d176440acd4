"""Whether the virus scanner lets a file in.

It is asked when all of a file has come: scanners think when they have seen the end, and a slow upload would hold one
of their few threads for as long as it takes. A phone waits 5 s for its answer (facts §6.2), so a verdict that takes
longer is waited for without it: the phone is told to come back, and then the verdict is there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import BinaryIO, Final

from joyn import telemetry
from joyn.blobs import Incoming
from joyn.model.refused import Reason, Refused
from joyn.transport.scanning import CLEAN, PIECE, Scanner, Unscanned

__all__ = ["AT_ONCE", "MAX_RUNNING", "PATIENCE", "REMEMBERED_FOR", "Scanning"]

PATIENCE: Final = 2.0
"""Seconds that the answer to an upload waits for the verdict."""
AT_ONCE: Final = 4
"""Files that the scanner is shown at a time; ClamAV has ten threads unless told otherwise."""
MAX_RUNNING: Final = 64
"""Files that are shown or wait for it; further uploads are told to come back."""
REMEMBERED_FOR: Final = 600.0
"""Seconds for which a verdict stands: the client comes back for it. Then scanners may have learned something new."""
MAX_REMEMBERED: Final = 4096
"""Verdicts that are remembered."""
SCANNED = telemetry.counter("file.scanned")


class Scanning:
    """Asks one scanner. With `required`, what it gives no verdict on does not come in; `now` is a monotonic clock."""

    def __init__(
        self, scanner: Scanner, *, required: bool, now: Callable[[], float], patience: float = PATIENCE
    ) -> None:
        self._scanner = scanner
        self._required = required
        self._now = now
        self._patience = patience
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._running: dict[str, asyncio.Task[str | None]] = {}
        self._verdicts: dict[str, tuple[str | None, float]] = {}
        self._forgetting: set[asyncio.Future[None]] = set()

    async def check(self, incoming: Incoming, forget: Callable[[], Awaitable[None]]) -> None:
        """Whether what has come may come in; nothing more must come while this runs.

        Raises Refused: INFECTED, and UNSCANNED when there is no verdict, or not yet. If it is a bad one then, `forget`
        is called, for nobody may come back for it.
        """
        digest = incoming.digest
        verdict, until = self._verdicts.get(digest, (None, 0.0))
        if until <= self._now() or (verdict is None and self._required):
            running = self._running.get(digest) or self._begin(digest, incoming)
            await asyncio.wait((running,), timeout=self._patience)
            if not running.done():
                running.add_done_callback(lambda task: self._when_bad(task, forget))
                raise Refused(Reason.UNSCANNED, "the virus scanner is not done yet")
            verdict = running.result()
        if verdict is None:
            if self._required:
                raise Refused(Reason.UNSCANNED, "the virus scanner gives no verdict")
            telemetry.event("file.unscanned")
        elif verdict != CLEAN:
            telemetry.event("file.infected", found=verdict)
            raise Refused(Reason.INFECTED)

    async def close(self) -> None:
        """Wait for no verdict any more."""
        running = list(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, *self._forgetting, return_exceptions=True)

    def _when_bad(self, task: asyncio.Task[str | None], forget: Callable[[], Awaitable[None]]) -> None:
        if not task.cancelled() and task.exception() is None and task.result():
            telemetry.event("file.infected", found=task.result())
            doing = asyncio.ensure_future(forget())
            # What nobody waits for must not be collected before its end.
            self._forgetting.add(doing)
            doing.add_done_callback(self._forgetting.discard)

    def _begin(self, digest: str, incoming: Incoming) -> asyncio.Task[str | None]:
        if len(self._running) >= MAX_RUNNING:
            raise Refused(Reason.OVERLOADED, "too many files wait for the virus scanner")
        task = asyncio.get_running_loop().create_task(self._scan(incoming.read(), incoming.received))
        self._running[digest] = task
        task.add_done_callback(lambda done: self._ended(digest, done))
        return task

    async def _scan(self, file: BinaryIO, size: int) -> str | None:
        """The verdict, None when there is none."""
        with file:
            async with self._turn:
                try:
                    verdict = await self._scanner.scan(_pieces(file), size)
                except Unscanned as error:
                    telemetry.event("scanner.failed", reason=str(error))
                    return None
        SCANNED.inc()
        return verdict

    def _ended(self, digest: str, task: asyncio.Task[str | None]) -> None:
        del self._running[digest]
        if task.cancelled() or task.exception() is not None:
            return
        self._verdicts.pop(digest, None)
        self._verdicts[digest] = task.result(), self._now() + REMEMBERED_FOR
        if len(self._verdicts) > MAX_REMEMBERED:
            del self._verdicts[next(iter(self._verdicts))]


async def _pieces(file: BinaryIO) -> AsyncIterator[bytes]:
    while piece := await asyncio.to_thread(file.read, PIECE):
        yield piece
