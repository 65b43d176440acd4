"""`joyn check`: is everything as it should be, before the node runs or while it does?"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from joyn.cli.printing import DEFAULT_CONFIG, ConfigPath
from joyn.cli.trouble import NO, Trouble, settings_of

if TYPE_CHECKING:
    from joyn.config import HttpListener, InterconnectListener, MsrpListener, Settings, SipListener

SOON: Final = timedelta(days=30)
"""A certificate that ends within this is worth a word."""
RELEASED: Final = datetime(2026, 11, 1, tzinfo=UTC)
"""No clock that is right shows a time before this."""
ASK_PEER: Final = "Ask them for a new file (`joyn peer rotate` on their side), and accept it."
SOCKET_PATH_MAX: Final = 107
"""Bytes of a unix socket's path (sockaddr_un on Linux, without the final zero)."""
SPARE_FILES: Final = 200
"""Open files a node needs besides its connections."""

SCANNER_PATIENCE: Final = 3.0
"""Seconds that a virus scanner may take to be connected to."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `good` is None for what works and deserves a word."""

    good: bool | None
    what: str
    todo: str = ""


def check(*, config: ConfigPath = DEFAULT_CONFIG) -> int:
    """Look at the configuration, the ports, the certificates, the database and the clock. Changes nothing."""
    settings = settings_of(config)
    findings = [Finding(True, f"{config}: read"), *examine(settings)]
    for one in findings:
        print(f"{ {True: 'ok  ', None: 'note', False: 'BAD '}[one.good] } {one.what}")
        if one.todo:
            print(f"     {one.todo}")
    bad = sum(one.good is False for one in findings)
    print(f"\n{bad} of {len(findings)} are not as they should be." if bad else "\nEverything is as it should be.")
    return NO if bad else 0


def examine(settings: Settings) -> Iterator[Finding]:
    """Every finding, in the order to put them right."""
    from joyn.cli.access import Door

    try:
        runs = Door(settings.admin_socket).answers()
    except Trouble as trouble:
        yield Finding(False, trouble.what, trouble.todo)
        return
    yield Finding(True, f"the node {'runs' if runs else 'does not run'}")
    yield from _directory(settings)
    yield _provisioning(settings)
    yield _routes(settings)
    yield from _certificates(settings)
    if not runs:
        yield from _ports(settings)
    yield from _client(settings)
    yield from _content(settings)
    yield _database(settings, runs)
    yield from _interconnect(settings, runs)
    yield _clock(settings, datetime.now(UTC))
    yield from _files(settings)


def _provisioning(settings: Settings) -> Finding:
    from joyn.config import ConfigError
    from joyn.setting_up import check

    try:
        check(settings)
    except ConfigError as error:
        return Finding(False, str(error))
    return Finding(True, "provisioning: parameters, catalogue and text can be used")


def _routes(settings: Settings) -> Finding:
    from joyn.config import ConfigError
    from joyn.route_finding import check_routes

    try:
        check_routes(settings)
    except ConfigError as error:
        return Finding(False, str(error))
    return Finding(True, "interconnect: topology and ranges can be used")


def _directory(settings: Settings) -> Iterator[Finding]:
    data = settings.operator.data
    if data.is_dir():
        good = os.access(data, os.W_OK | os.X_OK)
        yield Finding(good, f"{data}: {'writable' if good else 'may not be written to by this user'}")
    else:
        yield Finding(None, f"{data}: will be made at the first start")
    length = len(os.fsencode(settings.admin_socket))
    if sys.platform != "win32" and length > SOCKET_PATH_MAX:
        yield Finding(
            False,
            f"admin.socket: its path has {length} bytes, and a unix socket's may have {SOCKET_PATH_MAX}",
            "Set admin.socket to a shorter absolute path.",
        )


def _certificates(settings: Settings) -> Iterator[Finding]:
    import ssl

    from joyn.transport.tls import facts_of, server_context

    seen: set[tuple[Path, Path]] = set()
    listeners: list[SipListener | MsrpListener | HttpListener] = [
        *settings.sip.listeners,
        *settings.msrp.listeners,
        *settings.http.listeners,
        *settings.files.listeners,
    ]
    for one in listeners:
        secure = one.transport in ("tls", "https")
        if not secure or one.certificate is None or one.key is None or (one.certificate, one.key) in seen:
            continue
        seen.add((one.certificate, one.key))
        try:
            server_context(one.certificate, one.key)
            facts = facts_of(one.certificate)
        except (OSError, ssl.SSLError, ValueError) as error:
            yield Finding(False, str(error))
            continue
        yield _dates(one.certificate, facts.not_before, facts.not_after, datetime.now(UTC))
        if settings.operator.domain not in facts.names:
            names = ", ".join(facts.names) or "nothing"
            yield Finding(
                None,
                f"{one.certificate}: does not name {settings.operator.domain}, only {names}",
                "Devices that check it as RFC 5922 says will not connect.",
            )


def _dates(path: Path, not_before: datetime, not_after: datetime, now: datetime) -> Finding:
    if now < not_before:
        return Finding(False, f"{path}: holds only from {not_before:%Y-%m-%d %H:%M} UTC")
    if now >= not_after:
        return Finding(False, f"{path}: ended on {not_after:%Y-%m-%d}", "Put a new one in its place and restart.")
    days = (not_after - now).days
    return Finding(None if not_after - now < SOON else True, f"{path}: holds until {not_after:%Y-%m-%d}, {days} days")


def _ports(settings: Settings) -> Iterator[Finding]:
    from joyn.config import listeners_of

    for place, listeners in listeners_of(settings):
        for one in listeners:
            yield _port(f"{place.removesuffix('.listeners')} {one.name}", one)


def _port(name: str, listener: SipListener | MsrpListener | HttpListener | InterconnectListener) -> Finding:
    where = f"{name}: {listener.transport} {listener.host} port {listener.port}"
    kind = socket.SOCK_DGRAM if listener.transport == "udp" else socket.SOCK_STREAM
    try:
        family, _, _, _, address = socket.getaddrinfo(listener.host.strip("[]"), listener.port, type=kind)[0]
        with socket.socket(family, kind) as probe:
            if kind == socket.SOCK_STREAM and os.name == "posix":
                # As the node does: connections of a node that has just ended do not count.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        return Finding(False, f"{where}: {error.strerror}", "Stop who has it, or give the listener another address.")
    return Finding(True, f"{where} is free")


def _database(settings: Settings, runs: bool) -> Finding:
    from joyn.cli.access import opened

    path = settings.store_path
    if path is None:
        return Finding(None, "store: in memory; nothing is kept when the node ends")
    if not runs and not path.exists():
        return Finding(None, f"{path}: will be made at the first start")

    async def count() -> int:
        async with opened(settings) as access:
            return len(await access.subscribers())

    try:
        number = asyncio.run(count())
    except Trouble as trouble:
        return Finding(False, trouble.what, trouble.todo)
    return Finding(True, f"{path}: {number} subscriber{'' if number == 1 else 's'}")


def _interconnect(settings: Settings, runs: bool) -> Iterator[Finding]:
    """Our certificates for peers, and theirs."""
    from joyn.cli.access import opened
    from joyn.transport.peer_tls import load_identity

    listeners, path = settings.interconnect.listeners, settings.store_path
    try:
        identity = load_identity(settings.interconnect_directory)
    except (OSError, ValueError) as error:
        yield Finding(False, str(error))
        return
    if identity is None and listeners:
        yield Finding(
            None, f"{settings.interconnect_directory}: a certificate for peers will be made at the first need"
        )
    if identity is not None:
        yield from _ours(identity.file, identity.current.not_before, identity.current.not_after)
    for one in listeners:
        if is_this_machine(one.advertise):
            yield Finding(
                None,
                f"interconnect {one.name}: peers are told {one.advertise}, which is this machine alone",
                "Set its advertise to what other operators reach.",
            )
    if listeners:
        yield from _files_for_peers(settings)
    if not runs and (path is None or not path.exists()):
        return

    async def peers() -> list[dict[str, Any]]:
        async with opened(settings) as access:
            return await access.peers()

    try:
        known = asyncio.run(peers())
    except Trouble:  # told by the database's finding
        return
    yield from (_peer(one, datetime.now(UTC)) for one in known)
    if known and not listeners:
        yield Finding(None, "interconnect: there are peers, and no [[interconnect.listeners]] for them")


def _files_for_peers(settings: Settings) -> Iterator[Finding]:
    """Peers fetch files from our content server, and believe the certificates that their system trusts."""
    from joyn.transport.tls import facts_of

    named = [one.certificate for one in settings.files.listeners if one.certificate is not None]
    if settings.files.url or not settings.files_url.startswith("https:") or not named:
        return
    try:
        development = facts_of(named[0]).for_development
    except (OSError, ValueError):  # told by the certificates' finding
        return
    if development:
        yield Finding(
            None,
            f"interconnect: peers fetch files from {settings.files_url} and will not trust its certificate",
            "Take one of a public CA; for a trial among machines of yours give files.url the http:// address.",
        )


def _ours(file: Path, not_before: float, not_after: float) -> Iterator[Finding]:
    begin, end = (datetime.fromtimestamp(at, UTC) for at in (not_before, not_after))
    found = _dates(file, begin, end, datetime.now(UTC))
    todo = "" if found.good else "`joyn peer rotate` says how to change it without a break."
    yield Finding(found.good, found.what, todo)


def _peer(peer: Mapping[str, Any], now: datetime) -> Finding:
    """One that can still be recognised by one of its certificates, for how long."""
    ends = [one["not_after"] for one in peer["certificates"]]
    until = datetime.fromtimestamp(max(ends, default=0.0), UTC)
    if until <= now:
        return Finding(False, f"peer {peer['domain']}: its certificate ended on {until:%Y-%m-%d}", ASK_PEER)
    soon = until - now < SOON
    return Finding(
        None if soon else True,
        f"peer {peer['domain']}: its certificate holds until {until:%Y-%m-%d}, {(until - now).days} days",
        ASK_PEER if soon else "",
    )


def is_this_machine(host: str) -> bool:
    """Whether nobody else can mean us by this host."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _clock(settings: Settings, now: datetime) -> Finding:
    """A clock before what the node has written would expire nothing; one before the release was never set."""
    path = settings.store_path
    written = datetime.fromtimestamp(path.stat().st_mtime, UTC) if path is not None and path.exists() else RELEASED
    newest = max(written, RELEASED)
    if now + timedelta(seconds=1) < newest:
        return Finding(False, f"clock: {now:%Y-%m-%d %H:%M:%S} UTC is in the past", "Set it, best by NTP.")
    return Finding(True, f"clock: {now:%Y-%m-%d %H:%M:%S} UTC, zone {time.strftime('%Z')}")


def _client(settings: Settings) -> Iterator[Finding]:
    from joyn.edge.http.page import built_client

    if settings.http.listeners:
        built = built_client() is not None
        yield Finding(
            True if built else None,
            f"web client: {'built' if built else 'not built, so browsers are shown nothing'}",
            "" if built else "`make web` builds it, and a wheel holds it.",
        )


def _content(settings: Settings) -> Iterator[Finding]:
    """What the content server does with pictures, and who looks for viruses."""
    from joyn.pictures.sandbox import decodes_heic

    if not settings.files.listeners:
        return
    if not settings.files.thumbnails:
        yield Finding(
            None, "pictures: not decoded; senders' own thumbnails are shown, and HEIC only where browsers can"
        )
    elif decodes_heic():
        yield Finding(True, "pictures: thumbnails are made, HEIC among them")
    else:
        yield Finding(
            None,
            "pictures: thumbnails are made, but not of HEIC, which iPhones send",
            "Install the extra: pip install 'joyn[heic]'.",
        )
    yield _scanner(settings)


def _scanner(settings: Settings) -> Finding:
    from joyn.transport.scanning import Unscanned
    from joyn.transport.scanning.address import Address
    from joyn.transport.scanning.connection import connected

    text, required = settings.files.scanner, settings.files.scanner_required
    if not text:
        return Finding(
            None,
            "virus scanner: none, so files are not scanned",
            "files.scanner names one, as clamd:/run/clamav/clamd.ctl.",
        )

    async def connect() -> None:
        async with connected(Address.parse(text), SCANNER_PATIENCE):
            pass

    try:
        asyncio.run(connect())
    except Unscanned as error:
        return Finding(
            False if required else None,
            f"virus scanner: {text}: {error}",
            "Uploads wait until it answers." if required else "Uploads are taken without it (files.scanner_required).",
        )
    return Finding(True, f"virus scanner: {text} answers")


def _files(settings: Settings) -> Iterator[Finding]:
    from joyn.cli.run import raise_file_limit

    limit = raise_file_limit()
    connections = settings.sip.max_connections + settings.msrp.max_connections
    if settings.http.listeners:
        connections += settings.http.max_connections
    wanted = connections + SPARE_FILES
    if limit and limit < wanted:
        yield Finding(
            None,
            f"open files: the system allows {limit}, the configured connections want {wanted}",
            "Raise the hard limit (LimitNOFILE in systemd), or lower max_connections.",
        )
