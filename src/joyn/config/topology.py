"""A topology: one TOML file that says which operators there are, in which countries, and which numbers are whose.

Unknown keys are errors, like in the configuration. The fields are those of ITU-T E.164 and E.212, and TS 23.003 §13.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from joyn.config import ConfigError, read_as
from joyn.config.sections import documented
from joyn.model.ported import DOMAIN
from joyn.model.ranges import PREFIX, Ranges
from joyn.model.route import Operator

__all__ = ["Country", "Network", "OperatorEntry", "Topology", "load_topology", "parse_topology"]

_CODE: Final = re.compile("[A-Z]{2}")
_CALLING: Final = re.compile(r"\+[1-9][0-9]{0,3}")
_MCC: Final = re.compile("[0-9]{3}")
_PLMN: Final = re.compile("[0-9]{3}-[0-9]{2,3}")
_E164: Final = re.compile(r"\+[1-9][0-9]{4,14}")
_HOST: Final = re.compile(r"(?:[a-z0-9.-]+\.)?mnc([0-9]{3})\.mcc([0-9]{3})\.(?:pub\.)?3gppnetwork\.org")


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorEntry:
    """An operator: one SIP domain, in however many countries."""

    domain: str = documented("", "Its SIP domain, which is its name to other operators.")
    name: str = documented("", "Its name, as people may read it.")
    theme: str = documented("", "Brand of the web client.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Country:
    """A country and its numbering."""

    code: str = documented("", "ISO 3166 code.")
    name: str = documented("", "Its name.")
    calling: str = documented("", "Country code of E.164, as +33.")
    mcc: tuple[str, ...] = documented((), "Mobile country codes (E.212).")


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """An operator in one country."""

    country: str = documented("", "ISO 3166 code.")
    operator: str = documented("", "The operator's domain.")
    plmn: tuple[str, ...] = documented(
        (), "Its networks as MCC-MNC, as 208-01; of the first is its configuration host."
    )
    modelled: bool = documented(False, "Made up: in reality the operator has no network there.")
    prefixes: tuple[str, ...] = documented((), "What its subscribers' numbers begin with, in E.164.")
    demo: str = documented("", "A range of it for demonstrations.")
    demo_numbers: Literal["fiction", "unassigned"] = documented(
        "unassigned", "fiction: the country keeps that range for films. unassigned: it gives it to nobody."
    )
    subscribers: tuple[str, ...] = documented((), "Numbers of the demonstration's subscribers, within demo.")

    def configuration_host(self) -> str:
        """Where phones of its SIM cards fetch their configuration (RCC.14): empty without a network of its own."""
        if not self.plmn:
            return ""
        mcc, _, mnc = self.plmn[0].partition("-")
        return f"config.rcs.mnc{mnc.zfill(3)}.mcc{mcc}.pub.3gppnetwork.org"


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """The whole file."""

    operators: tuple[OperatorEntry, ...] = ()
    countries: tuple[Country, ...] = ()
    networks: tuple[Network, ...] = ()


def load_topology(path: Path) -> Topology:
    """Read a file. Raises ConfigError, also when there is no such file."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot be read: {error}", source=str(path)) from None
    return parse_topology(text, str(path))


def parse_topology(text: str, source: str = "") -> Topology:
    """The topology that a TOML text describes. Raises ConfigError."""
    file = read_as(_File, text, source)
    try:
        return Topology(file.operators, file.countries, file.networks)
    except ConfigError as error:
        raise ConfigError(error.what, error.key, source) from None


class Topology:
    """Operators, countries and networks, and who has which number. Raises ConfigError when they do not fit together."""

    def __init__(
        self, operators: tuple[OperatorEntry, ...], countries: tuple[Country, ...], networks: tuple[Network, ...]
    ) -> None:
        self.operators = {one.domain: one for one in operators}
        self.countries = {one.code: one for one in countries}
        self.networks = networks
        self._plmn: dict[str, Network] = {}
        _check_operators(operators)
        _check_countries(countries)
        owners: dict[str, Operator] = {}
        for index, network in enumerate(networks):
            self._take(network, f"networks[{index}]", owners)
        self.ranges = Ranges(owners.items())
        for index, network in enumerate(networks):
            self._check_subscribers(network, f"networks[{index}]")

    def number_ranges(self) -> Iterator[tuple[str, Operator]]:
        """Every prefix and its operator."""
        for network in self.networks:
            for prefix in (*network.prefixes, *([network.demo] if network.demo else ())):
                yield prefix, Operator(network.operator)

    def network_of(self, number: str) -> Network | None:
        """The network whose range an E.164 number lies in; the longest prefix decides."""
        found = self.ranges.find(number)
        if found is None:
            return None
        return next(one for one in self.networks if found[0] == one.demo or found[0] in one.prefixes)

    def network_at(self, host: str) -> Network | None:
        """The network of a configuration or IMS host (`…mnc001.mcc208.pub.3gppnetwork.org`)."""
        match = _HOST.fullmatch(host.lower().rstrip("."))
        return self._plmn.get(f"{match[2]}-{match[1]}") if match else None

    def _take(self, network: Network, place: str, owners: dict[str, Operator]) -> None:
        country = self.countries.get(network.country)
        if country is None:
            raise ConfigError(f"{network.country!r} is none of the countries", f"{place}.country")
        if network.operator not in self.operators:
            raise ConfigError(f"{network.operator!r} is none of the operators", f"{place}.operator")
        for index, plmn in enumerate(network.plmn):
            if not _PLMN.fullmatch(plmn) or plmn[:3] not in country.mcc:
                known = " or ".join(country.mcc)
                raise ConfigError(f"{plmn!r} is no MCC-MNC with MCC {known}", f"{place}.plmn[{index}]")
            # TS 23.003 §13.2: an MNC of two digits is the same with a zero before it.
            taken = self._plmn.setdefault(f"{plmn[:4]}{plmn[4:].zfill(3)}", network)
            if taken is not network:
                raise ConfigError(f"{plmn} is also that of {taken.operator}", f"{place}.plmn[{index}]")
        where = [(prefix, f"{place}.prefixes[{index}]") for index, prefix in enumerate(network.prefixes)]
        for prefix, key in [*where, *([(network.demo, f"{place}.demo")] if network.demo else [])]:
            if not PREFIX.fullmatch(prefix) or not prefix.startswith(country.calling) or prefix == country.calling:
                raise ConfigError(f"{prefix!r} is no prefix of numbers that begin with {country.calling}", key)
            if prefix in owners:
                raise ConfigError(f"{prefix} is a range of {owners[prefix]} already", key)
            owners[prefix] = Operator(network.operator)

    def _check_subscribers(self, network: Network, place: str) -> None:
        for index, number in enumerate(network.subscribers):
            key = f"{place}.subscribers[{index}]"
            if not _E164.fullmatch(number):
                raise ConfigError(f"{number!r} is no number in E.164, as +33639980001", key)
            found = self.ranges.find(number)
            if not network.demo or found != (network.demo, network.operator):
                raise ConfigError(f"{number} is not in {network.demo or 'a range for demonstrations'}", key)


def _check_operators(operators: tuple[OperatorEntry, ...]) -> None:
    seen: set[str] = set()
    for index, one in enumerate(operators):
        if not DOMAIN.fullmatch(one.domain) or one.domain in seen:
            raise ConfigError(f"{one.domain!r} is taken, or no SIP domain as sfr.example", f"operators[{index}].domain")
        if not one.name:
            raise ConfigError("is empty", f"operators[{index}].name")
        seen.add(one.domain)


def _check_countries(countries: tuple[Country, ...]) -> None:
    codes: set[str] = set()
    mccs: dict[str, str] = {}
    for index, one in enumerate(countries):
        place = f"countries[{index}]"
        if not _CODE.fullmatch(one.code) or one.code in codes:
            raise ConfigError(f"{one.code!r} is taken, or no ISO 3166 code of two letters", f"{place}.code")
        codes.add(one.code)
        if not _CALLING.fullmatch(one.calling):
            raise ConfigError(f"{one.calling!r} is no country code as +33", f"{place}.calling")
        for number, mcc in enumerate(one.mcc):
            if not _MCC.fullmatch(mcc):
                raise ConfigError(f"{mcc!r} is no MCC of three digits", f"{place}.mcc[{number}]")
            if mccs.setdefault(mcc, one.code) != one.code:
                raise ConfigError(f"{mcc} is that of {mccs[mcc]}", f"{place}.mcc[{number}]")
