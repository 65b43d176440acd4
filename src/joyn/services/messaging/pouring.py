"""What bringing a file to a device and giving it when asked have in common: whose turn it is, and the bytes.

Spec: RFC 5547 §8.7, RFC 4975 §7.1. Of one file to one device only one transfer moves at a time.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from joyn.model.aor import Aor
from joyn.model.message import Entry
from joyn.model.refused import Reason, Refused
from joyn.protocol.cpim import CpimMessage
from joyn.protocol.file_info import FileInfo, parse
from joyn.services.messaging.contents import Leaving
from joyn.services.messaging.delivery import Outcome
from joyn.services.messaging.offered import Key, Offered, Offers
from joyn.services.messaging.sessions import Leg, Sessions
from joyn.transport.msrp import ABORTED

__all__ = ["MAX_REMEMBERED", "WINDOW", "Ended", "Pouring", "Transfer", "TransferBounds", "file_of", "infos_of"]

WINDOW: Final = 16
"""Files of one device that its pump has begun; with so many it waits for one to end."""
MAX_REMEMBERED: Final = 10_000
"""Offers of which is remembered how far they came; the oldest begin anew. In memory: after a restart all do."""
ENDING: Final = 5.0
"""Seconds that what a device's own wish goes before has to end in: an INVITE that rings nowhere cannot be cancelled."""
_REFUSED: Final = frozenset((400, 403, 413, 415, 501))

Ended = tuple[Outcome, str]
"""How an attempt ended, and what the trace says of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferBounds:
    """So many transfers go out at a time, from the node and to one device; one in which nothing moves for `idle`
    seconds is ended."""

    all: int
    per_device: int
    idle: float


class Queue:
    """The transfers to one device: `count` are begun, those with a slot are under way."""

    def __init__(self, slots: int) -> None:
        self.count = 0
        self.slots = asyncio.Semaphore(slots)


@dataclass(slots=True, eq=False, kw_only=True)
class Transfer:
    """One file on its way to one device, until `done`.

    `before` are those of the same file that were under way when it began. `asked` is set when the device has asked for
    the file, `heir` when it then asked again: whoever has one gives up for it. `turn` says that it has its slots.
    """

    key: Key
    queue: Queue
    before: tuple[Transfer, ...]
    done: asyncio.Future[Outcome]
    asked: Offered | None = None
    leg: Leg | None = None
    task: asyncio.Task[Ended] | None = None
    heir: Transfer | None = None
    turn: bool = False


class Pouring:
    """All transfers that go out from this node. `offers` is what devices were offered and have not taken whole."""

    def __init__(self, sessions: Sessions, bounds: TransferBounds) -> None:
        self.bounds = bounds
        self.offers = Offers(MAX_REMEMBERED)
        self._sessions = sessions
        self._slots = asyncio.Semaphore(bounds.all)
        self._queues: dict[tuple[Aor, str], Queue] = {}
        self._under_way: dict[Key, list[Transfer]] = {}
        self._asked: set[Transfer] = set()

    def __len__(self) -> int:
        return sum(map(len, self._under_way.values()))

    # From its beginning to its end.

    def enter(self, key: Key, asked: Offered | None = None) -> Transfer:
        """A transfer begins; it ends with `leave`."""
        queue = self._queues.get(key[:2])
        if queue is None:
            queue = self._queues[key[:2]] = Queue(self.bounds.per_device)
        queue.count += 1
        alike = self._under_way.setdefault(key, [])
        done: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        transfer = Transfer(key=key, queue=queue, before=tuple(alike), done=done, asked=asked)
        alike.append(transfer)
        if asked is not None:
            self._asked.add(transfer)
        return transfer

    def leave(self, transfer: Transfer, outcome: Outcome) -> None:
        """It is over. Its turn goes to its heir, if it has one that can use it."""
        queue, device = transfer.queue, transfer.key[:2]
        if transfer.turn:
            heir = transfer.heir
            if heir is not None and not heir.turn and not heir.done.done():
                heir.turn = True
            else:
                self._slots.release()
                queue.slots.release()
            transfer.turn = False
        queue.count -= 1
        if not queue.count:
            del self._queues[device]
        alike = self._under_way[transfer.key]
        alike.remove(transfer)
        if not alike:
            del self._under_way[transfer.key]
        self._asked.discard(transfer)
        transfer.before = ()  # which have their own: a device that asks all the time would make a chain of them
        transfer.done.set_result(outcome)

    def gives(self, recipient: Aor, sender: Aor, message_id: str) -> bool:
        """Whether a device has asked for the file of this message, and is being given it."""
        wanted = (recipient, sender, message_id)
        asked = [one.asked for one in self._asked if one.asked is not None]
        asked += self.offers.whole()
        return any((one.conversation, one.sender, one.message_id) == wanted for one in asked)

    # Whose turn it is.

    async def after(self, transfer: Transfer) -> Outcome | None:
        """Wait for what else of this file is under way; how it ended, if nothing is left to be brought now."""
        for before in transfer.before:
            if before.asked is None and before.leg is not None:
                # The device came back by another flow: what it has of the file is known when that has ended.
                self._sessions.end(before.leg, reason="")
        outcomes = await self._ended(transfer)
        offered = self.offers.get(transfer.key)
        if Outcome.TAKEN in outcomes or (offered is not None and offered.whole):
            return Outcome.TAKEN
        if transfer.before and transfer.before[-1].asked is not None and outcomes[-1] is Outcome.LATER:
            return Outcome.LATER  # it has asked for it, and then did not want it now
        return None

    async def instead(self, transfer: Transfer) -> None:
        """Let the device's own wish go before what else of this file is under way, which is ended.

        Raises Refused: GONE when the device has all of it, BUSY, OVERLOADED.
        """
        if not any(before.turn for before in transfer.before):
            self._check_room(transfer)  # what waits for its turn is not given up for what would not get one either
        for before in transfer.before:
            before.heir = transfer
            if before.leg is not None:
                self._sessions.end(before.leg, reason="")
            elif before.task is not None:
                before.task.cancel()
        if transfer.before:
            await asyncio.wait([before.done for before in transfer.before], timeout=ENDING)
        if not all(before.done.done() for before in transfer.before):
            for before in transfer.before:
                before.heir = None if before.heir is transfer else before.heir
            raise Refused(Reason.BUSY, "the file is under way, and that takes its time to end")
        if Outcome.TAKEN in await self._ended(transfer):
            raise Refused(Reason.GONE, "the device has the file")
        if transfer.heir is not None:
            raise Refused(Reason.BUSY, "the file was asked for again")
        if not transfer.turn:
            self._check_room(transfer)
            await self.turn(transfer)

    def _check_room(self, transfer: Transfer) -> None:
        if transfer.queue.slots.locked():
            raise Refused(Reason.BUSY, "as many files of the device are under way as may")
        if self._slots.locked():
            raise Refused(Reason.OVERLOADED, "too many files are under way")

    async def _ended(self, transfer: Transfer) -> list[Outcome]:
        if transfer.before:
            await asyncio.wait([before.done for before in transfer.before])
        return [before.done.result() for before in transfer.before]

    async def turn(self, transfer: Transfer) -> None:
        """Wait until it may begin to move."""
        await transfer.queue.slots.acquire()
        try:
            await self._slots.acquire()
        except BaseException:
            transfer.queue.slots.release()
            raise
        transfer.turn = True

    # The bytes.

    async def pour(self, transfer: Transfer, leg: Leg, leaving: Leaving, start: int, stop: int) -> Ended:
        """The bytes from `start` up to `stop`. As a message they are counted from their own first one (RFC 4975
        §7.1.1)."""

        offered = self.offers.get(transfer.key)
        # A part from the midst says nothing of what lies between it and what the device is known to have.
        joins = offered is None or stop == leaving.size or start <= offered.taken

        async def read(offset: int, size: int) -> bytes:
            return await leaving.read(start + offset, size)

        def progress(taken: int) -> None:
            self._sessions.used(leg)
            if joins:
                self.offers.progressed(transfer.key, start + taken)

        status = await leg.media.stream(
            f"{transfer.key[2]:x}", leaving.content_type, stop - start, read, progress=progress
        )
        what = f"MSRP {status}"
        if status == 200:
            # Who asks for a part of a file has not asked for all of it yet.
            return Outcome.TAKEN if stop == leaving.size else Outcome.LATER, what
        if status in _REFUSED:
            return Outcome.REFUSED, what
        # Whoever hung up does not want it now. A session that broke goes on at once, from what the device has.
        return Outcome.LATER if leg.hung_up or status == ABORTED else Outcome.AGAIN, what

    async def close(self) -> None:
        """The node stops: what is under way begins again with its next run."""
        await asyncio.sleep(0)  # a task that has not begun would not put away what it was given
        tasks = [one.task for alike in self._under_way.values() for one in alike if one.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def infos_of(entry: Entry) -> tuple[FileInfo, ...]:
    """What a message says of its files. Raises ParseError."""
    return parse(CpimMessage.parse(entry.message.cpim).decoded_body)


def file_of(infos: tuple[FileInfo, ...]) -> FileInfo:
    """The file itself, beside its picture."""
    return next(info for info in infos if info.type == "file")
