"""A SIP server of a few lines for the tests of the phone: it does what it is told, over real loopback sockets."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count
from typing import Any, Protocol

from joyn.phone import Phone, Radio
from joyn.protocol.cpim import CpimMessage
from joyn.protocol.sip.auth import Auth, parse_auths
from joyn.protocol.sip.building import build_request
from joyn.protocol.sip.digest import ha1, verify
from joyn.protocol.sip.headers import parse_name_addrs
from joyn.protocol.sip.message import SipRequest, SipResponse
from joyn.protocol.sip.transaction import Timers
from joyn.transport.sip import Endpoint, Flow, Inbound, Limits, Listener

PASSWORD = "correct horse"
ALICE, BOB = "+33639980001", "+33639980002"
DOMAIN = "joyn.example"
BRISK = Timers(t1=0.05, t2=0.2, t4=0.1)


class ScriptedServer:
    """Answers REGISTER with `algorithms` (none: no challenge), the rest with `answers[method]`; remembers everything.

    `challenge_all` asks for credentials in every request. `on[method]` replaces what is done for a method.
    """

    def __init__(
        self, *, algorithms: tuple[str, ...] = (), challenge_all: bool = False, timers: Timers = BRISK
    ) -> None:
        numbers = count(1)
        self.endpoint = Endpoint(Limits(timers=timers), make_token=lambda: f"{next(numbers):016x}", now=time.monotonic)
        self.endpoint.on_request = self._on_request
        self.endpoint.on_acknowledge = lambda request, _flow: self.requests.append(request)
        self.algorithms = algorithms
        self.challenge_all = challenge_all
        self.nonce = "nonce-1"
        self.granted = 3600
        self.register_headers: list[tuple[str, str]] = []
        self.answers = {"MESSAGE": 202, "OPTIONS": 200}
        self.on: dict[str, Callable[[Inbound], None]] = {}
        self.requests: list[SipRequest] = []
        self.contacts: dict[str, tuple[str, Flow]] = {}
        self.port = 0
        self.to = ""
        self._came = asyncio.Event()

    async def start(self, transport: str, tls: ssl.SSLContext | None = None, port: int = 0) -> None:
        await self.endpoint.listen(Listener(name="test", transport=transport, host="127.0.0.1", port=port, tls=tls))
        listening = self.endpoint._listening[-1]
        if isinstance(listening, asyncio.BaseTransport):
            self.port = listening.get_extra_info("sockname")[1]
        else:
            assert isinstance(listening, asyncio.Server)
            self.port = listening.sockets[0].getsockname()[1]

    def of(self, method: str) -> list[SipRequest]:
        """The requests of one method, challenged ones included."""
        return [request for request in self.requests if request.method == method]

    async def wait_for(self, method: str, number: int = 1) -> SipRequest:
        """The request of that method and number, once it has come."""
        async with asyncio.timeout(5):
            while len(self.of(method)) < number:
                self._came.clear()
                await self._came.wait()
        return self.of(method)[number - 1]

    def _on_request(self, inbound: Inbound) -> None:
        request = inbound.request
        self.requests.append(request)
        self._came.set()
        register = request.method == "REGISTER"
        if self.algorithms and (register or self.challenge_all) and not self._proven(request, register):
            name = "WWW-Authenticate" if register else "Proxy-Authenticate"
            inbound.respond(
                401 if register else 407, headers=[(name, str(self._challenge(a))) for a in self.algorithms]
            )
        elif request.method in self.on:
            self.on[request.method](inbound)
        elif register:
            self._register(inbound)
        else:
            inbound.respond(self.answers.get(request.method, 200))

    def _challenge(self, algorithm: str) -> Auth:
        return Auth("Digest", {"realm": DOMAIN, "nonce": self.nonce, "algorithm": algorithm, "qop": "auth"})

    def _proven(self, request: SipRequest, register: bool) -> bool:
        given = parse_auths(request.headers("authorization" if register else "proxy-authorization"))
        if not given or given[0].get("nonce") != self.nonce:
            return False
        name = given[0].get("username")
        return verify(given[0], request.method, {a: ha1(name, DOMAIN, PASSWORD, a) for a in self.algorithms})

    def _register(self, inbound: Inbound) -> None:
        contact = parse_name_addrs(inbound.request.headers("contact"))[0]
        number = parse_name_addrs(inbound.request.headers("to"))[0].uri.partition(":")[2].partition("@")[0]
        if contact.parameters["expires"] == "0":
            self.contacts.pop(number, None)
            inbound.respond(200)
            return
        self.contacts[number] = (contact.uri, inbound.flow)
        self.endpoint.keep(inbound.flow)
        binding = ("Contact", f"<{contact.uri}>;expires={self.granted}")
        inbound.respond(200, headers=[binding, *self.register_headers])

    def via(self, flow: Flow) -> tuple[str, str]:
        branch = self.endpoint.make_branch()
        return "Via", f"SIP/2.0/{flow.listener.transport} 127.0.0.1:{self.port};branch={branch}"

    async def send(
        self, number: str, method: str, headers: list[tuple[str, str]], body: bytes = b"", sender: str = BOB
    ) -> SipResponse:
        """Send a request to a registered phone, from `sender`."""
        uri, flow = self.contacts[number]
        return await self.endpoint.request(
            flow,
            build_request(
                method,
                uri,
                [
                    self.via(flow),
                    ("Max-Forwards", "70"),
                    ("From", f"<sip:{sender}@{DOMAIN}>;tag=1"),
                    ("To", self.to or f"<tel:{number}>"),
                    ("Call-ID", self.endpoint.make_call_id()),
                    ("CSeq", f"1 {method}"),
                    ("P-Asserted-Identity", f"<sip:{sender}@{DOMAIN}>, <tel:{sender}>"),
                    *headers,
                ],
                body,
            ),
        )

    async def deliver(self, number: str, cpim: CpimMessage, sender: str = BOB) -> SipResponse:
        """Send a message in pager mode to a registered phone."""
        return await self.send(number, "MESSAGE", [("Content-Type", "message/cpim")], cpim.data, sender)


@asynccontextmanager
async def running(
    transport: str = "tcp",
    *,
    tls: ssl.SSLContext | None = None,
    algorithms: tuple[str, ...] = (),
    challenge_all: bool = False,
    timers: Timers = BRISK,
) -> AsyncIterator[ScriptedServer]:
    server = ScriptedServer(algorithms=algorithms, challenge_all=challenge_all, timers=timers)
    await server.start(transport.upper(), tls)
    try:
        yield server
    finally:
        await server.endpoint.close()


class Listening(Protocol):
    """What a phone needs to know of its server."""

    port: int


def make_phone(server: Listening, number: str = ALICE, transport: str = "tcp", **settings: Any) -> Phone:
    arguments: dict[str, Any] = {"password": PASSWORD, "radio": Radio(timers=BRISK), **settings}
    return Phone(number, server=f"127.0.0.1:{server.port}", transport=transport, domain=DOMAIN, **arguments)


def make_chat(text: str = "salut", message_id: str = "m1", request: tuple[str, ...] = ()) -> CpimMessage:
    return CpimMessage.make(
        from_="sip:anonymous@anonymous.invalid",
        to="sip:anonymous@anonymous.invalid",
        content_type="text/plain;charset=UTF-8",
        body=text.encode(),
        message_id=message_id,
        disposition_request=request,
    )
