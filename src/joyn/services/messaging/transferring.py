"""Files for devices that know file transfer over MSRP alone: the message about a file goes as the file itself.

Spec: RFC 5547 §8.2, RCC.07 §3.5 (facts §6.1). A file has a session of its own beside its chat: its bytes may take
minutes, and what is said meanwhile does not wait for them.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from joyn.model.binding import Binding
from joyn.model.message import Entry, EntryKind, Kind
from joyn.model.refused import Refused
from joyn.model.tags import SIMPLE_IM, traits_of
from joyn.protocol.errors import ParseError
from joyn.protocol.file_info import CONTENT_TYPE, FileInfo
from joyn.protocol.file_transfer import FileOffer
from joyn.protocol.multipart import Part, build, encode_base64
from joyn.protocol.sip.message import SipRequest
from joyn.services.messaging.calling import Calling
from joyn.services.messaging.contents import Contents, Leaving
from joyn.services.messaging.delivery import Attempt, Attempts, Outcome, outcome_of
from joyn.services.messaging.identity import IdentityHeaders
from joyn.services.messaging.pouring import WINDOW, Ended, Pouring, Transfer, file_of, infos_of
from joyn.services.messaging.sessions import Leg, Offer, Sessions
from joyn.transport.sip import Endpoint, Flow, LocalResponse

__all__ = ["LOOKS", "MAX_ICON", "Transferring"]

log = logging.getLogger(__name__)
LOOKS: Final = 120
"""Times that a file which is on its way from another operator is looked for, some seconds each; then it is tried again
when the device registers."""
MAX_ICON: Final = 32 << 10
"""Bytes of a thumbnail that goes in an INVITE; larger ones are left out."""
ICON_ID: Final = "thumbnail@joyn"
_OPAQUE: Final = re.compile(r"[A-Za-z0-9._~+=@-]{1,64}")


@dataclass(frozen=True, slots=True, eq=False)
class _Push:
    """One file that is brought to one device."""

    transfer: Transfer
    binding: Binding
    entry: Entry


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
        pouring: Pouring,
        *,
        make_boundary: Callable[[], str],
    ) -> None:
        self._sessions = sessions
        self._calling = Calling(endpoint, sessions)
        self._identity = identity
        self._attempts = attempts
        self._flow_of = flow_of
        self._contents = contents
        self._pouring = pouring
        self._make_boundary = make_boundary

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
        room: asyncio.Future[None] = loop.create_future()
        transfer = self._pouring.enter((entry.mailbox, binding.instance, entry.message.id))
        push = _Push(transfer, binding, entry)
        transfer.task = loop.create_task(self._run(push))
        transfer.task.add_done_callback(lambda task: self._over(push, task))
        if transfer.queue.count < WINDOW:
            room.set_result(None)
        else:
            transfer.done.add_done_callback(lambda _done: room.set_result(None))
        return Attempt(transfer.done, room, beside=True)

    async def _run(self, push: _Push) -> Ended:
        try:
            earlier = await self._pouring.after(push.transfer)
            if earlier is not None:
                return earlier, "brought another way"
            await self._here(push)
            await self._pouring.turn(push.transfer)
            return await self._send(push)
        except Refused as refused:
            return Outcome.LATER, refused.detail
        except Exception:  # the loop that owns a transfer: a bug of ours must not leave the pump waiting
            log.exception("sending a file failed")
            return Outcome.LATER, "failed here"

    def _over(self, push: _Push, task: asyncio.Task[Ended]) -> None:
        transfer = push.transfer
        outcome, what = (Outcome.LATER, "the node stops") if task.cancelled() else task.result()
        if transfer.heir is not None and outcome is not Outcome.TAKEN:
            outcome, what = Outcome.LATER, "the device asks for it itself"
        if outcome in (Outcome.TAKEN, Outcome.REFUSED):
            self._pouring.offers.forget(transfer.key)
        self._attempts.note(push.entry, push.binding.instance, "file transfer", what)
        self._pouring.leave(transfer, outcome)

    async def _here(self, push: _Push) -> None:
        """Let a file that is on its way from another operator come first, which holds up no other file."""
        try:
            file = file_of(infos_of(push.entry))
        except ParseError:
            return
        for _ in range(LOOKS):
            if not self._contents.has(file.url) or self._flow_of(push.binding) is None:
                return
            if await self._contents.here(file.url):
                return

    async def _send(self, push: _Push) -> Ended:
        flow = self._flow_of(push.binding)
        if flow is None:
            return Outcome.GONE, "no flow"
        try:
            infos = infos_of(push.entry)
        except ParseError:
            return Outcome.REFUSED, "a message that names no file"
        file = file_of(infos)
        if not self._contents.has(file.url):
            # Where another operator's content servers are known, their files come here first (IR.90).
            return Outcome.REFUSED, "a file of another content server"
        leaving = await self._contents.open(file.url)
        if leaving is None:
            return Outcome.REFUSED, "the file's time is over"
        try:
            icon = await self._icon(push.binding, infos)
            return await self._invite(push, flow, file, leaving, icon)
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

    async def _invite(self, push: _Push, flow: Flow, file: FileInfo, leaving: Leaving, icon: Part | None) -> Ended:
        transfer = push.transfer
        aor, instance, _ = transfer.key
        message = push.entry.message
        try:
            leg = self._sessions.open(
                (aor, instance), message.sender, flow, deferred=False, standalone=True, idle=self._pouring.bounds.idle
            )
        except Refused as refused:
            return Outcome.LATER, refused.detail
        transfer.leg, leg.username = leg, push.binding.username
        start = self._pouring.offers.note(push.entry, instance, leaving.sha1, leaving.size).taken
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
            response, rang = await self._calling.ring(leg, invite := self._request(leg, push, icon))
            outcome = outcome_of(response.status, local=isinstance(response, LocalResponse) and not rang)
            if outcome is not Outcome.TAKEN:
                if leg.closed and response.status == 487:
                    outcome = Outcome.AGAIN  # we have cancelled it ourselves: it says nothing of what the device wants
                self._sessions.end(leg, bye=False)
                return outcome, f"INVITE {response.status} {response.reason}".strip()
            answer = self._calling.accept(leg, invite, response)
            if answer is None:
                return Outcome.REFUSED, "no session in the answer"
            start = _start(answer, leaving.size)
            return await self._pouring.pour(transfer, leg, leaving, start, leaving.size)
        finally:
            self._sessions.end(leg)

    def _request(self, leg: Leg, push: _Push, icon: Part | None) -> SipRequest:
        message = push.entry.message
        content_type, body = "application/sdp", self._sessions.describe(leg, "sendonly")
        if icon is not None:
            content_type, body = build([Part.make(content_type, body), icon], self._make_boundary)
        lines = [
            self._identity.of(message.sender).removesuffix("\r\n"),
            f"To: <{push.entry.mailbox}>",
            *(message.headers.split("\n") if message.headers else []),
        ]
        # Facts §6.1: a file is told from a chat by its selector; and no Referred-By, which is for stored chats (§4.8).
        binding = push.binding
        return self._calling.request(leg, binding.contact, binding.path, f"*;{SIMPLE_IM}", lines, content_type, body)


def _start(answer: Offer, size: int) -> int:
    """Where the device wants the file from: it knows what it has. One that says nothing of a range wants all of it."""
    return min(answer.file.start, size) if answer.file is not None and answer.file.ranged else 0


def _transfer_id(message_id: str) -> str:
    """The message's own id, so that what a device reports of the transfer is found to be about the message."""
    return message_id if _OPAQUE.fullmatch(message_id) else sha256(message_id.encode()).hexdigest()[:32]
