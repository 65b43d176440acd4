"""Somebody at the node's door who says what they like: raw bytes over TCP or UDP, and what comes back."""

import asyncio
import itertools
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

from joyn import telemetry
from joyn.config import HttpListener, MsrpListener, Settings, SipListener
from joyn.model.aor import Aor
from joyn.node import Node
from joyn.phone import Phone
from joyn.protocol.cpim import build
from joyn.protocol.sip.digest import Authenticator
from joyn.protocol.sip.framing import KeepAlive, StreamFramer
from joyn.protocol.sip.message import SipRequest, SipResponse
from joyn.store.sqlite.mailboxes import SqliteMailboxes
from joyn.store.sqlite.writer import Writer
from joyn.transport.sip import Flow
from joyn.transport.sip.flow import StreamFlow
from phone.node import ALICE, BOB, CAROL, PASSWORD, make_phone, make_subscriber
from ports import free_port
from waiting import until

PATIENCE = 5.0
"""Seconds an answer may take."""
SILENCE = 0.15
"""Seconds without an answer that count as none."""
DOMAIN = "joyn.localhost"
ANYBODY = "<sip:anonymous@anonymous.invalid>"
FILES: dict[str, Any] = {"listeners": (HttpListener(port=0),)}
Field = tuple[str, str]


class Door:
    """A node with Alice, Bob and Carol as subscribers, Alice's and Bob's phones, and whoever else comes."""

    def __init__(self, node: Node, ports: dict[str, int], alice: Phone, bob: Phone) -> None:
        self.node = node
        self.ports = ports
        self.alice = alice
        self.bob = bob
        self._numbers = itertools.count(1)
        self._before = telemetry.counters()

    def stranger(self, listener: str = "tcp") -> "Stranger":
        """Somebody who comes to a listener: tcp, udp or trusted."""
        return Stranger(listener, self.ports[listener])

    async def still_serves(self) -> None:
        """A good message from Alice arrives at Bob's, and her receipt comes back."""
        text = f"tout va bien {next(self._numbers)}"
        sent = await self.alice.send(BOB, text, mode="pager")
        while (await self.bob.receive(timeout=PATIENCE)).text != text:
            pass
        await sent.delivered(timeout=PATIENCE)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Returns when something has come true inside the node, which tells nobody."""
        await until(condition)

    def counted(self, name: str) -> int:
        """How far a counter has come since the door was opened."""
        return telemetry.counters().get(name, 0) - self._before.get(name, 0)


def connection(flow: Flow) -> StreamFlow:
    """A flow as the TCP connection that it is."""
    assert isinstance(flow, StreamFlow)
    return flow


def writer_of(door: Door) -> Writer:
    """Who writes the store of a node."""
    mailboxes = door.node.store.mailboxes
    assert isinstance(mailboxes, SqliteMailboxes)
    return mailboxes._writer


@asynccontextmanager
async def at_the_door(
    *,
    sip: dict[str, Any] | None = None,
    registrar: dict[str, Any] | None = None,
    msrp: dict[str, Any] | None = None,
    enum: dict[str, Any] | None = None,
    files: dict[str, Any] | None = None,
) -> AsyncIterator[Door]:
    """A running node; the settings change its sections. It has a content server when `files` are given."""
    ports = {"udp": free_port(), "tcp": free_port(), "trusted": free_port()}
    defaults = Settings()
    listeners = (
        SipListener(name="udp", transport="udp", port=ports["udp"]),
        SipListener(name="tcp", transport="tcp", port=ports["tcp"]),
        SipListener(name="trusted", transport="udp", port=ports["trusted"], access="trusted"),
    )
    with tempfile.TemporaryDirectory() as directory:
        settings = replace(
            defaults,
            operator=replace(defaults.operator, data=Path(directory)),
            sip=replace(defaults.sip, listeners=listeners, **(sip or {})),
            msrp=replace(defaults.msrp, listeners=(MsrpListener(port=free_port()),), **(msrp or {})),
            files=defaults.files if files is None else replace(defaults.files, **FILES | files),
            registrar=replace(defaults.registrar, **(registrar or {})),
            enum=replace(defaults.enum, **(enum or {})),
            store=replace(defaults.store, path=":memory:"),
        )
        node = Node(settings)
        await node.start()
        try:
            for number in (ALICE, BOB, CAROL):
                await node.store.subscribers.put(make_subscriber(number, settings.operator.domain))
            servers = {"tcp": f"127.0.0.1:{ports['tcp']}"}
            async with make_phone(servers, ALICE) as alice, make_phone(servers, BOB) as bob:
                yield Door(node, ports, alice, bob)
        finally:
            await node.stop()


def meets(story: Callable[[Door], Awaitable[None]], **settings: Any) -> None:
    """Play a story at the door; afterwards the node still serves."""

    async def play() -> None:
        async with at_the_door(**settings) as door:
            await story(door)
            await door.still_serves()

    asyncio.run(play())


class Stranger:
    """One socket, and what is said and heard over it."""

    def __init__(self, listener: str, port: int) -> None:
        self.listener = listener
        self.port = port
        self.closed = False
        self._framer = StreamFramer(1 << 20)
        self._heard: asyncio.Queue[SipRequest | SipResponse | None] = asyncio.Queue()
        self._cseq = itertools.count(1)
        self._transport: asyncio.Transport | asyncio.DatagramTransport | None = None
        self.address = ("", 0)
        self.tags = '+g.oma.sip-im;+g.3gpp.icsi-ref="urn%3Aurn-7%3A3gpp-service.ims.icsi.oma.cpm.msg"'
        self.instance = "<urn:uuid:stranger>"
        self.digest = Authenticator(CAROL, PASSWORD, lambda: "0a4f113b")

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        if self.listener == "tcp":
            self._transport, _ = await loop.create_connection(lambda: _Stream(self), "127.0.0.1", self.port)
        else:
            self._transport, _ = await loop.create_datagram_endpoint(
                lambda: _Datagrams(self), remote_addr=("127.0.0.1", self.port)
            )
        self.address = self._transport.get_extra_info("sockname")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._transport is not None
        self._transport.close()

    def heard(self, data: bytes) -> None:
        """Bytes came."""
        for message in self._framer.receive(data):
            if not isinstance(message, KeepAlive):
                self._heard.put_nowait(message)

    def ended(self) -> None:
        """The node has closed the connection."""
        self.closed = True
        self._heard.put_nowait(None)

    def deaf(self) -> None:
        """Read nothing from here on."""
        cast(asyncio.Transport, self._transport).pause_reading()

    def say(self, data: bytes) -> None:
        """Send bytes as they are."""
        if self.listener == "tcp":
            cast(asyncio.Transport, self._transport).write(data)
        else:
            cast(asyncio.DatagramTransport, self._transport).sendto(data)

    async def hear(self, patience: float = PATIENCE) -> SipRequest | SipResponse | None:
        """The next message; None when the connection has ended. Raises TimeoutError when there is nothing."""
        return await asyncio.wait_for(self._heard.get(), patience)

    async def answer(self, patience: float = PATIENCE) -> SipResponse:
        """The next response; provisional ones and requests are passed over."""
        while True:
            message = await self.hear(patience)
            assert message is not None, "the connection has ended"
            if isinstance(message, SipResponse) and message.status >= 200:
                return message

    async def requested(self, method: str, patience: float = PATIENCE) -> SipRequest:
        """The next request of that kind; what else comes is passed over."""
        while True:
            message = await self.hear(patience)
            assert message is not None, "the connection has ended"
            if isinstance(message, SipRequest) and message.method == method:
                return message

    async def silence(self) -> None:
        """Fails when the node answers."""
        try:
            message = await self.hear(SILENCE)
        except TimeoutError:
            return
        assert message is None, f"answered {message}"

    async def ask(self, data: bytes) -> SipResponse:
        """Send bytes and wait for the answer."""
        self.say(data)
        return await self.answer()

    async def status(self, data: bytes) -> int:
        """The status that bytes are answered with."""
        return (await self.ask(data)).status

    async def prove(self, method: str, uri: str, body: bytes = b"", **fields: Any) -> SipResponse:
        """Ask, and answer the challenge that comes."""
        answer = await self.ask(self.request(method, uri, body=body, **fields))
        assert answer.status in (401, 407), answer.status
        assert self.digest.challenged(answer)
        return await self.again(method, uri, body, **fields)

    async def again(self, method: str, uri: str, body: bytes = b"", **fields: Any) -> SipResponse:
        """Ask with credentials from the start, made with the newest nonce."""
        given = fields.pop("more", [])
        credentials = self.digest.authorize(method, uri, body)
        answer = await self.ask(self.request(method, uri, body=body, more=[*given, *credentials], **fields))
        if answer.status < 300:
            self.digest.succeeded(answer)
        return answer

    async def register(self, number: str = CAROL, password: str = PASSWORD, **fields: Any) -> SipResponse:
        """Become a subscriber's phone: this flow speaks for them from here on."""
        self.digest = Authenticator(number, password, lambda: "0a4f113b")
        more = [("Contact", self.contact(number)), *fields.pop("more", [])]
        return await self.prove("REGISTER", f"sip:{DOMAIN}", from_=number, to=f"<{uri(number)}>", more=more, **fields)

    def contact(self, number: str) -> str:
        """A Contact as RCS phones send it."""
        host, port = self.address[:2]
        transport = "tcp" if self.listener == "tcp" else "udp"
        return f'<sip:{number}@{host}:{port};transport={transport}>;+sip.instance="{self.instance}";{self.tags}'

    def request(
        self,
        method: str,
        to_uri: str,
        *,
        body: bytes = b"",
        more: list[Field] | None = None,
        without: str = "",
        from_: str = CAROL,
        to: str = "",
        **changed: str,
    ) -> bytes:
        """A request that is right but for what is said: `changed` values of headers (`max_forwards`), one left out."""
        number = next(self._cseq)
        transport = "TCP" if self.listener == "tcp" else "UDP"
        host, port = self.address[:2]
        fields: dict[str, str] = {
            "Via": f"SIP/2.0/{transport} {host}:{port};branch=z9hG4bKstranger{port}n{number};rport",
            "Max-Forwards": "70",
            "From": f"<{uri(from_)}>;tag=s",
            "To": to or f"<{to_uri}>",
            "Call-ID": f"stranger {port} {number}",
            "CSeq": f"{number} {method}",
            "Content-Length": str(len(body)),
        }
        changes = {name.replace("_", "-"): value for name, value in changed.items()}
        lines = [f"{name}: {changes.get(name.lower(), value)}" for name, value in fields.items() if name != without]
        lines += [f"{name}: {value}" for name, value in more or []]
        head = "\r\n".join([f"{method} {to_uri} SIP/2.0", *lines, "", ""])
        return head.encode("utf-8", "surrogateescape") + body

    def message(self, recipient: str = BOB, cpim: bytes | None = None, **fields: Any) -> bytes:
        """A MESSAGE with CPIM."""
        body = make_cpim("salut") if cpim is None else cpim
        more = [("Content-Type", "message/cpim"), *fields.pop("more", [])]
        return self.request("MESSAGE", f"tel:{recipient}", body=body, more=more, **fields)


class _Stream(asyncio.Protocol):
    def __init__(self, stranger: Stranger) -> None:
        self._stranger = stranger

    def data_received(self, data: bytes) -> None:
        self._stranger.heard(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stranger.ended()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, stranger: Stranger) -> None:
        self._stranger = stranger

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        self._stranger.heard(data)


def uri(number: str) -> str:
    """A subscriber's SIP URI; what is a URI already stays."""
    return number if ":" in number else f"sip:{number}@{DOMAIN};user=phone"


def aor(number: str) -> Aor:
    """A subscriber's AOR."""
    return Aor(f"tel:{number}")


_ids = itertools.count(1)


def make_cpim(text: str, *, message_id: str = "", content_type: str = "text/plain", **fields: Any) -> bytes:
    """A CPIM message with an id of its own that asks for receipts."""
    return build(
        **({"from_": ANYBODY, "to": ANYBODY, "disposition_request": ("positive-delivery", "display")} | fields),
        content_type=content_type,
        body=text.encode(),
        message_id=message_id or f"s{next(_ids)}",
    )
