"""All operators of a topology on this machine: who they are, and a message from each to each."""

from __future__ import annotations

import asyncio
import sys
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Final

from joyn.cli.demo.cast import Cast
from joyn.cli.demo.joining import account_of, command
from joyn.cli.demo.operator import LOG, Company, Operator, running
from joyn.cli.demo.round import Passed, play
from joyn.cli.printing import table
from joyn.cli.trouble import CONFIG, UNABLE, Trouble
from joyn.phone import Phone, Radio

if TYPE_CHECKING:
    from joyn.config.topology import Topology

PORTS: Final = {"SIP": 0, "MSRP": 0, "peers": 0, "peers' media": 0}
"""What each listens for, wherever there is room."""
CONNECTING: Final = 30.0
"""Seconds that all links together may take."""
LOOK: Final = 0.05
"""Seconds between two looks at how many links there are."""
COUNTRIES: Final = 6
"""Countries of an operator that are shown by name."""


def read(name: str) -> Topology:
    """A topology by the name of one that joyn brings along, or by its file. Raises Trouble."""
    from joyn.config import ConfigError
    from joyn.config.topology import load_topology

    path = Path(name) if name.endswith(".toml") else _brought(name)
    try:
        return load_topology(path)
    except ConfigError as error:
        raise Trouble(str(error), "--topology takes france, none, europe, or a topology's file.", CONFIG) from None


def _brought(name: str) -> Path:
    """Where a topology lies: in a wheel beside the package's modules, in the work tree under deploy/."""
    package = Path(str(resources.files("joyn")))
    places = [package / "topologies", package.parent.parent / "deploy" / "topologies"]
    return next((one for one in (place / f"{name}.toml" for place in places) if one.is_file()), Path(name))


def casts(topology: Topology) -> list[Cast]:
    """The operators with their demonstration's subscribers, those of the first country first."""
    made = []
    for domain, operator in topology.operators.items():
        networks = [one for one in topology.networks if one.operator == domain]
        people = {
            number: f"{operator.name} {topology.countries[one.country].name}"
            for one in networks
            for number in one.subscribers
        }
        made.append(
            Cast(
                name=operator.name,
                domain=domain,
                theme=operator.theme,
                country=networks[0].country if networks else "FR",
                ranges=tuple(prefix for prefix, owner in topology.number_ranges() if owner == domain),
                people=people,
                ports=PORTS,
            )
        )
    return made


async def show(topology: Topology, directory: Path, host: str, *, once: bool) -> None:
    """Start them, show them, let them write to each other, and go on until somebody stops us. Raises Trouble."""
    began = time.monotonic()
    everybody = casts(topology)
    print(
        f"joyn demo  {len(everybody)} operators in {len(topology.countries)} countries start and exchange their files"
    )
    sys.stdout.flush()
    async with running(everybody, directory, host) as company, _phones(company) as phones:
        connected = await _connected(company)
        took = time.monotonic() - began
        print("\n".join(f"  {note}" for note in company.notes) + "\n")
        _print_operators(topology, company, connected)
        print(f"\nTogether they took {took:.1f} s to start{_memory()}.\n")
        sys.stdout.flush()
        passed = await play(phones)
        _print_round(company, passed)
        if any(one.problem for one in passed):
            raise Trouble("not every message came through", f"{directory / LOG} tells more.", UNABLE)
        if not once:
            print(_invitation(company))
            sys.stdout.flush()
            await asyncio.Event().wait()


@asynccontextmanager
async def _phones(company: Company) -> AsyncIterator[dict[str, Phone]]:
    """A phone of each operator that has somebody, registered until the block ends, by domain."""
    radio = Radio()
    async with AsyncExitStack() as stack:
        phones = {}
        for operator in company.operators:
            for number in list(operator.cast.people)[:1]:
                phone = Phone(
                    number,
                    password=operator.passwords[number],
                    server=operator.server,
                    domain=operator.domain,
                    instance=f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, f'joyn demo {number}')}",
                    radio=radio,
                )
                phones[operator.domain] = await stack.enter_async_context(phone)
        yield phones


async def _connected(company: Company) -> dict[str, int]:
    """How many of its peers each operator reaches: all, unless that takes too long."""
    domains = [one.domain for one in company.operators]
    deadline = time.monotonic() + CONNECTING
    while True:
        reached = {}
        for operator in company.operators:
            healths = [await operator.node.interconnect.health(domain) for domain in domains]
            reached[operator.domain] = sum(one is not None and one["ready"] for one in healths)
        if set(reached.values()) == {len(domains) - 1} or time.monotonic() > deadline:
            return reached
        await asyncio.sleep(LOOK)


def _print_operators(topology: Topology, company: Company, connected: dict[str, int]) -> None:
    peers = len(company.operators) - 1
    table(
        ("operator", "domain", "countries", "address", "subscribers", "peers reached"),
        (
            (
                one.cast.name,
                one.domain,
                _countries(topology, one),
                one.server,
                len(one.cast.people),
                f"{connected[one.domain]} of {peers}",
            )
            for one in company.operators
        ),
    )


def _countries(topology: Topology, operator: Operator) -> str:
    codes = list(dict.fromkeys(one.country for one in topology.networks if one.operator == operator.domain))
    more = f" and {len(codes) - COUNTRIES} more" if len(codes) > COUNTRIES else ""
    return " ".join(codes[:COUNTRIES]) + more


def _memory() -> str:
    """What this process takes at most, where the system tells."""
    if sys.platform == "win32":
        return ""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Bytes on macOS, KiB elsewhere (getrusage(2)).
    return f" and {peak // (1 << 20 if sys.platform == 'darwin' else 1 << 10)} MiB of memory, phones and all"


def _print_round(company: Company, passed: list[Passed]) -> None:
    """From whom down, to whom across: how long until the sender knew that it was delivered."""
    names = {one.domain: one.cast.name for one in company.operators}
    found = {(one.author, one.reader): one for one in passed}
    domains = [domain for domain in names if any(domain == one.author for one in passed)]
    rows = []
    for author in domains:
        cells = [found.get((author, reader)) for reader in domains]
        rows.append((names[author], *("" if cell is None else _shown(cell) for cell in cells)))
    print("From each to each: milliseconds until the sender knew that it was delivered.\n")
    table(("from \\ to", *(names[one] for one in domains)), rows)
    good = [one for one in passed if not one.problem]
    print(f"\n{len(good)} of {len(passed)} messages were delivered, shown, and both receipts came back.")
    for one in passed:
        if one.problem:
            print(f"  {names[one.author]} to {names[one.reader]}: {one.problem}")


def _shown(passed: Passed) -> str:
    return "failed" if passed.problem else f"{passed.delivered * 1000:.0f}"


def _invitation(company: Company) -> str:
    """How to write from one operator to another in a shell."""
    able = [one for one in company.operators if one.cast.people]
    if len(able) < 2:
        return "\nThis goes on until you press Ctrl-C."
    first, second = able[:2]
    author, reader = list(first.cast.people)[-1], next(iter(second.cast.people))
    joyn = command()
    return f"""
A phone of each goes on being there. From another terminal, as somebody else at {first.cast.name}:
    {joyn} phone send {reader} hello {account_of(first, author)}
    {joyn} peer list --config {first.config.as_posix()}

This goes on until you press Ctrl-C."""
