"""Our own server, as `joyn run` starts it: SQLite with synchronous=FULL, every message on disk before its 202."""

from __future__ import annotations

import shutil
import subprocess
import sys

from .peer import CLIENT_CORE, HERE, Peer, free_port, wait_port

CONFIG = """
[operator]
name = "Bench"
domain = "{domain}"
data = "data"
[log]
level = "warning"
[sip]
max_connections_per_source = 20000
[[sip.listeners]]
name = "udp"
transport = "udp"
host = "127.0.0.1"
port = {port}
access = "{access}"
[[sip.listeners]]
name = "tcp"
transport = "tcp"
host = "127.0.0.1"
port = {port}
[[msrp.listeners]]
name = "msrp"
transport = "tcp"
host = "127.0.0.1"
port = {msrp}
"""


class Joyn(Peer):
    """a subscriber must prove who sends by registering on the connection"""

    name = "joyn-tcp"
    proto = "sip-tcp"
    access = "digest"
    more = ""
    """What else is in its joyn.toml."""

    def prepare(self) -> None:
        """What is done before it starts."""

    def start(self) -> None:
        self.port = free_port()
        config = self.dir / "joyn.toml"
        text = CONFIG.format(domain=self.domain, port=self.port, access=self.access, msrp=free_port())
        config.write_text(text + self.more)
        shutil.rmtree(self.dir / "data", ignore_errors=True)
        fill = [sys.executable, str(HERE / "joyn_subscribers.py"), str(config), str(self.users)]
        subprocess.run(["taskset", "-c", CLIENT_CORE, *fill], check=True)
        self.prepare()
        wait_port(self.port, self.spawn([sys.executable, "-m", "joyn", "run", "--config", config]))


class JoynUdp(Joyn):
    """an operator's own access: the UDP source address says who it is"""

    name = "joyn-udp"
    proto = "sip-udp"
    access = "trusted"


class JoynUdpAuth(Joyn):
    """digest on every request"""

    name = "joyn-udp-authmsg"
    proto = "sip-udp"
    lg = ("auth=1",)


class JoynMsrp(Joyn):
    """chat sessions over MSRP; the pairs sign in over SIP/TCP. Its client farm is bench/msrp_load.py."""

    name = "joyn-msrp"

    def farm(self) -> list[str]:
        return [sys.executable, str(HERE.parent / "msrp_load.py")]
