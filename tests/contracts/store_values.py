"""Values for tests of stores, and short ways to ask one. What a test is about, it says itself."""

import asyncio
from hashlib import sha256

from joyn.model.aor import Aor
from joyn.model.binding import Binding
from joyn.model.message import Address, Deposit, EntryKind, Kind, Message, Receipt, State
from joyn.model.subscriber import Subscriber

ALICE = Aor("tel:+33639980001")
BOB = Aor("tel:+33639980002")
CAROL = Aor("tel:+33639980003")

NOON = 1_800_000_000.0
HOUR = 3600.0
DAY = 24 * HOUR


def make_message(
    message_id: str = "m1",
    *,
    sender: Aor = ALICE,
    conversation: Aor = BOB,
    kind: Kind = Kind.CHAT,
    body: bytes = b"see you at eight",
    requested: str = "positive-delivery,negative-delivery,display",
    deliver_until: float = NOON + DAY,
    retain_until: float = NOON + 30 * DAY,
) -> Message:
    return Message(
        sender=sender,
        conversation=conversation,
        message_id=message_id,
        kind=kind,
        content_type="text/plain",
        cpim=b"From: <tel:+33639980001>\r\n\r\n\r\n" + body,
        digest=sha256(body).digest(),
        requested=requested,
        headers="Conversation-ID: f81d4fae",
        service="session",
        instance="urn:uuid:1",
        accepted_at=NOON,
        deliver_until=deliver_until,
        retain_until=retain_until,
    )


def make_deposit(message_id: str = "m1", *addresses: Address, **fields) -> Deposit:
    message = make_message(message_id, **fields)
    return Deposit(message=message, addresses=addresses or (Address(mailbox=message.conversation),))


def make_copied_deposit(message_id: str = "m1") -> Deposit:
    """A message due to Bob, with a copy for Alice's own devices."""
    return make_deposit(message_id, Address(mailbox=BOB), Address(mailbox=ALICE, kind=EntryKind.COPY))


def make_receipt(
    message_id: str = "m1",
    state: State = State.DELIVERED,
    *,
    sender: Aor = ALICE,
    recipient: Aor = BOB,
    receipt_id: str = "",
) -> Deposit:
    """The recipient's IMDN about a message of the sender's."""
    message = make_message(
        receipt_id or f"{message_id}-{state.name}",
        sender=recipient,
        conversation=sender,
        kind=Kind.RECEIPT,
        body=state.name.encode(),
        requested="",
    )
    return Deposit(
        message=message,
        addresses=(Address(mailbox=sender),),
        receipt=Receipt(sender=sender, recipient=recipient, message_id=message_id, state=state),
    )


def make_subscriber(aor: Aor = ALICE, username: str = "alice", **fields) -> Subscriber:
    return Subscriber(
        aor=aor, username=username, realm="joyn.example", ha1={"MD5": "0" * 32, "SHA-256": "0" * 64}, **fields
    )


def make_binding(
    aor: Aor = ALICE, instance: str = "urn:uuid:1", *, reg_id: int = 1, expires_at: float = NOON + HOUR, **fields
) -> Binding:
    values = {
        "contact": "sip:alice@192.0.2.1:5060;transport=tcp",
        "parameters": "+g.oma.sip-im",
        "node": "n1",
        "flow": "tcp|7",
        "call_id": "c1",
        "cseq": 1,
        "registered_at": NOON,
        "path": "<sip:edge.joyn.example;lr>",
        "user_agent": "phone/1.0",
    } | fields
    return Binding(aor=aor, instance=instance, reg_id=reg_id, expires_at=expires_at, **values)


async def accept_all(store, *deposits):
    """Hand them in at once, so that they may share a commit."""
    return await asyncio.gather(*map(store.mailboxes.accept, deposits))


async def seqs(store, mailbox=BOB, after=0, limit=100):
    return [entry.seq for entry in await store.mailboxes.read(mailbox, after, limit)]


async def state_of(store, message_id="m1", mailbox=BOB):
    trace = await store.mailboxes.find(ALICE, BOB, message_id)
    return next(entry.state for entry in trace.entries if entry.mailbox == mailbox)
