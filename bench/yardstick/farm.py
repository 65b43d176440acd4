"""The client farm: a process of its own that plays thousands of clients, and the server's CPU around each command."""

from __future__ import annotations

import json
import subprocess
import time
from typing import Any

from . import cpu
from .peer import CLIENT_CORE, DATA, HERE, Peer

Result = dict[str, Any]


def build() -> None:
    """Compile `lg` and the C relay. Raises CalledProcessError when gcc or OpenSSL's headers are missing."""
    (DATA / "bin").mkdir(parents=True, exist_ok=True)
    subprocess.run(["make", "-s", "-C", str(HERE / "lg"), f"BIN={DATA}/bin"], check=True)


class FarmError(Exception):
    """The farm has ended, or gave no answer."""


class Farm:
    """The farm of one peer, pinned to the client core. One command at a time; see lg.c for what they are."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        command = [*peer.farm(), "127.0.0.1", str(peer.port), peer.domain, *peer.lg]
        self.process = subprocess.Popen(
            ["taskset", "-c", CLIENT_CORE, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._answer()

    def _answer(self) -> Result:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise FarmError(f"the client farm ended with {self.process.wait()}")
        answer: Result = json.loads(line)
        return answer

    def do(self, *command: object) -> Result:
        """Run a command; its answer, with `server_cpu_s`, `client_cpu_s`, `wall_s`, and `cpu_us` per unit of work."""
        assert self.process.stdin is not None
        roots = self.peer.roots()
        before, client, start = cpu.cpu(roots), cpu.cpu([self.process.pid]), time.time()
        self.process.stdin.write(" ".join(str(word) for word in command) + "\n")
        self.process.stdin.flush()
        result = self._answer()
        result["server_cpu_s"] = round(cpu.delta(before, cpu.cpu(roots)), 4)
        result["client_cpu_s"] = round(cpu.delta(client, cpu.cpu([self.process.pid])), 4)
        result["wall_s"] = round(time.time() - start, 3)
        units = result.get("units") or result.get("logins") or result.get("stored") or result.get("delivered")
        if units:
            result["cpu_us"] = round(result["server_cpu_s"] / units * 1e6, 1)
        return result

    def close(self) -> None:
        """End the farm and all its clients."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


def store_and_fetch(f: Farm, senders: int, count: int, window: int) -> tuple[Result, Result]:
    """`count` messages to recipients who are offline; then they come online. The recipients have logged in before."""
    f.do("logout", senders, 2 * senders)
    f.do("idle", 1)
    store = f.do("store", 0, senders, senders, count, window)
    before, start = cpu.cpu(f.peer.roots()), time.time()
    logins = f.do("login", senders, 2 * senders, 50)
    collected = f.do("collect", count, 30)
    spent = cpu.delta(before, cpu.cpu(f.peer.roots()))
    fetch = {
        "delivered": collected["delivered"],
        "server_cpu_s": round(spent, 3),
        "secs": round(time.time() - start, 2),
        "cpu_us": round(spent / max(1, collected["delivered"]) * 1e6, 1),
        "logins": logins["logins"],
    }
    return store, fetch
