"""Files for devices that know file transfer over MSRP alone: the message about a file goes as the file itself.

Spec: RFC 5547 §8.2, RCC.07 §3.5 (facts §6.1). A file has a session of its own beside its chat: its bytes may take
minutes, and what is said meanwhile does not wait for them.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from joyn.model.aor import Aor
from joyn.model.binding import Binding
from joyn.model.message import Entry, EntryKind, Kind
from joyn.model.refused import Refused
from joyn.model.tags import SIMPLE_IM, traits_of
from joyn.protocol.cpim import CpimMessage
from joyn.protocol.errors import ParseError
from joyn.protocol.file_info import CONTENT_TYPE, FileInfo, parse
from joyn.protocol.file_transfer import FileOffer
from joyn.protocol.multipart import Part, build, encode_base64
from joyn.protocol.sip.message import SipRequest
from joyn.services.messaging.calling import Calling
from joyn.services.messaging.contents import Contents, Leaving
from joyn.services.messaging.delivery import Attempt, Attempts, Outcome, outcome_of
from joyn.services.messaging.identity import IdentityHeaders
from joyn.services.messaging.sessions import Leg, Offer, Sessions
from joyn.transport.msrp import ABORTED
from joyn.transport.sip import Endpoint, Flow, LocalResponse

log = logging.getLogger(__name__)
WINDOW: Final = 16
"""Files of one device that its pump has begun; with so many it waits for one to end."""
MAX_REMEMBERED: Final = 10_000
"""Transfers of which is remembered how far they came; the oldest begin anew. In memory: after a restart all do."""
LOOKS: Final = 120
"""Times that a file which is on its way from another operator is looked for, some seconds each; then it is tried again
when the device registers."""
MAX_ICON: Final = 32 << 10
"""Bytes of a thumbnail that goes in an INVITE; larger ones are left out."""
ICON_ID: Final = "thumbnail@joyn"
_REFUSED: Final = frozenset((400, 403, 413, 415, 501))
_OPAQUE: Final = re.compile(r"[A-Za-z0-9._~+=@-]{1,64}")

Key = tuple[Aor, str, int]
"""(AOR, instance, message)."""
Ended = tuple[Outcome, str]
"""How an attempt ended, and what the trace says of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferBounds:
    """So many transfers go out at a time, from the node and to one device; one in which nothing moves for `idle`
    seconds is ended."""

    all: int
    per_device: int
    idle: float


class _Queue:
    """The transfers to one device: `count` are begun, those with a slot are under way."""

    def __init__(self, slots: int) -> None:
        self.count = 0
        self.slots = asyncio.Semaphore(slots)


@dataclass(slots=True, eq=False)
class _Transfer:
    """One file on its way to one device."""

    key: Key
    binding: Binding
    entry: Entry
    done: asyncio.Future[Outcome]
    queue: _Queue
    leg: Leg | None = None
    task: asyncio.Task[None] | None = None


def _infos(transfer: _Transfer) -> tuple[FileInfo, ...]:
    """What the message says of its files. Raises ParseError."""
    return parse(CpimMessage.parse(transfer.entry.message.cpim).decoded_body)


def _file(infos: tuple[FileInfo, ...]) -> FileInfo:
    return next(info for info in infos if info.type == "file")


class Transferring:
    """Brings files over MSRP."""

    def __init__(
        self,
        endpoint: Endpoint,
        sessions: Sessions,
        identity: IdentityHeaders,
        attempts: Attempts,
        flow_of: Callable[[Binding], Flow | None],
        contents: Contents,
        bounds: TransferBounds,
        *,
        make_boundary: Callable[[], str],
    ) -> None:
        self._sessions = sessions
        self._calling = Calling(endpoint, sessions)
        self._identity = identity
        self._attempts = attempts
        self._flow_of = flow_of
        self._contents = contents
        self._bounds = bounds
        self._make_boundary = make_boundary
        self._slots = asyncio.Semaphore(bounds.all)
        self._queues: dict[tuple[Aor, str], _Queue] = {}
        self._under_way: dict[Key, _Transfer] = {}
        self._taken: OrderedDict[Key, int] = OrderedDict()

    def is_for(self, binding: Binding, entry: Entry) -> bool:
        """Whether this entry is a file, and the device one that takes it by MSRP and by no other way."""
        message = entry.message
        return (
            message.content_type == CONTENT_TYPE
            and message.kind is Kind.CHAT
            and entry.kind is EntryKind.INCOMING
            and traits_of(binding.parameters).transfers
        )

    def begin(self, binding: Binding, entry: Entry) -> Attempt:
        """Send the file when its turn has come. What is behind it in the mailbox need not wait."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Outcome] = loop.create_future()
        room: asyncio.Future[None] = loop.create_future()
        device = (entry.mailbox, binding.instance)
        queue = self._queues.get(device)
        if queue is None:
            queue = self._queues[device] = _Queue(self._bounds.per_device)
        queue.count += 1
        key = (*device, entry.message.id)
        transfer = _Transfer(key, binding, entry, done, queue)
        before, self._under_way[key] = self._under_way.get(key), transfer
        transfer.task = loop.create_task(self._run(transfer, before))
        if queue.count < WINDOW:
            room.set_result(None)
        else:
            done.add_done_callback(lambda _done: room.set_result(None))
        return Attempt(done, room, beside=True)

    async def _run(self, transfer: _Transfer, before: _Transfer | None) -> None:
        outcome, what = Outcome.LATER, "the node stops"
        try:
            if before is not None and before.task is not None:
                # The device came back by another flow: what it has of the file is known when that has ended.
                if before.leg is not None:
                    self._sessions.end(before.leg, reason="")
                await asyncio.wait([before.task])
            await self._here(transfer)
            async with transfer.queue.slots, self._slots:
                outcome, what = await self._send(transfer)
        except Refused as refused:
            what = refused.detail
        except Exception:  # the loop that owns a transfer: a bug of ours must not leave the pump waiting
            log.exception("sending a file failed")
            what = "failed here"
        finally:
            self._leave(transfer)
            self._attempts.note(transfer.entry, transfer.binding.instance, "file transfer", what)
            transfer.done.set_result(outcome)

    def _leave(self, transfer: _Transfer) -> None:
        queue, device = transfer.queue, transfer.key[:2]
        queue.count -= 1
        if not queue.count and self._queues.get(device) is queue:
            del self._queues[device]
        if self._under_way.get(transfer.key) is transfer:
            del self._under_way[transfer.key]

    async def _here(self, transfer: _Transfer) -> None:
        """Let a file that is on its way from another operator come first, which holds up no other file."""
        try:
            file = _file(_infos(transfer))
        except ParseError:
            return
        for _ in range(LOOKS):
            if not self._contents.has(file.url) or self._flow_of(transfer.binding) is None:
                return
            if await self._contents.here(file.url):
                return

    async def _send(self, transfer: _Transfer) -> Ended:
        flow = self._flow_of(transfer.binding)
        if flow is None:
            return Outcome.GONE, "no flow"
        try:
            infos = _infos(transfer)
        except ParseError:
            return Outcome.REFUSED, "a message that names no file"
        file = _file(infos)
        if not self._contents.has(file.url):
            # Where another operator's content servers are known, their files come here first (IR.90).
            return Outcome.REFUSED, "a file of another content server"
        leaving = await self._contents.open(file.url)
        if leaving is None:
            return Outcome.REFUSED, "the file's time is over"
        try:
            icon = await self._icon(transfer.binding, infos)
            return await self._invite(transfer, flow, file, leaving, icon)
        finally:
            await leaving.close()

    async def _icon(self, binding: Binding, infos: tuple[FileInfo, ...]) -> Part | None:
        """The thumbnail, for a device that shows it."""
        info = next((info for info in infos if info.type == "thumbnail"), None)
        if info is None or not traits_of(binding.parameters).thumbnails or not self._contents.has(info.url):
            return None
        try:
            leaving = await self._contents.open(info.url)
        except Refused:
            return None  # the file is not held for a picture of it that is not here yet
        if leaving is None:
            return None
        try:
            if leaving.size > MAX_ICON:
                return None
            data = encode_base64(await leaving.read(0, MAX_ICON))
        finally:
            await leaving.close()
        headers = [
            ("Content-Transfer-Encoding", "base64"),
            ("Content-ID", f"<{ICON_ID}>"),
            ("Content-Disposition", "icon"),
        ]
        return Part.make(leaving.content_type, data, headers)

    async def _invite(
        self, transfer: _Transfer, flow: Flow, file: FileInfo, leaving: Leaving, icon: Part | None
    ) -> Ended:
        aor, instance, _ = transfer.key
        message = transfer.entry.message
        try:
            leg = self._sessions.open(
                (aor, instance), message.sender, flow, deferred=False, standalone=True, idle=self._bounds.idle
            )
        except Refused as refused:
            return Outcome.LATER, refused.detail
        transfer.leg, leg.username = leg, transfer.binding.username
        start = self._taken.get(transfer.key, 0)
        offer = FileOffer(
            name=leaving.name,
            content_type=leaving.content_type,
            size=leaving.size,
            hashes=(("sha-1", leaving.sha1),),
            transfer_id=_transfer_id(message.message_id),
            disposition=file.disposition or "attachment",
            icon=ICON_ID if icon is not None else "",
            start=start,
            ranged=start > 0,
        )
        leg.accept_types = (leaving.content_type,)
        leg.attributes = [*offer.attributes(), ("max-size", str(leaving.size))]
        try:
            response, rang = await self._calling.ring(leg, invite := self._request(leg, transfer, icon))
            outcome = outcome_of(response.status, local=isinstance(response, LocalResponse) and not rang)
            if outcome is not Outcome.TAKEN:
                self._sessions.end(leg, bye=False)
                return outcome, f"INVITE {response.status} {response.reason}".strip()
            answer = self._calling.accept(leg, invite, response)
            if answer is None:
                return Outcome.REFUSED, "no session in the answer"
            return await self._pour(transfer, leg, leaving, _start(answer, leaving.size))
        finally:
            self._sessions.end(leg)

    async def _pour(self, transfer: _Transfer, leg: Leg, leaving: Leaving, start: int) -> Ended:
        """The bytes from `start` on. As a message they are counted from their own first one (RFC 4975 §7.1.1)."""

        async def read(offset: int, size: int) -> bytes:
            return await leaving.read(start + offset, size)

        def progress(taken: int) -> None:
            self._sessions.used(leg)
            self._remember(transfer.key, start + taken)

        status = await leg.media.stream(
            f"{transfer.key[2]:x}", leaving.content_type, leaving.size - start, read, progress=progress
        )
        what = f"MSRP {status}"
        if status == 200:
            self._taken.pop(transfer.key, None)
            return Outcome.TAKEN, what
        if status in _REFUSED:
            self._taken.pop(transfer.key, None)
            return Outcome.REFUSED, what
        # Whoever hung up does not want it now. A session that broke goes on at once, from what the device has.
        return Outcome.LATER if leg.hung_up or status == ABORTED else Outcome.AGAIN, what

    def _remember(self, key: Key, taken: int) -> None:
        self._taken[key] = taken
        self._taken.move_to_end(key)
        if len(self._taken) > MAX_REMEMBERED:
            self._taken.popitem(last=False)

    def _request(self, leg: Leg, transfer: _Transfer, icon: Part | None) -> SipRequest:
        message = transfer.entry.message
        content_type, body = "application/sdp", self._sessions.describe(leg, "sendonly")
        if icon is not None:
            content_type, body = build([Part.make(content_type, body), icon], self._make_boundary)
        lines = [
            self._identity.of(message.sender).removesuffix("\r\n"),
            f"To: <{transfer.entry.mailbox}>",
            *(message.headers.split("\n") if message.headers else []),
        ]
        # Facts §6.1: a file is told from a chat by its selector; and no Referred-By, which is for stored chats (§4.8).
        binding = transfer.binding
        return self._calling.request(leg, binding.contact, binding.path, f"*;{SIMPLE_IM}", lines, content_type, body)

    async def close(self) -> None:
        """The node stops: what is under way begins again with its next run."""
        tasks = [transfer.task for transfer in self._under_way.values() if transfer.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _start(answer: Offer, size: int) -> int:
    """Where the device wants the file from: it knows what it has. One that says nothing of a range wants all of it."""
    return min(answer.file.start, size) if answer.file is not None and answer.file.ranged else 0


def _transfer_id(message_id: str) -> str:
    """The message's own id, so that what a device reports of the transfer is found to be about the message."""
    return message_id if _OPAQUE.fullmatch(message_id) else sha256(message_id.encode()).hexdigest()[:32]
