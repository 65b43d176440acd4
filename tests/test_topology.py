"""Topology files: what they may say, what is wrong with others, and the one that comes with joyn."""

from pathlib import Path

import phonenumbers
import pytest

import joyn
from joyn.config import ConfigError
from joyn.config.topology import Topology, load_topology, parse_topology
from joyn.model.number import country_of, read

EUROPE = Path(joyn.__file__).parents[2] / "deploy" / "topologies" / "europe.toml"
SMALL = """
[[operators]]
domain = "orange.example"
name = "Orange"
[[operators]]
domain = "sfr.example"
name = "SFR"
[[countries]]
code = "FR"
name = "France"
calling = "+33"
mcc = ["208"]
[[networks]]
country = "FR"
operator = "orange.example"
plmn = ["208-01", "208-002"]
prefixes = ["+3363"]
demo = "+33639980"
demo_numbers = "fiction"
subscribers = ["+33639980001"]
[[networks]]
country = "FR"
operator = "sfr.example"
plmn = ["208-10"]
prefixes = ["+33634"]
"""


@pytest.fixture(scope="module")
def europe() -> Topology:
    return load_topology(EUROPE)


def test_a_number_is_found_by_its_longest_prefix() -> None:
    topology = parse_topology(SMALL)
    owners = {
        number: network and network.operator
        for number in ("+33630000000", "+33634000000", "+33639980001", "+33712345678", "+447700900123")
        for network in [topology.network_of(number)]
    }
    assert list(owners.values()) == ["orange.example", "sfr.example", "orange.example", None, None]


@pytest.mark.parametrize(
    ("host", "operator"),
    [
        ("config.rcs.mnc001.mcc208.pub.3gppnetwork.org", "orange.example"),
        ("CONFIG.RCS.mnc010.mcc208.pub.3gppnetwork.org.", "sfr.example"),
        ("ims.mnc002.mcc208.3gppnetwork.org", "orange.example"),
        ("config.rcs.mnc003.mcc208.pub.3gppnetwork.org", None),
        ("config.rcs.mnc01.mcc208.pub.3gppnetwork.org", None),
        ("config.rcs.mnc001.mcc208.pub.3gppnetwork.org.evil.example", None),
        ("", None),
    ],
)
def test_a_host_is_found_by_its_codes(host: str, operator: str | None) -> None:
    network = parse_topology(SMALL).network_at(host)
    assert (network and network.operator) == operator


def test_a_network_has_its_configuration_host() -> None:
    orange, sfr = parse_topology(SMALL).networks
    assert orange.configuration_host() == "config.rcs.mnc001.mcc208.pub.3gppnetwork.org"
    assert sfr.configuration_host() == "config.rcs.mnc010.mcc208.pub.3gppnetwork.org"


@pytest.mark.parametrize(
    ("old", "new", "key", "what"),
    [
        ('name = "SFR"', 'nmae = "SFR"', "operators[1].nmae", "did you mean name?"),
        ('name = "SFR"', "name = 7", "operators[1].name", "shall be a text"),
        ('name = "SFR"', 'name = ""', "operators[1].name", "is empty"),
        ("[[operators]]", "[[opertors]]", "opertors", "did you mean operators?"),
        ('domain = "sfr.example"', 'domain = "orange.example"', "operators[1].domain", "is taken"),
        ('domain = "sfr.example"', 'domain = "SFR"', "operators[1].domain", "no SIP domain"),
        ('code = "FR"', 'code = "fr"', "countries[0].code", "no ISO 3166 code"),
        ('calling = "+33"', 'calling = "33"', "countries[0].calling", "no country code"),
        ('mcc = ["208"]', 'mcc = ["20"]', "countries[0].mcc[0]", "no MCC"),
        ('operator = "sfr.example"', 'operator = "free.example"', "networks[1].operator", "none of the operators"),
        ('country = "FR"\noperator = "sfr', 'country = "BE"\noperator = "sfr', "networks[1].country", "none of the"),
        ('"208-10"', '"20810"', "networks[1].plmn[0]", "no MCC-MNC"),
        ('"208-10"', '"206-10"', "networks[1].plmn[0]", "with MCC 208"),
        ('"208-10"', '"208-001"', "networks[1].plmn[0]", "also that of orange.example"),
        ('"+33634"', '"+3363"', "networks[1].prefixes[0]", "a range of orange.example already"),
        ('"+33634"', '"+33639980"', "networks[1].prefixes[0]", "a range of orange.example already"),
        ('"+33634"', '"+44770"', "networks[1].prefixes[0]", "begin with +33"),
        ('"+33634"', '"+33"', "networks[1].prefixes[0]", "no prefix"),
        ('"+33634"', '"0634"', "networks[1].prefixes[0]", "no prefix"),
        ('"+33639980001"', '"+33630000001"', "networks[0].subscribers[0]", "not in +33639980"),
        ('"+33639980001"', '"0639980001"', "networks[0].subscribers[0]", "no number in E.164"),
        ('prefixes = ["+33634"]', 'prefixes = ["+336399800"]', "networks[0].subscribers[0]", "not in +33639980"),
        ('demo_numbers = "fiction"', 'demo_numbers = "real"', "networks[0].demo_numbers", "one of fiction"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(old: str, new: str, key: str, what: str) -> None:
    assert old in SMALL
    with pytest.raises(ConfigError) as caught:
        parse_topology(SMALL.replace(old, new), "small.toml")
    assert (caught.value.source, caught.value.key) == ("small.toml", key)
    assert what in caught.value.what


def test_two_countries_have_not_the_same_mobile_country_code() -> None:
    other = '[[countries]]\ncode = "BE"\nname = "Belgium"\ncalling = "+32"\nmcc = ["208"]\n'
    with pytest.raises(ConfigError, match="208 is that of FR"):
        parse_topology(SMALL + other)


def test_what_is_no_toml_and_what_is_not_there_are_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not TOML"):
        parse_topology("[[operators]")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_topology(tmp_path / "none.toml")


# The topology that comes with joyn.


def test_six_operators_are_in_over_thirty_countries(europe: Topology) -> None:
    names = {one.name for one in europe.operators.values()}
    assert names == {"Orange", "SFR", "Vodafone", "Telefónica", "Deutsche Telekom", "Telecom Italia"}
    assert len(europe.countries) > 30
    assert {one.country for one in europe.networks} == set(europe.countries)
    # What is made up says so, and the others are more than half.
    assert len({one.country for one in europe.networks if not one.modelled}) > 20
    assert all(one.prefixes for one in europe.networks if not one.modelled)
    assert all(plmn.endswith("-999") for one in europe.networks if one.modelled for plmn in one.plmn)


def test_its_domains_are_reserved_for_examples(europe: Topology) -> None:
    assert all(domain.endswith(".example") for domain in europe.operators)


def test_its_countries_are_those_of_the_numbering_plans(europe: Topology) -> None:
    for code, country in europe.countries.items():
        assert country.calling == f"+{phonenumbers.country_code_for_region(code)}"
        # The European codes of E.212 begin with 2.
        assert all(mcc.startswith("2") for mcc in country.mcc)


def test_every_network_has_subscribers_whose_telephones_ring_nowhere(europe: Topology) -> None:
    for network in europe.networks:
        assert network.subscribers
        for number in network.subscribers:
            assert read(number, "ZZ").e164 == number
            assert country_of(number) == network.country
            assert europe.network_of(number) is network
            if network.demo_numbers == "unassigned":
                assert not phonenumbers.is_valid_number(phonenumbers.parse(number))


def test_the_ranges_kept_for_fiction_are_the_regulators_own(europe: Topology) -> None:
    kept = {one.demo for one in europe.networks if one.demo_numbers == "fiction"}
    reserved = ("+3363998", "+447700900", "+4917139200", "+49176040690", "+491729925904", "+3532091", "+4670174061")
    assert all(demo.startswith(reserved) for demo in kept)
    assert len(kept) == 9


def test_every_host_leads_back_to_its_network(europe: Topology) -> None:
    for network in europe.networks:
        assert europe.network_at(network.configuration_host()) is network
