"""The demo's operator: a node on loopback whose data stay in one directory between runs."""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from joyn.cli.trouble import UNABLE, Trouble

if TYPE_CHECKING:
    from joyn.cli.demo.stage import Stage
    from joyn.config import Settings
    from joyn.node import Node

ALICE: Final = "+33639980001"
BOB: Final = "+33639980002"
GUESTS: Final = ("+33639980003", "+33639980004")
"""Numbers that nobody uses yet. All are from the range France keeps for fiction (06 39 98 xx xx)."""
NAMES: Final[Mapping[str, str]] = {ALICE: "Alice", BOB: "Bob", GUESTS[0]: "Camille", GUESTS[1]: "Denis"}

PORTS: Final[Mapping[str, int]] = {"SIP": 5060, "MSRP": 2855, "HTTP": 8080, "files": 8081}
"""What is listened on when nobody else does."""
PASSWORD_BYTES: Final = 5
"""Of a password: 40 bits, 10 characters, for they are typed by hand and guessed by nobody on loopback."""
PORT_ATTEMPTS: Final = 100
"""Free ports tried until one is free for TCP and UDP alike."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """What there is to know of the running operator."""

    node: Node
    directory: Path
    host: str
    sip_port: int
    passwords: Mapping[str, str]
    stage: Stage | None
    notes: tuple[str, ...]

    @property
    def server(self) -> str:
        """`host:port` of SIP over TCP and UDP."""
        return f"{self.host}:{self.sip_port}"

    @property
    def domain(self) -> str:
        """The SIP domain."""
        return self.node.settings.operator.domain


@asynccontextmanager
async def running(directory: Path, host: str) -> AsyncIterator[Operator]:
    """An operator until the block ends. Raises Trouble when it cannot start."""
    from joyn import telemetry
    from joyn.config import annotated
    from joyn.node import Locked, Node

    kept = (directory / "data" / "joyn.db").exists()
    try:
        passwords = _passwords(directory / "passwords")
        ports = {name: _port(host, wanted, udp=name == "SIP") for name, wanted in PORTS.items()}
    except OSError as error:
        raise Trouble(f"the demo cannot start: {error}", "", UNABLE) from None
    settings = _settings(host, ports)
    stage = _stage(settings.at(directory), host, ports["HTTP"])
    with (directory / "node.log").open("a", encoding="utf-8") as log:
        telemetry.configure("info", "text", log)
        node = Node(settings.at(directory), pages=[stage] if stage else [])
        try:
            await node.start()
        except Locked as error:
            raise Trouble(
                str(error), "Another demo runs in this directory; --directory takes another.", UNABLE
            ) from None
        except OSError as error:
            raise Trouble(f"the demo cannot start: {error}", "", UNABLE) from None
        # The file says where the running node listens, for the other commands; the lock is ours by now.
        (directory / "joyn.toml").write_text(
            "# Written by `joyn demo` each time it starts.\n" + annotated(settings), encoding="utf-8"
        )
        try:
            await _subscribe(node, passwords)
            yield Operator(
                node=node,
                directory=directory,
                host=host,
                sip_port=ports["SIP"],
                passwords=passwords,
                stage=stage,
                notes=tuple(_notes(directory, kept, ports)),
            )
        finally:
            await node.stop()
            telemetry.configure()


def _stage(settings: Settings, host: str, port: int) -> Stage | None:
    """The page with two phones, for browsers on this machine."""
    from joyn.cli.demo.stage import Friend, Stage, spaced

    if host != "127.0.0.1":
        return None  # the phones' hosts are names of this machine
    friends = [
        Friend(NAMES[number], spaced(number), "a scripted phone that answers whoever writes") for number in (ALICE, BOB)
    ]
    return Stage(
        settings.operator.domain, port, settings.sms_outbox, [(NAMES[number], number) for number in GUESTS], friends
    )


def _notes(directory: Path, kept: bool, ports: Mapping[str, int]) -> list[str]:
    notes = [f"data in {directory}/, {'kept from the last run' if kept else 'kept for the next run'}"]
    for name, wanted in PORTS.items():
        if wanted != ports[name]:
            notes.append(f"port {wanted} is taken by another program: {name} listens on {ports[name]}")
    return notes


def _settings(host: str, ports: Mapping[str, int]) -> Settings:
    from joyn.config import HttpListener, MsrpListener, Settings, SipListener

    settings = Settings()
    listeners = (
        SipListener(name="udp", transport="udp", host=host, port=ports["SIP"]),
        SipListener(name="tcp", transport="tcp", host=host, port=ports["SIP"]),
    )
    return replace(
        settings,
        sip=replace(settings.sip, listeners=listeners),
        msrp=replace(settings.msrp, listeners=(MsrpListener(host=host, port=ports["MSRP"]),)),
        http=replace(
            settings.http,
            listeners=(HttpListener(host=host, port=ports["HTTP"]),),
            frame_ancestors=(f"http://{settings.operator.domain}:{ports['HTTP']}",),
        ),
        files=replace(settings.files, listeners=(HttpListener(host=host, port=ports["files"]),)),
    )


def _port(host: str, wanted: int, *, udp: bool = False) -> int:
    """The port, or a free one when it is taken. Raises OSError when the address is not ours."""
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
                return found
        except PermissionError:
            raise
        except OSError as error:
            last = error
    raise last


def _passwords(directory: Path) -> dict[str, str]:
    """Every number's password: a file each, which the other commands read too, made when it is missing."""
    directory.mkdir(parents=True, exist_ok=True)
    found = {}
    for number in NAMES:
        path = directory / number
        if not path.exists():
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(f"{secrets.token_hex(PASSWORD_BYTES)}\n")
        found[number] = path.read_text("utf-8").strip()
    return found


async def _subscribe(node: Node, passwords: Mapping[str, str]) -> None:
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
                    display_name=NAMES[number],
                    created_at=time.time(),
                )
            )
