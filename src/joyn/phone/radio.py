"""The radio: the SIP and MSRP endpoints that the phones of one process share, and who uses which flow.

A thousand phones on one radio have one timer and a flow each; a phone that is given none makes its own.
"""

from __future__ import annotations

import secrets
import ssl
import time
from typing import Protocol

from joyn.protocol.sip.message import SipRequest
from joyn.protocol.sip.transaction import Timers
from joyn.transport.msrp import MsrpEndpoint, MsrpLimits, MsrpListener
from joyn.transport.sip import Endpoint, Flow, Inbound, Limits

MAX_FLOWS = 100_000
"""Connections of one radio; the operating system's limit comes first."""

MAX_SESSIONS = 1_000_000
"""MSRP sessions of one radio; each phone has a bound of its own on chats."""


class FlowUser(Protocol):
    """Who uses a flow: told of what comes in on it."""

    def on_request(self, inbound: Inbound) -> None:
        """A new request came in."""
        ...

    def on_acknowledge(self, request: SipRequest) -> None:
        """An ACK to a 2xx came in."""
        ...

    def on_flow_lost(self) -> None:
        """The connection has ended."""
        ...


class Radio:
    """Sockets and timers for any number of phones."""

    def __init__(self, *, timers: Timers | None = None, max_body: int = 1 << 20, max_message: int = 1 << 24) -> None:
        limits = Limits(
            max_connections=MAX_FLOWS,
            max_connections_per_source=MAX_FLOWS,
            max_body=max_body,
            max_in_flight=MAX_FLOWS,
            timers=timers or Timers(),
        )
        self.endpoint = Endpoint(limits, make_token=lambda: secrets.token_hex(8), now=time.monotonic)
        self.endpoint.on_request = self._on_request
        self.endpoint.on_acknowledge = self._on_acknowledge
        self.endpoint.on_flow_lost = self._on_flow_lost
        self._users: dict[str, FlowUser] = {}
        self._max_message = max_message
        self._msrp: MsrpEndpoint | None = None
        self._listening: set[str] = set()

    @property
    def msrp(self) -> MsrpEndpoint:
        """The MSRP sessions of all phones."""
        if self._msrp is None:
            limits = MsrpLimits(
                max_message=self._max_message,
                max_connections=MAX_FLOWS,
                max_connections_per_source=MAX_FLOWS,
                max_sessions=MAX_SESSIONS,
            )
            self._msrp = MsrpEndpoint(limits, make_token=lambda: secrets.token_hex(16), now=time.monotonic)
        return self._msrp

    async def listen_for_media(self, host: str) -> None:
        """Let peers connect for MSRP, for phones that are passive. Raises OSError."""
        if host not in self._listening:
            self._listening.add(host)
            await self.msrp.listen(MsrpListener(name=f"media-{host}", transport="TCP", host=host, port=0))

    async def connect(
        self, user: FlowUser, transport: str, host: str, port: int, tls: ssl.SSLContext | None = None
    ) -> Flow:
        """Open a flow for one user. Raises OSError or TimeoutError."""
        flow = await self.endpoint.connect(transport, host, port, tls=tls)
        self._users[flow.id] = user
        return flow

    def disconnect(self, flow: Flow) -> None:
        """Close a flow; its user hears nothing more of it."""
        self._users.pop(flow.id, None)
        self.endpoint.release(flow)
        flow.close()

    async def close(self) -> None:
        """Close every flow."""
        self._users.clear()
        if self._msrp is not None:
            await self._msrp.close()
        await self.endpoint.close()

    def _on_request(self, inbound: Inbound) -> None:
        user = self._users.get(inbound.flow.id)
        if user is None:
            inbound.respond(481)
        else:
            user.on_request(inbound)

    def _on_acknowledge(self, request: SipRequest, flow: Flow) -> None:
        user = self._users.get(flow.id)
        if user is not None:
            user.on_acknowledge(request)

    def _on_flow_lost(self, flow: Flow) -> None:
        user = self._users.pop(flow.id, None)
        if user is not None:
            user.on_flow_lost()
