"""Messages too large for a SIP MESSAGE on their way to a peer operator: an MSRP session for each conversation.

Spec: RCC.07 §3.2 (large message mode), IR.90 (facts §4.7, §10: each side anchors MSRP), RFC 4975, RFC 8122.
The signalling goes over the link, through a hub if there is one; the media go to the peer itself.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Final

from joyn.model.aor import Aor
from joyn.model.message import Entry
from joyn.model.peer import mailbox_of
from joyn.model.refused import Refused
from joyn.model.tags import CPM_LARGE, CPM_SESSION
from joyn.protocol.sip.message import SipRequest
from joyn.services.messaging.calling import Calling
from joyn.services.messaging.sessions import Leg, Sessions
from joyn.transport.sip import Endpoint, Flow, LocalResponse

__all__ = ["MESSAGE_LIMIT", "Crossing"]

log = logging.getLogger(__name__)

MESSAGE_LIMIT: Final = 8_000
"""Bytes of a CPIM message that go in a MESSAGE: hubs as they are shipped take requests of some 16,000 over TCP."""
LINGER: Final = 5.0
"""Seconds that a session stays open after its last message was answered."""
_ACCEPT: Final = f'*;+g.3gpp.icsi-ref="{CPM_LARGE.replace(":", "%3A")}"'

Done = Callable[[int, bool, str], None]
"""Told once what a peer answered: the status, whether it was made here, and what it was in words."""


class Crossing:
    """Brings entries over sessions of their own. `identity(sender)` is the lines that say who they are from."""

    def __init__(self, endpoint: Endpoint, sessions: Sessions, *, identity: Callable[[Aor], str]) -> None:
        self._endpoint = endpoint
        self._sessions = sessions
        self._calling = Calling(endpoint, sessions)
        self._identity = identity
        self._tasks: set[asyncio.Task[None]] = set()

    def wanted(self, entry: Entry) -> bool:
        """Whether an entry is too large for a MESSAGE, and there is MSRP to bring it over."""
        return len(entry.message.cpim) > MESSAGE_LIMIT and self._sessions.available(web=False)

    def begin(self, flow: Flow, operator: str, entry: Entry, done: Done) -> None:
        """Bring an entry; of one conversation only one is brought at a time."""
        message = entry.message
        device = (message.sender, mailbox_of(operator))
        leg = self._sessions.find(device, message.conversation)
        if leg is not None and leg.media.bound and leg.flow is flow:
            self._send(leg, entry, done)
            return
        if leg is not None:
            self._sessions.end(leg)
        try:
            leg = self._sessions.open(device, message.conversation, flow, deferred=False)
        except Refused as refused:
            done(480, False, refused.detail)
            return
        self._spawn(self._invite(leg, operator, entry, done))

    async def close(self) -> None:
        """Nothing more is brought."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _invite(self, leg: Leg, operator: str, entry: Entry, done: Done) -> None:
        try:
            request = self._request(leg, operator, entry)
            response, _ = await self._calling.ring(leg, request)
        except Exception:  # the loop that owns an entry: a bug of ours must not hold up its conversation for ever
            log.exception("a session to %s could not be opened", operator)
            self._sessions.end(leg)
            done(480, False, "an error of ours")
            return
        if response.status >= 300:
            self._sessions.end(leg, bye=False)
            done(response.status, isinstance(response, LocalResponse), f"INVITE {response.status} {response.reason}")
        elif self._calling.accept(leg, request, response) is None:
            self._sessions.end(leg)
            done(488, False, "no session in the answer")
        else:
            # It waits there until the session has its connection.
            self._send(leg, entry, done)

    def _send(self, leg: Leg, entry: Entry, done: Done) -> None:
        leg.in_flight += 1
        self._sessions.used(leg)
        sent = leg.media.send(f"{entry.message.id:x}", "message/cpim", entry.message.cpim)

        def answered(future: asyncio.Future[int]) -> None:
            leg.in_flight -= 1
            status = future.result()
            if status == 200:
                asyncio.get_running_loop().call_later(LINGER, self._close_idle, leg)
            else:
                self._sessions.end(leg, reason="")
            # RFC 4975 §10: 408 is no answer and 413 a request to stop; a session that is gone (481, 506) is made anew.
            done(480 if status in (408, 413, 481, 503, 506) else status, False, f"MSRP {status}")

        sent.add_done_callback(answered)

    def _close_idle(self, leg: Leg) -> None:
        if not leg.in_flight and not leg.closed:
            self._sessions.end(leg)

    def _request(self, leg: Leg, operator: str, entry: Entry) -> SipRequest:
        message = entry.message
        uri = f"sip:{message.conversation.removeprefix('tel:')}@{operator};user=phone"
        service = CPM_SESSION if message.service == "session" else CPM_LARGE
        lines = [
            self._identity(message.sender).removesuffix("\r\n"),
            f"To: <{uri}>",
            f"P-Asserted-Service: {service}",
            *(message.headers.split("\n") if message.headers else []),
        ]
        sdp = self._sessions.describe(leg)
        return self._calling.request(leg, uri, "", _ACCEPT, lines, "application/sdp", sdp)
