"""A phone that receives files over MSRP and by no other way, by hand: it answers the INVITE and takes the chunks."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from edge.stranger import Stranger
from joyn.model.tags import FILE_OVER_MSRP, SIMPLE_IM, THUMBNAIL
from joyn.protocol.file_transfer import FileOffer
from joyn.protocol.msrp import Request
from joyn.protocol.multipart import Part, flatten
from joyn.protocol.sdp import MediaDescription, SessionDescription
from joyn.protocol.sip.message import SipRequest
from phone.node import CAROL
from transport.msrp.ends import Peer

_numbers = itertools.count(1)


def tags(*iari: str) -> str:
    """A joyn phone's Contact parameters, with these IARIs."""
    return f'{SIMPLE_IM};+g.3gpp.iari-ref="{",".join(urn.replace(":", "%3A") for urn in iari)}"'


MSRP_ALONE = tags(FILE_OVER_MSRP, THUMBNAIL)


@dataclass(slots=True)
class Invitation:
    """An INVITE that brings a file."""

    phone: Stranger
    request: SipRequest
    description: SessionDescription
    medium: MediaDescription
    file: FileOffer
    parts: tuple[Part, ...]

    def say(self, status: int, *attributes: str, setup: str = "active", path: str = "") -> None:
        """Answer it; 200 with a description that takes the file."""
        body = b""
        if status == 200:
            lines = ["v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "c=IN IP4 127.0.0.1", "t=0 0", "m=message 9 TCP/MSRP *"]
            lines += ["a=accept-types:*", f"a=setup:{setup}", f"a=path:{path}", "a=recvonly"]
            body = "\r\n".join([*lines, *(f"a={line}" for line in attributes), ""]).encode()
        self.phone.say(respond(self.request, status, self.phone.contact(CAROL), body))

    async def take(self, *attributes: str) -> Receiving:
        """Accept it and connect."""
        path = f"msrp://127.0.0.1:9/receiver{next(_numbers)};tcp"
        self.say(200, *attributes, path=path)
        await self.phone.requested("ACK")
        media = self.description.msrp_of(self.medium)
        peer = await Peer.to(media.port)
        peer.send(media.path[0], from_path=path)
        assert await peer.status() == 200
        return Receiving(peer)

    def hang_up(self) -> None:
        """BYE, after it was taken; what it is answered is left to whoever hears it."""
        request = self.request
        uri = (request.header("contact") or "").partition("<")[2].partition(">")[0]
        own = {"from": f"{request.header('to')};tag=receiver", "cseq": "1 BYE", "call_id": request.call_id}
        self.phone.say(self.phone.request("BYE", uri, to=request.header("from") or "", **own))


class Receiving:
    """The bytes that come."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.data = b""
        self.requests: list[Request] = []

    async def chunk(self, status: int = 200) -> Request:
        """The next chunk, answered."""
        request = await self.peer.request()
        assert request.body is not None
        self.requests.append(request)
        self.data += request.body
        self.peer.respond(request, status)
        return request

    async def whole(self) -> bytes:
        """All of the message."""
        while (await self.chunk()).continuation == "+":
            pass
        return self.data


def respond(request: SipRequest, status: int, contact: str, body: bytes = b"") -> bytes:
    """A response to a request that the node has sent."""
    lines = [f"SIP/2.0 {status} Indeed"]
    lines += [f"Via: {via}" for via in request.headers("via")]
    lines += [f"From: {request.header('from')}", f"To: {request.header('to')};tag=receiver"]
    lines += [f"Call-ID: {request.call_id}", f"CSeq: {request.header('cseq')}", f"Contact: {contact}"]
    lines += ["Content-Type: application/sdp"] if body else []
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


async def invited(phone: Stranger) -> Invitation:
    """The next INVITE, which brings a file."""
    request = await phone.requested("INVITE")
    content_type = request.header("content-type") or ""
    parts: tuple[Part, ...] = (Part.make(content_type, request.body),)
    if content_type.startswith("multipart/"):
        parts = tuple(flatten(content_type, request.body))
    description = SessionDescription.parse(parts[0].body)
    medium = description.messages()
    assert medium is not None
    file = FileOffer.parse(medium.attributes)
    assert file is not None
    return Invitation(phone, request, description, medium, file, parts)
