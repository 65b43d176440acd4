"""The REGISTER door.

Spec: RFC 3261 §10, RFC 5626 (outbound), RFC 5627 (public GRUU), RFC 6223 (keep), RFC 7315 (P-Associated-URI),
RFC 3608 (Service-Route), RFC 8599 (push); facts §2.1, §2.2, §13.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol

from joyn import telemetry
from joyn.edge.sip import ALLOW, SERVER, Unserved, option_tags
from joyn.model.aor import Aor, Numbering
from joyn.model.binding import Binding
from joyn.model.refused import Reason, Refused
from joyn.model.subscriber import Subscriber
from joyn.protocol.sip.auth import parse_auths
from joyn.protocol.sip.headers import NameAddr, parse_contacts, parse_name_addr
from joyn.protocol.sip.message import SipRequest
from joyn.services.push.contacts import PushContacts, UnsupportedProvider, device_of
from joyn.services.registrar import Registrar, Registration
from joyn.services.subscribers import Authentication, Challenge
from joyn.transport.sip import Flow, Inbound

REGISTERED = telemetry.counter("binding.refreshed")


class Flows(Protocol):
    """Which flows are found again by their id: those that a binding uses."""

    def keep(self, flow: Flow) -> None:
        """A binding uses it."""
        ...

    def release(self, flow: Flow) -> None:
        """No binding does."""
        ...


class RegistrationDoor:
    """Authenticates a REGISTER, applies it, and tells the client all it wants to know."""

    def __init__(
        self,
        authentication: Authentication,
        registrar: Registrar,
        numbering: Numbering,
        flows: Flows,
        *,
        wall: Callable[[], float],
        flow_timer: float,
        gruu: bool,
        push: PushContacts | None = None,
    ) -> None:
        self._authentication = authentication
        self._registrar = registrar
        self._numbering = numbering
        self._flows = flows
        self._wall = wall
        self._flow_timer = flow_timer
        self._gruu = gruu
        self._push = push
        # REGISTERs whose bindings are being written, by flow: one of several AORs' must not release it for the others.
        self._binding: Counter[str] = Counter()

    async def register(self, inbound: Inbound) -> None:
        """Serve a REGISTER."""
        request, flow = inbound.request, inbound.flow
        credentials = next(iter(parse_auths(request.headers("authorization"))), None)
        claimed = self._numbering.aor(address_of_record(request)) if credentials is None else None
        subscriber = await self._authentication.authenticate(
            credentials, "REGISTER", request.uri, request.body, flow.listener.algorithms, claimed
        )
        self._check_to(request, subscriber)
        contacts = parse_contacts(request.headers("contact")) if request.header("contact") else None
        feature_caps = self._feature_caps(contacts)
        expires = request.header("expires")
        registration = Registration(
            aor=subscriber.aor,
            contacts=contacts,
            expires=min(int(expires[:10]), 2**31) if expires and expires.isdecimal() else None,
            call_id=request.call_id,
            cseq=request.cseq[0],
            flow=flow.id,
            path=", ".join(request.headers("path")),
            user_agent=(request.header("user-agent") or "")[:200],
            username=subscriber.username,
        )
        bindings = await self._bind(registration, flow)
        if flow.closed:
            # It broke while the binding was being written: whoever watches flows saw no binding on it yet.
            await self._registrar.flow_lost(flow.id)
            return
        found = await self._authentication.find(subscriber.username)
        if found is None or found.blocked:
            # Signed out, removed or blocked while the binding was being written: whoever did that saw no binding yet.
            await self._registrar.remove_of(subscriber.aor, subscriber.username)
            raise Challenge(subscriber.algorithms)
        self._authenticate_flow(flow, subscriber.aor, bindings)
        REGISTERED.inc()
        inbound.respond(200, headers=[*self._answer(request, flow, subscriber, bindings), *feature_caps])
        if self._push is not None and contacts is not None:
            # After the answer: what waits in the mailbox is on its way already, and must not overtake it.
            named = None
            if not isinstance(contacts, str):
                named = [device_of(instance_of(one), one.uri) for one in contacts]
            await self._push.registered(subscriber.aor, named, bindings)

    async def _bind(self, registration: Registration, flow: Flow) -> tuple[Binding, ...]:
        """Apply a REGISTER; afterwards its flow is kept if a binding uses it, and only then. Raises Refused."""
        # Kept before the bindings exist: what waits in the mailbox goes out as soon as they do.
        self._flows.keep(flow)
        self._binding[flow.id] += 1
        try:
            return await self._registrar.register(registration)
        finally:
            self._binding[flow.id] -= 1
            if self._registrar.on_flow(flow.id):
                self._flows.keep(flow)
            elif not self._binding[flow.id]:
                self._flows.release(flow)
            if not self._binding[flow.id]:
                del self._binding[flow.id]

    def _feature_caps(self, contacts: Sequence[NameAddr] | str | None) -> list[tuple[str, str]]:
        """RFC 8599 §5: what a device that asks for push is told of it. Raises Unserved for a service not here."""
        push = self._push
        if push is None or contacts is None or isinstance(contacts, str):
            return []
        try:
            # All of them are looked at, whatever the first one says.
            wishes = [push.wish(contact.uri) for contact in contacts]
        except UnsupportedProvider:
            raise Unserved(555, [("Feature-Caps", push.feature_caps)]) from None
        return [("Feature-Caps", push.feature_caps)] if any(wishes) else []

    def _check_to(self, request: SipRequest, subscriber: Subscriber) -> None:
        """RFC 3261 §10.3 step 5: only one's own may be registered; 404, since a 403 makes clients wipe."""
        uri = address_of_record(request)
        if self._numbering.aor(uri) == subscriber.aor:
            return
        # IMS clients write their private identity's user part with the home domain (facts §1).
        if uri.partition(":")[2].partition(";")[0] in (
            subscriber.username,
            f"{subscriber.username}@{subscriber.realm}",
        ):
            return
        raise Refused(Reason.UNKNOWN_RECIPIENT, "To is not an address of this subscriber")

    def _authenticate_flow(self, flow: Flow, aor: Aor, bindings: tuple[Binding, ...]) -> None:
        here = [binding for binding in bindings if binding.flow == flow.id]
        if here:
            flow.authenticate(aor, here[-1].instance, here[-1].username)
        else:
            flow.forget(aor)

    def _answer(
        self, request: SipRequest, flow: Flow, subscriber: Subscriber, bindings: tuple[Binding, ...]
    ) -> list[tuple[str, str]]:
        gruu = self._gruu and "gruu" in option_tags(request, "supported")
        headers = [("Contact", self._contact(binding, gruu)) for binding in bindings]
        path = request.header("path")
        if path:
            headers += [("Path", value) for value in request.headers("path")]
        sip = self._numbering.sip_uri(subscriber.aor)
        associated = f"<{subscriber.aor}>, <{sip}>" if sip != subscriber.aor else f"<{sip}>"
        transport = flow.listener.uri_transport
        headers += [
            ("P-Associated-URI", associated),
            ("Service-Route", f"<sip:{flow.listener.sent_by};transport={transport};lr>"),
            ("Allow", ALLOW),
            ("Server", SERVER),
            ("Authentication-Info", f'nextnonce="{self._authentication.nonce()}"'),
        ]
        outbound = any(binding.flow == flow.id and binding.reg_id for binding in bindings)
        if outbound:
            # RFC 5626 §6, §4.4.1: outbound was used; keep-alives are due this often.
            headers += [("Require", "outbound"), ("Flow-Timer", str(int(self._flow_timer)))]
        self._keep_alive(request, flow, outbound)
        return headers

    def _keep_alive(self, request: SipRequest, flow: Flow, outbound: bool) -> None:
        """RFC 6223: answer `keep` in the top Via with the interval we recommend, and hold the client to it."""
        via = request.top_via
        parameters = via.partition(",")[0].split(";")
        if "keep" in parameters:
            request.keep = int(self._flow_timer)
        if outbound or "keep" in parameters:
            flow.keep_alive_wanted(self._flow_timer)
        else:
            flow.keep_alive_wanted(None)

    def _contact(self, binding: Binding, gruu: bool) -> str:
        parts = [f"<{binding.contact}>"]
        if binding.instance:
            parts.append(f'+sip.instance="<{binding.instance}>"')
            if gruu:
                sip = self._numbering.sip_uri(binding.aor).partition(";")[0]
                parts.append(f'pub-gruu="{sip};gr={binding.instance}"')
        if binding.reg_id:
            parts.append(f"reg-id={binding.reg_id}")
        parts.append(f"expires={max(int(binding.expires_at - self._wall()), 0)}")
        return ";".join(parts) + binding.parameters


def instance_of(contact: NameAddr) -> str:
    """`+sip.instance` of a contact, empty when it has none."""
    return contact.parameters.get("+sip.instance") or ""


def address_of_record(request: SipRequest) -> str:
    """The URI a REGISTER is for: its To. Raises ParseError."""
    return parse_name_addr(request.header("to") or "").uri
