"""Ports of loopback for what listens in a test."""

import itertools
import os
import socket

PER_WORKER = 1_500
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_FIRST = 20_000 + PER_WORKER * _WORKER
_PORTS = itertools.cycle(range(_FIRST, _FIRST + PER_WORKER))
"""Below those the system gives to connections, and another range for each worker: nobody takes one in between."""


def free_port() -> int:
    """A port that is free for TCP and UDP, and stays so until it is listened on."""
    for port in itertools.islice(_PORTS, PER_WORKER):
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            try:
                tcp.bind(("127.0.0.1", port))
                udp.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError("no port is free")
