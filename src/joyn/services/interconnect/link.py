"""The way to one peer operator: a few connections over mutual TLS, made again with back-off when they go.

Spec: RFC 3261 §18, RFC 3263 §4.3 (the next address when one fails), RFC 5626 §4.5 (back-off), RFC 3261 §21.5.4 (503).
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from joyn import telemetry
from joyn.model.peer import Peer
from joyn.protocol.sip.message import SipRequest, SipResponse
from joyn.protocol.sip.transaction import Key
from joyn.services.interconnect.outcome import Answer, Outcome, outcome_of
from joyn.transport.sip import Endpoint, Flow, LocalResponse

__all__ = ["Link"]

BACK_OFF: Final = 0.5
"""Seconds before a connection that failed is tried again; twice that each further time, with jitter."""
LONGEST_BACK_OFF: Final = 60.0
"""Seconds at most."""
PROBE_EVERY: Final = 20.0
"""Seconds between two looks whether a connection still leads to somebody."""
UNANSWERED: Final = "connections to it end before it answers anything: perhaps it has not accepted our file"
"""What is known of a peer that lets nobody in."""
LONGEST_RETRY_AFTER: Final = 300.0
"""Seconds that a peer may ask to be left alone for at a time."""

log = logging.getLogger(__name__)


class Link:
    """All connections to one peer.

    `context()` is what a connection is secured with, `resolve(peer)` says where it is reached, best first.
    `believed(flow)` says whether a connection is still with that peer, by the certificate it has shown. `on_change` is
    called when the link has become usable, or has ceased to be.
    """

    def __init__(
        self,
        peer: Peer,
        endpoint: Endpoint,
        *,
        context: Callable[[], ssl.SSLContext],
        resolve: Callable[[Peer], Awaitable[Sequence[tuple[str, int]]]],
        believed: Callable[[Flow], bool],
        connections: int,
        random: Callable[[], float],
        on_change: Callable[[], None],
    ) -> None:
        self.peer = peer
        self._endpoint = endpoint
        self._context = context
        self._resolve = resolve
        self._believed = believed
        self._connections = connections
        self._random = random
        self._on_change = on_change
        self._flows: dict[Flow, asyncio.Event] = {}  # with what is set when it has ended, or is to be looked at
        self._turn = itertools.count()
        self._resting: asyncio.TimerHandle | None = None
        self._resumed = asyncio.Event()
        self._heard = asyncio.Event()
        self._in_vain = 0
        if not peer.paused:
            self._resumed.set()
        self._keepers = [asyncio.get_running_loop().create_task(self._keep()) for _ in range(connections)]
        self.last_error = ""

    @property
    def ready(self) -> bool:
        """Whether something can be sent now."""
        return bool(self._open()) and self._resting is None and not self.peer.paused

    @property
    def connected(self) -> int:
        """How many connections stand."""
        return len(self._flows)

    def flow(self) -> Flow | None:
        """The connection whose turn it is; None when there is none to be used."""
        standing = self._open()
        usable = standing and self._resting is None and not self.peer.paused
        return standing[next(self._turn) % len(standing)] if usable else None

    def _open(self) -> list[Flow]:
        # What was under way on a connection that has ended is answered before we hear that it has.
        return [flow for flow in self._flows if not flow.closed]

    def send(self, flow: Flow, request: SipRequest, key: Key, answer: Callable[[Answer], None]) -> None:
        """Send a request; `answer` gets what came of it, once."""

        def on_response(response: SipResponse) -> None:
            if response.status >= 200:
                answer(self.judge(flow, response))

        self._endpoint.send_request(flow, request, on_response, key)

    async def ask(self, request: Callable[[Flow], SipRequest]) -> SipResponse | None:
        """Send a request of somebody's and wait for its final response; None when there is no way."""
        flow = self.flow()
        if flow is None:
            return None
        response = await self._endpoint.request(flow, request(flow))
        self.judge(flow, response)
        return response

    def judge(self, flow: Flow, response: SipResponse) -> Answer:
        """What a final response says, of the request and of the link."""
        if response.status == 503 and not isinstance(response, LocalResponse):
            self._rest(_retry_after(response))
        return self.judge_status(flow, response.status, isinstance(response, LocalResponse), response.reason)

    def judge_status(self, flow: Flow, status: int, local: bool, words: str) -> Answer:
        """The same of a status; `local` when it was made here."""
        outcome = outcome_of(status, local=local)
        if local and status == 408:
            # It may be this request alone that is not answered: whether anybody is there shows the probe.
            outcome = Outcome.LATER
            if flow in self._flows:
                self._flows[flow].set()
        reason = f"{'no answer' if local else status} {words}".strip()
        if outcome is not Outcome.TAKEN:
            self.last_error = reason
        return Answer(outcome=outcome, reason=reason, status=0 if local else status)

    def update(self, peer: Peer) -> None:
        """Other things were agreed with the peer: connections stay, new ones are made by the new word."""
        stays = peer.addresses == self.peer.addresses and not peer.paused
        self.peer = peer
        if peer.paused:
            self._resumed.clear()
        else:
            self._resumed.set()
        for flow in list(self._flows):
            if not stays or not self._believed(flow):
                flow.close()
        self._on_change()

    def heard(self) -> None:
        """The peer has sent something over a connection of its own: it is there, and so no longer waited for."""
        if len(self._flows) < self._connections:
            self._heard.set()

    def lost(self, flow: Flow) -> None:
        """A connection has ended."""
        ended = self._flows.pop(flow, None)
        if ended is not None:
            ended.set()
            telemetry.event("peer.disconnected", peer=self.peer.domain)
            self._on_change()

    async def close(self) -> None:
        """Give the connections back."""
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        if self._resting is not None:
            self._resting.cancel()
        for flow in list(self._flows):
            flow.close()

    def _rest(self, seconds: float) -> None:
        """The peer asked to be left alone."""
        if self._resting is not None:
            return

        def over() -> None:
            self._resting = None
            self._on_change()

        # RFC 3261 §20.33; with jitter, or everything would come back at once.
        self._resting = asyncio.get_running_loop().call_later(seconds * (1 + self._random() / 4), over)
        self._on_change()

    async def _keep(self) -> None:
        """Keep one connection standing."""
        failures = 0
        while True:
            await self._resumed.wait()
            try:
                flow = await self._connect()
            except OSError as error:
                self.last_error = f"{type(error).__name__}: {error}".removesuffix(": ")
                telemetry.event("peer.unreachable", peer=self.peer.domain, error=type(error).__name__)
            else:
                look = self._flows[flow] = asyncio.Event()
                telemetry.event("peer.connected", peer=self.peer.domain)
                self.last_error = ""
                self._on_change()
                if await self._watch(flow, look):
                    failures = self._in_vain = 0
                elif not self.peer.paused:
                    # In TLS 1.3 it may turn our certificate down only after the connection stands.
                    self.last_error = UNANSWERED
            await self._back_off(failures)
            failures += 1

    async def _back_off(self, failures: int) -> None:
        pause = min(LONGEST_BACK_OFF, BACK_OFF * 2.0 ** min(failures, 16)) * (0.5 + self._random() / 2)
        # Whatever is heard: it may connect to us and let nobody connect to it.
        least = min(pause, BACK_OFF * 2.0 ** min(self._in_vain, 16))
        self._heard.clear()
        await asyncio.sleep(least)
        try:
            async with asyncio.timeout(pause - least):
                await self._heard.wait()
                self._in_vain += 1
        except TimeoutError:
            pass

    async def _connect(self) -> Flow:
        addresses = await self._resolve(self.peer)
        error: OSError = OSError("the peer has no address")
        for host, port in addresses:
            try:
                flow = await self._endpoint.connect("TLS", host, port, tls=self._context())
                if self._believed(flow):
                    return flow
                flow.close()
                error = ConnectionError("the certificate it shows is not one that was exchanged")
            except OSError as one:  # TimeoutError and ssl.SSLError are such
                error = one
        raise error

    async def _watch(self, flow: Flow, look: asyncio.Event) -> bool:
        """Returns when the connection has ended: whether anything was ever answered on it."""
        answered = False
        while flow in self._flows:
            look.clear()
            if not self._believed(flow):
                flow.close()  # its certificate's time is over
                break
            response = await self._endpoint.request(flow, probe(self._endpoint, flow, self.peer.domain))
            if isinstance(response, LocalResponse):
                # Nobody is there, however open the connection looks: half of the way may be cut.
                flow.abort()
            else:
                answered = True
            while flow in self._flows and not look.is_set():
                try:
                    async with asyncio.timeout(PROBE_EVERY):
                        await look.wait()
                except TimeoutError:
                    break
        return answered


def probe(endpoint: Endpoint, flow: Flow, domain: str) -> SipRequest:
    """An OPTIONS to a peer's border itself."""
    uri = f"sip:{domain}"
    lines = [
        f"OPTIONS {uri} SIP/2.0",
        f"Via: SIP/2.0/{flow.listener.transport} {flow.listener.sent_by};branch={endpoint.make_branch()}",
        "Max-Forwards: 70",
        f"From: <sip:{flow.listener.sent_by}>;tag={endpoint.make_tag()}",
        f"To: <{uri}>",
        f"Call-ID: {endpoint.make_call_id()}",
        "CSeq: 1 OPTIONS",
        "Content-Length: 0",
    ]
    return SipRequest("\r\n".join(lines), b"", "OPTIONS", uri)


def _retry_after(response: SipResponse) -> float:
    value = (response.header("retry-after") or "").partition(";")[0].partition("(")[0].strip()
    seconds = float(value) if value.isdecimal() and len(value) < 7 else 1.0
    return min(max(seconds, 0.5), LONGEST_RETRY_AFTER)
