"""Networks of the test's own: one for each operator, a line from each to the street where phones are, and one between
the two, which can lose everything one way or both. Nothing of it is seen outside."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from interop.conftest import which
from interop.network import private_network

NEEDED = ("ip", "iptables", "nsenter")
Cut = Literal["both ways", "the way there", "the way back"]
"""Between the first operator and the second, as the first sees it."""
_BETWEEN = "between"


class Network:
    """The two operators' namespaces: `street[n]` is where phones reach operator n, `border[n]` where its peer does."""

    street = ("10.81.0.2", "10.82.0.2")
    border = ("10.80.0.1", "10.80.0.2")

    def __init__(self) -> None:
        self.names = tuple(f"joyn-{os.getpid()}-{place}" for place in range(2))

    def inside(self, place: int) -> tuple[str, ...]:
        """What to put before a command that runs in an operator's network."""
        return ("nsenter", f"--net=/run/netns/{self.names[place]}")

    def cut(self, way: Cut) -> None:
        """From now on what goes this way vanishes: nobody is told, as with a cable that is cut or a firewall."""
        for place in {"both ways": (0, 1), "the way there": (1,), "the way back": (0,)}[way]:
            run(*self.inside(place), "iptables", "--wait", "5", "-A", "INPUT", "-i", _BETWEEN, "-j", "DROP")

    def mend(self) -> None:
        """Everything goes through again."""
        for place in range(2):
            run(*self.inside(place), "iptables", "--wait", "5", "-F", "INPUT")

    def make(self) -> None:
        for place, name in enumerate(self.names):
            street = self.street[place]
            run("ip", "netns", "add", name)
            run("ip", "-n", name, "link", "set", "lo", "up")
            run("ip", "link", "add", f"street{place}", "type", "veth", "peer", "name", "street", "netns", name)
            run("ip", "addr", "add", f"{street.rpartition('.')[0]}.1/24", "dev", f"street{place}")
            run("ip", "link", "set", f"street{place}", "up")
            run("ip", "-n", name, "addr", "add", f"{street}/24", "dev", "street")
            run("ip", "-n", name, "link", "set", "street", "up")
        one, other = self.names
        run("ip", "-n", one, "link", "add", _BETWEEN, "type", "veth", "peer", "name", _BETWEEN, "netns", other)
        for name, address in zip(self.names, self.border, strict=True):
            run("ip", "-n", name, "addr", "add", f"{address}/24", "dev", _BETWEEN)
            run("ip", "-n", name, "link", "set", _BETWEEN, "up")

    def remove(self) -> None:
        for name in self.names:
            subprocess.run(("ip", "netns", "del", name), check=False, timeout=10, capture_output=True)


def why_not() -> str:
    """Why this machine can have no such networks; empty when it can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "network namespaces and iptables need root on Linux"
    missing = [program for program in NEEDED if which(program) is None]
    return f"not installed: {', '.join(missing)}" if missing else ""


@contextmanager
def networks() -> Iterator[Network]:
    """Both networks, with this thread (and what it starts) in the street. Skips nothing: see `why_not`."""
    network = Network()
    with private_network() as private:
        assert private, "root, and no network namespace"
        try:
            network.make()
            yield network
        finally:
            network.remove()


def run(*command: str) -> None:
    """Run a program of the system's, which says what it did not like."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    program = shutil.which(command[0], path=path)
    assert program is not None, command[0]
    done = subprocess.run((program, *command[1:]), capture_output=True, text=True, timeout=20, env={"PATH": path})
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
