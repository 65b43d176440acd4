"""Fetching from other operators' content servers: one HTTP client that goes to the origin it is told and nowhere else.

Spec: RFC 9110 §14.2 (ranges), §10.2.3 (Retry-After). It follows no redirect and brings no credentials and no cookies.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address
from typing import Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from yarl import URL

__all__ = ["Answer", "Cut", "OriginClient", "Unreachable"]

CONNECT: Final = 10.0
"""Seconds to connect in."""
STALL: Final = 30.0
"""Seconds without a byte after which an answer is cut."""
PIECE: Final = 256 << 10
"""Bytes that are read at a time at most."""


class Unreachable(Exception):
    """The origin cannot be connected to."""


class Cut(Exception):
    """The connection ended before the answer did."""


class Answer:
    """What an origin answers. `length` is that of the body, None when it does not say, and `content_range` as sent.

    `ends` says whether the answer tells where it ends, so that one which was cut is known; `retry_after` is in seconds,
    0 when unsaid.
    """

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        headers = response.headers
        self.status = response.status
        self.length = response.content_length
        self.content_range = headers.get("Content-Range", "")
        self.encoded = headers.get("Content-Encoding", "identity").lower() != "identity"
        self.ends = self.length is not None or "chunked" in headers.get("Transfer-Encoding", "").lower()
        said = headers.get("Retry-After", "")
        self.retry_after = float(said) if said.isascii() and said.isdigit() and len(said) < 9 else 0.0

    async def read(self) -> bytes:
        """The next piece of the body; nothing at its end. Raises Cut."""
        try:
            return await self._response.content.read(PIECE)
        except (aiohttp.ClientError, OSError) as error:  # a stall is a TimeoutError, which is an OSError
            raise Cut(str(error) or "nothing came for too long") from error


class OriginClient:
    """The client. `resolver` is the system's unless told otherwise."""

    def __init__(self, *, resolver: AbstractResolver | None = None) -> None:
        self._resolver = resolver
        self._session: aiohttp.ClientSession | None = None

    @asynccontextmanager
    async def get(self, origin: str, path: str, start: int) -> AsyncIterator[Answer]:
        """Ask an origin (`https://host:port`) for what it has at a path, from byte `start` on. Raises Unreachable, and
        Cut when it hangs up without an answer."""
        url = URL(origin + path, encoded=True)
        if url.origin() != URL(origin).origin() or url.user is not None:
            raise ValueError("the path leads to another origin")
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
        session = self._session or self._open()
        try:
            response = await session.get(url, headers=headers, allow_redirects=False)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise Unreachable(str(error)) from error
        except (aiohttp.ClientError, OSError) as error:
            raise Cut(str(error) or "no answer for too long") from error
        try:
            yield Answer(response)
        finally:
            # What has not been read of it is not wanted.
            response.close()

    async def close(self) -> None:
        """Close its connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _open(self) -> aiohttp.ClientSession:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                resolver=_NotHere(self._resolver or ThreadedResolver()), limit=0, use_dns_cache=False
            ),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT, sock_read=STALL),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            headers={"User-Agent": "joyn"},
        )
        return self._session


class _NotHere(AbstractResolver):
    """Answers with the addresses of a name, but for those of this machine and its link.

    Attacks (SSRF): whoever runs a peer's DNS must not point us at our own administration or at the cloud's metadata. An
    address that the peer's file itself has was seen by who accepted it; peers on private networks are as usual.
    """

    def __init__(self, resolver: AbstractResolver) -> None:
        self._resolver = resolver

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses. Raises OSError when there is none that may be."""
        found = await self._resolver.resolve(host, port, family)
        allowed = [one for one in found if host == "localhost" or not _is_here(one["host"])]
        if not allowed:
            raise OSError(f"{host} leads to no other machine")
        return allowed

    async def close(self) -> None:
        """Close what it asks."""
        await self._resolver.close()


def _is_here(text: str) -> bool:
    address = ip_address(text.partition("%")[0])
    address = getattr(address, "ipv4_mapped", None) or address
    return address.is_loopback or address.is_link_local or address.is_unspecified or address.is_multicast
