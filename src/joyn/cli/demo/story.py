"""The scripted conversation, and phones that answer whoever else writes to them."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

from joyn.cli.demo.cast import ALICE, BOB, NAMES
from joyn.cli.demo.operator import Company
from joyn.cli.demo.scene import Scene, Screen
from joyn.phone import Phone, Received, Rejected, Unanswered
from joyn.phone.chat import Chat
from joyn.phone.pager import make_message_id

KINDS: Final = {ALICE: "Universal Profile phone", BOB: "joyn phone"}
STYLES: Final = {ALICE: "cpm", BOB: "simple"}
PATIENCE: Final = 20.0
"""Seconds a message of the play may take."""
MAX_CORRESPONDENTS: Final = 1000
"""Others whose last answer is remembered."""


def screens(company: Company) -> list[Screen]:
    """Both phones, switched off."""
    return [
        Screen(NAMES[number], number, KINDS[number], company.of(number).cast.name if company.interconnected else "")
        for number in (ALICE, BOB)
    ]


class Actor:
    """A phone with its screen. The play awaits its own messages; what others write is answered."""

    def __init__(self, phone: Phone, scene: Scene, beat: float) -> None:
        self.phone = phone
        self.number = phone.number
        self.chat: Chat | None = None
        self._awaited: dict[str, asyncio.Future[Received]] = {}
        self._kept_since: dict[str, float] = {}
        self._scene = scene
        self._beat = beat
        self._answers: dict[str, str] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        phone.on_message = self._take
        phone.on_receipt = lambda receipt: scene.progress(receipt.message_id, receipt.state)
        phone.on_typing = lambda chat: scene.types(self.number, chat.peer, typing=chat.peer_is_typing)

    def expect(self, message_id: str) -> asyncio.Future[Received]:
        """What will hold a message of the play when it is here."""
        awaited = self._awaited[message_id] = asyncio.get_running_loop().create_future()
        if not self.phone.registered:
            self._kept_since[message_id] = time.monotonic()
        return awaited

    def _take(self, received: Received) -> None:
        if received.chat is not None and received.sender in KINDS:
            self.chat = received.chat
        since = self._kept_since.pop(received.message_id, None)
        waited = 0.0 if since is None else time.monotonic() - since
        self._scene.arrive(self.number, received.sender, _shown(received), waited)
        awaited = self._awaited.pop(received.message_id, None)
        if awaited is None:
            self._spawn(self._answer(received))
        else:
            awaited.set_result(received)

    async def _answer(self, received: Received) -> None:
        """Say that it has been read, and write back, unless it comes from the play or is our own answer echoed."""
        try:
            await asyncio.sleep(self._beat)
            await received.mark_displayed()
            text = f"{self._scene.name(self.number)} here. You wrote: {_shown(received)}"
            if received.sender in KINDS or _shown(received) == self._answers.get(received.sender):
                return
            if len(self._answers) >= MAX_CORRESPONDENTS:
                self._answers.clear()
            self._answers[received.sender] = text
            await self.send(received.sender, text)
        except (Rejected, OSError) as error:
            self._scene.tell(self._scene.name(self.number), f"could not answer {received.sender}: {error}")

    async def send(self, recipient: str, text: str, message_id: str = "") -> None:
        """Send a message and show how far it comes. Raises Rejected."""
        message_id = message_id or make_message_id()
        self._scene.write(self.number, recipient, text, message_id)
        try:
            if self.chat is not None and self.chat.open and self.chat.peer == recipient:
                await self.chat.send(text, message_id=message_id)
            else:
                await self.phone.send(recipient, text, message_id=message_id)
        except Unanswered:
            # The network ends the session that brought what had waited; whether it took this just before is unknown.
            # With the same id it is the same message.
            await self.phone.send(recipient, text, message_id=message_id)
        self._scene.progress(message_id, "sent")

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Answer nobody any more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def on_stage(company: Company, scene: Scene, beat: float) -> AsyncIterator[dict[str, Actor]]:
    """Alice and Bob, registered, until the block ends. `beat` is the seconds between two things they do."""
    async with AsyncExitStack() as stack:
        actors = {}
        for number, style in STYLES.items():
            operator = company.of(number)
            phone = Phone(
                number,
                password=operator.passwords[number],
                server=operator.server,
                domain=operator.domain,
                style=style,
                # The same device in each run, whose mailbox goes on where it was.
                instance=f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, f'joyn demo {number}')}",
            )
            actors[number] = Actor(phone, scene, beat)
            await stack.enter_async_context(phone)
            stack.push_async_callback(actors[number].close)
            scene.presence(number, online=True)
        yield actors


class Story:
    """What Alice and Bob say to each other."""

    def __init__(self, actors: dict[str, Actor], scene: Scene, beat: float, *, interconnected: bool) -> None:
        self._interconnected = interconnected
        self._alice, self._bob = actors[ALICE], actors[BOB]
        self._scene = scene
        self._beat = beat

    async def play(self) -> None:
        """From the first line to the last. Raises TimeoutError, Rejected, OSError."""
        scene, alice, bob = self._scene, self._alice, self._bob
        scene.explain(
            "Two phones of two operators chat. Every tick is a receipt that really came back over the border."
            if self._interconnected
            else "Two phones of different ages chat. Every tick is a receipt that really came back."
        )
        await self._pause()
        await self._say(alice, bob, "Film tonight, at eight?")
        await self._say(bob, alice, "Yes! Just going down to the metro.")
        scene.explain("Bob loses the network. What Alice writes is on disk before she sees ✓, and waits for him.")
        bob.phone.cut()
        scene.presence(BOB, online=False)
        await self._pause()
        kept = [await self._write(alice, bob, text) for text in ("Which cinema was it?", "And who has the tickets?")]
        await self._pause(2)
        scene.explain("Bob is back: his mailbox is emptied in order, and Alice's ticks move on.")
        await bob.phone.come_back()
        scene.presence(BOB, online=True)
        for awaited in kept:
            await self._read(awaited)
        await self._say(bob, alice, "Both here. The Odyssey, and I do.")
        await self._say(alice, bob, "See you there!")
        await self._pause()
        scene.explain(
            "That was SIP and MSRP, and mutual TLS between two operators who have exchanged a file."
            if self._interconnected
            else "That was SIP and MSRP over loopback, through mailboxes in SQLite."
        )

    async def _say(self, author: Actor, reader: Actor, text: str) -> None:
        """One types and sends; the other, who is there, reads."""
        await (await self._chat(author, reader)).typing()
        await self._pause(1.5)
        await self._read(await self._write(author, reader, text))

    async def _write(self, author: Actor, reader: Actor, text: str) -> asyncio.Future[Received]:
        """Write to somebody who may be away; what will hold the message when it is there."""
        await self._chat(author, reader)
        message_id = make_message_id()
        awaited = reader.expect(message_id)
        await author.send(reader.number, text, message_id)
        await self._pause()
        return awaited

    async def _chat(self, author: Actor, reader: Actor) -> Chat:
        if author.chat is None or not author.chat.open:
            author.chat = await author.phone.open_chat(reader.number)
        return author.chat

    async def _read(self, awaited: asyncio.Future[Received]) -> None:
        async with asyncio.timeout(PATIENCE):
            received = await awaited
        await received.mark_displayed()
        await self._pause()

    async def _pause(self, beats: float = 1.0) -> None:
        await asyncio.sleep(self._beat * beats)


def _shown(received: Received) -> str:
    kind = received.content_type.partition(";")[0].strip().lower()
    return received.text if kind.startswith("text/") else f"[{kind}, {len(received.body)} bytes]"
