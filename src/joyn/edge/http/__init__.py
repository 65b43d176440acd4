"""The HTTP door: one application for the page, the API, auto-configuration and the WebSockets, on every HTTP listener.

Each module beside this one has a provider with `routes()`; what holds for all of them is here. Spec: RFC 9110, Fetch
Metadata (Sec-Fetch-Site), RFC 6797 (HSTS).
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import secrets
from collections.abc import Iterable
from typing import Final, Protocol

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from joyn import telemetry
from joyn.edge.http.describing import CROSS_SITE as FOREIGN
from joyn.edge.http.describing import REFUSED, Problem, ProblemFound, failed
from joyn.model.refused import Refused
from joyn.transport.http import Body

__all__ = [
    "TRUSTED",
    "RouteProvider",
    "application",
    "is_https",
    "is_in",
    "origin_of",
    "peer_of",
    "same_site",
    "source_of",
    "through_proxy",
]

log = logging.getLogger(__name__)
SERVED = telemetry.counter("http.served")
CROSS_SITE = telemetry.counter("http.refused")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

TRUSTED: Final[web.AppKey[tuple[Network, ...]]] = web.AppKey("trusted_proxies", tuple)
"""The networks whose X-Forwarded headers are believed."""
PATIENCE: Final = 30.0
"""Seconds for a request that changes something, its body included; a page may take as long as its reader wants."""
_SAFE: Final = frozenset(("GET", "HEAD", "OPTIONS"))
TOO_SLOW: Final = Problem(408, "timeout", "The request took too long to come.")
BROKEN: Final = Problem(500, "failed", "A fault of ours; it is in the log, under the request's X-Request-Id.")
_PRIVATE: Final = ("/api/", "/config")
"""Paths whose answers are somebody's own."""


class RouteProvider(Protocol):
    """Part of the door."""

    def routes(self) -> list[web.RouteDef]:
        """What it serves."""
        ...


def application(
    providers: Iterable[RouteProvider],
    *,
    trusted_proxies: Iterable[str] = (),
    max_body: int = 64 << 10,
    patience: float | None = PATIENCE,
    cookieless: bool = False,
) -> web.Application:
    """The application of all providers; a path is served by the first that has it.

    A body over `max_body` bytes is answered 413, one that takes longer than `patience` seconds 408. Where nothing looks
    at cookies (`cookieless`), what a page asks for is asked in nobody's name, and pages of any site may ask.
    """
    made = web.Application(middlewares=[_guard(patience, cookieless)], client_max_size=max_body)
    made[TRUSTED] = tuple(ipaddress.ip_network(network) for network in trusted_proxies)
    for provider in providers:
        made.router.add_routes(provider.routes())
    return made


def _guard(patience: float | None, cookieless: bool) -> Middleware:
    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        name = secrets.token_hex(8)
        changes = request.method not in _SAFE
        limit = asyncio.timeout(patience if changes else None)
        response: web.StreamResponse
        try:
            if changes and not cookieless and not same_site(request):
                raise ProblemFound(FOREIGN)
            async with limit:
                response = await handler(request)
        except ProblemFound as found:
            if found.problem is FOREIGN:
                CROSS_SITE.inc()
            response = failed(found.problem, found.more)
        except web.HTTPException as error:
            response = _unserved(error)
        except Exception as error:  # the loop that owns a request: a bug of ours must not leave it unanswered
            problem = TOO_SLOW if limit.expired() else _reason(error)
            if problem is None:
                log.exception("serving %s failed, request %s", request.method, name)
            response = failed(problem or BROKEN)
        if not response.prepared:
            response.headers["X-Request-Id"] = name
            _protect(request, response)
            if Body.was_taken_over(request):
                response.force_close()
        SERVED.inc()
        return response

    return guard


def _reason(error: Exception) -> Problem | None:
    """What a service's refusal is in HTTP; None for what is none."""
    return REFUSED.get(error.reason) if isinstance(error, Refused) else None


def _unserved(error: web.HTTPException) -> web.Response:
    """404, 405 and their like; a redirection stays what it is."""
    if error.status < 400:
        return web.Response(status=error.status, headers={"Location": error.headers["Location"]})
    # The words of aiohttp are for people, ours for the page's script too.
    response = failed(Problem(error.status, error.reason.lower().replace(" ", "-"), ""))
    if "Allow" in error.headers:
        response.headers["Allow"] = error.headers["Allow"]
    return response


def _protect(request: web.Request, response: web.StreamResponse) -> None:
    """What every answer says to the browser."""
    headers = response.headers
    headers["Server"] = "joyn"
    headers["X-Content-Type-Options"] = "nosniff"
    headers.setdefault("Referrer-Policy", "no-referrer")
    headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
    if request.path.startswith(_PRIVATE):
        headers["Cache-Control"] = "no-store"
    if is_https(request):
        headers["Strict-Transport-Security"] = "max-age=31536000"


def same_site(request: web.Request) -> bool:
    """Whether a request comes from our own page, or from no page at all (a command line, an app)."""
    site = request.headers.get("Sec-Fetch-Site")
    if site not in (None, "same-origin", "none"):
        return False
    origin = request.headers.get("Origin")
    return origin is None or origin == origin_of(request)


def origin_of(request: web.Request) -> str:
    """The origin of the page that this request's host serves (RFC 6454)."""
    return f"{'https' if is_https(request) else 'http'}://{request.host}"


def is_https(request: web.Request) -> bool:
    """Whether the browser speaks TLS, with us or with a proxy that we trust."""
    if request.scheme == "https":
        return True
    return through_proxy(request) and request.headers.get("X-Forwarded-Proto", "").lower() == "https"


def source_of(request: web.Request) -> str:
    """The address a request really comes from: behind proxies that we trust, the last one they did not vouch for."""
    source = peer_of(request)
    if source is None or not through_proxy(request):
        return str(source or "")
    hops = [hop.strip() for value in request.headers.getall("X-Forwarded-For", []) for hop in value.split(",")]
    for hop in reversed(hops):
        try:
            source = ipaddress.ip_address(hop)
        except ValueError:
            break
        if not is_in(source, request.app[TRUSTED]):
            break
    return str(source)


def through_proxy(request: web.Request) -> bool:
    """Whether the connection is that of a proxy that we trust."""
    return is_in(peer_of(request), request.app[TRUSTED])


def peer_of(request: web.Request) -> Address | None:
    """The other end of the connection; None when it is gone."""
    peer = request.transport.get_extra_info("peername") if request.transport else None
    return ipaddress.ip_address(peer[0]) if peer else None


def is_in(address: Address | None, networks: tuple[Network, ...]) -> bool:
    """Whether an address is in one of these networks."""
    return address is not None and any(address in network for network in networks)
