import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from edge.test_admin import MemoryBindings, MemoryDevices, MemoryFiles, MemorySubscribers, MemoryTracer
from joyn.cli.access import Door
from joyn.edge.admin import AdminDoor
from joyn.edge.admin_peers import PeerAdministration
from joyn.model.aor import Aor
from joyn.model.peer import Peer, PeerAddress
from joyn.model.peer_file import written
from joyn.transport.peer_tls import make_certificate
from transport.operators import DAY, certificate_in

NOW = time.time()


def make_certificate_of(domain: str, **dates: float):
    return certificate_in(make_certificate(domain, **({"not_before": NOW - DAY, "not_after": NOW + 300 * DAY} | dates)))


ORANGE = Peer(
    domain="orange.example",
    name="Orange",
    addresses=(PeerAddress(host="192.0.2.1", port=5062),),
    ranges=("+3360",),
    certificates=(make_certificate_of("orange.example"),),
)
OVER = make_certificate_of("orange.example", not_before=NOW - 9 * DAY, not_after=NOW - 1)


class MemoryPeers:
    def __init__(self) -> None:
        self.kept: dict[str, Peer] = {}

    async def list(self) -> list[Peer]:
        return [self.kept[domain] for domain in sorted(self.kept)]

    async def get(self, domain: str) -> Peer | None:
        return self.kept.get(domain)

    async def put(self, peer: Peer) -> None:
        for one in self.kept.values():
            if one.domain != peer.domain and set(one.certificates) & set(peer.certificates):
                raise ValueError(f"the certificate is that of {one.domain}")
        self.kept[peer.domain] = peer

    async def remove(self, domain: str) -> bool:
        return self.kept.pop(domain, None) is not None


class Opened:
    def __init__(self, administration: PeerAdministration, peers: MemoryPeers, client: Door) -> None:
        self.administration, self.peers, self.client, self.changes = administration, peers, client, 0
        administration.on_changed = self._changed

    async def _changed(self) -> None:
        self.changes += 1

    async def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        return await asyncio.to_thread(self.client.ask, method, path, body)


def with_door(path: Path, work: Callable[[Opened], Awaitable[None]]) -> None:
    async def pending(mailbox: Aor) -> int:
        return 7 if mailbox == "peer:orange.example" else 0

    async def run() -> None:
        peers = MemoryPeers()
        administration = PeerAdministration(peers, pending, ("sfr.example",), "direct", wall=lambda: NOW)
        door = AdminDoor(
            path,
            subscribers=MemorySubscribers(),
            bindings=MemoryBindings(),
            tracer=MemoryTracer(),
            devices=MemoryDevices(),
            files=MemoryFiles(),
            others=[administration],
            use_tcp=False,
        )
        await door.start()
        try:
            await work(Opened(administration, peers, Door(path, use_tcp=False)))
        finally:
            await door.stop()

    asyncio.run(run())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "admin.sock"


PLACE = "/peers/orange.example"


def test_a_peer_is_accepted_by_its_file_changed_and_removed_and_the_node_is_told_each_time(path: Path) -> None:
    async def work(opened: Opened) -> None:
        status, told = await opened.ask("PUT", PLACE, {"file": written(ORANGE, NOW)})
        assert (status, opened.changes) == (201, 1)
        assert (told["domain"], told["addresses"], told["ranges"]) == ("orange.example", ["192.0.2.1:5062"], ["+3360"])
        assert (told["file_policy"], told["changed_at"], told["queue"], told["health"]) == ("direct", NOW, 7, None)
        assert told["certificates"][0].keys() == {"fingerprint", "not_before", "not_after"}
        status, told = await opened.ask("PUT", PLACE, {"paused": True, "rate": 5, "keep_for": 60})
        assert (status, told["paused"], told["rate"], told["keep_for"]) == (200, True, 5, 60)
        assert await opened.ask("GET", "/peers") == (200, {"peers": [told]})
        assert await opened.ask("GET", "/peers/Orange.example") == (200, told)
        assert await opened.ask("DELETE", PLACE) == (204, None)
        assert [(await opened.ask(method, PLACE))[0] for method in ("GET", "DELETE")] == [404, 404]
        assert opened.changes == 3

    with_door(path, work)


def test_a_new_file_leaves_what_is_ours_about_the_peer(path: Path) -> None:
    async def work(opened: Opened) -> None:
        await opened.ask("PUT", PLACE, {"file": written(ORANGE), "file_policy": "localise", "rate": 5})
        await opened.ask("PUT", PLACE, {"paused": True})
        other = Peer(domain=ORANGE.domain, name="Orange France", certificates=ORANGE.certificates)
        await opened.ask("PUT", PLACE, {"file": written(other)})
        kept = opened.peers.kept["orange.example"]
        assert (kept.name, kept.ranges) == ("Orange France", ())
        assert (kept.paused, kept.rate, kept.file_policy) == (True, 5, "localise")

    with_door(path, work)


def test_health_is_what_the_node_says(path: Path) -> None:
    async def health(domain: str) -> dict[str, Any]:
        return {"connected": 2, "domain": domain}

    async def work(opened: Opened) -> None:
        opened.administration.health = health
        await opened.ask("PUT", PLACE, {"file": written(ORANGE)})
        assert (await opened.ask("GET", PLACE))[1]["health"] == {"connected": 2, "domain": "orange.example"}

    with_door(path, work)


def test_the_node_is_told_that_our_certificate_is_another(path: Path) -> None:
    async def work(opened: Opened) -> None:
        assert await opened.ask("POST", "/interconnect/certificates") == (204, None)
        assert opened.changes == 1

    with_door(path, work)


@pytest.mark.parametrize(
    ("place", "body", "said"),
    [
        (PLACE, {}, "orange.example is no peer: a new one needs its file"),
        (PLACE, {"file": 1}, "file: shall be a text"),
        (PLACE, {"file": "format = 2"}, "format: is 2"),
        ("/peers/other.example", {"file": written(ORANGE)}, "is that of orange.example, not of other.example"),
        ("/peers/sfr.example", {"file": written(Peer(domain="sfr.example", name="x", certificates=(OVER,)))}, "own"),
        (PLACE, {"file": written(Peer(domain=ORANGE.domain, name="x", certificates=(OVER,)))}, "certificate in it is"),
        (PLACE, {"name": "x"}, "name: there is no such key"),
        (PLACE, {"paused": 1}, "paused: shall be true or false"),
        (PLACE, {"file_policy": "none"}, "one of localise, direct"),
        (PLACE, {"file_policy": ["direct"]}, "one of localise, direct"),
        (PLACE, {"rate": True}, "rate: shall be a whole number"),
        (PLACE, {"rate": -1}, "rate: shall be a whole number"),
        (PLACE, {"keep_for": -1}, "keep_for: shall be seconds"),
        (PLACE, {"keep_for": float("nan")}, "keep_for: shall be seconds"),
        (PLACE, {"keep_for": 1e12}, "keep_for: shall be seconds"),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(path: Path, place: str, body: object, said: str) -> None:
    async def work(opened: Opened) -> None:
        status, answer = await opened.ask("PUT", place, body)
        assert status == 400
        assert said in answer["error"]
        assert (opened.peers.kept, opened.changes) == ({}, 0)

    with_door(path, work)


def test_one_certificate_is_not_two_peers(path: Path) -> None:
    async def work(opened: Opened) -> None:
        await opened.ask("PUT", PLACE, {"file": written(ORANGE)})
        other = written(Peer(domain="other.example", name="x", certificates=ORANGE.certificates))
        status, answer = await opened.ask("PUT", "/peers/other.example", {"file": other})
        assert (status, "is that of orange.example" in answer["error"], opened.changes) == (409, True, 1)

    with_door(path, work)
