"""The MSRP endpoint: listeners, connections, and all sessions by their URI.

Spec: RFC 4975 §5, §14.1 (session ids of at least 80 random bits; ours have 128 or more).
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ssl as tls
from collections.abc import Callable
from dataclasses import replace

from joyn import telemetry
from joyn.model.refused import Reason, Refused
from joyn.protocol.msrp.session import Session
from joyn.protocol.msrp.uri import MsrpUri, parse_path
from joyn.transport.http import open_websocket
from joyn.transport.msrp.connection import MsrpConnection
from joyn.transport.msrp.handlers import Handler, Receiver
from joyn.transport.msrp.leg import MsrpLeg
from joyn.transport.msrp.settings import MsrpLimits, MsrpListener
from joyn.transport.msrp.websocket import WebSocketConnection
from joyn.transport.wheel import TimerWheel

CONNECT_TIMEOUT = 5.0
"""Seconds to wait for a connection of ours."""
DISCARD_PORT = 9
"""What an active end without a listener writes as its port (RFC 4145 §4.1)."""
MAX_TRANSACTION_ID = 32
"""Characters of ours (RFC 4975 §9)."""
_TRANSPORTS = {(False, False): "TCP", (False, True): "TLS", (True, False): "WS", (True, True): "WSS"}
"""By whether it is a WebSocket, and whether over TLS."""
_HASHES = {"sha-1": hashlib.sha1, "sha-256": hashlib.sha256}


class MsrpEndpoint:
    """All MSRP of a node, or of a phone.

    `make_token` gives at least 64 random bits at each call, in letters and digits; `now` is a monotonic clock, seconds.
    """

    def __init__(self, limits: MsrpLimits, *, make_token: Callable[[], str], now: Callable[[], float]) -> None:
        self.limits = limits
        self.now = now
        self._make_token = make_token
        self._window = limits.window
        self._listeners: list[MsrpListener] = []
        self._servers: list[asyncio.Server] = []
        self._legs: dict[str, MsrpLeg] = {}  # by session-id
        self._connections: set[MsrpConnection] = set()
        self._per_source: dict[str, int] = {}
        self._wheel: TimerWheel[MsrpLeg] = TimerWheel(now, lambda leg: leg.handle_deadline(now()))
        self._idle: TimerWheel[MsrpConnection] = TimerWheel(now, MsrpConnection.handle_deadline)

    def make_id(self) -> str:
        """A transaction id. RFC 4975 §7.1: random, or a message could be written to hold the end-line of its chunk."""
        return self._make_token()[:MAX_TRANSACTION_ID]

    async def listen(self, listener: MsrpListener) -> MsrpListener:
        """Open a listener; what is returned has its real port when 0 was asked for. Raises OSError."""
        server = await asyncio.get_running_loop().create_server(
            lambda: MsrpConnection(self),
            listener.host,
            listener.port,
            ssl=listener.tls,
            ssl_handshake_timeout=self.limits.idle_timeout if listener.tls else None,
            backlog=4096,
        )
        self._servers.append(server)
        bound = replace(listener, port=server.sockets[0].getsockname()[1])
        self._listeners.append(bound)
        return bound

    def announce(self, fingerprint: tuple[str, str]) -> None:
        """Sessions that begin from now on are described with this certificate: the listeners show another one now."""
        self._listeners = [replace(one, fingerprint=fingerprint) if one.tls else one for one in self._listeners]

    def listen_on_web(self, listener: MsrpListener) -> None:
        """Take WebSockets too (RFC 7977), upgraded by an HTTP listener; `transport` is `WS` or `WSS`."""
        self._listeners.append(listener)

    def accept_websocket(self) -> asyncio.Protocol:
        """The protocol for one upgraded WebSocket: a chunk is a message of it."""
        return WebSocketConnection(self)

    async def close(self) -> None:
        """Stop listening, end every session, close every connection."""
        for server in self._servers:
            server.close()
        for leg in list(self._legs.values()):
            leg.close()
        for connection in list(self._connections):
            connection.close()
        self._wheel.clear()
        self._idle.clear()

    def listens(self, *, tls: bool, web: bool = False) -> bool:
        """Whether there is a listener of that kind."""
        return any(one.transport == _TRANSPORTS[web, tls] for one in self._listeners)

    def session(
        self,
        handler: Handler,
        *,
        tls: bool = False,
        web: bool = False,
        receiver: Receiver | None = None,
        max_size: int = 0,
        idle: float = 0.0,
    ) -> MsrpLeg:
        """A new session with an unguessable URI on a listener of that kind; without one it can only `connect`.

        With a `receiver` what comes is handed up in pieces as it comes, up to `max_size` bytes in a message. `idle` is
        in the place of the endpoint's `session_idle`.
        Raises Refused(OVERLOADED) when there are too many.
        """
        if len(self._legs) >= self.limits.max_sessions:
            raise Refused(Reason.OVERLOADED, "too many MSRP sessions")
        wanted = _TRANSPORTS[web, tls]
        listener = next((one for one in self._listeners if one.transport == wanted), None)
        local = MsrpUri(
            scheme="msrps" if tls else "msrp",
            host=(listener.advertise or listener.host) if listener else "127.0.0.1",
            port=listener.port if listener else DISCARD_PORT,
            session_id=self._make_token() + self._make_token(),
            transport="ws" if web else "tcp",
        )
        size = max_size or self.limits.max_message
        leg = MsrpLeg(self, handler, local, listener, self.now(), receiver=receiver, max_size=size)
        leg.idle = idle or self.limits.session_idle
        self._legs[local.session_id] = leg
        self.watch(leg, leg.last_used + leg.idle)
        return leg

    def machine(self, leg: MsrpLeg, remote_path: str) -> Session:
        """The state machine of one session."""
        return Session(
            leg.local,
            remote_path,
            max_size=leg.max_size,
            streaming=leg.receiver is not None,
            make_id=self.make_id,
            timeout=self.limits.timeout,
            window=self._window,
        )

    def find(self, to_path: str) -> MsrpLeg | None:
        """The session a To-Path means, by the rules of RFC 4975 §6.1. Raises ParseError."""
        path = parse_path(to_path)
        leg = self._legs.get(path[0].session_id)
        # RFC 4975 §7.3: we are no relay, so nothing may follow our own URI.
        return leg if leg is not None and len(path) == 1 and path[0].matches(leg.local) else None

    def forget(self, leg: MsrpLeg) -> None:
        """The session has ended."""
        self._legs.pop(leg.local.session_id, None)
        self._wheel.disarm(leg)

    # Connections.

    async def open(
        self,
        host: str,
        port: int,
        *,
        ssl: tls.SSLContext | None,
        secure: bool,
        web: bool,
        fingerprint: tuple[str, str] | None,
    ) -> MsrpConnection:
        """Connect, through HTTP when it is `web`.

        Raises OSError, TimeoutError, ConnectionError when the certificate is not the announced one.
        """
        context = ssl
        if secure and context is None:
            # RFC 4572: without a common authority, the fingerprint in the signalling vouches for the certificate.
            if fingerprint is None:
                raise ConnectionError("msrps without a certificate authority or a fingerprint")
            context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = tls.CERT_NONE
        connection: MsrpConnection
        async with asyncio.timeout(CONNECT_TIMEOUT):
            if web:
                connection = WebSocketConnection(self, outgoing=True)
                await open_websocket(host, port, "msrp", connection, tls=context if secure else None)
            else:
                _, connection = await asyncio.get_running_loop().create_connection(
                    lambda: MsrpConnection(self, outgoing=True),
                    host,
                    port,
                    ssl=context,
                    server_hostname=host if context else None,
                )
        if connection.closed:
            raise ConnectionError("the connection was lost at once, or is one too many")
        if fingerprint is not None and not matches(fingerprint, connection.peer_certificate()):
            connection.abort()
            raise ConnectionError("the certificate is not the one that was announced")
        return connection

    def admit(self, connection: MsrpConnection, source: str) -> bool:
        """Count a connection in, or say that there are too many."""
        count = self._per_source.get(source, 0)
        if len(self._connections) >= self.limits.max_connections or count >= self.limits.max_connections_per_source:
            telemetry.event("connection.refused", source=source)
            return False
        self._per_source[source] = count + 1
        self._connections.add(connection)
        connection.remote = source
        self.watch_connection(connection, self.limits.idle_timeout)
        return True

    def lost(self, connection: MsrpConnection) -> None:
        """A connection has ended."""
        self._connections.discard(connection)
        self._idle.disarm(connection)
        left = self._per_source.get(connection.remote, 1) - 1
        if left > 0:
            self._per_source[connection.remote] = left
        else:
            self._per_source.pop(connection.remote, None)

    # Timers.

    def watch(self, leg: MsrpLeg, deadline: float, *, again: bool = False) -> None:
        """See that `leg.handle_deadline` is called by `deadline`; an earlier call that is due anyway will do."""
        if again or not leg.due_at or deadline < leg.due_at:
            leg.due_at = deadline
            self._wheel.arm(leg, deadline)

    def watch_connection(self, connection: MsrpConnection, seconds: float | None) -> None:
        """Call `connection.handle_deadline` after so many seconds, instead of what was asked for before."""
        self._idle.arm(connection, None if seconds is None else self.now() + seconds)


def matches(fingerprint: tuple[str, str], certificate: bytes | None) -> bool:
    """Whether a certificate (DER) has this fingerprint (RFC 4572 §5), in constant time. Unknown hashes do not match."""
    maker = _HASHES.get(fingerprint[0].lower())
    if maker is None or certificate is None:
        return False
    actual = maker(certificate).hexdigest()
    return hmac.compare_digest(actual.encode(), fingerprint[1].replace(":", "").lower().encode())
