"""Session mode: entries go to a device over the MSRP session of their chat, which is opened when there is none.

Spec: RCC.07 §3.3.4, facts §4.1, §4.7 (large mode), §4.8 (deferred messages and notifications).
Entries of one chat are pipelined in order; what was stored drains in a session of its own, which ends before the live
one begins.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass

from joyn.model.aor import Aor
from joyn.model.binding import Binding
from joyn.model.message import Entry, Kind
from joyn.model.refused import Refused
from joyn.model.tags import CPM_LARGE, CPM_SESSION, SIMPLE_IM, tags_of, takes_sessions, traits_of
from joyn.protocol.cpim import CpimMessage
from joyn.protocol.multipart import Part, build
from joyn.protocol.sip.message import SipRequest
from joyn.services.messaging.calling import Calling
from joyn.services.messaging.delivery import Attempt, Attempts, Outcome, outcome_of
from joyn.services.messaging.identity import IdentityHeaders
from joyn.services.messaging.lane import WINDOW, Lane
from joyn.services.messaging.sessions import Leg, Sessions
from joyn.transport.sip import Endpoint, Flow, LocalResponse

LINGER = 0.5
"""Seconds a session of stored entries stays open after the last was answered."""
NOTIFICATIONS = ""
"""The `peer` of the session that brings stored notifications."""
AFTER_FAILURE = "after one that failed"
"""What the trace says of an entry that was not sent because of another."""
_REFUSED = frozenset((400, 403, 413, 415, 501))


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One entry on its way to one device; `key` is (AOR, instance, peer), `done` becomes its outcome."""

    binding: Binding
    entry: Entry
    deferred: bool
    key: tuple[Aor, str, str]
    lane: Lane
    done: asyncio.Future[Outcome]


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
        self._calling = Calling(endpoint, sessions)
        self._identity = identity
        self._attempts = attempts
        self._flow_of = flow_of
        self._domain = domain
        self._make_boundary = make_boundary
        self._tasks: set[asyncio.Task[None]] = set()
        self._lanes: dict[tuple[Aor, str, str], Lane] = {}

    def begin(self, binding: Binding, entry: Entry, *, deferred: bool) -> Attempt:
        """Send over the chat's leg, opening it first if need be. Pipelined within WINDOW."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Outcome] = loop.create_future()
        room: asyncio.Future[None] = loop.create_future()
        device = (entry.mailbox, binding.instance)
        peer = self.peer_of(entry, deferred)
        key = (*device, peer)
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Lane()
        lane.count += 1
        attempt = _Attempt(binding, entry, deferred, key, lane, done)
        leg = self._sessions.find(device, peer)
        if lane.broken:
            self._end(attempt, AFTER_FAILURE, Outcome.AGAIN)
        elif leg is not None and leg.deferred == deferred and not lane.waiting and lane.free_for(leg):
            self._send(leg, attempt)
        else:
            lane.waiting += 1
            self._spawn(self._deliver(attempt))
        if lane.count < WINDOW:
            room.set_result(None)
        else:
            done.add_done_callback(lambda _done: room.set_result(None))
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

    async def _deliver(self, attempt: _Attempt) -> None:
        """The slow way: wait for those before, end a session of the other sort, invite."""
        lane = attempt.lane
        aor, instance, peer = attempt.key
        device = (aor, instance)
        while True:
            if lane.broken:
                lane.waiting -= 1
                self._end(attempt, AFTER_FAILURE, Outcome.AGAIN)
                return
            leg = self._sessions.find(device, peer)
            # Facts §4.8: what was stored drains, BYE, then what is live; but no Referred-By into a live session.
            other_sort = leg is not None and leg.deferred and not attempt.deferred
            if lane.free_for(None if other_sort else leg):
                break
            await lane.changed()
        lane.waiting -= 1
        if leg is not None and other_sort:
            self._sessions.end(leg)
            leg = None
        if leg is not None:
            self._send(leg, attempt)
            return
        flow = self._flow_of(attempt.binding)
        if flow is None:
            self._end(attempt, "no flow", Outcome.GONE)
            return
        try:
            leg = lane.leg = self._sessions.open(device, peer, flow, deferred=attempt.deferred)
            leg.username = attempt.binding.username
        except Refused as refused:
            self._end(attempt, refused.detail, Outcome.LATER)
            return
        await self._invite(leg, attempt)

    # Over MSRP.

    def _send(self, leg: Leg, attempt: _Attempt) -> None:
        attempt.lane.leg = leg
        leg.in_flight += 1
        self._sessions.used(leg)
        message = attempt.entry.message
        cpim = message.cpim
        if leg.peer == NOTIFICATIONS:
            # Facts §4.8: the one place where the CPIM From says who it really is from.
            cpim = CpimMessage.parse(cpim).with_addresses(f"<{message.sender}>").data
        sent = leg.media.send(f"{message.id:x}", "message/cpim", cpim)

        def answered(future: asyncio.Future[int]) -> None:
            status = future.result()
            if status == 200:
                outcome = Outcome.TAKEN
            elif status in _REFUSED:
                outcome = Outcome.REFUSED
            else:
                outcome = Outcome.AGAIN
                self._sessions.end(leg, reason="")
            self._end(attempt, f"MSRP {status}", outcome)
            self._one_less(leg)

        sent.add_done_callback(answered)

    def _one_less(self, leg: Leg) -> None:
        leg.in_flight -= 1
        if leg.deferred and not leg.in_flight:
            asyncio.get_running_loop().call_later(LINGER, self._close_drained, leg)

    def _close_drained(self, leg: Leg) -> None:
        if not leg.in_flight:
            self._sessions.end(leg)

    def _end(self, attempt: _Attempt, what: str, outcome: Outcome) -> None:
        if attempt.done.done():
            return
        self._attempts.note(attempt.entry, attempt.binding.instance, "session", what)
        attempt.done.set_result(outcome)
        if outcome not in (Outcome.TAKEN, Outcome.REFUSED):
            attempt.lane.broken = True
            attempt.lane.wake()
        # The lane ends after the pump has heard of it, or the next entry would be begun without the failed one.
        asyncio.get_running_loop().call_soon(self._leave, attempt)

    def _leave(self, attempt: _Attempt) -> None:
        lane = attempt.lane
        lane.ended()
        if not lane.count and self._lanes.get(attempt.key) is lane:
            del self._lanes[attempt.key]

    # Opening.

    async def _invite(self, leg: Leg, attempt: _Attempt) -> None:
        """INVITE the device; the first message rides along for SIMPLE IM clients, which show it while they ring."""
        simple = not traits_of(attempt.binding.parameters).cpm_session
        carried = simple and leg.peer != NOTIFICATIONS
        request = self._request(leg, attempt.binding, attempt.entry, carried=carried)
        if carried:
            leg.in_flight += 1
        else:
            self._send(leg, attempt)
        response, rang = await self._calling.ring(leg, request)
        outcome = outcome_of(response.status, local=isinstance(response, LocalResponse) and not rang)
        what = f"INVITE {response.status} {response.reason}".strip()
        if outcome is Outcome.TAKEN:
            if carried:
                self._end(attempt, what, outcome)
            if self._calling.accept(leg, request, response) is None:
                self._sessions.end(leg)
        else:
            # When the chat was taken up another way meanwhile, the device refuses what we have cancelled ourselves.
            self._end(attempt, what, Outcome.AGAIN if leg.closed and response.status == 487 else outcome)
            self._sessions.end(leg, bye=False)
        if carried:
            self._one_less(leg)

    def _request(self, leg: Leg, binding: Binding, entry: Entry, *, carried: bool) -> SipRequest:
        message = entry.message
        tags = tags_of(binding.parameters)
        notifications = leg.peer == NOTIFICATIONS
        sdp = self._sessions.describe(leg, "sendonly" if notifications else "sendrecv")
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
            identity.removesuffix("\r\n"),
            f"To: <{entry.mailbox}>",
            *([f"P-Asserted-Service: {service}"] if service else []),
            *([f"Referred-By: <{message.sender}>"] if leg.deferred and not notifications else []),
            *(message.headers.split("\n") if message.headers else []),
        ]
        return self._calling.request(leg, binding.contact, binding.path, accept, lines, content_type, body)
