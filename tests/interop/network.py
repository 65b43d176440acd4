"""A network of one's own: clients from elsewhere look up names, find neighbours and call home; here nothing leaves."""

import ctypes
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CLONE_NEWNET = 0x40000000


@contextmanager
def private_network() -> Iterator[bool]:
    """Put this thread, and every process it starts, into a network namespace with nothing but loopback.

    Yields False where the system does not let us: then the clients share the machine's loopback, on free ports.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    own = os.open("/proc/self/ns/net", os.O_RDONLY)
    try:
        if libc.unshare(CLONE_NEWNET) != 0:
            yield False
            return
        try:
            subprocess.run(["ip", "link", "set", "lo", "up"], check=True, timeout=10)
            yield True
        finally:
            if libc.setns(own, CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "cannot return to the network we came from")
    finally:
        os.close(own)


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A port of loopback that nobody had a moment ago."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def readable(path: Path) -> str:
    """What a client wrote, for the report of a failed test."""
    return path.read_text("utf-8", "replace") if path.exists() else f"(no {path.name})"
