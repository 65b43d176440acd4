"""One TCP or TLS connection that carries MSRP sessions.

Spec: RFC 4975 §5.4 (binding), §7.3; several sessions may share a connection.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, cast

from joyn import telemetry
from joyn.protocol.errors import ParseError
from joyn.protocol.msrp.chunk import Request, Response, make_response
from joyn.protocol.msrp.connection import Framer, FramingError

if TYPE_CHECKING:
    from joyn.transport.msrp.endpoint import MsrpEndpoint
    from joyn.transport.msrp.leg import MsrpLeg

MALFORMED = telemetry.counter("frame.malformed")
STALLED = telemetry.counter("connection.stalled")


class MsrpConnection(asyncio.Protocol):
    """A connection, accepted or opened."""

    __slots__ = ("_endpoint", "_framer", "_paused", "_transport", "closed", "legs", "remote")

    def __init__(self, endpoint: MsrpEndpoint) -> None:
        self._endpoint = endpoint
        self._framer = Framer()
        self._transport: asyncio.Transport | None = None
        self._paused = 0
        self.legs: dict[str, MsrpLeg] = {}
        self.remote = ""
        self.closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, unless there are too many."""
        self._transport = cast("asyncio.Transport", transport)
        self.remote = transport.get_extra_info("peername")[0]
        if not self._endpoint.admit(self):
            self.closed = True
            self._transport.abort()
            return
        sock: socket.socket = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._transport.set_write_buffer_limits(high=self._endpoint.limits.max_write_buffer)

    def data_received(self, data: bytes) -> None:
        """Cut frames out of the stream and give each to its session."""
        try:
            frames = self._framer.receive(data)
        except FramingError as error:
            MALFORMED.inc()
            self._dispatch(error.frames)
            self.close()
            return
        self._dispatch(frames)

    def _dispatch(self, frames: list[Request | Response]) -> None:
        now = self._endpoint.now()
        for frame in frames:
            leg = self.legs.get(frame.to_path)
            if leg is None:
                leg = self._bind(frame)
            if leg is not None:
                leg.receive(frame, now)

    def _bind(self, frame: Request | Response) -> MsrpLeg | None:
        """RFC 4975 §5.4: the first request for a session of ours binds it to this connection."""
        if isinstance(frame, Response):
            return None
        leg = self._endpoint.find(frame.to_path)
        status = 0
        try:
            if leg is None or not leg.may_join(frame):
                status = 481
            elif leg.connection is not None and leg.connection is not self:
                status = 506
        except ParseError:
            status = 400
        if status:
            if frame.method != "REPORT" and not frame.partial:
                self.write(make_response(frame, status).emit())
            return None
        assert leg is not None
        leg.join(self)
        return leg

    def write(self, data: bytes) -> None:
        """Send one frame."""
        if not self.closed and self._transport is not None:
            self._transport.write(data)

    def pause_writing(self) -> None:
        """A peer that does not read is disconnected: its messages are in the mailbox, not in our memory."""
        STALLED.inc()
        telemetry.event("connection.closed", reason="slow reader")
        assert self._transport is not None
        self._transport.abort()

    def pause(self, pausing: bool) -> None:
        """Stop reading while one of the sessions has too much unanswered; resume when none has."""
        self._paused += 1 if pausing and not self._paused else 0
        if self._transport is None or self.closed:
            return
        if pausing:
            self._transport.pause_reading()
        elif self._paused:
            self._paused = 0
            self._transport.resume_reading()

    def eof_received(self) -> bool:
        """The peer sends no more: close."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Every session on it ends."""
        if self.closed:
            return
        self.closed = True
        self._endpoint.lost(self)
        for leg in list(self.legs.values()):
            leg.end("connection lost")

    def close_if_unused(self) -> None:
        """No session is left on it: give the peer a moment for another, then close."""
        if not self.legs and not self.closed:
            self._endpoint.watch_connection(self)

    def close(self) -> None:
        """Flush and close."""
        if self._transport is not None:
            self._transport.close()

    def peer_certificate(self) -> bytes | None:
        """The peer's certificate in DER, over TLS."""
        tls = self._transport.get_extra_info("ssl_object") if self._transport else None
        return tls.getpeercert(binary_form=True) if tls is not None else None
