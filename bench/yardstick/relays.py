"""The limit: relays of two 1,000-byte frames per unit, in C and in Python."""

from __future__ import annotations

import sys

from .peer import DATA, HERE, Peer, free_port, wait_port


class CRelay(Peer):
    name = "c-relay-tcp"

    def start(self) -> None:
        wait_port(self.port, self.spawn([DATA / "bin/relay", self.port]))


class CRelayUdp(CRelay):
    name = "c-relay-udp"
    proto = "raw-udp"


class PyRelay(Peer):
    name = "uvloop-relay-tcp"
    options: tuple[str, ...] = ()

    def start(self) -> None:
        self.port = free_port()
        wait_port(self.port, self.spawn([sys.executable, HERE / "relay_py.py", self.port, *self.options]))


class PyRelayAio(PyRelay):
    name = "asyncio-relay-tcp"
    options = ("asyncio",)


class PyRelayUdp(PyRelay):
    name = "uvloop-relay-udp"
    proto = "raw-udp"
