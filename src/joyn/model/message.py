"""Messages, mailbox entries, cursors and dispositions: the nouns of the mailbox idea.

Every destination has a mailbox, an ordered durable log of what is due to it. See docs/architecture.md §2.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

from joyn.model.aor import Aor
from joyn.model.value import value


class Kind(IntEnum):
    """What a message is to the mailbox engine."""

    CHAT = 0
    """Content from one subscriber to another."""
    RECEIPT = 1
    """An IMDN, due to the sender of the message it speaks of."""
    SYSTEM = 2
    """A revocation request or its answer."""


class EntryKind(IntEnum):
    """Why an entry stands in a mailbox."""

    INCOMING = 0
    """Due to the mailbox's owner."""
    COPY = 1
    """The owner's own message, for their devices that registered the sync tag."""


TIME_OVER = 408
"""Why a message failed that nobody took in time, as the SIP status its sender is told (RFC 3261 §21.4.9)."""
NOT_ACCEPTABLE = 488
"""Why one did that every device of the recipient has refused (RFC 3261 §21.4.26)."""


class State(IntEnum):
    """How far an entry or a message has come for one recipient. Only ever rises.

    RFC 5438 §7: `processing` (stored), `delivery` (delivered, failed), `display` (displayed).
    """

    PENDING = 0
    STORED = 1
    FAILED = 2
    """No device is left to try: refused, expired, or blocked."""
    REVOKED = 3
    ACKNOWLEDGED = 4
    """A device took the bytes (its 200); it has not said delivered."""
    DELIVERED = 5
    NOT_DISPLAYED = 6
    """The device answered the display request with forbidden or error."""
    DISPLAYED = 7


@value
class Message:
    """One accepted message.

    `conversation` is the recipient's AOR for one-to-one. `cpim` is the whole CPIM message (or the bare body of a system
    message) byte-exact; `content_type` the inner type, lower case. `digest` is the SHA-256 of content type and inner
    body: the same Message-ID with another digest is refused. `requested` is the IMDN request tokens, joined by commas.
    `headers` are the SIP headers that ride along (Conversation-ID, Contribution-ID …), one `Name: value` per line.
    `service` is how it came: `pager`, `large`, `session` or `plain`. `instance` is the sending device. Times are
    wall-clock seconds; `id` is 0 until the store has accepted it, and rises with acceptance.
    """

    id: int = 0
    sender: Aor
    conversation: Aor
    message_id: str
    kind: Kind = Kind.CHAT
    content_type: str
    cpim: bytes
    digest: bytes
    requested: str = ""
    headers: str = ""
    service: str = "pager"
    instance: str = ""
    accepted_at: float
    deliver_until: float
    retain_until: float


@value
class Entry:
    """A message's place in one mailbox. `instance` names the only device it is for, empty for all of them."""

    mailbox: Aor
    seq: int
    kind: EntryKind
    instance: str
    state: State
    message: Message


@value
class Address:
    """Where a message goes: a mailbox, and there perhaps one device only."""

    mailbox: Aor
    kind: EntryKind = EntryKind.INCOMING
    instance: str = ""


@value
class Receipt:
    """What an IMDN says: `recipient` reports that `message_id`, sent to them by `sender`, reached `state`."""

    sender: Aor
    recipient: Aor
    message_id: str
    state: State


@value
class Deposit:
    """What is committed in one step: a message, the mailboxes it is due to, and the receipt it carries, if it is one.

    With an empty `addresses` the message is kept (for duplicates and the trace) and goes nowhere. `returned` says that
    another operator, whom it was given to, had to give it back: its recipient's number has moved. It is no repetition
    then, until it is in their mailbox here.
    """

    message: Message
    addresses: tuple[Address, ...]
    receipt: Receipt | None = None
    returned: bool = False


@value
class Accepted:
    """The deposit is on disk (or was before). `entries` are the new mailbox entries; none when `duplicate`.

    `dropped` says why a receipt went nowhere: `unknown` (no such message was sent to that recipient), `stale` (its
    state or a higher one was there before) or `unasked` (the sender did not request it); it is empty otherwise.
    """

    message: Message
    entries: tuple[Entry, ...] = ()
    duplicate: bool = False
    dropped: str = ""


@value
class Cursor:
    """How far one device has come in its mailbox: all entries up to `low`, and those in `ahead`, are settled."""

    mailbox: Aor
    instance: str
    low: int = 0
    ahead: frozenset[int] = frozenset()
    touched_at: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Disposition:
    """What one recipient did with one message, and when (wall-clock seconds)."""

    recipient: Aor
    state: State
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """Everything the store knows about one message, for the operator."""

    message: Message
    entries: tuple[Entry, ...] = ()
    dispositions: tuple[Disposition, ...] = ()
    cursors: tuple[Cursor, ...] = field(default=())
