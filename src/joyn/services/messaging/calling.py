"""Calling a device: an INVITE of ours, until the session stands or does not.

Spec: RFC 3261 §13.2, §9.1; RFC 3264, RFC 6135.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from joyn.protocol.errors import ParseError
from joyn.protocol.msrp.setup import connects
from joyn.protocol.sip.dialog import Dialog
from joyn.protocol.sip.message import SipRequest, SipResponse
from joyn.protocol.sip.transaction import build_cancel
from joyn.services.messaging.sessions import Leg, Offer, Sessions
from joyn.transport.sip import Endpoint, LocalResponse


class Calling:
    """Invites devices to legs that `Sessions.open` has made."""

    def __init__(self, endpoint: Endpoint, sessions: Sessions) -> None:
        self._endpoint = endpoint
        self._sessions = sessions

    def request(
        self, leg: Leg, uri: str, route: str, accept: str, lines: Sequence[str], content_type: str, body: bytes
    ) -> SipRequest:
        """An INVITE to a URI, over a `route` if there is one; `accept` is the Accept-Contact, `lines` are the headers
        that say who calls whom."""
        head = [
            f"INVITE {uri} SIP/2.0",
            f"Via: {self._sessions.via(leg.flow)}",
            "Max-Forwards: 70",
            *([f"Route: {route}"] if route else []),
            f"Call-ID: {self._endpoint.make_call_id()}",
            "CSeq: 1 INVITE",
            f"Contact: {self._sessions.contact(leg.flow, accept[2:])}",
            f"Accept-Contact: {accept}",
            *lines,
            "Allow: INVITE, ACK, BYE, CANCEL, UPDATE, MESSAGE, OPTIONS",
            f"Content-Type: {content_type}",
            f"Content-Length: {len(body)}",
        ]
        return SipRequest("\r\n".join(head), body, "INVITE", uri)

    async def ring(self, leg: Leg, invite: SipRequest) -> tuple[SipResponse, bool]:
        """The final response to an INVITE, and whether the device rang before: then it is there, whatever comes."""
        answered: asyncio.Future[SipResponse] = asyncio.get_running_loop().create_future()
        rang = False

        def cancel() -> None:
            if rang:
                self._endpoint.send_request(leg.flow, build_cancel(invite), lambda _response: None)

        def on_response(response: SipResponse) -> None:
            nonlocal rang
            if response.status < 200:
                rang = True
                if leg.closed:
                    cancel()
            elif not answered.done():
                answered.set_result(response)

        leg.on_ended = cancel
        self._endpoint.send_request(leg.flow, invite, on_response)
        response = await answered
        leg.on_ended = None
        if isinstance(response, LocalResponse):
            cancel()  # RFC 3261 §16.8: it has rung for as long as timer C allows
        return response, rang

    def accept(self, leg: Leg, invite: SipRequest, response: SipResponse) -> Offer | None:
        """Take the device's 200; its answer, or None when there is no session to be had with it."""
        try:
            dialog = Dialog.of_client(invite, response)
            self._endpoint.acknowledge(invite, dialog.request("ACK", [("Via", self._sessions.via(leg.flow))]))
        except ParseError:
            return None
        try:
            offer = Offer.parse(response.body)
        except ParseError:
            offer = None
        if leg.closed:
            # It was ended while the device rang: RFC 3261 §15 wants a BYE now.
            self._sessions.hang_up(leg.flow, dialog)
            return offer
        self._sessions.confirm(leg, dialog)
        if offer is None:
            return None
        self._sessions.join(
            leg, offer.media, connects(self._sessions.offered_setup(leg), offer.media.setup) == "offerer"
        )
        return offer
