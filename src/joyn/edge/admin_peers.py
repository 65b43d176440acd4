"""The admin door's part for peer operators: who they are, what was agreed with them, and how they are.

Spec: facts §10. A peer comes by its file and no other way, so that what is kept of it is what its operator has said.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import asdict, replace
from typing import Any, Final, Protocol, get_args

from aiohttp import web

from joyn import telemetry
from joyn.edge.admin import json_object
from joyn.model.aor import Aor
from joyn.model.peer import FilePolicy, Peer, led_to, mailbox_of
from joyn.model.peer_file import parse

__all__ = ["PeerAdministration", "Peers", "peer_changed", "peer_shown"]

MAX_RATE: Final = 1_000_000
"""Requests a second: more is no bound."""
MAX_KEEP: Final = 365 * 86400.0
"""Seconds that something may be kept for a peer."""


class Peers(Protocol):
    """What the door needs of the store's peers."""

    async def list(self) -> list[Peer]:
        """All, in order of domain."""
        ...

    async def get(self, domain: str) -> Peer | None:
        """The peer with this domain, or None."""
        ...

    async def put(self, peer: Peer) -> None:
        """Add or replace. Raises ValueError when a certificate is another's, or there are too many."""
        ...

    async def remove(self, domain: str) -> bool:
        """Forget; False when there was none."""
        ...


class PeerAdministration:
    """`pending(mailbox)` counts what waits there, `own` are this operator's domains, `file_policy` that of new peers,
    `wall` is the wall clock.

    `health(domain)` tells how it stands with a peer, by name, or None when nothing is known; `on_changed` is called
    when peers, or our certificates, are others than before. Both are the node's, which sets them.
    """

    def __init__(
        self,
        peers: Peers,
        pending: Callable[[Aor], Awaitable[int]],
        own: Collection[str],
        file_policy: FilePolicy,
        *,
        wall: Callable[[], float],
    ) -> None:
        self._peers = peers
        self._own = own
        self._file_policy: FilePolicy = file_policy
        self._pending = pending
        self._wall = wall
        self.health: Callable[[str], Awaitable[Mapping[str, Any] | None]] = _unknown
        self.on_changed: Callable[[], Awaitable[None]] = _nothing

    def routes(self) -> list[web.RouteDef]:
        """What it answers at the admin door."""
        return [
            web.get("/peers", self._list),
            web.get("/peers/{domain}", self._get),
            web.put("/peers/{domain}", self._put),
            web.delete("/peers/{domain}", self._delete),
            web.post("/interconnect/certificates", self._certificates),
        ]

    async def _list(self, _: web.Request) -> web.Response:
        return web.json_response({"peers": [await self._told(peer) for peer in await self._peers.list()]})

    async def _get(self, request: web.Request) -> web.Response:
        peer = await self._peers.get(_domain(request))
        if peer is None:
            raise web.HTTPNotFound(text="there is no such peer")
        return web.json_response(await self._told(peer))

    async def _put(self, request: web.Request) -> web.Response:
        domain = _domain(request)
        changes = await json_object(request)
        old = await self._peers.get(domain)
        new = peer_changed(old, domain, changes, own=self._own, file_policy=self._file_policy, now=self._wall())
        try:
            await self._peers.put(new)
        except ValueError as error:
            raise web.HTTPConflict(text=str(error)) from None
        if "file" in changes:
            telemetry.event("peer.accepted", peer=domain)
        if old is not None and old.paused != new.paused:
            telemetry.event("peer.paused" if new.paused else "peer.resumed", peer=domain)
        await self.on_changed()
        return web.json_response(await self._told(new), status=201 if old is None else 200)

    async def _delete(self, request: web.Request) -> web.Response:
        domain = _domain(request)
        if not await self._peers.remove(domain):
            raise web.HTTPNotFound(text="there is no such peer")
        telemetry.event("peer.removed", peer=domain)
        await self.on_changed()
        return web.Response(status=204)

    async def _certificates(self, _: web.Request) -> web.Response:
        """Our own certificates are others now: the node reads them anew."""
        telemetry.event("certificate.switched")
        await self.on_changed()
        return web.Response(status=204)

    async def _told(self, peer: Peer) -> dict[str, Any]:
        operators = led_to(peer, await self._peers.list())
        queue = sum([await self._pending(mailbox_of(operator)) for operator in operators])
        return peer_shown(peer, queue, await self.health(peer.domain))


def peer_shown(peer: Peer, queue: int, health: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A peer as JSON, with what waits for it and those behind it, and how it stands with it if somebody knows. Its
    certificates by their fingerprints."""
    certificates = [
        {"fingerprint": one.fingerprint, "not_before": one.not_before, "not_after": one.not_after}
        for one in peer.certificates
    ]
    told = asdict(peer) | {"addresses": [str(one) for one in peer.addresses], "certificates": certificates}
    return told | {"queue": queue, "health": None if health is None else dict(health)}


def peer_changed(
    old: Peer | None,
    domain: str,
    changes: Mapping[str, Any],
    *,
    own: Collection[str],
    file_policy: FilePolicy,
    now: float,
) -> Peer:
    """The peer after a PUT: what `changes` does not name stays. A new one needs `file`, the text of its file.

    Raises ValueError for an unknown key, a value that cannot be, and a file that cannot be used (PeerFileError).
    """
    checks: dict[str, tuple[str, Callable[[Any], bool]]] = {
        "file": ("a text", lambda v: isinstance(v, str)),
        "paused": ("true or false", lambda v: isinstance(v, bool)),
        "file_policy": (f"one of {', '.join(get_args(FilePolicy))}", lambda v: v in get_args(FilePolicy)),
        "rate": (f"a whole number from 0 to {MAX_RATE}", lambda v: type(v) is int and 0 <= v <= MAX_RATE),
        "keep_for": (f"seconds from 0 to {MAX_KEEP:.0f}", _is_time),
    }
    for key, value in changes.items():
        if key not in checks:
            raise ValueError(f"{key}: there is no such key; known are {', '.join(checks)}")
        if not checks[key][1](value):
            raise ValueError(f"{key}: shall be {checks[key][0]}")
    ours = {key: value for key, value in changes.items() if key != "file"}
    if "file" not in changes:
        if old is None:
            raise ValueError(f"{domain} is no peer: a new one needs its file")
        return replace(old, **ours)
    said = parse(changes["file"], own=own).peer
    if said.domain != domain:
        raise ValueError(f"file: is that of {said.domain}, not of {domain}")
    if all(certificate.not_after <= now for certificate in said.certificates):
        raise ValueError("file: the time of every certificate in it is over; ask for a new one")
    kept = {"file_policy": file_policy} if old is None else _ours(old)
    return replace(said, **(kept | ours), changed_at=now)


def _ours(peer: Peer) -> dict[str, Any]:
    """What about a peer is not its own to say."""
    return {name: getattr(peer, name) for name in ("file_policy", "paused", "rate", "keep_for")}


def _is_time(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and 0 <= value <= MAX_KEEP


def _domain(request: web.Request) -> str:
    return request.match_info["domain"].lower()


async def _unknown(_domain: str) -> None:
    return None


async def _nothing() -> None:
    return None
