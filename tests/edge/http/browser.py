"""A node with HTTP, and somebody who comes over WebSocket: what a browser would send, line by line."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Self

import aiohttp

from joyn.config import FilesSettings, HttpListener, HttpSettings
from joyn.node import Node
from joyn.phone import Phone
from joyn.protocol.sip.digest import Authenticator
from joyn.protocol.sip.message import SipRequest, SipResponse, parse
from joyn.transport.tls import client_context, issue_certificate, make_development_ca
from phone.node import ALICE, BOB, CAROL, PASSWORD, make_phone, make_subscriber, node_settings

PATIENCE = 5.0
DOMAIN = "joyn.localhost"
CONTACT = "sip:b@df7jal23ls0d.invalid;transport=ws"
TAGS = '+g.oma.sip-im;+g.3gpp.icsi-ref="urn%3Aurn-7%3A3gpp-service.ims.icsi.oma.cpm.msg"'


class Office:
    """The node, its page's origin, and Alice's phone over TCP."""

    def __init__(self, node: Node, alice: Phone, http: aiohttp.ClientSession) -> None:
        self.node = node
        self.alice = alice
        self.http = http
        listener = node.http.listeners[0]
        self.secure = listener.tls is not None
        self.host = f"127.0.0.1:{listener.port}"
        self.origin = f"http{'s' if self.secure else ''}://{self.host}"
        self.url = f"ws{'s' if self.secure else ''}://{self.host}/ws"

    def browser(self, **headers: str) -> "Browser":
        """Carol's."""
        return Browser(self, headers)


@asynccontextmanager
async def open_office(
    *,
    sip: Mapping[str, Any] | None = None,
    msrp: Mapping[str, Any] | None = None,
    provisioning: Mapping[str, Any] | None = None,
    files: Mapping[str, Any] | None = None,
    secure: bool = False,
    **http: Any,
) -> AsyncIterator[Office]:
    """A running node with one HTTP listener, whose sections have these settings."""
    with node_settings() as settings:
        listener = HttpListener(port=0)
        trusted = None
        if secure:
            make_development_ca(settings.operator.data)
            issued = issue_certificate(settings.operator.data, ["127.0.0.1"])
            listener = HttpListener(port=0, transport="https", certificate=issued.certificate, key=issued.key)
            trusted = client_context(settings.operator.data / "ca.pem")
        settings = replace(
            settings,
            sip=replace(settings.sip, **(sip or {})),
            msrp=replace(settings.msrp, **(msrp or {})),
            provisioning=replace(settings.provisioning, **(provisioning or {})),
            http=HttpSettings(listeners=(listener,), **http),
            files=FilesSettings(**{"directory": settings.operator.data / "files"} | dict(files or {})),
        )
        node = Node(settings)
        await node.start()
        try:
            for number in (ALICE, BOB, CAROL):
                await node.store.subscribers.put(make_subscriber(number, settings.operator.domain))
            servers = {"tcp": f"127.0.0.1:{settings.sip.listeners[1].port}"}
            connector = aiohttp.TCPConnector(ssl=trusted or True)
            async with make_phone(servers, ALICE) as alice, aiohttp.ClientSession(connector=connector) as session:
                yield Office(node, alice, session)
        finally:
            await node.stop()


def at_office(story: Callable[[Office], Awaitable[None]], **settings: Any) -> None:
    """Play a story there."""

    async def play() -> None:
        async with open_office(**settings) as office:
            await story(office)

    asyncio.run(play())


_names = itertools.count(1)


class Browser:
    """A WebSocket that speaks SIP."""

    def __init__(self, office: Office, headers: dict[str, str]) -> None:
        self._office = office
        self._headers = headers
        self._numbers = itertools.count(1)
        self._name = f"browser{next(_names)}"
        self.digest = Authenticator(CAROL, PASSWORD, lambda: "0a4f113b")

    async def __aenter__(self) -> Self:
        office = self._office
        self.socket = await office.http.ws_connect(office.url, protocols=("sip",), headers=self._headers)
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.socket.close()

    def request(self, method: str, uri: str, body: str = "", *more: tuple[str, str]) -> str:
        """A request as browsers write it: hosts that do not exist."""
        number = next(self._numbers)
        transport = "WSS" if self._office.secure else "WS"
        fields = (
            ("Via", f"SIP/2.0/{transport} df7jal23ls0d.invalid;branch=z9hG4bK{self._name}n{number}"),
            ("Max-Forwards", "70"),
            ("From", f"<sip:{CAROL}@{DOMAIN}>;tag=b"),
            ("To", f"<sip:{CAROL}@{DOMAIN}>" if method == "REGISTER" else f"<{uri}>"),
            ("Call-ID", self._name),
            ("CSeq", f"{number} {method}"),
            *more,
            ("Content-Length", str(len(body.encode()))),
        )
        return "\r\n".join([f"{method} {uri} SIP/2.0", *(f"{name}: {value}" for name, value in fields), "", body])

    async def say(self, text: str | bytes) -> None:
        """Send one WebSocket message."""
        if isinstance(text, str):
            await self.socket.send_str(text)
        else:
            await self.socket.send_bytes(text)

    async def hear(self) -> SipRequest | SipResponse:
        """The next message, which is one whole SIP message."""
        message = await self.socket.receive(PATIENCE)
        assert message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY), message
        return parse(message.data.encode() if isinstance(message.data, str) else message.data)

    async def answer(self) -> SipResponse:
        """The next message, a response."""
        heard = await self.hear()
        assert isinstance(heard, SipResponse)
        return heard

    async def ended(self) -> int | None:
        """The code the node closes with."""
        while True:
            message = await self.socket.receive(PATIENCE)
            if message.type not in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                return self.socket.close_code

    async def register(self, instance: str = "urn:uuid:browser") -> SipResponse:
        """Become Carol's device, one without a name of its own when `instance` is empty."""
        named = f'reg-id=1;+sip.instance="<{instance}>";' if instance else ""
        contact = ("Contact", f"<{CONTACT}>;{named}{TAGS}")
        uri, supported = f"sip:{DOMAIN}", ("Supported", "outbound")
        await self.say(self.request("REGISTER", uri, "", contact, supported))
        assert self.digest.challenged(await self.answer())
        credentials = self.digest.authorize("REGISTER", uri, b"")
        await self.say(self.request("REGISTER", uri, "", contact, supported, *credentials))
        answer = await self.answer()
        self.digest.succeeded(answer)
        return answer

    async def accept(self, request: SipRequest, sdp: str = "") -> None:
        """200, to an INVITE with a session description."""
        lines = [f"{name}: {request.header(name.lower())}" for name in ("Via", "From", "To", "Call-ID", "CSeq")]
        if sdp:
            lines[2] += ";tag=b"
            lines += [f"Contact: <{CONTACT}>", "Content-Type: application/sdp"]
        await self.say("\r\n".join(["SIP/2.0 200 OK", *lines, f"Content-Length: {len(sdp)}", "", sdp]))
