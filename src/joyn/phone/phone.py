"""The phone: what a bot or a test talks to.

Spec: facts §2 to §4. Registers, asks for capabilities, sends and receives messages with their receipts.
"""

from __future__ import annotations

import asyncio
import ssl
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from joyn.model.tags import CPM_LARGE
from joyn.phone import pager
from joyn.phone.addresses import normalised, uri_of
from joyn.phone.behaviour import Behaviour
from joyn.phone.chat import Chat
from joyn.phone.correspondence import Correspondence
from joyn.phone.file_session import Paused
from joyn.phone.file_sessions import FileSessions
from joyn.phone.files import FileTransfer
from joyn.phone.inbox import Inbox
from joyn.phone.incoming import Incoming
from joyn.phone.joining import Setup
from joyn.phone.journal import Journal
from joyn.phone.line import ALLOW, Account, Line, refusal
from joyn.phone.messages import REQUEST, Capabilities, Received, Rejected, Sent
from joyn.phone.places import LASTS, location_at
from joyn.phone.radio import Radio
from joyn.phone.recordings import audio_type, recorded_seconds
from joyn.phone.sessions import Sessions
from joyn.phone.styles import CHAT, STYLES, registered_tags
from joyn.phone.uploading import Progress, Upload, unheard
from joyn.protocol import file_info, geolocation, revocation
from joyn.protocol.errors import ParseError
from joyn.protocol.file_info import Disposition, FileInfo
from joyn.protocol.file_transfer import FileOffer
from joyn.protocol.sip.feature_tags import FeatureTags
from joyn.protocol.sip.headers import parse_name_addrs

OFFLINE = frozenset((408, 480))
UNKNOWN = frozenset((404, 604))


class Phone(Behaviour):
    """A scripted RCS phone.

    `number` is international (`+33639980001`). `server` is `host:port`, `transport` `udp`, `tcp`, `tls`, `ws` or `wss`;
    over TLS `tls` may be a client context. `style` is `cpm`, `simple` (joyn), `rcse` (its first generation, with files
    over MSRP alone) or `plain` (no RCS at all). `tags` are further feature tags or URNs to register, `sync` asks for
    copies of what the subscriber's other phones send. `algorithm` names the digest algorithm in an empty first
    Authorization, as IMS phones do. `expires` is the registration asked for, in seconds. `reconnect` says whether a
    lost connection is made anew. `msrp_setup` is what its offers say of who connects (`active`, `passive`, `actpass`),
    `msrps` whether they want MSRP over TLS; over WebSocket MSRP is active, and as safe as SIP. Phones that share a
    `radio` share its timers. `content_server` is where files go (ftHTTPCSURI, `https://files.example.net/content`); the
    user name and password are the same there. `directory` is where files are kept that come over MSRP, one that is
    there; without one none is taken. `pause` waits for so many seconds before a transfer that was cut is tried again.

    `log` holds everything that happened. How it behaves towards what comes in, and the hooks, are in `Behaviour`.
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
        msrp_setup: Setup = "active",
        msrps: bool = False,
        radio: Radio | None = None,
        content_server: str = "",
        directory: Path | None = None,
        pause: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        super().__init__(receipts)
        self.number = normalised(number)
        self.style = STYLES[style]
        self.tags = registered_tags(self.style, tags, sync=sync)
        self.instance = f"urn:uuid:{uuid.uuid4()}" if instance is None else instance
        self.domain = domain
        self.log = Journal()
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
        self._line = line = Line(account, self._radio, self.log)
        self._correspondence = Correspondence(line, self.log, self._uri, self.send)
        self._inbox = inbox = Inbox(self, self.log, self._correspondence)
        if line.web:
            # RFC 7977 §5: nobody can connect to a browser.
            msrp_setup, msrps = "active", account.transport == "WSS"
        self._sessions = Sessions(self, line, inbox, self.log, self.style, self.number, setup=msrp_setup, secure=msrps)
        self._file_sessions = files = FileSessions(
            self, line, inbox, self.log, self.number, setup=msrp_setup, secure=msrps, directory=directory, pause=pause
        )
        self._sessions.on_file = files.on_invite
        shown = self.tags if self.style.plain else self.tags | CHAT
        line.user = Incoming(self, line, inbox, self._sessions, files, self.log, own=self.number, capabilities=shown)
        line.on_registered = self._correspondence.pay
        self._opening = asyncio.Lock()
        self._files = FileTransfer(content_server, account.username, password, tls=tls, pause=pause)

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
            await self._correspondence.finish()
            await self._sessions.leave_all()
            await self._file_sessions.leave_all()
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
        """Lose the connection and its chats without a word, as in a tunnel. `come_back` ends it."""
        self._sessions.drop_all()
        self._file_sessions.drop_all()
        self._line.disconnect()
        self.log.note("cut")

    async def come_back(self) -> None:
        """Connect and register again. Raises OSError, Rejected."""
        await self.connect()
        await self.register()

    async def close(self) -> None:
        """Close the connection. Does not unregister: leaving the `async with` does."""
        await self._sessions.close()
        await self._file_sessions.close()
        self._line.disconnect()
        await self._correspondence.close()
        await self._files.close()
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
        mode: str = "auto",
        content_type: str = pager.TEXT,
        message_id: str | None = None,
        request: Iterable[str] = REQUEST,
        expires: int | None = None,
        headers: Iterable[tuple[str, str]] = (),
    ) -> Sent:
        """Send a message; returns once the network has accepted it.

        `mode` is `pager` (one SIP MESSAGE), `large` (a session for this message), `session` (the chat with them, opened
        if need be) or `auto`: what a phone of this style would do. `request` are the dispositions asked for, `expires`
        the seconds it may wait (pager mode), `headers` further CPIM headers. Sending again with the same `message_id`
        is the same message. Raises Rejected, Unanswered.
        """
        body = content.encode() if isinstance(content, str) else content
        recipient = normalised(number)
        message_id = message_id or pager.make_message_id()
        if self.style.plain:
            sent = self._inbox.sending(recipient, message_id, "plain")
            return await self._message(recipient, [("Content-Type", content_type)], body, sent)
        data = pager.envelope(content_type, body, message_id, request, tuple(headers))
        mode = self._choose(recipient, len(data)) if mode == "auto" else mode
        sent = self._inbox.sending(recipient, message_id, mode)
        if mode == "session":
            await self._send_in_chat(recipient, data)
        elif mode == "large":
            await self._send_large(recipient, data)
        else:
            conversation = self._sessions.conversation(recipient)
            sip_headers = pager.chat_headers(conversation, str(uuid.uuid4()), expires)
            return await self._message(recipient, sip_headers, data, sent)
        self._inbox.accepted(sent)
        return sent

    def _choose(self, recipient: str, size: int) -> str:
        if self._sessions.find(recipient) is not None or not self.style.pager:
            return "session"
        return "pager" if size <= pager.PAGER_LIMIT else "large"

    async def _send_in_chat(self, recipient: str, data: bytes) -> None:
        async with self._opening:
            chat = self._sessions.find(recipient)
            if chat is None:
                carried = data if self.style.first_message else None
                chat = await self._sessions.open(recipient, self._uri(recipient), self.style.session, carried)
                if carried is not None:
                    return
        await chat.say(data)

    async def _send_large(self, recipient: str, data: bytes) -> None:
        """Facts §4.7: a session for one message."""
        service = FeatureTags(icsi=frozenset({CPM_LARGE}))
        chat = await self._sessions.open(recipient, self._uri(recipient), service, standalone=True)
        try:
            await chat.deliver(data)
        finally:
            await chat.close()

    async def send_file(
        self,
        number: str,
        path: Path,
        *,
        content_type: str = "",
        thumbnail: bytes = b"",
        disposition: Disposition = "",
        playing_length: int | None = None,
        tid: str = "",
        over: Literal["auto", "http", "msrp"] = "auto",
        mode: str = "auto",
        message_id: str | None = None,
        on_progress: Progress = unheard,
    ) -> Sent:
        """Send a file; returns once the network has accepted it.

        Over HTTP it goes to the content server, and what leads to it as a message; `over` MSRP in a session of its own,
        as phones of the first generation do: `auto` does what one of this style would.
        The type is told by the name unless given; `thumbnail` is a picture to show before it is fetched. `disposition`
        `render` asks for it to be shown or played, `playing_length` says for how many seconds (HTTP). With the `tid` of
        one that was begun before, that is gone on with. `on_progress` hears how many bytes have left, and of how many.
        Raises TransferFailed, OSError when the file cannot be read, Rejected, Unanswered.
        """
        if over == "msrp" or (over == "auto" and self.style.files == "msrp"):
            args = (path, content_type, "", thumbnail, message_id or "", on_progress)
            upload = await asyncio.to_thread(Upload.of, *args)
            recipient = normalised(number)
            # The network knows the message by the name of its transfer, and what has come of it by what it selects.
            sent = self._inbox.sending(recipient, upload.tid, "msrp")
            await self._file_sessions.send(self._uri(recipient), upload, disposition, begun=bool(tid))
            self._inbox.accepted(sent)
            return sent
        infos = await self._files.upload(
            path, content_type=content_type, thumbnail=thumbnail, tid=tid, on_progress=on_progress
        )
        document = file_info.emit(
            [
                replace(info, disposition=disposition, playing_length=playing_length) if info.type == "file" else info
                for info in infos
            ]
        )
        return await self.send(number, document, mode=mode, content_type=file_info.CONTENT_TYPE, message_id=message_id)

    async def send_voice(
        self, number: str, path: Path, *, playing_length: int | None = None, content_type: str = "", **more: Any
    ) -> Sent:
        """Send a recording as a voice message, to be played where it arrives; `more` is as for `send_file`.

        `playing_length` is in seconds; WAV and AMR say it themselves. Raises ValueError when it is no sound by its name
        or `content_type`, or nobody says how long it is; and what `send_file` raises.
        """
        content_type = content_type or audio_type(path)
        if not content_type.lower().startswith("audio/"):
            raise ValueError(f"{path.name} is no recording by its name")
        if playing_length is None:
            playing_length = await asyncio.to_thread(recorded_seconds, path)
        if playing_length is None:
            raise ValueError(f"{path.name} does not say how long it is")
        return await self.send_file(
            number, path, content_type=content_type, disposition="render", playing_length=playing_length, **more
        )

    async def send_location(
        self,
        number: str,
        latitude: float,
        longitude: float,
        *,
        label: str = "",
        radius: float = 0.0,
        lasts: float = LASTS,
        mode: str = "auto",
        message_id: str | None = None,
    ) -> Sent:
        """Say where somebody or something is (facts §7): degrees of WGS 84, and metres around it.

        After `lasts` seconds nobody needs to keep it. Raises ValueError for a place that is not on Earth and for a
        label that no phone shows whole; Rejected, Unanswered.
        """
        document = location_at(latitude, longitude, label, radius, lasts, entity=f"tel:{self.number}").emit()
        return await self.send(
            number, document, mode=mode, content_type=geolocation.CONTENT_TYPE, message_id=message_id
        )

    async def fetch(self, info: FileInfo, path: Path, *, on_progress: Progress = unheard) -> Path:
        """Fetch a file that somebody sent (`Received.file`) to `path`, going on with what has come of it before.

        Raises TransferFailed, and OSError when it cannot be written.
        """
        return await self._files.download(info, path, on_progress=on_progress)

    async def pause_file(self, offer: FileOffer) -> Paused:
        """Hang up on a file that comes over MSRP, as `on_file_progress` told of it; what has come stays.

        Raises LookupError when it does not come any more.
        """
        return await self._file_sessions.pause(offer)

    async def resume_file(self, paused: Paused) -> None:
        """Ask whoever sent it for the rest of a file; it has begun to come when this returns.

        Raises Rejected when it is not given, Unanswered.
        """
        await self._file_sessions.resume(self._uri(paused.sender), paused)

    async def open_chat(self, number: str, first_message: str | None = None) -> Chat:
        """Open a chat session. `first_message` goes in the INVITE, or right after it, as this style does.

        Raises Rejected, Unanswered. Cancelling the wait cancels the INVITE.
        """
        peer = normalised(number)
        carried = sent = None
        if first_message is not None and self.style.first_message:
            sent = self._inbox.sending(peer, pager.make_message_id(), "session")
            carried = pager.envelope(pager.TEXT, first_message.encode(), sent.message_id, REQUEST)
        chat = await self._sessions.open(peer, self._uri(peer), self.style.session, carried)
        if sent is not None:
            self._inbox.accepted(sent)
        elif first_message is not None:
            sent = await chat.send(first_message)
        chat.first = sent
        return chat

    async def incoming_chat(self, timeout: float | None = None) -> Chat:
        """The next chat that others opened. Raises TimeoutError."""
        return await self._sessions.incoming(timeout)

    async def _message(self, recipient: str, headers: Iterable[tuple[str, str]], body: bytes, sent: Sent) -> Sent:
        answer = await self._line.send("MESSAGE", self._uri(recipient), headers, body)
        if answer.status >= 300:
            self.log.note("rejected", f"MESSAGE {answer.status}")
            raise refusal(answer)
        self._inbox.accepted(sent)
        return sent

    async def revoke(self, sent: Sent, timeout: float | None = 10.0) -> bool:
        """Take a message back; True when no device had it yet (facts §4.9). Raises Rejected, TimeoutError."""
        future = self._inbox.revoking(sent.message_id)
        body = revocation.RevokeRequest(message_id=sent.message_id).emit()
        data = pager.envelope(revocation.CONTENT_TYPE, body, pager.make_message_id(), ())
        try:
            answer = await self._line.send("MESSAGE", self._uri(sent.recipient), pager.system_headers(), data)
            if answer.status >= 300:
                raise refusal(answer)
            async with asyncio.timeout(timeout):
                withdrawn = await future
        finally:
            future.cancel()
        if withdrawn:
            sent.note("revoked")
        return withdrawn

    async def notify(self, number: str, message_id: str, state: str) -> None:
        """Send a receipt of one's own making: `state` is delivered, displayed, … Raises Rejected."""
        await self._correspondence.notify(normalised(number), message_id, state)

    def _uri(self, address: str) -> str:
        return uri_of(normalised(address), self.domain, plain=self.style.plain)

    # Receiving.

    async def receive(self, timeout: float | None = None) -> Received:
        """The next message. Raises TimeoutError."""
        return await self._inbox.receive(timeout)

    async def messages(self) -> AsyncIterator[Received]:
        """Every message, for ever."""
        while True:
            yield await self.receive()
