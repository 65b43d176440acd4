"""Settings into what transports are told: listeners and bounds."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Sequence
from ipaddress import ip_network

from joyn.config import HttpListener as HttpListenerSettings
from joyn.config import MsrpListener as MsrpListenerSettings
from joyn.config import Settings, SipListener
from joyn.protocol.sip.transaction import Timers
from joyn.transport.http import HttpLimits, HttpListener
from joyn.transport.msrp import MsrpLimits, MsrpListener
from joyn.transport.sip import Limits, Listener
from joyn.transport.tls import fingerprint_of, server_context


def _tls(listener: SipListener | MsrpListenerSettings | HttpListenerSettings) -> ssl.SSLContext | None:
    """What a listener that is spoken to in secret shows who it is with; the settings have no such one without files."""
    if listener.transport not in ("tls", "https"):
        return None
    assert listener.certificate is not None
    assert listener.key is not None
    return server_context(listener.certificate, listener.key)


def sip_listener(listener: SipListener) -> Listener:
    """A listener of the settings as the endpoint wants it."""
    return Listener(
        name=listener.name,
        transport=listener.transport.upper(),
        host=listener.host,
        port=listener.port,
        advertise=listener.advertise,
        trusted=listener.access == "trusted",
        algorithms=listener.algorithms,
        tls=_tls(listener),
    )


def sip_limits(settings: Settings) -> Limits:
    """The endpoint's bounds out of the settings."""
    s = settings.sip
    return Limits(
        max_connections=s.max_connections,
        max_connections_per_source=s.max_connections_per_source,
        max_body=s.max_body,
        max_write_buffer=s.max_write_buffer,
        idle_timeout=s.idle_timeout,
        max_in_flight=s.max_in_flight,
        max_in_flight_per_flow=s.max_in_flight_per_flow,
        flow_timer=s.flow_timer,
        timers=Timers(t1=s.t1, t2=s.t2, t4=s.t4),
    )


def msrp_listener(listener: MsrpListenerSettings) -> MsrpListener:
    """A listener of the settings as the MSRP endpoint wants it."""
    certificate = listener.certificate if listener.transport == "tls" else None
    return MsrpListener(
        name=listener.name,
        transport=listener.transport.upper(),
        host=listener.host,
        port=listener.port,
        advertise=listener.advertise,
        tls=_tls(listener),
        fingerprint=("sha-256", fingerprint_of(certificate)) if certificate else None,
    )


def http_listener(listener: HttpListenerSettings) -> HttpListener:
    """A listener of the settings as the HTTP server wants it."""
    return HttpListener(
        name=listener.name, host=listener.host, port=listener.port, advertise=listener.advertise, tls=_tls(listener)
    )


def msrp_limits(settings: Settings) -> MsrpLimits:
    """The MSRP endpoint's bounds out of the settings."""
    m = settings.msrp
    return MsrpLimits(
        max_message=m.max_message,
        max_connections=m.max_connections,
        max_connections_per_source=settings.sip.max_connections_per_source,
        max_write_buffer=settings.sip.max_write_buffer,
        idle_timeout=settings.sip.idle_timeout,
        session_idle=m.session_idle,
        timeout=m.timeout,
    )


def http_limits(settings: Settings) -> HttpLimits:
    """The HTTP server's bounds out of the settings."""
    h = settings.http
    return HttpLimits(
        max_connections=h.max_connections,
        max_connections_per_source=h.max_connections_per_source,
        shared=tuple(ip_network(network) for network in h.trusted_proxies),
    )


def websocket_listener(listeners: Sequence[HttpListener], port: int, *, secure: bool) -> Listener:
    """What Via and Contact say of us on a WebSocket that came to the HTTP listener of this port."""
    listener = next(one for one in listeners if one.port == port)
    return Listener(
        name=listener.name,
        transport="WSS" if secure else "WS",
        host=listener.host,
        port=port,
        advertise=listener.advertise,
    )


def websocket_media(settings: Settings, listener: HttpListener) -> Iterator[MsrpListener]:
    """MSRP over WebSocket is spoken wherever HTTP is; over TLS also when a front proxy ends it."""
    for transport in ["WSS"] if listener.tls else ["WS", *(["WSS"] if settings.http.trusted_proxies else [])]:
        yield MsrpListener(
            name=listener.name,
            transport=transport,
            host=listener.host,
            port=listener.port,
            advertise=listener.advertise,
        )
