"""The INVITE transactions of a chat: ours with their ACK or CANCEL, theirs until they are answered.

Spec: RFC 3261 §9, §13; RFC 6026.
"""

from __future__ import annotations

import asyncio

from joyn.phone.line import ALLOW, Line
from joyn.phone.messages import Rejected
from joyn.protocol.errors import ParseError
from joyn.protocol.sdp import CONTENT_TYPE, MsrpMedia
from joyn.protocol.sip.dialog import Dialog
from joyn.protocol.sip.message import SipRequest, SipResponse
from joyn.protocol.sip.transaction import build_cancel
from joyn.transport.sip import Inbound


class Inviting:
    """An INVITE of ours. `request` and `answer` are the last that went out and came back."""

    request: SipRequest
    answer: SipResponse

    def __init__(self, line: Line) -> None:
        self._line = line
        self._provisional = False
        self._given_up = False

    async def exchange(self, request: SipRequest) -> SipResponse:
        """Send it and wait for the final answer. Cancelling the wait cancels the INVITE."""
        self.request = request
        self._provisional = False
        endpoint, flow = self._line.radio.endpoint, self._line.open_flow()
        future: asyncio.Future[SipResponse] = asyncio.get_running_loop().create_future()

        def on_response(response: SipResponse) -> None:
            if response.status < 200:
                # RFC 3261 §9.1: a CANCEL has to wait for the first of these.
                if self._given_up and not self._provisional:
                    self._cancel()
                self._provisional = True
            elif not future.done():
                future.set_result(response)
            elif self._given_up and response.status < 300:
                self._too_late(response)

        endpoint.send_request(flow, request, on_response)
        try:
            self.answer = await future
        except asyncio.CancelledError:
            self._given_up = True
            if self._provisional:
                self._cancel()
            raise
        return self.answer

    def acknowledge(self) -> Dialog:
        """Send the ACK of the 2xx; the dialog it has opened. Raises Rejected when the answer names no Contact."""
        return self._acknowledge(self.answer)

    def _acknowledge(self, response: SipResponse) -> Dialog:
        try:
            dialog = Dialog.of_client(self.request, response)
        except ParseError as error:
            raise Rejected(502, error.what) from error
        self._line.radio.endpoint.acknowledge(self.request, dialog.request("ACK", [self._line.via()]))
        return dialog

    def _cancel(self) -> None:
        if self._line.flow is not None:
            self._line.radio.endpoint.send_request(self._line.flow, build_cancel(self.request), lambda _answer: None)

    def _too_late(self, response: SipResponse) -> None:
        """RFC 3261 §15: accepted although we had given up, so it is ended at once."""
        if self._line.flow is not None:
            dialog = self._acknowledge(response)
            bye = dialog.request("BYE", [self._line.via()])
            self._line.radio.endpoint.send_request(self._line.flow, bye, lambda _answer: None)


class Ringing:
    """An INVITE of theirs. `media` is what it offers, `tag` the To tag of our answers, `over` says it has its last."""

    def __init__(self, inbound: Inbound, line: Line, media: MsrpMedia) -> None:
        self.media = media
        self.tag = line.radio.endpoint.make_tag()
        self.over = False
        self._inbound = inbound
        self._line = line

    def ring(self) -> None:
        """180: the program decides later."""
        self._inbound.respond(180, to_tag=self.tag, headers=[("Contact", f"<{self._line.contact_uri}>")])

    def answer(self, contact: str, description: bytes) -> None:
        """200; the endpoint repeats it until it is acknowledged (RFC 3261 §13.3.1.4)."""
        self.over = True
        headers = [("Contact", contact), ("Allow", ALLOW), ("Content-Type", CONTENT_TYPE)]
        self._inbound.respond(200, to_tag=self.tag, headers=headers, body=description)

    def refuse(self, status: int) -> None:
        """A final failure."""
        self.over = True
        self._inbound.respond(status, to_tag=self.tag)

    def is_cancelled_by(self, cancel: SipRequest) -> bool:
        """Whether that CANCEL is about this INVITE, still unanswered."""
        request = self._inbound.request
        return not self.over and cancel.call_id == request.call_id and cancel.cseq[0] == request.cseq[0]
