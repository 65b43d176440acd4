"""`joyn topology`: what a topology file says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from joyn.cli.printing import table
from joyn.cli.trouble import CONFIG, Trouble

if TYPE_CHECKING:
    from joyn.config.topology import Network, Topology

app = App(name="topology", help="Topology files: operators, countries and their numbers.", help_format="plaintext")


@app.command
def show(
    file: Annotated[Path, Parameter(help="The topology, a TOML file.")],
    *,
    number: Annotated[str, Parameter(help="Only whose number this is, written with + and its country code.")] = "",
    host: Annotated[str, Parameter(help="Only whose configuration or IMS host this is.")] = "",
) -> None:
    """Check a topology and show its networks, or find one by a number or a host."""
    from joyn.config import ConfigError
    from joyn.config.topology import load_topology

    try:
        topology = load_topology(file)
    except ConfigError as error:
        raise Trouble(str(error), "", CONFIG) from None
    if number:
        _print_number(topology, number)
    elif host:
        network = topology.network_at(host)
        if network is None:
            raise Trouble(f"{host} is no host of this topology", "As config.rcs.mnc001.mcc208.pub.3gppnetwork.org.")
        print(_described(topology, network))
    else:
        _print_all(topology)


def _print_number(topology: Topology, text: str) -> None:
    from joyn.model.number import read
    from joyn.protocol.errors import ParseError

    try:
        number = read(text, "ZZ")
    except ParseError as error:
        raise Trouble(f"{text!r} is no number: it {error.what}", "Write it with + and its country code.") from None
    network = topology.network_of(number.e164)
    if network is None:
        raise Trouble(f"{number.e164} is in no range; its country is {number.country or 'none'}")
    print(f"{number.e164}: {_described(topology, network)}")


def _described(topology: Topology, network: Network) -> str:
    operator, country = topology.operators[network.operator], topology.countries[network.country]
    made_up = " (made up: it has no network there)" if network.modelled else ""
    return f"{operator.name} ({operator.domain}) in {country.name}{made_up}"


def _print_all(topology: Topology) -> None:
    rows = [
        (
            one.country,
            topology.countries[one.country].name,
            topology.operators[one.operator].name + (" (made up)" if one.modelled else ""),
            " ".join(one.plmn),
            len(one.prefixes),
            f"{one.demo} ({one.demo_numbers})" if one.demo else "",
            len(one.subscribers),
        )
        for one in sorted(topology.networks, key=lambda one: (one.country, one.operator))
    ]
    table(("", "country", "operator", "MCC-MNC", "ranges", "for demonstrations", "subscribers"), rows)
    print(f"\n{len(topology.operators)} operators, {len(topology.countries)} countries, {len(topology.ranges)} ranges.")
    for prefix, around in topology.ranges.carved_out():
        print(f"{prefix} lies in {around}, which is another operator's; the longest wins.")
