"""Scanners that speak ICAP, as most commercial ones do.

Spec: RFC 3507, RESPMOD (§4.9): the file goes as the body of an HTTP response. 204 leaves it as it is (§4.6); 200 puts
something in its place, as a page that says why; but some services send back what they were shown.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator
from typing import Final

from joyn.transport.scanning import CLEAN, Unscanned
from joyn.transport.scanning.address import Address
from joyn.transport.scanning.connection import Connection, answered, connected

__all__ = ["Icap"]

_BODY: Final = re.compile(r"res-body=([0-9]{1,6})")
_CHUNK: Final = re.compile(rb"[0-9A-Fa-f]{1,8}")
_CRLF: Final = b"\r\n"
_NAMES: Final = ("x-infection-found", "x-virus-id", "x-violations-found")
"""Headers in which scanners name what they found, in widespread use and in no RFC."""
SOMETHING: Final = "something"
"""The verdict of a scanner that replaces a file and does not say why."""


class Icap:
    """See joyn.transport.scanning.Scanner. `seconds` are for one file, connecting included."""

    def __init__(self, address: Address, *, seconds: float) -> None:
        self._address = address
        self._seconds = seconds
        host = f"[{address.host}]" if ":" in address.host else address.host
        self._host = f"{host}:{address.port}"
        self._url = f"icap://{self._host}/{address.service}"

    async def scan(self, pieces: AsyncIterator[bytes], size: int) -> str:
        """The verdict on a file."""
        shown = hashlib.sha256()
        async with connected(self._address, self._seconds) as connection:
            # It may know before the end what it thinks, and answer.
            return await answered(self._send(connection, pieces, size, shown), _verdict(connection, size, shown))

    async def _send(
        self, connection: Connection, pieces: AsyncIterator[bytes], size: int, shown: hashlib._Hash
    ) -> None:
        await connection.send(self._head(size))
        async for piece in pieces:
            shown.update(piece)
            await connection.send(b"%x\r\n" % len(piece) + piece + _CRLF)
        await connection.send(b"0\r\n\r\n")

    def _head(self, size: int) -> bytes:
        """RFC 3507 §4.4.1: the encapsulated heads, where each begins, and the body in chunks."""
        request = _CRLF.join((b"GET / HTTP/1.1", b"Host: file.invalid", b"", b""))
        response = _CRLF.join(
            (b"HTTP/1.1 200 OK", b"Content-Type: application/octet-stream", b"Content-Length: %d" % size, b"", b"")
        )
        lines = (
            f"RESPMOD {self._url} ICAP/1.0",
            f"Host: {self._host}",
            "Allow: 204",
            "Connection: close",
            f"Encapsulated: req-hdr=0, res-hdr={len(request)}, res-body={len(request) + len(response)}",
            "",
            "",
        )
        return _CRLF.join(line.encode() for line in lines) + request + response


async def _verdict(connection: Connection, size: int, shown: hashlib._Hash) -> str:
    """What the answer says. Raises Unscanned."""
    status, headers = _head_of((await connection.receive(b"\r\n\r\n")).decode("latin-1"))
    if status == 204:
        return CLEAN
    if status not in (200, 201):
        raise Unscanned(f"the ICAP service answers {status}")
    found = next((headers[name] for name in _NAMES if headers.get(name)), "")
    if found:
        return found
    place = _BODY.search(headers.get("encapsulated", ""))
    if place is None:
        return SOMETHING
    async for _ in connection.receive_exactly(int(place[1])):
        pass  # the head of what it answers in the file's place
    # RFC 3507 §4.6: it may send back what it was shown, though 204 would have done.
    return CLEAN if await _is_the_same(connection, size, shown) else SOMETHING


async def _is_the_same(connection: Connection, size: int, shown: hashlib._Hash) -> bool:
    """Whether the body that comes, in chunks, is what was shown. Raises Unscanned."""
    came, received = hashlib.sha256(), 0
    while True:
        line = (await connection.receive(_CRLF)).partition(b";")[0].strip()
        if not _CHUNK.fullmatch(line):
            raise Unscanned("its answer is no ICAP")
        left = int(line, 16)
        if not left:
            return received == size and came.digest() == shown.digest()
        received += left
        if received > size:
            return False
        async for piece in connection.receive_exactly(left):
            came.update(piece)
        await connection.receive(_CRLF)


def _head_of(head: str) -> tuple[int, dict[str, str]]:
    """The status and the headers, names in small letters. Raises Unscanned."""
    first, *lines = head.split("\r\n")
    version, _, rest = first.partition(" ")
    if version != "ICAP/1.0" or not rest[:3].isdecimal():
        raise Unscanned("its answer is no ICAP")
    headers: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers.setdefault(name.strip().lower(), value.strip()[:200])
    return int(rest[:3]), headers
