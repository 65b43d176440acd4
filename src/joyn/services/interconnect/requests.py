"""The requests that cross a border, and the names they carry.

Spec: RFC 3428, RFC 3325 §9.1 (asserted identity inside a trust domain), facts §10: P-Asserted-Identity and
P-Asserted-Service cross, Path, Service-Route, P-Access-Network-Info and what phones wrote of themselves do not.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final

from joyn.model.aor import Aor
from joyn.model.message import Entry, Kind
from joyn.model.tags import CPM_LARGE, CPM_MESSAGE, CPM_SESSION, CPM_SYSTEM
from joyn.protocol.sip.message import SipRequest
from joyn.protocol.sip.transaction import Key
from joyn.transport.sip import Endpoint, Flow

__all__ = ["FORWARDER", "Requests", "service_named"]

FORWARDER: Final = "forward"
"""The user of the identity that a donor asserts for what it forwards: its own, for the sender is not its subscriber."""
MAX_REMEMBERED: Final = 16_384
"""Senders whose identity lines are kept ready."""

_NAMED: Final = {"pager": CPM_MESSAGE, "plain": CPM_MESSAGE, "session": CPM_SESSION, "large": CPM_LARGE}
_SERVICES: Final = {CPM_SESSION: "session", CPM_LARGE: "large"}


def service_named(name: str) -> str:
    """How a message came to its sender's operator, by what P-Asserted-Service says."""
    return _SERVICES.get(name.strip(), "pager")


class Requests:
    """Builds what we send to peers. `domain` is our own; `name_of` says what a subscriber is called, or nothing."""

    def __init__(
        self,
        endpoint: Endpoint,
        domain: str,
        *,
        name_of: Callable[[Aor], str],
        wall: Callable[[], float],
    ) -> None:
        self._endpoint = endpoint
        self._domain = domain
        self._name_of = name_of
        self._wall = wall
        self._lines = lru_cache(maxsize=MAX_REMEMBERED)(self._made)

    def of_entry(self, entry: Entry, operator: str, flow: Flow, *, own: bool) -> tuple[SipRequest, Key]:
        """A MESSAGE that brings an entry; not `own` when its sender is another operator's subscriber, for whom we
        forward it (`Referred-By`, facts §4.8)."""
        message = entry.message
        service = CPM_SYSTEM if message.kind is Kind.SYSTEM else _NAMED.get(message.service, CPM_MESSAGE)
        riding = message.headers.replace("\n", "\r\n") + "\r\n" if message.headers else ""
        left = max(1, int(message.deliver_until - self._wall()))
        expires = f"Expires: {left}\r\n" if message.kind is Kind.CHAT else ""
        lines = f"P-Asserted-Service: {service}\r\n{riding}{expires}"
        if own:
            identity = self.identity(message.sender)
        else:
            identity = f"{self._forwarding()}Referred-By: <{message.sender}>\r\n"
        return self._message(operator, message.conversation, identity + lines, "message/cpim", message.cpim, flow)

    def composing(
        self, sender: Aor, recipient: Aor, operator: str, content_type: str, body: bytes, flow: Flow
    ) -> tuple[SipRequest, Key]:
        """A MESSAGE that says that the sender types (RFC 3994 §4): for whoever looks now, and never stored."""
        lines = f"{self.identity(sender)}Expires: 0\r\n"
        return self._message(operator, recipient, lines, content_type, body, flow)

    def options(self, aor: Aor, operator: str, flow: Flow) -> SipRequest:
        """An OPTIONS about a peer's subscriber. Who asks is not said: it tells nobody whom our subscribers look for."""
        uri = f"sip:{aor.removeprefix('tel:')}@{operator};user=phone"
        head = (
            f"OPTIONS {uri} SIP/2.0\r\n"
            f"Via: {self._via(flow, self._endpoint.make_branch())}\r\nMax-Forwards: 70\r\n"
            f"From: <sip:anonymous@anonymous.invalid>;tag={self._endpoint.make_tag()}\r\nTo: <{uri}>\r\n"
            f"Call-ID: {self._endpoint.make_call_id()}\r\nCSeq: 1 OPTIONS\r\n"
            "Accept: application/sdp\r\nContent-Length: 0"
        )
        return SipRequest(head, b"", "OPTIONS", uri)

    def identity(self, aor: Aor) -> str:
        """From and P-Asserted-Identity of one of our subscribers, each with its line end."""
        return self._lines(aor, self._name_of(aor))

    def _message(
        self, operator: str, recipient: Aor, lines: str, content_type: str, body: bytes, flow: Flow
    ) -> tuple[SipRequest, Key]:
        uri = f"sip:{recipient.removeprefix('tel:')}@{operator};user=phone"
        call_id = self._endpoint.make_call_id()
        branch = f"z9hG4bK{call_id}"
        head = (
            f"MESSAGE {uri} SIP/2.0\r\nVia: {self._via(flow, branch)}\r\nMax-Forwards: 70\r\n"
            f"{lines}To: <{uri}>\r\nCall-ID: {call_id}\r\nCSeq: 1 MESSAGE\r\n"
            f"Content-Type: {content_type}\r\nContent-Length: {len(body)}"
        )
        return SipRequest(head, body, "MESSAGE", uri), (branch, "MESSAGE")

    @staticmethod
    def _via(flow: Flow, branch: str) -> str:
        return f"SIP/2.0/{flow.listener.transport} {flow.listener.sent_by};branch={branch}"

    def _made(self, aor: Aor, name: str) -> str:
        uri = f"sip:{aor.removeprefix('tel:')}@{self._domain};user=phone"
        # RFC 3261 §25.1; see messaging.identity: a name ends no header and is no address.
        shown = "".join(letter for letter in name if letter.isprintable() and letter not in '<>"\\')
        shown = f'"{shown}" ' if shown else ""
        tag = self._endpoint.make_tag()
        return f"From: {shown}<{uri}>;tag={tag}\r\nP-Asserted-Identity: {shown}<{aor}>, {shown}<{uri}>\r\n"

    def _forwarding(self) -> str:
        uri = f"sip:{FORWARDER}@{self._domain}"
        return f"From: <{uri}>;tag={self._endpoint.make_tag()}\r\nP-Asserted-Identity: <{uri}>\r\n"
