"""A node as an operator runs it: `joyn init`, a configuration, `joyn run` in a process of its own."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from joyn.cli import main
from ports import free_port

DOMAIN = "joyn.localhost"
PASSWORD = "correct-horse"
FIRST_NUMBER = 33_639_980_000
STARTING = 20.0
"""Seconds the node may take to say that it runs."""

LISTENERS: Mapping[str, tuple[str, str]] = {
    "udp": ("udp", ""),
    "tcp": ("tcp", ""),
    "tls": ("tls", ""),
    "udp-sha": ("udp", "algorithms = ['SHA-256']"),
    "tcp-sha": ("tcp", "algorithms = ['SHA-256']"),
    "tls-sha": ("tls", "algorithms = ['SHA-256']"),
    "udp-trusted": ("udp", "access = 'trusted'"),
}
"""By name: the transport, and what else its table says."""


@dataclass(frozen=True, slots=True)
class Account:
    """What a subscriber types into their client."""

    number: str
    password: str = PASSWORD
    domain: str = DOMAIN

    @property
    def uri(self) -> str:
        """The address as plain SIP clients write it."""
        return f"sip:{self.number}@{self.domain}"


@dataclass(slots=True)
class Server:
    """A running node: where it listens, and how to become its subscriber.

    MSRP is called `msrp`, HTTP by what is upgraded there: `ws` and `wss`.
    """

    directory: Path
    ports: Mapping[str, int]
    process: subprocess.Popen[bytes]
    _numbers: Iterator[int] = field(default_factory=lambda: count(FIRST_NUMBER))

    @property
    def certificate_authority(self) -> Path:
        """What clients check the node's certificate against."""
        return self.directory / "tls" / "ca.pem"

    @property
    def log(self) -> Path:
        """What the node told."""
        return self.directory / "node.log"

    def address(self, listener: str) -> str:
        """`host:port` of a listener."""
        return f"127.0.0.1:{self.ports[listener]}"

    def proxy(self, listener: str) -> str:
        """The listener as a SIP URI, for clients that want a proxy or a route.

        With TLS it is a name: linphone looks for no addresses in a certificate.
        """
        transport = LISTENERS[listener][0]
        host = "localhost" if transport == "tls" else "127.0.0.1"
        return f"sip:{host}:{self.ports[listener]};transport={transport}"

    def subscriber(self, *algorithms: str) -> Account:
        """A new subscriber, added as an operator would."""
        account = Account(f"+{next(self._numbers)}")
        password = self.directory / "password"
        password.write_text(account.password)
        arguments = ["subscriber", "add", account.number, "--password-file", str(password)]
        if algorithms:
            arguments += ["--algorithms", ",".join(algorithms)]
        assert main([*arguments, "--config", str(self.directory / "joyn.toml")]) == 0
        return account


@contextmanager
def running_server(directory: Path) -> Iterator[Server]:
    """A node with every listener of LISTENERS on a free port of loopback, until the block ends."""
    assert main(["init", str(directory), "--domain", DOMAIN]) == 0
    ports = {name: free_port() for name in (*LISTENERS, "msrp", "ws", "wss")}
    (directory / "joyn.toml").write_text(_configuration(ports))
    log = directory / "node.log"
    with (
        log.open("wb") as told,
        subprocess.Popen([sys.executable, "-m", "joyn", "run"], cwd=directory, stderr=told) as process,
    ):
        try:
            _wait_started(log, process)
            yield Server(directory, ports, process)
        finally:
            process.terminate()
            try:
                process.wait(timeout=10)
            finally:
                process.kill()


def _configuration(ports: Mapping[str, int]) -> str:
    files = "certificate = 'tls/server.pem'\nkey = 'tls/server-key.pem'\n"
    tables = [f"[operator]\ndomain = '{DOMAIN}'\n[log]\nlevel = 'debug'\n"]
    for name, (transport, more) in LISTENERS.items():
        tables.append(f"[[sip.listeners]]\nname = '{name}'\ntransport = '{transport}'\nport = {ports[name]}\n{more}\n")
        if transport == "tls":
            tables.append(files)
    tables.append(f"[[msrp.listeners]]\nname = 'tcp'\nport = {ports['msrp']}\n")
    tables.append(f"[[msrp.listeners]]\nname = 'tls'\ntransport = 'tls'\nport = 0\n{files}")
    tables.append(f"[[http.listeners]]\nname = 'http'\nport = {ports['ws']}\n")
    tables.append(f"[[http.listeners]]\nname = 'https'\ntransport = 'https'\nport = {ports['wss']}\n{files}")
    return "".join(tables)


def _wait_started(log: Path, process: subprocess.Popen[bytes]) -> None:
    """Return when the node says it runs: its log is all there is to wait for."""
    import time

    deadline = time.monotonic() + STARTING
    while "node.started" not in log.read_text("utf-8", "replace"):
        if process.poll() is not None or time.monotonic() > deadline:
            raise AssertionError(f"the node did not start:\n{log.read_text('utf-8', 'replace')}")
        time.sleep(0.02)
