"""A node with HTTP, and somebody who comes over WebSocket: what a browser would send, line by line."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Self

import aiohttp

from joyn.config import HttpListener, HttpSettings
from joyn.node import Node
from joyn.phone import Phone
from joyn.protocol.sip.digest import Authenticator
from joyn.protocol.sip.message import SipRequest, SipResponse, parse
from phone.node import ALICE, BOB, CAROL, PASSWORD, make_phone, make_subscriber, node_settings

PATIENCE = 5.0
DOMAIN = "joyn.localhost"
TAGS = '+g.oma.sip-im;+g.3gpp.icsi-ref="urn%3Aurn-7%3A3gpp-service.ims.icsi.oma.cpm.msg"'


class Office:
    """The node, its page's origin, and Alice's phone over TCP."""

    def __init__(self, node: Node, alice: Phone, http: aiohttp.ClientSession) -> None:
        self.node = node
        self.alice = alice
        self.http = http
        self.host = f"127.0.0.1:{node.http.listeners[0].port}"
        self.origin = f"http://{self.host}"

    def browser(self, **headers: str) -> "Browser":
        """Carol's."""
        return Browser(self, headers)


@asynccontextmanager
async def open_office(**http: Any) -> AsyncIterator[Office]:
    """A running node whose `[http]` section has these settings besides one listener."""
    with node_settings() as settings:
        settings = replace(settings, http=HttpSettings(listeners=(HttpListener(port=0),), **http))
        node = Node(settings)
        await node.start()
        try:
            for number in (ALICE, BOB, CAROL):
                await node.store.subscribers.put(make_subscriber(number, settings.operator.domain))
            servers = {"tcp": f"127.0.0.1:{settings.sip.listeners[1].port}"}
            async with make_phone(servers, ALICE) as alice, aiohttp.ClientSession() as session:
                yield Office(node, alice, session)
        finally:
            await node.stop()


def at_office(story: Callable[[Office], Awaitable[None]], **http: Any) -> None:
    """Play a story there."""

    async def play() -> None:
        async with open_office(**http) as office:
            await story(office)

    asyncio.run(play())


class Browser:
    """A WebSocket that speaks SIP."""

    def __init__(self, office: Office, headers: dict[str, str]) -> None:
        self._office = office
        self._headers = headers
        self._numbers = itertools.count(1)
        self.digest = Authenticator(CAROL, PASSWORD, lambda: "0a4f113b")

    async def __aenter__(self) -> Self:
        url = f"ws://{self._office.host}/ws"
        self.socket = await self._office.http.ws_connect(url, protocols=("sip",), headers=self._headers)
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.socket.close()

    def request(self, method: str, uri: str, body: str = "", *more: tuple[str, str]) -> str:
        """A request as browsers write it: hosts that do not exist."""
        number = next(self._numbers)
        fields = (
            ("Via", f"SIP/2.0/WS df7jal23ls0d.invalid;branch=z9hG4bKb{number}"),
            ("Max-Forwards", "70"),
            ("From", f"<sip:{CAROL}@{DOMAIN}>;tag=b"),
            ("To", f"<sip:{CAROL}@{DOMAIN}>" if method == "REGISTER" else f"<{uri}>"),
            ("Call-ID", "browser"),
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

    async def register(self) -> SipResponse:
        """Become Carol's device."""
        contact = (
            "Contact",
            f'<sip:b@df7jal23ls0d.invalid;transport=ws>;reg-id=1;+sip.instance="<urn:uuid:browser>";{TAGS}',
        )
        uri, supported = f"sip:{DOMAIN}", ("Supported", "outbound")
        await self.say(self.request("REGISTER", uri, "", contact, supported))
        assert self.digest.challenged(await self.answer())
        credentials = self.digest.authorize("REGISTER", uri, b"")
        await self.say(self.request("REGISTER", uri, "", contact, supported, *credentials))
        answer = await self.answer()
        self.digest.succeeded(answer)
        return answer

    async def accept(self, request: SipRequest) -> None:
        """200."""
        lines = [f"{name}: {request.header(name.lower())}" for name in ("Via", "From", "To", "Call-ID", "CSeq")]
        await self.say("\r\n".join(["SIP/2.0 200 OK", *lines, "Content-Length: 0", "", ""]))
