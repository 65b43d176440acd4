"""A client farm for chat sessions: pairs of phones that send messages and delivery receipts over MSRP.

    msrp_load.py HOST PORT DOMAIN

It speaks the farm protocol of yardstick/lg/lg.c, a command per line and a JSON line as answer:

    login FIRST LAST CONCURRENT          connect and register these users over SIP/TCP
    msg FIRST LAST WINDOW RATE SECONDS   pairs (2i, 2i+1) exchange message and receipt; both take turns in sending;
                                         RATE 0: WINDOW units are kept in flight
    idle SECONDS

A pair's chat is opened by the first message of either: one INVITEs the server, and the server INVITEs the other. Frames
are made from templates and read by searching, so that this side costs little.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import sys
import time
from collections import deque
from collections.abc import Coroutine
from typing import Any, cast

import uvloop

UNIT_TIMEOUT = 10.0
"""Seconds after which a unit has failed."""
TEXT = "The quick brown fox jumps over the lazy dog, again and again. The quick brown fox jumps over the lazy "[:100]
FEATURES = (
    '+g.3gpp.icsi-ref="urn%3Aurn-7%3A3gpp-service.ims.icsi.oma.cpm.session,'
    'urn%3Aurn-7%3A3gpp-service.ims.icsi.oma.cpm.msg"'
)
CPIM = (
    "From: <sip:anonymous@anonymous.invalid>\r\nTo: <sip:anonymous@anonymous.invalid>\r\n"
    "NS: imdn <urn:ietf:params:imdn>\r\nimdn.Message-ID: joyn%s%%010d\r\nDateTime: 2026-11-22T20:00:00Z\r\n"
)
MESSAGE = (
    CPIM % "U"
    + "imdn.Disposition-Notification: positive-delivery\r\n\r\n"
    + f"Content-Type: text/plain; charset=UTF-8\r\nContent-Length: 100\r\n\r\n{TEXT}"
)
RECEIPT = (
    CPIM % "R"
    + "\r\nContent-Type: message/imdn+xml\r\nContent-Disposition: notification\r\nContent-Length: 314\r\n\r\n"
    + '<?xml version="1.0" encoding="UTF-8"?>\r\n<imdn xmlns="urn:ietf:params:xml:ns:imdn">\r\n'
    + "<message-id>joynU%010d</message-id>\r\n<datetime>2026-11-22T20:00:00Z</datetime>\r\n"
    + "<delivery-notification>\r\n<status>\r\n<delivered/>\r\n</status>\r\n</delivery-notification>\r\n</imdn>\r\n"
)
SEND = (
    "MSRP j%s%%010d SEND\r\nTo-Path: %s\r\nFrom-Path: %s\r\nMessage-ID: %s%%010d\r\nByte-Range: 1-%d/%d\r\n"
    "Content-Type: message/cpim\r\n\r\n%s\r\n-------j%s%%010d$\r\n"
)
OK = b"MSRP %b 200 OK\r\nTo-Path: %b\r\nFrom-Path: %b\r\n-------%b$\r\n"
LINE = re.compile(r"^([A-Za-z-]+): *(.*?)\r?$", re.MULTILINE)


def template(kind: str, body: str, remote: str, local: str) -> bytes:
    """A SEND with places for the unit's number."""
    size = len(body.replace("%010d", "0" * 10))
    return (SEND % (kind, remote, local, kind, size, size, body, kind)).encode()


def md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


class Chat(asyncio.Protocol):
    """One phone's MSRP session with the server."""

    def __init__(self, farm: Farm, phone: Phone, remote: str, local: str) -> None:
        self.farm = farm
        self.phone = phone
        self.remote, self.local = remote.encode(), local.encode()
        self.message = template("U", MESSAGE, remote, local)
        self.receipt = template("R", RECEIPT, remote, local)
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        # RFC 4975 §5.4: the side that connects sends at once, so that the server knows whose connection this is.
        empty = (b"b1nd", self.remote, self.local, b"0", b"b1nd")
        bind = b"MSRP %b SEND\r\nTo-Path: %b\r\nFrom-Path: %b\r\nMessage-ID: %b\r\nByte-Range: 1-0/0\r\n-------%b$\r\n"
        self.transport.write(bind % empty)

    def send(self, number: int) -> None:
        self.transport.write(self.message % (number, number, number, number))

    def data_received(self, data: bytes) -> None:
        if self.buffer:
            data = self.buffer + data
        at = 0
        while True:
            space = data.find(b" ", at + 5)
            if space < 0:
                break
            transaction = data[at + 5 : space]
            end = data.find(b"\r\n-------" + transaction, space)
            if end < 0 or len(data) < end + 12 + len(transaction):
                break
            if data.startswith(b"SEND", space + 1):
                self.transport.write(OK % (transaction, self.remote, self.local, transaction))
                self._message(data, space, end)
            elif not data.startswith(b"200", space + 1) and transaction != b"b1nd":
                self.farm.failed(int(transaction[2:]), data[space + 1 : space + 4].decode())
            at = end + 12 + len(transaction)
        self.buffer = data[at:]

    def _message(self, data: bytes, start: int, end: int) -> None:
        found = data.find(b"imdn.Message-ID: joyn", start, end)
        if found < 0:
            return
        number = int(data[found + 22 : found + 32])
        if data[found + 21 : found + 22] == b"U":
            self.farm.delivered(number)
            self.transport.write(self.receipt % (number, number, number, number, number))
        else:
            self.farm.done(number)


class Phone(asyncio.Protocol):
    """One user's SIP connection."""

    def __init__(self, farm: Farm, number: int) -> None:
        self.farm = farm
        self.user = f"u{number:06d}"
        self.password = f"pw{number:06d}"
        self.address = f"sip:{self.user}@{farm.domain}"
        self.buffer = b""
        self.sequence = 0
        self.answer: asyncio.Future[tuple[int, dict[str, str], bytes]] | None = None
        self.chat: Chat | None = None
        self.opened = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.host, self.port = transport.get_extra_info("sockname")[:2]
        self.contact = f"<sip:{self.user}@{self.host}:{self.port};transport=tcp>"

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while True:
            head, found, rest = self.buffer.lstrip(b"\r\n").partition(b"\r\n\r\n")
            if not found:
                return
            start, _, lines = head.decode().partition("\r\n")
            headers = {name.lower(): value for name, value in reversed(LINE.findall(lines))}
            length = int(headers.get("content-length", "0"))
            if len(rest) < length:
                return
            self.buffer = rest[length:]
            self._received(start, lines, headers, rest[:length])

    def _received(self, start: str, lines: str, headers: dict[str, str], body: bytes) -> None:
        if start.startswith("SIP/2.0 "):
            status = int(start[8:11])
            if self.answer is not None and status >= 200 and not self.answer.done():
                self.answer.set_result((status, headers, body))
        elif start.startswith("INVITE "):
            self.farm.spawn(self._invited(lines, body))
        elif not start.startswith("ACK "):
            self._respond(lines)

    def _respond(self, lines: str, more: str = "", body: bytes = b"") -> None:
        copied = [line for line in lines.split("\r\n") if line.partition(":")[0] in ("Via", "From", "Call-ID", "CSeq")]
        to = next(line for line in lines.split("\r\n") if line.startswith("To:"))
        tag = "" if ";tag=" in to else f";tag=l{self.user}"
        head = "\r\n".join(["SIP/2.0 200 OK", *copied, to + tag])
        self.transport.write(f"{head}\r\n{more}Content-Length: {len(body)}\r\n\r\n".encode() + body)

    async def _request(
        self, method: str, uri: str, to: str, more: str, body: bytes = b""
    ) -> tuple[int, dict[str, str], bytes]:
        self.sequence += 1
        self.answer = asyncio.get_running_loop().create_future()
        self.transport.write(
            (
                f"{method} {uri} SIP/2.0\r\nVia: SIP/2.0/TCP {self.host}:{self.port};branch=z9hG4bK{self.user}"
                f"{self.sequence};rport\r\nMax-Forwards: 70\r\nFrom: <{self.address}>;tag=t\r\nTo: {to}\r\n"
                f"Call-ID: {method}-{self.user}@{self.host}\r\nCSeq: {self.sequence} {method}\r\n"
                f"Contact: {self.contact};{FEATURES};"
                f'+sip.instance="<urn:gsma:imei:35824005-{self.user[1:]}-0>"\r\n'
                f"User-Agent: joyn-msrp-load/1\r\n{more}Content-Length: {len(body)}\r\n\r\n"
            ).encode()
            + body
        )
        return await asyncio.wait_for(self.answer, UNIT_TIMEOUT)

    async def register(self) -> bool:
        """Register by digest, or refresh."""
        uri = f"sip:{self.farm.domain}"
        common = "Supported: path,gruu\r\nExpires: 3600\r\n"
        status, headers, _ = await self._request("REGISTER", uri, f"<{self.address}>", common)
        if status == 401:
            challenge = dict(re.findall(r'(\w+)="?([^",]*)"?', headers["www-authenticate"]))
            nonce, realm = challenge["nonce"], challenge["realm"]
            secret = md5(f"{self.user}:{realm}:{self.password}")
            response = md5(f"{secret}:{nonce}:00000001:c0ffee:auth:{md5(f'REGISTER:{uri}')}")
            proof = (
                f'Authorization: Digest username="{self.user}",realm="{realm}",nonce="{nonce}",uri="{uri}",'
                f'response="{response}",algorithm=MD5,qop=auth,nc=00000001,cnonce="c0ffee"\r\n'
            )
            status, _, _ = await self._request("REGISTER", uri, f"<{self.address}>", common + proof)
        return status == 200

    def _describe(self) -> tuple[str, bytes]:
        """A path of our own, and the description that tells it: we connect."""
        path = f"msrp://{self.host}:9/{self.user}s{self.sequence};tcp"
        return path, (
            f"v=0\r\no=- 1 1 IN IP4 {self.host}\r\ns=-\r\nc=IN IP4 {self.host}\r\nt=0 0\r\nm=message 9 TCP/MSRP *\r\n"
            f"a=path:{path}\r\na=accept-types:message/cpim application/im-iscomposing+xml\r\n"
            "a=accept-wrapped-types:*\r\na=setup:active\r\na=sendrecv\r\n"
        ).encode()

    async def open_chat(self, peer: Phone) -> None:
        """INVITE, ACK, and connect where the answer says."""
        local, offer = self._describe()
        more = (
            'Accept-Contact: *;+g.3gpp.icsi-ref="urn%3Aurn-7%3A3gpp-service.ims.icsi.oma.cpm.session"\r\n'
            "P-Preferred-Service: urn:urn-7:3gpp-service.ims.icsi.oma.cpm.session\r\n"
            f"Conversation-ID: c-{self.user}\r\nContribution-ID: k-{self.user}\r\nContent-Type: application/sdp\r\n"
        )
        status, headers, body = await self._request("INVITE", peer.address, f"<{peer.address}>", more, offer)
        if status != 200:
            raise RuntimeError(f"INVITE was answered {status}")
        target = headers["contact"].partition("<")[2].partition(">")[0]
        self.transport.write(
            (
                f"ACK {target} SIP/2.0\r\nVia: SIP/2.0/TCP {self.host}:{self.port};branch=z9hG4bKa{self.user}\r\n"
                f"Max-Forwards: 70\r\nFrom: <{self.address}>;tag=t\r\nTo: {headers['to']}\r\n"
                f"Call-ID: {headers['call-id']}\r\nCSeq: {self.sequence} ACK\r\nContent-Length: 0\r\n\r\n"
            ).encode()
        )
        await self._connect(body, local)

    async def _invited(self, lines: str, offer: bytes) -> None:
        self.sequence += 1
        local, answer = self._describe()
        more = f"Contact: {self.contact}\r\nContent-Type: application/sdp\r\n"
        self._respond(lines, more, answer)
        await self._connect(offer, local)

    async def _connect(self, description: bytes, local: str) -> None:
        found = re.search(rb"a=path:(msrps?://([^:/]+):(\d+)/\S+)", description)
        if found is None:
            raise RuntimeError("a description without a path")
        remote = found[1].decode()
        _, self.chat = await asyncio.get_running_loop().create_connection(
            lambda: Chat(self.farm, self, remote, local), found[2].decode(), int(found[3])
        )
        self.opened.set()


class Farm:
    """All phones, and the units in flight."""

    def __init__(self, host: str, port: int, domain: str) -> None:
        self.host, self.port, self.domain = host, port, domain
        self.phones: dict[int, Phone] = {}
        self._next = 1 + int(time.time()) % 100_000 * 10_000
        self._sent: dict[int, float] = {}
        self._arrived: set[int] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._room = asyncio.Event()
        self._reset()

    def _reset(self) -> None:
        self.units = self.failures = 0
        self.last_failure = ""
        self._deliver: list[float] = []
        self._receipt: list[float] = []

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # Events of the chats.

    def delivered(self, number: int) -> None:
        """The message reached the recipient's connection."""
        start = self._sent.get(number)
        if start is not None and number not in self._arrived:
            self._arrived.add(number)
            self._deliver.append(time.perf_counter() - start)

    def done(self, number: int) -> None:
        """The receipt reached the sender's connection: one unit."""
        start = self._sent.pop(number, None)
        if start is not None:
            self._arrived.discard(number)
            self._receipt.append(time.perf_counter() - start)
            self.units += 1
            self._room.set()

    def failed(self, number: int, status: str) -> None:
        """The server refused it."""
        if self._sent.pop(number, None) is not None:
            self.failures += 1
            self.last_failure = status
            self._room.set()

    # Commands.

    async def login(self, first: int, last: int, concurrent: int) -> dict[str, Any]:
        """Register users [first, last)."""
        start = time.perf_counter()
        turn = asyncio.Semaphore(concurrent)
        loop = asyncio.get_running_loop()

        async def one(number: int) -> bool:
            async with turn:
                if number not in self.phones:
                    source = (f"127.0.1.{1 + number // 10_000}", 0)
                    _, phone = await loop.create_connection(
                        lambda: Phone(self, number), self.host, self.port, local_addr=source
                    )
                    self.phones[number] = phone
                return await self.phones[number].register()

        ok = await asyncio.gather(*(one(number) for number in range(first, last)))
        seconds = time.perf_counter() - start
        return {"logins": sum(ok), "fail": len(ok) - sum(ok), "secs": round(seconds, 3)}

    async def msg(self, first: int, last: int, window: int, rate: float, seconds: float) -> dict[str, Any]:
        """Exchange messages; returns when all are done or have failed."""
        for number in range(first, last - 1, 2):
            if self.phones[number].chat is None:
                await self.phones[number].open_chat(self.phones[number + 1])
        self._reset()
        start = time.perf_counter()
        pairs, sent = (last - first) // 2, 0
        while (now := time.perf_counter()) < start + seconds:
            allowed = window - len(self._sent)
            if rate:
                allowed = min(allowed, int((now - start) * rate) + 1 - sent)
            for _ in range(allowed):
                pair, turn = sent % pairs, sent // pairs
                self._send(first + 2 * pair, turn % 2)
                sent += 1
            self._room.clear()
            if rate:
                await asyncio.sleep(0.001)
            else:
                await self._wait(start + seconds)
        await self._finish()
        return self._report(time.perf_counter() - start)

    def _send(self, first: int, turn: int) -> None:
        """One unit: by the pair's first phone, or by its second once the server has invited that one."""
        sender = self.phones[first + turn]
        if sender.chat is None:
            sender = self.phones[first]
        assert sender.chat is not None
        number = self._next
        self._next += 1
        self._sent[number] = time.perf_counter()
        sender.chat.send(number)

    async def _wait(self, until: float) -> None:
        try:
            async with asyncio.timeout(max(0.0, min(UNIT_TIMEOUT, until - time.perf_counter()))):
                await self._room.wait()
        except TimeoutError:
            pass

    async def _finish(self) -> None:
        end = time.perf_counter() + UNIT_TIMEOUT
        while self._sent and time.perf_counter() < end:
            self._room.clear()
            await self._wait(end)
        self.failures += len(self._sent)
        self._sent.clear()
        self._arrived.clear()

    def _report(self, seconds: float) -> dict[str, Any]:
        report: dict[str, Any] = {
            "units": self.units,
            "secs": round(seconds, 3),
            "per_s": round(self.units / seconds, 1),
        }
        report |= {"fail": self.failures, "lastcode": self.last_failure}
        for name, values in (("deliver", sorted(self._deliver)), ("receipt", sorted(self._receipt))):
            if values:
                last = len(values) - 1
                parts = {"p50": 0.5, "p99": 0.99, "p999": 0.999, "max": 1.0}
                report[f"{name}_ms"] = {key: round(values[int(last * q)] * 1e3, 3) for key, q in parts.items()}
        return report


async def main() -> None:
    host, port, domain = sys.argv[1:4]
    if not host.startswith("127."):
        sys.exit("loopback only")
    farm = Farm(host, int(port), domain)
    loop = asyncio.get_running_loop()
    lines: deque[str] = deque()
    arrived = asyncio.Event()

    def read() -> None:
        lines.append(sys.stdin.readline())
        arrived.set()

    loop.add_reader(sys.stdin, read)
    print(json.dumps({"ready": 1}), flush=True)
    while True:
        while not lines:
            arrived.clear()
            await arrived.wait()
        name, *arguments = lines.popleft().split() or [""]
        numbers = [float(argument) for argument in arguments]
        whole = [int(number) for number in numbers]
        if name == "login":
            answer = await farm.login(*whole)
        elif name == "msg":
            answer = await farm.msg(whole[0], whole[1], whole[2], numbers[3], numbers[4])
        elif name == "idle":
            await asyncio.sleep(numbers[0])
            answer = {"idle": numbers[0]}
        else:
            return
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    uvloop.run(main())
