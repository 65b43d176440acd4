"""The inbox: what came in, read once, and what is known of the messages that went out.

Spec: RFC 5438 §7 (receipts), facts §4.5, §4.8 (repetitions are shown once, and said delivered again), §4.9.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TypeVar

from joyn.phone.behaviour import Behaviour
from joyn.phone.journal import Journal
from joyn.phone.messages import Answerer, Receipt, Received, Sent
from joyn.protocol import imdn, revocation
from joyn.protocol.errors import ParseError

MAX_REMEMBERED = 20_000
"""Messages sent whose receipts are still understood, and ids received whose repetition is known; the oldest go."""
MAX_UNREAD = 10_000
"""Messages waiting for the program to read them; beyond that new ones are put off, and the network keeps them."""

K = TypeVar("K")
V = TypeVar("V")


class Inbox:
    """The messages of one phone."""

    def __init__(self, behaviour: Behaviour, journal: Journal, answerer: Answerer) -> None:
        self._behaviour = behaviour
        self._journal = journal
        self._answerer = answerer
        self._sent: dict[str, Sent] = {}
        self._seen: dict[tuple[str, str], None] = {}
        self._unread: deque[Received] = deque()
        self._reader = asyncio.Event()
        self._revocations: dict[str, asyncio.Future[bool]] = {}

    def puts_off(self, content_type: str) -> bool:
        """Whether a message cannot be taken now, because too much is unread. What the program does not read can."""
        if len(self._unread) < MAX_UNREAD:
            return False
        return media_type(content_type) not in (imdn.CONTENT_TYPE, revocation.CONTENT_TYPE)

    # What went out.

    def sending(self, recipient: str, message_id: str, mode: str) -> Sent:
        """A message that is about to go out; the one with that id, when it is sent again."""
        sent = self._sent.get(message_id)
        if sent is None:
            sent = Sent(recipient, message_id, mode)
            remember(self._sent, message_id, sent, MAX_REMEMBERED)
        self._journal.note("sent", message_id)
        return sent

    def accepted(self, sent: Sent) -> None:
        """The network has it."""
        self._journal.note("accepted", sent.message_id)
        sent.note("accepted")

    def revoking(self, message_id: str) -> asyncio.Future[bool]:
        """Resolves when the network says whether the message was withdrawn."""
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._revocations[message_id] = future
        future.add_done_callback(lambda _done: self._revocations.pop(message_id, None))
        return future

    # What comes in.

    async def receive(self, timeout: float | None) -> Received:
        """The next message. Raises TimeoutError."""
        async with asyncio.timeout(timeout):
            while not self._unread:
                self._reader.clear()
                await self._reader.wait()
        return self._read(self._unread.popleft())

    def take(self, received: Received) -> None:
        """A message or a notification is ours now."""
        kind = media_type(received.content_type)
        if kind == imdn.CONTENT_TYPE:
            self._take_receipt(received)
        elif kind == revocation.CONTENT_TYPE:
            self._take_revocation(received)
        else:
            self._take_message(received)

    def _take_message(self, received: Received) -> None:
        if received.copy:
            received.requested = frozenset()  # it asks the recipient, not us
        received.answerer = self._answerer
        key = (received.sender, received.message_id)
        known = bool(received.message_id) and key in self._seen
        self._journal.note("duplicate" if known else "received", received.message_id or received.text)
        if "positive-delivery" in received.requested and self._behaviour.receipts != "none":
            self._answerer.acknowledge(received, "delivered")
        if known:
            return
        remember(self._seen, key, None, MAX_REMEMBERED)
        if self._behaviour.on_message is not None:
            self._behaviour.on_message(self._read(received))
        else:
            self._unread.append(received)
            self._reader.set()

    def _read(self, received: Received) -> Received:
        """The program has it from here on."""
        if self._behaviour.receipts == "auto" and "display" in received.requested and not received.displayed:
            received.displayed = True
            self._answerer.acknowledge(received, "displayed")
        return received

    def _take_receipt(self, received: Received) -> None:
        try:
            notice = imdn.Imdn.parse(received.body)
        except ParseError:
            self._journal.note("ignored", "malformed receipt")
            return
        self._journal.note("receipt", f"{notice.message_id} {notice.status}")
        sent = self._sent.get(notice.message_id)
        if sent is not None and not received.copy:
            sent.note(notice.status, notice.cause)
        self._behaviour.on_receipt(
            Receipt(sender=received.sender, message_id=notice.message_id, state=notice.status, cause=notice.cause)
        )

    def _take_revocation(self, received: Received) -> None:
        try:
            answer = revocation.parse(received.body)
        except ParseError:
            self._journal.note("ignored", "malformed revocation")
            return
        future = self._revocations.get(answer.message_id)
        if future is not None and not future.done() and isinstance(answer, revocation.RevokeResponse):
            future.set_result(answer.result == "success")


def media_type(content_type: str) -> str:
    """Type and subtype of a Content-Type, in lower case."""
    return content_type.partition(";")[0].strip().lower()


def remember(kept: dict[K, V], key: K, value: V, most: int) -> None:
    """Keep a value by its key; beyond `most` the oldest is forgotten."""
    kept[key] = value
    if len(kept) > most:
        del kept[next(iter(kept))]
