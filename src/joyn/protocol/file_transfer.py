"""The file in a session description: which one, which way, from which byte on.

Spec: RFC 5547 §6 (attributes), facts §6.1.
Pure: the attributes of an `m=message` in, a value out, and back. What a name says is not believed to be one.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_to_bytes

from joyn.protocol.errors import ParseError

MAX_SELECTOR: Final = 4096
"""Characters of a file-selector."""
MAX_ID: Final = 256
"""Characters of a file-transfer-id."""
MAX_HASHES: Final = 8
"""Hashes of one file."""
MAX_SIZE: Final = 2**53 - 1
"""Bytes of a file that we can speak of, as in `file_info`."""
DIGESTS: Final = {"sha-1": 20, "sha-256": 32}
"""The hash functions that we check, and the bytes of their values; RFC 5547 §6 knows the first alone."""

Attributes = Sequence[tuple[str, str | None]]

_SELECTOR: Final = re.compile(r' *(name:"([^"]*)"|type:([^" ]*(?:"[^"]*"[^" ]*)*)|size:(\d+)|hash:(\S+)|\S+)', re.ASCII)
_UNFIT: Final = re.compile(r'[\x00-\x1f"%\x7f]')
_RANGE: Final = re.compile(r"(\d{1,16})-(\d{1,16}|\*)", re.ASCII)
_HASH: Final = re.compile(r"([a-z0-9-]+):([0-9a-f]{2}(?::?[0-9a-f]{2})*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileOffer:
    """A file that is offered, or answered to (RFC 5547 §6).

    `name` is the sender's; `size` is in bytes, None when unsaid; `hashes` are function and value in lower-case hex.
    `disposition` is `render`, `attachment` or another's word, `icon` the Content-ID of a thumbnail. The transfer is of
    the bytes from `start` up to `stop`, counted from 0 and `stop` not included, None for the end of the file; `ranged`
    says that there is a file-range at all.
    """

    name: str = ""
    content_type: str = ""
    size: int | None = None
    hashes: tuple[tuple[str, str], ...] = ()
    transfer_id: str = ""
    disposition: str = ""
    icon: str = ""
    start: int = 0
    stop: int | None = None
    ranged: bool = False

    @classmethod
    def parse(cls, attributes: Attributes) -> "FileOffer | None":
        """Read the attributes of a medium; None when there is no file-selector. Raises ParseError."""
        values = {name.lower(): value or "" for name, value in reversed(attributes)}
        selector = values.get("file-selector")
        if selector is None:
            return None
        transfer_id = values.get("file-transfer-id", "").strip()
        if len(transfer_id) > MAX_ID:
            raise ParseError("file-transfer-id too long", MAX_ID)
        extent = values.get("file-range")
        start, stop = (0, None) if extent is None else _extent(extent.strip())
        name, content_type, size, hashes = _selected(selector)
        icon = values.get("file-icon", "").strip()
        return cls(
            name=name,
            content_type=content_type,
            size=size,
            hashes=hashes,
            transfer_id=transfer_id,
            disposition=values.get("file-disposition", "").strip().lower(),
            icon=icon[4:].strip("<>") if icon[:4].lower() == "cid:" else "",
            start=start,
            stop=stop,
            ranged=extent is not None,
        )

    def attributes(self) -> list[tuple[str, str | None]]:
        """The attributes that say this, in the order joyn clients write them."""
        selector = [f'name:"{_quoted(self.name)}"'] if self.name else []
        selector += [f"type:{self.content_type}"] if self.content_type else []
        selector += [f"size:{self.size}"] if self.size is not None else []
        selector += [f"hash:{function}:{_in_pairs(value)}" for function, value in self.hashes]
        written = [("file-selector", " ".join(selector))]
        written += [("file-transfer-id", self.transfer_id)] if self.transfer_id else []
        written += [("file-disposition", self.disposition)] if self.disposition else []
        written += [("file-icon", f"cid:{self.icon}")] if self.icon else []
        # RFC 5547 §6: the first byte of a file is number 1.
        written += [("file-range", f"{self.start + 1}-{self.stop or '*'}")] if self.ranged else []
        return list(written)


def _selected(text: str) -> tuple[str, str, int | None, tuple[tuple[str, str], ...]]:
    """Name, type, size and hashes; selectors that nobody knows yet are left out."""
    if len(text) > MAX_SELECTOR:
        raise ParseError("file-selector too long", MAX_SELECTOR)
    name, content_type, size = "", "", None
    hashes: list[tuple[str, str]] = []
    for found in _SELECTOR.finditer(text.rstrip()):
        _, named, typed, sized, hashed = found.groups()
        if named is not None:
            name = unquote_to_bytes(named).decode("utf-8", "replace")
        elif typed is not None:
            content_type = typed
        elif sized is not None:
            if len(sized) > 16 or int(sized) > MAX_SIZE:
                raise ParseError("a file of more bytes than we can speak of", found.start())
            size = int(sized)
        elif hashed is not None:
            hashes.append(_hash(hashed, found.start()))
    if len(hashes) > MAX_HASHES:
        raise ParseError(f"more than {MAX_HASHES} hashes")
    return name, content_type, size, tuple(hashes)


def _hash(text: str, at: int) -> tuple[str, str]:
    found = _HASH.fullmatch(text.lower())
    if found is None:
        raise ParseError("a hash that is none", at)
    value = found[2].replace(":", "")
    if found[1] in DIGESTS and len(value) != 2 * DIGESTS[found[1]]:
        raise ParseError("a hash of another length than its function's", at)
    return found[1], value


def _extent(text: str) -> tuple[int, int | None]:
    """The first byte, counted from 0, and the one behind the last."""
    found = _RANGE.fullmatch(text)
    if found is None or int(found[1]) < 1 or (found[2] != "*" and int(found[2]) < int(found[1])):
        raise ParseError("a file-range without bytes in it")
    return int(found[1]) - 1, None if found[2] == "*" else int(found[2])


def _quoted(name: str) -> str:
    # RFC 5547 §6: filename-char has no quote, percent sign or line break; a NUL would end no line and break a parser.
    return _UNFIT.sub(lambda found: f"%{ord(found[0]):02X}", name)


def _in_pairs(value: str) -> str:
    upper = value.upper()
    return ":".join(upper[at : at + 2] for at in range(0, len(upper), 2))
