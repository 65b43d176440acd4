"""Session descriptions and INVITEs of a chat, as a phone writes and reads them.

Spec: facts §4.1, §4.2, §4.7; RFC 4975 §8, RFC 6135.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from typing import Literal

from joyn.phone.styles import Style
from joyn.protocol import cpim, iscomposing, sdp
from joyn.protocol.msrp.uri import parse_path
from joyn.protocol.multipart import Part, build, flatten
from joyn.protocol.sip.feature_tags import FeatureTags
from joyn.protocol.sip.message import SipRequest
from joyn.transport.msrp import MsrpLeg

ACCEPT_TYPES = (cpim.CONTENT_TYPE, iscomposing.CONTENT_TYPE)
ACCEPT_WRAPPED_TYPES = ("*",)

_MIRRORED: dict[str, sdp.Direction] = {"sendonly": "recvonly", "recvonly": "sendonly", "inactive": "inactive"}


@dataclass(frozen=True, slots=True)
class Invitation:
    """What an incoming INVITE holds: the other side's medium, and perhaps a first message in its CPIM."""

    media: sdp.MsrpMedia
    first: bytes | None

    @classmethod
    def of(cls, request: SipRequest) -> Invitation | None:
        """Read it; None when no MSRP is offered. Raises ParseError."""
        content_type = request.header("content-type") or ""
        offer, first = request.body, None
        if content_type.strip().lower().startswith("multipart/"):
            offer = b""
            for part in flatten(content_type, request.body):
                if part.content_type == sdp.CONTENT_TYPE:
                    offer = offer or part.decoded_body
                elif part.content_type == cpim.CONTENT_TYPE:
                    first = first or part.decoded_body
        media = sdp.SessionDescription.parse(offer).msrp() if offer else None
        if media is None or not media.path:
            return None
        parse_path(" ".join(media.path))
        return cls(media, first)


def mirrored(direction: sdp.Direction) -> sdp.Direction:
    """The answer to a direction (RFC 3264 §6.1)."""
    return _MIRRORED.get(direction, "sendrecv")


def describe(
    media: MsrpLeg,
    host: str,
    *,
    setup: Literal["active", "passive", "actpass"],
    direction: sdp.Direction = "sendrecv",
    secure: bool = False,
) -> bytes:
    """An offer or answer. A side that only connects says port 9 (RFC 4145 §4.1)."""
    listener = media.listener
    port = sdp.DISCARD_PORT if setup == "active" or listener is None else listener.port
    description = sdp.build_msrp(
        address=host,
        port=port,
        path=[media.local_path],
        session_id=secrets.randbits(31),
        accept_types=ACCEPT_TYPES,
        accept_wrapped_types=ACCEPT_WRAPPED_TYPES,
        setup=setup,
        direction=direction,
    )
    if secure:
        # Deviates: RFC 8122 §5 wants a fingerprint of ours too, but a phone that only connects shows no certificate.
        description = description.with_media(0, replace(description.media[0], protocol=sdp.TLS_MSRP))
    return description.emit()


def with_first_message(offer: bytes, message: bytes) -> tuple[str, bytes]:
    """Content-Type and body of an INVITE that brings a message along."""
    parts = [Part.make(sdp.CONTENT_TYPE, offer), Part.make(cpim.CONTENT_TYPE, message)]
    return build(parts, lambda: f"boundary{secrets.token_hex(8)}")


def chat_headers(style: Style, service: FeatureTags, conversation: str, contribution: str) -> list[tuple[str, str]]:
    """The headers of an INVITE to a chat, Contact and Content-Type aside."""
    headers = [("Accept-Contact", f"*;{service.emit()}"), ("Contribution-ID", contribution)]
    if style.name == "cpm":
        headers += [
            ("Conversation-ID", conversation),
            *(("P-Preferred-Service", urn) for urn in sorted(service.icsi)[:1]),
        ]
    return headers
