"""Chat sessions: each side's leg ends here, with a dialog and an MSRP session of its own.

Spec: RCC.07 §3.3 (facts §4.1 to §4.3, §4.8), RFC 4975, RFC 6135, RFC 3261 §13.
An INVITE with `m=message` is answered at once and anchored; the other side is invited when there is something to bring.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from joyn import telemetry
from joyn.model.aor import Aor
from joyn.model.refused import Reason, Refused
from joyn.protocol.errors import ParseError
from joyn.protocol.file_transfer import FileOffer
from joyn.protocol.iscomposing import CONTENT_TYPE as COMPOSING
from joyn.protocol.msrp.setup import Setup, answer_setup, connects
from joyn.protocol.msrp.uri import parse_path
from joyn.protocol.sdp import Direction, MsrpMedia, SessionDescription, build_msrp
from joyn.protocol.sip.dialog import Dialog, DialogId
from joyn.protocol.sip.message import SipRequest
from joyn.transport.msrp import Handler, MsrpEndpoint, MsrpLeg, Receiver
from joyn.transport.sip import Endpoint, Flow, Inbound

ACCEPT_TYPES = ("message/cpim", COMPOSING)
WRAPPED_TYPES = ("*",)
MAX_LEGS_PER_DEVICE = 64
"""Open chats of one device; opening one more ends the one unused for longest."""
ANSWERED: dict[Direction, Direction] = {"sendonly": "recvonly", "recvonly": "sendonly"}
"""RFC 3264 §6.1: what answers a direction of one side only."""
CALL_COMPLETED = 'SIP;cause=200;text="Call completed"'
OPENED = telemetry.counter("session.opened")
CLOSED = telemetry.counter("session.closed")


class Leg:
    """One device's side of a chat.

    `device` is (AOR, instance); `peer` the other party, empty for the stored notifications' session; `key` tells the
    device's legs apart: the peer, or for a large message's own session something unique. `deferred` says that the leg
    was opened to bring what had been stored (facts §4.8). `headers` are the Conversation-ID and its like of the INVITE,
    which every message of the chat carries on. `username` is that of the device's credentials. `accept_types` and
    `attributes` are what our description of it says besides the path. `on_ended` is called when it ends; `hung_up`
    says that the device, or its flow, has ended it.
    """

    __slots__ = (
        "accept_types",
        "attributes",
        "closed",
        "deferred",
        "device",
        "dialog",
        "flow",
        "headers",
        "hung_up",
        "in_flight",
        "key",
        "media",
        "on_ended",
        "peer",
        "sdp",
        "used_at",
        "username",
    )

    def __init__(
        self, device: tuple[Aor, str], peer: str, flow: Flow, media: MsrpLeg, *, deferred: bool = False, key: str = ""
    ) -> None:
        self.key = key or peer
        self.device = device
        self.peer = peer
        self.flow = flow
        self.media = media
        self.deferred = deferred
        self.dialog: Dialog | None = None
        self.sdp = b""
        self.headers = ""
        self.username = ""
        self.in_flight = 0
        self.used_at = 0.0
        self.closed = False
        self.hung_up = False
        self.accept_types: Sequence[str] = ACCEPT_TYPES
        self.attributes: Sequence[tuple[str, str | None]] = ()
        self.on_ended: Callable[[], None] | None = None


@dataclass(frozen=True, slots=True)
class Offer:
    """The MSRP part of a received session description, and the file that it is about, if it is."""

    media: MsrpMedia
    file: FileOffer | None = None

    @classmethod
    def parse(cls, sdp: bytes) -> Offer | None:
        """The first MSRP medium, or None when the description has none that is offered. Raises ParseError."""
        description = SessionDescription.parse(sdp)
        medium = description.messages()
        media = None if medium is None else description.msrp_of(medium)
        if medium is None or media is None or not media.path or not (media.port or media.setup == "active"):
            return None
        parse_path(" ".join(media.path))
        return cls(media, FileOffer.parse(medium.attributes))


class Sessions:
    """All session legs of this node, by device, by dialog and by MSRP session.

    `on_opened(device, peer)` is called when a device has opened a chat itself. Media are connected to where the
    signalling comes from; with `elsewhere` to the address in the description, secured as `context(leg)` says: between
    operators the signalling may come through a hub.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        msrp: MsrpEndpoint,
        *,
        session_id: Callable[[], int],
        now: Callable[[], float],
        elsewhere: bool = False,
        context: Callable[[Leg], ssl.SSLContext | None] = lambda _leg: None,
    ) -> None:
        self._elsewhere = elsewhere
        self._context = context
        self._endpoint = endpoint
        self._msrp = msrp
        self._session_id = session_id
        self._now = now
        self._legs: dict[Aor, dict[str, dict[str, Leg]]] = {}  # by AOR, instance and key
        self._on_flow: dict[Flow, dict[Leg, None]] = {}  # in the order of opening
        self._dialogs: dict[DialogId, Leg] = {}
        self._media: dict[MsrpLeg, Leg] = {}
        self._connecting: set[asyncio.Task[None]] = set()
        self.on_opened: Callable[[tuple[Aor, str], str], None] = lambda _device, _peer: None

    def available(self, *, web: bool) -> bool:
        """Whether this node speaks MSRP to browsers, or to other devices."""
        return self._msrp.listens(tls=False, web=web) or self._msrp.listens(tls=True, web=web)

    # Finding legs.

    def find(self, device: tuple[Aor, str], peer: str) -> Leg | None:
        """The open leg of a device towards a peer."""
        leg = self._legs.get(device[0], {}).get(device[1], {}).get(peer)
        return None if leg is None or leg.closed else leg

    def of_media(self, media: MsrpLeg) -> Leg | None:
        """The leg an MSRP session belongs to."""
        return self._media.get(media)

    def used(self, leg: Leg) -> None:
        """A message goes over it, either way."""
        leg.used_at = self._now()

    def of_dialog(self, request: SipRequest) -> Leg | None:
        """The leg a request inside a dialog belongs to. Raises ParseError."""
        return self._dialogs.get(DialogId.of_request(request))

    def towards(self, aor: Aor, peer: str) -> list[Leg]:
        """Every open leg of any device of `aor` in the chat with `peer`."""
        legs = [legs[peer] for legs in self._legs.get(aor, {}).values() if peer in legs]
        return [leg for leg in legs if not leg.closed and leg.media.bound]

    def compose(self, sender: Aor, recipient: Aor, body: bytes) -> None:
        """Tell the recipient's open legs that the sender types, or has stopped (facts §4.6: bare, not in CPIM)."""
        for leg in self.towards(recipient, sender):
            leg.media.send(f"c{self._session_id():x}", COMPOSING, body, failure_report="no")

    def __len__(self) -> int:
        return len(self._media)

    # A device opens a chat.

    def prepare(
        self,
        inbound: Inbound,
        device: tuple[Aor, str],
        peer: Aor,
        offer: Offer,
        *,
        standalone: bool = False,
        receiver: Receiver | None = None,
        max_size: int = 0,
        idle: float = 0.0,
    ) -> Leg:
        """Our leg for an INVITE, with all done that can be refused: now it is to be answered, or its media closed.

        Raises ParseError, and Refused(NOT_ACCEPTABLE) when there is no MSRP listener for the offer.
        A `standalone` session brings one large message (facts §4.7) or a file and stands beside the chat with the same
        peer; the others are those of MsrpEndpoint.session.
        """
        web = inbound.flow.listener.web
        if not self._msrp.listens(tls=offer.media.secure, web=web):
            raise Refused(Reason.NOT_ACCEPTABLE, "no MSRP listener of that kind")
        if web and offer.media.setup == "passive":
            # RFC 7977 §6: a browser cannot be connected to.
            raise Refused(Reason.NOT_ACCEPTABLE, "over WebSocket the client connects")
        session_timer(inbound.request)
        dialog = Dialog.of_server(inbound.request, self._endpoint.make_tag())
        media = self._msrp.session(
            self.handler, tls=offer.media.secure, web=web, receiver=receiver, max_size=max_size, idle=idle
        )
        leg = Leg(device, peer, inbound.flow, media, key=media.local_path if standalone else "")
        leg.dialog = dialog
        return leg

    def answer(self, inbound: Inbound, leg: Leg, offer: Offer) -> None:
        """Accept the INVITE a leg was prepared for: the leg is there when this returns, the 200 is on its way."""
        assert leg.dialog is not None
        setup = answer_setup(offer.media.setup)
        direction = ANSWERED.get(offer.media.direction, "sendrecv")
        leg.sdp = self._describe(leg, setup, direction).emit()
        self._add(leg)
        headers = [
            ("Contact", self.contact(inbound.flow)),
            ("Allow", "INVITE, ACK, BYE, CANCEL, UPDATE, MESSAGE, OPTIONS"),
            *session_timer(inbound.request),
            ("Content-Type", "application/sdp"),
        ]
        inbound.respond(200, to_tag=leg.dialog.dialog_id.local_tag, headers=headers, body=leg.sdp)
        self.join(leg, offer.media, connects(offer.media.setup, setup) == "answerer")
        if leg.key == leg.peer:
            self.on_opened(leg.device, leg.peer)

    def join(self, leg: Leg, remote: MsrpMedia, active: bool) -> None:
        """Bind the MSRP session: wait for the peer, or connect to it; the leg ends when neither is safe."""
        if self._elsewhere and (not remote.secure or remote.fingerprint is None):
            # Whoever is at an address in a description has to show that it is the one meant.
            self.end(leg, reason="")
            return
        path = " ".join(remote.path)
        if active and not leg.flow.listener.web:
            # A device's address is its claim: connect nowhere but where its signalling comes from.
            task = asyncio.get_running_loop().create_task(self._connect(leg, path, remote))
            self._connecting.add(task)
            task.add_done_callback(self._connecting.discard)
        else:
            leg.media.expect(path)

    async def _connect(self, leg: Leg, path: str, remote: MsrpMedia) -> None:
        host = remote.address if self._elsewhere else leg.flow.remote[0]
        context = self._context(leg)
        try:
            await leg.media.connect(path, host=host, port=remote.port, ssl=context, fingerprint=remote.fingerprint)
        except (OSError, TimeoutError, ParseError):
            self.end(leg, reason="")

    def describe(self, leg: Leg, direction: Direction = "sendrecv") -> bytes:
        """Our offer for a session we open. A browser cannot be connected to: there we wait."""
        return self._describe(leg, self.offered_setup(leg), direction).emit()

    def offered_setup(self, leg: Leg) -> Setup:
        """Who connects, as we offer it (RFC 6135): between operators we, who can tell whom we have reached."""
        if self._elsewhere:
            return "active"
        return "passive" if leg.flow.listener.web else "actpass"

    def _describe(self, leg: Leg, setup: Setup | None, direction: Direction) -> SessionDescription:
        media, listener = leg.media, leg.media.listener
        assert listener is not None
        return build_msrp(
            address=listener.advertise or listener.host,
            port=9 if setup == "active" else listener.port,
            path=[media.local_path],
            session_id=self._session_id(),
            accept_types=leg.accept_types,
            accept_wrapped_types=WRAPPED_TYPES if leg.accept_types is ACCEPT_TYPES else (),
            setup=setup,
            direction=direction,
            # A browser checks the certificate itself, by the page's own origin.
            fingerprint=listener.fingerprint if listener.transport == "TLS" else None,
            secure=media.local.secure,
            attributes=leg.attributes,
        )

    def contact(self, flow: Flow, tags: str = "+g.oma.sip-im") -> str:
        """Our Contact on a leg. Never `isfocus`: that would make it a group (facts §0)."""
        transport = flow.listener.uri_transport
        return f"<sip:{flow.listener.sent_by};transport={transport}>;{tags}"

    # A leg of ours towards a device.

    def open(
        self,
        device: tuple[Aor, str],
        peer: str,
        flow: Flow,
        *,
        deferred: bool,
        standalone: bool = False,
        idle: float = 0.0,
    ) -> Leg:
        """A new leg that we are about to invite a device to, its media as safe as its signalling if they can be.

        A `standalone` one stands beside the chat with the same peer. Raises Refused(OVERLOADED) for too many.
        """
        web = flow.listener.web
        secure = flow.listener.transport in ("TLS", "WSS") or not self._msrp.listens(tls=False, web=web)
        tls = secure and self._msrp.listens(tls=True, web=web)
        media = self._msrp.session(self.handler, tls=tls, web=web, idle=idle)
        leg = Leg(device, peer, flow, media, deferred=deferred, key=media.local_path if standalone else "")
        self._add(leg)
        return leg

    def confirm(self, leg: Leg, dialog: Dialog) -> None:
        """The device has accepted: requests inside the dialog find the leg now."""
        leg.dialog = dialog
        self._dialogs[dialog.dialog_id] = leg

    def _add(self, leg: Leg) -> None:
        aor, instance = leg.device
        legs = self._legs.get(aor, {}).get(instance, {})
        old = legs.get(leg.key)
        if old is not None:
            # Facts §4.1, glare: the newest is accepted, the older one ended.
            self.end(old)
        if len(legs) >= MAX_LEGS_PER_DEVICE:
            self.end(min(legs.values(), key=lambda one: one.used_at))
        self._legs.setdefault(aor, {}).setdefault(instance, {})[leg.key] = leg
        self._on_flow.setdefault(leg.flow, {})[leg] = None
        self._media[leg.media] = leg
        if leg.dialog is not None:
            self._dialogs[leg.dialog.dialog_id] = leg
        leg.used_at = self._now()
        OPENED.inc()

    # Ending.

    def end(self, leg: Leg, *, reason: str = CALL_COMPLETED, bye: bool = True) -> None:
        """End a leg, with BYE unless the peer sent one; without a `reason` the client may resume it (facts §4.1)."""
        if leg.closed:
            return
        leg.closed = True
        leg.hung_up = not bye
        CLOSED.inc()
        self._forget(leg)
        if leg.dialog is not None:
            self._dialogs.pop(leg.dialog.dialog_id, None)
            if bye:
                self.hang_up(leg.flow, leg.dialog, reason)
        leg.media.close()
        if leg.on_ended is not None:
            leg.on_ended()

    def _forget(self, leg: Leg) -> None:
        """Take a leg out of every index; one that was refused before it was added is in none."""
        if self._media.pop(leg.media, None) is None:
            return
        aor, instance = leg.device
        devices, here = self._legs[aor], self._on_flow[leg.flow]
        del devices[instance][leg.key], here[leg]
        if not devices[instance]:
            del devices[instance]
        if not devices:
            del self._legs[aor]
        if not here:
            del self._on_flow[leg.flow]

    def hang_up(self, flow: Flow, dialog: Dialog, reason: str = "") -> None:
        """Send BYE; what comes back does not matter."""
        headers = [("Via", self.via(flow)), *([("Reason", reason)] if reason else [])]
        self._endpoint.send_request(flow, dialog.request("BYE", headers), lambda _response: None)

    def via(self, flow: Flow) -> str:
        """A Via for a request of ours on this flow."""
        listener = flow.listener
        return f"SIP/2.0/{listener.transport} {listener.sent_by};branch={self._endpoint.make_branch()}"

    def flow_lost(self, flow: Flow) -> None:
        """The signalling connection has gone: its legs go too, without BYE."""
        for leg in list(self._on_flow.get(flow, ())):
            self.end(leg, bye=False)

    def end_on(self, flow: Flow, device: tuple[Aor, str]) -> None:
        """The device is not behind this connection any more: its chats there end, and go on elsewhere. Files may have
        connections of their own that are as good as before."""
        for leg in [leg for leg in self._on_flow.get(flow, ()) if leg.device == device and leg.key == leg.peer]:
            self.end(leg, reason="")

    def end_all(self, aor: Aor) -> None:
        """The subscriber may not send any more: every leg ends."""
        for leg in [leg for legs in self._legs.get(aor, {}).values() for leg in legs.values()]:
            self.end(leg)

    def end_of(self, aor: Aor, username: str) -> set[Flow]:
        """One of their devices, with these credentials, may not: its legs end. The flows that they were on."""
        legs = [leg for leg in self._media.values() if leg.username == username and leg.device[0] == aor]
        for leg in legs:
            self.end(leg)
        return {leg.flow for leg in legs}

    def close(self) -> None:
        """The node stops: legs end without a reason, so that clients come back."""
        for leg in list(self._media.values()):
            self.end(leg, reason="")

    handler: Handler
    """Receives the MSRP events of every leg: the MSRP door, set by the node."""


def session_timer(request: SipRequest) -> list[tuple[str, str]]:
    """RFC 4028 §9: a client that supports session timers refreshes, we only agree."""
    asked = request.header("session-expires")
    supported = {tag.strip().lower() for value in request.headers("supported") for tag in value.split(",")}
    if "timer" not in supported or not asked:
        return []
    seconds = asked.partition(";")[0].strip()
    if not seconds.isdecimal() or len(seconds) > 9:
        raise ParseError("Session-Expires is not a number", 0)
    return [("Require", "timer"), ("Session-Expires", f"{seconds};refresher=uac")]
