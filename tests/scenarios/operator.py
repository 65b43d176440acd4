"""A node in a process of its own, that can be killed and started again on the same database."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from joyn.config import load
from joyn.node import open_store
from phone.node import PASSWORD, make_subscriber
from ports import free_port

STARTING = 20.0
"""Seconds the node may take until it accepts connections."""


class Operator:
    """One operator's node under `directory`, with these subscribers; phones come for MSRP to the address `media`."""

    def __init__(
        self, directory: Path, numbers: Sequence[str], *, settings: str = "", media: str = "127.0.0.1"
    ) -> None:
        self.directory = directory
        self.sip, self.msrp = free_port(), free_port()
        self.config = directory / "joyn.toml"
        self.config.write_text(
            "[operator]\n"
            'data = "data"\n'
            "[log]\n"
            'level = "warning"\n'
            f"{settings}"
            "[[sip.listeners]]\n"
            f'name = "tcp"\ntransport = "tcp"\nport = {self.sip}\n'
            "[[sip.listeners]]\n"
            f'name = "udp"\ntransport = "udp"\nport = {self.sip}\n'
            "[[msrp.listeners]]\n"
            f'name = "msrp"\ntransport = "tcp"\nhost = "127.0.0.1"\nport = {self.msrp}\nadvertise = "{media}"\n'
        )
        self.process: subprocess.Popen[bytes] | None = None
        self.kills = 0
        # In a thread of its own: Playwright keeps an event loop running in the one of its tests.
        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, self._subscribe(numbers)).result()

    async def _subscribe(self, numbers: Sequence[str]) -> None:
        settings = load(self.config)
        settings.operator.data.mkdir(parents=True)
        async with open_store(settings) as store:
            for number in numbers:
                await store.subscribers.put(make_subscriber(number, settings.operator.domain))

    @property
    def servers(self) -> dict[str, str]:
        """The addresses phones connect to, by transport."""
        return {"tcp": f"127.0.0.1:{self.sip}", "udp": f"127.0.0.1:{self.sip}"}

    @property
    def password(self) -> str:
        """Every subscriber's password."""
        return PASSWORD

    def start(self) -> None:
        """Start the node and wait until it accepts connections."""
        with (self.directory / "node.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "joyn", "run", "--config", str(self.config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        deadline = time.monotonic() + STARTING
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"the node ended: {self.log()}")
            try:
                socket.create_connection(("127.0.0.1", self.sip), 1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        raise RuntimeError(f"the node did not start: {self.log()}")

    def kill(self) -> None:
        """SIGKILL: nothing gets the chance to be tidy."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)
        self.kills += 1

    def stop(self) -> None:
        """SIGTERM, as an operator does."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(5)

    def log(self) -> str:
        """What the node told."""
        return (self.directory / "node.log").read_text()
