"""What an MSRP endpoint is told: its listeners and its bounds."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

from joyn.protocol.msrp.outbox import CHUNK_SIZE
from joyn.protocol.msrp.session import WINDOW


@dataclass(frozen=True, slots=True, kw_only=True)
class MsrpListener:
    """One listening socket. `transport` is `TCP`, `TLS`, `WS` or `WSS`; `advertise` the host in `a=path` and `c=`.

    `fingerprint` is hash function and value of the certificate (RFC 4572), for `a=fingerprint`.
    """

    name: str
    transport: str
    host: str
    port: int
    advertise: str = ""
    tls: ssl.SSLContext | None = None
    fingerprint: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MsrpLimits:
    """Bounds of an endpoint, each with what happens there; times in seconds, sizes in bytes.

    A message over `max_message` is answered 413; connections over their bounds are closed at once, one that has no
    session for `idle_timeout` is closed. A peer that leaves a quarter of `max_write_buffer` unread gets no new messages
    until it reads, and is disconnected when it does not within `timeout`, or when the whole of it is full. A session
    unused for `session_idle` ends; a chunk unanswered for `timeout` fails with 408; with more than `max_unanswered`
    messages handed up and not answered, its connection is not read until half of them are (what had been read before is
    still handed up), nor with more than `max_held` bytes of streamed messages handed up and not taken; over
    `max_sessions` no more are made.
    """

    max_message: int = 1 << 20
    max_connections: int = 20_000
    max_connections_per_source: int = 2_000
    max_write_buffer: int = 256 << 10
    idle_timeout: float = 32.0
    session_idle: float = 300.0
    timeout: float = 30.0
    max_sessions: int = 100_000
    max_unanswered: int = 64
    max_held: int = 256 << 10

    @property
    def hold_write_buffer(self) -> int:
        """Bytes unread by the peer at which its messages are held back."""
        return self.max_write_buffer // 4

    @property
    def window(self) -> int:
        """Unanswered chunks of a session at once: with what was there before, they fit into the write buffer."""
        return max(1, min(WINDOW, self.max_write_buffer // (2 * CHUNK_SIZE)))
