"""Where files are while they wait: what messaging wants of a content server, whichever it is.

Spec: RCC.07 §3.5 (file transfer), facts §6. A file is bytes there and a message about it in a mailbox; MSRP is one way
for the bytes to come and one to go. The composition root implements this (`joyn.filing`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from joyn.model.aor import Aor

__all__ = ["Arriving", "Contents", "Described", "Leaving"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """A file that a subscriber, its `owner`, is about to send, as its sender describes it.

    `upload` names what comes until it is complete: who comes back with the same name goes on with it. `transfer` names
    the file that it becomes, and `message_id` the message about it, so that a transfer which is repeated is known
    again. `hashes` are function and hex value;
    sha-1 and sha-256 are checked. `resumed` says that the sender goes on. A thumbnail that is none is left out.
    """

    owner: Aor
    upload: str
    transfer: str
    message_id: str
    name: str
    content_type: str
    size: int
    hashes: tuple[tuple[str, str], ...] = ()
    disposition: str = ""
    resumed: bool = False
    thumbnail: bytes = b""
    thumbnail_type: str = ""


class Arriving(Protocol):
    """A file on its way in. One caller at a time. `repeated` says that all of it came before, in the same transfer."""

    repeated: bool

    @property
    def received(self) -> int:
        """Bytes that are here."""
        ...

    async def write(self, data: bytes) -> None:
        """The next bytes; they have left our memory when this returns. Raises Refused."""
        ...

    async def finish(self) -> bytes:
        """All has come: it is durable, and this is the message about it (FT-HTTP XML). Raises Refused: MALFORMED when
        it is not as long as was said, or hashes to something else; UNSUPPORTED_CONTENT when its type is a lie."""
        ...

    async def close(self) -> None:
        """Stop here. What has come stays for its sender to go on with, unless it was refused."""
        ...


class Leaving(Protocol):
    """A file on its way out: open until `close`, whatever becomes of it on the content server.

    `sha1` is in hex: the only hash that RFC 5547 has a word for.
    """

    name: str
    content_type: str
    size: int
    sha1: str

    async def read(self, offset: int, size: int) -> bytes:
        """So many bytes from an offset on; fewer at the end. Raises OSError."""
        ...

    async def close(self) -> None:
        """It is not read any more."""
        ...


class Contents(Protocol):
    """The content server."""

    async def receive(self, described: Described) -> Arriving:
        """A file begins to come, or goes on coming. There is room for all of it.

        Raises Refused: TOO_LARGE, QUOTA_PASSED, SUBSCRIBER_BLOCKED, BUSY; ID_REUSED when the transfer has brought
        another file before.
        """
        ...

    def has(self, url: str) -> bool:
        """Whether a link leads to this content server. What lies with another operator is not fetched from here."""
        ...

    async def open(self, url: str) -> Leaving | None:
        """The file behind a link of ours; None when its time is over, or it was removed. Raises Refused(AWAITED)
        while it is on its way from another operator."""
        ...

    async def here(self, url: str) -> bool:
        """Wait a little for the file behind a link of ours. False when it is still on its way."""
        ...
