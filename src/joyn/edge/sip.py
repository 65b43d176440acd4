"""The SIP door: from a request to one service call, and from its answer to a status code.

Spec: RFC 3261 §8.2 (server behaviour), RFC 3325 (asserted identity), facts §2.2 (401 for REGISTER, 407 elsewhere).
Identity comes from the authenticated flow or from the digest of the request, never from what the request claims.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from joyn import telemetry
from joyn.edge.serving import Serving
from joyn.model.aor import Aor, Numbering
from joyn.model.refused import Reason, Refused
from joyn.protocol.errors import ParseError
from joyn.protocol.sip.auth import parse_auths
from joyn.protocol.sip.headers import parse_name_addr
from joyn.protocol.sip.message import Headers, SipRequest
from joyn.services.capabilities import Capabilities, Presence
from joyn.services.messaging.destination import Destinations
from joyn.services.messaging.originating import CPIM, Originating, Submission
from joyn.services.messaging.terminating import Terminating
from joyn.services.subscribers import Authentication, Challenge
from joyn.transport.sip import Flow, Inbound

log = logging.getLogger(__name__)

ALLOW = "INVITE, ACK, BYE, CANCEL, OPTIONS, MESSAGE, REGISTER, SUBSCRIBE, UPDATE"
SERVER = "joyn"
RIDING = (
    ("conversation-id", "Conversation-ID"),
    ("contribution-id", "Contribution-ID"),
    ("inreplyto-contribution-id", "InReplyTo-Contribution-ID"),
)
"""SIP headers that go with a message to its recipient, unchanged (facts §4.1)."""

STATUS = {
    Reason.SUBSCRIBER_BLOCKED: 403,
    Reason.NOT_ALLOWED: 403,
    Reason.UNKNOWN_RECIPIENT: 404,
    # Facts §10: never 404 for a failure of ours, which would hide a contact.
    Reason.ROUTE_UNKNOWN: 503,
    Reason.MALFORMED: 400,
    Reason.UNSUPPORTED_CONTENT: 415,
    Reason.NOT_ACCEPTABLE: 488,
    Reason.TOO_LARGE: 413,
    Reason.ID_REUSED: 400,
    Reason.INTERVAL_TOO_BRIEF: 423,
    # Facts §0: five times 403 and a handset forgets its configuration; after a 5xx it waits and tries again (RFC 5626
    # §4.5). Not 503, which would send it to another server (RFC 3261 §21.5.4), where it has as many devices.
    Reason.TOO_MANY_BINDINGS: 500,
    Reason.OUT_OF_ORDER: 500,
    Reason.OVERLOADED: 503,
    Reason.STORAGE_FULL: 500,
    Reason.STOPPING: 503,
}
"""What each refusal is in SIP."""

_RIDING = frozenset(key for key, _ in RIDING)
SUPPORTED = frozenset(("path", "gruu", "outbound", "timer", "pref"))
"""The option tags that a request may require of us."""
_REQUIRING = ("require", "proxy-require")
"""RFC 3261 §8.2.2.3 and §16.3 step 5: we are the server of a request, and a proxy on its way."""
_PASSED_ON = frozenset(("MESSAGE", "INVITE"))
"""What we answer with a request of our own to somebody else, one hop further."""
_SCHEMES = frozenset(("sip:", "tel:"))
"""How nearly every Request-URI begins."""

Handler = Callable[[Inbound], Awaitable[None]]


class Unserved(Exception):
    """A request that no service is asked about, and what it is answered (RFC 3261 §8.2, §16.3)."""

    def __init__(self, status: int, headers: Headers = ()) -> None:
        super().__init__(status)
        self.status = status
        self.headers = headers


class Caller(NamedTuple):
    """Who a request is from, as the flow or its digest proved: the device, and the user name of its credentials."""

    aor: Aor
    instance: str
    username: str


class Identity:
    """Finds the caller of a request."""

    def __init__(self, numbering: Numbering, authentication: Authentication) -> None:
        self._numbering = numbering
        self._authentication = authentication

    def of_flow(self, request: SipRequest, flow: Flow) -> Caller | None:
        """The caller by the flow alone: a connection that registered, or a UDP address on trusted access."""
        known = flow.identities
        if not known or not (flow.reliable or flow.listener.trusted):
            return None
        if len(known) > 1:
            # RFC 3325 §6: the client's preference counts only among what it has registered.
            for name in ("p-preferred-identity", "from"):
                preferred = self._aor_in(request.header(name))
                if preferred is not None and preferred in known:
                    return Caller(preferred, *known[preferred])
        aor, device = next(iter(known.items()))
        return Caller(aor, *device)

    async def of_digest(self, request: SipRequest, flow: Flow) -> Caller:
        """The caller by the request's own credentials. Raises Challenge, Refused(SUBSCRIBER_BLOCKED)."""
        offered = flow.listener.algorithms
        credentials = next(iter(parse_auths(request.headers("proxy-authorization"))), None)
        claimed = self._aor_in(request.header("from")) if credentials is None else None
        subscriber = await self._authentication.authenticate(
            credentials, request.method, request.uri, request.body, offered, claimed
        )
        instance, _ = (flow.identities or {}).get(subscriber.aor, ("", ""))
        return Caller(subscriber.aor, instance, subscriber.username)

    def _aor_in(self, value: str | None) -> Aor | None:
        if not value:
            return None
        try:
            return self._numbering.aor(parse_name_addr(value).uri)
        except ParseError:
            return None


class SipDoor:
    """Every request that is new to the SIP endpoint comes in here."""

    def __init__(
        self,
        identity: Identity,
        authentication: Authentication,
        capabilities: Capabilities,
        originating: Originating,
        terminating: Terminating,
        destinations: Destinations,
    ) -> None:
        self._identity = identity
        self._authentication = authentication
        self._capabilities = capabilities
        self._originating = originating
        self._terminating = terminating
        self._destinations = destinations
        self._methods: dict[str, Handler] = {"MESSAGE": self._message, "OPTIONS": self._options}
        self._serving = Serving()

    def serve(self, **methods: Handler) -> None:
        """Let other doors serve these methods."""
        self._methods.update(methods)

    def on_request(self, inbound: Inbound) -> None:
        """Serve a request, on the loop's next turn."""
        handler = self._methods.get(inbound.request.method)
        if handler is None:
            inbound.respond(405, headers=[("Allow", ALLOW)])
            return
        self._serving.begin(self._serve(handler, inbound))

    async def close(self) -> None:
        """Let what is being served end."""
        await self._serving.ended(5.0)

    async def _serve(self, handler: Handler, inbound: Inbound) -> None:
        async def challenging() -> None:
            try:
                await handler(inbound)
            except Challenge as challenge:
                self._challenge(inbound, challenge)

        await serve(inbound, challenging)

    def _challenge(self, inbound: Inbound, challenge: Challenge) -> None:
        # Facts §2.2: handsets handle 401 on REGISTER only and 407 on everything else only.
        register = inbound.request.method == "REGISTER"
        name = "WWW-Authenticate" if register else "Proxy-Authenticate"
        headers = [(name, value) for value in self._authentication.challenges(challenge)]
        inbound.respond(401 if register else 407, headers=headers)

    async def caller(self, inbound: Inbound) -> Caller:
        """Who sent this. Raises Challenge, Refused."""
        caller = self._identity.of_flow(inbound.request, inbound.flow)
        if caller is None:
            caller = await self._identity.of_digest(inbound.request, inbound.flow)
        self._terminating.heard(caller.aor, caller.instance)
        return caller

    async def _message(self, inbound: Inbound) -> None:
        """RFC 3428: a message, a notification, a revocation; 202 once it is on disk."""
        request = inbound.request
        caller = await self.caller(inbound)
        get = request.first_values.get
        content_type = get("content-type", "")
        if content_type != CPIM and content_type.partition(";")[0].strip().lower() == CPIM:
            content_type = CPIM
        expires = get("expires")
        submission = Submission(
            sender=caller.aor,
            instance=caller.instance,
            to=request.uri,
            content_type=content_type,
            body=request.body,
            headers=riding_headers(request),
            expires=int(expires) if expires and expires.isdecimal() and len(expires) < 10 else None,
            service="pager" if content_type == CPIM else "plain",
            transaction=f"{get('call-id')} {get('cseq')} {get('from')}",
            device=aimed_at(request),
        )
        await self._originating.accept(submission)
        inbound.respond(202)

    async def _options(self, inbound: Inbound) -> None:
        """RCC.07 §2.6.1.3: the server answers for its subscribers."""
        request = inbound.request
        to_server = "@" not in request.uri and not request.uri.startswith("tel:")
        if to_server:
            inbound.respond(200, headers=[("Allow", ALLOW), ("Accept", "application/sdp, message/cpim")])
            return
        await self.caller(inbound)
        presence, tags = await self._capabilities.of((await self._destinations.choose(request.uri)).aor)
        if presence is Presence.UNKNOWN:
            inbound.respond(404)
        elif presence is Presence.OFFLINE:
            inbound.respond(480)
        else:
            contact = f"<sip:{inbound.flow.listener.sent_by}>;{tags.emit()}"
            inbound.respond(200, headers=[("Contact", contact), ("Allow", ALLOW), ("Server", SERVER)])


def check(request: SipRequest) -> None:
    """What RFC 3261 §8.2 and §16.3 want looked at before anything else. Raises Unserved and ParseError."""
    if not request.raw_head.isascii():
        _check_text(request.raw_head)
    if request.uri[:4] not in _SCHEMES and request.uri.partition(":")[0].lower() not in ("sip", "sips", "tel"):
        raise Unserved(416)
    forwards = request.header("max-forwards")
    if forwards is not None and not forwards.isdecimal():
        raise ParseError("Max-Forwards is not a number", 0)
    if forwards and not forwards.strip("0") and request.method in _PASSED_ON:
        raise Unserved(483)
    for name in _REQUIRING:
        if request.header(name) is not None:
            unknown = [tag for tag in option_tags(request, name) if tag not in SUPPORTED]
            # RFC 3261 §8.2.2.3: never for a CANCEL.
            if unknown and request.method != "CANCEL":
                raise Unserved(420, [("Unsupported", ", ".join(unknown))])


def _check_text(head: str) -> None:
    """RFC 3261 §7.3.1: UTF-8. Nothing behind the door has to know what to do with other bytes. Raises ParseError."""
    try:
        head.encode()
    except UnicodeEncodeError as error:
        raise ParseError("the head is not UTF-8", error.start) from None


def option_tags(request: SipRequest, name: str) -> list[str]:
    """The option tags of all fields called `name` (Supported, Require)."""
    return [tag.strip().lower() for value in request.headers(name) for tag in value.split(",") if tag.strip()]


def refuse(inbound: Inbound, refused: Refused) -> None:
    """Answer with the status that stands for a refusal, and what RFC 3261 wants beside it."""
    status = STATUS[refused.reason]
    headers = []
    if status == 423:
        headers.append(("Min-Expires", refused.detail))
    elif status == 503:
        headers.append(("Retry-After", "5"))
    elif refused.detail:
        headers.append(("Warning", f'399 joyn "{refused.detail.replace(chr(34), chr(39))}"'))
    telemetry.event("request.refused", method=inbound.request.method, reason=refused.reason.name)
    inbound.respond(status, headers=headers)


async def serve(inbound: Inbound, handler: Callable[[], Awaitable[None]]) -> None:
    """Serve a request at any of our doors: what goes wrong has its answer here."""
    try:
        check(inbound.request)
        await handler()
    except Refused as refused:
        refuse(inbound, refused)
    except Unserved as unserved:
        inbound.respond(unserved.status, headers=unserved.headers)
    except ParseError as error:
        inbound.respond(400, reason=f"Bad Request - {error.what}")
    except Exception:  # the loop that owns a request: a bug of ours must not leave the sender without an answer
        log.exception("serving %s failed", inbound.request.method)
        inbound.respond(500)


def riding_headers(request: SipRequest) -> str:
    """The headers that go with the message to its recipient, one `Name: value` per line."""
    first = request.first_values
    if first.keys().isdisjoint(_RIDING):
        return ""
    get = first.get
    return "\n".join([f"{name}: {value}" for key, name in RIDING if (value := get(key))])


def aimed_at(request: SipRequest) -> str:
    """The one device a request is for: a GRUU in the Request-URI, or `+sip.instance` in Accept-Contact (RFC 3841)."""
    _, found, rest = request.uri.partition(";gr=")
    if found:
        return rest.partition(";")[0]
    if "+sip.instance" not in request.raw_head:
        return ""
    for value in request.headers("accept-contact"):
        _, found, rest = value.partition('+sip.instance="<')
        if found:
            return rest.partition(">")[0]
    return ""
