"""What an MSRP endpoint is told: its listeners and its bounds."""

from __future__ import annotations

import ssl
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class MsrpListener:
    """One listening socket. `transport` is `TCP` or `TLS`; `advertise` is the host written in `a=path` and `c=`.

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
    """Bounds of an endpoint, each with what happens there.

    A message over `max_message` bytes is answered 413; connections over their bounds are closed at once, one that binds
    no session within `idle_timeout` seconds or leaves `max_write_buffer` bytes unread is closed; a session unused for
    `session_idle` seconds ends; a chunk unanswered for `timeout` fails with 408; with `max_unanswered` messages handed
    up and not answered, its connection is not read any further; over `max_sessions` no more are made.
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
