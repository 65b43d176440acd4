"""The content server, wired: its rules, its door, and the thread that it has to itself.

Files are moved by an event loop of their own: a disk that is slow holds up no message. It is asyncio's with
aiofastnet's transports, which send from the disk to the socket inside the kernel (sendfile), as uvloop's cannot, and
whose TLS costs a fraction of asyncio's. What it wants to know of the store and of credentials is asked on the node's
loop.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeVar, cast

import aiofastnet

from joyn import telemetry
from joyn.blobs import Blobs
from joyn.blobs.directory import DirectoryBlobs
from joyn.config import Settings
from joyn.edge.http import application
from joyn.edge.http.describing import Caller
from joyn.edge.http.file_leave import FileLeaveDoor
from joyn.edge.http.files import Credentials, FilesDoor
from joyn.edge.pulls import PullDoor
from joyn.edge.transfers import TransferDoor, TransferLimits
from joyn.filing import Filing
from joyn.listening import http_limits, http_listener
from joyn.model.aor import Aor
from joyn.model.binding import Binding
from joyn.model.file import FileUsage, ForeignFile
from joyn.model.peer import Peer, operator_of
from joyn.model.subscriber import Subscriber
from joyn.model.tags import FILES, TRANSFERS
from joyn.pictures import Form
from joyn.pictures.sandbox import Limits, Sandbox
from joyn.protocol.sip.auth import Auth
from joyn.protocol.sip.feature_tags import FeatureTags
from joyn.services.files.content_server import ContentServer, FilePolicy
from joyn.services.files.fetching import Fetching, FetchPolicy
from joyn.services.files.forms import THUMBNAIL_EDGE, THUMBNAIL_LARGEST, Forms, FormsPolicy
from joyn.services.files.localising import Localising, LocalPolicy
from joyn.services.files.scanning import Scanning
from joyn.services.files.tickets import Tickets
from joyn.services.messaging.delivery import Attempts
from joyn.services.messaging.destination import Destinations
from joyn.services.messaging.identity import IdentityHeaders
from joyn.services.messaging.originating import Originating
from joyn.services.messaging.pouring import Pouring, TransferBounds
from joyn.services.messaging.pulling import Pulling
from joyn.services.messaging.sessions import Sessions
from joyn.services.messaging.terminating import Terminating
from joyn.services.messaging.transferring import Transferring
from joyn.services.subscribers import Authentication, Challenge
from joyn.store import Devices, Files, ForeignFiles, Store
from joyn.transport.http import HttpListener, HttpServer
from joyn.transport.origins import OriginClient
from joyn.transport.scanning.address import Address
from joyn.transport.scanning.clamd import Clamd
from joyn.transport.scanning.icap import Icap
from joyn.transport.sip import Endpoint, Flow

__all__ = ["ContentService"]

log = logging.getLogger(__name__)
SWEEP_EVERY: Final = 600.0
"""Seconds between two looks for what is over."""
Result = TypeVar("Result")


class ContentService:
    """The content server of one node. It is started after the store is open and stopped before it is closed.

    `filing` is what messaging has of it; None when there is no content server. `origin_of(operator)` says where a
    peer's files are fetched now, empty when none are; the files' loop asks.
    """

    def __init__(self, settings: Settings, store: Store, authentication: Authentication, key: bytes) -> None:
        self._settings = settings
        self._store = store
        self._authentication = authentication
        self._loop = aiofastnet.patch_loop(asyncio.SelectorEventLoop())
        self._thread = threading.Thread(target=self._loop.run_forever, name="joyn-files", daemon=True)
        self._http: HttpServer | None = None
        self._sweeper: asyncio.Task[None] | None = None
        self.sandbox: Sandbox | None = None
        self._scanning: Scanning | None = None
        self._closing: list[Callable[[], Awaitable[None]]] = []
        self.tickets = Tickets(key, wall=time.time)
        self.url = settings.files_url
        self.origin_of: Callable[[str], str] = lambda _operator: ""
        files = settings.files
        limits = LocalPolicy(max_file=files.max_file, max_thumbnail=files.max_thumbnail, keep=files.keep)
        self._localising = Localising(
            store.foreign_files, key, limits, url=lambda: self.url, wall=time.time, wanted=self._want
        )
        self._fetching: Fetching | None = None
        self._pouring: Pouring | None = None
        self._attempts: Attempts | None = None
        self._origins = OriginClient()
        self.filing = Filing(lambda: self._server, self._there, lambda: self.url) if settings.files.listeners else None

    async def start(self) -> None:
        """Open its doors, if it has any. Raises OSError when an address is taken."""
        if not self._settings.files.listeners:
            return
        # What nobody catches on its own loop is told where the node tells it: a failed handshake makes no traceback.
        self._loop.set_exception_handler(asyncio.get_running_loop().get_exception_handler())
        self._thread.start()
        try:
            listeners = await self._there(self._open(asyncio.get_running_loop()))
        except BaseException:
            await self.stop()
            raise
        if not self.url:
            # The system has chosen the port.
            one = min(listeners, key=lambda listener: listener.tls is None)
            self.url = f"http{'s' if one.tls else ''}://{one.advertise or one.host}:{one.port}"

    async def stop(self) -> None:
        """Close its doors. What is cut by it is gone on with after the next start."""
        for close in self._closing:
            await close()
        if self.filing is not None:
            self.filing.stop()
        if self._thread.is_alive():
            await self._there(self._close())
            self._fetching = None
            self._loop.call_soon_threadsafe(self._loop.stop)
            await asyncio.to_thread(self._thread.join)
        self._loop.close()

    def leave_door(self, caller: Caller, others: Callable[[], Sequence[str]]) -> FileLeaveDoor:
        """What tells browsers where it is, at the node's own HTTP door; `others` are where else they may fetch."""
        files = self._settings.files
        return FileLeaveDoor(
            self.tickets, lambda: self.url, caller, others=others, max_file=files.max_file, warn_above=files.warn_above
        )

    async def localise(self, peer: Peer, sender: Aor, body: bytes) -> bytes:
        """See Localising.localise; without a content server all stays as it is."""
        if not self._settings.files.listeners:
            return body
        return await self._localising.localise(peer, sender, body)

    def _want(self, files: Sequence[ForeignFile]) -> None:
        if self._fetching is not None:
            self._loop.call_soon_threadsafe(self._fetching.want, files)

    @property
    def provided(self) -> FeatureTags:
        """What subscribers can do because of it, whatever their devices can."""
        if not self._settings.files.listeners:
            return FeatureTags()
        return FILES | TRANSFERS if self._settings.msrp.listeners else FILES

    def transfers(
        self,
        sessions: Sessions,
        originating: Originating,
        destinations: Destinations,
        terminating: Terminating,
    ) -> TransferDoor:
        """What takes files that phones send over MSRP, and gives those that they ask for, at the node's own doors. It
        ends with the content server."""
        files, holds = self._settings.files, self._authentication.find
        pulls = None
        if self.filing is not None and self._pouring is not None and self._attempts is not None:
            pulling = Pulling(self._pouring, sessions, self._store.mailboxes, self.filing, self._attempts, terminating)
            pulls = PullDoor(sessions, destinations, holds, pulling)
        limits = TransferLimits(
            all=files.transfers,
            per_device=files.transfers_per_device,
            idle=files.transfer_idle,
            max_file=files.max_file,
        )
        door = TransferDoor(
            sessions,
            originating,
            destinations,
            holds,
            self.filing,
            limits,
            pulls,
            date_time=lambda: datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        )
        self._closing.append(door.close)
        return door

    def transferring(
        self,
        endpoint: Endpoint,
        sessions: Sessions,
        identity: IdentityHeaders,
        attempts: Attempts,
        flow_of: Callable[[Binding], Flow | None],
    ) -> Transferring | None:
        """What brings files to phones over MSRP; None when there is no content server, with which it ends."""
        if self.filing is None:
            return None
        files = self._settings.files
        bounds = TransferBounds(all=files.transfers, per_device=files.transfers_per_device, idle=files.transfer_idle)
        self._attempts, self._pouring = attempts, Pouring(sessions, bounds)
        self._closing.append(self._pouring.close)
        return Transferring(
            endpoint,
            sessions,
            identity,
            attempts,
            flow_of,
            self.filing,
            self._pouring,
            make_boundary=lambda: secrets.token_hex(8),
        )

    async def sweep(self) -> None:
        """Forget what is over, now."""
        await self._there(self._sweep())

    async def _open(self, node: asyncio.AbstractEventLoop) -> list[HttpListener]:
        files = self._settings.files
        stored = cast(Files, _Elsewhere(self._store.files, node))
        self._foreign = cast(ForeignFiles, _Elsewhere(self._store.foreign_files, node))
        blobs = DirectoryBlobs(self._settings.files_directory, wall=time.time)
        scanning = self._scan()
        self._fetching = self._fetch(stored, blobs, scanning)
        self._server = ContentServer(
            stored,
            blobs,
            FilePolicy(
                max_file=files.max_file,
                max_thumbnail=files.max_thumbnail,
                own=files.quota,
                all=files.total,
                keep=files.keep,
                upload_for=files.upload_for,
            ),
            url=lambda: self.url,
            wall=time.time,
            make_id=_make_id,
            forms=self._forms(stored, blobs),
            scanning=scanning,
            fetching=self._fetching,
        )
        await self._fetching.start()
        door = FilesDoor(
            self._server,
            _Credentials(self._authentication, self._store.devices, node),
            self.tickets,
            proxied=(lambda path: files.accel + blobs.relative(path)) if files.accel else None,
        )
        self._http = HttpServer(
            application([door], trusted_proxies=self._settings.http.trusted_proxies, patience=None, cookieless=True),
            http_limits(self._settings),
        )
        self._sweeper = asyncio.get_running_loop().create_task(self._keep_clean())
        return [await self._http.listen(http_listener(one)) for one in files.listeners]

    def _forms(self, stored: Files, blobs: Blobs) -> Forms | None:
        files = self._settings.files
        if not files.thumbnails:
            return None
        self.sandbox = Sandbox(
            Limits(
                pixels=files.picture_pixels,
                memory=files.picture_memory,
                seconds=files.picture_seconds,
                at_once=files.pictures_at_once,
            )
        )
        thumbnail = Form(edge=THUMBNAIL_EDGE, largest=min(files.max_thumbnail, THUMBNAIL_LARGEST))
        policy = FormsPolicy(thumbnail=thumbnail, room=self._room, patience=files.thumbnail_wait)
        return Forms(stored, blobs, self.sandbox, policy, wall=time.time, make_id=_make_id)

    def _room(self, owner: Aor) -> FileUsage:
        """What an owner of files may have, unless a quota of their own was given to them."""
        own = self._settings.interconnect.files_quota if operator_of(owner) else self._settings.files.quota
        return FileUsage(own, self._settings.files.total)

    def _fetch(self, files: Files, blobs: Blobs, scanning: Scanning | None) -> Fetching:
        i = self._settings.interconnect
        room = FileUsage(i.files_quota, self._settings.files.total)
        return Fetching(
            self._foreign,
            files,
            blobs,
            self._origins,
            FetchPolicy(at_once=i.fetches, per_peer=i.fetches_per_peer, room=room),
            origin_of=lambda operator: self.origin_of(operator),
            wall=time.time,
            clock=time.monotonic,
            scanning=scanning,
        )

    def _scan(self) -> Scanning | None:
        files = self._settings.files
        if not files.scanner:
            telemetry.event("scanner.omitted", what="files are not scanned")
            return None
        address = Address.parse(files.scanner)
        speak: type[Clamd | Icap] = Clamd if address.protocol == "clamd" else Icap
        scanner = speak(address, seconds=files.scanner_timeout)
        telemetry.event("scanner.named", scanner=files.scanner, required=files.scanner_required)
        self._scanning = Scanning(scanner, required=files.scanner_required, now=time.monotonic)
        return self._scanning

    async def _close(self) -> None:
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.wait([self._sweeper])
        if self._http is not None:
            await self._http.close()
        if self._fetching is not None:
            await self._fetching.stop()
        await self._origins.close()
        if self._scanning is not None:
            await self._scanning.close()
        if self.sandbox is not None:
            await self.sandbox.close()
        await asyncio.get_running_loop().shutdown_default_executor()

    async def _keep_clean(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_EVERY)
            try:
                await self._sweep()
            except Exception:  # the loop that owns the sweep: one failure must not end all later ones
                log.exception("sweeping files failed")

    async def _sweep(self) -> None:
        await self._foreign.expire(time.time())
        await self._server.sweep()

    async def _there(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Do something on the files' loop."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))


def _make_id() -> str:
    return secrets.token_urlsafe(24)


class _Elsewhere:
    """An object whose coroutines run on the loop that it belongs to, awaited from another."""

    def __init__(self, target: object, loop: asyncio.AbstractEventLoop) -> None:
        self._target = target
        self._loop = loop

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self._target, name)

        async def call(*arguments: Any, **named: Any) -> Any:
            return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(method(*arguments, **named), self._loop))

        return call


class _Credentials(Credentials):
    """Digest and devices, asked about on the node's loop, where it is remembered how often a nonce was used."""

    def __init__(self, authentication: Authentication, devices: Devices, loop: asyncio.AbstractEventLoop) -> None:
        self._authentication = authentication
        self._elsewhere = _Elsewhere(authentication, loop)
        self._devices = cast(Devices, _Elsewhere(devices, loop))

    async def holds(self, aor: Aor, device: str) -> bool:
        """Whether the subscriber still has this device."""
        found = await self._devices.get(device)
        return found is not None and found.aor == aor

    async def authenticate(self, credentials: Auth | None, method: str, path: str) -> Subscriber:
        """See Authentication.authenticate."""
        return cast(Subscriber, await self._elsewhere.authenticate(credentials, method, path, b"", ()))

    def challenges(self, challenge: Challenge) -> list[str]:
        """See Authentication.challenges: nothing of it is remembered, so it may be asked from here."""
        return self._authentication.challenges(challenge)

    def nonce(self) -> str:
        """See Authentication.nonce."""
        return self._authentication.nonce()
