"""Flows that we open: a phone's way to its server.

Spec: RFC 3261 §18.1.1, RFC 5626 §4.2 (a client keeps its flow and is reached over it).
"""

from __future__ import annotations

import asyncio
import itertools
import ssl
from dataclasses import replace
from typing import TYPE_CHECKING

from joyn.transport.http import open_websocket
from joyn.transport.sip.flow import DatagramFlow, Datagrams, Flow, StreamFlow
from joyn.transport.sip.settings import Listener
from joyn.transport.sip.websocket import WebSocketFlow

if TYPE_CHECKING:
    from joyn.transport.sip.endpoint import Endpoint

CONNECT_TIMEOUT = 5.0
"""Seconds for a connection to stand, TLS included."""

_names = itertools.count(1)


class OutgoingDatagramFlow(DatagramFlow):
    """A UDP flow with a socket of its own, connected to one server."""

    __slots__ = ()

    def send(self, data: bytes) -> None:
        """See Flow."""
        if not self.closed:
            super().send(data)

    def close(self) -> None:
        """Give the socket back."""
        self.closed = True
        self._transport.close()


async def connect(
    endpoint: Endpoint,
    transport: str,
    host: str,
    port: int,
    *,
    tls: ssl.SSLContext | None = None,
    local: tuple[str, int] | None = None,
) -> Flow:
    """Open a flow to a server; what `Endpoint.connect` documents."""
    if transport == "UDP":
        return await _datagrams(endpoint, host, port, local)
    context = (tls or ssl.create_default_context()) if transport in ("TLS", "WSS") else None
    listener = Listener(name=f"outgoing-{next(_names)}", transport=transport, host=host, port=port)
    flow: StreamFlow
    async with asyncio.timeout(CONNECT_TIMEOUT):
        if listener.web:
            flow = WebSocketFlow(endpoint, listener)
            await open_websocket(host, port, "sip", flow, tls=context, local=local)
        else:
            _, flow = await asyncio.get_running_loop().create_connection(
                lambda: StreamFlow(endpoint, listener), host, port, ssl=context, local_addr=local
            )
    flow.listener = replace(listener, host=flow.local[0], port=flow.local[1])
    if flow.closed:
        raise ConnectionAbortedError("too many connections")
    return flow


async def _datagrams(endpoint: Endpoint, host: str, port: int, local: tuple[str, int] | None) -> Flow:
    loop = asyncio.get_running_loop()
    name = f"outgoing-{next(_names)}"
    datagrams = Datagrams(endpoint, Listener(name=name, transport="UDP", host="", port=0))
    # Connected, so that only the server's datagrams come in and the kernel picks the address it sees us at.
    connected, _ = await loop.create_datagram_endpoint(lambda: datagrams, local_addr=local, remote_addr=(host, port))
    remote = connected.get_extra_info("peername")
    datagrams.listener = _listener(name, "UDP", connected)
    flow = OutgoingDatagramFlow(connected, datagrams.listener, (remote[0], remote[1]))
    endpoint.keep(flow)
    return flow


def _listener(name: str, transport: str, connected: asyncio.BaseTransport) -> Listener:
    """What Via and Contact say of us: the address the connection really has."""
    own = connected.get_extra_info("sockname")
    return Listener(name=name, transport=transport, host=own[0], port=own[1])
