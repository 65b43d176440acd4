"""The originating function: take a message from its sender, check it, commit it, let it be delivered.

Spec: RCC.07 §3.2 and §3.3, RFC 5438 §7 (dispositions), architecture §2 (rules of acceptance).
When `accept` returns, the message is on disk; what the terminating side makes of it the sender learns by receipts only.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from hashlib import sha256

from joyn import telemetry
from joyn.model.aor import ANONYMOUS, Aor, Numbering
from joyn.model.message import Accepted, Address, Deposit, EntryKind, Kind, Message, Receipt, State
from joyn.model.peer import mailbox_of, operator_of
from joyn.model.refused import Reason, Refused
from joyn.model.value import value
from joyn.protocol import revocation
from joyn.protocol.cpim import CpimMessage, address_uri, build
from joyn.protocol.errors import ParseError, ProtocolError
from joyn.protocol.imdn import Imdn
from joyn.services.messaging import dispositions
from joyn.services.messaging.destination import Destination, Destinations
from joyn.store import Mailboxes, Subscribers

CPIM = "message/cpim"
COMPOSING = "application/im-iscomposing+xml"
_FROM_NOBODY = f"<{ANONYMOUS}>"
"""What nearly every client writes in the CPIM From of a one-to-one message."""
ACCEPTED = telemetry.counter("message.accepted")
DUPLICATES = telemetry.counter("message.repeated")
WITHHELD = telemetry.counter("message.withheld")
DROPPED_RECEIPTS = telemetry.counter("receipt.dropped")


@value
class Submission:
    """What a door hands over. `sender` and `instance` come from the authenticated flow, never from the request.

    `to` is the URI it is for; `content_type` and `body` are the outer ones (CPIM, or plain text to be wrapped);
    `headers` the SIP headers that ride along, one `Name: value` per line; `expires` the SIP Expires in seconds, None
    when absent; `transaction` identifies the request of a plain client (Call-ID, CSeq, From tag), whose Message-ID is
    derived from it; `device` is the instance a receipt is aimed at. What comes from a peer operator has that operator's
    mailbox as its `instance` (`model.peer.mailbox_of`), and `sender` is whom the peer asserts and may assert;
    `forwarded` names the operator that had it for a number that has moved, and sends it on. `original` is the body as
    it came, when `body` has other links to files: by it a repetition is known.
    """

    sender: Aor
    instance: str
    to: str
    content_type: str
    body: bytes
    headers: str = ""
    expires: int | None = None
    service: str = "pager"
    transaction: str = ""
    device: str = ""
    forwarded: str = ""
    original: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How long things are kept, in seconds."""

    deliver_for: float = 30 * 86400.0
    retain_for: float = 90 * 86400.0


class Originating:
    """Accepts messages into mailboxes.

    What it accepts the store announces (`Mailboxes.on_accepted`): the terminating function takes it from there.
    `on_composing(sender, destination, body)` is called when a device says that its user types;
    `on_receipt(by, instance, sender, message_id)` is called when a device says that it has a message.
    `wants_copies(aor, instance)` says whether another device of the sender wants a copy, and
    `revoke(destination, sender, message_id)` withdraws a message that no device has or is being given.
    """

    def __init__(
        self,
        mailboxes: Mailboxes,
        subscribers: Subscribers,
        destinations: Destinations,
        numbering: Numbering,
        policy: Policy,
        *,
        wall: Callable[[], float],
        date_time: Callable[[], str],
        make_id: Callable[[], str],
    ) -> None:
        self._mailboxes = mailboxes
        self._subscribers = subscribers
        self._destinations = destinations
        self._numbering = numbering
        self._policy = policy
        self._wall = wall
        self._date_time = date_time
        self._make_id = make_id
        self.on_composing: Callable[[Aor, Destination, bytes], None] = lambda _sender, _destination, _body: None
        self.on_receipt: Callable[[Aor, str, Aor, str], None] = lambda _by, _instance, _sender, _message_id: None
        self.wants_copies: Callable[[Aor, str], bool] = lambda _aor, _instance: False
        self.revoke: Callable[[Destination, Aor, str], Awaitable[bool]] = lambda destination, sender, message_id: (
            mailboxes.revoke(sender, destination.aor, message_id, wall())
        )

    async def accept(self, submission: Submission) -> Accepted:
        """Check, commit, nudge. Raises Refused: UNKNOWN_RECIPIENT, MALFORMED, ID_REUSED, OVERLOADED, STORAGE_FULL."""
        destination = await self._destinations.choose(submission.to)
        recipient = destination.aor
        cpim = self._cpim(submission)
        content_type = cpim.content_type
        if submission.forwarded:
            await self._check_forwarded(submission, recipient, cpim)
        if content_type == dispositions.CONTENT_TYPE:
            return await self._receipt(submission, destination, cpim)
        if content_type == revocation.CONTENT_TYPE:
            return await self._revocation(submission, destination, cpim)
        blocked = submission.sender in await self._subscribers.blocks(recipient)
        if content_type == COMPOSING:
            # Typing is not a message: it goes to open legs only, without a commit.
            if not blocked:
                self.on_composing(submission.sender, destination, cpim.decoded_body)
            return Accepted(message=self._message(submission, destination, cpim, Kind.CHAT), dropped="composing")
        addresses: tuple[Address, ...] = (Address(mailbox=destination.mailbox),)
        if blocked:
            # A block is not told: the message is kept as accepted, and goes nowhere.
            WITHHELD.inc()
            addresses = ()
        copies = not submission.forwarded and submission.sender != recipient  # of what was forwarded there is one
        if copies and self.wants_copies(submission.sender, submission.instance):
            addresses += (Address(mailbox=submission.sender, kind=EntryKind.COPY),)
        message = self._message(submission, destination, cpim, Kind.CHAT)
        return await self._commit(Deposit(message=message, addresses=addresses, returned=bool(submission.forwarded)))

    async def _check_forwarded(self, submission: Submission, recipient: Aor, cpim: CpimMessage) -> None:
        """A forwarder speaks for others, so it is believed little: chat messages, and of our subscribers only what they
        gave it. Raises Refused(NOT_ALLOWED)."""
        if cpim.content_type in (dispositions.CONTENT_TYPE, revocation.CONTENT_TYPE, COMPOSING):
            raise Refused(Reason.NOT_ALLOWED, "only messages are forwarded")
        if submission.instance:
            return  # its sender is another operator's subscriber
        known = await self._mailboxes.find(submission.sender, recipient, cpim.message_id or "")
        given = mailbox_of(submission.forwarded)
        if known is None or all(entry.mailbox != given for entry in known.entries):
            raise Refused(Reason.NOT_ALLOWED, "the sender never gave that to who forwards it")

    async def _commit(self, deposit: Deposit) -> Accepted:
        accepted = await self._mailboxes.accept(deposit)
        if accepted.duplicate:
            DUPLICATES.inc()
        elif accepted.dropped:
            DROPPED_RECEIPTS.inc()
        else:
            ACCEPTED.inc()
        return accepted

    def _cpim(self, submission: Submission) -> CpimMessage:
        if submission.content_type != CPIM:
            return self._wrapped(submission)
        try:
            cpim = CpimMessage.parse(submission.body)
        except ParseError as error:
            raise Refused(Reason.MALFORMED, f"CPIM: {error}") from error
        from_ = cpim.from_
        claimed = "" if from_ == _FROM_NOBODY else address_uri(from_)
        if claimed and not claimed.startswith(ANONYMOUS) and self._numbering.aor(claimed) != submission.sender:
            # The CPIM From is the client's own claim; who sent it is what the flow proved (facts §1).
            cpim = cpim.with_addresses(f"<{submission.sender}>")
        return cpim

    def _wrapped(self, submission: Submission) -> CpimMessage:
        """A plain SIP client's message as CPIM; its Message-ID follows from the request, so it survives resending."""
        identity = sha256(f"{submission.sender}\n{submission.transaction}".encode()).hexdigest()[:32]
        try:
            data = build(
                from_=f"<{ANONYMOUS}>",
                to=f"<{ANONYMOUS}>",
                content_type=submission.content_type or "text/plain",
                body=submission.body,
                message_id=identity,
                date_time=self._date_time(),
            )
        except (ProtocolError, UnicodeEncodeError) as error:
            raise Refused(Reason.MALFORMED, "Content-Type with control characters, or not UTF-8") from error
        return CpimMessage.parse(data)

    def _message(self, submission: Submission, destination: Destination, cpim: CpimMessage, kind: Kind) -> Message:
        content_type = cpim.content_type
        body = cpim.body
        came = CpimMessage.parse(submission.original).body if submission.original else body
        digest = sha256(content_type.encode() + b"\n" + came).digest()
        now = self._wall()
        wanted = min(self._policy.deliver_for, destination.keep_for)
        if submission.expires is not None:
            wanted = min(wanted, submission.expires)
        return Message(
            sender=submission.sender,
            conversation=destination.aor,
            # A client that gives no id gets one that a resent copy shares.
            message_id=cpim.message_id or sha256(digest + submission.transaction.encode()).hexdigest()[:32],
            kind=kind,
            content_type=content_type,
            cpim=cpim.data,
            digest=digest,
            requested=",".join(sorted(cpim.disposition_request)) if kind is Kind.CHAT else "",
            headers=submission.headers,
            service=submission.service,
            instance=submission.instance,
            accepted_at=now,
            deliver_until=now + wanted,
            retain_until=now + self._policy.retain_for,
        )

    async def _receipt(self, submission: Submission, destination: Destination, cpim: CpimMessage) -> Accepted:
        try:
            imdn = Imdn.parse(cpim.decoded_body)
        except ParseError as error:
            raise Refused(Reason.MALFORMED, f"IMDN: {error}") from error
        recipient = destination.aor
        message = self._message(submission, destination, cpim, Kind.RECEIPT)
        state = dispositions.state_of(imdn)
        if state is None:
            # An extension such as interworking: nothing to count, but whose message it speaks of may know it.
            known = await self._mailboxes.find(recipient, submission.sender, imdn.message_id)
            if known is None or submission.sender in await self._subscribers.blocks(recipient):
                DROPPED_RECEIPTS.inc()
                return Accepted(message=message, dropped="unknown" if known is None else "blocked")
            return await self._commit(Deposit(message=message, addresses=(Address(mailbox=destination.mailbox),)))
        receipt = Receipt(sender=recipient, recipient=submission.sender, message_id=imdn.message_id, state=state)
        if state >= State.DELIVERED:
            self.on_receipt(submission.sender, submission.instance, recipient, imdn.message_id)
        # Which of their devices it is aimed at, only their own operator can tell.
        address = Address(mailbox=destination.mailbox, instance=submission.device if destination.is_local else "")
        return await self._commit(Deposit(message=message, addresses=(address,), receipt=receipt))

    async def report(self, message: Message, recipient: Aor, state: State) -> None:
        """Tell the sender what the server itself knows of their message, if they asked for that. Raises Refused."""
        deposit = self.notification(message, recipient, state)
        if deposit is not None:
            await self._commit(deposit)

    def notification(self, message: Message, recipient: Aor, state: State, cause: int = 0) -> Deposit | None:
        """What tells the sender that their message has come to this state, if they asked for that; `cause` is the SIP
        status that says why it failed."""
        if dispositions.ASKED_BY[state] not in message.requested.split(","):
            return None
        own_id = self._make_id()
        cpim = CpimMessage.parse(
            dispositions.notification(
                message.message_id, state, own_id=own_id, date_time=self._date_time(), cause=cause
            )
        )
        if operator_of(message.instance):
            # It came from a peer operator: its subscriber hears of it there.
            home, device = Destination(aor=message.sender, mailbox=Aor(message.instance)), ""
        else:
            # The sender's other devices have a copy of the message, and its ticks are theirs too.
            device = "" if self.wants_copies(message.sender, message.instance) else message.instance
            home = Destination.of_subscriber(message.sender)
        submission = Submission(
            sender=recipient, instance="", to=message.sender, content_type=CPIM, body=cpim.data, device=device
        )
        receipt = Receipt(sender=message.sender, recipient=recipient, message_id=message.message_id, state=state)
        return Deposit(
            message=self._message(submission, home, cpim, Kind.RECEIPT),
            addresses=(Address(mailbox=home.mailbox, instance=device),),
            receipt=receipt,
        )

    async def _revocation(self, submission: Submission, destination: Destination, cpim: CpimMessage) -> Accepted:
        """Facts §4.9: still here and untouched, it is withdrawn; a device has it, so it stays. Either way we answer.

        What a peer operator has taken, that operator withdraws or not, and answers.
        """
        try:
            asked = revocation.parse(cpim.decoded_body)
        except ParseError as error:
            raise Refused(Reason.MALFORMED, f"revocation: {error}") from error
        if not isinstance(asked, revocation.RevokeRequest):
            return await self._revocation_answer(submission, destination, cpim)
        withdrawn = await self.revoke(destination, submission.sender, asked.message_id)
        if not withdrawn and not destination.is_local:
            message = self._message(submission, destination, cpim, Kind.SYSTEM)
            return await self._commit(Deposit(message=message, addresses=(Address(mailbox=destination.mailbox),)))
        sender = submission.sender
        answer = revocation.RevokeResponse(message_id=asked.message_id, result="success" if withdrawn else "failure")
        reply = CpimMessage.make(
            from_=f"<{ANONYMOUS}>",
            to=f"<{ANONYMOUS}>",
            content_type=revocation.CONTENT_TYPE,
            body=answer.emit(),
            # One answer per request, also when the request is repeated.
            message_id=sha256(f"{cpim.message_id}{submission.transaction}".encode()).hexdigest()[:32],
            date_time=self._date_time(),
        )
        own = replace(submission, sender=destination.aor, to=sender, instance="")
        mailbox, instance = sender, submission.instance
        if operator_of(submission.instance):
            mailbox, instance = Aor(submission.instance), ""
        message = self._message(own, Destination(aor=sender, mailbox=mailbox), reply, Kind.SYSTEM)
        return await self._commit(Deposit(message=message, addresses=(Address(mailbox=mailbox, instance=instance),)))

    async def _revocation_answer(self, submission: Submission, destination: Destination, cpim: CpimMessage) -> Accepted:
        """What a peer operator answered to the revocation of a subscriber of ours."""
        if not operator_of(submission.instance):
            raise Refused(Reason.NOT_ALLOWED, "a revocation is answered by the server")
        message = self._message(submission, destination, cpim, Kind.SYSTEM)
        return await self._commit(Deposit(message=message, addresses=(Address(mailbox=destination.mailbox),)))
