"""A node in the test's own process: memory store, free loopback ports, two subscribers."""

import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from joyn.config import HttpListener, HttpSettings, MsrpListener, Settings, SipListener
from joyn.model.aor import Aor
from joyn.model.subscriber import Subscriber
from joyn.node import Node
from joyn.phone import Phone
from joyn.protocol.sip.digest import ha1
from ports import free_port

PASSWORD = "correct horse"
ALICE, BOB, CAROL = "+33639980001", "+33639980002", "+33639980003"
ALGORITHMS = ("SHA-256", "MD5")


@contextmanager
def node_settings() -> Iterator[Settings]:
    """Settings for a node on free ports, with its store in memory: UDP first, then TCP; and HTTP."""
    ports: dict[Literal["udp", "tcp"], int] = {"udp": free_port(), "tcp": free_port()}
    defaults = Settings()
    with tempfile.TemporaryDirectory() as directory:
        yield replace(
            defaults,
            operator=replace(defaults.operator, data=Path(directory)),
            sip=replace(
                defaults.sip,
                listeners=tuple(
                    SipListener(name=transport, transport=transport, port=port) for transport, port in ports.items()
                ),
            ),
            msrp=replace(defaults.msrp, listeners=(MsrpListener(port=free_port()),)),
            http=HttpSettings(listeners=(HttpListener(port=free_port()),)),
            store=replace(defaults.store, path=":memory:"),
        )


@asynccontextmanager
async def running_node(blocked: Sequence[str] = ()) -> AsyncIterator[dict[str, str]]:
    """Yields the servers by transport: `udp`, `tcp` and `ws`. Those who are `blocked` are subscribers too."""
    with node_settings() as settings:
        node = Node(settings)
        await node.start()
        try:
            for number in (ALICE, BOB, *blocked):
                subscriber = make_subscriber(number, settings.operator.domain)
                await node.store.subscribers.put(replace(subscriber, blocked=number in blocked))
            servers = {one.transport: f"127.0.0.1:{one.port}" for one in settings.sip.listeners}
            yield servers | {"ws": f"127.0.0.1:{settings.http.listeners[0].port}"}
        finally:
            await node.stop()


def make_subscriber(number: str, realm: str) -> Subscriber:
    return Subscriber(
        aor=Aor(f"tel:{number}"),
        username=number,
        realm=realm,
        ha1={algorithm: ha1(number, realm, PASSWORD, algorithm) for algorithm in ALGORITHMS},
        created_at=time.time(),
    )


def make_phone(servers: dict[str, str], number: str, transport: str = "tcp", **settings: Any) -> Phone:
    return Phone(number, password=PASSWORD, server=servers[transport], transport=transport, **settings)
