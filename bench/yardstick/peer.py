"""A server under test: it starts in the foreground, pinned to SERVER_CORE, with its data under $PERF_DATA.

roots() are the processes whose CPU is counted. Users are u000000… with passwords pw000000…, SIP/XMPP domain `domain`.
To add a server: subclass Peer, give it a name, the lg protocol it speaks and a start(), and put it in peers.PEERS.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from . import cpu

HERE = Path(__file__).resolve().parent
DATA = Path(os.environ.get("PERF_DATA", Path(tempfile.gettempdir()) / "perf"))
SERVER_CORE = os.environ.get("PERF_SERVER_CORE", "0")
CLIENT_CORE = os.environ.get("PERF_CLIENT_CORE", "1")
USERS = int(os.environ.get("PERF_USERS", "12000"))
PIN = ["taskset", "-c", SERVER_CORE]


def wait_port(port: int, process: subprocess.Popen[bytes] | None = None, seconds: float = 60) -> None:
    """Returns when something listens there. Raises RuntimeError when the process has ended, or nothing does in time."""
    end = time.time() + seconds
    while time.time() < end:
        if process and process.poll() is not None:
            raise RuntimeError(f"server ended with {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise RuntimeError(f"port {port} did not open")


def free_port() -> int:
    """A port that is free on loopback for TCP and UDP."""
    while True:
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            tcp.bind(("127.0.0.1", 0))
            port: int = tcp.getsockname()[1]
            try:
                udp.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def fill(name: str, out: Path, **values: object) -> None:
    """Write the configuration conf/NAME with its @KEY@s replaced."""
    text = (HERE / "conf" / name).read_text()
    for key, value in values.items():
        text = text.replace(f"@{key}@", str(value))
    out.write_text(text)


class Peer:
    """One server. `lg` are options of the client farm, `needs` the commands it cannot run without.

    `users` is how many it has; set it before `start`.
    """

    name = "?"
    proto = "raw-tcp"
    port = 7000
    domain = "joyn.test"
    lg: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    as_root = False
    users = USERS

    def __init__(self) -> None:
        self.processes: list[subprocess.Popen[bytes]] = []
        self._stop_with: dict[int, signal.Signals] = {}
        self.dir = DATA / "peers" / self.name
        self.dir.mkdir(parents=True, exist_ok=True)

    @classmethod
    def missing(cls) -> str:
        """Why it cannot run here; empty when it can."""
        if cls.as_root and os.geteuid() != 0:
            return "needs root, to start servers under users of their own"
        absent = [command for command in cls.needs if shutil.which(command) is None]
        return f"not installed: {', '.join(absent)}" if absent else ""

    def farm(self) -> list[str]:
        """The command of the client farm; host, port and domain follow."""
        return [str(DATA / "bin/lg"), self.proto]

    def spawn(
        self,
        command: list[Any],
        user: str | None = None,
        env: dict[str, str] | None = None,
        cwd: Path | None = None,
        stop_with: signal.Signals = signal.SIGTERM,
    ) -> subprocess.Popen[bytes]:
        """Start a process of this server, pinned and counted; `stop_with` is the signal that ends it."""
        with (self.dir / "server.log").open("ab") as log:
            process = subprocess.Popen(
                PIN + [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=user,
                group=user,
                extra_groups=[] if user else None,
                env={**os.environ, **(env or {})},
                cwd=cwd,
            )
        self.processes.append(process)
        self._stop_with[process.pid] = stop_with
        return process

    def start(self) -> None:
        """Start it; returns when it serves."""
        raise NotImplementedError

    def stop(self) -> None:
        """Stop every process, the last first."""
        for process in reversed(self.processes):
            process.send_signal(self._stop_with[process.pid])
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                for pid in cpu.tree([process.pid]):
                    with contextlib.suppress(ProcessLookupError):  # it ended just now
                        os.kill(pid, signal.SIGKILL)
                process.wait()
        self.processes = []

    def roots(self) -> list[int]:
        """The processes that are counted, with their descendants."""
        return [process.pid for process in self.processes]
