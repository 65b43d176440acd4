"""Asking DNS servers, and remembering what they answered for as long as they say.

Spec: RFC 1035, RFC 2308 (negative answers), RFC 5452 (forged answers), RFC 3403 (NAPTR).
Promises: an answer is believed when it comes from the server that was asked and has the id and the question; of its
records only those that the question leads to; everything is bounded, in time and in number.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Final

import dns.asyncquery
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.resolver

from joyn import telemetry
from joyn.protocol.enum import Naptr

__all__ = ["Resolver", "ResolverLimits", "Unresolved", "is_address", "system_servers"]

FAILED = telemetry.counter("dns.failed")

MAX_ALIASES: Final = 8
"""CNAME records on the way to an answer."""

Server = tuple[str, int]


class Unresolved(Exception):
    """No server gave an answer that can be used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolverLimits:
    """Bounds, in seconds and in numbers."""

    timeout: float = 2.0
    """Seconds one server may take."""
    tries: int = 2
    """Questions about one name before it is given up: to different servers, if there are so many."""
    min_ttl: float = 1.0
    max_ttl: float = 86_400.0
    max_negative_ttl: float = 3_600.0
    """How long an answer is remembered at least, at most, and at most when it is that there is none (RFC 2308 §5)."""
    failure_ttl: float = 5.0
    """How long a name is not asked for again when no server answered (RFC 2308 §7: 5 minutes at most)."""
    cached: int = 50_000
    """Answers remembered; the one that was used longest ago makes room."""
    in_flight: int = 1_000
    """Questions on their way; one more is Unresolved at once."""


class Resolver:
    """Asks `servers` (IP address and port), the one that answered last first.

    `within` is the zone that answers may not lead out of by CNAME; the root for no such rule.
    """

    def __init__(
        self,
        servers: Sequence[Server],
        *,
        now: Callable[[], float],
        within: str = ".",
        limits: ResolverLimits | None = None,
    ) -> None:
        self._servers = list(servers)
        self._now = now
        self._zone = dns.name.from_text(within)
        self._limits = limits or ResolverLimits()
        self._cache: OrderedDict[tuple[str, str], tuple[float, tuple[Any, ...] | str]] = OrderedDict()
        self._asking: dict[tuple[str, str], asyncio.Task[tuple[Any, ...]]] = {}

    def __len__(self) -> int:
        return len(self._cache)

    async def naptr(self, name: str) -> list[Naptr]:
        """The NAPTR records of a name; none when it has none, or there is no such name. Raises Unresolved."""
        return [
            Naptr(
                order=record.order,
                preference=record.preference,
                flags=_text(record.flags),
                service=_text(record.service),
                regexp=_text(record.regexp),
                replacement="" if len(record.replacement) == 1 else record.replacement.to_text(omit_final_dot=True),
            )
            for record in await self.records(name, "NAPTR")
        ]

    async def records(self, name: str, kind: str) -> tuple[Any, ...]:
        """The records of a kind that a name has, as dnspython's values. Raises Unresolved."""
        key = (name.lower().rstrip("."), kind)
        known = self._cache.get(key)
        if known is not None and known[0] > self._now():
            self._cache.move_to_end(key)
            if isinstance(known[1], str):
                raise Unresolved(known[1])
            return known[1]
        asking = self._asking.get(key)
        if asking is None:
            if len(self._asking) >= self._limits.in_flight:
                raise Unresolved("too many questions are on their way")
            asking = self._asking[key] = asyncio.get_running_loop().create_task(self._resolve(key))
            asking.add_done_callback(lambda _: self._asking.pop(key, None))
        # Who asks may go away; the answer is for all who ask.
        return await asyncio.shield(asking)

    async def close(self) -> None:
        """Give up what is being asked."""
        asking = list(self._asking.values())
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)

    async def _resolve(self, key: tuple[str, str]) -> tuple[Any, ...]:
        try:
            query = dns.message.make_query(key[0], key[1], use_edns=0, payload=1232)
        except dns.exception.DNSException as error:
            raise Unresolved(f"no name that can be asked for: {error}") from None
        try:
            found, ttl = await self._ask(query)
        except Unresolved as failure:
            FAILED.inc()
            self._remember(key, str(failure), self._limits.failure_ttl)
            raise
        longest = self._limits.max_ttl if found else self._limits.max_negative_ttl
        self._remember(key, found, min(max(ttl, self._limits.min_ttl), longest))
        return found

    def _remember(self, key: tuple[str, str], found: tuple[Any, ...] | str, ttl: float) -> None:
        self._cache[key] = (self._now() + ttl, found)
        self._cache.move_to_end(key)
        if len(self._cache) > self._limits.cached:
            self._cache.popitem(last=False)

    async def _ask(self, query: dns.message.QueryMessage) -> tuple[tuple[Any, ...], float]:
        """The records and for how long they hold, from the first server that has an answer."""
        failure = "no DNS server is configured"
        servers = self._servers * self._limits.tries
        for server in servers[: self._limits.tries]:
            try:
                answer, _ = await dns.asyncquery.udp_with_fallback(
                    query,
                    server[0],
                    self._limits.timeout,
                    server[1],
                    # RFC 5452 §9.1: what is not from there, or has another id or question, is waited past.
                    ignore_unexpected=True,
                    ignore_errors=True,
                )
                found = self._read(answer)
            except (dns.exception.DNSException, OSError, EOFError, Unresolved) as error:
                failure = f"{server[0]} port {server[1]}: {_said(error)}"
                continue
            # The one that answers goes on being asked first.
            self._servers.remove(server)
            self._servers.insert(0, server)
            return found
        raise Unresolved(failure)

    def _read(self, answer: dns.message.Message) -> tuple[tuple[Any, ...], float]:
        """What an answer says of its question. Raises Unresolved, DNSException."""
        rcode = answer.rcode()
        if rcode not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
            raise Unresolved(f"answers {dns.rcode.to_text(rcode)}")
        assert isinstance(answer, dns.message.QueryMessage)
        if answer.flags & dns.flags.TC:
            raise Unresolved("answers in part")
        chain = answer.resolve_chaining()
        if len(chain.cnames) > MAX_ALIASES:
            raise Unresolved("has too many aliases")
        if not chain.canonical_name.is_subdomain(self._zone):
            raise Unresolved(f"leads out of {self._zone} to {chain.canonical_name}")
        if chain.answer is None and chain.cnames and rcode == dns.rcode.NOERROR:
            raise Unresolved(f"leads to {chain.canonical_name}, and no further")
        if chain.answer is not None:
            return tuple(chain.answer), float(chain.minimum_ttl)
        # RFC 2308 §5: without the zone's SOA record nobody says for how long there is none.
        said = any(rrset.rdtype == dns.rdatatype.SOA for rrset in answer.authority)
        return (), float(chain.minimum_ttl) if said else 0.0


def system_servers() -> list[Server]:
    """The DNS servers that this machine uses; none when it says none."""
    try:
        found = dns.resolver.Resolver()
    except (dns.exception.DNSException, OSError):
        return []
    return [(str(server), found.port) for server in found.nameservers if is_address(str(server))]


def is_address(text: str) -> bool:
    """Whether it is an IP address, which needs no asking."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _text(raw: bytes) -> str:
    return raw.decode("ascii", "replace")


def _said(error: BaseException) -> str:
    return "no answer in time" if isinstance(error, dns.exception.Timeout) else str(error) or type(error).__name__
