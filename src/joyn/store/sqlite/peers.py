"""Peer operators as rows."""

# SQL is put together from constants of this package only.
# ruff: noqa: S608

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from dataclasses import astuple
from typing import Any

from joyn.model.peer import Peer, PeerAddress, PeerCertificate
from joyn.store import MAX_PEERS
from joyn.store.sqlite.connection import Reader
from joyn.store.sqlite.statements import fields_of
from joyn.store.sqlite.writer import Writer

__all__ = ["SqlitePeers"]

_FIELDS = fields_of(Peer)
_COLUMNS = ", ".join(_FIELDS)
_ADDRESS, _CERTIFICATE = fields_of(PeerAddress), fields_of(PeerCertificate)


class SqlitePeers:
    """See joyn.store.Peers."""

    def __init__(self, writer: Writer, quick: Reader) -> None:
        self._writer = writer
        self._quick = quick

    async def list(self) -> list[Peer]:
        """All of them, in order of domain."""
        return [_peer(row) for row in self._quick.rows(f"SELECT {_COLUMNS} FROM peer ORDER BY domain")]

    async def get(self, domain: str) -> Peer | None:
        """The peer with this domain, or None."""
        rows = self._quick.rows(f"SELECT {_COLUMNS} FROM peer WHERE domain = ?", (domain,))
        return _peer(rows[0]) if rows else None

    async def put(self, peer: Peer) -> None:
        """Add or replace."""

        def write(connection: sqlite3.Connection) -> None:
            others = connection.execute("SELECT count(*) FROM peer WHERE domain != ?", (peer.domain,)).fetchone()[0]
            if others >= MAX_PEERS:
                raise ValueError(f"there are {others} peers, which is all there can be")
            for certificate in peer.certificates:
                owner = connection.execute(
                    "SELECT domain FROM peer WHERE domain != ? AND instr(certificates, ?)",
                    (peer.domain, json.dumps(certificate.fingerprint)),
                ).fetchone()
                if owner is not None:
                    raise ValueError(f"the certificate {certificate.fingerprint} is that of {owner[0]}")
            connection.execute(
                f"REPLACE INTO peer ({_COLUMNS}) VALUES ({', '.join('?' * len(_FIELDS))})",
                [_column(getattr(peer, name)) for name in _FIELDS],
            )

        await self._writer.call(write)

    async def remove(self, domain: str) -> bool:
        """Forget; False when there was none."""

        def write(connection: sqlite3.Connection) -> bool:
            return connection.execute("DELETE FROM peer WHERE domain = ?", (domain,)).rowcount > 0

        return await self._writer.call(write)


def _column(value: Any) -> Any:
    if not isinstance(value, tuple):
        return value
    return json.dumps([one if isinstance(one, str) else astuple(one) for one in value])


_READ: dict[str, Callable[[Any], Any]] = {
    "addresses": lambda text: tuple(_made(PeerAddress, _ADDRESS, one) for one in json.loads(text)),
    "certificates": lambda text: tuple(_made(PeerCertificate, _CERTIFICATE, one) for one in json.loads(text)),
    "ranges": lambda text: tuple(json.loads(text)),
    "transit": lambda text: tuple(json.loads(text)),
    "paused": bool,
}


def _made(kind: Callable[..., Any], fields: tuple[str, ...], values: list[Any]) -> Any:
    return kind(**dict(zip(fields, values, strict=True)))


def _peer(row: tuple[Any, ...]) -> Peer:
    return Peer(**{name: _READ.get(name, _same)(value) for name, value in zip(_FIELDS, row, strict=True)})


def _same(value: Any) -> Any:
    return value
