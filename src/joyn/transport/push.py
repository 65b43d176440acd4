"""Posting to push services: one HTTP client that goes to public addresses only and follows nobody anywhere.

Spec: RFC 8030 §5 (pushing), RFC 9110 §10.2.3 (Retry-After).
The addresses checked are the ones connected to: a name that changes its mind in between (DNS rebinding) wins nothing.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from yarl import URL

__all__ = ["Answer", "PushClient", "Unreachable", "is_public"]

TIMEOUT = 10.0
"""Seconds for one request, name resolution included."""
MAX_CONNECTIONS = 32
"""To all push services together; further requests wait."""

# Addresses that stand for others: what an IPv4 address in them says would decide, and nobody needs them here.
_TRANSLATED = tuple(map(IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32")))


class Unreachable(Exception):
    """No answer: no address, none that is public, no connection, or too slow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A push service's status, and how many seconds it wants to be left alone, if it says."""

    status: int
    retry_after: float | None = None


def is_public(address: str) -> bool:
    """Whether an address is one of the public internet's, and no way round to another one."""
    try:
        parsed: IPv4Address | IPv6Address = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(parsed, IPv6Address):
        if any(parsed in network for network in _TRANSLATED):
            return False
        parsed = parsed.ipv4_mapped or parsed
    return parsed.is_global and not parsed.is_multicast


class PublicResolver(AbstractResolver):
    """Answers with the public addresses of a name only."""

    def __init__(self, resolver: AbstractResolver) -> None:
        self._resolver = resolver

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses. Raises OSError when none is public."""
        found = [one for one in await self._resolver.resolve(host, port, family) if is_public(one["host"])]
        if not found:
            raise OSError(f"{host} has no public address")
        return found

    async def close(self) -> None:
        """Nothing is open."""
        await self._resolver.close()


class PushClient:
    """The client. `insecure` lets it reach any address: for tests and the demo."""

    def __init__(self, *, insecure: bool = False, resolver: AbstractResolver | None = None) -> None:
        self._insecure = insecure
        self._resolver = resolver
        self._session: aiohttp.ClientSession | None = None

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Push one message. Raises Unreachable."""
        session = self._session or self._open()
        host = URL(url).host or ""
        # An address instead of a name asks no resolver.
        if _is_address(host) and not (self._insecure or is_public(host)):
            raise Unreachable(f"{host} is no public address")
        try:
            # Redirects lead wherever somebody else wants: RFC 8030 has none. What is answered is not read.
            async with session.post(url, headers=headers, data=body, allow_redirects=False) as response:
                return Answer(status=response.status, retry_after=_seconds(response.headers))
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise Unreachable(str(error)) from error

    async def close(self) -> None:
        """Close what is open."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _open(self) -> aiohttp.ClientSession:
        resolver = self._resolver or ThreadedResolver()
        connector = aiohttp.TCPConnector(
            resolver=resolver if self._insecure else PublicResolver(resolver),
            limit=MAX_CONNECTIONS,
            use_dns_cache=False,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=TIMEOUT),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self._session


def _is_address(host: str) -> bool:
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def _seconds(headers: Mapping[str, str]) -> float | None:
    """Retry-After: seconds, or a date that is taken together with the answer's own."""
    value = headers.get("Retry-After", "")
    if value.isdecimal():
        return float(value[:9])
    try:
        wait = parsedate_to_datetime(value) - parsedate_to_datetime(headers.get("Date", ""))
        return max(wait.total_seconds(), 0.0)
    except (TypeError, ValueError):
        return None
