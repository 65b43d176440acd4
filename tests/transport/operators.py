"""Operators with certificates, and connections between them over loopback."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from joyn.model.peer import Peer, PeerCertificate
from joyn.model.peer_file import certificate_of
from joyn.transport.peer_tls import PeerTrust, load_identity, make_certificate

HOUR = 3600.0
DAY = 24 * HOUR


def place_certificate(directory: Path, domain: str, *, not_before: float, not_after: float) -> None:
    """What `ensure_identity` makes, with dates as a test wants them."""
    directory.mkdir(parents=True, exist_ok=True)
    made = make_certificate(domain, not_before=not_before, not_after=not_after)
    (directory / "current.pem").write_bytes(made)


def certificate_in(pem: bytes) -> PeerCertificate:
    """The certificate of a text that begins with its key."""
    text = pem.decode()
    return certificate_of(text[text.index("-----BEGIN CERTIFICATE") :])


def peer_from(directory: Path, domain: str) -> Peer:
    """The peer that its file would tell of."""
    identity = load_identity(directory)
    assert identity is not None
    return Peer(domain=domain, name=domain, certificates=identity.exchanged)


@dataclass
class Border:
    """A listener: who came, and what it said to each (the peer's domain, or nothing)."""

    port: int
    came: list[str | None] = field(default_factory=list)
    resumed: list[bool] = field(default_factory=list)


@contextlib.asynccontextmanager
async def listening(trust: PeerTrust) -> AsyncIterator[Border]:
    """Answers whoever gets through the handshake with the name it knows them by, then waits for them to end."""
    writers: set[asyncio.StreamWriter] = set()
    answering: set[asyncio.Task[None] | None] = set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tls = writer.get_extra_info("ssl_object")
        border.came.append(trust.peer_of(tls))
        border.resumed.append(bool(tls.session_reused))
        writers.add(writer)
        answering.add(asyncio.current_task())
        with contextlib.suppress(OSError):
            writer.write(f"{trust.peer_of(tls)}\n".encode())
            await writer.drain()
            await reader.read()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=trust.border, ssl_handshake_timeout=5)
    border = Border(server.sockets[0].getsockname()[1])
    try:
        yield border
    finally:
        server.close()
        for writer in writers:
            writer.close()
        await asyncio.gather(*filter(None, answering))
        await server.wait_closed()


async def said_to(context: ssl.SSLContext, border: Border) -> str:
    """What the border calls whoever connects so; empty when it refused them. Raises what the client's side refuses."""
    reader, writer = await asyncio.open_connection("127.0.0.1", border.port, ssl=context, server_hostname="")
    try:
        return (await reader.readline()).decode().strip()
    except (OSError, ssl.SSLError):
        # TLS 1.3 lets the client end its handshake before the server has judged its certificate.
        return ""
    finally:
        writer.close()
