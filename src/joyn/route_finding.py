"""How the node puts together what finds where numbers belong: the tables, ENUM, and where operators' servers are."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable
from pathlib import Path

from joyn.config import ConfigError, Settings, server_at
from joyn.config.topology import Topology, load_topology
from joyn.model.aor import Aor, Numbering
from joyn.model.ranges import Ranges, RangeTaken
from joyn.model.route import Operator
from joyn.services.routing.enum import Enum
from joyn.services.routing.routing import Routing
from joyn.store import Store
from joyn.transport.next_hops import NextHop, resolve_next_hops
from joyn.transport.resolver import Resolver, ResolverLimits, system_servers

__all__ = ["RouteFinding", "check_routes"]


def check_routes(settings: Settings) -> None:
    """Raises ConfigError for a topology or a range that cannot be used."""
    _ranges(settings, _topology(settings.interconnect.topology))


class RouteFinding:
    """The parts, wired, out of settings that `check_routes` has passed. `close` it when it is needed no more."""

    def __init__(self, settings: Settings, store: Store, numbering: Numbering) -> None:
        self.topology = _topology(settings.interconnect.topology)
        enum = settings.enum
        self._enum_resolver = Resolver(
            _servers(enum.servers),
            now=time.monotonic,
            within=enum.root,
            limits=ResolverLimits(timeout=enum.timeout, max_ttl=enum.max_ttl, max_negative_ttl=enum.max_ttl),
        )
        self._resolver = Resolver(_servers(settings.interconnect.dns) or system_servers(), now=time.monotonic)
        asked = Enum(enum.root, self._enum_resolver.naptr, self.operator_at)
        self._configured = _ranges(settings, self.topology)
        self.ranges = self._configured
        self.routing = Routing(
            numbering,
            store.subscribers,
            store.ported,
            self._configured,
            asked.operator_of if enum.servers else None,
        )

    def learn(self, said: Iterable[tuple[str, Operator]]) -> None:
        """These are the ranges that operators say are their own; what is configured, or was said first, stands."""
        self.ranges = self._configured.with_more(said)
        self.routing.know(self.ranges)

    def holder_of(self, aor: Aor) -> Operator:
        """The operator whom a number's range was given to, whoever serves it now; empty when nobody says."""
        found = self.ranges.find(aor.removeprefix("tel:"))
        return Operator("") if found is None else found[1]

    def operator_at(self, host: str) -> Operator:
        """The operator of a SIP host: the one whose IMS domain it is (`ims.mnc001.mcc208.3gppnetwork.org`), else the
        one of that name."""
        network = self.topology and self.topology.network_at(host)
        return Operator(network.operator if network else host)

    async def resolve_next_hops(self, domain: str) -> list[NextHop]:
        """Where to connect to for a peer operator, in the order to try: TLS alone. Raises Unresolved."""
        return await resolve_next_hops(self._resolver, domain, secrets.randbelow)

    async def close(self) -> None:
        """Give up what DNS is being asked."""
        await self._enum_resolver.close()
        await self._resolver.close()


def _servers(texts: tuple[str, ...]) -> list[tuple[str, int]]:
    return [server for text in texts if (server := server_at(text)) is not None]


def _topology(path: Path | None) -> Topology | None:
    return None if path is None else load_topology(path)


def _ranges(settings: Settings, topology: Topology | None) -> Ranges:
    """The topology's, and the configuration's own. Raises ConfigError."""
    others = [(one.prefix, Operator(one.operator)) for one in settings.interconnect.ranges]
    own = [(prefix, Operator(settings.operator.domain)) for prefix in settings.interconnect.own_ranges]
    try:
        return Ranges([*(topology.number_ranges() if topology else ()), *others, *own])
    except RangeTaken as error:
        raise ConfigError(str(error), "interconnect.ranges") from None
