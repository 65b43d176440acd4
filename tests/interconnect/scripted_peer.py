"""A peer operator that the test plays: it connects to a border with a certificate, or listens itself, and says what it
likes."""

import asyncio
import itertools
import random
import re
import secrets
import ssl
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

from interconnect.operators import RANGES, SFR, Operator
from joyn.model.peer import Peer, PeerAddress
from joyn.protocol.sip.building import build_request
from joyn.protocol.sip.message import SipResponse
from joyn.transport.peer_tls import Identity, border_context, ensure_identity, link_context
from joyn.transport.sip import Endpoint, Flow, Inbound, Limits, Listener
from ports import free_port

_numbers = itertools.count(1)
_MESSAGE_ID = re.compile(rb"^imdn\.Message-ID: *(\S+)", re.MULTILINE)

Mood = Literal["good", "503", "garbage", "slow"]
"""What a listening peer does with a MESSAGE: takes it, asks to be left alone for RETRY_AFTER seconds, sends noise, or
says nothing until it is in another mood."""
RETRY_AFTER = 2


class ScriptedPeer:
    """Has a certificate, and connections to one operator's border."""

    def __init__(self, directory: Path, border: int, *, domain: str = SFR, now: float | None = None) -> None:
        self.domain = domain
        self.border = border
        at = time.time() if now is None else now
        self.identity: Identity = ensure_identity(directory / domain, domain, now=at)
        self.endpoint = Endpoint(Limits(), make_token=lambda: secrets.token_hex(8), now=time.monotonic)
        self.endpoint.on_request = self._on_request
        self.flow: Flow | None = None
        self.port = 9
        """Where it listens; until then a port where nobody does."""
        self.came: list[tuple[float, str]] = []
        """When each MESSAGE came, and its Message-ID."""
        self.taken: list[str] = []
        """Message-IDs of what it has answered 202, in that order."""
        self._mood: Mood = "good"
        self._unanswered: list[Inbound] = []
        self._chance = random.Random(domain)

    def as_peer(self, **fields: Any) -> Peer:
        """What its file says; it listens nowhere unless told otherwise."""
        values: dict[str, Any] = {
            "domain": self.domain,
            "name": self.domain,
            "addresses": (PeerAddress(host="127.0.0.1", port=self.port),),
            "certificates": self.identity.exchanged,
            "ranges": (RANGES.get(self.domain, "+999"),),
        }
        return Peer(**(values | fields))

    async def connect(self, operator: Operator) -> None:
        """Come to the border. Raises OSError when it does not let us in."""
        context: ssl.SSLContext = link_context(self.identity, operator.as_peer())
        self.flow = await self.endpoint.connect("TLS", "127.0.0.1", self.border, tls=context)

    async def listen(self, *operators: Operator) -> None:
        """Be reached by these."""
        self.port = free_port()
        tls = border_context(self.identity, [one.as_peer() for one in operators])
        await self.endpoint.listen(Listener(name="peer", transport="TLS", host="127.0.0.1", port=self.port, tls=tls))

    @property
    def mood(self) -> Mood:
        return self._mood

    @mood.setter
    def mood(self, mood: Mood) -> None:
        self._mood = mood
        unanswered, self._unanswered = self._unanswered, []
        for inbound in unanswered:
            self._answer(inbound)

    def _on_request(self, inbound: Inbound) -> None:
        if inbound.request.method == "MESSAGE":
            self.came.append((time.monotonic(), _message_id(inbound)))
        self._answer(inbound)

    def _answer(self, inbound: Inbound) -> None:
        message = inbound.request.method == "MESSAGE"
        if self._mood == "slow":
            self._unanswered.append(inbound)
        elif not message or self._mood == "good":
            if message:
                self.taken.append(_message_id(inbound))
            inbound.respond(202 if message else 200)
        elif self._mood == "503":
            inbound.respond(503, headers=[("Retry-After", str(RETRY_AFTER))])
        else:
            inbound.flow.send(b"SIP/2.0 " + self._chance.randbytes(64) + b"\r\n\r\n")

    async def send(self, method: str, to: str, headers: Sequence[tuple[str, str]], body: bytes = b"") -> SipResponse:
        """Send a request and get its answer."""
        assert self.flow is not None
        number = next(_numbers)
        uri = f"sip:{to}@orange.example;user=phone"
        given = {name.lower() for name, _ in headers}
        own = [
            ("Via", f"SIP/2.0/TLS 127.0.0.1:9;branch=z9hG4bK{secrets.token_hex(8)}"),
            ("Max-Forwards", "70"),
            ("From", f"<sip:+33639980101@{self.domain}>;tag=t{number}"),
            ("To", f"<{uri}>"),
            ("Call-ID", f"call{number}"),
            ("CSeq", f"1 {method}"),
            *([("Content-Type", "message/cpim")] if body else []),
        ]
        kept = [one for one in own if one[0].lower() not in given]
        request = build_request(method, uri, [*kept, *headers], body)
        async with asyncio.timeout(10):
            return await self.endpoint.request(self.flow, request)

    async def close(self) -> None:
        await self.endpoint.close()


@asynccontextmanager
async def scripted_peer(directory: Path, operator: Operator, **fields: Any) -> AsyncIterator[ScriptedPeer]:
    """A peer whose file the operator has accepted, and that stands at its border."""
    peer = ScriptedPeer(directory, operator.border, domain=fields.pop("domain", SFR))
    try:
        await operator.accept(peer.as_peer(**fields))
        await peer.connect(operator)
        yield peer
    finally:
        await peer.close()


def _message_id(inbound: Inbound) -> str:
    found = _MESSAGE_ID.search(inbound.request.body)
    return found[1].decode() if found else ""


def asserted(*numbers: str) -> list[tuple[str, str]]:
    """P-Asserted-Identity as an operator writes it."""
    return [("P-Asserted-Identity", ", ".join(f"<tel:{number}>" for number in numbers))]
