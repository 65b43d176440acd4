"""The interconnect, wired: links to peers, their border with us, and where every number leads.

Peers have an endpoint of their own: what one of them does cannot take anything from our subscribers' listeners.
"""

from __future__ import annotations

import asyncio
import secrets
import ssl
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import asdict, replace
from random import random
from typing import Any, Final

from joyn.config import Settings
from joyn.edge.admin_peers import PeerAdministration
from joyn.edge.crossing import CrossingDoor
from joyn.edge.http import RouteProvider
from joyn.edge.interconnect import BorderDoor, Homes
from joyn.edge.numbers import NumbersDoor
from joyn.listening import msrp_limits
from joyn.model.aor import Aor, Numbering
from joyn.model.message import Address, Deposit, Entry, EntryKind, Message, State
from joyn.model.peer import Peer, mailbox_of, operator_of
from joyn.model.ported import PortedNumber
from joyn.model.refused import Reason, Refused
from joyn.model.route import Operator
from joyn.protocol.sip.feature_tags import FeatureTags
from joyn.protocol.sip.transaction import Timers
from joyn.route_finding import RouteFinding
from joyn.services.capabilities import Capabilities, Presence
from joyn.services.interconnect.asking import Asking
from joyn.services.interconnect.interconnect import Interconnect
from joyn.services.interconnect.requests import Requests
from joyn.services.messaging.crossing import Crossing
from joyn.services.messaging.destination import Destination
from joyn.services.messaging.originating import Originating
from joyn.services.messaging.sessions import Leg, Sessions
from joyn.services.messaging.terminating import Terminating
from joyn.store import Store
from joyn.transport.msrp import MsrpEndpoint, MsrpListener
from joyn.transport.peer_tls import Identity, PeerTrust, ensure_identity, load_identity
from joyn.transport.resolver import Unresolved
from joyn.transport.sip import Endpoint, Flow, Limits, Listener

__all__ = ["InterconnectService"]

PATIENCE: Final = 10.0
"""Seconds that a peer may take to answer a request."""
MAX_BODY: Final = 256 << 10
"""Bytes of a request's body at the border; what is larger comes over MSRP."""
MAX_IN_FLIGHT: Final = 2_000
"""Requests of all peers that are being worked on at a time."""
MAX_MOVED: Final = 100_000
"""Numbers that are remembered to have moved since the start; beyond that every entry's home is looked up."""
BELIEVED_FOR: Final = 60.0
"""Seconds until a connection's certificate is looked at again."""
FORWARD_AT_ONCE: Final = 64
"""Entries of a mailbox whose owner has left that are read at a time."""


class InterconnectService:
    """The interconnect of one node. `name_of` says what a subscriber of ours is called.

    It is the node's `Destinations`. `tell(message, recipient, state)` reports to a sender, `failure(entry, cause)`
    makes what they get with a failure. `on_left(aor)` is called when a subscriber's number is no longer ours.
    `localise(peer, sender, message)` gives a message links of our content server.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        numbering: Numbering,
        *,
        name_of: Callable[[Aor], str],
        tell: Callable[[Message, Aor, State], None],
        failure: Callable[[Entry, int], Deposit | None],
        wall: Callable[[], float] = time.time,
    ) -> None:
        i = settings.interconnect
        self._settings = i
        self._directory = settings.interconnect_directory
        self._domain = settings.operator.domain
        self._store = store
        self._numbering = numbering
        self.finding = RouteFinding(settings, store, numbering)
        self._homes = Homes(self.home_of, self.holder_of)
        self._name_of = name_of
        self._wall = wall
        self._started_at = wall()
        self._moved: set[Aor] | None = set()
        self._speaks_for: dict[Flow, tuple[str, float]] = {}  # and since when, by our clock
        self._updating = asyncio.Lock()
        self.names: dict[Aor, str] = {}
        self.localise: Callable[[Peer, Aor, bytes], Awaitable[bytes]] = _as_it_is
        self.on_left: Callable[[Aor], Awaitable[None]] = _nothing
        self.door: BorderDoor | None = None
        self.trust: PeerTrust | None = None
        limits = Limits(max_body=MAX_BODY, timers=Timers(t1=PATIENCE / 64), max_in_flight=MAX_IN_FLIGHT)
        self.endpoint = Endpoint(limits, make_token=lambda: secrets.token_hex(8), now=time.monotonic)
        requests = Requests(self.endpoint, settings.operator.domain, name_of=name_of, wall=wall)
        self.links = Interconnect(
            store.mailboxes,
            self.endpoint,
            requests,
            context=self._context,
            resolve=self._resolve,
            believed=lambda peer, flow: self._shows(flow) == peer.domain,
            wall=wall,
            random=random,
            connections=i.connections,
            queue=i.queue,
        )
        self.links.report = lambda message, state: tell(message, message.conversation, state)
        self.links.failure = failure
        self.links.moved = self._elsewhere
        self._msrp = MsrpEndpoint(
            replace(msrp_limits(settings), max_message=settings.sip.max_body + settings.msrp.max_message),
            make_token=lambda: secrets.token_hex(10),
            now=time.monotonic,
        )
        self._sessions = Sessions(
            self.endpoint,
            self._msrp,
            session_id=lambda: secrets.randbits(62),
            now=time.monotonic,
            elsewhere=True,
            context=self._media_context,
        )
        self._crossing = Crossing(self.endpoint, self._sessions, identity=requests.identity)
        self.links.media = self._crossing
        self.asking = Asking(self.links.ask, time.monotonic)
        self.endpoint.on_flow_lost = self._flow_lost

    # Starting and stopping.

    def introduce(self, originating: Originating, terminating: Terminating, sessions: Sessions) -> None:
        """What a subscriber takes back, and that they type, goes to whoever the recipient's operator is."""

        async def revoke(destination: Destination, sender: Aor, message_id: str) -> bool:
            operator = operator_of(destination.mailbox)
            if operator:
                return await self.links.revoke(destination.aor, sender, message_id, operator)
            return await terminating.revoke(destination.aor, sender, message_id)

        def composing(sender: Aor, destination: Destination, body: bytes) -> None:
            operator = operator_of(destination.mailbox)
            if operator:
                self.links.compose(sender, destination.aor, operator, body)
            else:
                sessions.compose(sender, destination.aor, body)

        originating.revoke, originating.on_composing = revoke, composing

    async def learn(self) -> None:
        """Know the peers and their numbers: what is due to them can be accepted, and waits for `start`."""
        peers = await self._store.peers.list()
        self._learn(peers)
        self.links.know(peers)

    def _learn(self, peers: Sequence[Peer]) -> None:
        self.finding.learn((prefix, Operator(peer.domain)) for peer in peers for prefix in peer.ranges)

    async def start(self, originating: Originating, capabilities: Capabilities) -> None:
        """Open the border, if there is one, and begin with what is due to peers.

        Raises OSError, ssl.SSLError, ValueError for a certificate of our own that cannot be used.
        """
        capabilities.elsewhere = self._capabilities
        self.door = BorderDoor(
            self._peer_of,
            self._homes,
            originating,
            capabilities,
            domain=self._domain,
            rate=self._settings.rate,
            now=time.monotonic,
            names=self.names,
            heard=self.links.heard,
            localise=self._localised,
        )
        self.endpoint.on_request = self.door.on_request
        self.crossing = CrossingDoor(
            self.door, self._sessions, originating, lambda operator: self.links.peers.get(operator), self.links.peer_for
        )
        self._sessions.handler = self.crossing
        self.endpoint.on_acknowledge = self.crossing.unacknowledged.acknowledge
        # Who left while no node ran has something waiting here, perhaps.
        await self.ported(await self._store.ported.of_subscribers())
        if self._settings.listeners or await self._store.peers.list():
            await self.update()

    async def _open(self) -> PeerTrust:
        hosts = [one.advertise for one in (*self._settings.listeners, *self._settings.media)]
        identity = ensure_identity(
            self._directory, self._domain, hosts, now=self._wall(), valid_for=self._settings.certificate_for
        )
        trust = self.trust = PeerTrust(identity, wall=self._wall)
        for one in self._settings.listeners:
            listener = Listener(
                name=one.name, transport="TLS", host=one.host, port=one.port, advertise=one.advertise, tls=trust.border
            )
            await self.endpoint.listen(listener)
        for media in self._settings.media:
            await self._msrp.listen(
                MsrpListener(
                    name=media.name,
                    transport="TLS",
                    host=media.host,
                    port=media.port,
                    advertise=media.advertise,
                    tls=trust.media,
                    fingerprint=identity.sdp_fingerprint,
                )
            )
        return trust

    async def update(self, identity: Identity | None = None) -> None:
        """The peers are those of the store now; with `identity`, this is what we show them from now on."""
        async with self._updating:  # two at once would end with what the slower one had read
            trust = self.trust or await self._open()
            peers = await self._store.peers.list()
            trust.update(peers, identity)
            self._msrp.announce(trust.identity.sdp_fingerprint)
            self._learn(peers)
            for flow, (domain, _) in list(self._speaks_for.items()):
                if self._shows(flow) != domain:
                    flow.close()
            await self.links.update(peers)

    async def home_of(self, aor: Aor) -> str | None:
        """Whose subscriber a number is; see Homes. Raises Refused(ROUTE_UNKNOWN)."""
        route = await self.finding.routing.route(aor)
        if route.unsure:
            raise Refused(Reason.ROUTE_UNKNOWN)
        return {"local": "", "peer": str(route.operator)}.get(route.kind)

    async def holder_of(self, aor: Aor) -> str:
        """Whose range a number is in; see Homes."""
        return self.finding.holder_of(aor)

    async def stop(self) -> None:
        """Close the border, then the links."""
        if self.door is not None:
            await self.door.close()
        await self.links.close()
        await self._crossing.close()
        self._sessions.close()
        await self._msrp.close()
        self.endpoint.on_flow_lost = lambda _flow: None
        await self.endpoint.close()
        await self.finding.close()

    def admin_doors(self) -> list[RouteProvider]:
        """What the operator asks and changes: whose a number is, and who the peers are."""
        own, policy = self._numbering.domains, self._settings.file_policy
        peers = PeerAdministration(self._store.peers, self._store.mailboxes.pending, own, policy, wall=self._wall)
        peers.health, peers.on_changed = self.health, self._changed
        numbers = NumbersDoor(
            self.finding.routing, self._numbering, self._store.ported, wall=self._wall, on_ported=self.ported
        )
        return [numbers, peers]

    async def _changed(self) -> None:
        """Peers, or what we show them, are others than before."""
        await self.update(load_identity(self._directory))

    async def health(self, operator: str) -> dict[str, Any] | None:
        """How it stands with an operator, for who runs this one."""
        found = await self.links.health(operator)
        return None if found is None else asdict(found)

    # Where numbers lead: messaging.Destinations.

    async def choose(self, uri: str) -> Destination:
        """Where a URI leads. Raises Refused: UNKNOWN_RECIPIENT, OVERLOADED."""
        aor = self._numbering.aor(uri)
        home = None if aor is None else await self._homes.of(aor)
        if aor is None or home is None:
            raise Refused(Reason.UNKNOWN_RECIPIENT)
        if not home:
            return Destination.of_subscriber(aor)
        peer = self.links.peer_for(home)
        if peer is None:
            raise Refused(Reason.UNKNOWN_RECIPIENT)
        if await self.links.full(home):
            raise Refused(Reason.OVERLOADED, "as much waits for the recipient's operator as may")
        return Destination(aor=aor, mailbox=mailbox_of(home), keep_for=peer.keep_for or self._settings.keep_for)

    def name_of(self, aor: Aor) -> str:
        """What somebody is called: a subscriber of ours, or one of a peer's as the peer says."""
        return self._name_of(aor) or self.names.get(aor, "")

    async def _capabilities(self, aor: Aor) -> tuple[Presence, FeatureTags] | None:
        home = await self._homes.of(aor)
        if not home:
            return None
        said = await self.asking.of(aor, home)
        if isinstance(said, FeatureTags):
            return Presence.ONLINE, said
        # Facts §10: never "unknown" for what the way to the peer could not do.
        return (Presence.UNKNOWN if said in (404, 604) else Presence.OFFLINE), FeatureTags()

    # Numbers that move.

    async def ported(self, rows: Sequence[PortedNumber]) -> None:
        """These numbers have another operator now: what waits for one that was ours goes there. Raises Refused."""
        for row in rows:
            aor = Aor(f"tel:{row.number}")
            if self._moved is not None:
                self._moved.add(aor)
                if len(self._moved) > MAX_MOVED:
                    self._moved = None
            if row.operator in self._numbering.domains or await self._store.subscribers.get(aor) is None:
                continue
            home = await self.home_of(aor)
            if home:
                await self.on_left(aor)
                await self._forward(aor, home)

    async def _forward(self, aor: Aor, home: str) -> None:
        """Send on what a subscriber who has left us had not received."""
        mailboxes = self._store.mailboxes
        after = await mailboxes.first_unacknowledged(aor)
        while entries := await mailboxes.read(aor, after, FORWARD_AT_ONCE):
            for entry in entries:
                after = entry.seq
                if entry.state < State.FAILED and entry.kind is EntryKind.INCOMING:
                    await mailboxes.fail(aor, entry.seq, _due_to(entry, mailbox_of(home)))

    def _elsewhere(self, entry: Entry) -> Coroutine[None, None, Deposit | None] | None:
        """See Pump.moved. What was accepted by an earlier run may have moved while nobody looked."""
        message, moved = entry.message, self._moved
        if moved is not None and message.accepted_at >= self._started_at and message.conversation not in moved:
            return None
        return self._new_home(entry)

    async def _new_home(self, entry: Entry) -> Deposit | None:
        recipient = entry.message.conversation
        home = await self._homes.of(recipient)
        if home is None or home == operator_of(entry.mailbox):
            return None
        return _due_to(entry, mailbox_of(home) if home else recipient)

    # Files.

    async def _localised(self, operator: str, sender: Aor, message: bytes) -> bytes:
        """See BorderDoor. Who is behind a hub has no content server that we know of."""
        peer = self.links.peers.get(operator)
        if peer is None or peer.file_policy != "localise":
            return message
        return await self.localise(peer, sender, message)

    def files_of(self, operator: str) -> str:
        """The origin of a peer's content server, empty when nothing is to be fetched from it. Any thread may ask."""
        peer = self.links.peers.get(operator)
        return "" if peer is None or peer.paused else peer.files

    def direct_origins(self) -> list[str]:
        """Where devices fetch the files of peers themselves."""
        return sorted({one.files for one in self.links.peers.values() if one.files and one.file_policy == "direct"})

    # Bridges.

    def _context(self, peer: Peer) -> ssl.SSLContext:
        assert self.trust is not None
        return self.trust.link(peer.domain)

    def _media_context(self, leg: Leg) -> ssl.SSLContext | None:
        """What media to an operator are secured with: both certificates if they were exchanged; else (behind a hub) its
        alone, by the fingerprint that it has signalled."""
        operator = operator_of(leg.device[1])
        return self.trust.link(operator) if self.trust is not None and operator in self.links.peers else None

    async def _resolve(self, peer: Peer) -> Sequence[tuple[str, int]]:
        """Raises OSError when DNS does not say where the peer is."""
        if peer.addresses:
            return [(one.host, one.port) for one in peer.addresses]
        try:
            return [(hop.host, hop.port) for hop in await self.finding.resolve_next_hops(peer.domain)]
        except Unresolved as error:
            raise OSError(str(error)) from None

    def _peer_of(self, flow: Flow) -> Peer | None:
        now = time.monotonic()
        domain, since = self._speaks_for.get(flow, ("", 0.0))
        if not domain or now - since > BELIEVED_FOR:
            domain = self._shows(flow) or ""
            if not domain or flow.closed:
                return None
            self._speaks_for[flow] = domain, now
        return self.links.peers.get(domain)

    def _shows(self, flow: Flow) -> str | None:
        """Whose certificate a connection has shown, if that is good now."""
        assert self.trust is not None
        return self.trust.peer_of(flow.tls)

    def _flow_lost(self, flow: Flow) -> None:
        self._speaks_for.pop(flow, None)
        self._sessions.flow_lost(flow)
        self.links.flow_lost(flow)


async def _as_it_is(_peer: Peer, _sender: Aor, message: bytes) -> bytes:
    return message


async def _nothing(_aor: Aor) -> None:
    pass


def _due_to(entry: Entry, mailbox: Aor) -> Deposit:
    """The same message, due to somebody else."""
    return Deposit(message=replace(entry.message, id=0), addresses=(Address(mailbox=mailbox),))
