"""The configuration door: GET / on the operator's configuration hosts, and /config on every host.

Spec: RCC.14 §2 (facts §9): the address is `config.rcs.mnc<MNC>.mcc<MCC>.pub.3gppnetwork.org`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from ipaddress import ip_network
from typing import Final

from aiohttp import web

from joyn import telemetry
from joyn.edge.http import TRUSTED, is_https, is_in, origin_of, peer_of, same_site, source_of
from joyn.edge.http.describing import CROSS_SITE, MALFORMED, ProblemFound
from joyn.model.device import Device
from joyn.model.subscriber import Subscriber
from joyn.protocol.config_document import CONTENT_TYPE
from joyn.services.provisioning.provisioning import CODE, NONCE, Answer, Asking, Provisioning
from joyn.transport.http import PATH as WEB_SOCKET_PATH

__all__ = ["ConfigurationDoor", "configuration_hosts"]

PATH: Final = "/config"
COOKIE_SECONDS: Final = 900
MAX_PARAMETERS: Final = 60
MAX_VALUE: Final = 300
Session = Callable[[web.Request], Awaitable[tuple[Device, Subscriber] | None]]


def configuration_hosts(mcc: str, mncs: Sequence[str]) -> list[str]:
    """The names phones look for, by the codes of their SIM. Facts §9.1: an MNC has three digits there."""
    return [f"config.rcs.mnc{mnc:0>3}.mcc{mcc}.pub.3gppnetwork.org" for mnc in mncs if mcc]


class ConfigurationDoor:
    """The provider. `session` finds the browser that asks.

    `msisdn_header` is what the operator's proxies in the `proxies` networks say the number in; from anybody else it is
    nothing. Those are not the front proxies of the page, which pass on whatever header a client writes.
    """

    def __init__(
        self,
        provisioning: Provisioning,
        session: Session,
        *,
        hosts: Sequence[str],
        msisdn_header: str = "",
        proxies: Sequence[str] = (),
    ) -> None:
        self._provisioning = provisioning
        self._session = session
        self._hosts = frozenset(hosts)
        self._msisdn_header = msisdn_header
        self._proxies = tuple(ip_network(network) for network in proxies)

    def routes(self) -> list[web.RouteDef]:
        """The path that is there on every host."""
        return [web.get(PATH, self.configure)]

    def serves_root(self, request: web.Request) -> bool:
        """Whether a request for / is one for a configuration."""
        return request.host.partition(":")[0].lower() in self._hosts

    async def configure(self, request: web.Request) -> web.Response:
        """One request of one device; a page of another site must not have one made."""
        if not same_site(request):
            raise ProblemFound(CROSS_SITE)
        parameters = request.query
        if len(parameters) > MAX_PARAMETERS or any(len(value) > MAX_VALUE for value in parameters.values()):
            raise ProblemFound(MALFORMED)
        languages = request.headers.get("Accept-Language", "").split(",")[:10]
        answer = await self._provisioning.answer(
            Asking(
                parameters=dict(parameters),
                cookies={name: request.cookies.get(f"joyn-{name}", "") for name in (NONCE, CODE)},
                secure=is_https(request) or self._is_local(request),
                asserted=self._asserted(request),
                source=source_of(request),
                languages=tuple(one.partition(";")[0].strip() for one in languages),
                device=await self._session(request),
                web_socket=f"ws{origin_of(request).removeprefix('http')}{WEB_SOCKET_PATH}",
            )
        )
        return _response(request, answer)

    def _asserted(self, request: web.Request) -> str:
        """The number that the operator's own proxy says."""
        said = request.headers.getall(self._msisdn_header, []) if self._msisdn_header else []
        if not said or not is_in(peer_of(request), self._proxies):
            return ""
        if len(said) > 1:
            # One of them is the client's: the proxy has added to it instead of taking its place.
            telemetry.event("identity.forged", header=self._msisdn_header)
            return ""
        return said[0].strip()

    def _is_local(self, request: web.Request) -> bool:
        """A demo on this machine: nobody else can listen, and browsers call it a secure context too.

        Where there are proxies, a connection from this machine may be theirs, and says nothing of the client's.
        """
        if self._proxies or request.app[TRUSTED] or "X-Forwarded-For" in request.headers:
            return False
        peer = peer_of(request)
        return peer is not None and peer.is_loopback


def _response(request: web.Request, answer: Answer) -> web.Response:
    # Said here too: on a configuration host the path is /.
    response = web.Response(status=answer.status, body=answer.body, headers={"Cache-Control": "no-store"})
    if answer.body:
        response.content_type = CONTENT_TYPE
        response.charset = "utf-8"
    if answer.retry_after:
        response.headers["Retry-After"] = str(answer.retry_after)
    if answer.cookie is not None:
        name, value = answer.cookie
        # The first step of the cellular flow is plain HTTP, and its cookie has to reach the second one over TLS.
        response.set_cookie(
            f"joyn-{name}",
            value,
            max_age=COOKIE_SECONDS,
            path="/",
            httponly=True,
            secure=name != NONCE and is_https(request),
            samesite="Strict",
        )
    return response
