"""Files over MSRP: every session of a phone that brings one, out and in.

Spec: RFC 5547, RFC 3261 §12 to §15; facts §6.1. What is cut is gone on with in a new session, from the byte that the
receiving side names.
"""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from joyn.phone.addresses import sender_of
from joyn.phone.attempts import Attempts, TransferFailed
from joyn.phone.behaviour import Behaviour
from joyn.phone.file_session import FileSession, Paused, Sending, Taking, hash_of
from joyn.phone.inbox import Inbox, remember
from joyn.phone.invite import Inviting, Ringing
from joyn.phone.joining import Setup, chosen_setup, join
from joyn.phone.journal import Journal
from joyn.phone.line import ALLOW, Line, refusal
from joyn.phone.messages import Received, Rejected
from joyn.phone.offers import Invitation, describe, offered_media, with_icon
from joyn.phone.styles import FILE_SESSION
from joyn.phone.uploading import Upload
from joyn.protocol import sdp
from joyn.protocol.errors import ParseError
from joyn.protocol.file_transfer import FileOffer
from joyn.protocol.msrp.setup import connects
from joyn.protocol.sip.dialog import Dialog, DialogId
from joyn.protocol.sip.message import SipRequest
from joyn.transport.msrp import CONNECTION_LOST
from joyn.transport.sip import Inbound

__all__ = ["MAX_FILE", "MAX_TRANSFERS", "FileSessions"]

MAX_TRANSFERS: Final = 100
"""Files that come at a time; one more is answered 486."""
MAX_FILE: Final = 1 << 30
"""Bytes of a file that comes; a larger one is answered 413."""
MAX_DONE: Final = 1000
"""Files that came whole and are known when they come again; the oldest go."""
SHA_1: Final = "sha-1"
"""The hash that every phone knows (RFC 5547 §6)."""
ICON_ID: Final = "image@joyn.com"
"""The Content-ID that joyn phones give the picture of a file."""
CALL_COMPLETED: Final = ("Reason", 'SIP;cause=200;text="Call completed"')
_LATER: Final = frozenset((408, 480, 486, 500, 503, 504))
"""Answers to an INVITE that pass by themselves."""
_PASSING: Final = frozenset((CONNECTION_LOST, 408, 423, 481, 506))
"""MSRP statuses that another session may not meet."""
_WHY: Final = {
    403: "the network forbids it",
    404: "nobody has this number",
    413: "it is too large",
    415: "they take no files of its type",
    488: "they take no files this way",
    603: "they do not want it",
}


class FileSessions:
    """Every file of one phone that goes over MSRP. `directory` is where those that come are kept; without one none is
    taken. `setup` and `secure` are as for chats; `pause` waits for so many seconds."""

    def __init__(
        self,
        behaviour: Behaviour,
        line: Line,
        inbox: Inbox,
        journal: Journal,
        own: str,
        *,
        setup: Setup,
        secure: bool,
        directory: Path | None,
        pause: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._behaviour = behaviour
        self._line = line
        self._inbox = inbox
        self._journal = journal
        self._own = own
        self._setup: Setup = setup
        self._secure = secure
        self._directory = directory
        self._pause = pause
        self._open: set[FileSession] = set()
        self._taking: dict[str, Taking] = {}
        self._done: dict[str, None] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    # Sending.

    async def send(self, uri: str, upload: Upload, disposition: str, *, begun: bool) -> None:
        """Bring a file to somebody, in as many sessions as it takes; `begun` says that there may have been some before.

        Raises TransferFailed, OSError.
        """
        value = await asyncio.to_thread(hash_of, upload.path, SHA_1)
        offer = FileOffer(
            name=upload.name,
            content_type=upload.content_type,
            size=upload.size,
            hashes=((SHA_1, value),),
            transfer_id=upload.tid,
            disposition=disposition or "attachment",
            icon=ICON_ID if upload.thumbnail else "",
        )
        attempts = Attempts(self._pause)
        while True:
            upload.check()
            # With a range we ask how far it is; without one it begins anew.
            offer = replace(offer, start=upload.there, ranged=begun)
            begun = True
            try:
                await self._attempt(uri, upload, offer)
                return
            except TransferFailed as failure:
                await attempts.next(failure, upload.sent)

    async def _attempt(self, uri: str, upload: Upload, offer: FileOffer) -> None:
        """One session. Raises TransferFailed, OSError when the file cannot be read."""
        session = Sending(offer)
        status = 0
        try:
            start = await self._invite(uri, upload, session)
            status = await session.send(upload, uuid.uuid4().hex, start)
        except Rejected as rejected:
            raise _refused(upload.name, rejected) from rejected
        finally:
            if status == 200:
                self._spawn(self._leave(session))  # the network has it: that is told first
            else:
                await self._leave(session)
        if status != 200:
            why = _WHY.get(status, "the session ended")
            raise TransferFailed(f"{upload.name}: {why} ({status})", status=status, again=status in _PASSING)
        upload.on_progress(upload.size, upload.size)

    async def _invite(self, uri: str, upload: Upload, session: Sending) -> int:
        """Open the session; the byte at which the file is to begin. Raises Rejected, Unanswered."""
        await self._listen()
        session.media = self._line.radio.msrp.session(session, tls=self._secure, web=self._line.web)
        self._open.add(session)
        session.on_end = self._open.discard
        answer = await self._call(uri, session, session.offer, "sendonly", upload.thumbnail)
        return await self._joined(session, answer)

    async def _listen(self) -> None:
        """Be there for who connects to a session that is about to be made, if somebody may."""
        if self._setup != "active":
            await self._line.radio.listen_for_media(self._line.host)

    async def _call(
        self, uri: str, session: FileSession, offer: FileOffer, direction: sdp.Direction, icon: bytes = b""
    ) -> bytes:
        """Invite somebody to a session; the description that they answer. Raises Rejected, Unanswered."""
        line = self._line
        session.description = describe(
            session.media, line.host, setup=self._setup, direction=direction, secure=self._secure, file=offer
        )
        content_type, body = sdp.CONTENT_TYPE, session.description
        if offer.icon:
            content_type, body = with_icon(session.description, icon, offer.icon)
        tags = FILE_SESSION.emit()
        headers = [
            ("Contact", f"<{line.contact_uri}>{line.instance};{tags}"),
            ("Accept-Contact", f"*;{tags}"),
            ("Contribution-ID", uuid.uuid4().hex),
            ("Allow", ALLOW),
            ("Content-Type", content_type),
        ]
        inviting = Inviting(line)
        answer = await line.send("INVITE", uri, headers, body, inviting.exchange)
        if answer.status >= 300:
            self._journal.note("rejected", f"INVITE {answer.status}")
            raise refusal(answer)
        session.dialog = inviting.acknowledge()
        return inviting.answer.body

    async def _joined(self, session: FileSession, description: bytes) -> int:
        try:
            answered = offered_media(description)
            if answered is None or not answered[0].path:
                raise ParseError("no MSRP in the answer")
            remote, wanted = answered
            active = connects(self._setup, remote.setup) == "offerer"
            # What the answer does not say is as it was offered.
            start = wanted.start if wanted is not None and wanted.ranged else session.offer.start
            size = session.offer.size or 0
            if start > size:
                raise ParseError("a file-range behind the file's end")
            await join(self._line, session.media, remote, active=active)
        except ParseError as error:
            raise Rejected(488, error.what) from error
        except OSError as error:
            raise Rejected(480, f"the session's connection failed: {error}") from error
        # Who has all of it answers the last byte alone: that the file is accepted is said in an answer.
        return min(start, size - 1)

    # Taking.

    def on_invite(self, inbound: Inbound, invitation: Invitation) -> None:
        """Somebody brings a file."""
        offer = invitation.file
        assert offer is not None
        size = offer.size
        status: str | int | None = self._behaviour.accept_files
        if status is None:
            self._journal.note("ignored", "INVITE")
            return
        if self._directory is None:
            status = 603
        elif invitation.media.direction in ("recvonly", "inactive") or not size:
            status = 488
        elif size > MAX_FILE:
            status = 413
        elif len(self._open) >= MAX_TRANSFERS:
            status = 486
        if isinstance(status, int):
            self._journal.note("answered", f"INVITE {status}")
            inbound.respond(status)
            return
        self._spawn(self._take(inbound, invitation, offer))

    async def _take(self, inbound: Inbound, invitation: Invitation, offer: FileOffer) -> None:
        taking = await self._taker(Paused(sender_of(inbound.request), offer, invitation.icon))
        await self._accept(inbound, invitation, taking)

    async def _taker(self, paused: Paused) -> Taking:
        """Who writes a file, after what is here of it; whoever does so now is stopped."""
        assert self._directory is not None
        offer = paused.offer
        # Whoever sends it may call it as they like: here it has a name of ours, that is the same when they come again.
        what = f"{paused.sender} {offer.transfer_id} {offer.name} {offer.size} {offer.hashes}"
        key = hashlib.sha256(what.encode()).hexdigest()[:32]
        if (older := self._taking.get(key)) is not None:
            await older.stop()
        path = self._directory / key
        part = path.with_suffix(".part")
        known = key in self._done

        def whole(taking: Taking) -> None:
            if not known:
                remember(self._done, key, None, MAX_DONE)
                self._tell(taking)

        def over(session: FileSession) -> None:
            self._open.discard(session)
            if self._taking.get(key) is session:
                del self._taking[key]

        start = offer.start if known else await asyncio.to_thread(_size, part)
        taking = Taking(
            paused,
            path,
            None if known else part,
            start,
            on_whole=whole,
            on_give_up=self._give_up,
            on_progress=lambda offer, here: self._behaviour.on_file_progress(offer, here),
        )
        taking.on_end = over
        self._taking[key] = taking
        self._open.add(taking)
        return taking

    async def _accept(self, inbound: Inbound, invitation: Invitation, taking: Taking) -> None:
        """Answer 200 and join the session."""
        remote, line, offer = invitation.media, self._line, taking.offer
        taking.media = line.radio.msrp.session(
            taking, tls=remote.secure, web=line.web, receiver=taking, max_size=offer.size or 0
        )
        ringing = Ringing(inbound, line, remote)
        setup = chosen_setup(self._setup, taking.media, remote)
        if setup is None or line.flow is None:
            ringing.refuse(488)
            taking.end()
            return
        taking.dialog = Dialog.of_server(inbound.request, ringing.tag)
        answer = replace(offer, start=taking.start, stop=None, ranged=offer.ranged or taking.start > 0, icon="")
        taking.description = describe(
            taking.media, line.host, setup=setup, direction="recvonly", secure=remote.secure, file=answer
        )
        ringing.answer(f"<{line.contact_uri}>{line.instance};{FILE_SESSION.emit()}", taking.description)
        self._journal.note("answered", "INVITE 200")
        try:
            await join(line, taking.media, remote, active=connects(remote.setup, setup) == "answerer")
        except OSError as error:
            self._journal.note("rejected", f"the session's connection failed: {error}")
            await self._leave(taking)

    def _tell(self, taking: Taking) -> None:
        offer = taking.offer
        self._inbox.take(
            Received(
                sender=taking.paused.sender,
                recipient=self._own,
                message_id=offer.transfer_id,
                content_type=offer.content_type or "application/octet-stream",
                body=b"",
                way="msrp",
                path=taking.path,
                offer=offer,
                icon=taking.paused.icon,
            )
        )

    async def pause(self, offer: FileOffer) -> Paused:
        """Hang up on whoever brings this file. Raises LookupError when nobody does."""
        taking = next((one for one in self._taking.values() if one.offer == offer), None)
        if taking is None:
            raise LookupError(f"no file {offer.name} is coming")
        await self._leave(taking)
        await taking.stop()
        return taking.paused

    async def resume(self, uri: str, paused: Paused) -> None:
        """Ask for what is not here of a file; it has begun to come when this returns. Raises Rejected, Unanswered."""
        await self._listen()
        taking, line = await self._taker(paused), self._line
        size = paused.offer.size or 0
        taking.media = line.radio.msrp.session(taking, tls=self._secure, web=line.web, receiver=taking, max_size=size)
        # RFC 5547 §8.1: each transfer has an id of its own, also one of the same file.
        plain = replace(paused.offer, transfer_id=uuid.uuid4().hex, disposition="", icon="")
        asked = replace(plain, start=taking.start, stop=None, ranged=True)
        try:
            await self._joined(taking, await self._call(uri, taking, asked, "recvonly"))
        except BaseException:
            await self._leave(taking)
            raise

    def _give_up(self, taking: Taking, why: str) -> None:
        self._journal.note("ignored", f"file: {why}")
        self._spawn(self._leave(taking))

    # What else comes inside a dialog.

    def on_refresh(self, inbound: Inbound) -> bool:
        """A re-INVITE or UPDATE; whether it is about a file of ours. Raises ParseError."""
        session = self._of(inbound.request)
        if session is None or session.dialog is None:
            return False
        if not session.dialog.receive(inbound.request):
            inbound.respond(500)
        elif inbound.request.method == "UPDATE":
            inbound.respond(200, headers=[("Contact", f"<{self._line.contact_uri}>")])
        else:
            headers = [("Contact", f"<{self._line.contact_uri}>"), ("Content-Type", sdp.CONTENT_TYPE)]
            inbound.respond(200, headers=headers, body=session.description)
        return True

    def on_bye(self, inbound: Inbound) -> bool:
        """The other side ends a session; whether it is one of ours. Raises ParseError."""
        session = self._of(inbound.request)
        if session is None:
            return False
        inbound.respond(200)
        session.dialog = None
        session.end()
        return True

    def _of(self, request: SipRequest) -> FileSession | None:
        wanted = DialogId.of_request(request)
        return next((one for one in self._open if one.dialog is not None and one.dialog.dialog_id == wanted), None)

    # Ending.

    async def _leave(self, session: FileSession) -> None:
        """End a session, and say so."""
        dialog, session.dialog = session.dialog, None
        if session in self._open:
            session.end()
        if dialog is not None and self._line.flow is not None:
            with suppress(Rejected):  # it is over anyway
                await self._line.send_within(dialog, "BYE", [CALL_COMPLETED])

    async def leave_all(self) -> None:
        """End every session, and say so."""
        for session in list(self._open):
            await self._leave(session)

    def drop_all(self) -> None:
        """Forget every session without a word: the connection is gone."""
        for session in list(self._open):
            session.dialog = None
            session.end()

    async def close(self) -> None:
        """Forget everything; what is being written is."""
        taking = list(self._taking.values())
        self.drop_all()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, *(one.stop() for one in taking), return_exceptions=True)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _refused(name: str, rejected: Rejected) -> TransferFailed:
    status = rejected.status
    why = _WHY.get(status, "they cannot be reached now" if status in _LATER else "the network says no")
    return TransferFailed(f"{name}: {why} ({rejected})", status=status, again=status in _LATER)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
