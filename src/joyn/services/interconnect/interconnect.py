"""All peer operators: which mailbox leads over which link, and what else is asked of them.

Spec: IR.90, TS 29.165 (facts §10).
An operator behind a hub has a mailbox of its own; what is due to it goes over the link to the hub.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from joyn import telemetry
from joyn.model.aor import Aor
from joyn.model.message import Deposit, Entry, Message, State
from joyn.model.peer import Peer, mailbox_of, operator_of
from joyn.protocol.iscomposing import CONTENT_TYPE as COMPOSING
from joyn.protocol.sip.message import SipResponse
from joyn.services.interconnect.link import Link
from joyn.services.interconnect.outcome import Answer, Outcome
from joyn.services.interconnect.pump import Pump
from joyn.services.interconnect.requests import Requests
from joyn.store import Mailboxes
from joyn.transport.sip import Endpoint, Flow

__all__ = ["Health", "Interconnect", "Media"]

MAX_ASKED: Final = 64
"""Typing notices and questions under way at a peer at a time; further ones are dropped."""
ASK_FOR: Final = 3.0
"""Seconds that a question about capabilities may take: whoever asked waits for it."""

RECOUNT_EVERY: Final = 5.0
"""Seconds between two counts of what waits for an operator, when it seems to be as much as may."""

DROPPED = telemetry.counter("peer.dropped")


class Media(Protocol):
    """The way for what is too large for a MESSAGE."""

    def wanted(self, entry: Entry) -> bool:
        """Whether an entry is too large for a MESSAGE."""
        ...

    def begin(self, flow: Flow, operator: str, entry: Entry, done: Callable[[int, bool, str], None]) -> None:
        """Bring it, and tell once what became of it: a SIP status, whether it was made here, and in words."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How it stands with one operator. `queue` counts what waits for it, `oldest` is when the first of that was
    accepted (wall clock, 0 for none); the counters are since the start."""

    connected: int
    ready: bool
    queue: int
    oldest: float
    taken: int
    refused: int
    last_error: str


class Interconnect:
    """The peers, as they were agreed on last. `context(peer)` is what a connection to one is secured with.

    `resolve(peer)` says where one is reached, best first; `believed(peer, flow)` whether a connection is with that one;
    `connections` are held to each, and at most `queue` entries
    wait for one operator. `report`, `failure` and `moved` are those of a Pump.
    """

    def __init__(
        self,
        mailboxes: Mailboxes,
        endpoint: Endpoint,
        requests: Requests,
        *,
        context: Callable[[Peer], ssl.SSLContext],
        resolve: Callable[[Peer], Awaitable[Sequence[tuple[str, int]]]],
        believed: Callable[[Peer, Flow], bool],
        wall: Callable[[], float],
        random: Callable[[], float],
        connections: int,
        queue: int,
    ) -> None:
        self._mailboxes = mailboxes
        self._endpoint = endpoint
        self._requests = requests
        self._context = context
        self._resolve = resolve
        self._believed = believed
        self._wall = wall
        self._random = random
        self._connections = connections
        self._queue = queue
        self._links: dict[str, Link] = {}  # by peer
        self._pumps: dict[str, Pump] = {}  # by operator
        self._waiting: dict[str, int] = {}  # by operator: what is due to it and not taken
        self._counted: dict[str, float] = {}  # by operator: when that was counted last, wall clock
        self._asked: dict[str, int] = {}
        self.peers: dict[str, Peer] = {}
        self.media: Media | None = None
        self.report: Callable[[Message, State], None] = lambda _message, _state: None
        self.failure: Callable[[Entry, int], Deposit | None] = lambda _entry, _cause: None
        self.moved: Callable[[Entry], Coroutine[None, None, Deposit | None] | None] = lambda _entry: None

    # Who the peers are.

    def know(self, peers: Sequence[Peer]) -> None:
        """These will be the peers; nothing is sent before `update`."""
        self.peers = {peer.domain: peer for peer in peers}

    async def update(self, peers: Sequence[Peer]) -> None:
        """These are the peers now. Links of those that stay are kept. Raises what the store raises."""
        wanted = {peer.domain: peer for peer in peers}
        for domain in [domain for domain in self._links if domain not in wanted]:
            await self._links.pop(domain).close()
        self.peers = wanted
        for domain, peer in wanted.items():
            link = self._links.get(domain)
            if link is not None:
                link.update(peer)
            else:
                self._links[domain] = self._make_link(peer)
        for operator in [operator for operator in self._pumps if self.peer_for(operator) is None]:
            await self._pumps.pop(operator).close()
        for operator in self.operators():
            if operator not in self._pumps:
                pump = self._make_pump(operator)
                self._waiting[operator] = await self._mailboxes.pending(pump.mailbox)
                self._pumps[operator] = pump
                await pump.open()

    def operators(self) -> set[str]:
        """Every operator that is reached, directly or through a hub."""
        return set(self.peers).union(*(peer.transit for peer in self.peers.values()))

    def peer_for(self, operator: str) -> Peer | None:
        """The peer whose link leads to an operator: itself, else a hub."""
        direct = self.peers.get(operator)
        if direct is not None:
            return direct
        return next((peer for peer in self.peers.values() if operator in peer.transit), None)

    async def full(self, operator: str) -> bool:
        """Whether as much waits for an operator as may."""
        if self._waiting.get(operator, 0) < self._queue:
            return False
        # What was withdrawn, has failed in its time or has moved on has left without a word to us.
        now = self._wall()
        if abs(now - self._counted.get(operator, 0.0)) >= RECOUNT_EVERY:
            self._counted[operator] = now
            self._waiting[operator] = await self._mailboxes.pending(mailbox_of(operator))
        return self._waiting[operator] >= self._queue

    def reaches(self, operator: str) -> bool:
        """Whether there is a way to an operator now."""
        link = self._link_to(operator)
        return link is not None and link.ready

    async def health(self, operator: str) -> Health | None:
        """How it stands with an operator; None for one we do not reach."""
        pump, peer = self._pumps.get(operator), self.peer_for(operator)
        if pump is None or peer is None:
            return None
        link = self._links[peer.domain]
        queue = self._waiting[operator] = await self._mailboxes.pending(pump.mailbox)
        first = await self._mailboxes.first_unacknowledged(pump.mailbox) if queue else 0
        entries = await self._mailboxes.read(pump.mailbox, first, 1) if queue else []
        return Health(
            connected=link.connected,
            ready=link.ready,
            queue=queue,
            oldest=entries[0].message.accepted_at if entries else 0.0,
            taken=pump.taken,
            refused=pump.refused,
            # Why there is no way at all comes before what one message met.
            last_error=("" if link.ready else link.last_error) or pump.last_error or link.last_error,
        )

    def _make_link(self, peer: Peer) -> Link:
        return Link(
            peer,
            self._endpoint,
            context=lambda: self._context(self.peers[peer.domain]),
            resolve=self._resolve,
            believed=lambda flow: self._believed(peer, flow),
            connections=self._connections,
            random=self._random,
            on_change=self._run,
        )

    def _make_pump(self, operator: str) -> Pump:
        pump = Pump(
            operator,
            self._mailboxes,
            begin=lambda entry, answer: self._begin(operator, entry, answer),
            ready=lambda: self.reaches(operator),
            wall=self._wall,
            random=self._random,
        )
        pump.report = lambda message, state: self.report(message, state)
        pump.failure = lambda entry, cause: self.failure(entry, cause)
        pump.moved = lambda entry: self.moved(entry)
        return pump

    # What is due to them.

    def nudge(self, entries: Sequence[Entry]) -> None:
        """These entries have just been committed."""
        for entry in entries:
            operator = operator_of(entry.mailbox)
            pump = self._pumps.get(operator) if operator else None
            if pump is not None:
                self._waiting[operator] += 1
                pump.nudge(entry)

    async def revoke(self, recipient: Aor, sender: Aor, message_id: str, operator: str) -> bool:
        """Withdraw what the operator has not been given. True when it will never have it."""
        pump = self._pumps.get(operator)
        return pump is not None and await pump.revoke(recipient, sender, message_id)

    def heard(self, peer: Peer) -> None:
        """A peer has sent us something."""
        link = self._links.get(peer.domain)
        if link is not None:
            link.heard()

    def flow_lost(self, flow: Flow) -> None:
        """A connection has ended."""
        for link in self._links.values():
            link.lost(flow)

    async def close(self) -> None:
        """Nothing is sent any more."""
        for pump in self._pumps.values():
            await pump.close()
        for link in self._links.values():
            await link.close()

    def _run(self) -> None:
        for pump in self._pumps.values():
            pump.run()

    def _link_to(self, operator: str) -> Link | None:
        peer = self.peer_for(operator)
        return None if peer is None else self._links.get(peer.domain)

    def _begin(self, operator: str, entry: Entry, answer: Callable[[Answer], None]) -> None:
        link = self._link_to(operator)
        flow = None if link is None else link.flow()
        if link is None or flow is None:
            answer(Answer(outcome=Outcome.GONE, reason="no connection"))
            return

        def counted(came: Answer) -> None:
            if came.outcome in (Outcome.TAKEN, Outcome.REFUSED):
                self._waiting[operator] = max(0, self._waiting[operator] - 1)
            answer(came)

        # What came from another operator is here because its recipient's number has moved: we forward it.
        own = not operator_of(entry.message.instance)
        if own and self.media is not None and self.media.wanted(entry):
            judge = link.judge_status
            self.media.begin(flow, operator, entry, lambda *said: counted(judge(flow, *said)))
            return
        request, key = self._requests.of_entry(entry, operator, flow, own=own)
        link.send(flow, request, key, counted)

    # What is asked of them, and not kept.

    def compose(self, sender: Aor, recipient: Aor, operator: str, body: bytes) -> None:
        """Tell a peer that a subscriber of ours types to one of its: now or never."""
        link = self._link_to(operator)
        flow = None if link is None else link.flow()
        if link is None or flow is None or self._asked.get(operator, 0) >= MAX_ASKED:
            DROPPED.inc()
            return
        request, key = self._requests.composing(sender, recipient, operator, COMPOSING, body, flow)
        self._count(operator, 1)
        link.send(flow, request, key, lambda _answer: self._count(operator, -1))

    async def ask(self, aor: Aor, operator: str) -> SipResponse | None:
        """What a peer says of its subscriber (OPTIONS); None when it says nothing in time."""
        link = self._link_to(operator)
        if link is None or self._asked.get(operator, 0) >= MAX_ASKED:
            return None
        self._count(operator, 1)
        asking = asyncio.get_running_loop().create_task(
            link.ask(lambda flow: self._requests.options(aor, operator, flow))
        )
        asking.add_done_callback(lambda _asking: self._count(operator, -1))
        await asyncio.wait([asking], timeout=ASK_FOR)
        if not asking.done():
            asking.cancel()
            return None
        return asking.result()

    def _count(self, operator: str, more: int) -> None:
        self._asked[operator] = self._asked.get(operator, 0) + more
