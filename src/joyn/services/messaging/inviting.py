"""Session mode: entries go to a device over the MSRP session of their chat, which is opened when there is none.

Spec: RCC.07 §3.3.4, facts §4.1, §4.7 (large mode), §4.8 (deferred messages and notifications).
Entries of one chat are pipelined in order; what was stored drains in a session of its own, which ends before the live
one begins.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

from joyn.model.binding import Binding
from joyn.model.message import Entry, Kind
from joyn.model.tags import CPM_LARGE, CPM_SESSION, SIMPLE_IM, tags_of, takes_sessions
from joyn.protocol.cpim import CpimMessage
from joyn.protocol.errors import ParseError
from joyn.protocol.msrp.setup import connects, parse_setup
from joyn.protocol.multipart import Part, build
from joyn.protocol.sip.dialog import Dialog
from joyn.protocol.sip.message import SipRequest, SipResponse
from joyn.protocol.sip.transaction import build_cancel
from joyn.services.messaging.delivery import Attempt, Attempts, Outcome, outcome_of
from joyn.services.messaging.identity import IdentityHeaders
from joyn.services.messaging.sessions import Leg, Offer, Sessions
from joyn.transport.sip import Endpoint, Flow, LocalResponse

WINDOW = 16
"""Entries in flight to one leg; MSRP answers each (RFC 4975 §7.1)."""
LINGER = 0.5
"""Seconds a session of stored entries stays open after the last was answered."""
NOTIFICATIONS = ""
"""The `peer` of the session that brings stored notifications."""
_REFUSED = frozenset((400, 403, 413, 415, 501))


class Inviting:
    """Brings entries over MSRP."""

    def __init__(
        self,
        endpoint: Endpoint,
        sessions: Sessions,
        identity: IdentityHeaders,
        attempts: Attempts,
        flow_of: Callable[[Binding], Flow | None],
        *,
        domain: str,
        make_boundary: Callable[[], str],
    ) -> None:
        self._endpoint = endpoint
        self._sessions = sessions
        self._identity = identity
        self._attempts = attempts
        self._flow_of = flow_of
        self._domain = domain
        self._make_boundary = make_boundary
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, binding: Binding, entry: Entry, *, deferred: bool) -> Attempt:
        """Send over the chat's leg, opening it first if need be. Pipelined within WINDOW."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Outcome] = loop.create_future()
        room: asyncio.Future[None] = loop.create_future()
        leg = self._sessions.find((entry.mailbox, binding.instance), self.peer_of(entry, deferred))
        if leg is not None and leg.deferred == deferred and leg.in_flight < WINDOW and (leg.media.bound or leg.dialog):
            self._send(leg, binding, entry, done)
            room.set_result(None)
        else:
            self._spawn(self._deliver(binding, entry, deferred, done, room))
        return Attempt(done, room)

    @staticmethod
    def peer_of(entry: Entry, deferred: bool) -> str:
        """Which chat an entry belongs to."""
        if deferred and entry.message.kind is Kind.RECEIPT:
            return NOTIFICATIONS
        return entry.message.sender

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver(
        self, binding: Binding, entry: Entry, deferred: bool, done: asyncio.Future[Outcome], room: asyncio.Future[None]
    ) -> None:
        """The slow way: wait for room, end a session of the other sort, invite."""
        try:
            flow = self._flow_of(binding)
            if flow is None:
                self._end(done, binding, entry, "no flow", Outcome.GONE)
                return
            device = (entry.mailbox, binding.instance)
            peer = self.peer_of(entry, deferred)
            leg = self._sessions.find(device, peer)
            if leg is not None and leg.deferred != deferred:
                if leg.deferred:
                    # Facts §4.8: what was stored drains, BYE, then what is live.
                    await self._drained(leg)
                    self._sessions.end(leg)
                    leg = None
                else:
                    deferred = False  # the original session is there after all: no Referred-By
            while leg is not None and not leg.closed and leg.in_flight >= WINDOW:
                await leg.changed()
            if leg is None or leg.closed:
                leg = self._sessions.open(device, peer, flow, deferred=deferred)
                await self._invite(leg, binding, entry, done, room)
            else:
                self._send(leg, binding, entry, done)
        finally:
            if not room.done():
                room.set_result(None)

    async def _drained(self, leg: Leg) -> None:
        while leg.in_flight and not leg.closed:
            await leg.changed()

    # Over MSRP.

    def _send(self, leg: Leg, binding: Binding, entry: Entry, done: asyncio.Future[Outcome]) -> None:
        leg.in_flight += 1
        message = entry.message
        cpim = message.cpim
        if leg.peer == NOTIFICATIONS:
            # Facts §4.8: the one place where the CPIM From says who it really is from.
            cpim = CpimMessage.parse(cpim).with_addresses(f"<{message.sender}>").data
        sent = leg.media.send(f"{message.id:x}", "message/cpim", cpim)

        def answered(future: asyncio.Future[int]) -> None:
            leg.ended_one()
            status = future.result()
            if status == 200:
                outcome = Outcome.TAKEN
            elif status in _REFUSED:
                outcome = Outcome.REFUSED
            else:
                outcome = Outcome.AGAIN
                self._sessions.end(leg, reason="")
            self._end(done, binding, entry, f"MSRP {status}", outcome)
            if leg.deferred and not leg.in_flight:
                asyncio.get_running_loop().call_later(LINGER, self._close_drained, leg)

        sent.add_done_callback(answered)

    def _close_drained(self, leg: Leg) -> None:
        if not leg.in_flight:
            self._sessions.end(leg)

    def _end(self, done: asyncio.Future[Outcome], binding: Binding, entry: Entry, what: str, outcome: Outcome) -> None:
        if not done.done():
            self._attempts.note(entry, binding.instance, "session", what)
            done.set_result(outcome)

    # Opening.

    async def _invite(
        self,
        leg: Leg,
        binding: Binding,
        entry: Entry,
        done: asyncio.Future[Outcome],
        room: asyncio.Future[None],
    ) -> None:
        """INVITE the device; the first message rides along for SIMPLE IM clients, which show it while they ring."""
        tags = tags_of(binding.parameters)
        simple = CPM_SESSION not in tags.icsi
        carried = simple and leg.peer != NOTIFICATIONS
        request = self._request(leg, binding, entry, carried=carried)
        if not carried:
            self._send(leg, binding, entry, done)
        else:
            leg.in_flight += 1
        # The next entry need not wait until the device has answered: a user may let it ring for long.
        room.set_result(None)
        response, rang = await self._ring(leg.flow, request)
        if carried:
            leg.ended_one()
        outcome = outcome_of(response.status, local=isinstance(response, LocalResponse) and not rang)
        what = f"INVITE {response.status} {response.reason}".strip()
        if outcome is not Outcome.TAKEN:
            self._end(done, binding, entry, what, outcome)
            self._sessions.end(leg, bye=False)
            return
        if carried:
            self._end(done, binding, entry, what, Outcome.TAKEN)
        if not self._accept(leg, request, response):
            self._sessions.end(leg)
        elif leg.deferred and not leg.in_flight:
            asyncio.get_running_loop().call_later(LINGER, self._close_drained, leg)

    async def _ring(self, flow: Flow, invite: SipRequest) -> tuple[SipResponse, bool]:
        """The final response to an INVITE, and whether the device rang before: then it is there, whatever comes."""
        answered: asyncio.Future[SipResponse] = asyncio.get_running_loop().create_future()
        rang = False

        def on_response(response: SipResponse) -> None:
            nonlocal rang
            if response.status < 200:
                rang = True
            elif not answered.done():
                answered.set_result(response)

        self._endpoint.send_request(flow, invite, on_response)
        response = await answered
        if rang and isinstance(response, LocalResponse):
            # RFC 3261 §16.8: it has rung for as long as timer C allows.
            self._endpoint.send_request(flow, build_cancel(invite), lambda _response: None)
        return response, rang

    def _accept(self, leg: Leg, invite: SipRequest, response: SipResponse) -> bool:
        """Take the device's 200: False when there is no session to be had with it."""
        try:
            dialog = Dialog.of_client(invite, response)
            self._endpoint.acknowledge(invite, dialog.request("ACK", [("Via", self._sessions.via(leg.flow))]))
            offer = Offer.parse(response.body)
        except ParseError:
            return False
        if leg.closed:
            # It was ended while the device rang: RFC 3261 §15 wants a BYE now.
            self._sessions.hang_up(leg.flow, dialog)
            return True
        self._sessions.confirm(leg, dialog)
        if offer is None:
            return False
        self._sessions.join(leg, offer.media, connects(parse_setup("actpass"), offer.media.setup) == "offerer")
        return True

    def _request(self, leg: Leg, binding: Binding, entry: Entry, *, carried: bool) -> SipRequest:
        message = entry.message
        tags = tags_of(binding.parameters)
        notifications = leg.peer == NOTIFICATIONS
        sdp = self._sessions.describe(leg.media, "sendonly" if notifications else "sendrecv")
        content_type, body = "application/sdp", sdp
        if carried:
            parts = [Part.make("application/sdp", sdp), Part.make("message/cpim", message.cpim)]
            content_type, body = build(parts, self._make_boundary)
        service = CPM_SESSION if CPM_SESSION in tags.icsi else ""
        if not takes_sessions(tags):
            service = CPM_LARGE
        accept = f'*;+g.3gpp.icsi-ref="{service.replace(":", "%3A")}"' if service else f"*;{SIMPLE_IM}"
        if notifications:
            # Facts §4.8: this identity makes it a session of stored notifications.
            source = f"sip:rcse-standfw@{self._domain}"
            identity = f"From: <{source}>;tag={self._endpoint.make_tag()}\r\nP-Asserted-Identity: <{source}>\r\n"
        else:
            identity = self._identity.of(message.sender)
        lines = [
            f"INVITE {binding.contact} SIP/2.0",
            f"Via: {self._sessions.via(leg.flow)}",
            "Max-Forwards: 70",
            *([f"Route: {binding.path}"] if binding.path else []),
            identity.removesuffix("\r\n"),
            f"To: <{entry.mailbox}>",
            f"Call-ID: {self._endpoint.make_call_id()}",
            "CSeq: 1 INVITE",
            f"Contact: {self._sessions.contact(leg.flow, accept[2:])}",
            f"Accept-Contact: {accept}",
            *([f"P-Asserted-Service: {service}"] if service else []),
            *([f"Referred-By: <{message.sender}>"] if leg.deferred and not notifications else []),
            *(message.headers.split("\n") if message.headers else []),
            "Allow: INVITE, ACK, BYE, CANCEL, UPDATE, MESSAGE, OPTIONS",
            f"Content-Type: {content_type}",
            f"Content-Length: {len(body)}",
        ]
        return SipRequest("\r\n".join(lines), body, "INVITE", binding.contact)
