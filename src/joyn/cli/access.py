"""The node's data for a command: through the admin door while the node runs, else from the store itself."""

# The methods of Door and Alone are those of Access, which says what they mean.
# ruff: noqa: D102

from __future__ import annotations

import asyncio
import errno
import http.client
import json
import socket
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import quote, urlencode

from joyn.cli.trouble import CONFIG, NO, UNABLE, Trouble

if TYPE_CHECKING:
    from joyn.config import Settings
    from joyn.model.aor import Aor
    from joyn.model.peer import Peer
    from joyn.model.ported import PortedNumber
    from joyn.store import Store

TIMEOUT: Final = 10.0
"""Seconds the node may take to answer."""
STARTING: Final = 10.0
"""Seconds that a node may take to start, and LOOK_EVERY so many it is looked whether it has."""
LOOK_EVERY: Final = 0.1
PAGE: Final = 1000


class Access(Protocol):
    """What commands may ask for. Subscribers, bindings, traces and peers are in the JSON of the admin door."""

    async def get(self, aor: Aor) -> dict[str, Any] | None:
        """A subscriber."""
        ...

    async def put(self, aor: Aor, changes: Mapping[str, Any]) -> None:
        """Add or change a subscriber. Raises Trouble when the store refuses."""
        ...

    async def remove(self, aor: Aor) -> bool:
        """Remove a subscriber; False when there was none."""
        ...

    async def subscribers(self) -> list[dict[str, Any]]:
        """All of them."""
        ...

    async def bindings(self, aor: Aor | None) -> list[dict[str, Any]]:
        """The live bindings of one subscriber, or of all."""
        ...

    async def devices(self, aor: Aor) -> list[dict[str, Any]]:
        """The devices a subscriber was set up on."""
        ...

    async def file_usage(self, aor: Aor) -> int:
        """Bytes that a subscriber's files take."""
        ...

    async def sign_out(self, aor: Aor, device: str) -> bool:
        """Sign a device out, by its id; False when there is none."""
        ...

    async def trace(self, message_id: str) -> list[dict[str, Any]]:
        """The messages with this Message-ID."""
        ...

    async def peers(self) -> list[dict[str, Any]]:
        """All peer operators."""
        ...

    async def peer(self, domain: str) -> dict[str, Any] | None:
        """A peer operator."""
        ...

    async def put_peer(self, domain: str, changes: Mapping[str, Any]) -> None:
        """Add or change a peer operator. Raises Trouble when that is refused."""
        ...

    async def remove_peer(self, domain: str) -> bool:
        """Forget a peer operator; False when there was none."""
        ...

    async def certificates_switched(self) -> bool:
        """Tell the node that what we show peers is another certificate now; False when no node runs."""
        ...

    async def route(self, aor: Aor, came_from: str = "") -> dict[str, Any]:
        """Where an AOR belongs, and how that was decided, when a subscriber or the peer `came_from` asks."""
        ...

    async def ported(self, number: str) -> dict[str, Any] | None:
        """The row of a ported number."""
        ...

    async def ported_counts(self) -> dict[str, int]:
        """How many numbers have been ported to each operator."""
        ...

    async def port(self, rows: Sequence[PortedNumber]) -> None:
        """Change rows of the ported numbers, at most as many as one commit takes. Raises Trouble."""
        ...


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Access]:
    """The running node's door, or the store. Raises Trouble when there is neither."""
    door = Door(settings.admin_socket)
    if door.answers():
        yield door
        return
    if settings.store_path is None:
        raise Trouble("no node runs, and its store is in memory", "Start it with `joyn run`.", UNABLE)
    # Only here: the node brings the whole server with it.
    from joyn.node import Locked, open_store

    settings.operator.data.mkdir(parents=True, exist_ok=True)
    try:
        async with open_store(settings) as store:
            yield Alone(store, settings)
    except Locked as error:
        # A node that has just been started opens its store first and the door last.
        if await _opens(door):
            yield door
            return
        raise Trouble(f"{error}", f"Its admin door {settings.admin_socket} does not answer.", UNABLE) from None


async def _opens(door: Door) -> bool:
    """Whether a node opens its door while one waits."""
    for _ in range(int(STARTING / LOOK_EVERY)):
        if door.answers():
            return True
        await asyncio.sleep(LOOK_EVERY)
    return door.answers()


class Door:
    """The admin door of a running node, as an HTTP client."""

    def __init__(self, path: Path, use_tcp: bool = sys.platform == "win32") -> None:
        self._path = path
        self._use_tcp = use_tcp

    def answers(self) -> bool:
        """Whether a node listens there."""
        try:
            self._connect()[0].close()
        except (OSError, ValueError, KeyError) as error:
            if isinstance(error, PermissionError):
                raise Trouble(
                    f"{self._path}: the node runs as another user, and only that user may use its admin door",
                    "Run the command as that user.",
                    UNABLE,
                ) from None
            return False
        return True

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """One request, a text as it is or the rest in JSON; status and JSON. Raises Trouble when the node is silent."""
        try:
            sock, token = self._connect()
            connection = http.client.HTTPConnection("localhost")
            connection.sock = sock
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            sent = body if body is None or isinstance(body, str) else json.dumps(body)
            connection.request(method, path, sent, headers)
            with connection.getresponse() as answer:
                read = answer.read()
                status = answer.status
            connection.close()
            return status, json.loads(read) if read else None
        except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
            raise Trouble(f"the admin door {self._path} does not answer: {error}", "", UNABLE) from None

    async def get(self, aor: Aor) -> dict[str, Any] | None:
        status, found = self.ask("GET", _place(aor))
        return None if status == 404 else self._good(status, found)

    async def put(self, aor: Aor, changes: Mapping[str, Any]) -> None:
        self._good(*self.ask("PUT", _place(aor), dict(changes)))

    async def remove(self, aor: Aor) -> bool:
        status, answer = self.ask("DELETE", _place(aor))
        if status != 404:
            self._good(status, answer or {})
        return status != 404

    async def subscribers(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        after = ""
        while True:
            query = urlencode({"after": after, "limit": PAGE})
            page = self._good(*self.ask("GET", f"/subscribers?{query}"))["subscribers"]
            found += page
            if len(page) < PAGE:
                return found
            after = page[-1]["aor"]

    async def bindings(self, aor: Aor | None) -> list[dict[str, Any]]:
        if aor is not None:
            return list(self._good(*self.ask("GET", f"/bindings?{urlencode({'aor': aor})}"))["bindings"])
        found: list[dict[str, Any]] = []
        after = ""
        while True:
            answer = self._good(*self.ask("GET", f"/bindings?{urlencode({'after': after})}"))
            found += answer["bindings"]
            after = answer["next"]
            if not after:
                return found

    async def devices(self, aor: Aor) -> list[dict[str, Any]]:
        return list(self._good(*self.ask("GET", f"{_place(aor)}/devices"))["devices"])

    async def file_usage(self, aor: Aor) -> int:
        return int(self._good(*self.ask("GET", f"{_place(aor)}/files"))["bytes"])

    async def sign_out(self, aor: Aor, device: str) -> bool:
        status, answer = self.ask("DELETE", f"{_place(aor)}/devices/{quote(device, safe='')}")
        if status != 404:
            self._good(status, answer or {})
        return status != 404

    async def trace(self, message_id: str) -> list[dict[str, Any]]:
        return list(self._good(*self.ask("GET", f"/trace?{urlencode({'id': message_id})}"))["messages"])

    async def peers(self) -> list[dict[str, Any]]:
        return list(self._good(*self.ask("GET", "/peers"))["peers"])

    async def peer(self, domain: str) -> dict[str, Any] | None:
        status, found = self.ask("GET", _peer_place(domain))
        return None if status == 404 else self._good(status, found)

    async def put_peer(self, domain: str, changes: Mapping[str, Any]) -> None:
        self._good(*self.ask("PUT", _peer_place(domain), dict(changes)))

    async def remove_peer(self, domain: str) -> bool:
        status, answer = self.ask("DELETE", _peer_place(domain))
        if status != 404:
            self._good(status, answer or {})
        return status != 404

    async def certificates_switched(self) -> bool:
        status, answer = self.ask("POST", "/interconnect/certificates")
        self._good(status, answer or {})
        return True

    async def route(self, aor: Aor, came_from: str = "") -> dict[str, Any]:
        return self._good(*self.ask("GET", f"/route?{urlencode({'aor': aor, 'from': came_from})}"))

    async def ported(self, number: str) -> dict[str, Any] | None:
        status, found = self.ask("GET", f"/ported/{quote(number, safe='')}")
        return None if status == 404 else self._good(status, found)

    async def ported_counts(self) -> dict[str, int]:
        return dict(self._good(*self.ask("GET", "/ported"))["operators"])

    async def port(self, rows: Sequence[PortedNumber]) -> None:
        self._good(*self.ask("POST", "/ported", "".join(f"{one.number},{one.operator}\n" for one in rows)))

    def _good(self, status: int, answer: Any) -> dict[str, Any]:
        if status >= 400:
            what = answer.get("error", status) if isinstance(answer, dict) else status
            raise Trouble(f"the node says: {what}", "", NO if status < 500 else UNABLE)
        return dict(answer)

    def _connect(self) -> tuple[socket.socket, str]:
        if self._use_tcp:
            told = json.loads(self._path.read_text("utf-8"))
            return socket.create_connection(("127.0.0.1", int(told["port"])), TIMEOUT), str(told["token"])
        if not self._path.exists():
            raise FileNotFoundError(errno.ENOENT, "there is no such socket", str(self._path))
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(TIMEOUT)
        try:
            sock.connect(str(self._path))
        except OSError:
            sock.close()
            raise
        return sock, ""


class Alone:
    """The store, while no node runs."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings

    async def get(self, aor: Aor) -> dict[str, Any] | None:
        from joyn.edge.admin import shown

        found = await self._store.subscribers.get(aor)
        return None if found is None else shown(found)

    async def put(self, aor: Aor, changes: Mapping[str, Any]) -> None:
        from joyn.edge.admin import changed

        old = await self._store.subscribers.get(aor)
        try:
            await self._store.subscribers.put(changed(old, aor, changes, created_at=time.time()))
        except ValueError as error:
            raise Trouble(str(error)) from None

    async def remove(self, aor: Aor) -> bool:
        return await self._store.subscribers.remove(aor)

    async def subscribers(self) -> list[dict[str, Any]]:
        from joyn.edge.admin import shown

        found: list[dict[str, Any]] = []
        after = ""
        while True:
            page = await self._store.subscribers.list(after, PAGE)
            found += map(shown, page)
            if len(page) < PAGE:
                return found
            after = page[-1].aor

    async def bindings(self, aor: Aor | None) -> list[dict[str, Any]]:
        from joyn.model.aor import Aor

        asked = [aor] if aor is not None else [Aor(one["aor"]) for one in await self.subscribers()]
        now = time.time()
        return [
            asdict(binding)
            for one in asked
            for binding in await self._store.bindings.of(one)
            if binding.expires_at > now
        ]

    async def devices(self, aor: Aor) -> list[dict[str, Any]]:
        from joyn.edge.admin import device_shown

        return [device_shown(one) for one in await self._store.devices.of(aor)]

    async def file_usage(self, aor: Aor) -> int:
        return (await self._store.files.usage(aor)).own

    async def sign_out(self, aor: Aor, device: str) -> bool:
        found = await self._store.devices.get(device)
        return found is not None and found.aor == aor and await self._store.devices.remove(device) is not None

    async def trace(self, message_id: str) -> list[dict[str, Any]]:
        from joyn.edge.admin import hops

        return [hops(one) for one in await self._store.mailboxes.trace(message_id)]

    async def peers(self) -> list[dict[str, Any]]:
        return [await self._told(peer) for peer in await self._store.peers.list()]

    async def peer(self, domain: str) -> dict[str, Any] | None:
        found = await self._store.peers.get(domain)
        return None if found is None else await self._told(found)

    async def put_peer(self, domain: str, changes: Mapping[str, Any]) -> None:
        from joyn.edge.admin_peers import peer_changed

        operator, policy = self._settings.operator, self._settings.interconnect.file_policy
        own = (operator.domain, *operator.extra_domains)
        old = await self._store.peers.get(domain)
        try:
            new = peer_changed(old, domain, changes, own=own, file_policy=policy, now=time.time())
            await self._store.peers.put(new)
        except ValueError as error:
            raise Trouble(str(error)) from None

    async def remove_peer(self, domain: str) -> bool:
        return await self._store.peers.remove(domain)

    async def certificates_switched(self) -> bool:
        return False

    async def _told(self, peer: Peer) -> dict[str, Any]:
        from joyn.edge.admin_peers import peer_shown
        from joyn.model.peer import led_to, mailbox_of

        operators = led_to(peer, await self._store.peers.list())
        return peer_shown(peer, sum([await self._store.mailboxes.pending(mailbox_of(one)) for one in operators]))

    async def route(self, aor: Aor, came_from: str = "") -> dict[str, Any]:
        from joyn.config import ConfigError
        from joyn.edge.numbers import route_shown
        from joyn.node import numbering_of
        from joyn.route_finding import RouteFinding

        try:
            finding = RouteFinding(self._settings, self._store, numbering_of(self._settings))
        except ConfigError as error:
            raise Trouble(str(error), "", CONFIG) from None
        try:
            return route_shown(await finding.routing.route(aor, came_from=came_from))
        finally:
            await finding.close()

    async def ported(self, number: str) -> dict[str, Any] | None:
        found = await self._store.ported.get(number)
        return None if found is None else asdict(found)

    async def ported_counts(self) -> dict[str, int]:
        return {str(name): count for name, count in (await self._store.ported.counts()).items()}

    async def port(self, rows: Sequence[PortedNumber]) -> None:
        from joyn.model.refused import Refused

        try:
            await self._store.ported.put(rows)
        except Refused as refused:
            raise Trouble(f"the store says: {refused.detail}", "", UNABLE) from None


def aor_of(settings: Settings, number: str) -> Aor:
    """The AOR of a number as people write it, or of alice@domain. Raises Trouble."""
    from joyn.model.aor import Aor, Numbering
    from joyn.model.number import read
    from joyn.protocol.errors import ParseError

    operator = settings.operator
    todo = "Write it as people do (06 39 98 00 01, +33 6 39 98 00 01) or as name@domain."
    if "@" in number or number.startswith(("tel:", "sip:", "sips:")):
        numbering = Numbering(operator.country, (operator.domain, *operator.extra_domains))
        found = numbering.aor(number if ":" in number else f"sip:{number}")
        if found is None:
            raise Trouble(f"{number!r} is no address at {operator.domain}", todo)
        return found
    try:
        return Aor(f"tel:{read(number, operator.country).e164}")
    except ParseError as error:
        raise Trouble(f"{number!r} is no telephone number in {operator.country}: it {error.what}", todo) from None


def _peer_place(domain: str) -> str:
    return f"/peers/{quote(domain, safe='')}"


def _place(aor: Aor) -> str:
    return f"/subscribers/{quote(aor, safe='')}"
