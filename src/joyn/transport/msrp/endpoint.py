"""The MSRP endpoint: listeners, connections, and all sessions by their URI.

Spec: RFC 4975 §5, §14.1 (session ids of at least 80 random bits; ours have 128 or more).
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import itertools
import ssl as tls
from collections.abc import Callable

from joyn import telemetry
from joyn.model.refused import Reason, Refused
from joyn.protocol.msrp.uri import MsrpUri
from joyn.transport.msrp.connection import MsrpConnection
from joyn.transport.msrp.leg import Handler, MsrpLeg
from joyn.transport.msrp.settings import MsrpLimits, MsrpListener
from joyn.transport.wheel import TimerWheel

CONNECT_TIMEOUT = 5.0
"""Seconds to wait for a connection of ours."""
DISCARD_PORT = 9
"""What an active end without a listener writes as its port (RFC 4145 §4.1)."""
_HASHES = {"sha-1": hashlib.sha1, "sha-256": hashlib.sha256}


class MsrpEndpoint:
    """All MSRP of a node, or of a phone. `make_token` gives at least 64 random bits as text at each call."""

    def __init__(self, limits: MsrpLimits, *, make_token: Callable[[], str], now: Callable[[], float]) -> None:
        self.limits = limits
        self.now = now
        self._make_token = make_token
        self._prefix = make_token()[:8]
        self._numbers = itertools.count(1)
        self._listeners: list[MsrpListener] = []
        self._servers: list[asyncio.Server] = []
        self._legs: dict[str, MsrpLeg] = {}
        self._by_session: dict[str, MsrpLeg] = {}
        self._connections: set[MsrpConnection] = set()
        self._per_source: dict[str, int] = {}
        self._wheel: TimerWheel[MsrpLeg] = TimerWheel(now, lambda leg: leg.handle_deadline(now()))
        self._idle: TimerWheel[MsrpConnection] = TimerWheel(now, self._close_idle)

    def make_id(self) -> str:
        """A transaction id: unique here, and hard to hit by chance inside a body."""
        return f"{self._prefix}{next(self._numbers):x}"

    async def listen(self, listener: MsrpListener) -> MsrpListener:
        """Open a listener; what is returned has its real port when 0 was asked for. Raises OSError."""
        server = await asyncio.get_running_loop().create_server(
            lambda: MsrpConnection(self), listener.host, listener.port, ssl=listener.tls, backlog=4096
        )
        self._servers.append(server)
        port = server.sockets[0].getsockname()[1]
        bound = MsrpListener(
            name=listener.name,
            transport=listener.transport,
            host=listener.host,
            port=port,
            advertise=listener.advertise,
            tls=listener.tls,
            fingerprint=listener.fingerprint,
        )
        self._listeners.append(bound)
        return bound

    async def close(self) -> None:
        """Stop listening, end every session, close every connection."""
        for server in self._servers:
            server.close()
        for leg in list(self._legs.values()):
            leg.close()
        self._wheel.clear()
        self._idle.clear()
        for connection in list(self._connections):
            connection.close()

    def session(self, handler: Handler, *, tls: bool = False) -> MsrpLeg:
        """A new session with an unguessable URI on a listener of that kind; without one it can only `connect`.

        Raises Refused(OVERLOADED) when there are too many.
        """
        if len(self._legs) >= self.limits.max_sessions:
            raise Refused(Reason.OVERLOADED, "too many MSRP sessions")
        wanted = "TLS" if tls else "TCP"
        listener = next((one for one in self._listeners if one.transport == wanted), None)
        local = MsrpUri(
            scheme="msrps" if tls else "msrp",
            host=(listener.advertise or listener.host) if listener else "127.0.0.1",
            port=listener.port if listener else DISCARD_PORT,
            session_id=self._make_token() + self._make_token(),
            transport="tcp",
        )
        leg = MsrpLeg(self, handler, local, listener, self.now())
        self._legs[leg.local_path] = leg
        self._by_session[local.session_id] = leg
        self.watch(leg, leg.last_used + self.limits.session_idle)
        return leg

    def find(self, to_path: str) -> MsrpLeg | None:
        """The session a To-Path means: by its text, else by its session-id."""
        leg = self._legs.get(to_path)
        if leg is None:
            session_id = to_path.rpartition("/")[2].partition(";")[0]
            leg = self._by_session.get(session_id)
        return leg

    def forget(self, leg: MsrpLeg) -> None:
        """The session has ended."""
        self._legs.pop(leg.local_path, None)
        self._by_session.pop(leg.local.session_id, None)
        self._wheel.disarm(leg)

    # Connections.

    async def open(
        self,
        host: str,
        port: int,
        *,
        ssl: tls.SSLContext | None,
        secure: bool,
        fingerprint: tuple[str, str] | None,
    ) -> MsrpConnection:
        """Connect. Raises OSError, TimeoutError, ConnectionError when the certificate is not the announced one."""
        context = ssl
        if secure and context is None:
            # RFC 4572: without a common authority, the fingerprint in the signalling vouches for the certificate.
            if fingerprint is None:
                raise ConnectionError("msrps without a certificate authority or a fingerprint")
            context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = tls.CERT_NONE
        async with asyncio.timeout(CONNECT_TIMEOUT):
            _, connection = await asyncio.get_running_loop().create_connection(
                lambda: MsrpConnection(self), host, port, ssl=context, server_hostname=host if context else None
            )
        if fingerprint is not None and not matches(fingerprint, connection.peer_certificate()):
            connection.close()
            raise ConnectionError("the certificate is not the one that was announced")
        return connection

    def admit(self, connection: MsrpConnection) -> bool:
        """Count a connection in, or say that there are too many."""
        count = self._per_source.get(connection.remote, 0)
        if len(self._connections) >= self.limits.max_connections or count >= self.limits.max_connections_per_source:
            telemetry.event("connection.refused", source=connection.remote)
            return False
        self._per_source[connection.remote] = count + 1
        self._connections.add(connection)
        self.watch_connection(connection)
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

    def watch_connection(self, connection: MsrpConnection) -> None:
        """Close it if it has no session in a while."""
        self._idle.arm(connection, self.now() + self.limits.idle_timeout)

    def _close_idle(self, connection: MsrpConnection) -> None:
        if not connection.legs:
            connection.close()


def matches(fingerprint: tuple[str, str], certificate: bytes | None) -> bool:
    """Whether a certificate (DER) has this fingerprint (RFC 4572 §5), in constant time. Unknown hashes do not match."""
    maker = _HASHES.get(fingerprint[0].lower())
    if maker is None or certificate is None:
        return False
    actual = maker(certificate).hexdigest()
    return hmac.compare_digest(actual, fingerprint[1].replace(":", "").lower())
