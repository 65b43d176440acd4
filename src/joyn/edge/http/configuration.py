"""The configuration door: GET / on the operator's configuration hosts, and /config on every host.

Spec: RCC.14 §2 (facts §9): the address is `config.rcs.mnc<MNC>.mcc<MCC>.pub.3gppnetwork.org`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from aiohttp import web

from joyn.edge.http import is_https, origin_of, through_proxy
from joyn.model.device import Device
from joyn.model.subscriber import Subscriber
from joyn.protocol.config_document import CONTENT_TYPE
from joyn.services.provisioning.provisioning import CODE, NONCE, Answer, Asking, Provisioning

__all__ = ["ConfigurationDoor", "configuration_hosts"]

PATH: Final = "/config"
WEB_SOCKET: Final = "/ws"
COOKIE_SECONDS: Final = 900
MAX_PARAMETERS: Final = 60
MAX_VALUE: Final = 300
Session = Callable[[web.Request], Awaitable[tuple[Device, Subscriber] | None]]


def configuration_hosts(mcc: str, mncs: Sequence[str]) -> list[str]:
    """The names phones look for, by the codes of their SIM. Facts §9.1: an MNC has three digits there."""
    return [f"config.rcs.mnc{mnc:0>3}.mcc{mcc}.pub.3gppnetwork.org" for mnc in mncs if mcc]


class ConfigurationDoor:
    """The provider. `session` finds the browser that asks; the headers are those a trusted proxy writes."""

    def __init__(
        self,
        provisioning: Provisioning,
        session: Session,
        *,
        hosts: Sequence[str],
        msisdn_header: str = "",
        imsi_header: str = "",
    ) -> None:
        self._provisioning = provisioning
        self._session = session
        self._hosts = frozenset(hosts)
        self._msisdn_header = msisdn_header
        self._imsi_header = imsi_header

    def routes(self) -> list[web.RouteDef]:
        """The path that is there on every host."""
        return [web.get(PATH, self.configure)]

    def serves_root(self, request: web.Request) -> bool:
        """Whether a request for / is one for a configuration."""
        return request.host.partition(":")[0].lower() in self._hosts

    async def configure(self, request: web.Request) -> web.Response:
        """One request of one device."""
        parameters = request.query
        if len(parameters) > MAX_PARAMETERS or any(len(value) > MAX_VALUE for value in parameters.values()):
            return web.Response(status=400)
        languages = request.headers.get("Accept-Language", "").split(",")[:10]
        answer = await self._provisioning.answer(
            Asking(
                parameters=dict(parameters),
                cookies={name: request.cookies.get(f"joyn-{name}", "") for name in (NONCE, CODE)},
                secure=is_https(request) or _local(request),
                asserted=_asserted(request, self._msisdn_header),
                asserted_imsi=_asserted(request, self._imsi_header),
                languages=tuple(one.partition(";")[0].strip() for one in languages),
                device=await self._session(request),
                web_socket=f"ws{origin_of(request).removeprefix('http')}{WEB_SOCKET}",
            )
        )
        return _response(answer)


def _asserted(request: web.Request, header: str) -> str:
    """What the network says in this header; from anybody but its proxy it is nothing."""
    return request.headers.get(header, "") if header and through_proxy(request) else ""


def _response(answer: Answer) -> web.Response:
    response = web.Response(status=answer.status, body=answer.body)
    if answer.body:
        response.content_type = CONTENT_TYPE
        response.charset = "utf-8"
    if answer.retry_after:
        response.headers["Retry-After"] = str(answer.retry_after)
    if answer.cookie is not None:
        name, value = answer.cookie
        # The first step of the cellular flow is plain HTTP, and its cookie has to reach the second one over TLS.
        response.set_cookie(f"joyn-{name}", value, max_age=COOKIE_SECONDS, path="/", httponly=True, samesite="Strict")
    return response


def _local(request: web.Request) -> bool:
    """A demo on this machine: nobody else can listen, and browsers call it a secure context too."""
    peer = request.transport.get_extra_info("peername") if request.transport else None
    return peer is not None and peer[0] in ("127.0.0.1", "::1") and not through_proxy(request)
