"""The store: subscribers, bindings, mailboxes. The truth of the node; everything else can be rebuilt from it.

Implementations stand beside this file and pass `tests/contracts/test_store*.py`. All promises below are tested there.
Methods are coroutines; one that can be answered from memory or the page cache returns without suspending.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from joyn.model.aor import Aor
from joyn.model.binding import Binding
from joyn.model.device import CodeLimits, CodeWait, Device, SentCode, TriedCode
from joyn.model.file import FileUsage, ForeignFile, Kind, StoredFile, Upload
from joyn.model.history import HistoryPage
from joyn.model.message import Accepted, Cursor, Deposit, Entry, State, Trace
from joyn.model.peer import Peer
from joyn.model.ported import PortedNumber
from joyn.model.push import PushTarget
from joyn.model.route import Operator
from joyn.model.subscriber import Subscriber

__all__ = [
    "GONE_FOR",
    "MAX_FOREIGN",
    "MAX_PEERS",
    "MAX_PORTED",
    "SETTLE_DELAY",
    "Bindings",
    "Devices",
    "Files",
    "ForeignFiles",
    "History",
    "Mailboxes",
    "Peers",
    "PortedNumbers",
    "PushTargets",
    "Secrets",
    "Store",
    "Subscribers",
]

MAX_PORTED = 5_000
"""Ported numbers that are handed in at once: more than that holds up the messages of the same commit."""
GONE_FOR = 30 * 86400.0
"""Seconds for which a file that is over is said to be gone, before it is unknown."""
MAX_FOREIGN = 10_000
"""Files of one peer operator that may be waited for at a time."""
MAX_PEERS = 2000
"""Peer operators: more than there are in the world. All are in memory, and looked through for each connection."""
SETTLE_DELAY = 0.25
"""Seconds that a cursor's move may wait for a commit to ride on."""


class Subscribers(Protocol):
    """Who the operator's subscribers are, and whom each of them has blocked."""

    async def get(self, aor: Aor) -> Subscriber | None:
        """The subscriber with this AOR, or None."""
        ...

    async def find(self, username: str) -> Subscriber | None:
        """The subscriber with this digest username, or None."""
        ...

    def name_of(self, aor: Aor) -> str:
        """What the subscriber is called, for whoever they write to; empty for no subscriber, or no name.

        Answered at once: a store that is elsewhere answers from memory, and with nothing until it knows.
        """
        ...

    async def put(self, subscriber: Subscriber) -> None:
        """Add or replace; durable when it returns. Raises ValueError when the username belongs to another AOR."""
        ...

    async def rename(self, aor: Aor, display_name: str) -> bool:
        """Change how others see them and nothing else; durable when it returns. False when there is no such one."""
        ...

    async def remove(self, aor: Aor) -> bool:
        """Forget the subscriber, their block list, bindings, cursors and mailbox. False when there was none."""
        ...

    async def list(self, after: str = "", limit: int = 1000) -> list[Subscriber]:
        """Subscribers in order of AOR, those after `after`."""
        ...

    async def count(self) -> int:
        """How many there are."""
        ...

    async def block(self, owner: Aor, other: Aor, blocked: bool = True) -> None:
        """Put `other` on the owner's block list, or take it off; durable when it returns."""
        ...

    async def blocks(self, owner: Aor) -> frozenset[Aor]:
        """The owner's block list."""
        ...


class Bindings(Protocol):
    """Where contact bindings are kept, so that they survive a restart."""

    async def of(self, aor: Aor) -> list[Binding]:
        """All bindings of an AOR, expired ones included until `expire` took them."""
        ...

    async def update(self, put: Sequence[Binding] = (), remove: Sequence[Binding] = ()) -> None:
        """Replace by (aor, key) and remove by (aor, key), in one commit; durable when it returns. Batched."""
        ...

    async def all(self, node: str) -> list[Binding]:
        """Every binding whose flow is on this node; read once at start."""
        ...

    async def expire(self, now: float) -> list[Binding]:
        """Remove and return those whose expires_at has passed."""
        ...


class Mailboxes(Protocol):
    """Messages, entries, cursors and dispositions."""

    on_accepted: Callable[[Sequence[Entry]], None]
    """Called on the event loop with the entries of each accepted deposit, strictly in the order of their numbers and
    before its `accept` returns, also when nobody waits for that any more: who follows a mailbox by these calls misses
    nothing and sees nothing twice."""

    async def accept(self, deposit: Deposit) -> Accepted:
        """Append to mailboxes in one commit; on disk when it returns. Calls are batched into group commits, in call
        order.

        Duplicate = same sender, conversation, message_id (and kind): the first's Message comes back, nothing is
        appended; unless the first ended FAILED or REVOKED for its recipient, then it is accepted anew. The same id with
        another digest raises Refused(ID_REUSED). With a receipt, the message it speaks of must have been sent by
        receipt.sender to receipt.recipient, the state must be higher than what is recorded, and the sender must have
        requested it; otherwise nothing is appended and `dropped` says why (a higher state is recorded even if unasked).
        Raises Refused(OVERLOADED) at once when too much is waiting, Refused(STORAGE_FULL) when the disk is full:
        then nothing of that deposit is kept.
        """
        ...

    async def read(self, mailbox: Aor, after: int, limit: int) -> list[Entry]:
        """Entries with seq > after in order, at most `limit`; FAILED and REVOKED ones are left out.

        One that was left out and is taken by a device after all comes back when that is on disk.
        Never returns an entry while one with a smaller seq of the same mailbox can still be committed.
        """
        ...

    async def cursors(self, mailbox: Aor) -> list[Cursor]:
        """All cursors of a mailbox, including moves not yet on disk."""
        ...

    def settle(self, cursor: Cursor, states: Iterable[tuple[int, State]] = ()) -> None:
        """Note a cursor's move and the states (by seq) that entries reached; written with a later commit, at most
        `SETTLE_DELAY` seconds later, or by `flush`. A cursor never moves back. Repeating is harmless."""
        ...

    async def flush(self) -> None:
        """Returns when everything settled so far is on disk."""
        ...

    async def drop_cursor(self, mailbox: Aor, instance: str) -> None:
        """Forget a device's cursor (idle too long, or removed)."""
        ...

    async def forget_cursors(self, before: float, limit: int = 1000) -> int:
        """Drop up to `limit` cursors untouched since `before` (wall clock): such a device starts again as a new one."""
        ...

    async def find(self, sender: Aor, conversation: Aor, message_id: str) -> Trace | None:
        """The chat message with this identity, its entries and dispositions."""
        ...

    async def revoke(self, sender: Aor, conversation: Aor, message_id: str, now: float) -> bool:
        """Withdraw: its pending entries become REVOKED, if no entry or disposition says a device has taken it.

        True when it is withdrawn, now or before; REVOKED is noted as its recipient's disposition.
        """
        ...

    async def first_unacknowledged(self, mailbox: Aor) -> int:
        """Where a new device begins: its cursor's `low`, just before the first INCOMING entry still PENDING or STORED;
        at the mailbox's end when there is none."""
        ...

    async def fail(self, mailbox: Aor, seq: int, report: Deposit | None = None) -> bool:
        """The last device has refused this entry: FAILED, unless somebody has taken it (then False).

        `report` is accepted in the same commit if the entry fails. Raises Refused like `accept`.
        """
        ...

    async def expire(
        self, now: float, limit: int = 1000, report: Callable[[Entry], Deposit | None] | None = None
    ) -> list[Entry]:
        """INCOMING entries of chat messages past deliver_until and still PENDING or STORED become FAILED and are
        returned: at most `limit`, the longest overdue first.

        What `report` makes of each is accepted in the same commit. It may be called on another thread.
        """
        ...

    async def prune(self, now: float, limit: int = 1000) -> int:
        """Delete up to `limit` messages past retain_until, with entries; dispositions stay 30 days longer."""
        ...

    async def trace(self, message_id: str) -> list[Trace]:
        """All messages with this Message-ID, whoever sent them, with entries, dispositions and cursors."""
        ...

    async def pending(self, mailbox: Aor) -> int:
        """How many entries nobody has acknowledged yet (PENDING or STORED)."""
        ...


class History(Protocol):
    """The chat messages a subscriber sent or received, for themselves. Nobody sees what was withheld from them, expired
    before a device of theirs had it, or was withdrawn; nor, with a number that was given back, what its former owner
    wrote."""

    async def before(self, owner: Aor, place: int | None, limit: int) -> HistoryPage:
        """The newest first: those accepted before the message with id `place`, or the newest of all.

        At most `limit`, and fewer when they are large; then `more` is true.
        """
        ...

    async def after(self, owner: Aor, place: int, limit: int) -> HistoryPage:
        """The oldest first: those accepted after the message with id `place`."""
        ...

    async def search(self, owner: Aor, words: Sequence[str], limit: int) -> HistoryPage:
        """The newest texts first that have, for each of `words`, a word that begins with it; case and accents do not
        count. A word of one character is looked for whole."""
        ...

    async def index(self, limit: int = 200) -> int:
        """Make up to `limit` more messages ready to be found, and return how many: fewer means that all are. `search`
        does it first for what is missing, so calling this only keeps searches quick."""
        ...


class PushTargets(Protocol):
    """Where devices that are not connected can be woken."""

    async def of(self, aor: Aor) -> list[PushTarget]:
        """All targets of an AOR."""
        ...

    async def all(self) -> list[PushTarget]:
        """Every target; read once at start."""
        ...

    async def put(self, target: PushTarget) -> list[PushTarget]:
        """Add, or replace by (aor, device); durable when it returns. An endpoint is one device's: whoever had it before
        has it no longer. Returns what was there in its place.

        Raises Refused: NOT_ALLOWED when the endpoint is that of another subscriber's browser, which the keys tell,
        UNAUTHENTICATED when it has keys and its device is none that was set up.
        """
        ...

    async def remove(self, targets: Sequence[PushTarget]) -> None:
        """Forget these, if they still have the same endpoint; durable when it returns."""
        ...


class Devices(Protocol):
    """Devices that were set up, and the one-time codes on their way to becoming one. They go with their subscriber."""

    async def add(self, device: Device) -> bool:
        """Add a new one; durable when it returns. False when its subscriber is none.

        Raises ValueError when its id, token or user name is another device's.
        """
        ...

    async def change(self, device_id: str, **fields: object) -> bool:
        """Change these fields of a device and no others; durable when it returns. False when the device is gone.

        Raises ValueError for a field that never changes (id, aor, kind), and when the token is another device's.
        """
        ...

    async def get(self, device_id: str) -> Device | None:
        """The device with this id."""
        ...

    async def with_token(self, token: str) -> Device | None:
        """The device whose hashed token this is, or was before its newest."""
        ...

    async def with_username(self, username: str) -> Device | None:
        """The device with this digest user name."""
        ...

    async def of(self, aor: Aor) -> list[Device]:
        """A subscriber's devices, the one set up last at the end."""
        ...

    async def remove(self, device_id: str) -> Device | None:
        """Forget a device, the bindings that its credentials made and its push targets, in one commit; durable when it
        returns. The device as it was, None when there was none."""
        ...

    async def outdated(self, configuration: str, limit: int) -> list[Device]:
        """Phones that read SMS, have another configuration than this one, and were not told of it."""
        ...

    async def code(self, aor: Aor) -> SentCode | None:
        """What was sent to a number last."""
        ...

    async def code_of(self, cookie: str) -> SentCode | None:
        """The code that belongs to a hashed cookie."""
        ...

    async def reserve_code(self, code: SentCode, limits: CodeLimits, source: str = "") -> CodeWait | None:
        """Make this the number's code, counted on what the number, the source and all together have had; durable.

        When a bound says no nothing changes, and the bound is returned. Several at once are no more than one after
        another. `sends` and `since` of the code are the store's business.
        """
        ...

    async def asked_in_vain(self, limits: CodeLimits, source: str, now: float) -> CodeWait | None:
        """Count that `source` asked about a number that nobody has, or say that it has asked for too much already: who
        goes through the numbers meets the same bound as who has codes sent."""
        ...

    async def try_code(self, cookie: str, code: str, *, now: float, locked_until: float) -> TriedCode | None:
        """Try a hashed code on the one of a hashed cookie, durably; None when there is no such cookie.

        A right one is used up in the same write, a wrong one takes a try off, the last try locks the number. What is
        locked, over or used up is returned as it is, and was not tried.
        """
        ...

    async def forget_codes(self, before: float) -> int:
        """Forget codes that had expired by then and limit nothing any more; how many."""
        ...


class Files(Protocol):
    """Uploads on their way and files that can be fetched. They go with their subscriber."""

    async def begin(self, upload: Upload) -> Upload | None:
        """Note that an upload begins; durable when it returns. Another of the same owner with the same tid is replaced
        and returned, as what came of it is to be thrown away.

        Raises Refused: UNKNOWN_RECIPIENT for no subscriber, SUBSCRIBER_BLOCKED.
        """
        ...

    async def upload(self, upload_id: str) -> Upload | None:
        """The upload with this id."""
        ...

    async def upload_of(self, owner: Aor, tid: str) -> Upload | None:
        """The upload that its owner calls so."""
        ...

    async def announce(self, upload_id: str, size: int) -> bool:
        """Note the size that an upload will have, said only now; durable. False when the upload is gone."""
        ...

    async def reserve(self, upload_id: str, size: int, most: FileUsage) -> bool:
        """Count so many bytes for an upload, in place of what was counted; durable when it returns.

        False, and nothing has changed, when its owner's would be more than is `allowed`, or all together more than
        `most`, or the upload is gone. Several at once are no more than one after another.
        """
        ...

    async def finish(self, upload_id: str, files: Sequence[StoredFile]) -> bool:
        """An upload has become these files, in one commit; durable when it returns. False, and nothing is kept, when it
        is none any more. Files of the same owner with the same tid are replaced."""
        ...

    async def drop(self, upload_id: str) -> None:
        """Forget an upload."""
        ...

    async def get(self, file_id: str) -> StoredFile | None:
        """The file with this id, expired or not, until `expire` has forgotten it. Of one that `expire` has found to be
        over, the digest and the name are empty and the size is 0."""
        ...

    async def of(self, owner: Aor, tid: str) -> list[StoredFile]:
        """What an upload has become, the thumbnail first; without the form for browsers, which is sent to nobody."""
        ...

    async def beside(self, file: StoredFile, kind: Kind) -> StoredFile | None:
        """What has been made of a file, of this kind."""
        ...

    async def add(self, file_id: str, made: StoredFile, most: FileUsage) -> bool:
        """Keep what has been made of a file beside it, in the place of what there was of its kind; durable when it
        returns. False, and nothing has changed, when the file is gone or over, or its owner's or all together would be
        more than `allowed` of `most`."""
        ...

    async def usage(self, owner: Aor) -> FileUsage:
        """What is taken of the quotas by what is reserved for uploads, and by files until `expire` finds them over."""
        ...

    async def allowed(self, owner: Aor, most: FileUsage) -> FileUsage:
        """`most` with the owner's own quota in its place, where they have one."""
        ...

    async def expire(self, now: float, *, uploads_before: float, limit: int = 1000) -> list[Upload]:
        """Let go of files that are over, forget those that were so for GONE_FOR, and uploads begun before
        `uploads_before`, which are returned: up to `limit` of each."""
        ...

    async def used(self, digests: Sequence[str], now: float) -> set[str]:
        """Which of these contents a file that is not over, or a thumbnail of an upload, still has."""
        ...


class ForeignFiles(Protocol):
    """Files of peer operators' subscribers that our links lead to and that are not here yet; what is, is in `Files`.

    They count as the peer's own, which has no row of a subscriber.
    """

    async def add(self, files: Sequence[ForeignFile]) -> dict[str, float]:
        """Remember these, unless a file or a foreign file with the id is known; durable when it returns. Until when
        each can be fetched: of a known one, what was said first. One that is not among the answer is not remembered:
        MAX_FOREIGN of its owner's are waited for."""
        ...

    async def get(self, file_id: str) -> ForeignFile | None:
        """The one with this id, while it is not here."""
        ...

    async def reserve(self, file_id: str, most: FileUsage) -> bool:
        """Count its size for its owner, once; durable. False, and nothing has changed, when that is more than `most`
        has room for, or it is not waited for."""
        ...

    async def arrive(self, file: StoredFile) -> bool:
        """It is here, and a file like any other from now on; durable. False, and nothing is kept, when it is not waited
        for."""
        ...

    async def lose(self, file_id: str) -> None:
        """It will never be here; durable. Nothing is counted for it any more."""
        ...

    async def waiting(self, now: float) -> list[tuple[Aor, str]]:
        """Owner and id of all that are waited for and not over."""
        ...

    async def expire(self, now: float, limit: int = 1000) -> int:
        """Lose those that are over, and forget those that were so for GONE_FOR: up to `limit` of each. How many were
        lost."""
        ...


class Peers(Protocol):
    """Peer operators. What is due to one lies in its mailbox and does not go with it: it waits for the peer to be
    accepted again, and expires."""

    async def list(self) -> list[Peer]:
        """All of them, in order of domain."""
        ...

    async def get(self, domain: str) -> Peer | None:
        """The peer with this domain, or None."""
        ...

    async def put(self, peer: Peer) -> None:
        """Add, or replace by domain; durable when it returns.

        Raises ValueError, and nothing has changed, when a certificate is another peer's, or there are MAX_PEERS.
        """
        ...

    async def remove(self, domain: str) -> bool:
        """Forget a peer; durable when it returns. False when there was none."""
        ...


class PortedNumbers(Protocol):
    """The numbers whose operator is not the one that their range says."""

    async def get(self, number: str) -> PortedNumber | None:
        """The row of an E.164 number, or None. Every message asks: what was asked for last is answered from memory."""
        ...

    async def put(self, ported: Sequence[PortedNumber]) -> None:
        """Add, or replace by number, and remove those without an operator, in one commit; durable when it returns, and
        what is asked from then on is answered by it. Raises ValueError for more than MAX_PORTED, Refused(STORAGE_FULL),
        Refused(OVERLOADED)."""
        ...

    async def counts(self) -> dict[Operator, int]:
        """How many numbers have been ported to each operator."""
        ...

    async def of_subscribers(self) -> list[PortedNumber]:
        """Rows of numbers that are subscribers' here: who has come, and who has left."""
        ...


class Secrets(Protocol):
    """Keys that the node made for itself and that shall outlive it."""

    async def keep(self, name: str, fresh: bytes) -> bytes:
        """The secret of this name: what was kept before, or `fresh`, which is on disk when this returns."""
        ...


class Store(Protocol):
    """One store, opened. Closing flushes."""

    @property
    def subscribers(self) -> Subscribers:
        """Who they are."""
        ...

    @property
    def bindings(self) -> Bindings:
        """Where they are."""
        ...

    @property
    def mailboxes(self) -> Mailboxes:
        """What is due to them."""
        ...

    @property
    def history(self) -> History:
        """What was due to them, and what they said."""
        ...

    @property
    def push_targets(self) -> PushTargets:
        """How to wake them."""
        ...

    @property
    def devices(self) -> Devices:
        """What they were set up on."""
        ...

    @property
    def files(self) -> Files:
        """What they send that is too large for a message."""
        ...

    @property
    def foreign_files(self) -> ForeignFiles:
        """What other operators' subscribers send that is too large for a message, and is still there."""
        ...

    @property
    def peers(self) -> Peers:
        """The other operators."""
        ...

    @property
    def ported(self) -> PortedNumbers:
        """Which numbers are not where their range says."""
        ...

    @property
    def secrets(self) -> Secrets:
        """What the node keeps to itself."""
        ...

    async def close(self) -> None:
        """Flush and close."""
        ...
