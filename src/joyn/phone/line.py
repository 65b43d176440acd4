"""A line: one flow to the server, kept registered, and requests that prove who sends them.

Spec: RFC 3261 §10, §22; RFC 5626 (outbound, keep-alive), RFC 6223 (keep), RFC 3608 (Service-Route); facts §2.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from joyn.phone.journal import Journal
from joyn.phone.messages import Rejected, Unanswered
from joyn.phone.radio import FlowUser, Radio
from joyn.protocol.errors import ParseError
from joyn.protocol.sip.building import build_request
from joyn.protocol.sip.dialog import Dialog
from joyn.protocol.sip.digest import Authenticator
from joyn.protocol.sip.headers import parse_name_addrs, parse_route_set, parse_seconds, parse_via
from joyn.protocol.sip.message import Headers, SipRequest, SipResponse
from joyn.transport.sip import Flow, LocalResponse

ALLOW = "INVITE, ACK, BYE, CANCEL, OPTIONS, MESSAGE, NOTIFY, UPDATE"
USER_AGENT = "joyn-phone"
MAX_CHALLENGES = 3
"""Challenges answered for one request: the first, and one or two for nonces that went stale on the way."""
RETRY_BASE, RETRY_MAX = 0.2, 5.0
"""Seconds between attempts to register anew: doubled from the one to the other (RFC 5626 §4.5, whose half hour is for
millions of phones; this one is back soon after its server)."""
RETRIED = frozenset((408, 480, 500, 503, 504))
"""Answers to REGISTER that pass by themselves (facts §2.2)."""

Credentials = Sequence[tuple[str, str]]
"""Authorization header fields."""
Exchange = Callable[[SipRequest], Awaitable[SipResponse]]
"""Sends a finished request and gives its final answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What a phone is provisioned with. `address` is its AOR as a SIP URI, `parameters` its Contact's tags.

    `algorithm` names the digest algorithm in an empty first Authorization, as IMS phones do; empty sends none.
    `expires` is the registration asked for, in seconds.
    """

    address: str
    preferred: str
    username: str
    password: str
    domain: str
    host: str
    port: int
    transport: str
    tls: ssl.SSLContext | None = None
    instance: str = ""
    parameters: str = ""
    algorithm: str = ""
    expires: int = 3600
    reconnect: bool = True


class Line:
    """One registration. `user` hears of what comes in; `on_registered` is called after each registration."""

    user: FlowUser

    def __init__(self, account: Account, radio: Radio, journal: Journal) -> None:
        self.account = account
        self.radio = radio
        self.flow: Flow | None = None
        self.registered = False
        self.gruu = ""
        self.on_registered: Callable[[], None] = lambda: None
        self._journal = journal
        # Facts §2.2: 401 for REGISTER and 407 for the rest have nonces and counts of their own.
        self._registering = Authenticator(account.username, account.password, lambda: secrets.token_hex(8))
        self._calling = Authenticator(account.username, account.password, lambda: secrets.token_hex(8))
        self._challenges = {self._registering: 0, self._calling: 0}
        self._route: list[str] = []
        self._call_id = radio.endpoint.make_call_id()
        self._tag = radio.endpoint.make_tag()
        self._seq = 0
        self._expires = account.expires
        self._refresh: asyncio.TimerHandle | None = None
        self._alive: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    # The flow.

    async def connect(self) -> None:
        """Open the flow. Raises OSError or TimeoutError."""
        account = self.account
        self.flow = await self.radio.connect(self.user, account.transport, account.host, account.port, account.tls)
        self._journal.note("connected", f"{account.transport} {self.flow.listener.sent_by}")

    def disconnect(self) -> None:
        """Close the flow without a word, and stop trying."""
        self._stop()
        self.registered = False
        if self.flow is not None:
            self.radio.disconnect(self.flow)
            self.flow = None

    def lost(self) -> None:
        """The flow has ended by itself."""
        self._stop()
        self.registered = False
        self.flow = None
        self._journal.note("lost")
        if self.account.reconnect:
            self._task = asyncio.get_running_loop().create_task(self._return())

    def _stop(self) -> None:
        for timer in (self._refresh, self._alive, self._task):
            # A task that registers anew ends by itself.
            if timer is not None and not (timer is self._task and self._in_task()):
                timer.cancel()
        self._refresh = self._alive = self._task = None

    def _in_task(self) -> bool:
        return asyncio.current_task() is self._task

    async def _return(self) -> None:
        """Connect and register again and again, ever less often."""
        wait = RETRY_BASE
        while True:
            await asyncio.sleep(wait * random.uniform(0.5, 1.0))  # noqa: S311  # spreads phones, guards nothing
            wait = min(2 * wait, RETRY_MAX)
            try:
                if self.flow is None:
                    await self.connect()
                await self.register()
            except Rejected as rejected:
                if rejected.status not in RETRIED:
                    return
            except OSError:
                continue
            else:
                return

    @property
    def contact(self) -> str:
        """Our Contact header without expiry: where we are and what we can."""
        return f"<{self.contact_uri}>{self.account.parameters}"

    @property
    def contact_uri(self) -> str:
        """The URI at which we are reached."""
        flow = self.open_flow()
        user = self.account.address.partition(":")[2].partition("@")[0]
        return f"sip:{user}@{flow.listener.sent_by};transport={flow.listener.uri_transport}"

    @property
    def instance(self) -> str:
        """The Contact parameter that names this device, empty for one without a name."""
        return f';+sip.instance="<{self.account.instance}>"' if self.account.instance else ""

    @property
    def host(self) -> str:
        """The local address of the flow."""
        return self.open_flow().listener.host

    def via(self, parameters: str = "") -> tuple[str, str]:
        """A Via with a new branch."""
        listener = self.open_flow().listener
        branch = self.radio.endpoint.make_branch()
        return "Via", f"SIP/2.0/{listener.transport} {listener.sent_by};branch={branch};rport{parameters}"

    @property
    def web(self) -> bool:
        """Whether we speak over WebSocket, MSRP too."""
        return self.account.transport in ("WS", "WSS")

    def open_flow(self) -> Flow:
        """The flow. Raises Unanswered when there is none."""
        if self.flow is None:
            raise Unanswered(503, "not connected")
        return self.flow

    # Registration.

    async def register(self) -> None:
        """Register, or refresh; stays registered from then on. Raises Rejected."""
        answer = await self._register(self._expires)
        if answer.status == 423:
            # RFC 3261 §10.2.8: too brief; ask for what it wants.
            self._expires = _seconds(answer, "min-expires", self._expires)
            answer = await self._register(self._expires)
        if answer.status >= 300:
            self._journal.note("rejected", f"REGISTER {answer.status}")
            raise refusal(answer)
        self._registered(answer)

    async def unregister(self) -> None:
        """Take the registration back; the flow stays. Raises Rejected."""
        self._stop()
        answer = await self._register(0)
        if answer.status >= 300:
            raise refusal(answer)
        self.registered = False
        self._journal.note("unregistered")

    async def _register(self, expires: int) -> SipResponse:
        account = self.account
        outbound = f"{self.instance};reg-id=1" if account.instance else ""
        uri = f"sip:{account.domain}"
        headers = [
            ("From", f"<{account.address}>;tag={self._tag}"),
            ("To", f"<{account.address}>"),
            ("Call-ID", self._call_id),
            ("Contact", f"<{self.contact_uri}>{outbound}{account.parameters};expires={expires}"),
            ("Expires", str(expires)),
            # Facts §2.1: gruu only with an instance.
            ("Supported", "path, gruu, outbound" if account.instance else "path"),
            ("Allow", ALLOW),
            ("User-Agent", USER_AGENT),
        ]
        first: Credentials = ()
        if account.algorithm and not self._challenges[self._registering]:
            first = [("Authorization", self._registering.first_authorization(uri, account.domain, account.algorithm))]

        def build(credentials: Credentials) -> SipRequest:
            return self._request("REGISTER", uri, [*headers, *credentials], b"")

        return await self._prove("REGISTER", uri, b"", build, self._registering, first=first)

    def _registered(self, answer: SipResponse) -> None:
        granted = self._expires
        try:
            for contact in parse_name_addrs(answer.headers("contact")):
                if contact.uri == self.contact_uri:
                    granted = parse_seconds(contact.parameters.get("expires") or str(granted))
                    self.gruu = contact.parameters.get("pub-gruu") or ""
            self._route = parse_route_set(answer.headers("service-route"))
        except ParseError:
            self._route = []
        self.registered = True
        self._journal.note("registered", str(granted))
        loop = asyncio.get_running_loop()
        self._stop()
        # TS 24.229 §5.1.1.4.1: 600 s ahead, or at half time when that is too late.
        self._refresh = loop.call_later(granted - 600 if granted > 1200 else granted / 2, self._refresh_due)
        self._keep_alive(_interval(answer))
        self.on_registered()

    def _refresh_due(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._refreshed())

    async def _refreshed(self) -> None:
        try:
            await self.register()
        except Rejected as rejected:
            self.registered = False
            if rejected.status in RETRIED and self.account.reconnect:
                await self._return()

    def _keep_alive(self, interval: float) -> None:
        """RFC 5626 §4.4.1, RFC 6223: a double CRLF, some way ahead of the interval that the server named."""
        if self.flow is not None and interval:
            wait = interval * random.uniform(0.8, 0.95)  # noqa: S311  # RFC 5626 §4.4: 80 to 100 percent
            self._alive = asyncio.get_running_loop().call_later(wait, self._ping, interval)

    def _ping(self, interval: float) -> None:
        if self.flow is not None:
            self.flow.send(b"\r\n\r\n")
            self._keep_alive(interval)

    # Requests.

    async def send(
        self, method: str, uri: str, headers: Headers, body: bytes = b"", exchange: Exchange | None = None
    ) -> SipResponse:
        """Send a request outside a dialog and wait for its final answer, proving who we are when asked to.

        The answers 408 and 503 that are made here are LocalResponse. Raises Unanswered when there is no flow.
        """
        account = self.account
        endpoint = self.radio.endpoint
        own = [
            *(("Route", route) for route in self._route),
            ("From", f"<{account.address}>;tag={endpoint.make_tag()}"),
            ("To", f"<{uri}>"),
            ("Call-ID", endpoint.make_call_id()),
            ("P-Preferred-Identity", f"<{account.preferred}>"),
            ("User-Agent", USER_AGENT),
            *headers,
        ]

        def build(credentials: Credentials) -> SipRequest:
            return self._request(method, uri, [*own, *credentials], body)

        return await self._prove(method, uri, body, build, self._calling, exchange=exchange)

    async def send_within(self, dialog: Dialog, method: str, headers: Headers = (), body: bytes = b"") -> SipResponse:
        """Send a request inside a dialog, likewise."""
        given = list(headers)

        def build(credentials: Credentials) -> SipRequest:
            return dialog.request(method, [self.via(), *given, *credentials], body)

        return await self._prove(method, dialog.remote_target, body, build, self._calling)

    async def _prove(
        self,
        method: str,
        uri: str,
        body: bytes,
        build: Callable[[Credentials], SipRequest],
        authenticator: Authenticator,
        *,
        first: Credentials = (),
        exchange: Exchange | None = None,
    ) -> SipResponse:
        """Send until it is not challenged any more, or we know no better answer (RFC 3261 §8.1.3.5)."""
        for attempt in range(1 + MAX_CHALLENGES):
            credentials = first or authenticator.authorize(method, uri, body)
            first = ()
            known = self._challenges[authenticator]
            request = build(credentials)
            answer = await (exchange or self.exchange)(request)
            if answer.status in (401, 407) and attempt < MAX_CHALLENGES:
                if self._answers(authenticator, answer, known):
                    continue
            elif answer.status < 300:
                authenticator.succeeded(answer)
            break
        return answer

    def _answers(self, authenticator: Authenticator, answer: SipResponse, known: int) -> bool:
        """Whether to try again. `known` is how many challenges there had been when the request went out."""
        if known != self._challenges[authenticator]:
            return True  # another request was challenged meanwhile, and its answer serves for this one too
        if not authenticator.challenged(answer):
            return False
        self._challenges[authenticator] += 1
        return True

    def _request(self, method: str, uri: str, headers: Credentials, body: bytes) -> SipRequest:
        self._seq += 1
        # RFC 6223 §4: only where a flow is made: REGISTER here.
        via = self.via(";keep" if method == "REGISTER" else "")
        return build_request(
            method, uri, [via, ("Max-Forwards", "70"), ("CSeq", f"{self._seq} {method}"), *headers], body
        )

    async def exchange(self, request: SipRequest) -> SipResponse:
        """Send a finished request and wait for its final answer."""
        return await self.radio.endpoint.request(self.open_flow(), request)


def refusal(answer: SipResponse) -> Rejected:
    """The exception that a failure answer is."""
    if isinstance(answer, LocalResponse):
        return Unanswered(answer.status, "no answer" if answer.status == 408 else "connection lost")
    return Rejected(answer.status, answer.reason)


def _interval(answer: SipResponse) -> float:
    """Seconds between keep-alives: Via;keep=…, else Flow-Timer, else none."""
    try:
        keep = parse_via(answer.top_via).parameters.get("keep")
    except ParseError:
        keep = None
    if keep and keep.isdecimal():
        return float(keep[:6])
    return float(_seconds(answer, "flow-timer", 0))


def _seconds(answer: SipResponse, name: str, default: int) -> int:
    try:
        return parse_seconds(answer.header(name) or "")
    except ParseError:
        return default
