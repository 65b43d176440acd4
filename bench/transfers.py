"""Many files at once beside messages: what the server's memory grows to, and what becomes of the messages' latency.

Every file is another one, so that all of them are written; they lie on the disk until the case ends.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from bench.files import NUMBER, PAGE, ticket
from bench.rounds import CLIENTS, FULL, MANY, RATE, WINDOW, Bench, Broken, Measured, Series, checked
from bench.yardstick import cpu
from bench.yardstick.farm import Farm
from bench.yardstick.ours import Joyn
from bench.yardstick.peer import CLIENT_CORE, DATA

COUNT = 200
SIZE = 20_000_000
QUICK_SIZE = 5_000_000
PORT = 18481
SPARE = 2 << 30
"""Bytes that must be left on the disk."""
LOOK_EVERY = 0.1
"""Seconds between two looks at the server's memory."""
MORE = (
    f"[[http.listeners]]\nport = {PAGE}\n"
    '[files]\nquota = "999GiB"\ntotal = "999GiB"\n'
    f'[[files.listeners]]\nname = "files"\nport = {PORT}\n'
)


class JoynWithFiles(Joyn):
    """Messages over SIP/TCP, and a content server."""

    name = "joyn-files"
    more = MORE

    def prepare(self) -> None:
        command = [sys.executable, "-m", "joyn", "subscriber", "add", NUMBER]
        subprocess.run(command, check=True, cwd=self.dir, stdout=subprocess.DEVNULL)


def transfers(bench: Bench, _peer: str) -> Measured:
    """Messages alone, beside COUNT uploads, and beside as many downloads. Raises Broken."""
    size = SIZE if bench.scale == FULL else QUICK_SIZE
    free = shutil.disk_usage(DATA).free
    if free < COUNT * size + SPARE:
        raise Broken(f"{COUNT * size / 1e9:.0f} GB of files do not fit: {free / 1e9:.0f} GB are free")
    peer = JoynWithFiles()
    peer.users = CLIENTS
    try:
        peer.start()
        farm = Farm(peer)
        try:
            return _measure(bench, farm, size)
        finally:
            farm.close()
    finally:
        peer.stop()
        shutil.rmtree(peer.dir, ignore_errors=True)


def _measure(bench: Bench, farm: Farm, size: int) -> Measured:
    checked(farm.do("login", 0, CLIENTS, 50), "logins", CLIENTS)
    checked(farm.do("msg", 0, CLIENTS, WINDOW, 0, 1))
    leave = ticket(farm.peer.dir)
    measured: Measured = {}
    _latency(bench, farm, measured, "alone")
    roots = farm.peer.roots()
    idle, _ = cpu.memory(roots)
    paths: list[str] = []
    for way, arguments in (("up", [leave, str(COUNT), str(size)]), ("down", [])):
        with _watched(roots) as peak, _clients(way, arguments, "\n".join(paths)) as clients:
            assert clients.stdout is not None
            if clients.stdout.readline() != "begun\n":
                raise Broken(f"files did not begin to go {way}")
            _latency(bench, farm, measured, f"beside {COUNT} {way}")
            measured[f"{COUNT} {way}, still going after that"] = Series("", [float(clients.poll() is None)])
            done = json.loads(clients.stdout.readline() or "[]")
        if len(done) != COUNT or (way == "down" and min(done) < size):
            raise Broken(f"{len(done)} of {COUNT} files went {way}")
        paths = paths or done
        measured[f"memory above idle, {way}"] = Series("MB", [(max(peak) - idle) / 1e6])
    return measured


def _latency(bench: Bench, farm: Farm, measured: Measured, when: str) -> None:
    found = checked(farm.do("msg", 0, CLIENTS, MANY, RATE, bench.scale.latency))
    for kind in ("deliver", "receipt"):
        for percentile in ("p50", "p99"):
            measured[f"{kind} {percentile}, {when}"] = Series("ms", [found[f"{kind}_ms"][percentile]])


@contextmanager
def _clients(way: str, arguments: list[str], said: str) -> Iterator[subprocess.Popen[str]]:
    """The clients' process; it yields the core to the messages' clients, whose latency is measured."""
    command = [sys.executable, "-m", "bench.transfer_load", way, str(PORT), *arguments]
    process = subprocess.Popen(
        ["nice", "-n", "19", "taskset", "-c", CLIENT_CORE, *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    process.stdin.write(said)
    process.stdin.close()
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@contextmanager
def _watched(roots: list[int]) -> Iterator[list[int]]:
    """The server's PSS in bytes, looked at again and again."""
    seen: list[int] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(LOOK_EVERY):
            seen.append(cpu.memory(roots)[0])

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()
