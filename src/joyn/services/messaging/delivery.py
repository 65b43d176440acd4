"""One attempt to bring an entry to a device, and what came of it.

Spec: architecture §2 (rules of the cursor); RFC 3261 §21 for the status codes.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from joyn.model.aor import Aor
from joyn.model.binding import Binding
from joyn.model.message import Entry, Trace
from joyn.store import Mailboxes

MAX_NOTED = 50_000
"""Messages whose attempts are remembered for the trace; the oldest are forgotten first."""
MAX_ATTEMPTS_PER_MESSAGE = 40


class Outcome(Enum):
    """How an attempt ended."""

    TAKEN = "acknowledged"
    REFUSED = "refused for good"
    LATER = "not now: tried again when the device registers"
    AGAIN = "the session broke: tried again at once, in a new one"
    GONE = "the device cannot be reached"


_LATER = frozenset((202, 401, 407, 408, 423, 480, 486, 487, 491))


def outcome_of(status: int, *, local: bool) -> Outcome:
    """What a device's final response means. `local` when the response was made here: time-out or lost flow.

    202 is no acknowledgement: somebody on the way has taken it, not the device.
    """
    if local:
        return Outcome.GONE
    if status == 200 or 203 <= status < 300:
        return Outcome.TAKEN
    # Where a redirection points to is the device's claim and no binding of the subscriber: it is not followed
    # (RFC 3261 §8.1.3.4 leaves that to us), and the device itself may take the message another time.
    if status in _LATER or 300 <= status < 400 or 500 <= status < 600:
        return Outcome.LATER
    return Outcome.REFUSED


class Attempt:
    """An attempt under way. When `pipelined`, the next entry may be begun as soon as `room` is done.

    One that goes `beside` its conversation holds back nothing of it, whatever comes of it; and the device says nothing
    of what it brought, so that its acknowledgement is reported as delivery.
    """

    __slots__ = ("beside", "done", "pipelined", "room")

    def __init__(
        self, done: asyncio.Future[Outcome], room: asyncio.Future[None] | None = None, *, beside: bool = False
    ) -> None:
        self.beside = beside
        self.done = done
        self.pipelined = room is not None
        self.room = room if room is not None else done


class Delivery(Protocol):
    """Chooses how an entry goes to a device, and begins."""

    def begin(self, binding: Binding, entry: Entry, *, deferred: bool) -> Attempt:
        """Begin an attempt; its outcome comes in `done`, never an exception.

        `deferred` says that the entry is older than the device's registration.
        """
        ...


@dataclass(frozen=True, slots=True)
class Note:
    """One hop of a message, for the trace: when (wall clock), to which device, how, with what result."""

    at: float
    aor: Aor
    instance: str
    way: str
    result: str


class Attempts:
    """The last attempts, by message id, in memory only: for `joyn message trace`."""

    def __init__(self, wall: Callable[[], float]) -> None:
        self._wall = wall
        self._notes: OrderedDict[int, tuple[tuple[float, Aor, str, str, str], ...]] = OrderedDict()

    def note(self, entry: Entry, instance: str, way: str, result: str) -> None:
        """Remember how an attempt ended."""
        key = entry.message.id
        notes = self._notes.get(key, ())
        self._notes[key] = (
            *notes[-MAX_ATTEMPTS_PER_MESSAGE + 1 :],
            (self._wall(), entry.mailbox, instance, way, result),
        )
        if len(self._notes) > MAX_NOTED:
            self._notes.popitem(last=False)

    def of(self, message: int) -> list[Note]:
        """What is remembered of a message."""
        return [Note(*note) for note in self._notes.get(message, ())]


class Tracer:
    """What is known of a message: the store's rows, and the attempts this node remembers."""

    def __init__(self, mailboxes: Mailboxes, attempts: Attempts) -> None:
        self._mailboxes = mailboxes
        self._attempts = attempts

    async def trace(self, message_id: str) -> list[Trace]:
        """Every message with this Message-ID."""
        return await self._mailboxes.trace(message_id)

    def attempts(self, message: int) -> list[Note]:
        """The attempts to deliver one message."""
        return self._attempts.of(message)
