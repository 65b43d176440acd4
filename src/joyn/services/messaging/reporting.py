"""What the server itself tells senders: stored, delivered in a device's place, failed.

Spec: RFC 5438 §7 (dispositions of intermediaries), §11 (gateways). A report is owed also when the store is too busy for
it just now.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from joyn.model.aor import Aor
from joyn.model.message import TIME_OVER, Deposit, Entry, Kind, Message, State
from joyn.model.peer import operator_of
from joyn.model.refused import Refused
from joyn.services.messaging.originating import Originating

__all__ = ["Reporting"]

AGAIN: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 0.0)
"""Seconds between tries to deposit a report while the store refuses."""

log = logging.getLogger(__name__)


class Reporting:
    """Deposits reports, in the background."""

    def __init__(self, originating: Originating, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._originating = originating
        self._sleep = sleep
        self._tasks: set[asyncio.Task[None]] = set()

    def tell(self, message: Message, recipient: Aor, state: State) -> None:
        """Tell the sender that their message has come to this state, if they asked for that."""
        task = asyncio.get_running_loop().create_task(self._tell(message, recipient, state))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def failure(self, entry: Entry, cause: int) -> Deposit | None:
        """What is deposited for the sender together with the failure; `cause` is the SIP status that says why."""
        if entry.message.kind is not Kind.CHAT:
            return None
        # An entry in a peer's mailbox is due to one of the peer's subscribers.
        recipient = entry.message.conversation if operator_of(entry.mailbox) else entry.mailbox
        return self._originating.notification(entry.message, recipient, State.FAILED, cause)

    def expired(self, entry: Entry) -> Deposit | None:
        """The same when its time is over."""
        return self.failure(entry, TIME_OVER)

    async def close(self) -> None:
        """Let what is being deposited end."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5)

    async def _tell(self, message: Message, recipient: Aor, state: State) -> None:
        for pause in AGAIN:
            try:
                await self._originating.report(message, recipient, state)
            except Refused:
                await self._sleep(pause)
            else:
                return
        log.warning("a report that a message is %s was given up: the store takes none", state.name.lower())
