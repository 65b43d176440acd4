"""Transactions: resend, absorb what is resent, give up in time.

Spec: RFC 3261 §17 with the accepted states of RFC 6026; RFC 4320 (late answers to non-INVITE requests).
Pure: messages and times in, actions out; every transaction ends, at the latest at the deadline it names.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from joyn.protocol.errors import ParseError, ProtocolError
from joyn.protocol.sip.building import build_request, build_response
from joyn.protocol.sip.headers import parse_name_addr, parse_via
from joyn.protocol.sip.message import SipMessage, SipRequest, SipResponse, split_commas

TRYING_AFTER = 0.2
"""Seconds after which an INVITE is answered 100 when nothing else has been said (RFC 3261 §17.2.1)."""
MAX_FORWARDS = "70"


@dataclass(frozen=True, slots=True)
class Timers:
    """RFC 3261 table 4, in seconds: round trip, longest interval of resending, how long the wire may hold a message.

    `c` is how long an INVITE may ring (§16.6 timer C: more than three minutes); each new 101 to 199 starts it anew.
    """

    t1: float = 0.5
    t2: float = 4.0
    t4: float = 5.0
    c: float = 181.0


@dataclass(frozen=True, slots=True)
class Transmit:
    """Put these bytes on the wire."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Respond:
    """To the user of a client transaction: a response, provisional or final."""

    response: SipResponse


@dataclass(frozen=True, slots=True)
class Request:
    """To the user of a server transaction: a new request."""

    request: SipRequest


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """To the user of an INVITE server transaction: an ACK that came for its 2xx (RFC 6026 §7.1)."""

    ack: SipRequest


@dataclass(frozen=True, slots=True)
class TimedOut:
    """No answer came: a client's user treats it as 408; a server's missing answer or ACK is only worth noting."""


@dataclass(frozen=True, slots=True)
class Terminated:
    """Forget this transaction. Always the last action it gives."""


Action = Transmit | Respond | Request | Acknowledged | TimedOut | Terminated
Key = tuple[str, ...]

_TIMED_OUT = TimedOut()
_TERMINATED = Terminated()
_NEVER = float("inf")


class State(IntEnum):
    """Where a transaction stands. TRYING is also called Calling in the client INVITE machine."""

    TRYING = 0
    PROCEEDING = 1
    ACCEPTED = 2
    COMPLETED = 3
    CONFIRMED = 4
    TERMINATED = 5


def client_key(message: SipMessage) -> Key:
    """What a response and the request it answers have in common: branch and method (RFC 3261 §17.1.3).

    Raises ParseError when Via or CSeq cannot be read.
    """
    method = message.method if isinstance(message, SipRequest) else message.cseq[1]
    return _branch(message.top_via), method


def server_key(request: SipRequest) -> Key:
    """What a request, its retransmissions and the ACK of its failure have in common (RFC 3261 §17.2.3).

    Sent-by is compared as text, for those messages carry the same Via. Raises ParseError when Via or CSeq are broken.
    """
    method = "INVITE" if request.method == "ACK" else request.method
    return _server_key(request, method)


def cancelled_key(request: SipRequest) -> Key:
    """The server key of the INVITE that a CANCEL is about (RFC 3261 §9.2). Raises ParseError."""
    return _server_key(request, "INVITE")


def _server_key(request: SipRequest, method: str) -> Key:
    via = request.top_via
    branch = _branch(via)
    if branch.startswith("z9hG4bK") and branch != "z9hG4bK":
        return branch, _sent(via), method
    # RFC 2543 had no branch to rely on. The To tag is left out for INVITE: its ACK has one, it has not.
    first = via if "," not in via else split_commas(via)[0]
    to_tag = "" if method == "INVITE" else _tag(request, "to")
    return first, request.uri, _tag(request, "from"), to_tag, request.call_id, str(request.cseq[0]), method


def _branch(via: str) -> str:
    """The branch of the first Via in a value."""
    if "," in via:
        via = split_commas(via)[0]
    at = via.find(";branch=") + 8
    if at < 8 or '"' in via or via.find(" ", at) >= 0:
        return parse_via(via).branch
    end = via.find(";", at)
    return via[at:] if end < 0 else via[at:end]


def _sent(via: str) -> str:
    """Sent-protocol and sent-by in lower case, of the first Via in a value."""
    return split_commas(via)[0].partition(";")[0].rstrip(" \t").lower()


def _tag(message: SipMessage, name: str) -> str:
    return parse_name_addr(message.header(name) or "").tag or ""


def build_ack(request: SipRequest, response: SipResponse) -> SipRequest:
    """The ACK that belongs to a failed INVITE (RFC 3261 §17.1.1.3); a 2xx is acknowledged by the dialog instead."""
    return _companion(request, "ACK", response.header("to") or request.header("to") or "")


def build_cancel(request: SipRequest) -> SipRequest:
    """The CANCEL of an INVITE of ours (RFC 3261 §9.1); to be sent once a provisional response has come."""
    return _companion(request, "CANCEL", request.header("to") or "")


def _companion(request: SipRequest, method: str, to: str) -> SipRequest:
    headers = [("Via", split_commas(request.top_via)[0]), ("Max-Forwards", MAX_FORWARDS)]
    headers += [("Route", route) for route in request.headers("route")]
    headers += [
        ("From", request.header("from") or ""),
        ("To", to),
        ("Call-ID", request.call_id),
        ("CSeq", f"{request.cseq[0]} {method}"),
    ]
    return build_request(method, request.uri, headers)


class _Transaction:
    """What the four machines share: a state, and up to two times at which something is due."""

    __slots__ = ("_end_at", "_interval", "_resend_at", "_timers", "reliable", "state")

    def __init__(self, reliable: bool, timers: Timers) -> None:
        self.reliable = reliable
        self.state = State.TRYING
        self._timers = timers
        self._interval = timers.t1
        self._resend_at = _NEVER
        self._end_at = _NEVER

    def deadline(self) -> float | None:
        """When `handle_deadline` is due, or None."""
        due = self._resend_at if self._resend_at < self._end_at else self._end_at
        return None if due == _NEVER else due

    def _terminate(self) -> None:
        self.state = State.TERMINATED
        self._resend_at = self._end_at = _NEVER

    def _linger(self, state: State, until: float) -> None:
        self.state = state
        self._resend_at = _NEVER
        self._end_at = until

    def _end(self) -> list[Action]:
        """The last deadline has come: it is a time-out unless everything had been said."""
        silent = self.state < State.ACCEPTED
        self._terminate()
        return [_TIMED_OUT, _TERMINATED] if silent else [_TERMINATED]


class ClientTransaction(_Transaction):
    """A request of ours other than INVITE and ACK (RFC 3261 §17.1.2). `request` must be complete, Via included."""

    __slots__ = ("request",)

    def __init__(self, request: SipRequest, now: float, reliable: bool, timers: Timers) -> None:
        super().__init__(reliable, timers)
        self.request = request
        self._end_at = now + 64 * timers.t1  # timer F

    def start(self, now: float) -> list[Action]:
        """Send it."""
        if not self.reliable:
            self._resend_at = now + self._interval  # timer E
        return [Transmit(bytes(self.request))]

    def receive(self, response: SipResponse, now: float) -> list[Action]:
        """A response with our key has come."""
        if self.state > State.PROCEEDING:
            return []
        if response.status < 200:
            self.state = State.PROCEEDING
            return [Respond(response)]
        if self.reliable:
            self._terminate()
            return [Respond(response), _TERMINATED]
        self._linger(State.COMPLETED, now + self._timers.t4)  # timer K
        return [Respond(response)]

    def handle_deadline(self, now: float) -> list[Action]:
        """Send again, give up, or end."""
        if now >= self._end_at:
            return self._end()
        if now < self._resend_at:
            return []
        # §17.1.2.2: doubled up to T2, and at once T2 when the server has said that it is at work.
        longest = self._timers.t2
        self._interval = longest if self.state is State.PROCEEDING else min(2 * self._interval, longest)
        self._resend_at = now + self._interval
        return [Transmit(bytes(self.request))]


class InviteClientTransaction(_Transaction):
    """An INVITE of ours (RFC 3261 §17.1.1, RFC 6026 §7.2). Failures are acknowledged here, a 2xx by its user.

    Every 2xx is handed on, for a fork may answer more than once; after `acknowledge`, a 2xx that only comes again is
    answered with the same ACK and not handed on.
    """

    __slots__ = ("_ack", "_to", "request")

    def __init__(self, request: SipRequest, now: float, reliable: bool, timers: Timers) -> None:
        super().__init__(reliable, timers)
        self.request = request
        self._ack = b""
        self._to = ""
        self._end_at = now + 64 * timers.t1  # timer B

    def start(self, now: float) -> list[Action]:
        """Send it."""
        if not self.reliable:
            self._resend_at = now + self._interval  # timer A
        return [Transmit(bytes(self.request))]

    def receive(self, response: SipResponse, now: float) -> list[Action]:
        """A response with our key has come."""
        status = response.status
        if self.state is State.TERMINATED:
            return []
        if self.state is State.COMPLETED:
            return [Transmit(self._ack)] if status >= 300 else []
        if self.state is State.ACCEPTED:
            if not 200 <= status < 300:
                return []
            if self._ack and response.header("to") == self._to:
                return [Transmit(self._ack)]
            return [Respond(response)]
        if status < 200:
            if status > 100 or self.state is State.TRYING:
                self._linger(State.PROCEEDING, now + self._timers.c)
            return [Respond(response)]
        if status < 300:
            self._to = response.header("to") or ""
            self._linger(State.ACCEPTED, now + 64 * self._timers.t1)  # timer M
            return [Respond(response)]
        ack = bytes(build_ack(self.request, response))
        if self.reliable:
            self._terminate()
            return [Transmit(ack), Respond(response), _TERMINATED]
        self._ack = ack
        self._linger(State.COMPLETED, now + 64 * self._timers.t1)  # timer D: at least 32 s
        return [Transmit(ack), Respond(response)]

    def acknowledge(self, ack: bytes) -> list[Action]:
        """Send the ACK of the first 2xx, and keep it for when that 2xx comes again. ProtocolError before any 2xx."""
        if self.state < State.ACCEPTED:
            raise ProtocolError("ACK before a 2xx")
        if self.state is State.ACCEPTED:
            self._ack = ack
        return [Transmit(ack)]

    def cancel(self, now: float) -> None:
        """A CANCEL has been sent: wait for a final response no longer than 64*T1 (RFC 3261 §9.1)."""
        if self.state < State.ACCEPTED:
            self._end_at = min(self._end_at, now + 64 * self._timers.t1)

    def handle_deadline(self, now: float) -> list[Action]:
        """Send again, give up, or end."""
        if now >= self._end_at:
            return self._end()
        if now < self._resend_at:
            return []
        self._interval *= 2  # §17.1.1.2: without an upper limit
        self._resend_at = now + self._interval
        return [Transmit(bytes(self.request))]


class ServerTransaction(_Transaction):
    """A request of the peer other than INVITE and ACK (RFC 3261 §17.2.2). Once answered, only the answer is kept."""

    __slots__ = ("_request", "_response")

    def __init__(self, request: SipRequest, now: float, reliable: bool, timers: Timers) -> None:
        super().__init__(reliable, timers)
        self._request: SipRequest | None = request
        self._response = b""
        # RFC 4320 §4.2: after timer F of the peer an answer helps nobody.
        self._end_at = now + 64 * timers.t1

    def start(self, now: float) -> list[Action]:  # the four machines start alike
        """Hand the request to the user."""
        return [] if self._request is None else [Request(self._request)]

    def receive(self, request: SipRequest, now: float) -> list[Action]:  # the same key says it all
        """The request has come again."""
        return [Transmit(self._response)] if self._response else []

    def send(self, response: bytes, status: int, now: float) -> list[Action]:
        """Answer. After a final response nothing more is sent (§17.2.2)."""
        if self.state > State.PROCEEDING:
            return []
        if status < 200:
            self.state = State.PROCEEDING
            self._response = response
            return [Transmit(response)]
        self._request = None
        if self.reliable:
            self._terminate()
            return [Transmit(response), _TERMINATED]
        self._response = response
        self._linger(State.COMPLETED, now + 64 * self._timers.t1)  # timer J
        return [Transmit(response)]

    def handle_deadline(self, now: float) -> list[Action]:
        """End."""
        return self._end() if now >= self._end_at else []


class InviteServerTransaction(_Transaction):
    """An INVITE of the peer (RFC 3261 §17.2.1, RFC 6026 §7.1).

    A proxy forwards a 2xx with `send`, as often as it comes. Whoever answers the call himself uses `accept`, which
    repeats the 2xx until `acknowledged`; the ACK has a branch of its own, so it is the user who sees it arrive.
    """

    __slots__ = ("_request", "_response")

    def __init__(self, request: SipRequest, now: float, reliable: bool, timers: Timers) -> None:
        super().__init__(reliable, timers)
        self._request: SipRequest | None = request
        self._response = b""
        self._resend_at = now + TRYING_AFTER
        self._end_at = now + timers.c

    def start(self, now: float) -> list[Action]:  # the four machines start alike
        """Hand the request to the user."""
        return [] if self._request is None else [Request(self._request)]

    def receive(self, request: SipRequest, now: float) -> list[Action]:
        """The INVITE has come again, or an ACK with its key."""
        if request.method == "ACK":
            return self._acknowledged(request, now)
        if self.state is State.COMPLETED or (self.state < State.ACCEPTED and self._response):
            return [Transmit(self._response)]
        return []

    def send(self, response: bytes, status: int, now: float) -> list[Action]:
        """Answer. A 2xx may be sent again and again, as long as timer L runs (RFC 6026 §7.1)."""
        if self.state is State.ACCEPTED and 200 <= status < 300:
            return [Transmit(response)]
        if self.state >= State.ACCEPTED:
            return []
        timers = self._timers
        if status < 200:
            self._response = response
            self._linger(State.PROCEEDING, now + timers.c)
            return [Transmit(response)]
        self._request = None
        if status < 300:
            self._response = b""
            self._linger(State.ACCEPTED, now + 64 * timers.t1)  # timer L
            return [Transmit(response)]
        self._response = response
        self._linger(State.COMPLETED, now + 64 * timers.t1)  # timer H
        if not self.reliable:
            self._resend_at = now + self._interval  # timer G
        return [Transmit(response)]

    def accept(self, response: bytes, now: float) -> list[Action]:
        """Answer with a 2xx of our own, to be repeated until `acknowledged`, over streams too (RFC 3261 §13.3.1.4).

        TimedOut after 64*T1 without ACK: the session must then be ended with a BYE.
        """
        actions = self.send(response, 200, now)
        if actions:
            self._response = response
            self._resend_at = now + self._interval
        return actions

    def acknowledged(self) -> None:
        """The ACK of our 2xx has come: stop repeating it."""
        if self.state is State.ACCEPTED:
            self._response = b""
            self._resend_at = _NEVER

    def handle_deadline(self, now: float) -> list[Action]:
        """Say 100, send an answer again, give up on its ACK, or end."""
        if now >= self._end_at:
            unacknowledged = self.state in (State.COMPLETED, State.ACCEPTED) and self._response != b""
            return [_TIMED_OUT, *self._end()] if unacknowledged else self._end()
        if now < self._resend_at:
            return []
        if self.state is State.TRYING:
            self.state = State.PROCEEDING
            self._resend_at = _NEVER
            self._response = self._trying()
            return [Transmit(self._response)] if self._response else []
        self._interval = min(2 * self._interval, self._timers.t2)
        self._resend_at = now + self._interval
        return [Transmit(self._response)]

    def _acknowledged(self, ack: SipRequest, now: float) -> list[Action]:
        if self.state is State.ACCEPTED:
            self.acknowledged()
            return [Acknowledged(ack)]
        if self.state is not State.COMPLETED:
            return []
        if self.reliable:
            self._terminate()
            return [_TERMINATED]
        self._response = b""
        self._linger(State.CONFIRMED, now + self._timers.t4)  # timer I
        return []

    def _trying(self) -> bytes:
        try:
            return build_response(self._request, 100) if self._request else b""
        except ParseError:
            return b""
