"""Where a SIP domain's servers are.

Spec: RFC 3263 §4 (NAPTR, SRV, addresses), RFC 2782 (the order of servers).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from joyn.transport.resolver import Resolver, Unresolved, is_address

__all__ = ["NextHop", "resolve_next_hops"]

MAX_HOPS: Final = 16
"""Next hops of one domain."""
MAX_TARGETS: Final = 8
"""Servers of one domain whose addresses are asked for."""

_SERVICES: Final = {"sips+d2t": "tls", "sip+d2t": "tcp", "sip+d2u": "udp"}
_SRV: Final = {"tls": "_sips._tcp", "tcp": "_sip._tcp", "udp": "_sip._udp"}
_PORTS: Final = {"tls": 5061, "tcp": 5060, "udp": 5060}


class NextHop(NamedTuple):
    """Where to connect to: an IP address, a port, and `tls`, `tcp` or `udp`."""

    host: str
    port: int
    transport: str


async def resolve_next_hops(
    resolver: Resolver, domain: str, pick: Callable[[int], int], transports: Sequence[str] = ("tls",)
) -> list[NextHop]:
    """Where to send for a SIP domain, in the order to try: at most MAX_HOPS, none when it says that there is nothing.

    `transports` are those that may be used, best first: between operators only TLS. `pick(n)` is a random number from
    0 to n - 1. Raises Unresolved, when DNS does not answer.
    """
    if is_address(domain):
        return [NextHop(domain, _PORTS[transports[0]], transports[0])]
    hops: list[NextHop] = []
    failure: Unresolved | None = None
    for host, port, transport in (await _targets(resolver, domain, pick, transports))[:MAX_TARGETS]:
        try:
            hops += [NextHop(address, port, transport) for address in await _addresses(resolver, host)]
        except Unresolved as error:
            # The others may have addresses.
            failure = error
    if failure is not None and not hops:
        raise failure
    return list(dict.fromkeys(hops))[:MAX_HOPS]


async def _targets(
    resolver: Resolver, domain: str, pick: Callable[[int], int], transports: Sequence[str]
) -> list[NextHop]:
    """Names, ports and transports: of NAPTR (§4.1), else of SRV for each transport, else the domain itself (§4.2)."""
    rules = [
        (rule.replacement, _SERVICES[rule.service.lower()])
        for rule in sorted(await resolver.naptr(domain), key=lambda rule: (rule.order, rule.preference))
        if rule.flags.lower() == "s" and _SERVICES.get(rule.service.lower()) in transports
    ]
    names = rules or [(f"{_SRV[transport]}.{domain}", transport) for transport in transports]
    found: list[NextHop] = []
    asked = False
    for name, transport in names[:MAX_TARGETS]:
        records = await resolver.records(name, "SRV")
        asked = asked or bool(records)
        for record in _in_order(records, pick):
            target = record.target.to_text(omit_final_dot=True)
            # RFC 2782: a target of "." says that the service is decidedly not there.
            if target not in ("", "."):
                found.append(NextHop(target, record.port, transport))
    if asked or rules:
        return found
    return [NextHop(domain, _PORTS[transports[0]], transports[0])]


async def _addresses(resolver: Resolver, host: str) -> list[str]:
    if is_address(host):
        return [host]
    found: list[str] = []
    failure: Unresolved | None = None
    for answer in await asyncio.gather(
        resolver.records(host, "AAAA"), resolver.records(host, "A"), return_exceptions=True
    ):
        if isinstance(answer, Unresolved):
            # Servers that cannot be asked for one kind of address may know the other.
            failure = answer
        elif isinstance(answer, BaseException):
            raise answer
        else:
            found += [str(record.address) for record in answer]
    if failure is not None and not found:
        raise failure
    return found


def _in_order(records: Sequence[Any], pick: Callable[[int], int]) -> list[Any]:
    """RFC 2782: by priority; within one, drawn by weight, those of weight 0 having a small chance."""
    ordered: list[Any] = []
    for priority in sorted({record.priority for record in records}):
        left = sorted((one for one in records if one.priority == priority), key=lambda one: (one.weight, one.target))
        while left:
            drawn = pick(sum(one.weight for one in left) + 1)
            for one in left:
                drawn -= one.weight
                if drawn <= 0:
                    break
            left.remove(one)
            ordered.append(one)
    return ordered
