"""A message and its receipt across two operators, beside the same within one: CPU of both sides, and latency.

Both are the same phones at the same rate in turns, so that what the machine does to one it does to the other.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.interconnect_load import PAIRS, PASSWORD
from bench.rounds import FULL, Bench, Broken, Measured, Series
from bench.yardstick import cpu
from bench.yardstick.peer import CLIENT_CORE, DATA, PIN, free_port, wait_port
from joyn.config import load
from joyn.model.aor import Aor
from joyn.model.peer import Peer, PeerAddress
from joyn.model.peer_file import written
from joyn.model.subscriber import Subscriber
from joyn.node import open_store
from joyn.protocol.sip.digest import ha1
from joyn.transport.peer_tls import ensure_identity

OPERATORS = {"orange.example": "+336399800", "sfr.example": "+336399801"}
CONFIG = """
[operator]
domain = "{domain}"
data = "data"
[log]
level = "warning"
[[sip.listeners]]
name = "tcp"
transport = "tcp"
port = {sip}
[[msrp.listeners]]
port = {msrp}
[interconnect]
own_ranges = ["{prefix}"]
rate = 100000
[[interconnect.listeners]]
port = {border}
[[interconnect.media]]
port = {media}
"""
DEAD_NUMBER = "+33639980299"
"""One of an operator that is never there."""
ROUND, QUICK_ROUND = 10.0, 3.0
"""Seconds of a round."""


@dataclass(frozen=True, slots=True)
class Operator:
    """A running server: its process, and where phones of its numbers go."""

    pid: int
    place: str


def interconnect(bench: Bench, _peer: str) -> Measured:
    """Rounds within one operator and across two, in turns. Raises Broken."""
    measured: Measured = {}
    seconds = ROUND if bench.scale == FULL else QUICK_ROUND
    with ExitStack() as stack:
        DATA.mkdir(parents=True, exist_ok=True)
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="peers-", dir=DATA)))
        for domain, prefix in OPERATORS.items():
            _prepare(place / domain, domain, prefix)
        _exchange(place)
        orange, sfr = (stack.enter_context(_running(place / domain, domain)) for domain in OPERATORS)
        # The recipients at home have numbers of their own.
        home = orange.place.rpartition("/")[0] + f"/{OPERATORS['orange.example']}5"
        within = stack.enter_context(_phones(f"{orange.place}0", home))
        across = stack.enter_context(_phones(f"{orange.place}1", f"{sfr.place}1"))
        beside = stack.enter_context(_phones(f"{orange.place}2", f"{sfr.place}2", DEAD_NUMBER))
        _round(within, [orange.pid], 1.0)
        _round(across, [orange.pid, sfr.pid], 1.0)
        for _ in range(bench.scale.rounds):
            inside = _round(within, [orange.pid], seconds)
            outside = _round(across, [orange.pid, sfr.pid], seconds)
            _note(measured, "within", inside)
            _note(measured, "across", outside)
            for name, pid in (("across, sender's side", 0), ("across, recipient's side", 1)):
                measured.setdefault(name, Series("µs")).values.append(outside.each[pid])
            _note(measured, "across, another peer is dead", _round(beside, [orange.pid, sfr.pid], seconds))
            ratio = sum(outside.each) / sum(inside.each)
            measured.setdefault("across × within", Series("×")).values.append(ratio)
    return measured


@dataclass(frozen=True, slots=True)
class Round:
    """µs of CPU for each unit at each server, and seconds."""

    each: list[float]
    there: list[float]
    back: list[float]


def _note(measured: Measured, name: str, found: Round) -> None:
    measured.setdefault(name, Series("µs")).values.append(sum(found.each))
    for what, times in (("message", found.there), ("receipt", found.back)):
        cuts = statistics.quantiles(times, n=100)
        measured.setdefault(f"{name}, {what} p50", Series("ms")).values.append(statistics.median(times) * 1e3)
        measured.setdefault(f"{name}, {what} p99", Series("ms")).values.append(cuts[98] * 1e3)


def _round(phones: subprocess.Popen[str], pids: list[int], seconds: float) -> Round:
    assert phones.stdin is not None
    assert phones.stdout is not None
    before = [cpu.cpu([pid]) for pid in pids]
    phones.stdin.write(f"{seconds}\n")
    phones.stdin.flush()
    answer = phones.stdout.readline()
    if not answer:
        raise Broken("the phones have ended")
    found = json.loads(answer)
    spent = [cpu.delta(one, cpu.cpu([pid])) for one, pid in zip(before, pids, strict=True)]
    return Round([each * 1e6 / found["units"] for each in spent], found["there"], found["back"])


@contextmanager
def _phones(*places: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "bench.interconnect_load", *places]
    process = subprocess.Popen(
        ["taskset", "-c", CLIENT_CORE, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise Broken("the phones did not register")
        yield process
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait(30)


def _prepare(place: Path, domain: str, prefix: str) -> None:
    place.mkdir()
    ports = {name: free_port() for name in ("sip", "msrp", "border", "media")}
    (place / "joyn.toml").write_text(CONFIG.format(domain=domain, prefix=prefix, **ports))
    asyncio.run(_subscribe(place / "joyn.toml", prefix))


async def _subscribe(config: Path, prefix: str) -> None:
    settings = load(config)
    settings.operator.data.mkdir(parents=True, exist_ok=True)
    domain = settings.operator.domain
    async with open_store(settings) as store:
        for number in (f"{prefix}{series}{pair:02d}" for series in "0125" for pair in range(PAIRS)):
            secret = {"MD5": ha1(number, domain, PASSWORD)}
            await store.subscribers.put(
                Subscriber(aor=Aor(f"tel:{number}"), username=number, realm=domain, ha1=secret, algorithms=("MD5",))
            )


def _exchange(place: Path) -> None:
    """What their operators would do."""
    joyn = [sys.executable, "-m", "joyn", "peer"]
    for domain in OPERATORS:
        subprocess.run([*joyn, "invite", str(place)], check=True, cwd=place / domain, stdout=subprocess.DEVNULL)
    for domain, other in zip(OPERATORS, reversed(OPERATORS), strict=True):
        file = str(place / f"{other}.joyn-peer.toml")
        subprocess.run([*joyn, "accept", file, "--yes"], check=True, cwd=place / domain, stdout=subprocess.DEVNULL)
    # A third one, at whose address nobody listens: what is due to it waits, and is tried again and again.
    dead = Peer(
        domain="dead.example",
        name="Dead",
        addresses=(PeerAddress(host="127.0.0.1", port=9),),
        certificates=ensure_identity(place / "dead", "dead.example", now=time.time()).exchanged,
        ranges=(DEAD_NUMBER[:-2],),
    )
    file = place / "dead.example.joyn-peer.toml"
    file.write_text(written(dead))
    subprocess.run(
        [*joyn, "accept", str(file), "--yes"], check=True, cwd=place / "orange.example", stdout=subprocess.DEVNULL
    )


@contextmanager
def _running(place: Path, domain: str) -> Iterator[Operator]:
    """A server on the server's core: both have the same one, as one has when it is alone."""
    command = [*PIN, sys.executable, "-m", "joyn", "run"]
    with (place / "node.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=place, stdout=log, stderr=log)
    try:
        port = load(place / "joyn.toml").sip.listeners[0].port
        wait_port(port, process)
        yield Operator(process.pid, f"127.0.0.1:{port}/{domain}/{OPERATORS[domain]}")
    finally:
        process.terminate()
        process.wait(30)
