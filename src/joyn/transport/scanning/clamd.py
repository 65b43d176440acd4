"""ClamAV's daemon.

Spec: clamd(8), INSTREAM: pieces, each after its length in four bytes, network order; a length of 0 ends them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from joyn.transport.scanning import CLEAN, Unscanned
from joyn.transport.scanning.address import Address
from joyn.transport.scanning.connection import answered, connected

__all__ = ["Clamd"]

# "z": commands and answers end with a zero byte.
_COMMAND: Final = b"zINSTREAM\0"
_END: Final = bytes(4)


class Clamd:
    """See joyn.transport.scanning.Scanner. `seconds` are for one file, connecting included."""

    def __init__(self, address: Address, *, seconds: float) -> None:
        self._address = address
        self._seconds = seconds

    async def scan(self, pieces: AsyncIterator[bytes], size: int) -> str:
        """The verdict on a file."""
        async with connected(self._address, self._seconds) as (reader, writer):
            return _verdict(await answered(_send(writer, pieces), reader.readuntil(b"\0")))


async def _send(writer: asyncio.StreamWriter, pieces: AsyncIterator[bytes]) -> None:
    writer.write(_COMMAND)
    async for piece in pieces:
        writer.write(len(piece).to_bytes(4, "big") + piece)
        await writer.drain()
    writer.write(_END)
    await writer.drain()


def _verdict(line: bytes) -> str:
    """`stream: OK`, `stream: NAME FOUND`; everything else is none. Raises Unscanned."""
    answer = line[:-1].decode("utf-8", "replace").strip()
    where, _, said = answer.partition(": ")
    if where == "stream" and said == "OK":
        return CLEAN
    name, _, word = said.rpartition(" ")
    if where == "stream" and word == "FOUND" and name:
        return name
    raise Unscanned(f"clamd says {answer[:200]!r}")
