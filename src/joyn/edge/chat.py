"""The door for chat sessions: INVITE, and what follows inside the dialog. Files have a door behind it (transfers).

Spec: RCC.07 §3.3 (facts §4.1, §4.2), RFC 3261 §13 to §15, RFC 3311, RFC 4028.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from joyn.edge.sip import Caller, riding_headers
from joyn.edge.transfers import TransferDoor
from joyn.model.tags import CPM_LARGE
from joyn.protocol.multipart import flatten
from joyn.protocol.sip.feature_tags import FeatureTags
from joyn.protocol.sip.message import SipRequest
from joyn.services.messaging.destination import Destinations
from joyn.services.messaging.originating import CPIM, Originating, Submission
from joyn.services.messaging.sessions import Offer, Sessions, session_timer
from joyn.transport.sip import Flow, Inbound

MAX_UNACKNOWLEDGED = 10_000
"""Answered INVITEs whose ACK is waited for; beyond that the oldest is repeated until its transaction gives up."""


class ChatDoor:
    """Serves INVITE, ACK, BYE, CANCEL and UPDATE."""

    def __init__(
        self,
        caller: Callable[[Inbound], Awaitable[Caller]],
        sessions: Sessions,
        originating: Originating,
        destinations: Destinations,
        transfers: TransferDoor,
        holds: Callable[[str], Awaitable[object]],
    ) -> None:
        self._caller = caller
        self._holds = holds
        self._sessions = sessions
        self._originating = originating
        self._destinations = destinations
        self._transfers = transfers
        self._unacknowledged = Unacknowledged()

    async def invite(self, inbound: Inbound) -> None:
        """A chat is opened, or refreshed."""
        request = inbound.request
        caller = await self._caller(inbound)
        if ";tag=" in (request.header("to") or ""):
            self._refresh(inbound, caller)
            return
        sdp, first = parts(request)
        offer = Offer.parse(sdp) if sdp is not None else None
        if offer is None:
            inbound.respond(488, headers=[("Warning", '304 joyn "an m=message over MSRP is wanted"')])
            return
        if offer.file is not None:
            if await self._transfers.invite(inbound, caller, offer):
                self._unacknowledged.add(inbound)
            return
        peer = (await self._destinations.choose(request.uri)).aor
        headers = riding_headers(request)
        service = service_of(request)
        device = (caller.aor, caller.instance)
        leg = self._sessions.prepare(inbound, device, peer, offer, standalone=service == "large")
        leg.headers, leg.username = headers, caller.username
        # What is accepted with the first message cannot be taken back: the INVITE is refused before it, or not at all.
        try:
            await self._first_message(request, caller, first, headers, service)
        except BaseException:
            leg.media.close()
            raise
        if inbound.flow.closed or not await self._holds(caller.username):
            # The connection went meanwhile, or the device was signed out, and what ends its legs has been.
            leg.media.close()
            inbound.respond(403)
            return
        self._sessions.answer(inbound, leg, offer)
        self._unacknowledged.add(inbound)

    async def _first_message(
        self, request: SipRequest, caller: Caller, first: bytes | None, headers: str, service: str
    ) -> None:
        content_type, body = CPIM, first
        subject = request.header("subject")
        if body is None and subject:
            # Facts §4.1: RCS-e carried the first message as Subject.
            content_type, body = "text/plain;charset=UTF-8", subject.encode("utf-8", "surrogateescape")
        if body is None:
            return
        submission = Submission(
            sender=caller.aor,
            instance=caller.instance,
            to=request.uri,
            content_type=content_type,
            body=body,
            headers=headers,
            service=service,
            transaction=f"{request.call_id} {request.header('cseq')} {request.header('from')}",
        )
        await self._originating.accept(submission)

    def _refresh(self, inbound: Inbound, caller: Caller) -> None:
        """re-INVITE or UPDATE: the session stays as it is (RFC 4028 refresh)."""
        leg = self._sessions.of_dialog(inbound.request)
        if leg is None or leg.dialog is None or leg.device[0] != caller.aor:
            inbound.respond(481)
            return
        if not leg.dialog.receive(inbound.request):
            inbound.respond(500)
            return
        headers = [("Contact", self._sessions.contact(inbound.flow)), *session_timer(inbound.request)]
        body = leg.sdp if inbound.request.method == "INVITE" or inbound.request.body else b""
        if body:
            headers.append(("Content-Type", "application/sdp"))
        inbound.respond(200, headers=headers, body=body)
        if inbound.request.method == "INVITE":
            self._unacknowledged.add(inbound)

    async def update(self, inbound: Inbound) -> None:
        """RFC 3311, used to refresh."""
        self._refresh(inbound, await self._caller(inbound))

    async def bye(self, inbound: Inbound) -> None:
        """The device ends its chat: only its own leg goes, what is still due comes another way."""
        caller = await self._caller(inbound)
        leg = self._sessions.of_dialog(inbound.request)
        if leg is None or leg.device[0] != caller.aor:
            inbound.respond(481)
            return
        inbound.respond(200)
        self._sessions.end(leg, bye=False)

    async def cancel(self, inbound: Inbound) -> None:
        """RFC 3261 §9.2: chats are answered at once, so a CANCEL always comes too late, which is no error."""
        inbound.respond(200 if inbound.cancels_known() else 481)

    def acknowledge(self, request: SipRequest, flow: Flow) -> None:
        """The ACK of a 200: it need not be repeated any more."""
        self._unacknowledged.acknowledge(request, flow)


class Unacknowledged:
    """INVITEs that were answered 200 and whose ACK has not come (RFC 3261 §13.3.1.4)."""

    def __init__(self) -> None:
        self._inbounds: dict[str, Inbound] = {}

    def add(self, inbound: Inbound) -> None:
        """It was answered."""
        if len(self._inbounds) >= MAX_UNACKNOWLEDGED:
            self._inbounds.pop(next(iter(self._inbounds)))
        self._inbounds[f"{inbound.request.call_id} {inbound.request.cseq[0]}"] = inbound

    def acknowledge(self, request: SipRequest, _flow: Flow) -> None:
        """The ACK has come."""
        inbound = self._inbounds.pop(f"{request.call_id} {request.cseq[0]}", None)
        if inbound is not None:
            inbound.acknowledged()


def parts(request: SipRequest) -> tuple[bytes | None, bytes | None]:
    """The session description and the first message of an INVITE. Raises ParseError."""
    content_type = request.header("content-type") or ""
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/sdp":
        return request.body, None
    if not kind.startswith("multipart/"):
        return None, None
    sdp = first = None
    for part in flatten(content_type, request.body):
        if part.content_type == "application/sdp" and sdp is None:
            sdp = part.decoded_body
        elif part.content_type == CPIM and first is None:
            first = part.decoded_body
    return sdp, first


def service_of(request: SipRequest) -> str:
    """`large` for CPM's large-message mode, else `session` (facts §4.7)."""
    value = request.header("accept-contact")
    return "large" if value and CPM_LARGE in FeatureTags.parse_accept_contact(value) else "session"
