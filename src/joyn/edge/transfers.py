"""The door for files over MSRP: what a phone sends comes straight to the content server, and a message about it.

Spec: RFC 5547 §8.2, RCC.07 §3.5 (facts §6.1), RFC 4975 §7.3. Acknowledged means on disk and in the mailbox: the last
chunk is answered when both are true. Who sent it is the leg's device, which the signalling authenticated.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Final

from joyn.edge.msrp import STATUS
from joyn.edge.pulls import PullDoor
from joyn.edge.sip import Caller, riding_headers
from joyn.model.aor import ANONYMOUS, Aor
from joyn.model.refused import Reason, Refused
from joyn.protocol.cpim import build
from joyn.protocol.errors import ParseError
from joyn.protocol.file_info import CONTENT_TYPE
from joyn.protocol.file_transfer import FileOffer
from joyn.protocol.multipart import flatten
from joyn.protocol.sip.message import SipRequest
from joyn.services.messaging.contents import Arriving, Contents, Described
from joyn.services.messaging.destination import Destinations
from joyn.services.messaging.originating import CPIM, Originating, Submission
from joyn.services.messaging.sessions import Leg, Offer, Sessions
from joyn.transport.msrp import MsrpLeg, Piece
from joyn.transport.sip import Inbound

__all__ = ["TransferDoor", "TransferLimits"]

log = logging.getLogger(__name__)
BATCH: Final = 256 << 10
"""Bytes that are written at once, if so many are there."""
ANYBODY: Final = f"<{ANONYMOUS}>"
REQUESTED: Final = ("positive-delivery", "display")
"""What is asked of the recipient: an INVITE has no word for it, and the sender's other devices show the answers."""
_STATUS: Final = STATUS | {Reason.QUOTA_PASSED: 413, Reason.BUSY: 408, Reason.INFECTED: 403, Reason.UNSCANNED: 408}
"""What each refusal is once a transfer has begun."""
_OPAQUE: Final = re.compile(r"[A-Za-z0-9._~+=@-]{16,64}")
_WARNINGS: Final = {
    # Facts §4.1: handsets know this text.
    Reason.TOO_LARGE: (403, "133 Size exceeded"),
    Reason.QUOTA_PASSED: (403, "no room is left for the subscriber's files"),
    Reason.BUSY: (486, "the file is coming already"),
    Reason.INFECTED: (403, "the virus scanner found something in the thumbnail"),
    Reason.UNSCANNED: (503, "the virus scanner is not done"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferLimits:
    """So many transfers come at a time, to the node and from one device; one of which nothing comes for `idle` seconds
    is ended; none is longer than `max_file` bytes."""

    all: int
    per_device: int
    idle: float
    max_file: int


class TransferDoor:
    """Serves the INVITEs that have a file-selector. Without `contents` none is taken, without `pulls` none is given."""

    def __init__(
        self,
        sessions: Sessions,
        originating: Originating,
        destinations: Destinations,
        holds: Callable[[str], Awaitable[object]],
        contents: Contents | None,
        limits: TransferLimits,
        pulls: PullDoor | None,
        *,
        date_time: Callable[[], str],
    ) -> None:
        self._sessions = sessions
        self._originating = originating
        self._destinations = destinations
        self._holds = holds
        self._contents = contents
        self._limits = limits
        self._pulls = pulls
        self._date_time = date_time
        # By device and name of the upload; None while its INVITE is being looked at.
        self._coming: dict[tuple[Aor, str], dict[str, _Incoming | None]] = {}
        self._incoming: dict[_Incoming, asyncio.Task[None]] = {}

    async def invite(self, inbound: Inbound, caller: Caller, offer: Offer) -> bool:
        """A file is offered; whether it was answered 200. Raises Refused, ParseError."""
        file = offer.file
        contents = self._contents
        if contents is None or file is None:
            return _refused(inbound, 488, "file transfer over MSRP is not offered")
        if offer.media.direction == "recvonly" and self._pulls is not None:
            return await self._pulls.invite(inbound, caller, offer, file)
        if offer.media.direction in ("recvonly", "inactive"):
            return _refused(inbound, 488, "a file that is sent is wanted")
        if not file.size:
            # Room is reserved before the file is accepted, and so its size has to be known.
            return _refused(inbound, 488, "a file-selector with the size of the file is wanted")
        if file.size > self._limits.max_file:
            return _refused(inbound, *_WARNINGS[Reason.TOO_LARGE])
        peer = (await self._destinations.choose(inbound.request.uri)).aor
        described = _described(inbound.request, caller, peer, file)
        device = (caller.aor, caller.instance)
        described = await self._alone(device, described)
        busy = self._reserve(device, described)
        if busy:
            return _refused(inbound, *busy)
        incoming = None
        try:
            incoming = await self._begin(inbound, caller, offer, peer, contents, described)
        finally:
            if incoming is None:
                self._release(device, described)
        return incoming is not None

    async def _alone(self, device: tuple[Aor, str], described: Described) -> Described:
        """What is offered, beside the transfers of the device that there are: the same file may be coming."""
        before = self._coming.get(device, {}).get(described.upload)
        if before is None:
            return described
        if described.resumed or before.transfer == described.transfer:
            # Its old connection is dead; the phone knows that before we do.
            if before.leg is not None:
                self._sessions.end(before.leg, reason="")
            await asyncio.wait([self._incoming[before]])
            return described
        return replace(described, upload=described.transfer)

    def _reserve(self, device: tuple[Aor, str], described: Described) -> tuple[int, str] | None:
        coming = self._coming.get(device, {})
        if sum(map(len, self._coming.values())) >= self._limits.all:
            return 503, "too many files are coming"
        if len(coming) >= self._limits.per_device or described.upload in coming:
            # Facts §4.1: 486 is what clients know for as many sessions as there may be.
            return 486, "as many files of the device are coming as may"
        self._coming.setdefault(device, {})[described.upload] = None
        return None

    def _release(self, device: tuple[Aor, str], described: Described) -> None:
        coming = self._coming[device]
        del coming[described.upload]
        if not coming:
            del self._coming[device]

    async def _begin(
        self, inbound: Inbound, caller: Caller, offer: Offer, peer: Aor, contents: Contents, described: Described
    ) -> _Incoming | None:
        """Answer 200, with all done before that can be refused."""
        try:
            arriving = await contents.receive(described)
        except Refused as refused:
            if refused.reason not in _WARNINGS:
                raise
            _refused(inbound, *_WARNINGS[refused.reason])
            return None
        assert offer.file is not None
        # More may be here than the sender knows: what it sends again is let pass. Where it would begin beyond that, the
        # answer's file-range says what is wanted; who does not heed it sends another number of bytes, and is told so.
        # And who goes on from the first byte does not know how far it was: it is told. A last byte is always wanted,
        # as its answer says that the message is in the mailbox.
        asks = described.resumed and not offer.file.start
        start = min(described.size - 1 if asks else offer.file.start, arriving.received)
        incoming = _Incoming(arriving, described, start)
        try:
            leg = self._leg(inbound, caller, offer, peer, incoming)
            leg.attributes = replace(offer.file, icon="", start=start, stop=None).attributes()
            holds = not inbound.flow.closed and await self._holds(caller.username)
        except BaseException:
            await arriving.close()
            if incoming.leg is not None:
                incoming.leg.media.close()
            raise
        if not holds:
            # The connection went meanwhile, or the device was signed out, and what ends its legs has been.
            leg.media.close()
            await arriving.close()
            _refused(inbound, 403, "the device is gone")
            return None
        self._start(incoming, leg, described)
        self._sessions.answer(inbound, leg, offer)
        return incoming

    def _leg(self, inbound: Inbound, caller: Caller, offer: Offer, peer: Aor, incoming: _Incoming) -> Leg:
        assert offer.file is not None
        leg = self._sessions.prepare(
            inbound,
            (caller.aor, caller.instance),
            peer,
            offer,
            standalone=True,
            receiver=incoming,
            max_size=incoming.size,
            idle=self._limits.idle,
        )
        incoming.leg = leg
        leg.headers, leg.username = riding_headers(inbound.request), caller.username
        leg.accept_types = (offer.file.content_type or "*",)
        return leg

    def _start(self, incoming: _Incoming, leg: Leg, described: Described) -> None:
        leg.on_ended = incoming.end
        self._coming[leg.device][described.upload] = incoming

        async def keep(xml: bytes) -> None:
            try:
                await self._accept(leg, described, xml)
            except Refused as refused:
                # What leads to a file may have gained a thumbnail since its message was accepted: it is that one.
                if refused.reason is not Reason.ID_REUSED or not incoming.arriving.repeated:
                    raise

        async def run() -> None:
            try:
                await incoming.run(leg, keep, self._sessions)
            finally:
                self._release(leg.device, described)
                self._incoming.pop(incoming, None)

        self._incoming[incoming] = asyncio.get_running_loop().create_task(run())

    async def _accept(self, leg: Leg, described: Described, xml: bytes) -> None:
        """The message about a file that has come. Raises Refused."""
        aor, instance = leg.device
        cpim = build(
            from_=ANYBODY,
            to=ANYBODY,
            content_type=CONTENT_TYPE,
            body=xml,
            message_id=described.message_id,
            date_time=self._date_time(),
            disposition_request=REQUESTED,
        )
        submission = Submission(
            sender=aor,
            instance=instance,
            to=leg.peer,
            content_type=CPIM,
            body=cpim,
            headers=leg.headers,
            service="session",
            transaction=described.transfer,
        )
        await self._originating.accept(submission)

    async def close(self) -> None:
        """The node stops: what has come stays, and its senders go on with it later."""
        for incoming in list(self._incoming):
            incoming.end()
        if self._incoming:
            await asyncio.wait(self._incoming.values(), timeout=5)


class _Incoming:
    """One file on its way in: takes its pieces in batches, so that a write is as long as what came during the last.

    The sender begins at byte `start` of `size`, counted from 0.
    """

    def __init__(self, arriving: Arriving, described: Described, start: int) -> None:
        self.arriving = arriving
        self.leg: Leg | None = None
        self.transfer = described.transfer
        self.size = described.size
        self._start = start
        self._base: int | None = None  # where in the file the first byte of the message is
        self._pieces: deque[Piece] = deque()
        self._ready = asyncio.Event()
        self._ended = False
        self._over = False

    # What the session tells.

    def on_piece(self, leg: MsrpLeg, piece: Piece) -> None:
        """See Receiver."""
        if self._over:
            leg.refuse(piece, 403, "One file in a session")
        else:
            self._pieces.append(piece)
            self._ready.set()

    def on_stopped(self, leg: MsrpLeg, message_id: str, status: int) -> None:
        """See Receiver: the file comes no more, or no more of it; what is here stays."""
        self.end()

    def end(self) -> None:
        """Nothing more comes. A file that is complete already is still kept: its sender may not hear of it, and repeats
        the transfer, which is then known."""
        self._ended = True
        self._ready.set()

    # What is done with it.

    async def run(self, leg: Leg, keep: Callable[[bytes], Awaitable[None]], sessions: Sessions) -> None:
        """Write what comes, until it is all there or there comes no more."""
        batch: list[Piece] = []
        status, comment = 408, ""
        try:
            while not self._ended:
                await self._ready.wait()
                self._ready.clear()
                while self._pieces and self._counts(leg):
                    batch = self._next_batch()
                    sessions.used(leg)
                    if await self._write(leg.media, batch, keep):
                        return
        except Refused as refused:
            status, comment = _STATUS.get(refused.reason, 403), refused.detail
        except Exception:  # the loop that owns a transfer: a bug of ours must not leave the peer waiting
            log.exception("a file that came over MSRP could not be kept")
        finally:
            self._over = True
            await self.arriving.close()
        for piece in [*batch, *self._pieces]:
            leg.media.refuse(piece, status, comment)
        self._pieces.clear()
        if self._ended:
            sessions.end(leg, reason="")

    def _counts(self, leg: Leg) -> bool:
        """Whether what came is still to be written: a phone that has hung up may have sent all of it before."""
        return leg.hung_up or not self._ended

    def _next_batch(self) -> list[Piece]:
        batch, size = [self._pieces.popleft()], 0
        while self._pieces and not batch[-1].last and (size := size + len(batch[-1].data)) < BATCH:
            batch.append(self._pieces.popleft())
        return batch

    async def _write(self, media: MsrpLeg, batch: list[Piece], keep: Callable[[bytes], Awaitable[None]]) -> bool:
        """Write some pieces and take them, one by one out of `batch`; whether that was all. Raises Refused."""
        at, parts = self.arriving.received, []
        for piece in batch:
            position = self._position(piece)
            parts.append(piece.data[max(0, at - position) :])
            at += len(parts[-1])
        data = b"".join(parts)
        if data:
            await self.arriving.write(data)
        last = batch[-1].last
        while len(batch) > last:
            media.take(batch.pop(0))
        if last:
            await keep(await self.arriving.finish())
            media.take(batch.pop())
        return last

    def _position(self, piece: Piece) -> int:
        """Where in the file a piece begins. Raises Refused(MALFORMED) for another part than was agreed upon."""
        if self._base is None:
            # RFC 4975 §7.1.1 counts the bytes of the message, which is a part of the file here; some count those of the
            # file. Who sends all of it though a part was offered sends again what is here.
            counts_file = piece.offset == self._start or (not piece.offset and piece.total == self.size)
            if piece.offset and not counts_file:
                raise Refused(Reason.MALFORMED, "begins elsewhere than was offered")
            self._base = 0 if counts_file else self._start
        if piece.total is not None and piece.total + self._base != self.size:
            raise Refused(Reason.MALFORMED, "another number of bytes than was offered")
        return self._base + piece.offset


def _refused(inbound: Inbound, status: int, why: str) -> bool:
    inbound.respond(status, headers=[("Warning", f'399 joyn "{why}"')])
    return False


def _described(request: SipRequest, caller: Caller, peer: Aor, file: FileOffer) -> Described:
    """The file as its sender describes it, and by which names it is known again."""
    assert file.size is not None
    transfer = file.transfer_id or request.call_id
    identity = sha256(f"{caller.aor}\n{peer}\n{transfer}".encode()).hexdigest()
    # Facts §6.1: who goes on does so in a new INVITE, known by what it selects, which is one file only with its hash.
    what = "\n".join(":".join(pair) for pair in file.hashes) or transfer
    selected = f"{caller.aor}\n{caller.instance}\n{peer}\n{what}\n{file.size}\n{file.name}\n{file.content_type}"
    icon, icon_type = _icon(request, file.icon)
    return Described(
        owner=caller.aor,
        upload=f"msrp-{sha256(selected.encode()).hexdigest()}",
        transfer=f"msrp-{identity}",
        # A phone knows the receipts of a file by its file-transfer-id; what may be a counter is made unique.
        message_id=transfer if _OPAQUE.fullmatch(transfer) else identity[:32],
        name=file.name,
        content_type=file.content_type,
        size=file.size,
        hashes=file.hashes,
        disposition=file.disposition,
        resumed=file.ranged,
        thumbnail=icon,
        thumbnail_type=icon_type,
    )


def _icon(request: SipRequest, content_id: str) -> tuple[bytes, str]:
    """The part of an INVITE that a file-icon names (RFC 5547 §6, facts §6.1); nothing when it is not there."""
    content_type = request.header("content-type") or ""
    if not content_id or not content_type.lower().startswith("multipart/"):
        return b"", ""
    for part in flatten(content_type, request.body):
        if part.header("Content-ID").strip().strip("<>") == content_id:
            try:
                return part.decoded_body, part.header("Content-Type")
            except ParseError:
                break
    return b"", ""
