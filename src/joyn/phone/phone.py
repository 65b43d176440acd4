"""The phone: what a bot or a test talks to.

Spec: facts §2 to §4. Registers, asks for capabilities, sends and receives messages with their receipts.
"""

from __future__ import annotations

import asyncio
import ssl
import uuid
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from types import TracebackType
from typing import Any

from joyn.phone import pager
from joyn.phone.addresses import normalised, recipient_of, sender_of, uri_of
from joyn.phone.journal import Journal
from joyn.phone.line import ALLOW, Account, Line, refusal
from joyn.phone.messages import REQUEST, Capabilities, Receipt, Received, Rejected, Sent, Unanswered
from joyn.phone.radio import Radio
from joyn.phone.styles import CHAT, STYLES, registered_tags
from joyn.protocol import cpim, imdn, revocation
from joyn.protocol.cpim import CpimMessage
from joyn.protocol.errors import ParseError
from joyn.protocol.sip.feature_tags import FeatureTags
from joyn.protocol.sip.headers import parse_name_addrs
from joyn.protocol.sip.message import SipRequest
from joyn.transport.sip import Inbound

MAX_REMEMBERED = 20_000
"""Messages sent whose receipts are still understood, and ids received whose repetition is known; the oldest go."""
MAX_UNREAD = 10_000
"""Messages waiting for the program to read them; beyond that new ones are answered 480, and the network keeps them."""
MAX_OWED = 10_000
"""Receipts kept for the next registration because they could not be sent; the oldest go."""
OFFLINE = frozenset((408, 480))
UNKNOWN = frozenset((404, 604))


class Phone:
    """A scripted RCS phone.

    `number` is international (`+33639980001`). `server` is `host:port`, `transport` `udp`, `tcp` or `tls` (then `tls`
    may be a client context). `style` is `cpm`, `simple` (joyn) or `plain` (no RCS at all). `tags` are further feature
    tags or URNs to register, `sync` asks for copies of what the subscriber's other phones send. `receipts` is
    `delivered` (said at once), `auto` (and displayed as soon as the program reads a message) or `none`. `reconnect`
    says whether a lost connection is made anew. Phones that share a `radio` share its timers.

    Tests steer it: `answer` is the status for an incoming MESSAGE (None: no answer at all), `answer_delay` the seconds
    before it; `cut()` loses the connection. `log` holds everything that happened. Hooks: `on_message(received)`,
    `on_receipt(receipt)`.
    """

    def __init__(
        self,
        number: str,
        *,
        password: str,
        server: str = "127.0.0.1:5060",
        transport: str = "tcp",
        domain: str = "joyn.localhost",
        style: str = "cpm",
        username: str | None = None,
        instance: str | None = None,
        tags: Iterable[str] = (),
        sync: bool = False,
        tls: ssl.SSLContext | None = None,
        algorithm: str = "",
        expires: int = 3600,
        receipts: str = "delivered",
        reconnect: bool = True,
        radio: Radio | None = None,
    ) -> None:
        self.number = normalised(number)
        self.style = STYLES[style]
        self.tags = registered_tags(self.style, tags, sync=sync)
        self.instance = f"urn:uuid:{uuid.uuid4()}" if instance is None else instance
        self.domain = domain
        self.receipts = receipts
        self.answer: int | None = 200
        self.answer_delay = 0.0
        self.log = Journal()
        self.on_message: Callable[[Received], None] | None = None
        self.on_receipt: Callable[[Receipt], None] = lambda _receipt: None
        self._own_radio = radio is None
        self._radio = radio or Radio()
        host, _, port = server.rpartition(":")
        emitted = self.tags.emit()
        address = uri_of(self.number, domain, plain=True)
        account = Account(
            address=address,
            preferred=address if self.style.plain else uri_of(self.number, domain),
            username=username or self.number,
            password=password,
            domain=domain,
            host=host.strip("[]"),
            port=int(port),
            transport=transport.upper(),
            tls=tls,
            instance=self.instance,
            parameters=f";{emitted}" if emitted else "",
            algorithm=algorithm,
            expires=expires,
            reconnect=reconnect,
        )
        self._line = Line(account, self._radio, self, self.log)
        self._line.on_registered = self._pay_receipts
        self._sent: dict[str, Sent] = {}
        self._seen: dict[tuple[str, str], None] = {}
        self._unread: deque[Received] = deque()
        self._reader: asyncio.Event = asyncio.Event()
        self._owed: dict[tuple[str, str, str], None] = {}
        self._revocations: dict[str, asyncio.Future[bool]] = {}
        self._conversations: dict[str, str] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<Phone {self.number}>"

    # Coming and going.

    async def __aenter__(self) -> Phone:
        await self.connect()
        try:
            await self.register()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.registered:
            try:
                await self.unregister()
            except Rejected as rejected:
                self.log.note("rejected", f"REGISTER {rejected.status}")
        await self.close()

    @property
    def registered(self) -> bool:
        """Whether the network knows where we are, as far as we can tell."""
        return self._line.registered

    @property
    def gruu(self) -> str:
        """The public GRUU of this phone (RFC 5627), empty when the network gave none."""
        return self._line.gruu

    async def connect(self) -> None:
        """Open the connection. Raises OSError or TimeoutError."""
        if self._line.flow is None:
            await self._line.connect()

    async def register(self) -> None:
        """Register, and stay registered. Raises Rejected, Unanswered."""
        await self._line.register()

    async def unregister(self) -> None:
        """Take the registration back; the connection stays. Raises Rejected."""
        await self._line.unregister()

    def cut(self) -> None:
        """Lose the connection without a word, as in a tunnel. `come_back` ends it."""
        self._line.disconnect()
        self.log.note("cut")

    async def come_back(self) -> None:
        """Connect and register again. Raises OSError, Rejected."""
        await self.connect()
        await self.register()

    async def close(self) -> None:
        """Close the connection. Does not unregister: leaving the `async with` does."""
        self._line.disconnect()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._own_radio:
            await self._radio.close()

    # Asking and sending.

    async def capabilities(self, number: str) -> Capabilities:
        """What somebody can do right now (RCC.07 §2.6.1.3, OPTIONS). Raises Unanswered when we have no connection."""
        uri = self._uri(number)
        tags = (self.tags | CHAT).emit()
        headers = [
            ("Contact", self._line.contact),
            ("Accept-Contact", f"*;{tags}"),
            ("Accept", "application/sdp"),
            ("Allow", ALLOW),
        ]
        answer = await self._line.send("OPTIONS", uri, headers)
        if answer.status < 300:
            try:
                contacts = parse_name_addrs(answer.headers("contact"))
            except ParseError:
                contacts = []
            found = FeatureTags.parse(contacts[0].parameters) if contacts else FeatureTags()
            return Capabilities(status="online", tags=found, code=answer.status)
        status = "offline" if answer.status in OFFLINE else "unknown" if answer.status in UNKNOWN else "error"
        return Capabilities(status=status, code=answer.status)

    async def send(
        self,
        number: str,
        content: str | bytes,
        *,
        content_type: str = pager.TEXT,
        message_id: str | None = None,
        request: Iterable[str] = REQUEST,
        expires: int | None = None,
        headers: Iterable[tuple[str, str]] = (),
    ) -> Sent:
        """Send a message; returns once the network has accepted it.

        `request` are the dispositions asked for, `expires` the seconds it may wait, `headers` further CPIM headers.
        Sending again with the same `message_id` is the same message. Raises Rejected, Unanswered.
        """
        body = content.encode() if isinstance(content, str) else content
        recipient = normalised(number)
        sent = self._remember(recipient, message_id or pager.make_message_id(), "pager")
        if self.style.plain:
            await self._message(recipient, [("Content-Type", content_type)], body, sent)
            return sent
        data = pager.envelope(content_type, body, sent.message_id, request, tuple(headers))
        conversation = self._conversations.setdefault(recipient, str(uuid.uuid4()))
        await self._message(recipient, pager.chat_headers(conversation, str(uuid.uuid4()), expires), data, sent)
        return sent

    async def _message(self, recipient: str, headers: Iterable[tuple[str, str]], body: bytes, sent: Sent) -> None:
        self.log.note("sent", sent.message_id)
        answer = await self._line.send("MESSAGE", self._uri(recipient), headers, body)
        if answer.status >= 300:
            self.log.note("rejected", f"MESSAGE {answer.status}")
            raise refusal(answer)
        self.log.note("accepted", sent.message_id)
        sent.note("accepted")

    async def revoke(self, sent: Sent, timeout: float | None = 10.0) -> bool:
        """Take a message back; True when no device had it yet (facts §4.9). Raises Rejected, TimeoutError."""
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._revocations[sent.message_id] = future
        body = revocation.RevokeRequest(message_id=sent.message_id).emit()
        data = pager.envelope(revocation.CONTENT_TYPE, body, pager.make_message_id(), ())
        try:
            answer = await self._line.send("MESSAGE", self._uri(sent.recipient), pager.system_headers(), data)
            if answer.status >= 300:
                raise refusal(answer)
            async with asyncio.timeout(timeout):
                withdrawn = await future
        finally:
            del self._revocations[sent.message_id]
        if withdrawn:
            sent.note("revoked")
        return withdrawn

    async def notify(self, number: str, message_id: str, state: str) -> None:
        """Send a receipt: `state` is delivered, displayed, … Raises Rejected.

        One that got no answer is sent again after the next registration.
        """
        data = pager.notification(message_id, state)
        owed = (normalised(number), message_id, state)
        try:
            answer = await self._line.send("MESSAGE", self._uri(number), pager.notification_headers(), data)
            if answer.status >= 300:
                raise refusal(answer)
        except Unanswered:
            _bounded(self._owed, owed, MAX_OWED)
            raise
        self.log.note("acknowledged", f"{message_id} {state}")

    def _uri(self, address: str) -> str:
        return uri_of(normalised(address), self.domain, plain=self.style.plain)

    def _remember(self, recipient: str, message_id: str, mode: str) -> Sent:
        known = self._sent.get(message_id)
        if known is not None:
            return known
        sent = self._sent[message_id] = Sent(recipient, message_id, mode)
        if len(self._sent) > MAX_REMEMBERED:
            del self._sent[next(iter(self._sent))]
        return sent

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _pay_receipts(self) -> None:
        owed, self._owed = self._owed, {}
        for number, message_id, state in owed:
            self._spawn(self._notify_quietly(number, message_id, state))

    async def _notify_quietly(self, number: str, message_id: str, state: str) -> None:
        try:
            await self.notify(number, message_id, state)
        except Rejected as rejected:
            self.log.note("rejected", f"{state} {rejected.status}")

    # Receiving.

    async def receive(self, timeout: float | None = None) -> Received:
        """The next message. Raises TimeoutError."""
        async with asyncio.timeout(timeout):
            while not self._unread:
                self._reader.clear()
                await self._reader.wait()
        return self._hand_over(self._unread.popleft())

    async def messages(self) -> AsyncIterator[Received]:
        """Every message, for ever."""
        while True:
            yield await self.receive()

    def on_flow_lost(self) -> None:
        """The radio tells: the connection has ended."""
        self._line.lost()

    def on_acknowledge(self, request: SipRequest) -> None:
        """The radio tells: an ACK came."""

    def on_request(self, inbound: Inbound) -> None:
        """The radio tells: a request came."""
        method = inbound.request.method
        if method == "MESSAGE":
            if self.answer_delay:
                asyncio.get_running_loop().call_later(self.answer_delay, self._on_message, inbound)
            else:
                self._on_message(inbound)
        elif method == "OPTIONS":
            tags = self.tags | CHAT if not self.style.plain else self.tags
            contact = f"<{self._line.contact_uri}>" + (f";{tags.emit()}" if tags else "")
            inbound.respond(200, headers=[("Contact", contact), ("Allow", ALLOW)])
        elif method == "NOTIFY":
            inbound.respond(200)
        else:
            inbound.respond(405, headers=[("Allow", ALLOW)])

    def _on_message(self, inbound: Inbound) -> None:
        status = self.answer
        if status == 200 and len(self._unread) >= MAX_UNREAD:
            status = 480
        if status is None:
            self.log.note("ignored", "MESSAGE")
            return
        request = inbound.request
        try:
            received = self._read(request)
        except ParseError as error:
            inbound.respond(400, reason=f"Bad Request - {error.what}")
            return
        self.log.note("answered", f"MESSAGE {status}")
        inbound.respond(status)
        if 200 <= status < 300:
            self._take(received)

    def _read(self, request: SipRequest) -> Received:
        """A MESSAGE as a message. Raises ParseError."""
        content_type = request.header("content-type") or "text/plain"
        sender, recipient = sender_of(request), recipient_of(request)
        copy = sender == self.number != recipient
        if content_type.partition(";")[0].strip().lower() == cpim.CONTENT_TYPE:
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

    def _take(self, received: Received) -> None:
        """A message, or a notification, is ours now."""
        kind = received.content_type.partition(";")[0].strip().lower()
        if kind == imdn.CONTENT_TYPE:
            self._take_receipt(received)
            return
        if kind == revocation.CONTENT_TYPE:
            self._take_revocation(received)
            return
        key = (received.sender, received.message_id)
        delivered = "positive-delivery" in received.requested and not received.copy and self.receipts != "none"
        if received.message_id and key in self._seen:
            # Facts §4.8: shown once, but said again, for the first time may have been lost.
            self.log.note("duplicate", received.message_id)
            if delivered:
                self._spawn(self._notify_quietly(received.sender, received.message_id, "delivered"))
            return
        _bounded(self._seen, key, MAX_REMEMBERED)
        self.log.note("received", received.message_id or received.text)
        received.acknowledge = self._acknowledger(received)
        received.answer = lambda text: self.send(received.sender, text)
        if delivered:
            self._spawn(self._notify_quietly(received.sender, received.message_id, "delivered"))
        if self.on_message is not None:
            self.on_message(self._hand_over(received))
        else:
            self._unread.append(received)
            self._reader.set()

    def _acknowledger(self, received: Received) -> Callable[[str], Coroutine[Any, Any, None]]:
        return lambda state: self.notify(received.sender, received.message_id, state)

    def _hand_over(self, received: Received) -> Received:
        """The program reads it now."""
        if self.receipts == "auto" and not received.copy and "display" in received.requested and not received.displayed:
            received.displayed = True
            self._spawn(self._notify_quietly(received.sender, received.message_id, "displayed"))
        return received

    def _take_receipt(self, received: Received) -> None:
        try:
            notice = imdn.Imdn.parse(received.body)
        except ParseError:
            self.log.note("ignored", "malformed receipt")
            return
        self.log.note("receipt", f"{notice.message_id} {notice.status}")
        sent = self._sent.get(notice.message_id)
        if sent is not None:
            sent.note(notice.status)
        self.on_receipt(Receipt(sender=received.sender, message_id=notice.message_id, state=notice.status))

    def _take_revocation(self, received: Received) -> None:
        try:
            answer = revocation.parse(received.body)
        except ParseError:
            self.log.note("ignored", "malformed revocation")
            return
        future = self._revocations.get(answer.message_id)
        if future is not None and not future.done() and isinstance(answer, revocation.RevokeResponse):
            future.set_result(answer.result == "success")


def _bounded(kept: dict[Any, None], key: Any, most: int) -> None:
    """Remember a key; beyond `most` the oldest is forgotten."""
    kept[key] = None
    if len(kept) > most:
        del kept[next(iter(kept))]
