"""Operators as they are run: each a process with a database of its own, interconnected by the commands alone."""

import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import permutations
from pathlib import Path
from typing import Any

from joyn.cli import main
from joyn.cli.access import opened
from joyn.config import load
from joyn.phone import Phone
from ports import free_port
from scenarios.operator import Operator

COMMAND = 60.0
"""Seconds that a command may take on a machine with much else to do."""


class Peering(Operator):
    """An operator with a border. `border_host` is where peers reach it, `agreed` what else [interconnect] says, and
    `more` the tables below it."""

    def __init__(
        self,
        directory: Path,
        domain: str,
        own: str,
        numbers: Sequence[str],
        *,
        border_host: str = "127.0.0.1",
        agreed: str = "",
        settings: str = "",
        more: str = "",
        **fields: Any,
    ) -> None:
        directory.mkdir()
        self.border = free_port()
        interconnect = (
            f'{settings}[interconnect]\nown_ranges = ["{own}"]\n{agreed}'
            f'[[interconnect.listeners]]\nhost = "{border_host}"\nport = {self.border}\n'
            f'[[interconnect.media]]\nhost = "{border_host}"\nport = {free_port()}\n{more}'
        )
        super().__init__(directory, numbers=numbers, settings=interconnect, domain=domain, **fields)

    @property
    def file(self) -> Path:
        """Where `invite` writes this operator's file for the others."""
        return self.directory / f"{self.domain}.joyn-peer.toml"

    def phone(self, number: str, *, kind: type[Phone] = Phone, **settings: Any) -> Phone:
        """A phone of one of its subscribers."""
        server = self.servers[settings.get("transport", "tcp")]
        return kind(number, domain=self.domain, password=self.password, server=server, **settings)

    def joyn(self, *arguments: str) -> str:
        """Run `joyn …` in a process of its own, as who runs the operator does; what it printed."""
        command = [sys.executable, "-m", "joyn", *arguments, "--config", str(self.config)]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=COMMAND)
        assert done.returncode == 0, f"joyn {' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done.stdout

    def joyn_here(self, *arguments: str) -> None:
        """The same without the process, which takes longer than the command when there are dozens."""
        # In a thread of its own: commands run an event loop, and there may be one here.
        with ThreadPoolExecutor(1) as thread:
            status = thread.submit(main, [*arguments, "--config", str(self.config)]).result()
        assert status == 0, f"joyn {' '.join(arguments)}: {status}"

    async def health(self, peer: str) -> dict[str, Any]:
        """How it stands with a peer, as the running node tells `joyn peer show`."""
        async with opened(load(self.config)) as access:
            found = await access.peer(peer)
        assert found is not None
        return found

    async def waits_for(self, peer: str) -> int:
        """What is due to a peer that it has not taken."""
        queue: int = (await self.health(peer))["queue"]
        return queue


def exchange(one: Peering, other: Peering) -> None:
    """Interconnect two operators: each writes its file, and accepts the other's."""
    for operator in (one, other):
        operator.joyn("peer", "invite", str(operator.file))
    one.joyn("peer", "accept", "--yes", str(other.file))
    other.joyn("peer", "accept", "--yes", str(one.file))


def exchange_all(operators: Sequence[Peering]) -> None:
    """Interconnect every two."""
    for operator in operators:
        operator.joyn_here("peer", "invite", str(operator.file))
    for one, other in permutations(operators, 2):
        one.joyn_here("peer", "accept", "--yes", str(other.file))


def start_all(operators: Sequence[Peering]) -> None:
    """Start them, all at once."""
    with ThreadPoolExecutor(len(operators)) as threads:
        list(threads.map(Peering.start, operators))


def stop_all(operators: Sequence[Peering]) -> None:
    """Stop those that run, all at once."""
    with ThreadPoolExecutor(len(operators)) as threads:
        list(threads.map(Peering.stop, operators))
