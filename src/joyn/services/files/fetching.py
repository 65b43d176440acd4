"""Files of peer operators' subscribers are fetched into our own content server, and are files like others from then on.

Spec: IR.90 (facts §10), RFC 9110 §14 (ranges). It begins when the message comes; what is cut goes on where it stopped,
and goes on being tried until its time is over. What is fetched is no longer than its sender said, and goes past the
virus scanner like an upload. A peer's files have a room of their own, so that nobody pays for what strangers send.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Final, Protocol

from joyn import telemetry
from joyn.blobs import Blobs, Incoming
from joyn.model.aor import Aor
from joyn.model.file import FileUsage, ForeignFile, StoredFile
from joyn.model.peer import operator_of
from joyn.model.refused import Reason, Refused
from joyn.protocol.content_range import ContentRange
from joyn.protocol.errors import ParseError
from joyn.services.files.lane import Lane
from joyn.services.files.scanning import Scanning
from joyn.services.files.sniffing import HEAD, is_lie
from joyn.store import Files, ForeignFiles
from joyn.transport.origins import Answer, Cut, Unreachable

__all__ = ["FetchPolicy", "Fetching", "Origins"]

log = logging.getLogger(__name__)
PATIENCE: Final = 5.0
"""Seconds for which somebody who wants a file waits for it before they are told to come back: most are here by then."""
TURN: Final = 60.0
"""Seconds that one attempt may take, and"""
SLOWEST: Final = 64 << 10
"""one more for so many bytes: a peer that trickles does not hold its place for ever, and goes on in another turn."""
AGAIN: Final = frozenset((408, 425, 429, 500, 502, 503, 504))
"""Answers after which another attempt may end otherwise."""
_LIES: Final = frozenset((Reason.INFECTED, Reason.UNSUPPORTED_CONTENT))
FETCHED = telemetry.counter("file.fetched")


class Origins(Protocol):
    """See joyn.transport.origins.OriginClient."""

    def get(self, origin: str, path: str, start: int) -> AbstractAsyncContextManager[Answer]:
        """Ask an origin. Raises Unreachable, Cut."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchPolicy:
    """Files that are fetched at once, from all and from one; `room` for a peer's and for everybody's, in bytes."""

    at_once: int
    per_peer: int
    room: FileUsage


class _Lost(Exception):
    """It will never be here."""


class _Later(Exception):
    """Not now; `after` is how many seconds the peer wants to be left alone."""

    def __init__(self, why: str, after: float = 0.0) -> None:
        super().__init__(why)
        self.after = after


class Fetching:
    """Fetches from every peer. `origin_of(operator)` is its content server's now, empty when nothing is to be fetched
    from it; `clock` is monotonic."""

    def __init__(
        self,
        foreign: ForeignFiles,
        files: Files,
        blobs: Blobs,
        origins: Origins,
        policy: FetchPolicy,
        *,
        origin_of: Callable[[str], str],
        wall: Callable[[], float],
        clock: Callable[[], float],
        scanning: Scanning | None = None,
        patience: float = PATIENCE,
        turn: float = TURN,
    ) -> None:
        self._foreign = foreign
        self._files = files
        self._blobs = blobs
        self._origins = origins
        self._policy = policy
        self._origin_of = origin_of
        self._wall = wall
        self._clock = clock
        self._scanning = scanning
        self._patience = patience
        self._turn_for = turn
        self._slots = asyncio.Semaphore(policy.at_once)
        self._lanes: dict[Aor, Lane] = {}
        self._waiting: dict[str, asyncio.Future[None]] = {}

    async def start(self) -> None:
        """Go on with what an earlier run was waiting for."""
        for owner, file_id in await self._foreign.waiting(self._wall()):
            self._add(owner, file_id)

    async def stop(self) -> None:
        """Stop; what has come stays for the next run."""
        workers = [worker for lane in self._lanes.values() for worker in lane.workers]
        for worker in workers:
            worker.cancel()
        if workers:
            await asyncio.wait(workers)

    def want(self, files: Sequence[ForeignFile]) -> None:
        """These have begun to be waited for, or perhaps had before."""
        for file in files:
            if file.until > self._wall():
                self._add(file.owner, file.id)

    async def awaited(self, file_id: str) -> StoredFile | None:
        """A file that may have been on its way: None for what nobody waits for, one without content for what will never
        come or is over. Raises Refused(AWAITED) when it is not here after a little while."""
        file = await self._foreign.get(file_id)
        if file is None:
            return await self._files.get(file_id)  # it may have come in between
        if not file.lost and file.until > self._wall():
            lane = self._lane(file.owner)
            lane.hurry(file_id, self._clock())
            self._work_on(lane)
            arrival = self._waiting.setdefault(file_id, asyncio.get_running_loop().create_future())
            try:
                async with asyncio.timeout(self._patience):
                    await asyncio.shield(arrival)
            except TimeoutError:
                raise Refused(Reason.AWAITED) from None
            found = await self._files.get(file_id)
            if found is not None:
                return found
        return _kept(file, "", 0, now=self._wall(), until=0.0)

    # Lanes and workers.

    def _lane(self, owner: Aor) -> Lane:
        return self._lanes.setdefault(owner, Lane())

    def _add(self, owner: Aor, file_id: str) -> None:
        lane = self._lane(owner)
        lane.add(file_id, self._clock())
        self._work_on(lane)

    def _work_on(self, lane: Lane) -> None:
        if len(lane) and len(lane.workers) < self._policy.per_peer:
            lane.workers.add(asyncio.get_running_loop().create_task(self._work(lane)))

    async def _work(self, lane: Lane) -> None:
        worker = asyncio.current_task()
        try:
            await self._work_off(lane)
        finally:
            # In the same step in which it saw that nothing is left: what is added next begins another.
            lane.workers = {other for other in lane.workers if other is not worker}

    async def _work_off(self, lane: Lane) -> None:
        while len(lane):
            file_id = lane.take(self._clock())
            if file_id is None:
                await lane.wait(self._clock())
                continue
            try:
                async with self._slots:
                    await self._turn(lane, file_id)
            except Exception:  # the loop that owns a peer's files: one that meets a bug must not keep all others away
                log.exception("fetching a file failed")
                lane.later(file_id, self._clock())

    async def _turn(self, lane: Lane, file_id: str) -> None:
        """One attempt at one file."""
        file = await self._foreign.get(file_id)
        if file is None or file.lost or file.until <= self._wall():
            self._end(lane, file_id)
            return
        before = await self._blobs.received(file_id)
        operator = operator_of(file.owner)
        try:
            await self._fetch(file)
        except Unreachable as error:
            telemetry.event("file.unreachable", peer=operator, reason=str(error))
            lane.rest(file_id, self._clock())
        except (_Later, Cut, TimeoutError, Refused) as error:
            telemetry.event("file.delayed", peer=operator, reason=str(error) or "too slow")
            further = await self._blobs.received(file_id) > before
            lane.later(file_id, self._clock(), after=getattr(error, "after", 0.0), further=further)
        except _Lost as error:
            telemetry.event("file.lost", peer=operator, reason=str(error))
            await self._lose(file_id)
            self._end(lane, file_id)
        else:
            FETCHED.inc()
            self._end(lane, file_id)

    def _end(self, lane: Lane, file_id: str) -> None:
        lane.done(file_id)
        arrival = self._waiting.pop(file_id, None)
        if arrival is not None:
            arrival.set_result(None)

    async def _lose(self, file_id: str) -> None:
        await self._foreign.lose(file_id)
        await self._blobs.discard(file_id)

    # One file.

    async def _fetch(self, file: ForeignFile) -> None:
        """Raises _Lost, _Later, Unreachable, Cut, TimeoutError, Refused."""
        origin = self._origin_of(operator_of(file.owner))
        if not origin:
            raise _Later("the peer is paused, or has no content server now")
        if not await self._foreign.reserve(file.id, self._policy.room):
            raise _Later("there is no room for the peer's files")
        incoming = await self._blobs.resume(file.id)
        try:
            if incoming.received < file.size:
                async with asyncio.timeout(self._turn_for + file.size / SLOWEST):
                    incoming = await self._read(origin, file, incoming)
            await self._check(file, incoming)
            content = await incoming.finish()
        finally:
            incoming.close()
        now = self._wall()
        await self._foreign.arrive(_kept(file, content.digest, content.size, now=now, until=file.until))

    async def _read(self, origin: str, file: ForeignFile, incoming: Incoming) -> Incoming:
        """All that is not here yet; where it has come to, which is another place when it had to begin anew."""
        async with self._origins.get(origin, file.path, incoming.received) as answer:
            start = _start(answer, incoming.received, file.size)
            if start != incoming.received:
                incoming.close()
                await self._blobs.discard(file.id)
                incoming = await self._blobs.resume(file.id)
            try:
                if answer.status == 416:
                    raise _Later("what had come is no part of it")
                while piece := await answer.read():
                    if incoming.received + len(piece) > file.size:
                        raise _Lost("it is longer than was said")
                    incoming.write(piece)
                if incoming.received < file.size:
                    raise _Lost("it is shorter than was said") if answer.ends else Cut("it may have been cut")
            except BaseException:
                incoming.close()
                raise
        return incoming

    async def _check(self, file: ForeignFile, incoming: Incoming) -> None:
        """Whether it may come in. Raises _Lost, Refused(UNSCANNED)."""
        with incoming.read() as beginning:
            head = await asyncio.to_thread(beginning.read, HEAD)
        if is_lie(file.content_type, head):
            raise _Lost("it is not what it is called")
        if self._scanning is None:
            return
        try:
            await self._scanning.check(incoming, lambda: self._lose(file.id))
        except Refused as refused:
            if refused.reason in _LIES:
                raise _Lost(refused.detail) from refused
            raise


def _start(answer: Answer, have: int, size: int) -> int:
    """The number of the first byte that comes, for a file of which we have some. Raises _Lost, _Later."""
    if answer.status in AGAIN:
        raise _Later(f"answered {answer.status}", answer.retry_after)
    if answer.encoded:
        raise _Lost("it is encoded, which was not asked for")
    if answer.status == 416:
        return 0
    if answer.status == 200:
        start, whole = 0, answer.length
    elif answer.status == 206:
        try:
            said = ContentRange.parse(answer.content_range)
        except ParseError as error:
            raise _Lost(f"a part of it, and not which: {error}") from None
        start, whole = said.start, said.size
        if start != have:
            raise _Lost("another part of it than was asked for")
    else:
        # Redirects lead wherever somebody else wants: 3xx is no better than 404.
        raise _Lost(f"answered {answer.status}")
    if whole is not None and whole != size:
        raise _Lost(f"it has {whole} bytes, and {size} were said")
    return start


def _kept(file: ForeignFile, digest: str, size: int, *, now: float, until: float) -> StoredFile:
    return StoredFile(
        id=file.id,
        owner=file.owner,
        tid=file.id,
        kind=file.kind,
        digest=digest,
        size=size,
        name=file.name,
        content_type=file.content_type,
        stored_at=now,
        until=until,
    )
