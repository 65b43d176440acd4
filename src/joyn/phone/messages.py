"""What a program sees of messages: those it sent, those it received, and what went wrong.

Spec: RFC 5438 (dispositions), RFC 3862 (CPIM); facts §4.5, §4.8.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from joyn.protocol import file_info, geolocation
from joyn.protocol.cpim import CpimMessage
from joyn.protocol.errors import ParseError
from joyn.protocol.file_info import FileInfo
from joyn.protocol.file_transfer import FileOffer
from joyn.protocol.geolocation import Location
from joyn.protocol.sip.feature_tags import FeatureTags

if TYPE_CHECKING:
    from joyn.phone.chat import Chat

REQUEST = ("positive-delivery", "negative-delivery", "display")
"""The dispositions a message asks for when its sender does not say."""
CAUSES = {
    403: "the recipient's operator does not allow it",
    404: "the recipient's number is not on joyn",
    408: "nobody took it in time",
    413: "it is too large",
    488: "none of the recipient's devices takes it",
    604: "the recipient's number is not on joyn",
}
"""What the network says of why a message failed, by SIP status."""
FINAL_FAILURES = frozenset(("failed", "forbidden", "error", "revoked"))
"""States after which nothing better comes."""


class Rejected(Exception):
    """The network said no. `status` is the SIP (or MSRP) status, `reason` its phrase."""

    def __init__(self, status: int, reason: str = "") -> None:
        super().__init__(f"{status} {reason}".rstrip())
        self.status = status
        self.reason = reason


class Unanswered(Rejected):
    """Nobody said anything: 408 for a time-out, 503 for a lost connection. Whether it was accepted is unknown."""


class Undelivered(Exception):
    """The message will not arrive: `state` is failed, forbidden, error or revoked, `cause` the SIP status that says
    why, 0 when nobody says."""

    def __init__(self, state: str, cause: int = 0) -> None:
        super().__init__(f"{state}: {CAUSES.get(cause, f'status {cause}')}" if cause else state)
        self.state = state
        self.cause = cause


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What is known of somebody. `status` is `online`, `offline`, `unknown` (nobody's number) or `error`."""

    status: str
    tags: FeatureTags = field(default_factory=FeatureTags)
    code: int = 0

    @property
    def chat(self) -> bool:
        """Whether they can be chatted with, now or later."""
        return self.status in ("online", "offline")


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """A notification that came in: `sender` says that `message_id` is `state` (delivered, displayed, failed, …).

    `cause` is the SIP status that says why it failed, 0 when nobody says.
    """

    sender: str
    message_id: str
    state: str
    cause: int = 0


class Sent:
    """A message of ours on its way.

    `states` are its states in the order they came, with monotonic times; `cause` is the SIP status that says why it
    failed, 0 when nobody says.
    """

    __slots__ = ("_waiting", "cause", "message_id", "mode", "recipient", "states")

    def __init__(self, recipient: str, message_id: str, mode: str) -> None:
        self.recipient = recipient
        self.message_id = message_id
        self.mode = mode
        self.cause = 0
        self.states: list[tuple[str, float]] = []
        self._waiting: list[asyncio.Future[None]] = []

    def __repr__(self) -> str:
        return f"<Sent {self.message_id} to {self.recipient}: {', '.join(state for state, _ in self.states)}>"

    @property
    def state(self) -> str:
        """The latest state, empty before the network has accepted it."""
        return self.states[-1][0] if self.states else ""

    def reached(self, state: str) -> bool:
        """Whether it ever was in this state."""
        return any(name == state for name, _ in self.states)

    async def accepted(self, timeout: float | None = None) -> None:
        """Wait until the network has it. Raises TimeoutError, Undelivered."""
        await self._wait(("accepted", "delivered", "displayed"), timeout)

    async def delivered(self, timeout: float | None = None) -> None:
        """Wait until a device of the recipient has it. Raises TimeoutError, Undelivered."""
        await self._wait(("delivered", "displayed"), timeout)

    async def displayed(self, timeout: float | None = None) -> None:
        """Wait until the recipient has seen it. Raises TimeoutError, Undelivered."""
        await self._wait(("displayed",), timeout)

    def note(self, state: str, cause: int = 0) -> None:
        """Take in a new state, and why when it is a failure."""
        self.cause = cause or self.cause
        self.states.append((state, time.monotonic()))
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def _wait(self, wanted: tuple[str, ...], timeout: float | None) -> None:
        async with asyncio.timeout(timeout):
            while not any(name in wanted for name, _ in self.states):
                if self.state in FINAL_FAILURES:
                    raise Undelivered(self.state, self.cause)
                future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                self._waiting.append(future)
                await future


class Answerer(Protocol):
    """Sends back what a received message calls for."""

    async def report(self, received: Received, state: str) -> None:
        """Send a receipt. Raises Rejected."""
        ...

    def acknowledge(self, received: Received, state: str) -> None:
        """Send a receipt in the background."""
        ...

    async def reply(self, received: Received, text: str) -> Sent:
        """Write back. Raises Rejected."""
        ...


@dataclass(slots=True, kw_only=True, eq=False)
class Received:
    """A message that came in.

    `sender` and `recipient` are numbers (`+33639980001`), or URIs where there is no number. `headers` are the CPIM
    headers, empty for a plain one. `deferred` says that the network kept it for us (facts §4.8), `copy` that another
    phone of ours sent it. `requested` are the dispositions its sender asked for. `way` is how it came: `pager`,
    `plain`, or in a `chat`: `invite`, `session`; or `msrp`, for a file that came in a session of its own: it is at
    `path`, `offer` is what its sender says of it, and `icon` its picture.
    """

    sender: str
    recipient: str
    message_id: str
    content_type: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()
    requested: frozenset[str] = frozenset()
    deferred: bool = False
    copy: bool = False
    way: str = "pager"
    answerer: Answerer | None = None
    displayed: bool = False
    chat: Chat | None = None
    path: Path | None = None
    offer: FileOffer | None = None
    icon: bytes = b""

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode("utf-8", "replace")

    @property
    def media_type(self) -> str:
        """Type and subtype, in lower case."""
        return self.content_type.partition(";")[0].strip().lower()

    @property
    def location(self) -> Location | None:
        """The place that it tells of; None for other messages, and for a document that names none."""
        if self.media_type != geolocation.CONTENT_TYPE:
            return None
        try:
            return Location.parse(self.body)
        except ParseError:
            return None

    @property
    def files(self) -> tuple[FileInfo, ...]:
        """The files and thumbnails that it leads to; nothing for other messages, and for a document that is none."""
        if self.media_type != file_info.CONTENT_TYPE:
            return ()
        try:
            return file_info.parse(self.body)
        except ParseError:
            return ()

    @property
    def file(self) -> FileInfo | None:
        """The file that it leads to, the first if there are several. `Phone.fetch` fetches it."""
        return next((info for info in self.files if info.type == "file"), None)

    async def mark_displayed(self) -> None:
        """Tell the sender that it has been seen, once, if they asked. Raises Rejected."""
        if not self.displayed:
            self.displayed = True
            if "display" in self.requested:
                assert self.answerer is not None
                await self.answerer.report(self, "displayed")

    async def reply(self, text: str) -> Sent:
        """Write back. Raises Rejected."""
        assert self.answerer is not None
        return await self.answerer.reply(self, text)

    @classmethod
    def of_cpim(
        cls, cpim: CpimMessage, *, sender: str, recipient: str, way: str, deferred: bool = False, copy: bool = False
    ) -> Received:
        """Take a message out of its envelope. Raises ParseError for broken base64."""
        return cls(
            sender=sender,
            recipient=recipient,
            message_id=cpim.message_id,
            content_type=cpim.content_header("Content-Type") or "text/plain",
            body=cpim.decoded_body,
            headers=cpim.headers,
            requested=cpim.disposition_request,
            deferred=deferred,
            copy=copy,
            way=way,
        )
