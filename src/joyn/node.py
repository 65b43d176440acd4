"""The composition root: settings in, running node out. The only place that picks implementations.

Order of starting: store, services, then doors; of stopping: the reverse, so that what was accepted is on disk.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import secrets
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from joyn import telemetry
from joyn.config import Settings
from joyn.content import ContentService
from joyn.edge.admin import AdminDoor
from joyn.edge.chat import ChatDoor
from joyn.edge.http import RouteProvider, application
from joyn.edge.http.own_data import own_data
from joyn.edge.http.page import PageDoor, built_client
from joyn.edge.http.websocket import WebSocketDoor
from joyn.edge.msrp import MsrpDoor
from joyn.edge.registrations import RegistrationDoor
from joyn.edge.sip import Identity, SipDoor
from joyn.edge.subscriptions import SubscriptionDoor
from joyn.interconnecting import InterconnectService
from joyn.listening import (
    http_limits,
    http_listener,
    msrp_limits,
    msrp_listener,
    sip_limits,
    sip_listener,
    websocket_listener,
    websocket_media,
)
from joyn.model.aor import Aor, Numbering
from joyn.model.binding import Binding
from joyn.model.device import Device
from joyn.model.message import Entry, Message, State
from joyn.model.tags import PROVIDED
from joyn.protocol.reginfo import Event
from joyn.protocol.sip.digest import NonceKeeper, ReplayGuard
from joyn.route_finding import check_routes
from joyn.services.capabilities import Capabilities
from joyn.services.history import CURSOR_KEY_BYTES, Cursors, Past
from joyn.services.messaging.choosing import Choosing
from joyn.services.messaging.delivery import Attempts, Tracer
from joyn.services.messaging.identity import IdentityHeaders
from joyn.services.messaging.inviting import Inviting
from joyn.services.messaging.originating import Originating, Policy
from joyn.services.messaging.pager import Pager
from joyn.services.messaging.reporting import Reporting
from joyn.services.messaging.sessions import Sessions
from joyn.services.messaging.terminating import Terminating
from joyn.services.push.push import Push
from joyn.services.push.vapid import make_key
from joyn.services.registrar import Registrar, Rules
from joyn.services.subscribers import Authentication
from joyn.services.watching import Watching
from joyn.setting_up import SettingUp, check
from joyn.sms.outbox import Outbox
from joyn.store import Store
from joyn.store.sqlite import Locked as Locked
from joyn.store.sqlite import open_store as open_sqlite
from joyn.transport.http import HttpServer
from joyn.transport.msrp import MsrpEndpoint
from joyn.transport.sip import Endpoint, Flow

log = logging.getLogger(__name__)

NODE = "node-1"
NONCE_LIFETIME = 3600.0
"""Seconds a nonce may be used; then the client gets stale=TRUE and a new one."""
MAX_NONCES = 100_000
"""Nonces whose use is remembered; the least recently used are stale after that."""


def numbering_of(settings: Settings) -> Numbering:
    """How this operator reads addresses."""
    return Numbering(settings.operator.country, (settings.operator.domain, *settings.operator.extra_domains))


@asynccontextmanager
async def open_store(settings: Settings) -> AsyncIterator[Store]:
    """The store alone, as the command line uses it while no node runs. Raises what `joyn.store.sqlite` says."""

    def on_fatal(error: BaseException) -> None:
        raise error

    store = open_sqlite(settings.store_path or ":memory:", node=NODE, wall_clock=time.time, on_fatal=on_fatal)
    try:
        yield store
    finally:
        await store.close()


CURSOR_SWEEP = 3600.0
"""Seconds between two looks for devices that have been away for too long: it reads every cursor."""


class Node:
    """One running node. `max_pages` (of 4 KiB) bounds the database; `pages` are served by HTTP before all else;
    `wall` is its clock."""

    def __init__(
        self,
        settings: Settings,
        *,
        max_pages: int | None = None,
        pages: Sequence[RouteProvider] = (),
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.settings = settings
        self._wall = wall
        self._pages = pages
        self._max_pages = max_pages
        self._stopping = asyncio.Event()
        self._cursors_swept = 0.0
        self._sweeper: asyncio.Task[None] | None = None
        self._leaving: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Open the store and every door. Raises OSError when an address is taken, and what `check` raises."""
        settings = self.settings
        check(settings)
        check_routes(settings)
        settings.operator.data.mkdir(parents=True, exist_ok=True)
        path = settings.store_path or ":memory:"
        self.store = open_sqlite(
            path, node=NODE, wall_clock=self._wall, on_fatal=self._on_fatal, max_pages=self._max_pages
        )
        self._push_key = await self.store.secrets.keep("push", make_key())
        self._cursor_key = await self.store.secrets.keep("history-cursor", secrets.token_bytes(CURSOR_KEY_BYTES))
        self._files_key = await self.store.secrets.keep("files", secrets.token_bytes(32))
        self._build()
        await self.push.waking.restore()
        await self.content.start()
        # Before anybody can ask: a restart must not tell senders that a peer's subscribers are nobody.
        await self.interconnect.learn()
        # Before anything can be delivered: how an entry goes to a device depends on whether there is MSRP.
        for media in settings.msrp.listeners:
            await self.msrp.listen(msrp_listener(media))
        for listener in settings.sip.listeners:
            await self.endpoint.listen(sip_listener(listener))
        for page in settings.http.listeners:
            for on_web in websocket_media(settings, await self.http.listen(http_listener(page))):
                self.msrp.listen_on_web(on_web)
        for binding in await self.registrar.restore(self._reachable):
            subscriber = await self.store.subscribers.get(binding.aor)
            if subscriber is None or subscriber.blocked:
                # Blocked while the store took nothing, or by hand while no node ran.
                await self.registrar.remove(binding.aor)
            elif binding.username and await self.authentication.find(binding.username) is None:
                # Signed out just so, or its password is not the one it registered with.
                await self.registrar.remove_of(binding.aor, binding.username)
            else:
                # What was due when the node stopped is due now.
                self.terminating.attached(binding, True)
        self.push.waking.wake_waiting()
        await self.interconnect.start(self.originating, self.capabilities)
        await self.admin.start()
        self._sweeper = asyncio.get_running_loop().create_task(self._sweep())
        self.setting_up.start()
        telemetry.event("node.started", **settings.listening)

    def _build(self) -> None:
        settings, store = self.settings, self.store
        self.numbering = numbering_of(settings)
        self.endpoint = Endpoint(sip_limits(settings), make_token=lambda: secrets.token_hex(8), now=time.monotonic)
        self.authentication = Authentication(
            store.subscribers,
            settings.operator.realm or settings.operator.domain,
            NonceKeeper(secrets.token_bytes(32), NONCE_LIFETIME),
            ReplayGuard(MAX_NONCES),
            wall=self._wall,
            # It only has to differ; what nobody can guess is the key.
            make_salt=map("{:x}".format, itertools.count(1)).__next__,
        )
        self.content = ContentService(settings, store, self.authentication, self._files_key)
        self.setting_up = SettingUp(settings, store, self.numbering, Outbox(settings.sms_outbox, wall=self._wall))
        self.authentication.find_device = self.setting_up.devices.find
        self.setting_up.devices.on_signed_out = self._signed_out
        r, m = settings.registrar, settings.messaging
        rules = Rules(
            min_expires=int(r.min_expires),
            max_expires=int(r.max_expires),
            default_expires=int(r.default_expires),
            max_bindings=r.max_bindings,
        )
        self.registrar = Registrar(store.bindings, rules, node=NODE, wall=self._wall)
        self.capabilities = Capabilities(store.subscribers, self.registrar.of, PROVIDED | self.content.provided)
        self.attempts = Attempts(self._wall)
        self.interconnect = InterconnectService(
            settings,
            store,
            self.numbering,
            name_of=store.subscribers.name_of,
            tell=lambda message, aor, state: self.reporting.tell(message, aor, state),
            failure=lambda entry, cause: self.reporting.failure(entry, cause),
            wall=self._wall,
        )
        self.originating = Originating(
            store.mailboxes,
            store.subscribers,
            self.interconnect,
            self.numbering,
            Policy(deliver_for=m.deliver_for, retain_for=m.retain_for),
            wall=self._wall,
            date_time=lambda: datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            make_id=lambda: secrets.token_hex(16),
        )
        self.reporting = Reporting(self.originating)
        identity = IdentityHeaders(self.numbering, self.endpoint.make_tag, self.interconnect.name_of)
        pager = Pager(self.endpoint, identity, self.attempts, self._flow_of)
        self.msrp = MsrpEndpoint(msrp_limits(settings), make_token=lambda: secrets.token_hex(10), now=time.monotonic)
        self.sessions = Sessions(self.endpoint, self.msrp, session_id=lambda: secrets.randbits(62), now=time.monotonic)
        inviting = Inviting(
            self.endpoint,
            self.sessions,
            identity,
            self.attempts,
            self._flow_of,
            domain=settings.operator.domain,
            make_boundary=lambda: secrets.token_hex(8),
        )
        self.transferring = self.content.transferring(
            self.endpoint, self.sessions, identity, self.attempts, self._flow_of
        )
        choosing = Choosing(pager, inviting, self.transferring, self.sessions, pager_limit=m.pager_limit)
        self.terminating = Terminating(
            store.mailboxes, choosing, self.registrar.of, wall=self._wall, queue_per_device=m.queue_per_device
        )
        self._build_push()
        self._introduce()
        registrations = RegistrationDoor(
            self.authentication,
            self.registrar,
            self.numbering,
            self.endpoint,
            wall=self._wall,
            flow_timer=settings.sip.flow_timer,
            gruu=r.gruu,
            push=self.push.contacts,
        )
        self.msrp_door = MsrpDoor(self.sessions, self.originating)
        self.sessions.handler = self.msrp_door
        self.door = SipDoor(
            Identity(self.numbering, self.authentication),
            self.authentication,
            self.capabilities,
            self.originating,
            self.terminating,
            self.interconnect,
        )
        self.watching = Watching(self.endpoint, self.registrar.of, wall=self._wall)
        subscriptions = SubscriptionDoor(self.door.caller, self.watching, self.numbering, self.endpoint)
        find = self.authentication.find
        self.transfers = self.content.transfers(self.sessions, self.originating, self.interconnect, self.terminating)
        chats = ChatDoor(self.door.caller, self.sessions, self.originating, self.interconnect, self.transfers, find)
        self.door.serve(
            REGISTER=registrations.register,
            INVITE=chats.invite,
            BYE=chats.bye,
            CANCEL=chats.cancel,
            UPDATE=chats.update,
            SUBSCRIBE=subscriptions.subscribe,
        )
        self.endpoint.on_request = self.door.on_request
        self.endpoint.on_acknowledge = chats.acknowledge
        self._build_http()
        self.admin = AdminDoor(
            settings.admin_socket,
            subscribers=store.subscribers,
            bindings=self.registrar,
            tracer=Tracer(store.mailboxes, self.attempts),
            devices=self.setting_up.devices,
            files=store.files,
            after_change=self._changed,
            others=self.interconnect.admin_doors(),
        )

    def _build_push(self) -> None:
        p = self.settings.push
        self.past = Past(self.store.history, Cursors(self._cursor_key), sleep=asyncio.sleep)
        self.push = Push(
            self.store,
            self._push_key,
            self.registrar.of,
            contact=p.contact or f"mailto:postmaster@{self.settings.operator.domain}",
            hosts=p.hosts,
            insecure=p.insecure,
            ttl=p.keep,
            patience=p.wait,
            pause=p.pause,
            wall=self._wall,
        )

    def _build_http(self) -> None:
        h = self.settings.http
        self.websockets = WebSocketDoor(
            self.endpoint,
            self.msrp,
            lambda secure, port: websocket_listener(self.http.listeners, port, secure=secure),
            origins=h.origins,
            max_message=self.settings.msrp.max_message,
        )
        self.page = PageDoor(
            built_client(),
            ancestors=h.frame_ancestors,
            root=self.setting_up.root,
            files=lambda: (self.content.url, *self.interconnect.direct_origins()),
            theme=self.settings.operator.theme,
        )
        caller = self.setting_up.caller
        leave = self.content.leave_door(caller, self.interconnect.direct_origins)
        own = own_data(self.store, self.past, self.push, self.numbering, caller, [*self.setting_up.described(), leave])
        providers = (*self._pages, self.websockets, *self.setting_up.providers(), leave, *own, self.page)
        limits = http_limits(self.settings)
        self.http = HttpServer(
            application(providers, trusted_proxies=h.trusted_proxies, max_body=limits.max_body), limits
        )

    def _introduce(self) -> None:
        """Tell the services of each other: they never import one another."""
        self.store.mailboxes.on_accepted = self._accepted
        self.originating.wants_copies = self.terminating.wants_copies
        self.interconnect.introduce(self.originating, self.terminating, self.sessions)
        self.interconnect.on_left = self._gone
        self.interconnect.localise, self.content.origin_of = self.content.localise, self.interconnect.files_of
        self.originating.on_receipt = self.terminating.acknowledged
        self.terminating.report = self._report
        self.push.waking.report = self.reporting.tell
        self.terminating.failure = self.reporting.failure
        self.terminating.on_unanswered = self.push.waking.unanswered
        self.sessions.on_opened = lambda device, peer: self.terminating.opened(*device, peer)
        self.registrar.on_bound = self._bound
        self.registrar.on_moved = self._moved
        self.registrar.on_unbound = self._unbound
        self.endpoint.on_flow_lost = self._flow_lost

    # Small bridges between services.

    def _accepted(self, entries: Sequence[Entry]) -> None:
        self.terminating.nudge(entries)
        self.push.waking.accepted(entries)
        self.interconnect.links.nudge(entries)

    def _flow_of(self, binding: Binding) -> Flow | None:
        flow = self.endpoint.flows.get(binding.flow)
        return None if flow is None or flow.closed else flow

    def _reachable(self, binding: Binding) -> bool:
        """After a restart: UDP flows are addresses and live on, connections are gone."""
        if not binding.flow.startswith("udp|"):
            return False
        flow = self.endpoint.datagram_flow(binding.flow)
        if flow is None:
            return False
        flow.authenticate(binding.aor, binding.instance, binding.username)
        self.endpoint.keep(flow)
        return True

    def _bound(self, binding: Binding, fresh: bool) -> None:
        self.terminating.attached(binding, fresh)
        self.watching.changed(binding.aor)

    def _unbound(self, binding: Binding, event: Event) -> None:
        self.terminating.detached(binding)
        self._left(binding)
        self.watching.changed(binding.aor, binding, event)
        if event in ("deactivated", "expired"):
            self.push.waking.left(binding.aor)

    def _moved(self, binding: Binding) -> None:
        """A device has come over another flow: its chats on that of the old binding are over."""
        flow, device = self.endpoint.flows.get(binding.flow), (binding.aor, binding.instance)
        here = [(other.aor, other.instance) for other in self.registrar.on_flow(binding.flow)]
        if flow is not None and device not in here:
            self.sessions.end_on(flow, device)
        self._left(binding)

    def _left(self, binding: Binding) -> None:
        """The binding's flow speaks for its AOR no longer, unless another binding of it is there."""
        flow = self.endpoint.flows.get(binding.flow)
        if flow is None:
            return
        here = self.registrar.on_flow(binding.flow)
        if not any(other.aor == binding.aor for other in here):
            flow.forget(binding.aor)
        if not here:
            self.endpoint.release(flow)

    def _flow_lost(self, flow: Flow) -> None:
        self.sessions.flow_lost(flow)
        self.watching.flow_lost(flow)
        if flow.identities:
            self._spawn(self.registrar.flow_lost(flow.id))

    def _signed_out(self, device: Device) -> None:
        """A device was signed out: it is gone at once."""
        aor, username = device.aor, device.username
        bound = [self.endpoint.flows.get(one.flow) for one in self.registrar.of(aor) if one.username == username]
        self.push.waking.forget(aor, device.id, username)
        self.registrar.forget(aor, username)
        # Also what it opened by its credentials alone, or before it took its registration back.
        flows = self.sessions.end_of(aor, username) | self.watching.end_of(aor, username)
        for flow in flows.union(one for one in bound if one is not None):
            if not self.registrar.on_flow(flow.id):
                flow.close()

    async def _changed(self, aor: Aor) -> None:
        """The operator blocked or removed a subscriber: their devices go at once."""
        subscriber = await self.store.subscribers.get(aor)
        if subscriber is None or subscriber.blocked:
            await self._gone(aor)

    async def _gone(self, aor: Aor) -> None:
        """Somebody is no subscriber of ours any more, or may do nothing."""
        # First of all, and also when the store is too busy for the rest: nothing more is taken from them.
        for binding in self.registrar.of(aor):
            flow = self.endpoint.flows.get(binding.flow)
            if flow is not None:
                flow.forget(aor)
        self.sessions.end_all(aor)
        try:
            await self.registrar.remove(aor)
            await self.push.waking.remove_all(aor)
        finally:
            self.watching.end_all(aor)

    def _report(self, message: Message, recipient: Aor, state: State) -> None:
        if state is State.STORED:
            # Not before those who can be woken have had their time to come.
            self.push.waking.stored(message, recipient)
        else:
            self.reporting.tell(message, recipient, state)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    def _on_fatal(self, error: BaseException) -> None:
        """The disk failed under a commit: nothing more can be promised, so the process ends (architecture §4)."""
        log.critical("storage failed, stopping: %s", error)
        os._exit(70)

    # What runs now and then.

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(self.settings.messaging.sweep_every)
            try:
                await self.sweep()
            except Exception:  # the loop that owns the sweep: one failure must not end all later ones
                log.exception("sweep failed")

    async def sweep(self) -> None:
        """Expire bindings and messages, prune what is past retention, forget idle pumps."""
        now = self._wall()
        await self.registrar.expire()
        await self.store.mailboxes.expire(now, report=self.reporting.expired)
        await self.store.mailboxes.prune(now)
        if now - self._cursors_swept > CURSOR_SWEEP:
            self._cursors_swept = now
            await self.store.mailboxes.forget_cursors(now - self.settings.messaging.cursor_idle)
        self.terminating.forget_idle()
        await self.push.waking.sweep()
        await self.setting_up.codes.sweep()
        await self.past.keep_ready()

    def request_stop(self) -> None:
        """Ask the node to stop (a signal came)."""
        self._stopping.set()

    async def wait_stopped(self) -> None:
        """Returns when somebody asked the node to stop."""
        await self._stopping.wait()

    async def stop(self) -> None:
        """Close the doors, let what was accepted reach the disk, close the store."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        await self.setting_up.stop()
        await self.admin.stop()
        await self.websockets.close()
        await self.http.close()
        await self.content.stop()
        await self.door.close()
        await self.msrp_door.close()
        await self.interconnect.stop()
        self.sessions.close()
        await self.terminating.close()
        await self.push.close()
        await self.msrp.close()
        self.endpoint.on_flow_lost = lambda _flow: None
        await self.endpoint.close()
        await self.reporting.close()
        if self._leaving:
            await asyncio.wait(self._leaving, timeout=5)
        await self.store.close()
        telemetry.event("node.stopped")
