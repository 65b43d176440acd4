"""A peer operator that the test plays: it connects to a border with a certificate, and says what it likes."""

import asyncio
import itertools
import secrets
import ssl
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from interconnect.operators import RANGES, SFR, Operator
from joyn.model.peer import Peer, PeerAddress
from joyn.protocol.sip.building import build_request
from joyn.protocol.sip.message import SipResponse
from joyn.transport.peer_tls import Identity, ensure_identity, link_context
from joyn.transport.sip import Endpoint, Flow, Limits

_numbers = itertools.count(1)


class ScriptedPeer:
    """Has a certificate, and connections to one operator's border."""

    def __init__(self, directory: Path, border: int, *, domain: str = SFR, now: float | None = None) -> None:
        self.domain = domain
        self.border = border
        at = time.time() if now is None else now
        self.identity: Identity = ensure_identity(directory / domain, domain, now=at)
        self.endpoint = Endpoint(Limits(), make_token=lambda: secrets.token_hex(8), now=time.monotonic)
        self.flow: Flow | None = None

    def as_peer(self, **fields: Any) -> Peer:
        """What its file says; it listens nowhere unless told otherwise."""
        values: dict[str, Any] = {
            "domain": self.domain,
            "name": self.domain,
            "addresses": (PeerAddress(host="127.0.0.1", port=9),),
            "certificates": self.identity.exchanged,
            "ranges": (RANGES.get(self.domain, "+999"),),
        }
        return Peer(**(values | fields))

    async def connect(self, operator: Operator) -> None:
        """Come to the border. Raises OSError when it does not let us in."""
        context: ssl.SSLContext = link_context(self.identity, operator.as_peer())
        self.flow = await self.endpoint.connect("TLS", "127.0.0.1", self.border, tls=context)

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


def asserted(*numbers: str) -> list[tuple[str, str]]:
    """P-Asserted-Identity as an operator writes it."""
    return [("P-Asserted-Identity", ", ".join(f"<tel:{number}>" for number in numbers))]
