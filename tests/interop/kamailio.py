"""Kamailio as a hub between operators, with the configuration that is documented for it."""

import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from interconnect.operators import ORANGE, SFR
from interop.conftest import which
from interop.network import readable
from joyn.model.peer_file import certificate_of
from joyn.transport.peer_tls import make_certificate
from ports import free_port

DEPLOYED = Path(__file__).resolve().parents[2] / "deploy" / "kamailio"
DOMAIN = "hub.example"
STARTING = 20.0
"""Seconds that it may take until it listens."""


class Kamailio:
    """A hub under `directory`: its certificate, its configuration, and its file for the operators, written by hand."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self.directory, self.port = directory, free_port()
        self.process: subprocess.Popen[bytes] | None = None
        now = time.time()
        made = make_certificate(DOMAIN, ["127.0.0.1"], not_before=now - 60, not_after=now + 86400).decode()
        begin = made.index("-----BEGIN CERTIFICATE")
        key, self.pem = made[:begin], made[begin:]
        self.certificate = certificate_of(self.pem)
        (directory / "hub-key.pem").write_text(key)
        (directory / "hub.pem").write_text(self.pem)

    def file(self, behind: str) -> Path:
        """What it gives an operator, for whom it is the way to another."""
        path = self.directory / f"for-{behind}.toml"
        path.write_text(
            f'format = 1\ndomain = "{DOMAIN}"\nname = "Hub"\naddresses = ["127.0.0.1:{self.port}"]\n'
            f"transit = [\"{behind}\"]\ncertificates = ['''\n{self.pem}''']\n"
        )
        return path

    def configure(self, borders: Mapping[str, int], certificates: list[str]) -> None:
        """What an operator of a hub changes in the files, and nothing else."""
        (self.directory / "operators.pem").write_text("\n".join(certificates))
        changes = {
            "192.0.2.30:5061": f"127.0.0.1:{self.port}",
            "192.0.2.10:5062": f"127.0.0.1:{borders[ORANGE]}",
            "192.0.2.20:5062": f"127.0.0.1:{borders[SFR]}",
            "/etc/kamailio/": f"{self.directory}/",
        }
        for name in ("hub.cfg", "hub-tls.cfg"):
            text = (DEPLOYED / name).read_text()
            for said, here in changes.items():
                assert said in text or name != "hub.cfg", said
                text = text.replace(said, here)
            (self.directory / name).write_text(text)

    @property
    def log(self) -> str:
        """What it told."""
        return readable(self.directory / "log")

    def start(self) -> None:
        """Start it in the foreground, and wait until it listens."""
        program = which("kamailio")
        assert program is not None
        # -DD: it stays ours to end, with all its children; -Y: what it writes of itself lies here.
        command = [program, "-DD", "-E", "-m", "64", "-M", "8", "-f", "hub.cfg", "-Y", str(self.directory)]
        with (self.directory / "log").open("ab") as told:
            self.process = subprocess.Popen(
                command, cwd=self.directory, stdin=subprocess.DEVNULL, stdout=told, stderr=told, start_new_session=True
            )
        deadline = time.monotonic() + STARTING
        while not _listens(self.port):
            assert self.process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.02)

    def stop(self) -> None:
        """End it, if it runs."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(5)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
