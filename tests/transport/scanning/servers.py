"""Scanners that find the EICAR test string, and scripted ones that misbehave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

EICAR = rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
"""The file that every scanner finds and that does nothing (eicar.org); in two pieces, lest this file be found."""
MAX = 1 << 20

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Clamd:
    """clamd's INSTREAM. `files` are what it was shown; `before` is waited for before it answers."""

    def __init__(self, before: Callable[[], Awaitable[object]] | None = None, largest: int = 200 << 20) -> None:
        self.files: list[bytes] = []
        self.connections = 0
        self._before = before
        self._largest = largest

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        assert await reader.readuntil(b"\0") == b"zINSTREAM\0"
        shown = bytearray()
        while size := int.from_bytes(await reader.readexactly(4), "big"):
            assert size <= MAX
            shown += await reader.readexactly(size)
            if len(shown) > self._largest:
                writer.write(b"INSTREAM size limit exceeded. ERROR\0")
                return
        self.files.append(bytes(shown))
        if self._before is not None:
            await self._before()
        writer.write(b"stream: Eicar-Test-Signature FOUND\0" if EICAR in shown else b"stream: OK\0")


class Icap:
    """A service that speaks RFC 3507. With `names` it says what it found; with `echoes` it sends back what it lets
    through, while it comes."""

    def __init__(self, names: bool = True, echoes: bool = False) -> None:
        self._echoes = echoes
        self.files: list[bytes] = []
        self.heads: list[str] = []
        self._names = names

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.heads.append(head)
        said = next(line for line in head.split("\r\n") if line.startswith("Encapsulated: "))
        places = dict(part.strip().split("=") for part in said.partition(": ")[2].split(","))
        encapsulated = await reader.readexactly(int(places["res-body"]))
        assert encapsulated[int(places["res-hdr"]) :].startswith(b"HTTP/1.1 200 OK\r\n")
        assert encapsulated.endswith(b"\r\n\r\n")
        shown = bytearray()
        if self._echoes:
            writer.write(b"ICAP/1.0 200 OK\r\nEncapsulated: res-hdr=0, res-body=19\r\n\r\nHTTP/1.1 200 OK\r\n\r\n")
        while size := int(await reader.readuntil(b"\r\n"), 16):
            piece = await reader.readexactly(size)
            shown += piece
            if self._echoes:
                writer.write(b"%X;a=b\r\n" % size + piece.replace(EICAR, b"x" * len(EICAR)) + b"\r\n")
                await writer.drain()
            assert await reader.readexactly(2) == b"\r\n"
        assert await reader.readexactly(2) == b"\r\n"
        self.files.append(bytes(shown))
        if self._echoes:
            writer.write(b"0\r\n\r\n")
            return
        if EICAR not in shown:
            writer.write(b'ICAP/1.0 204 No Content\r\nISTag: "1"\r\n\r\n')
            return
        found = b"X-Infection-Found: Type=0; Resolution=2; Threat=Eicar;\r\n" if self._names else b""
        page = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\n"
        writer.write(b"ICAP/1.0 200 OK\r\n" + found + b"Encapsulated: res-hdr=0, res-body=%d\r\n\r\n" % len(page))
        writer.write(page + b"2\r\nno\r\n0\r\n\r\n")


def says(answer: bytes, *, first: int = 0) -> Talk:
    """A server that reads so many bytes, says this and hangs up."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(first)
        writer.write(answer)

    return talk


async def says_nothing(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """A server that hears everything and never answers."""
    while await reader.read(MAX):
        pass


async def reads_nothing(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """A server that lets everybody wait."""
    await asyncio.Event().wait()


@asynccontextmanager
async def served(talk: Talk, path: str = "") -> AsyncIterator[int]:
    """The port, when there is no `path`, at which somebody talks so."""
    talking: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        talking.add(task)
        try:
            await talk(reader, writer)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass  # the node went away
        finally:
            talking.discard(task)
            writer.close()

    if path:
        server: asyncio.Server = await asyncio.start_unix_server(serve, path)
    else:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield 0 if path else server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(talking):
            task.cancel()
        await asyncio.gather(*talking, return_exceptions=True)
