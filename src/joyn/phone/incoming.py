"""What comes in on a phone's flow: MESSAGE, INVITE and what follows it, OPTIONS, NOTIFY; and its end.

Spec: RFC 3261 §8.2, RFC 3428; facts §3.2, §4.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from joyn.phone.addresses import recipient_of, sender_of
from joyn.phone.behaviour import Behaviour
from joyn.phone.file_sessions import FileSessions
from joyn.phone.inbox import Inbox, media_type, remember
from joyn.phone.journal import Journal
from joyn.phone.line import ALLOW, Line
from joyn.phone.messages import Received
from joyn.phone.sessions import Sessions
from joyn.protocol import cpim
from joyn.protocol.cpim import CpimMessage
from joyn.protocol.errors import ParseError
from joyn.protocol.sip.feature_tags import FeatureTags
from joyn.protocol.sip.message import SipRequest
from joyn.transport.sip import Inbound

MAX_UNACKNOWLEDGED = 1000
"""INVITEs whose ACK is waited for; the answer to the oldest is repeated until it times out."""


class Incoming:
    """Serves the requests of one flow. `capabilities` is what an OPTIONS is told, `own` our number."""

    def __init__(
        self,
        behaviour: Behaviour,
        line: Line,
        inbox: Inbox,
        sessions: Sessions,
        files: FileSessions,
        journal: Journal,
        *,
        own: str,
        capabilities: FeatureTags,
    ) -> None:
        self._behaviour = behaviour
        self._line = line
        self._inbox = inbox
        self._sessions = sessions
        self._files = files
        self._journal = journal
        self._own = own
        self._capabilities = capabilities
        self._unacknowledged: dict[tuple[str, int], Inbound] = {}
        self._methods: dict[str, Callable[[Inbound], None]] = {
            "MESSAGE": self._on_message,
            "OPTIONS": self._on_options,
            "NOTIFY": lambda inbound: inbound.respond(200),
            "INVITE": self._on_invite,
            "UPDATE": self._on_update,
            "BYE": self._on_bye,
            "CANCEL": sessions.on_cancel,
        }

    def on_flow_lost(self) -> None:
        """The connection has ended, and with it what went over it."""
        self._sessions.drop_all()
        self._files.drop_all()
        self._line.lost()

    def on_acknowledge(self, request: SipRequest) -> None:
        """An ACK to a 2xx came: it need not be repeated any more."""
        inbound = self._unacknowledged.pop((request.call_id, request.cseq[0]), None)
        if inbound is not None:
            inbound.acknowledged()

    def on_request(self, inbound: Inbound) -> None:
        """A request came."""
        serve = self._methods.get(inbound.request.method)
        if serve is None:
            inbound.respond(405, headers=[("Allow", ALLOW)])
            return
        try:
            serve(inbound)
        except ParseError as error:
            inbound.respond(400, reason=f"Bad Request - {error.what}")

    def _on_invite(self, inbound: Inbound) -> None:
        remember(self._unacknowledged, (inbound.request.call_id, inbound.request.cseq[0]), inbound, MAX_UNACKNOWLEDGED)
        if not self._files.on_refresh(inbound):
            self._sessions.on_invite(inbound)

    def _on_update(self, inbound: Inbound) -> None:
        if not self._files.on_refresh(inbound):
            self._sessions.on_update(inbound)

    def _on_bye(self, inbound: Inbound) -> None:
        if not self._files.on_bye(inbound):
            self._sessions.on_bye(inbound)

    def _on_options(self, inbound: Inbound) -> None:
        tags = f";{self._capabilities.emit()}" if self._capabilities else ""
        inbound.respond(200, headers=[("Contact", f"<{self._line.contact_uri}>{tags}"), ("Allow", ALLOW)])

    def _on_message(self, inbound: Inbound) -> None:
        received = self._read(inbound.request)
        delay = self._behaviour.answer_delay
        if delay:
            asyncio.get_running_loop().call_later(delay, self._answer, inbound, received)
        else:
            self._answer(inbound, received)

    def _answer(self, inbound: Inbound, received: Received) -> None:
        status = 480 if self._inbox.puts_off(received.content_type) else self._behaviour.answer
        if status is None:
            self._journal.note("ignored", "MESSAGE")
            return
        self._journal.note("answered", f"MESSAGE {status}")
        inbound.respond(status)
        if 200 <= status < 300:
            self._inbox.take(received)

    def _read(self, request: SipRequest) -> Received:
        """A MESSAGE as a message. Raises ParseError."""
        content_type = request.header("content-type") or "text/plain"
        sender, recipient = sender_of(request), recipient_of(request)
        # The To of a copy names whom our other phone wrote to.
        copy = sender == self._own != recipient
        if media_type(content_type) == cpim.CONTENT_TYPE:
            message = CpimMessage.parse(request.body)
            return Received.of_cpim(message, sender=sender, recipient=recipient, way="pager", copy=copy)
        return Received(
            sender=sender,
            recipient=recipient,
            message_id="",
            content_type=content_type,
            body=request.body,
            copy=copy,
            way="plain",
        )
