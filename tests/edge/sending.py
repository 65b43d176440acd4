"""A phone that sends files over MSRP, by hand: the INVITE, and the chunks."""

from __future__ import annotations

import hashlib
import itertools
from typing import Any

from edge.stranger import Door, Stranger, aor
from joyn.model.message import Entry
from joyn.protocol.cpim import CpimMessage
from joyn.protocol.file_info import FileInfo, parse
from joyn.protocol.msrp import Request
from joyn.protocol.sdp import MsrpMedia, SessionDescription
from joyn.protocol.sip.message import SipResponse
from phone.node import BOB, CAROL
from transport.msrp.ends import Peer

JPEG = b"\xff\xd8\xff\xe0" + bytes(range(256)) * 400
PNG = bytes.fromhex("89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489")
_numbers = itertools.count(1)


def sha1_of(data: bytes) -> str:
    """As a selector has it."""
    digest = hashlib.sha1(data, usedforsecurity=False).hexdigest().upper()
    return "hash:sha-1:" + ":".join(digest[at : at + 2] for at in range(0, len(digest), 2))


def selector(data: bytes, *, name: str = "a.jpg", content_type: str = "image/jpeg") -> str:
    return f'name:"{name}" type:{content_type} size:{len(data)} {sha1_of(data)}'


class Sending:
    """One transfer of a file that a stranger, who has registered, begins."""

    def __init__(self, door: Door, phone: Stranger, data: bytes = JPEG, *, transfer_id: str = "") -> None:
        self.door = door
        self.phone = phone
        self.data = data
        self.transfer_id = transfer_id or f"transfer-of-a-file-{next(_numbers)}"
        self.path = f"msrp://127.0.0.1:9/phone{next(_numbers)};tcp"
        self.answer: MsrpMedia | None = None
        self.attributes: dict[str, str] = {}
        self.peer: Peer | None = None
        self._invite: SipResponse | None = None

    def sdp(self, *lines: str, direction: str = "sendonly", **changed: str | None) -> bytes:
        """An offer that is right but for what is said; an attribute that is None is left out."""
        attributes: dict[str, str | None] = {
            "accept-types": "image/jpeg",
            "file-selector": selector(self.data),
            "file-transfer-id": self.transfer_id,
            "file-disposition": "attachment",
            "setup": "active",
            "path": self.path,
        } | {name.replace("_", "-"): value for name, value in changed.items()}
        head = ["v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "c=IN IP4 127.0.0.1", "t=0 0", "m=message 9 TCP/MSRP *"]
        own = [f"a={name}:{value}" for name, value in attributes.items() if value is not None]
        return "\r\n".join([*head, *own, f"a={direction}", *lines, ""]).encode()

    async def offer(self, body: bytes = b"", **offered: Any) -> SipResponse:
        """The final answer to the INVITE that `say_offer` sends."""
        self.say_offer(body, **offered)
        return await self.answered()

    def say_offer(
        self,
        body: bytes = b"",
        *,
        content_type: str = "application/sdp",
        to: str = f"tel:{BOB}",
        from_: str = CAROL,
        more: tuple[tuple[str, str], ...] = (),
        **changed: Any,
    ) -> None:
        """Send the INVITE."""
        fields = [("Content-Type", content_type), ("Contact", self.phone.contact(from_)), *more]
        self.phone.say(self.phone.request("INVITE", to, body=body or self.sdp(**changed), more=fields, from_=from_))

    async def answered(self) -> SipResponse:
        """The final answer to it."""
        answer = await self.phone.answer()
        if answer.status == 200:
            description = SessionDescription.parse(answer.body)
            medium = description.messages()
            assert medium is not None
            self.answer = description.msrp_of(medium)
            self.attributes = {name: value or "" for name, value in medium.attributes}
            self._invite = answer
            self._in_dialog("ACK")
        return answer

    async def connect(self) -> Peer:
        """Bind the session."""
        assert self.answer is not None
        self.peer = await Peer.to(self.answer.port)
        self.peer.send(self.answer.path[0], from_path=self.path)
        assert await self.peer.status() == 200
        return self.peer

    def chunk(self, start: int, end: int, total: int | None, flag: str = "", **changed: Any) -> None:
        """Write bytes `start` to `end` of the message, counted from 0, the end not included."""
        assert self.answer is not None
        assert self.peer is not None
        fields: dict[str, Any] = {"body": self.data[start:end]} | changed
        request = Request(
            f"chunk{next(_numbers):04}",
            "SEND",
            self.answer.path[0],
            self.path,
            fields.pop("message_id", "m1"),
            fields.pop("byte_range", (start + 1, start + len(fields["body"]), total)),
            "image/jpeg",
            continuation=flag or ("$" if end == total else "+"),
            **fields,
        )
        self.peer.write(request.emit())

    async def send(self, start: int = 0, *, size: int = 10_240) -> list[int]:
        """Send the file from there on, one chunk after the other is answered; the statuses, up to the first refusal."""
        assert self.peer is not None
        statuses = []
        rest, whole = self.data[start:], self.data
        self.data = rest
        for at in range(0, len(rest), size):
            self.chunk(at, min(at + size, len(rest)), len(rest))
            statuses.append(await self.peer.status())
            if statuses[-1] != 200:
                break
        self.data = whole
        return statuses

    def hang_up(self) -> None:
        """BYE; what it is answered is left to whoever hears it."""
        self._in_dialog("BYE")
        if self.peer is not None:
            self.peer.close()

    def _in_dialog(self, method: str) -> None:
        assert self._invite is not None
        answer = self._invite
        tag = (answer.header("to") or "").partition(";tag=")[2]
        to = f"<tel:{BOB}>;tag={tag}"
        number = "1" if method == "ACK" else "999"
        invited = (answer.header("cseq") or "").partition(" ")[0]
        self.phone.say(
            self.phone.request(
                method,
                f"sip:127.0.0.1:{self.door.ports['tcp']};transport=tcp",
                to=to,
                call_id=answer.header("call-id") or "",
                cseq=f"{invited if method == 'ACK' else number} {method}",
                from_=(answer.header("from") or "").partition("<")[2].partition(">")[0],
            )
        )


async def entries_of(door: Door, number: str = BOB) -> list[Entry]:
    """What is in somebody's mailbox, whoever has taken it."""
    return await door.node.store.mailboxes.read(aor(number), 0, 100)


def files_in(entry: Entry) -> tuple[FileInfo, ...]:
    """The files that a message is about."""
    assert entry.message.content_type == "application/vnd.gsma.rcs-ft-http+xml"
    return parse(CpimMessage.parse(entry.message.cpim).decoded_body)


async def content_of(door: Door, info: FileInfo) -> bytes:
    """What lies behind a link of the content server."""
    filing = door.node.content.filing
    assert filing is not None
    leaving = await filing.open(info.url)
    assert leaving is not None
    try:
        return await leaving.read(0, info.size + 1)
    finally:
        await leaving.close()
