"""Links of ours in place of a peer operator's, in what its subscribers send: nobody's device has to reach the peer.

Spec: IR.90 (facts §10: "the recipient operator may proxy (localise) the URL"); RCC.07 §3.5.4.8 for the document.
Only links to the origin that the peer's own file names are replaced (attacks: SSRF); of a link nothing but its path is
kept. The same message gets the same links however often it comes, and nobody without our key can tell them.
"""

from __future__ import annotations

import hmac
import json
import re
from base64 import urlsafe_b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import unquote

from joyn import telemetry
from joyn.model.aor import Aor
from joyn.model.file import ForeignFile
from joyn.model.peer import Peer, mailbox_of
from joyn.protocol.cpim import CpimMessage
from joyn.protocol.errors import ParseError
from joyn.protocol.file_info import CONTENT_TYPE, FileInfo, parse, relink
from joyn.services.files.content_server import clean_name
from joyn.services.files.sniffing import served_as
from joyn.store import ForeignFiles

__all__ = ["LocalPolicy", "Localising", "path_at"]

# RFC 3986 §3, and no more of it than links to files have: no user information, no fragment, nothing but visible ASCII.
_URL: Final = re.compile(
    r"(https?)://(\[[0-9a-f:.]+\]|[a-z0-9.-]+)(?::([0-9]{1,5}))?(/[!-\"$-\[\]-~]*)", re.ASCII | re.IGNORECASE
)
_PORTS: Final = {"http": 80, "https": 443}
_TIME: Final = "%Y-%m-%dT%H:%M:%SZ"
LOCALISED = telemetry.counter("file.localised")


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalPolicy:
    """What is taken in: bytes of a file and of a thumbnail, and for how many seconds it can be fetched."""

    max_file: int
    max_thumbnail: int
    keep: float


class Localising:
    """Replaces the links. `url` says where our content server is, `key` makes links that nobody can guess.

    `wanted` is called with what has begun to be waited for, before the message is anybody's.
    """

    def __init__(
        self,
        foreign: ForeignFiles,
        key: bytes,
        policy: LocalPolicy,
        *,
        url: Callable[[], str],
        wall: Callable[[], float],
        wanted: Callable[[Sequence[ForeignFile]], None],
    ) -> None:
        self._foreign = foreign
        self._key = hmac.digest(key, b"links to foreign files", "sha256")
        self._policy = policy
        self._url = url
        self._wall = wall
        self._wanted = wanted

    async def localise(self, peer: Peer, sender: Aor, body: bytes) -> bytes:
        """A message (CPIM) of a peer's subscriber with our links where it has some to the peer's content server; all
        else as it was. Raises Refused when the store takes nothing just now."""
        if not peer.files or not self._url():
            return body
        try:
            message = CpimMessage.parse(body)
            if message.content_type != CONTENT_TYPE:
                return body
            document = message.decoded_body
            infos = parse(document)
            files = [self._file(peer, (sender, message.message_id), info) for info in infos]
            links = await self._links(infos, files)
            return message.with_body(relink(document, links)).data if any(links) else body
        except ParseError:
            # Whoever reads it next says so, or makes of it what they can.
            return body

    def _file(self, peer: Peer, whose: tuple[str, str], info: FileInfo) -> ForeignFile | None:
        """What a link of ours would lead to; None for a link that stays as it is."""
        path = path_at(peer.files, info.url)
        most = self._policy.max_file if info.type == "file" else self._policy.max_thumbnail
        if path is None or not 0 < info.size <= most:
            return None
        said = [peer.domain, *whose, info.type, path, info.size, info.name, info.content_type, info.until]
        made = hmac.digest(self._key, json.dumps(said).encode(), "sha256")
        ours = int(self._wall() + self._policy.keep)
        theirs = _seconds(info.until)
        return ForeignFile(
            id=urlsafe_b64encode(made)[:32].decode(),
            owner=mailbox_of(peer.domain),
            path=path,
            kind=info.type,
            size=info.size,
            name=clean_name(info.name) if info.type == "file" else "",
            content_type=served_as(info.content_type),
            until=ours if theirs is None else min(ours, theirs),
        )

    async def _links(
        self, infos: Sequence[FileInfo], files: Sequence[ForeignFile | None]
    ) -> list[tuple[str, str] | None]:
        found = [file for file in files if file is not None]
        until = await self._foreign.add(found) if found else {}
        kept = [file for file in found if file.id in until]
        if len(kept) < len(found):
            telemetry.event("file.unlocalised", owner=found[0].owner, count=len(found) - len(kept))
        LOCALISED.inc(len(kept))
        self._wanted(kept)
        links: list[tuple[str, str] | None] = []
        for info, file in zip(infos, files, strict=True):
            if file is None or file.id not in until:
                links.append(None)
                continue
            at = until[file.id]
            said = info.until if _seconds(info.until) == at else datetime.fromtimestamp(at, UTC).strftime(_TIME)
            links.append((f"{self._url()}/file/{file.id}", said))
        return links


def path_at(origin: str, url: str) -> str | None:
    """The path (and query) of a URL that leads to exactly this origin; None for any other, and for what hides where it
    leads."""
    found, wanted = _URL.fullmatch(url), _URL.fullmatch(f"{origin}/")
    if found is None or wanted is None or _origin(found) != _origin(wanted):
        return None
    path: str = found[4]
    steps = unquote(path.partition("?")[0]).replace("\\", "/").split("/")
    return None if "." in steps or ".." in steps else path


def _origin(match: re.Match[str]) -> tuple[str, str, int]:
    scheme = match[1].lower()
    return scheme, match[2].lower(), int(match[3]) if match[3] else _PORTS[scheme]


def _seconds(until: str) -> float | None:
    """RFC 3339 text as wall-clock seconds; None when it is none."""
    try:
        read = datetime.fromisoformat(until)
        return read.timestamp() if read.tzinfo else None
    except (ValueError, OverflowError):
        return None
