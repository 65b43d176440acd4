"""Flows: one connection, or one UDP address, that bytes come from and go back to.

Spec: RFC 5626 (flows and keep-alive), RFC 3261 §18, RFC 8489 (STUN as UDP keep-alive).
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import TYPE_CHECKING, Any, cast

from joyn import telemetry
from joyn.model.aor import Aor
from joyn.protocol.errors import ParseError
from joyn.protocol.sip.framing import BrokenStream, KeepAlive, StreamFramer
from joyn.protocol.sip.message import parse
from joyn.protocol.stun import answer_binding_request
from joyn.transport.sip.settings import Listener

if TYPE_CHECKING:
    from joyn.transport.sip.endpoint import Endpoint

KEEP_ALIVE_GRACE = 30.0
"""Seconds a keep-alive may be late before its flow counts as dead (RFC 5626 §4.4 speaks of 'significantly' late)."""
TOO_SLOW = telemetry.counter("connection.stalled")
SILENT = telemetry.counter("connection.stalled")
MALFORMED = telemetry.counter("request.malformed")


class Flow:
    """Where a peer is reached. `identities` are the AORs that authenticated on it, with the instance and the user name
    that each used.

    `id` names it in a binding; `reliable` says whether SIP must resend on it; `in_flight` counts the peer's requests
    that we have not answered, `outgoing` the requests of ours that have a transaction.
    """

    __slots__ = ("closed", "id", "identities", "in_flight", "listener", "outgoing", "remote")
    reliable = True

    def __init__(self, flow_id: str, listener: Listener, remote: tuple[str, int]) -> None:
        self.id = flow_id
        self.listener = listener
        self.remote = remote
        self.identities: dict[Aor, tuple[str, str]] | None = None
        self.in_flight = 0
        self.outgoing = 0
        self.closed = False

    @property
    def tls(self) -> ssl.SSLObject | None:
        """The TLS session, with the certificate that the peer has shown; None without TLS."""
        return None

    def authenticate(self, aor: Aor, instance: str, username: str) -> None:
        """Note that this flow speaks for `aor` from now on."""
        if self.identities is None:
            self.identities = {}
        self.identities[aor] = (instance, username)

    def forget(self, aor: Aor) -> None:
        """The AOR is no longer registered over this flow."""
        if self.identities is not None:
            self.identities.pop(aor, None)

    def send(self, data: bytes) -> None:
        """Send one message; silently nothing when the flow is closed (transactions notice by their timers)."""
        raise TypeError("a flow is a StreamFlow or a DatagramFlow")

    def close(self) -> None:
        """End the flow."""

    def abort(self) -> None:
        """End the flow at once, whatever is still to be written."""
        self.close()

    def keep_alive_wanted(self, seconds: float | None) -> None:
        """The client will send keep-alives at least this often; silence beyond that ends the flow (None: never)."""

    def pause(self, pausing: bool) -> None:
        """Stop or resume reading, when there is something to stop."""


class DatagramFlow(Flow):
    """One UDP peer. It costs nothing while it is silent and is never closed by us."""

    __slots__ = ("_transport",)
    reliable = False

    def __init__(self, transport: asyncio.DatagramTransport, listener: Listener, remote: tuple[str, int]) -> None:
        super().__init__(f"udp|{listener.name}|{remote[0]}|{remote[1]}", listener, remote)
        self._transport = transport

    def send(self, data: bytes) -> None:
        """Send one datagram."""
        self._transport.sendto(data, self.remote)


class Datagrams(asyncio.DatagramProtocol):
    """One UDP listener."""

    def __init__(self, endpoint: Endpoint, listener: Listener) -> None:
        self._endpoint = endpoint
        self.listener = listener
        self.transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the socket."""
        self.transport = cast(asyncio.DatagramTransport, transport)

    def flow(self, remote: tuple[str, int]) -> DatagramFlow:
        """The flow to that address, known or new."""
        assert self.transport is not None
        known = self._endpoint.datagram_flows.get((self.listener.name, remote))
        return known or DatagramFlow(self.transport, self.listener, remote)

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        """Hand a whole message on; keep-alives are answered here (RFC 5626 §3.5)."""
        remote = (addr[0], addr[1])
        if data[:1] < b"A":
            self._keep_alive(data, remote)
            return
        try:
            message = parse(data)
        except ParseError as error:
            MALFORMED.inc()
            self._endpoint.malformed(self.flow(remote), data, error)
            return
        self._endpoint.received(message, self.flow(remote))

    def _keep_alive(self, data: bytes, remote: tuple[str, int]) -> None:
        assert self.transport is not None
        if data.strip(b"\r\n\x00 ") == b"":
            if data == b"\r\n\r\n":
                self.transport.sendto(b"\r\n", remote)
            return
        answer = answer_binding_request(data, remote)
        if answer is not None:
            self.transport.sendto(answer, remote)
        else:
            MALFORMED.inc()


class StreamFlow(Flow, asyncio.Protocol):
    """One TCP or TLS connection."""

    __slots__ = ("_endpoint", "_framer", "_gathered", "_paused", "_timer", "_transport", "_used_at", "keep_alive")

    def __init__(self, endpoint: Endpoint, listener: Listener) -> None:
        super().__init__(endpoint.new_flow_id(listener.transport.lower()), listener, ("", 0))
        self._endpoint = endpoint
        self._framer = StreamFramer(endpoint.limits.max_body)
        self._transport: asyncio.Transport | None = None
        # TLS: what is sent in one turn of the loop is one record, and one write. None where each message is its own.
        self._gathered: list[bytes] | None = [] if listener.transport == "TLS" else None
        self._paused = False
        self._used_at = 0.0
        self.keep_alive: float | None = endpoint.limits.idle_timeout

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, unless there are too many."""
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        self.remote = (peer[0], peer[1])
        self._used_at = self._endpoint.now()
        if not self._endpoint.admit(self):
            self.turn_away()
            return
        sock: socket.socket = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._transport.set_write_buffer_limits(high=self._endpoint.limits.max_write_buffer)

    @property
    def local(self) -> tuple[str, int]:
        """Our own address."""
        assert self._transport is not None
        own = self._transport.get_extra_info("sockname")
        return (own[0], own[1])

    def turn_away(self) -> None:
        """There are too many connections."""
        assert self._transport is not None
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Cut messages out of the stream and hand them on, in order."""
        self._used_at = self._endpoint.now()
        broken = None
        try:
            messages = self._framer.receive(data)
        except BrokenStream as error:
            messages, broken = error.before, error
        for message in messages:
            if isinstance(message, KeepAlive):
                if message is KeepAlive.PING:
                    self.send(b"\r\n")
            else:
                self._endpoint.received(message, self)
        if broken is not None:
            MALFORMED.inc()
            self._endpoint.malformed(self, broken.rest, broken.error)
            self.close()

    def eof_received(self) -> bool:
        """The peer will send no more: close our side too."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the endpoint."""
        if not self.closed:
            self.closed = True
            self._endpoint.lost(self)

    def pause_writing(self) -> None:
        """RFC 3261 has no flow control: a peer that does not read what it asked for is disconnected."""
        TOO_SLOW.inc()
        telemetry.event("connection.closed", flow=self.id, reason="slow reader")
        assert self._transport is not None
        self._transport.abort()

    def send(self, data: bytes) -> None:
        """Write one message."""
        if self.closed or self._transport is None:
            return
        if self._gathered is None:
            self._transport.write(data)
            return
        if not self._gathered:
            asyncio.get_running_loop().call_soon(self._write_gathered)
        self._gathered.append(data)

    def _write_gathered(self) -> None:
        if self._gathered and self._transport is not None and not self.closed:
            data = b"".join(self._gathered)
            self._gathered.clear()
            self._transport.write(data)

    def close(self) -> None:
        """Flush what was written, then close."""
        self._write_gathered()
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """See Flow: nobody may be there to say goodbye to."""
        if self._transport is not None:
            self._transport.abort()

    @property
    def tls(self) -> ssl.SSLObject | None:
        """See Flow."""
        found: ssl.SSLObject | None = None
        if self._transport is not None:
            found = self._transport.get_extra_info("ssl_object")
        return found

    def keep_alive_wanted(self, seconds: float | None) -> None:
        """See Flow."""
        self.keep_alive = None if seconds is None else seconds + KEEP_ALIVE_GRACE

    def check_silence(self, now: float) -> None:
        """Called now and then by the endpoint: end the flow when it has been silent for too long."""
        if self.keep_alive is not None and now - self._used_at > self.keep_alive and not self.in_flight:
            SILENT.inc()
            telemetry.event("connection.closed", flow=self.id, reason="silent")
            self.close()

    def pause(self, pausing: bool) -> None:
        """See Flow."""
        if self._transport is not None and pausing != self._paused and not self.closed:
            self._paused = pausing
            if pausing:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()
