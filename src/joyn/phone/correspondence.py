"""Answering messages: receipts, in the session or by SIP MESSAGE, and replies.

Spec: RFC 5438 §7, §8; facts §4.5.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from joyn.phone import pager
from joyn.phone.inbox import remember
from joyn.phone.journal import Journal
from joyn.phone.line import Line, refusal
from joyn.phone.messages import Received, Rejected, Sent, Unanswered

MAX_OWED = 10_000
"""Receipts kept for the next registration because nobody took them; the oldest go."""

FINISH_WITHIN = 2.0
"""Seconds that receipts under way may take when the phone leaves."""


class Correspondence:
    """What a phone sends back. `uri_of` gives the Request-URI for an address, `send` writes a message to one."""

    def __init__(
        self, line: Line, journal: Journal, uri_of: Callable[[str], str], send: Callable[[str, str], Awaitable[Sent]]
    ) -> None:
        self._line = line
        self._journal = journal
        self._uri_of = uri_of
        self._send = send
        self._owed: dict[tuple[str, str, str], None] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def reply(self, received: Received, text: str) -> Sent:
        """Write back to where a message came from. Raises Rejected."""
        return await self._send(received.sender, text)

    def acknowledge(self, received: Received, state: str) -> None:
        """Send a receipt in the background; what goes wrong stands in the journal."""
        self._spawn(self._quietly(self.report(received, state), state))

    async def report(self, received: Received, state: str) -> None:
        """Send a receipt. Raises Rejected.

        Facts §4.5: in the open session; else, and for the delivery of what came in the INVITE, by SIP MESSAGE.
        """
        chat = received.chat
        if (
            chat is not None
            and chat.open
            and not chat.standalone
            and (received.way == "session" or state != "delivered")
        ):
            try:
                await chat.deliver(pager.notification(received.message_id, state))
            except Rejected:
                self._journal.note("rejected", f"{state} in the session")
            else:
                self._journal.note("acknowledged", f"{received.message_id} {state}")
                return
        await self.notify(received.sender, received.message_id, state)

    async def notify(self, address: str, message_id: str, state: str) -> None:
        """Send a receipt by SIP MESSAGE; one that nobody took is sent again by `pay`. Raises Rejected."""
        data = pager.notification(message_id, state)
        try:
            answer = await self._line.send("MESSAGE", self._uri_of(address), pager.notification_headers(), data)
            if answer.status >= 300:
                raise refusal(answer)
        except Unanswered:
            remember(self._owed, (address, message_id, state), None, MAX_OWED)
            raise
        self._journal.note("acknowledged", f"{message_id} {state}")

    def pay(self) -> None:
        """We are registered again: send the receipts that nobody took."""
        owed, self._owed = self._owed, {}
        for address, message_id, state in owed:
            self._spawn(self._quietly(self.notify(address, message_id, state), state))

    async def finish(self) -> None:
        """Wait a little for what is under way."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=FINISH_WITHIN)

    async def close(self) -> None:
        """Send nothing more."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _quietly(self, work: Coroutine[Any, Any, None], state: str) -> None:
        try:
            await work
        except Rejected as rejected:
            self._journal.note("rejected", f"{state} {rejected.status}")

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
