"""The SIP endpoint: listeners and flows, and the transactions that run over them.

Spec: RFC 3261 §17, §18; RFC 6026. The machines are in protocol.sip.transaction; here they meet sockets and the clock.
"""

from __future__ import annotations

import asyncio
import itertools
import ssl
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace

from joyn import telemetry
from joyn.protocol.errors import ParseError
from joyn.protocol.sip.building import build_response
from joyn.protocol.sip.framing import BodyTooLong, readable
from joyn.protocol.sip.message import (
    Headers,
    SipRequest,
    SipResponse,
    find_blank_line,
    mandatory,
    parse_head,
)
from joyn.protocol.sip.transaction import (
    Acknowledged,
    Action,
    ClientTransaction,
    InviteClientTransaction,
    InviteServerTransaction,
    Key,
    Respond,
    ServerTransaction,
    State,
    Terminated,
    TimedOut,
    Transmit,
    cancelled_key,
    client_key,
    server_key,
)
from joyn.transport.sip.awaiting import Awaiting
from joyn.transport.sip.flow import DatagramFlow, Datagrams, Flow, StreamFlow
from joyn.transport.sip.outgoing import connect
from joyn.transport.sip.settings import Limits, Listener
from joyn.transport.wheel import TimerWheel

SILENCE_CHECK = 5.0
"""Seconds between two looks for silent connections."""
MAX_SERVER_TRANSACTIONS = 40_000
"""Answered UDP requests are kept for 32 s to answer their retransmissions; beyond that the oldest is forgotten, and
its retransmission is a new request, which the accept step recognises by its Message-ID."""
RETRY_AFTER = 5
"""Seconds named in Retry-After when the endpoint is overloaded."""
OVERLOADED = telemetry.counter("flow.limited")
STRAY = telemetry.counter("response.forged")

_OLDEST_AWAITED: Key = ("awaited",)
"""The wheel's name for the one timer of all that is awaited; no transaction's key is a single text."""

ServerMachine = ServerTransaction | InviteServerTransaction
ClientMachine = ClientTransaction | InviteClientTransaction


class LocalResponse(SipResponse):
    """A final response made here, not by the peer: 408 for a time-out, 503 for a lost flow (RFC 3261 §8.1.3.1)."""

    __slots__ = ()


class Inbound:
    """A request that came in, and the way to answer it.

    Over a stream nothing is sent twice, so a request other than INVITE needs no transaction: its answer is just sent.
    """

    __slots__ = ("_endpoint", "_key", "_machine", "answered", "flow", "request")

    def __init__(
        self,
        endpoint: Endpoint,
        request: SipRequest,
        flow: Flow,
        machine: ServerMachine | None = None,
        key: Key | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._machine = machine
        self._key = key
        self.request = request
        self.flow = flow
        self.answered = False

    def respond(
        self, status: int, *, reason: str = "", to_tag: str = "", headers: Headers = (), body: bytes = b""
    ) -> None:
        """Send a response. A final one ends the exchange; a second final one is ignored."""
        if self.answered:
            return
        tag = to_tag or (self._endpoint.make_tag() if status > 100 else "")
        data = build_response(self.request, status, reason=reason, to_tag=tag, headers=headers, body=body)
        if status >= 200:
            self.answered = True
            self._endpoint.answered(self.flow)
        machine, key = self._machine, self._key
        if machine is None or key is None:
            self.flow.send(data)
            return
        now = self._endpoint.now()
        if isinstance(machine, InviteServerTransaction) and 200 <= status < 300:
            actions = machine.accept(data, now)
        else:
            actions = machine.send(data, status, now)
        self._endpoint.run(key, machine, self.flow, actions)

    def acknowledged(self) -> None:
        """The ACK of our 2xx to this INVITE has come: stop repeating it (RFC 3261 §13.3.1.4)."""
        if isinstance(self._machine, InviteServerTransaction) and self._key is not None:
            self._machine.acknowledged()
            self._endpoint.run(self._key, self._machine, self.flow, [])

    def cancels_known(self) -> bool:
        """For a CANCEL: whether the INVITE it is about is known (RFC 3261 §9.2)."""
        return self._endpoint.knows(cancelled_key(self.request))


class Endpoint:
    """All SIP listeners of a node.

    `on_request(inbound)` is called for every new request, `on_acknowledge(request, flow)` for every ACK to a 2xx,
    `on_flow_lost(flow)` when a connection has ended. Responses come back from `send_request` and `send_invite`.
    """

    def __init__(self, limits: Limits, *, make_token: Callable[[], str], now: Callable[[], float]) -> None:
        self.limits = limits
        self.now = now
        self.flows: dict[str, Flow] = {}
        self.datagram_flows: dict[tuple[str, tuple[str, int]], DatagramFlow] = {}
        self.on_request: Callable[[Inbound], None] = lambda inbound: inbound.respond(503)
        self.on_acknowledge: Callable[[SipRequest, Flow], None] = lambda _request, _flow: None
        self.on_flow_lost: Callable[[Flow], None] = lambda _flow: None
        self._make_token = make_token
        self._prefix = make_token()
        self._numbers = itertools.count(1)
        self._servers: OrderedDict[Key, tuple[ServerMachine, Flow]] = OrderedDict()
        self._clients: dict[Key, tuple[ClientMachine, Flow, Callable[[SipResponse], None]]] = {}
        self._awaiting = Awaiting(64 * limits.timers.t1)
        self._expiring = False
        self._wheel = TimerWheel(now, self._due)
        self._in_flight = 0
        self._connections = 0
        self._per_source: dict[str, int] = {}
        self._listening: list[asyncio.AbstractServer | asyncio.BaseTransport] = []
        self._datagrams: dict[str, Datagrams] = {}
        self._silence_task: asyncio.Task[None] | None = None

    # Names that are ours. What an answer is recognised by is random each time: who sees one cannot tell the next.

    def make_tag(self) -> str:
        """A new From or To tag."""
        return f"{self._prefix[:8]}{next(self._numbers):x}"

    def make_branch(self) -> str:
        """A new Via branch (RFC 3261 §8.1.1.7)."""
        return f"z9hG4bK{self._make_token()}{next(self._numbers):x}"

    def make_call_id(self) -> str:
        """A new Call-ID."""
        return f"{self._make_token()}{next(self._numbers):x}"

    def new_flow_id(self, transport: str) -> str:
        """A name for a connection, unlike any of an earlier run of this node."""
        return f"{transport}|{self._prefix[:6]}{next(self._numbers):x}"

    # Listeners and flows.

    async def listen(self, listener: Listener) -> None:
        """Open a listener. Raises OSError when the address is taken."""
        loop = asyncio.get_running_loop()
        if listener.transport == "UDP":
            datagrams = Datagrams(self, listener)
            transport, _ = await loop.create_datagram_endpoint(
                lambda: datagrams, local_addr=(listener.host, listener.port)
            )
            datagrams.listener = replace(listener, port=transport.get_extra_info("sockname")[1])
            self._datagrams[listener.name] = datagrams
            self._listening.append(transport)
        else:
            bound = listener
            server = await loop.create_server(
                lambda: StreamFlow(self, bound), listener.host, listener.port, ssl=listener.tls, backlog=4096
            )
            # The port may have been left to the system; what we write in Via and Contact is the real one.
            bound = replace(listener, port=server.sockets[0].getsockname()[1])
            self._listening.append(server)
        if self._silence_task is None:
            self._silence_task = loop.create_task(self._watch_silence())

    async def connect(
        self,
        transport: str,
        host: str,
        port: int,
        *,
        tls: ssl.SSLContext | None = None,
        local: tuple[str, int] | None = None,
    ) -> Flow:
        """Open a flow to a server, as a phone does. `transport` is one of a Listener's, `local` an address to bind.

        The flow's `listener` tells the address we are seen at. Raises OSError or TimeoutError.
        """
        return await connect(self, transport, host, port, tls=tls, local=local)

    async def close(self) -> None:
        """Stop listening and close every connection."""
        if self._silence_task is not None:
            self._silence_task.cancel()
        for listening in self._listening:
            listening.close()
        for flow in list(self.flows.values()):
            flow.close()
        self._clients.clear()
        self._awaiting.clear()
        self._wheel.clear()

    def datagram_flow(self, flow_id: str) -> Flow | None:
        """The UDP flow a binding of an earlier run names, if its listener is still there."""
        _, name, host, port = flow_id.split("|")
        datagrams = self._datagrams.get(name)
        return None if datagrams is None else datagrams.flow((host, int(port)))

    def keep(self, flow: Flow) -> None:
        """A binding uses this flow: find it again by its id. A connection is known anyway, until it ends."""
        if isinstance(flow, DatagramFlow):
            self.flows[flow.id] = flow
            self.datagram_flows[flow.listener.name, flow.remote] = flow

    def release(self, flow: Flow) -> None:
        """No binding uses this UDP flow any more."""
        if isinstance(flow, DatagramFlow):
            self.flows.pop(flow.id, None)
            self.datagram_flows.pop((flow.listener.name, flow.remote), None)

    def admit(self, flow: StreamFlow) -> bool:
        """Count a new connection in, or say that there are too many."""
        source = flow.remote[0]
        count = self._per_source.get(source, 0)
        if self._connections >= self.limits.max_connections or count >= self.limits.max_connections_per_source:
            flow.closed = True
            telemetry.event("connection.refused", source=source)
            return False
        self._connections += 1
        self._per_source[source] = count + 1
        self.flows[flow.id] = flow
        return True

    def lost(self, flow: StreamFlow) -> None:
        """A connection has ended."""
        self.flows.pop(flow.id, None)
        self._connections -= 1
        source = flow.remote[0]
        left = self._per_source.get(source, 1) - 1
        if left:
            self._per_source[source] = left
        else:
            self._per_source.pop(source, None)
        if flow.outgoing:
            for key, (machine, client_flow, respond) in list(self._clients.items()):
                if client_flow is flow:
                    # RFC 3261 §17.1.4: a transport error counts as 503.
                    self._forget(key)
                    if machine.state < State.ACCEPTED:
                        respond(_local_response(machine.request, 503))
            for _, request, _, respond in self._awaiting.lost(flow):
                respond(_local_response(request, 503))
        self.on_flow_lost(flow)

    async def _watch_silence(self) -> None:
        while True:
            await asyncio.sleep(SILENCE_CHECK)
            now = self.now()
            for flow in list(self.flows.values()):
                if isinstance(flow, StreamFlow):
                    flow.check_silence(now)

    # What comes in.

    def received(self, message: SipRequest | SipResponse, flow: Flow) -> None:
        """A whole message came in on `flow`."""
        try:
            if isinstance(message, SipResponse):
                self._response(message, flow)
            else:
                message.source = flow.remote
                mandatory(message)
                self._request(message, flow)
        except ParseError as error:
            if isinstance(message, SipRequest) and message.method != "ACK":
                self._answer_malformed(message, flow, error)

    def malformed(self, flow: Flow, data: bytes, error: ParseError) -> None:
        """Bytes that are no SIP message: answered 400 (a long body: 513) if they begin like a request, else dropped."""
        end, _ = find_blank_line(data)
        try:
            message = parse_head(readable(data[: end if end >= 0 else len(data)]))
        except ParseError:
            return
        if isinstance(message, SipRequest) and message.method != "ACK":
            message.source = flow.remote
            self._answer_malformed(message, flow, error)

    def _answer_malformed(self, request: SipRequest, flow: Flow, error: ParseError) -> None:
        try:
            if request.header("via") is None:
                return
            # RFC 3261 §21.4.1: the reason phrase should name the problem.
            status, reason = 400, f"Bad Request - {error.what}"
            if isinstance(error, BodyTooLong):
                status, reason = 513, ""
            flow.send(build_response(request, status, reason=reason, to_tag=self.make_tag()))
        except (ParseError, ValueError):
            return

    def _request(self, request: SipRequest, flow: Flow) -> None:
        method = request.method
        if flow.reliable and method not in ("INVITE", "ACK"):
            self._serve(Inbound(self, request, flow))
            return
        key = server_key(request)
        known = self._servers.get(key)
        if known is not None:
            self.run(key, known[0], flow, known[0].receive(request, self.now()))
            return
        if method == "ACK":
            self.on_acknowledge(request, flow)
            return
        maker = InviteServerTransaction if method == "INVITE" else ServerTransaction
        machine = maker(request, self.now(), flow.reliable, self.limits.timers)
        self._make_room()
        self._servers[key] = (machine, flow)
        if method == "INVITE":
            self._wheel.arm(key, machine.deadline())
        self._serve(Inbound(self, request, flow, machine, key))

    def _serve(self, inbound: Inbound) -> None:
        """Hand a new request on, within the bounds."""
        flow = inbound.flow
        self._in_flight += 1
        flow.in_flight += 1
        if flow.in_flight > self.limits.max_in_flight_per_flow and flow.reliable:
            flow.pause(True)
        elif self._in_flight > self.limits.max_in_flight or flow.in_flight > self.limits.max_in_flight_per_flow:
            OVERLOADED.inc()
            inbound.respond(503, headers=[("Retry-After", str(RETRY_AFTER))])
            return
        self.on_request(inbound)

    def _make_room(self) -> None:
        if len(self._servers) >= MAX_SERVER_TRANSACTIONS:
            oldest = next(iter(self._servers))
            if self._servers[oldest][0].state >= State.ACCEPTED:
                self._forget(oldest)

    def knows(self, key: Key) -> bool:
        """Whether there is a server transaction with this key."""
        return key in self._servers

    def answered(self, flow: Flow) -> None:
        """A request of this flow has its final response."""
        self._in_flight -= 1
        flow.in_flight -= 1
        if flow.in_flight == self.limits.max_in_flight_per_flow // 2:
            flow.pause(False)

    def _response(self, response: SipResponse, flow: Flow) -> None:
        """Only where the request went to may answer it: that connection, or that address at the same listener."""
        key = client_key(response)
        awaited = self._awaiting.flow_of(key)
        if awaited is not None:
            if awaited is flow:
                self._awaiting.receive(key, response)
            else:
                STRAY.inc()
            return
        known = self._clients.get(key)
        if known is not None and known[1].id == flow.id:
            self.run(key, known[0], known[1], known[0].receive(response, self.now()))
        elif known is not None:
            STRAY.inc()

    # What goes out.

    def send_request(
        self, flow: Flow, request: SipRequest, on_response: Callable[[SipResponse], None], key: Key | None = None
    ) -> None:
        """Send a request of ours; `on_response` gets every provisional response and exactly one final one.

        `key` is what `client_key` gives for the request, if the caller knows it already.
        A time-out comes as 408 and a lost flow as 503 (RFC 3261 §8.1.3.1), made here.
        """
        if flow.closed:
            on_response(_local_response(request, 503))
            return
        invite = request.method == "INVITE"
        key = key or client_key(request)
        if flow.reliable and not invite:
            self._awaiting.add(key, request, flow, on_response, self.now())
            if not self._expiring:
                self._expire_later()
            flow.send(bytes(request))
            return
        maker = InviteClientTransaction if invite else ClientTransaction
        machine = maker(request, self.now(), flow.reliable, self.limits.timers)
        flow.outgoing += 1
        self._clients[key] = (machine, flow, on_response)
        self.run(key, machine, flow, machine.start(self.now()))

    def acknowledge(self, invite: SipRequest, ack: SipRequest) -> None:
        """Send the ACK for a 2xx to an INVITE of ours; the same 2xx coming again gets it again (RFC 6026 §7.2)."""
        key = client_key(invite)
        known = self._clients.get(key)
        if known is not None and isinstance(known[0], InviteClientTransaction):
            self.run(key, known[0], known[1], known[0].acknowledge(bytes(ack)))

    async def request(self, flow: Flow, request: SipRequest) -> SipResponse:
        """Send a request and wait for its final response."""
        future: asyncio.Future[SipResponse] = asyncio.get_running_loop().create_future()

        def on_response(response: SipResponse) -> None:
            if response.status >= 200 and not future.done():
                future.set_result(response)

        self.send_request(flow, request, on_response)
        return await future

    # Running the machines.

    def run(self, key: Key, machine: ServerMachine | ClientMachine, flow: Flow, actions: list[Action]) -> None:
        """Do what a machine asks for, and set its next timer."""
        for action in actions:
            if isinstance(action, Transmit):
                flow.send(action.data)
            elif isinstance(action, Respond):
                self._respond(key, action.response)
            elif isinstance(action, Terminated):
                self._forget(key)
                return
            elif isinstance(action, TimedOut):
                self._timed_out(key)
            elif isinstance(action, Acknowledged):
                self.on_acknowledge(action.ack, flow)
        self._wheel.arm(key, machine.deadline())

    def _forget(self, key: Key) -> None:
        self._servers.pop(key, None)
        known = self._clients.pop(key, None)
        if known is not None:
            known[1].outgoing -= 1
        self._wheel.disarm(key)

    def _respond(self, key: Key, response: SipResponse) -> None:
        known = self._clients.get(key)
        if known is not None:
            known[2](response)

    def _timed_out(self, key: Key) -> None:
        known = self._clients.get(key)
        if known is not None:
            known[2](_local_response(known[0].request, 408))

    def _due(self, key: Key) -> None:
        if key == _OLDEST_AWAITED:
            for _, request, _, respond in self._awaiting.expired(self.now()):
                respond(_local_response(request, 408))
            self._expire_later()
            return
        known = self._servers.get(key) or self._clients.get(key)
        if known is not None:
            self.run(key, known[0], known[1], known[0].handle_deadline(self.now()))

    def _expire_later(self) -> None:
        deadline = self._awaiting.deadline()
        self._expiring = deadline is not None
        self._wheel.arm(_OLDEST_AWAITED, deadline)


def _local_response(request: SipRequest, status: int) -> SipResponse:
    head, _, _ = build_response(request, status).partition(b"\r\n\r\n")
    return LocalResponse(head.decode("utf-8", "surrogateescape"), b"", status, "")
