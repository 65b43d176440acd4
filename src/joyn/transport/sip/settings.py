"""What a SIP endpoint is told: its listeners and its bounds."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field

from joyn.protocol.sip.transaction import Timers


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """One listening socket. `transport` is `UDP`, `TCP`, `TLS`, `WS` or `WSS` (RFC 7118: upgraded from HTTP);
    `advertise` is the host written in Via and Contact.

    `trusted` means that the network has authenticated the source address (an operator's own access): only there does a
    UDP address identify a subscriber. `algorithms` overrides the subscribers' list of digest algorithms when not empty.
    """

    name: str
    transport: str
    host: str
    port: int
    advertise: str = ""
    trusted: bool = False
    algorithms: tuple[str, ...] = ()
    tls: ssl.SSLContext | None = None

    @property
    def web(self) -> bool:
        """Whether browsers come here: they can be answered over their own connections only."""
        return self.transport in ("WS", "WSS")

    @property
    def uri_transport(self) -> str:
        """What a URI says after `;transport=`. RFC 7118 §5.2.4: `ws`, with TLS and without."""
        return "ws" if self.web else self.transport.lower()

    @property
    def sent_by(self) -> str:
        """`host:port` for Via and Contact."""
        host = self.advertise or self.host
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of an endpoint, each with what happens there.

    Connections over the bound are closed at once; a body over `max_body` is answered 513 and the connection closed; a
    peer that leaves `max_write_buffer` bytes unread is disconnected; one that never sends a whole request is
    disconnected after `idle_timeout` seconds, a registered one that asked for keep-alives after `flow_timer` (and a
    grace) without any; more than `max_in_flight` requests at once are answered 503 with Retry-After, more than
    `max_in_flight_per_flow` stop the reading of that connection (UDP: 503).
    """

    max_connections: int = 20_000
    max_connections_per_source: int = 2_000
    max_body: int = 64 * 1024
    max_write_buffer: int = 256 * 1024
    idle_timeout: float = 32.0
    max_in_flight: int = 20_000
    max_in_flight_per_flow: int = 100
    flow_timer: float = 120.0
    timers: Timers = field(default_factory=Timers)
