"""tshark: what the wire carried, and what its dissectors think of it."""

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from interop.client import Client, running
from interop.server import LISTENERS


@contextmanager
def capturing(directory: Path) -> Iterator[Path]:
    """Capture loopback while the block runs; yields the file. Raises AssertionError where we may not capture."""
    home = directory / "capture"
    home.mkdir()
    file = home / "loopback.pcapng"
    with running(["dumpcap", "-i", "lo", "-q", "-w", str(file), "-B", "16"], home) as dumpcap:
        dumpcap.expect("File: ")
        yield file
        _finish(dumpcap)


def _finish(dumpcap: Client) -> None:
    """It writes what it has read when it is told to end."""
    dumpcap.process.terminate()
    assert dumpcap.process.wait(timeout=10) == 0


class Dissection:
    """A capture, read by tshark with the ports of one server named."""

    def __init__(self, file: Path, ports: Mapping[str, int]) -> None:
        self._file = file
        self._arguments = []
        own = []
        for name, port in ports.items():
            if name not in LISTENERS and name != "msrp":
                continue  # HTTP
            transport, protocol = ("tcp", "msrp") if name == "msrp" else (LISTENERS[name][0], "sip")
            if transport == "tls":
                continue
            self._arguments += ["-d", f"{transport}.port=={port},{protocol}"]
            own.append(f"{transport}.srcport == {port}")
        self._own = " or ".join(own)

    def of_server(self, wanted: str, *fields: str) -> list[str]:
        """A line for each packet that came from the server's ports and passes a display filter: these fields of it."""
        arguments = ["tshark", "-r", str(self._file), *self._arguments, "-Y", f"({self._own}) and ({wanted})"]
        arguments += ["-T", "fields", *(word for field in fields for word in ("-e", field))]
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()
