"""An originating function on a store in memory, and what Alice and Bob hand it."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from joyn.model.aor import Aor, Numbering
from joyn.model.message import Accepted, Cursor, Entry, Kind, Message, State
from joyn.model.ranges import Ranges
from joyn.model.subscriber import Subscriber
from joyn.protocol import revocation
from joyn.protocol.cpim import CpimMessage
from joyn.protocol.imdn import Imdn
from joyn.protocol.imdn import Kind as Notice
from joyn.services.messaging.destination import Destination
from joyn.services.messaging.originating import Originating, Policy, Submission
from joyn.services.routing.routing import Routing
from joyn.store import Store
from joyn.store.sqlite import open_store
from services.scene import ALICE, BOB, CAROL, MONTH, NOON, make_cpim
from stories import as_test

ASKING = ("positive-delivery", "negative-delivery", "display", "processing")
POLICY = Policy(deliver_for=MONTH, retain_for=3 * MONTH)
IMDN_TYPE = "message/imdn+xml"


class OwnSubscribers:
    """Destinations of an operator that has no peers."""

    def __init__(self, routing: Routing) -> None:
        self._routing = routing

    async def choose(self, uri: str) -> Destination:
        return Destination.of_subscriber(await self._routing.choose(uri))


class Desk:
    """An originating function on a store in memory, and everything it told others."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.now = NOON
        self.nudged: list[Entry] = []
        self.composing: list[tuple[Aor, Aor, bytes]] = []
        self.receipts: list[tuple[Aor, str, Aor, str]] = []
        self.syncing: set[Aor] = set()
        self.in_flight: set[str] = set()
        numbering = Numbering("FR", ("joyn.example",))
        ids = itertools.count(1)
        self.originating = Originating(
            store.mailboxes,
            store.subscribers,
            OwnSubscribers(Routing(numbering, store.subscribers, store.ported, Ranges())),
            numbering,
            POLICY,
            wall=lambda: self.now,
            date_time=lambda: "2026-11-22T12:00:00Z",
            make_id=lambda: f"own {next(ids)}",
        )
        store.mailboxes.on_accepted = self.nudged.extend
        self.originating.on_composing = lambda sender, to, body: self.composing.append((sender, to.aor, body))
        self.originating.on_receipt = lambda *told: self.receipts.append(told)
        self.originating.wants_copies = lambda aor, _instance: aor in self.syncing
        self.originating.revoke = self._revoke

    async def _revoke(self, to: Destination, sender: Aor, message_id: str) -> bool:
        if message_id in self.in_flight:
            return False
        return await self.store.mailboxes.revoke(sender, to.aor, message_id, self.now)

    async def send(self, message_id: str = "m1", body: bytes = b"salut", **fields: Any) -> Accepted:
        """Alice's phone sends Bob a message that asks for every receipt."""
        cpim = make_cpim(message_id, body, disposition_request=ASKING)
        return await self.submit(make_submission(body=cpim, **fields))

    async def submit(self, submission: Submission) -> Accepted:
        return await self.originating.accept(submission)

    async def tell(self, status: str, message_id: str = "m1", own_id: str = "", **fields: Any) -> Accepted:
        """Bob's phone sends Alice a receipt."""
        kinds: dict[str, Notice] = {"displayed": "display", "processed": "processing", "stored": "processing"}
        kind = kinds.get(status, "delivery")
        body = Imdn(message_id=message_id, kind=kind, status=status, datetime="2026-11-22T12:00:00Z").emit()
        cpim = make_cpim(own_id or f"receipt {status} {message_id}", body, IMDN_TYPE)
        values = {"sender": BOB, "instance": "bob's phone", "to": ALICE, "body": cpim}
        return await self.submit(make_submission(**(values | fields)))

    async def revoke(self, message_id: str = "m1", own_id: str = "r1", **fields: Any) -> str:
        """Alice asks to withdraw a message; returns what she is answered."""
        body = revocation.RevokeRequest(message_id=message_id).emit()
        cpim = make_cpim(own_id, body, revocation.CONTENT_TYPE)
        accepted = await self.submit(make_submission(body=cpim, **fields))
        answer = revocation.parse(CpimMessage.parse(accepted.message.cpim).decoded_body)
        assert isinstance(answer, revocation.RevokeResponse)
        assert (accepted.message.kind, accepted.message.conversation) == (Kind.SYSTEM, ALICE)
        return answer.result

    async def settle(self, message_id: str = "m1", state: State = State.ACKNOWLEDGED) -> None:
        """Bob's phone has taken it."""
        entry = next(one for one in self.nudged if one.message.message_id == message_id)
        cursor = Cursor(mailbox=BOB, instance="bob's phone", low=entry.seq, touched_at=self.now)
        self.store.mailboxes.settle(cursor, [(entry.seq, state)])
        await self.store.mailboxes.flush()

    async def mailbox(self, aor: Aor) -> list[tuple[Kind, str]]:
        """What is due to somebody: kinds and Message-IDs."""
        entries = await self.store.mailboxes.read(aor, 0, 100)
        return [(entry.message.kind, entry.message.message_id) for entry in entries]

    async def message(self) -> Message:
        """The message Alice has sent, as it was committed."""
        return self.nudged[-1].message

    async def block(self, aor: Aor) -> None:
        """The operator blocks a subscriber."""
        subscriber = await self.store.subscribers.get(aor)
        assert subscriber is not None
        await self.store.subscribers.put(replace(subscriber, blocked=True))


def make_submission(**fields: Any) -> Submission:
    values = {
        "sender": ALICE,
        "instance": "alice's phone",
        "to": "tel:+33639980002",
        "content_type": "message/cpim",
        "body": b"",
        "transaction": "call 1 MESSAGE tag",
    }
    return Submission(**(values | fields))


def at_a_desk(story: Callable[[Desk], Awaitable[None]]) -> Callable[[], None]:
    """Make a test of a story: Alice, Bob and Carol are subscribers."""

    def test() -> None:
        async def play() -> None:
            store = open_store(":memory:", node="n", wall_clock=lambda: NOON, on_fatal=lambda error: None)
            try:
                for aor in (ALICE, BOB, CAROL):
                    await store.subscribers.put(
                        Subscriber(aor=aor, username=aor, realm="joyn.example", ha1={"MD5": "0" * 32})
                    )
                await story(Desk(store))
            finally:
                await store.close()

        asyncio.run(play())

    return as_test(story, test)
