"""Two operators in the test's own process, interconnected by what each would write into its file."""

import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from joyn.config import (
    HttpListener,
    InterconnectListener,
    InterconnectMedia,
    InterconnectSettings,
    MsrpListener,
    Settings,
    SipListener,
)
from joyn.edge.http.files import PATH as CONTENT
from joyn.model.peer import Peer, PeerAddress
from joyn.node import Node
from joyn.phone import Phone
from joyn.transport.peer_tls import Identity, ensure_identity
from phone.node import PASSWORD, make_subscriber
from ports import free_port
from waiting import until

ORANGE, SFR = "orange.example", "sfr.example"
RANGES = {ORANGE: "+336399800", SFR: "+336399801"}
ALICE, ANNA = "+33639980001", "+33639980002"
"""Orange's."""
BOB, BEN = "+33639980101", "+33639980102"
"""SFR's."""
NOBODY = "+33639980199"
"""In SFR's range, and no subscriber."""


@dataclass(slots=True)
class Operator:
    """A running node, and how phones and peers reach it."""

    node: Node
    settings: Settings
    identity: Identity
    border: int

    @property
    def domain(self) -> str:
        return self.settings.operator.domain

    def phone(self, number: str, **settings: Any) -> Phone:
        """A phone of one of its subscribers."""
        server = f"127.0.0.1:{self.settings.sip.listeners[0].port}"
        values = {"domain": self.domain, "password": PASSWORD, "server": server, "transport": "tcp"}
        if self.settings.files_url:
            values["content_server"] = f"{self.settings.files_url}{CONTENT}"
        return Phone(number, **(values | settings))

    def as_peer(self, **fields: Any) -> Peer:
        """What its file says."""
        values: dict[str, Any] = {
            "domain": self.domain,
            "name": self.domain.partition(".")[0].title(),
            "addresses": (PeerAddress(host="127.0.0.1", port=self.border),),
            "certificates": self.identity.exchanged,
            "ranges": self.settings.interconnect.own_ranges,
            "files": self.settings.files_url,
        }
        return Peer(**(values | fields))

    def reaches(self, domain: str) -> bool:
        """Whether there is a way to a peer now."""
        return self.node.interconnect.links.reaches(domain)

    async def accept(self, *peers: Peer) -> None:
        """Accept these files."""
        for peer in peers:
            await self.node.store.peers.put(peer)
        await self.node.interconnect.update()


def settings_of(
    domain: str,
    directory: Path,
    border: int,
    own: tuple[str, ...] = (),
    files: Mapping[str, Any] | None = None,
    **fields: Any,
) -> Settings:
    """An operator's settings, its store in memory. With `files` (settings of that section) it has a content server."""
    defaults = Settings()
    return replace(
        defaults,
        operator=replace(defaults.operator, domain=domain, realm=domain, data=directory),
        sip=replace(defaults.sip, listeners=(SipListener(name="tcp", transport="tcp", port=free_port()),)),
        msrp=replace(defaults.msrp, listeners=(MsrpListener(port=free_port()),)),
        http=replace(defaults.http, listeners=()),
        files=replace(
            defaults.files,
            **{"listeners": () if files is None else (HttpListener(name="files", port=free_port()),)}
            | dict(files or {}),
        ),
        store=replace(defaults.store, path=":memory:"),
        interconnect=InterconnectSettings(
            listeners=(InterconnectListener(port=border),),
            media=(InterconnectMedia(port=free_port()),),
            own_ranges=own or (RANGES[domain],),
            **fields,
        ),
    )


@asynccontextmanager
async def operator(
    domain: str, numbers: Sequence[str], *, wall: Callable[[], float] = time.time, **fields: Any
) -> AsyncIterator[Operator]:
    """One operator with these subscribers."""
    with tempfile.TemporaryDirectory() as directory:
        border = free_port()
        settings = settings_of(domain, Path(directory), border, **fields)
        identity = ensure_identity(settings.interconnect_directory, domain, ["127.0.0.1"], now=wall())
        node = Node(settings, wall=wall)
        await node.start()
        try:
            for number in numbers:
                await node.store.subscribers.put(make_subscriber(number, domain))
            yield Operator(node, settings, identity, border)
        finally:
            await node.stop()


@asynccontextmanager
async def two_operators(**fields: Any) -> AsyncIterator[tuple[Operator, Operator]]:
    """Orange and SFR, interconnected."""
    async with AsyncExitStack() as stack:
        orange = await stack.enter_async_context(operator(ORANGE, (ALICE, ANNA), **fields))
        sfr = await stack.enter_async_context(operator(SFR, (BOB, BEN), **fields))
        await orange.accept(sfr.as_peer())
        await sfr.accept(orange.as_peer())
        await until(lambda: orange.reaches(SFR) and sfr.reaches(ORANGE), within=20)
        yield orange, sfr
