"""ClamAV's daemon.

Spec: clamd(8), INSTREAM: pieces, each after its length in four bytes, network order; a length of 0 ends them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from joyn.transport.scanning import CLEAN, Unscanned
from joyn.transport.scanning.address import Address
from joyn.transport.scanning.connection import Connection, answered, connected

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
        async with connected(self._address, self._seconds) as connection:
            answer = await answered(_send(connection, pieces), connection.receive(b"\0"))
        return _verdict(answer.decode("utf-8", "replace").strip())


async def _send(connection: Connection, pieces: AsyncIterator[bytes]) -> None:
    await connection.send(_COMMAND)
    async for piece in pieces:
        await connection.send(len(piece).to_bytes(4, "big") + piece)
    await connection.send(_END)


def _verdict(answer: str) -> str:
    """`stream: OK`, `stream: NAME FOUND`; everything else is none. Raises Unscanned."""
    where, _, said = answer.partition(": ")
    if where == "stream" and said == "OK":
        return CLEAN
    name, _, word = said.rpartition(" ")
    if where == "stream" and word == "FOUND" and name:
        return name
    raise Unscanned(f"clamd says {answer[:200]!r}")
