"""Mailboxes, devices and a clock for tests of the messaging services: a real store in memory, no sockets."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from joyn.model.aor import Aor
from joyn.model.binding import Binding
from joyn.model.message import NOT_ACCEPTABLE, Address, Cursor, Deposit, Entry, EntryKind, Kind, Message, State
from joyn.model.tags import CPM_MESSAGE, SYNC
from joyn.protocol.cpim import build
from joyn.services.messaging.delivery import Attempt, Outcome
from joyn.services.messaging.terminating import Terminating
from joyn.store import Store
from joyn.store.sqlite import open_store
from stories import as_test

ALICE, BOB, CAROL, DAVE = (Aor(f"tel:+3363998000{number}") for number in (1, 2, 3, 4))
NOON = 1_800_000_000.0
MONTH = 30 * 86_400.0
RCS = f';+g.3gpp.icsi-ref="{CPM_MESSAGE.replace(":", "%3A")}"'
SYNCING = f"{RCS};{SYNC}"
PLAIN = ""
ALL = "positive-delivery,negative-delivery,display,processing"


@dataclass(slots=True)
class Attempted:
    """One attempt the terminating function has begun."""

    binding: Binding
    entry: Entry
    deferred: bool
    attempt: Attempt

    def end(self, outcome: Outcome) -> None:
        self.attempt.done.set_result(outcome)


@dataclass(slots=True)
class ScriptedDelivery:
    """Notes every attempt, and ends it with what its device answers: at once, or when the test says so (None)."""

    answers: dict[str, Outcome | None] = field(default_factory=dict)
    """By instance, or `instance message_id`, or contact; TAKEN when nothing is said."""
    attempts: list[Attempted] = field(default_factory=list)
    pipelined: bool = False
    beside: frozenset[str] = frozenset()
    """Message-IDs that go beside their conversations."""

    def begin(self, binding: Binding, entry: Entry, *, deferred: bool) -> Attempt:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Outcome] = loop.create_future()
        room: asyncio.Future[None] | None = None
        beside = entry.message.message_id in self.beside
        if self.pipelined or beside:
            room = loop.create_future()
            room.set_result(None)
        attempt = Attempt(done, room, beside=beside)
        self.attempts.append(Attempted(binding, entry, deferred, attempt))
        names = (f"{binding.instance} {entry.message.message_id}", binding.contact, binding.instance)
        outcome = next((self.answers[name] for name in names if name in self.answers), Outcome.TAKEN)
        if outcome is not None:
            done.set_result(outcome)
        return attempt

    def last(self, message_id: str, instance: str = "") -> Attempted:
        """The last attempt with a message, at that device if one is named: which of two is tried first is chance."""
        attempts = [one for one in self.attempts if one.entry.message.message_id == message_id]
        return [one for one in attempts if instance in ("", one.binding.instance)][-1]


class Scene:
    """A terminating function on a store in memory, the devices attached to it, and what it reports."""

    def __init__(self, store: Store, **settings: int) -> None:
        self.store = store
        self.now = NOON
        self.bindings: dict[Aor, tuple[Binding, ...]] = {}
        self.delivery = ScriptedDelivery()
        self.reports: list[tuple[str, Aor, State]] = []
        self.start(**settings)

    def start(self, **settings: Any) -> None:
        """A terminating function that knows nothing yet, as after a restart."""
        self.terminating = Terminating(
            self.store.mailboxes,
            self.delivery,
            lambda aor: self.bindings.get(aor, ()),
            wall=lambda: self.now,
            **settings,
        )
        self.terminating.report = lambda message, aor, state: self.reports.append((message.message_id, aor, state))
        self.terminating.failure = make_failure
        self.store.mailboxes.on_accepted = self._note_failures

    def _note_failures(self, entries: Sequence[Entry]) -> None:
        for message in (entry.message for entry in entries):
            if message.message_id.startswith("failed "):
                self.reports.append((message.message_id.removeprefix("failed "), message.sender, State.FAILED))

    async def restart(self) -> None:
        """The node is started again: devices are gone, what is on disk stays."""
        await self.quiet()
        await self.terminating.close()
        self.bindings.clear()
        self.delivery.attempts.clear()
        self.start()

    def attach(self, instance: str, parameters: str = RCS, **fields: Any) -> Binding:
        """A device registers, for the first time or again; over the same flow unless another is given."""
        binding = make_binding(instance, parameters, registered_at=self.now, **fields)
        present = self.bindings.get(binding.aor, ())
        before = next((one for one in present if one.key == binding.key), None)
        self.bindings[binding.aor] = (*(one for one in present if one is not before), binding)
        self.terminating.attached(binding, before is None or before.flow != binding.flow)
        return binding

    def detach(self, instance: str, aor: Aor = BOB) -> None:
        """A device goes."""
        gone = [one for one in self.bindings[aor] if one.instance == instance]
        self.bindings[aor] = tuple(one for one in self.bindings[aor] if one.instance != instance)
        for binding in gone:
            self.terminating.detached(binding)

    def lose(self, flow: str, aor: Aor = BOB) -> None:
        """One of a device's flows breaks."""
        gone = [one for one in self.bindings[aor] if one.flow == flow]
        self.bindings[aor] = tuple(one for one in self.bindings[aor] if one.flow != flow)
        for binding in gone:
            self.terminating.detached(binding)

    async def accept(self, message_id: str, *addresses: Address, **fields: Any) -> tuple[Entry, ...]:
        """A message is committed, and the terminating function hears of it."""
        message = make_message(message_id, accepted_at=self.now, **fields)
        addresses = addresses or (Address(mailbox=message.conversation),)
        accepted = await self.store.mailboxes.accept(Deposit(message=message, addresses=addresses))
        self.terminating.nudge(accepted.entries)
        await self.quiet()
        return accepted.entries

    async def quiet(self) -> None:
        """Returns when all that follows from what happened has happened: the writer serves in order."""
        for _ in range(4):
            await self.store.subscribers.remove(Aor("tel:nobody"))
            for _ in range(8):
                await asyncio.sleep(0)

    def tried(self, instance: str) -> list[str]:
        """The Message-IDs that were tried at a device, in order."""
        attempts = self.delivery.attempts
        return [one.entry.message.message_id for one in attempts if one.binding.instance == instance]

    async def cursor(self, instance: str, aor: Aor = BOB) -> Cursor:
        return next(cursor for cursor in await self.store.mailboxes.cursors(aor) if cursor.instance == instance)

    async def done(self, instance: str, aor: Aor = BOB) -> bool:
        """Whether the device has settled all there is in its mailbox."""
        entries = await self.store.mailboxes.read(aor, (await self.cursor(instance, aor)).low, 1)
        return entries == []

    async def state(self, message_id: str, sender: Aor = ALICE) -> State:
        await self.quiet()
        trace = await self.store.mailboxes.find(sender, BOB, message_id)
        assert trace is not None
        return next(entry.state for entry in trace.entries if entry.kind is EntryKind.INCOMING)


def make_binding(instance: str, parameters: str = RCS, **fields: Any) -> Binding:
    values = {
        "aor": BOB,
        "reg_id": 1,
        "contact": f"sip:{instance or 'bob'}@192.0.2.1",
        "node": "n",
        "flow": f"tcp|{instance}",
        "call_id": "c",
        "cseq": 1,
        "expires_at": NOON + MONTH,
        "registered_at": NOON,
    }
    return Binding(instance=instance, parameters=parameters, **(values | fields))


def make_cpim(message_id: str, body: bytes = b"salut", content_type: str = "text/plain", **fields: Any) -> bytes:
    values = {"from_": "<sip:anonymous@anonymous.invalid>", "to": "<sip:anonymous@anonymous.invalid>"}
    return build(content_type=content_type, body=body, message_id=message_id, **(values | fields))


def make_message(message_id: str, **fields: Any) -> Message:
    values = {
        "sender": ALICE,
        "conversation": BOB,
        "content_type": "text/plain",
        "cpim": make_cpim(message_id),
        "digest": sha256(b"salut").digest(),
        "requested": ALL,
        "accepted_at": NOON,
        "deliver_until": NOON + MONTH,
        "retain_until": NOON + 3 * MONTH,
    }
    return Message(message_id=message_id, **(values | fields))


def make_failure(entry: Entry, cause: int) -> Deposit:
    """What the sender of an entry is told when its devices refuse it."""
    assert cause == NOT_ACCEPTABLE
    to = entry.message.sender
    told = make_message(f"failed {entry.message.message_id}", sender=entry.mailbox, conversation=to, **RECEIPT)
    return Deposit(message=told, addresses=(Address(mailbox=to),))


RECEIPT: dict[str, Any] = {"kind": Kind.RECEIPT, "content_type": "message/imdn+xml", "requested": ""}
"""The fields that make a message a receipt."""


def played(story: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Make a test of a story that happens on a scene; a failure inside a pump fails the test."""

    def test(**named: Any) -> None:
        async def play() -> None:
            failures: list[dict[str, Any]] = []
            asyncio.get_running_loop().set_exception_handler(lambda _loop, context: failures.append(context))
            store = open_store(":memory:", node="n", wall_clock=lambda: NOON, on_fatal=failures.append)
            scene = Scene(store)
            try:
                await story(scene, **named)
                await scene.quiet()
            finally:
                await scene.terminating.close()
                await store.close()
            assert failures == []

        asyncio.run(play())

    return as_test(story, test)


def over_another_flow(binding: Binding) -> dict[str, Any]:
    """The fields of the binding a device gets when it comes over a new connection."""
    return {"flow": f"{binding.flow}-again", "cseq": binding.cseq + 1}
