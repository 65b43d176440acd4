"""The demo's operators: nodes on this machine, each with a directory that stays between runs."""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from joyn.cli.demo.cast import GUESTS, STAGE_HOST, Cast
from joyn.cli.trouble import UNABLE, Trouble

if TYPE_CHECKING:
    from joyn.cli.demo.stage import Stage
    from joyn.config import Settings
    from joyn.node import Node

PASSWORD_BYTES: Final = 5
"""Of a password: 40 bits, 10 characters, for they are typed by hand and guessed by nobody on loopback."""
PORT_ATTEMPTS: Final = 100
"""Free ports tried until one is free for TCP and UDP alike."""
LOOPBACK: Final = "127.0.0.1"
LOG: Final = "node.log"
"""What the nodes tell, of all operators."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """What there is to know of a running operator."""

    cast: Cast
    node: Node
    directory: Path
    host: str
    ports: Mapping[str, int]
    passwords: Mapping[str, str]

    @property
    def server(self) -> str:
        """`host:port` of SIP over TCP and UDP."""
        return f"{self.host}:{self.ports['SIP']}"

    @property
    def domain(self) -> str:
        """The SIP domain."""
        return self.cast.domain

    @property
    def config(self) -> Path:
        """Its configuration, for the other commands."""
        return self.directory / "joyn.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Company:
    """All operators of a demo, the directory they share, and the page."""

    operators: Sequence[Operator]
    directory: Path
    stage: Stage | None
    notes: tuple[str, ...]

    def of(self, number: str) -> Operator:
        """Whose subscriber somebody is. Raises StopIteration when they are nobody's."""
        return next(one for one in self.operators if number in one.cast.people)

    @property
    def interconnected(self) -> bool:
        """Whether there is more than one operator."""
        return len(self.operators) > 1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """An operator before it runs."""

    cast: Cast
    directory: Path
    ports: Mapping[str, int]
    settings: Settings


@asynccontextmanager
async def running(casts: Sequence[Cast], directory: Path, host: str) -> AsyncIterator[Company]:
    """Operators until the block ends; several have exchanged their files. Raises Trouble when one cannot start."""
    from joyn import telemetry
    from joyn.cli.demo.exchange import exchange

    directories = {one: _place(one, casts, directory) for one in casts}
    kept = any((place / "data" / "joyn.db").exists() for place in directories.values())
    try:
        plans = _plans(directories, host)
    except OSError as error:
        raise Trouble(f"the demo cannot start: {error}", "", UNABLE) from None
    stage = _stage(plans, host)
    with (directory / LOG).open("a", encoding="utf-8") as log:
        telemetry.configure("info", "text", log)
        try:
            async with AsyncExitStack() as stack:
                operators: list[Operator] = []
                for plan in plans:
                    # The page is on the first one's port.
                    pages = [stage] if stage is not None and not operators else []
                    operators.append(await stack.enter_async_context(_started(plan, host, pages)))
                if len(operators) > 1:
                    await exchange([one.node.settings for one in operators], directory)
                notes = tuple(_notes(directory, kept, plans))
                yield Company(operators=operators, directory=directory, stage=stage, notes=notes)
        finally:
            telemetry.configure()


@asynccontextmanager
async def _started(plan: _Plan, host: str, pages: Sequence[Stage]) -> AsyncIterator[Operator]:
    from joyn.config import annotated
    from joyn.node import Locked, Node

    try:
        passwords = _passwords(plan.directory / "passwords", plan.cast.people)
        node = Node(plan.settings.at(plan.directory), pages=pages)
        await node.start()
    except Locked as error:
        raise Trouble(str(error), "Another demo runs in this directory; --directory takes another.", UNABLE) from None
    except OSError as error:
        raise Trouble(f"the demo cannot start: {error}", "", UNABLE) from None
    try:
        # The file says where the running node listens, for the other commands; the lock is ours by now.
        (plan.directory / "joyn.toml").write_text(
            "# Written by `joyn demo` each time it starts.\n" + annotated(plan.settings), encoding="utf-8"
        )
        await _subscribe(node, plan.cast, passwords)
        yield Operator(
            cast=plan.cast, node=node, directory=plan.directory, host=host, ports=plan.ports, passwords=passwords
        )
    finally:
        await node.stop()


def _place(cast: Cast, casts: Sequence[Cast], directory: Path) -> Path:
    """An operator's directory, named after its domain: by the first label when that is enough to tell them apart."""
    alone = sum(one.directory == cast.directory for one in casts) == 1
    return directory / (cast.directory if alone else cast.domain)


def _plans(directories: Mapping[Cast, Path], host: str) -> list[_Plan]:
    """Make the directories, and find ports for all. Raises OSError when the address is not ours."""
    taken: set[int] = set()
    plans = []
    for cast, directory in directories.items():
        directory.mkdir(parents=True, exist_ok=True)
        ports = {}
        for what, wanted in cast.ports.items():
            at = LOOPBACK if what.startswith("peers") else host
            ports[what] = _port(at, wanted, taken, udp=what == "SIP")
            taken.add(ports[what])
        plans.append(_Plan(cast=cast, directory=directory, ports=ports, settings=_settings(cast, host, ports)))
    if "HTTP" not in plans[0].ports:
        return plans
    origin = f"http://{STAGE_HOST}:{plans[0].ports['HTTP']}"
    return [replace(one, settings=_shown_by(one.settings, origin)) for one in plans]


def _shown_by(settings: Settings, origin: str) -> Settings:
    return replace(settings, http=replace(settings.http, frame_ancestors=(origin,)))


def _stage(plans: Sequence[_Plan], host: str) -> Stage | None:
    """The page with two phones, for browsers on this machine."""
    from joyn.cli.demo.stage import Friend, Stage, StagePhone, spaced

    if host != LOOPBACK or "HTTP" not in plans[0].ports:
        return None  # the phones' hosts are names of this machine
    several = len(plans) > 1
    phones, friends, outboxes = [], [], {}
    for plan in plans:
        cast, port = plan.cast, plan.ports["HTTP"]
        company, theme = (cast.name, cast.theme) if several else ("", "")
        for number, name in zip(cast.guests, cast.hosts, strict=True):
            phones.append(
                StagePhone(cast.people[number], spaced(number), f"http://{name}:{port}/", operator=company, theme=theme)
            )
        for number, name in cast.people.items():
            if number not in GUESTS:
                friends.append(Friend(name, spaced(number), operator=company, theme=theme))
        outboxes[cast.name] = plan.settings.at(plan.directory).sms_outbox
    return Stage(f"{STAGE_HOST}:{plans[0].ports['HTTP']}", outboxes, phones, friends)


def _notes(directory: Path, kept: bool, plans: Sequence[_Plan]) -> list[str]:
    notes = [f"data in {directory}/, {'kept from the last run' if kept else 'kept for the next run'}"]
    for plan in plans:
        of = f" of {plan.cast.name}" if len(plans) > 1 else ""
        for name, wanted in plan.cast.ports.items():
            if wanted and wanted != plan.ports[name]:
                notes.append(f"port {wanted} is taken by another program: {name}{of} listens on {plan.ports[name]}")
    return notes


def _settings(cast: Cast, host: str, ports: Mapping[str, int]) -> Settings:
    from joyn.config import HttpListener, InterconnectListener, InterconnectMedia, MsrpListener, Settings, SipListener

    settings = Settings()

    def listeners(what: str, kind: Any, at: str = host) -> tuple[Any, ...]:
        return (kind(host=at, port=ports[what]),) if what in ports else ()

    sip = tuple(SipListener(name=one, transport=one, host=host, port=ports["SIP"]) for one in ("udp", "tcp"))
    return replace(
        settings,
        operator=replace(
            settings.operator,
            name=cast.name,
            domain=cast.domain,
            realm=cast.domain,
            country=cast.country,
            theme=cast.theme,
        ),
        sip=replace(settings.sip, listeners=sip),
        msrp=replace(settings.msrp, listeners=listeners("MSRP", MsrpListener)),
        http=replace(settings.http, listeners=listeners("HTTP", HttpListener)),
        files=replace(settings.files, listeners=listeners("files", HttpListener)),
        interconnect=replace(
            settings.interconnect,
            own_ranges=cast.ranges,
            # Peers are on this machine, whoever else may reach it.
            listeners=listeners("peers", InterconnectListener, LOOPBACK),
            media=listeners("peers' media", InterconnectMedia, LOOPBACK),
        ),
    )


def _port(host: str, wanted: int, taken: set[int], *, udp: bool = False) -> int:
    """The port, or a free one when it is taken. Raises OSError when the address is not ours."""
    last = OSError("no port is free")
    for port in (wanted, *[0] * PORT_ATTEMPTS):
        try:
            # Like the node's own listener: a connection that still fades away is no reason to move.
            with (
                socket.create_server((host, port)) as tcp,
                socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
            ):
                found = int(tcp.getsockname()[1])
                if udp:
                    datagrams.bind((host, found))
                if found not in taken:
                    return found
        except PermissionError:
            raise
        except OSError as error:
            last = error
    raise last


def _passwords(directory: Path, numbers: Mapping[str, str]) -> dict[str, str]:
    """Every number's password: a file each, which the other commands read too, made when it is missing."""
    directory.mkdir(parents=True, exist_ok=True)
    found = {}
    for number in numbers:
        path = directory / number
        if not path.exists():
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(f"{secrets.token_hex(PASSWORD_BYTES)}\n")
        found[number] = path.read_text("utf-8").strip()
    return found


async def _subscribe(node: Node, cast: Cast, passwords: Mapping[str, str]) -> None:
    from joyn.model.aor import Aor
    from joyn.model.subscriber import DEFAULT_ALGORITHMS, Subscriber
    from joyn.protocol.sip.digest import ALGORITHMS, ha1

    realm = node.settings.operator.domain
    for number, password in passwords.items():
        hashes = {one: ha1(number, realm, password, one) for one in ALGORITHMS}
        old = await node.store.subscribers.get(Aor(f"tel:{number}"))
        if old is None or dict(old.ha1) != hashes:
            await node.store.subscribers.put(
                Subscriber(
                    aor=Aor(f"tel:{number}"),
                    username=number,
                    realm=realm,
                    ha1=hashes,
                    # The phones people have at hand: some know MD5 alone, and give up on any other challenge.
                    algorithms=("MD5",) if number in GUESTS else DEFAULT_ALGORITHMS,
                    display_name=cast.people[number],
                    created_at=time.time(),
                )
            )
