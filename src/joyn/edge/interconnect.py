"""The border: what peer operators send us, and what of it we believe.

Spec: IR.90, TS 29.165, RFC 3325 §5 (facts §10; attacks: caller-ID spoofing, forged receipts). Who a request is from is
its connection's certificate; whom it speaks for must be somebody who is reached through that peer now.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import lru_cache
from typing import Final

from joyn import telemetry
from joyn.edge.serving import Serving
from joyn.edge.sip import ALLOW, SERVER, aimed_at, riding_headers, serve
from joyn.model.aor import Aor
from joyn.model.peer import Peer, mailbox_of, operator_of
from joyn.model.refused import Reason, Refused
from joyn.protocol.file_info import CONTENT_TYPE as FILE_INFO
from joyn.protocol.iscomposing import CONTENT_TYPE as COMPOSING
from joyn.protocol.sip.headers import parse_name_addr
from joyn.protocol.sip.message import SipRequest, split_commas
from joyn.protocol.sip.uri import SipUri, number_of, parse_uri
from joyn.services.capabilities import Capabilities, Presence
from joyn.services.interconnect.requests import FORWARDER, service_named
from joyn.services.messaging.originating import CPIM, Originating, Submission
from joyn.transport.sip import Flow, Inbound

__all__ = ["BorderDoor", "Budget", "Homes"]

log = logging.getLogger(__name__)

PAUSED_FOR: Final = 60
"""Seconds that a paused peer is asked to wait."""
MAX_ASSERTED: Final = 2
"""Identities in P-Asserted-Identity (RFC 3325 §9.1: one SIP URI, one tel URI)."""
FILES: Final = FILE_INFO.encode()
"""Of every message that leads to files, whatever else is written in it."""
MAX_NAMES: Final = 16_384
"""Names of peers' subscribers that are remembered, and identities that were read."""
MAX_NAME: Final = 128
"""Characters of a name that are."""
MAX_IDENTITY: Final = 1024
"""Characters of all of a P-Asserted-Identity, and of a URI that may mean a number: both are remembered."""

Handler = Callable[[Inbound, Peer], Awaitable[None]]


class Budget:
    """Requests that one peer may send: `rate` a second, and a second's worth at once."""

    __slots__ = ("_at", "_left", "rate")

    def __init__(self, rate: int, now: float) -> None:
        self.rate = rate
        self._left = float(rate)
        self._at = now

    def take(self, now: float) -> bool:
        """Whether one more may be served now."""
        self._left = min(float(self.rate), self._left + (now - self._at) * self.rate)
        self._at = now
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True


class Homes:
    """Whose subscriber a number is, as routing has it now.

    `of(aor)` is the operator's domain, empty for a subscriber of ours, None for nobody's; `holder(aor)` is the operator
    whom the number's range was given to, whoever serves it now, empty when that is not known.
    """

    def __init__(self, of: Callable[[Aor], Awaitable[str | None]], holder: Callable[[Aor], Awaitable[str]]) -> None:
        self.of = of
        self.holder = holder


class BorderDoor:
    """Every request of a peer comes in here. `peer_of(flow)` is whose certificate a connection has shown; `domain` is
    ours.

    `names` is what peers' subscribers are called, by their peers; `rate` what a peer may send in a second unless it was
    agreed otherwise. `heard(peer)` is called for each request. `localise(operator, sender, message)` is the message
    with our links to the sender's files, if so agreed with their operator.
    """

    def __init__(
        self,
        peer_of: Callable[[Flow], Peer | None],
        homes: Homes,
        originating: Originating,
        capabilities: Capabilities,
        *,
        domain: str,
        rate: int,
        now: Callable[[], float],
        names: dict[Aor, str],
        heard: Callable[[Peer], None],
        localise: Callable[[str, Aor, bytes], Awaitable[bytes]],
    ) -> None:
        self._peer_of = peer_of
        self._homes = homes
        self._originating = originating
        self._capabilities = capabilities
        self._domain = domain
        self._rate = rate
        self._now = now
        self._names = names
        self._heard = heard
        self._localise = localise
        self._budgets: dict[str, Budget] = {}
        self._methods: dict[str, Handler] = {"MESSAGE": self._message, "OPTIONS": self._options}
        self._serving = Serving()

    def serve(self, **methods: Handler) -> None:
        """Let others serve these methods."""
        self._methods.update(methods)

    def on_request(self, inbound: Inbound) -> None:
        """Serve a request, on the loop's next turn."""
        peer = self._peer_of(inbound.flow)
        if peer is None:
            # Its certificate was good when it connected, and is not any more.
            inbound.respond(403)
            inbound.flow.close()
            return
        self._heard(peer)
        if peer.paused:
            inbound.respond(503, headers=[("Retry-After", str(PAUSED_FOR))])
            return
        if not self.admits(peer):
            inbound.respond(503, headers=[("Retry-After", "1")])
            return
        handler = self._methods.get(inbound.request.method)
        if handler is None:
            inbound.respond(405, headers=[("Allow", ALLOW)])
            return
        self._serving.begin(serve(inbound, lambda: handler(inbound, peer)))

    async def close(self) -> None:
        """Let what is being served end."""
        await self._serving.ended(5.0)

    def admits(self, peer: Peer) -> bool:
        """Whether one more request, or message in a session, is taken of this peer now."""
        if not peer.paused and self._budget(peer).take(self._now()):
            return True
        telemetry.event("peer.limited", peer=peer.domain)
        return False

    def _budget(self, peer: Peer) -> Budget:
        rate = peer.rate or self._rate
        budget = self._budgets.get(peer.domain)
        if budget is None or budget.rate != rate:
            budget = self._budgets[peer.domain] = Budget(rate, self._now())
        return budget

    # Who is meant.

    async def sender(self, request: SipRequest, peer: Peer, recipient: Aor) -> tuple[Aor, str, bool]:
        """Whom the peer speaks for, the operator that is reached through, and whether it only forwards that; what else
        the request says of its sender is the sender's own claim. Raises ParseError, Refused(NOT_ALLOWED)."""
        aor, name = _asserted(tuple(request.headers("p-asserted-identity")))
        if aor is None:
            return await self._forwarded(request, peer, recipient)
        operator = await self._homes.of(aor)
        if not operator or (operator != peer.domain and operator not in peer.transit):
            telemetry.event("peer.spoofed", peer=peer.domain, sender=aor)
            raise Refused(Reason.NOT_ALLOWED, "the asserted number is not reached through this peer")
        self._remember(aor, name)
        return aor, operator, False

    async def _forwarded(self, request: SipRequest, peer: Peer, recipient: Aor) -> tuple[Aor, str, bool]:
        """A donor forwards what it still had for a number that has come to us: only the one whose range that is may."""
        if await self._homes.holder(recipient) != peer.domain:
            telemetry.event("peer.spoofed", peer=peer.domain, sender=recipient)
            raise Refused(Reason.NOT_ALLOWED, "the recipient's number was never this peer's")
        sender = _number(parse_name_addr(request.header("referred-by") or "").uri)
        operator = None if sender is None else await self._homes.of(sender)
        if sender is None or operator is None:
            raise Refused(Reason.NOT_ALLOWED, "nobody knows whose message that is")
        return sender, operator, True

    def _remember(self, aor: Aor, name: str) -> None:
        name = name[:MAX_NAME]
        if self._names.get(aor, "") == name:
            return
        if len(self._names) >= MAX_NAMES:
            self._names.pop(next(iter(self._names)))
        self._names[aor] = name

    @staticmethod
    def recipient(request: SipRequest) -> Aor:
        """Whom the request is for. Raises Refused(UNKNOWN_RECIPIENT)."""
        aor = _number(request.uri)
        if aor is None:
            raise Refused(Reason.UNKNOWN_RECIPIENT)
        return aor

    # What they ask for.

    async def _message(self, inbound: Inbound, peer: Peer) -> None:
        """A message, a notification, a revocation; 202 once it is on disk."""
        submission = await self.submission(inbound.request, peer, inbound.request.body)
        await self._originating.accept(await self.localised(submission))
        inbound.respond(202)

    async def localised(self, submission: Submission) -> Submission:
        """The same with our links to files, where they are files of its sender's operator. Raises Refused.

        What goes on to another operator keeps its links: they are not that one's to fetch from us.
        """
        if submission.content_type != CPIM or FILES not in submission.body.lower():
            return submission
        operator = operator_of(submission.instance)
        ours = await self._homes.of(Aor(submission.to)) == ""
        if not ours or await self._homes.of(submission.sender) != operator:
            return submission
        body = await self._localise(operator, submission.sender, submission.body)
        return replace(submission, body=body, original=submission.body)

    async def parties(self, request: SipRequest, peer: Peer) -> tuple[Aor, Aor, str, bool]:
        """Whom a request is for, whom it is from, the operator that is reached through, and whether it is forwarded.

        Raises ParseError, Refused: NOT_ALLOWED, UNKNOWN_RECIPIENT.
        """
        recipient = self.recipient(request)
        sender, operator, forwarded = await self.sender(request, peer, recipient)
        home = await self._homes.of(recipient)
        gone_on = forwarded or home in (operator, peer.domain)
        if home and (gone_on or await self._homes.holder(recipient) != self._domain):
            # We are no hub. Only what was ours and has moved do we send on, and never back to where it came from.
            raise Refused(Reason.UNKNOWN_RECIPIENT)
        return recipient, sender, operator, forwarded

    async def submission(self, request: SipRequest, peer: Peer, body: bytes) -> Submission:
        """What a request brings, as the originating function takes it. Raises ParseError, Refused."""
        recipient, sender, operator, forwarded = await self.parties(request, peer)
        content_type = request.header("content-type") or ""
        bare = content_type.partition(";")[0].strip().lower()
        if bare not in (CPIM, COMPOSING):
            raise Refused(Reason.UNSUPPORTED_CONTENT, "message/cpim is wanted at the border")
        expires = request.header("expires")
        return Submission(
            sender=sender,
            instance=mailbox_of(operator) if operator else "",  # what a donor returns was sent by one of ours
            to=recipient,
            content_type=bare,
            body=body,
            headers=riding_headers(request),
            expires=int(expires) if expires and expires.isdecimal() and len(expires) < 10 else None,
            service=service_named(request.header("p-asserted-service") or ""),
            transaction=f"{request.call_id} {request.header('cseq')} {request.header('from')}",
            device=aimed_at(request),
            forwarded=peer.domain if forwarded else "",
        )

    async def _options(self, inbound: Inbound, peer: Peer) -> None:
        """RCC.07 §2.6.1.3: we answer for our subscribers, and say nothing of their devices but what they can do."""
        request = inbound.request
        if "@" not in request.uri and not request.uri.startswith("tel:"):
            inbound.respond(200, headers=[("Allow", ALLOW), ("Accept", "message/cpim")])
            return
        aor = self.recipient(request)
        presence, tags = await self._capabilities.here(aor)
        if presence is Presence.UNKNOWN:
            inbound.respond(404)
        elif presence is Presence.OFFLINE:
            inbound.respond(480)
        else:
            contact = f"<sip:{inbound.flow.listener.sent_by}>;{tags.emit()}"
            inbound.respond(200, headers=[("Contact", contact), ("Allow", ALLOW), ("Server", SERVER)])


@lru_cache(maxsize=MAX_NAMES)
def _asserted(fields: tuple[str, ...]) -> tuple[Aor | None, str]:
    """Whom P-Asserted-Identity names, and what they are called; None for a forwarder, who speaks for others.

    A sender's are the same each time. Raises ParseError, Refused(NOT_ALLOWED).
    """
    if sum(map(len, fields)) > MAX_IDENTITY:
        raise Refused(Reason.NOT_ALLOWED, "P-Asserted-Identity is too long")
    asserted = [parse_name_addr(value) for field in fields for value in split_commas(field)]
    if not asserted or len(asserted) > MAX_ASSERTED:
        raise Refused(Reason.NOT_ALLOWED, "P-Asserted-Identity names nobody, or too many")
    if len(asserted) == 1 and _user_of(asserted[0].uri) == FORWARDER:
        return None, ""
    found = {_number(one.uri) for one in asserted}
    aor = next(iter(found))
    if aor is None or len(found) > 1:
        raise Refused(Reason.NOT_ALLOWED, "P-Asserted-Identity is no number, or two")
    return aor, next((one.display_name for one in asserted if one.display_name), "")


@lru_cache(maxsize=MAX_NAMES)
def _number(uri: str) -> Aor | None:
    """The number that a peer's URI means; the domain beside it is the peer's own affair."""
    number = number_of(uri) if len(uri) <= MAX_IDENTITY else None
    return None if number is None else Aor(f"tel:{number}")


def _user_of(uri: str) -> str:
    parsed = parse_uri(uri)
    return (parsed.user or "") if isinstance(parsed, SipUri) else ""
