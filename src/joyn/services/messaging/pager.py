"""Pager mode: an entry goes to a device as one SIP MESSAGE.

Spec: RFC 3428, RCC.07 §3.2 (CPM standalone messaging), facts §4.4, §4.5, §4.7. Plain SIP clients get bare text.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from joyn.model.binding import Binding
from joyn.model.message import Entry, EntryKind, Kind
from joyn.model.tags import CPM_MESSAGE, CPM_SYSTEM, SIMPLE_IM, traits_of
from joyn.protocol.cpim import CpimMessage
from joyn.protocol.sip.message import SipRequest, SipResponse
from joyn.services.messaging.delivery import Attempt, Attempts, Outcome, outcome_of
from joyn.services.messaging.identity import IdentityHeaders
from joyn.transport.sip import Endpoint, Flow, LocalResponse

_SERVICE = {
    kind: f'Accept-Contact: *;+g.3gpp.icsi-ref="{urn.replace(":", "%3A")}"\r\nP-Asserted-Service: {urn}\r\n'
    for kind, urn in ((Kind.CHAT, CPM_MESSAGE), (Kind.SYSTEM, CPM_SYSTEM))
}

MAX_IN_DATAGRAM = 64_000
"""Bytes of a body that go over UDP: a datagram carries 65,507 over IPv4, and the head has its share of them."""


class Pager:
    """Sends entries as SIP MESSAGE over the flow of a binding."""

    def __init__(
        self,
        endpoint: Endpoint,
        identity: IdentityHeaders,
        attempts: Attempts,
        flow_of: Callable[[Binding], Flow | None],
    ) -> None:
        self._endpoint = endpoint
        self._attempts = attempts
        self._flow_of = flow_of
        self._identity = identity

    def begin(self, binding: Binding, entry: Entry, *, deferred: bool) -> Attempt:
        """Send the entry; one at a time per device (RFC 3428 §8), deferred or not alike."""
        done: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        flow = self._flow_of(binding)
        if flow is None:
            self._end(done, binding, entry, "no flow", Outcome.GONE)
            return Attempt(done)
        call_id = self._endpoint.make_call_id()
        branch = f"z9hG4bK{call_id}"  # as unique as the Call-ID: every attempt is a call of its own
        request = self._request(binding, flow, entry, call_id, branch)
        if len(request.body) > MAX_IN_DATAGRAM and flow.listener.transport == "UDP":
            # RFC 3261 §18.1.1 would have it go over TCP, which this device has not opened, and cannot be opened to it.
            self._end(done, binding, entry, "does not fit a datagram", Outcome.REFUSED)
            return Attempt(done)

        def on_response(response: SipResponse) -> None:
            if response.status >= 200 and not done.done():
                outcome = outcome_of(response.status, local=isinstance(response, LocalResponse))
                self._end(done, binding, entry, f"{response.status} {response.reason}", outcome)

        self._endpoint.send_request(flow, request, on_response, (branch, "MESSAGE"))
        return Attempt(done)

    def _end(self, done: asyncio.Future[Outcome], binding: Binding, entry: Entry, what: str, outcome: Outcome) -> None:
        self._attempts.note(entry, binding.instance, "MESSAGE", what)
        done.set_result(outcome)

    def _request(self, binding: Binding, flow: Flow, entry: Entry, call_id: str, branch: str) -> SipRequest:
        message = entry.message
        content_type, body = "message/cpim", message.cpim
        service = ""
        # A copy of one's own message says in To whom it went to.
        to: str = message.conversation if entry.kind is EntryKind.COPY else entry.mailbox
        if not traits_of(binding.parameters).rcs:
            cpim = CpimMessage.parse(message.cpim)
            content_type, body = cpim.content_header("Content-Type") or message.content_type, cpim.decoded_body
            # linphone reads no tel URI: without a To it cannot tell which of its accounts a message is for.
            to = self._identity.sip_uri(entry.mailbox)
        elif message.kind is Kind.RECEIPT:
            # Facts §4.5: handsets of the joyn era know a notification by this tag and the exact content type.
            service = f"Accept-Contact: *;{SIMPLE_IM}\r\n"
        else:
            service = _SERVICE[message.kind]
        headers = message.headers.replace("\n", "\r\n") + "\r\n" if message.headers else ""
        route = f"Route: {binding.path}\r\n" if binding.path else ""
        listener = flow.listener
        head = (
            f"MESSAGE {binding.contact} SIP/2.0\r\n"
            f"Via: SIP/2.0/{listener.transport} {listener.sent_by};branch={branch}\r\n"
            f"Max-Forwards: 70\r\n{route}"
            f"{self._identity.of(message.sender)}"
            f"To: <{to}>\r\n"
            f"Call-ID: {call_id}\r\nCSeq: 1 MESSAGE\r\n"
            f"{service}{headers}"
            f"Content-Type: {content_type}\r\nContent-Length: {len(body)}"
        )
        return SipRequest(head, body, "MESSAGE", binding.contact)
