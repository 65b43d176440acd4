"""The admin door: the operator's own requests, from the command line of the same machine to the running node.

JSON over HTTP on a unix socket that only its owner may open; on Windows on 127.0.0.1, with a token in a file that only
its owner may read. Credentials go in and never come out. `docs/reference/cli.md` lists the commands that use it.
"""

from __future__ import annotations

import errno
import hmac
import json
import os
import secrets
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, Final, Protocol

from aiohttp import web

from joyn import __version__, telemetry
from joyn.edge.http import RouteProvider
from joyn.model.aor import Aor
from joyn.model.binding import Binding
from joyn.model.device import Device
from joyn.model.file import FileUsage
from joyn.model.message import EntryKind, Trace
from joyn.model.subscriber import Subscriber

__all__ = [
    "AdminDoor",
    "Attempt",
    "Bindings",
    "Devices",
    "Subscribers",
    "Tracer",
    "changed",
    "device_shown",
    "hops",
    "json_object",
    "shown",
]

MAX_BODY: Final = 64 * 1024
"""Bytes of a request; larger ones get 413."""
MAX_LISTED: Final = 1000
"""Subscribers in one answer at most; `after` asks for the next."""
MAX_TRACED: Final = 100
"""Messages with one Message-ID in one answer at most."""
TOKEN_BYTES: Final = 32
MAX_SIZE: Final = 1 << 62
"""Bytes that a quota may be: what every database holds."""
_CONFIDENTIAL: Final = "ha1"


class Subscribers(Protocol):
    """What the door needs of the store's subscribers."""

    async def get(self, aor: Aor) -> Subscriber | None:
        """The subscriber with this AOR, or None."""
        ...

    async def put(self, subscriber: Subscriber) -> None:
        """Add or replace. Raises ValueError when the username belongs to another."""
        ...

    async def remove(self, aor: Aor) -> bool:
        """Forget; False when there was none."""
        ...

    async def list(self, after: str = "", limit: int = MAX_LISTED) -> list[Subscriber]:
        """In order of AOR, those after `after`."""
        ...


class Bindings(Protocol):
    """What the door needs of the registrar."""

    def of(self, aor: Aor) -> Sequence[Binding]:
        """The live bindings of an AOR."""
        ...


class Devices(Protocol):
    """What the door needs of the devices that were set up."""

    async def of(self, aor: Aor) -> Sequence[Device]:
        """A subscriber's devices."""
        ...

    async def sign_out(self, device: Device) -> bool:
        """Forget one, its bindings and its connections; False when it was gone."""
        ...


class Attempt(Protocol):
    """One try to deliver, as the node remembers it."""

    @property
    def at(self) -> float:
        """When it ended, wall-clock seconds."""
        ...

    @property
    def aor(self) -> Aor:
        """The mailbox it was read from."""
        ...

    @property
    def instance(self) -> str:
        """The device."""
        ...

    @property
    def way(self) -> str:
        """Pager mode, session, ..."""
        ...

    @property
    def result(self) -> str:
        """What the device answered."""
        ...


class Tracer(Protocol):
    """What the door needs to tell the story of a message."""

    async def trace(self, message_id: str) -> list[Trace]:
        """Everything stored about the messages with this Message-ID."""
        ...

    def attempts(self, message: int) -> Sequence[Attempt]:
        """The attempts still remembered, by the message's id in the store."""
        ...


class Files(Protocol):
    """What the door needs of the store's files."""

    async def usage(self, owner: Aor) -> FileUsage:
        """What a subscriber's files take."""
        ...


class AdminDoor:
    """The door. `after_change` is called with the AOR of a subscriber who was changed or removed.

    `others` serve more.
    """

    def __init__(
        self,
        path: Path,
        *,
        subscribers: Subscribers,
        bindings: Bindings,
        tracer: Tracer,
        devices: Devices,
        files: Files,
        after_change: Callable[[Aor], Awaitable[None]] | None = None,
        others: Sequence[RouteProvider] = (),
        use_tcp: bool = sys.platform == "win32",
    ) -> None:
        self._path = path
        self._subscribers = subscribers
        self._bindings = bindings
        self._tracer = tracer
        self._devices = devices
        self._files = files
        self._after_change = after_change
        self._others = others
        self._use_tcp = use_tcp
        self._token = ""
        self._started = time.monotonic()
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Open the door. Raises OSError when another process holds it, or the path cannot be a socket."""
        if self._use_tcp:
            self._token = secrets.token_urlsafe(TOKEN_BYTES)
            listener = socket.create_server(("127.0.0.1", 0))
            _write_private(self._path, {"port": listener.getsockname()[1], "token": self._token})
        else:
            listener = _unix_listener(self._path)
        app = web.Application(client_max_size=MAX_BODY, middlewares=[self._guard])
        app.add_routes(
            [
                web.get("/health", self._health),
                web.get("/counters", self._counters),
                web.get("/subscribers", self._list),
                web.get("/subscribers/{aor}", self._get),
                web.put("/subscribers/{aor}", self._put),
                web.delete("/subscribers/{aor}", self._delete),
                web.get("/subscribers/{aor}/files", self._file_usage),
                web.get("/subscribers/{aor}/devices", self._list_devices),
                web.delete("/subscribers/{aor}/devices/{id}", self._sign_out),
                web.get("/bindings", self._bound),
                web.get("/trace", self._trace),
                *(route for other in self._others for route in other.routes()),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=2.0)
        await self._runner.setup()
        await web.SockSite(self._runner, listener).start()
        telemetry.event("admin.opened", path=self._path)

    async def stop(self) -> None:
        """Answer what was asked, close the door and take its file away. Does nothing when it is not open."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
            self._path.unlink(missing_ok=True)

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """The token where there is one; and errors as JSON."""
        given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        if self._token and not hmac.compare_digest(given, f"Bearer {self._token}".encode()):
            return _error(401, "the token of the admin door is missing or wrong")
        try:
            return await handler(request)
        except web.HTTPException as error:
            return _error(error.status, error.text or error.reason)
        except ValueError as error:
            return _error(400, str(error))

    async def _health(self, _: web.Request) -> web.Response:
        uptime = time.monotonic() - self._started
        return web.json_response({"status": "ok", "version": __version__, "process": os.getpid(), "uptime": uptime})

    async def _counters(self, _: web.Request) -> web.Response:
        return web.json_response(telemetry.counters())

    async def _list(self, request: web.Request) -> web.Response:
        found = await self._subscribers.list(request.query.get("after", ""), _limit(request))
        return web.json_response({"subscribers": [shown(one) for one in found]})

    async def _get(self, request: web.Request) -> web.Response:
        found = await self._subscribers.get(_aor(request))
        if found is None:
            raise web.HTTPNotFound(text="there is no such subscriber")
        return web.json_response(shown(found))

    async def _put(self, request: web.Request) -> web.Response:
        aor = _aor(request)
        changes = await json_object(request)
        old = await self._subscribers.get(aor)
        new = changed(old, aor, changes, created_at=time.time())
        try:
            await self._subscribers.put(new)
        except ValueError as error:
            raise web.HTTPConflict(text=str(error)) from None
        telemetry.event("subscriber.added", aor=aor)
        if old is not None and old.blocked != new.blocked:
            telemetry.event("subscriber.blocked" if new.blocked else "subscriber.unblocked", aor=aor)
        await self._changed(aor)
        return web.json_response(shown(new), status=201 if old is None else 200)

    async def _delete(self, request: web.Request) -> web.Response:
        aor = _aor(request)
        if not await self._subscribers.remove(aor):
            raise web.HTTPNotFound(text="there is no such subscriber")
        telemetry.event("subscriber.removed", aor=aor)
        await self._changed(aor)
        return web.Response(status=204)

    async def _changed(self, aor: Aor) -> None:
        if self._after_change is not None:
            await self._after_change(aor)

    async def _file_usage(self, request: web.Request) -> web.Response:
        return web.json_response({"bytes": (await self._files.usage(_aor(request))).own})

    async def _list_devices(self, request: web.Request) -> web.Response:
        return web.json_response({"devices": [device_shown(one) for one in await self._devices.of(_aor(request))]})

    async def _sign_out(self, request: web.Request) -> web.Response:
        for device in await self._devices.of(_aor(request)):
            if device.id == request.match_info["id"] and await self._devices.sign_out(device):
                return web.Response(status=204)
        raise web.HTTPNotFound(text="there is no such device")

    async def _bound(self, request: web.Request) -> web.Response:
        """The bindings of one AOR, or of a page of subscribers with `next` to go on after."""
        if "aor" in request.query:
            found = self._bindings.of(Aor(request.query["aor"]))
            return web.json_response({"bindings": [asdict(one) for one in found], "next": ""})
        limit = _limit(request)
        page = await self._subscribers.list(request.query.get("after", ""), limit)
        bound = [asdict(binding) for one in page for binding in self._bindings.of(one.aor)]
        return web.json_response({"bindings": bound, "next": page[-1].aor if len(page) == limit else ""})

    async def _trace(self, request: web.Request) -> web.Response:
        traces = await self._tracer.trace(request.query.get("id", ""))
        told = [hops(one, self._tracer.attempts(one.message.id)) for one in traces[:MAX_TRACED]]
        return web.json_response({"messages": told})


def shown(subscriber: Subscriber) -> dict[str, Any]:
    """A subscriber as JSON, without what would let somebody be them."""
    return {field.name: getattr(subscriber, field.name) for field in fields(subscriber) if field.name != _CONFIDENTIAL}


def device_shown(device: Device) -> dict[str, Any]:
    """A device as JSON, without what it proves itself by."""
    names = ("id", "kind", "name", "agent", "system", "created_at", "last_active")
    return {name: getattr(device, name) for name in names}


def changed(old: Subscriber | None, aor: Aor, changes: Mapping[str, Any], *, created_at: float) -> Subscriber:
    """The subscriber after a PUT: what `changes` does not name stays. A new one needs username, realm and ha1.

    Raises ValueError for an unknown key or a value of another type.
    """
    checks: dict[str, tuple[str, Callable[[Any], bool]]] = {
        "username": ("a text", _is_text),
        "realm": ("a text", _is_text),
        "ha1": ("an object of texts", lambda v: isinstance(v, dict) and bool(v) and all(map(_is_text, v.values()))),
        "algorithms": ("a list of texts", lambda v: isinstance(v, list) and bool(v) and all(map(_is_text, v))),
        "display_name": ("a text", lambda v: isinstance(v, str)),
        "blocked": ("true or false", lambda v: isinstance(v, bool)),
        "file_quota": ("a number of bytes, 0 for the operator's", _is_size),
    }
    for key, value in changes.items():
        if key not in checks:
            raise ValueError(f"{key}: there is no such key; known are {', '.join(checks)}")
        if not checks[key][1](value):
            raise ValueError(f"{key}: shall be {checks[key][0]}")
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in changes.items()}
    if old is not None:
        new = replace(old, **values)
    else:
        missing = [key for key in ("username", "realm", "ha1") if key not in values]
        if missing:
            raise ValueError(f"a new subscriber needs {', '.join(missing)}")
        new = Subscriber(aor=aor, created_at=created_at, **values)
    without = [algorithm for algorithm in new.algorithms if algorithm not in new.ha1]
    if without:
        raise ValueError(f"algorithms: there are no credentials for {', '.join(without)}")
    return new


def hops(trace: Trace, attempts: Sequence[Attempt] = ()) -> dict[str, Any]:
    """The story of one message as JSON: what it is, its hops in order of time, and where it stands in each mailbox."""
    message = trace.message
    came = f"as {message.service}" + (f" from {message.instance}" if message.instance else "")
    told = [{"at": message.accepted_at, "who": message.sender, "what": "accepted", "why": came}]
    told += [
        {
            "at": one.at,
            "who": one.aor,
            "what": "attempted",
            "why": " ".join(filter(None, (one.way, one.instance, one.result))),
        }
        for one in attempts
    ]
    told += [
        {"at": one.at, "who": one.recipient, "what": one.state.name.lower(), "why": "recorded for the recipient"}
        for one in trace.dispositions
    ]
    return {
        "id": message.id,
        "message_id": message.message_id,
        "sender": message.sender,
        "conversation": message.conversation,
        "kind": message.kind.name.lower(),
        "content_type": message.content_type,
        "bytes": len(message.cpim),
        "requested": message.requested,
        "accepted_at": message.accepted_at,
        "deliver_until": message.deliver_until,
        "hops": sorted(told, key=lambda hop: hop["at"]),
        "entries": [
            {
                "mailbox": entry.mailbox,
                "seq": entry.seq,
                "kind": "copy" if entry.kind is EntryKind.COPY else "incoming",
                "device": entry.instance,
                "state": entry.state.name.lower(),
                "devices": [
                    {"device": cursor.instance, "past": entry.seq <= cursor.low or entry.seq in cursor.ahead}
                    for cursor in trace.cursors
                    if cursor.mailbox == entry.mailbox
                ],
            }
            for entry in trace.entries
        ],
    }


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_SIZE


def _error(status: int, what: str) -> web.Response:
    return web.json_response({"error": what}, status=status)


def _aor(request: web.Request) -> Aor:
    aor = request.match_info["aor"]
    if not aor.startswith(("tel:+", "sip:")):
        raise ValueError(f"{aor!r} is no AOR: it starts with tel:+ or sip:")
    return Aor(aor)


def _limit(request: web.Request) -> int:
    text = request.query.get("limit", str(MAX_LISTED))
    if not (text.isascii() and text.isdigit() and len(text) < 9 and int(text)):
        raise ValueError("limit: shall be a number above 0")
    return min(int(text), MAX_LISTED)


async def json_object(request: web.Request) -> dict[str, Any]:
    """The body. Raises ValueError when it is no JSON object."""
    try:
        read = json.loads(await request.read())
    except (ValueError, RecursionError):
        raise ValueError("the body is not JSON") from None
    if not isinstance(read, dict):
        raise ValueError("the body is not a JSON object")  # noqa: TRY004 - the peer's bytes, no argument of ours
    return read


def _unix_listener(path: Path) -> socket.socket:
    """A listening socket that its owner alone may open, in place of one that a killed process left behind."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_socket():
        with socket.socket(socket.AF_UNIX) as probe, suppress(ConnectionRefusedError, FileNotFoundError):
            probe.connect(str(path))
            raise OSError(errno.EADDRINUSE, "a running node has this admin socket", str(path))
        path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    # Restricted from the first moment: a chmod afterwards would leave a gap.
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
    except OSError as error:
        listener.close()
        # The kernel's message does not say which path, and the usual cause is its length (108 bytes on Linux).
        raise OSError(
            error.errno or errno.EINVAL, f"cannot be a socket: {error.strerror or error}", str(path)
        ) from None
    finally:
        os.umask(before)
    listener.listen()
    return listener


def _write_private(path: Path, content: Mapping[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(content, file)
