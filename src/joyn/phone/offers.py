"""Session descriptions and INVITEs of a chat or a file, as a phone writes and reads them.

Spec: facts §4.1, §4.2, §4.7, §6.1; RFC 4975 §8, RFC 5547, RFC 6135.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import filetype

from joyn.phone.styles import Style
from joyn.protocol import cpim, iscomposing, sdp
from joyn.protocol.file_transfer import FileOffer
from joyn.protocol.msrp.uri import parse_path
from joyn.protocol.multipart import Part, build, encode_base64, flatten
from joyn.protocol.sip.feature_tags import FeatureTags
from joyn.protocol.sip.message import SipRequest
from joyn.transport.msrp import MsrpLeg

ACCEPT_TYPES = (cpim.CONTENT_TYPE, iscomposing.CONTENT_TYPE)
ACCEPT_WRAPPED_TYPES = ("*",)

_MIRRORED: dict[str, sdp.Direction] = {"sendonly": "recvonly", "recvonly": "sendonly", "inactive": "inactive"}


@dataclass(frozen=True, slots=True)
class Invitation:
    """What an incoming INVITE holds: the other side's medium, and perhaps a first message in its CPIM.

    `file` says that the session brings a file, of which `icon` is a picture.
    """

    media: sdp.MsrpMedia
    first: bytes | None
    file: FileOffer | None = None
    icon: bytes = b""

    @classmethod
    def of(cls, request: SipRequest) -> Invitation | None:
        """Read it; None when no MSRP is offered. Raises ParseError."""
        content_type = request.header("content-type") or ""
        offer, first, pictures = request.body, None, {}
        if content_type.strip().lower().startswith("multipart/"):
            offer = b""
            for part in flatten(content_type, request.body):
                if part.content_type == sdp.CONTENT_TYPE:
                    offer = offer or part.decoded_body
                elif part.content_type == cpim.CONTENT_TYPE:
                    first = first or part.decoded_body
                elif part.content_type.startswith("image/"):
                    pictures[part.header("Content-ID").strip("<> ")] = part.decoded_body
        offered = offered_media(offer) if offer else None
        if offered is None or not offered[0].path:
            return None
        media, file = offered
        parse_path(" ".join(media.path))
        return cls(media, first, file, pictures.get(file.icon, b"") if file is not None else b"")


def offered_media(description: bytes) -> tuple[sdp.MsrpMedia, FileOffer | None] | None:
    """The MSRP of a description, and what it says of a file; None when there is none. Raises ParseError."""
    parsed = sdp.SessionDescription.parse(description)
    media = parsed.msrp()
    if media is None:
        return None
    medium = next(medium for medium in parsed.media if parsed.msrp_of(medium) == media)
    return media, FileOffer.parse(medium.attributes)


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
    file: FileOffer | None = None,
) -> bytes:
    """An offer or answer, of a chat or of a file. A side that only connects says port 9 (RFC 4145 §4.1)."""
    types: Sequence[str] = ACCEPT_TYPES if file is None else (file.content_type or "*",)
    listener = media.listener
    port = sdp.DISCARD_PORT if setup == "active" or listener is None else listener.port
    description = sdp.build_msrp(
        address=host,
        port=port,
        path=[media.local_path],
        session_id=secrets.randbits(31),
        accept_types=types,
        accept_wrapped_types=ACCEPT_WRAPPED_TYPES if file is None else (),
        setup=setup,
        direction=direction,
        attributes=() if file is None else [*file.attributes(), *_max_size(file)],
    )
    if secure:
        # Deviates: RFC 8122 §5 wants a fingerprint of ours too, but a phone that only connects shows no certificate.
        description = description.with_media(0, replace(description.media[0], protocol=sdp.TLS_MSRP))
    return description.emit()


def _max_size(file: FileOffer) -> list[tuple[str, str | None]]:
    """RFC 4975 §8.6: joyn phones say the size of the file here too."""
    return [] if file.size is None else [("max-size", str(file.size))]


def with_first_message(offer: bytes, message: bytes) -> tuple[str, bytes]:
    """Content-Type and body of an INVITE that brings a message along."""
    parts = [Part.make(sdp.CONTENT_TYPE, offer), Part.make(cpim.CONTENT_TYPE, message)]
    return build(parts, lambda: f"boundary{secrets.token_hex(8)}")


def with_icon(offer: bytes, icon: bytes, content_id: str) -> tuple[str, bytes]:
    """Content-Type and body of an INVITE that brings a picture of its file (RFC 5547 §6)."""
    # Facts §6.1: in base64, as joyn phones send and expect it.
    headers = [
        ("Content-Transfer-Encoding", "base64"),
        ("Content-ID", f"<{content_id}>"),
        ("Content-Disposition", "icon"),
    ]
    picture = Part.make(filetype.guess_mime(icon) or "image/jpeg", encode_base64(icon), headers)
    return build([Part.make(sdp.CONTENT_TYPE, offer), picture], lambda: f"boundary{secrets.token_hex(8)}")


def chat_headers(style: Style, service: FeatureTags, conversation: str, contribution: str) -> list[tuple[str, str]]:
    """The headers of an INVITE to a chat, Contact and Content-Type aside."""
    headers = [("Accept-Contact", f"*;{service.emit()}"), ("Contribution-ID", contribution)]
    if style.name == "cpm":
        headers += [
            ("Conversation-ID", conversation),
            *(("P-Preferred-Service", urn) for urn in sorted(service.icsi)[:1]),
        ]
    return headers
