"""A network of one's own: clients from elsewhere look up names, find neighbours and call home; here nothing leaves."""

import ctypes
import os
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


def readable(path: Path) -> str:
    """What a client wrote, for the report of a failed test."""
    return path.read_text("utf-8", "replace") if path.exists() else f"(no {path.name})"
