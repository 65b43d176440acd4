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
LIMITED = telemetry.counter("flow.limited")


class MsrpConnection(asyncio.Protocol):
    """A connection, accepted or (`outgoing`) opened by us.

    `legs` are the sessions bound to it by their own URI. `full` says that the peer does not keep up: sessions then hold
    their messages back until it does. `closed` comes after the last byte, or when the bounds did not let it in.
    """

    __slots__ = (
        "_endpoint",
        "_framer",
        "_open",
        "_pausing",
        "_transport",
        "closed",
        "full",
        "legs",
        "outgoing",
        "remote",
        "secure",
    )

    def __init__(self, endpoint: MsrpEndpoint, *, outgoing: bool = False) -> None:
        self._endpoint = endpoint
        self._framer = Framer()
        self._transport: asyncio.Transport | None = None
        self._open = False
        self._pausing = 0  # sessions that want nothing read
        self.legs: dict[str, MsrpLeg] = {}
        self.remote = ""
        self.outgoing = outgoing
        self.secure = False
        self.full = False
        self.closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, unless there are too many."""
        self._transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        if peer is None or not self._endpoint.admit(self, peer[0]):  # None: gone before we came to look
            self.closed = True
            self.turn_away()
            return
        self._open = True
        self.secure = transport.get_extra_info("ssl_object") is not None
        sock: socket.socket = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._transport.set_write_buffer_limits(high=self._endpoint.limits.hold_write_buffer)

    def turn_away(self) -> None:
        """There are too many connections."""
        assert self._transport is not None
        self._transport.abort()

    # What comes in.

    def data_received(self, data: bytes) -> None:
        """Cut frames out of the stream and give each to its session."""
        try:
            frames = self._framer.receive(data)
        except FramingError as error:
            MALFORMED.inc()
            self.dispatch(error.frames)
            # RFC 4975 §7.3.1: where the next frame begins is unknown, so nothing on it can be answered any more.
            self.close("malformed")
            return
        self.dispatch(frames)

    def dispatch(self, frames: list[Request | Response]) -> None:
        """Give each frame to the session it names."""
        now = self._endpoint.now()
        legs = self.legs
        for frame in frames:
            leg = legs.get(frame.to_path)
            if leg is not None:
                leg.receive(frame, now)
            elif type(frame) is Request:
                self._bind(frame, now)

    def _bind(self, request: Request, now: float) -> None:
        """RFC 4975 §5.4: the first SEND to a session of ours binds it to this connection."""
        try:
            leg = self._endpoint.find(request.to_path)
            status = 481 if leg is None else leg.may_join(self, request)
        except ParseError:
            leg, status = None, 400
        if leg is not None and not status:
            leg.join(self)
            leg.receive(request, now)
        elif request.method != "REPORT" and request.failure_report != "no" and not request.partial:
            self.write(make_response(request, status).emit())

    def pause(self) -> None:
        """One session more wants nothing read."""
        self._pausing += 1
        if self._pausing == 1 and self._open and self._transport is not None:
            LIMITED.inc()
            self._transport.pause_reading()

    def resume(self) -> None:
        """One session less does."""
        self._pausing -= 1
        if not self._pausing and self._open and self._transport is not None:
            self._transport.resume_reading()

    def eof_received(self) -> bool:
        """The peer sends no more: close."""
        return False

    # What goes out.

    def write(self, data: bytes) -> None:
        """Send one frame; silently nothing once the connection is being closed."""
        if self._open and self._transport is not None:
            self._transport.write(data)
            if self.full and self._transport.get_write_buffer_size() > self._endpoint.limits.max_write_buffer:
                self._stalled()

    def pause_writing(self) -> None:
        """The peer falls behind: messages wait, and it has `timeout` seconds to catch up."""
        self.full = True
        self._endpoint.watch_connection(self, self._endpoint.limits.timeout)

    def resume_writing(self) -> None:
        """It has caught up."""
        self.full = False
        self._endpoint.watch_connection(self, None if self.legs else self._endpoint.limits.idle_timeout)
        for leg in list(self.legs.values()):
            leg.flush()

    def _stalled(self) -> None:
        """A peer that does not read is disconnected: what is for it is in its mailbox, not in our memory."""
        STALLED.inc()
        self._end("slow reader")
        assert self._transport is not None
        self._transport.abort()

    # Its end.

    def leave(self, leg: MsrpLeg) -> None:
        """A session ends. Who has opened a connection closes it after the last one; who has not waits for that."""
        self.legs.pop(leg.local_path, None)
        if self.legs or not self._open:
            return
        if self.outgoing:
            self.close("unused")
        else:
            self._endpoint.watch_connection(self, self._endpoint.limits.idle_timeout)

    def close(self, reason: str = "closed") -> None:
        """End its sessions, flush what was written, close."""
        if self._open:
            self._end(reason)
            assert self._transport is not None
            self._transport.close()
            # A peer that does not read would hold it open for ever.
            self._endpoint.watch_connection(self, self._endpoint.limits.idle_timeout)

    def abort(self) -> None:
        """Close without flushing."""
        self._end("aborted")
        if self._transport is not None:
            self._transport.abort()

    def handle_deadline(self) -> None:
        """The time it was given is over: to bind a session, to catch up, or to take what was written before the end."""
        if self.full and self._open:
            self._stalled()
        elif not self._open:
            self.abort()
        elif not self.legs:
            STALLED.inc()
            self.close("no session")

    def connection_lost(self, exc: Exception | None) -> None:
        """Every session on it ends."""
        if not self.closed:
            self.closed = True
            self._end("connection lost")
            self._endpoint.lost(self)

    def _end(self, reason: str) -> None:
        if self._open:
            self._open = False
            telemetry.event("connection.closed", reason=reason)
            for leg in list(self.legs.values()):
                leg.end(reason)

    def peer_certificate(self) -> bytes | None:
        """The peer's certificate in DER, over TLS."""
        tls = self._transport.get_extra_info("ssl_object") if self._transport else None
        return tls.getpeercert(binary_form=True) if tls is not None else None
