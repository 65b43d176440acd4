"""Sessions of peer operators at the border: large messages, and what is said about them.

Spec: RCC.07 §3.2 (facts §4.7, §10), RFC 3261 §13 to §15, RFC 4975 §14. The INVITE is believed like a MESSAGE; the media
connection has to show the peer's certificate, or to be the one whose fingerprint the peer's signalling told.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable

from joyn import telemetry
from joyn.edge.chat import Unacknowledged, parts
from joyn.edge.interconnect import BorderDoor
from joyn.edge.msrp import MsrpDoor
from joyn.edge.sip import riding_headers
from joyn.model.peer import Peer, mailbox_of, operator_of
from joyn.model.refused import Reason, Refused
from joyn.services.messaging.originating import Originating, Submission
from joyn.services.messaging.sessions import Offer, Sessions
from joyn.transport.msrp import MsrpLeg
from joyn.transport.sip import Inbound

__all__ = ["CrossingDoor"]


class CrossingDoor(MsrpDoor):
    """Serves INVITE, ACK, BYE and CANCEL of peers, and receives what comes over their sessions. `peer_of(operator)` is
    the peer of that name, if it is one and not behind a hub; `peer_for(operator)` whose signalling leads to it."""

    def __init__(
        self,
        border: BorderDoor,
        sessions: Sessions,
        originating: Originating,
        peer_of: Callable[[str], Peer | None],
        peer_for: Callable[[str], Peer | None],
    ) -> None:
        super().__init__(sessions, originating)
        self._border = border
        self._peer_of = peer_of
        self._peer_for = peer_for
        self.unacknowledged = Unacknowledged()
        border.serve(INVITE=self._invite, BYE=self._bye, CANCEL=self._cancel)

    async def _invite(self, inbound: Inbound, peer: Peer) -> None:
        request = inbound.request
        if ";tag=" in (request.header("to") or ""):
            inbound.respond(488)  # what there is stays as it is
            return
        recipient, sender, operator, forwarded = await self._border.parties(request, peer)
        if forwarded:
            raise Refused(Reason.NOT_ALLOWED, "what is forwarded comes in a MESSAGE")
        sdp, _first = parts(request)
        offer = Offer.parse(sdp) if sdp is not None else None
        if offer is None or not offer.media.secure or offer.media.fingerprint is None:
            inbound.respond(488, headers=[("Warning", '304 joyn "an m=message over TLS with a fingerprint is wanted"')])
            return
        device = (sender, mailbox_of(operator))
        leg = self._sessions.prepare(inbound, device, recipient, offer, standalone=True)
        leg.headers = riding_headers(request)
        if inbound.flow.closed:
            leg.media.close()
            return
        self._sessions.answer(inbound, leg, offer)
        self.unacknowledged.add(inbound)

    async def _bye(self, inbound: Inbound, peer: Peer) -> None:
        leg = self._sessions.of_dialog(inbound.request)
        if leg is None or self._peer_for(operator_of(leg.device[1])) != peer:
            inbound.respond(481)
            return
        inbound.respond(200)
        self._sessions.end(leg, bye=False)

    async def _cancel(self, inbound: Inbound, _peer: Peer) -> None:
        inbound.respond(200 if inbound.cancels_known() else 481)

    async def accept(self, submission: Submission) -> None:
        """Take what came, no faster than it might come in MESSAGEs. Raises Refused."""
        peer = self._peer_for(operator_of(submission.instance))
        if peer is None or not self._border.admits(peer):
            raise Refused(Reason.OVERLOADED, "not now")
        await super().accept(await self._border.localised(submission))

    def on_bound(self, leg: MsrpLeg) -> None:
        """A connection that came to us has to be the peer's: a session's name alone could have been overheard."""
        chat, connection = self._sessions.of_media(leg), leg.connection
        if chat is None or connection is None or connection.outgoing:
            return
        peer = self._peer_of(operator_of(chat.device[1]))
        if peer is None:
            return  # behind a hub: its certificate was never exchanged
        shown = hashlib.sha256(connection.peer_certificate() or b"").hexdigest()
        if not any(hmac.compare_digest(shown, one.fingerprint) for one in peer.certificates):
            telemetry.event("peer.spoofed", peer=peer.domain, sender=chat.device[0])
            self._sessions.end(chat, reason="")
