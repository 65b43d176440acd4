"""Routing as a node puts it together: a topology's ranges and hosts, ENUM, and next hops."""

import asyncio
import time
from dataclasses import replace
from pathlib import Path

import pytest

from joyn.config import ConfigError, EnumSettings, InterconnectSettings, NumberRange, Settings
from joyn.model.aor import Aor
from joyn.node import numbering_of
from joyn.route_finding import RouteFinding, check_routes
from joyn.store.sqlite import open_store
from joyn.transport.next_hops import NextHop
from scripted_dns import naptr, reply, scripted_dns
from test_topology import SMALL

NUMBER = "+447700900123"
NAME = "3.2.1.0.0.9.0.0.7.7.4.4.e164.example"


def settings_with(tmp_path: Path, **enum) -> Settings:
    (tmp_path / "small.toml").write_text(SMALL)
    own = NumberRange(prefix="+447700900", operator="vodafone.example")
    return replace(
        Settings(),
        interconnect=InterconnectSettings(topology=tmp_path / "small.toml", ranges=(own,)),
        enum=EnumSettings(root="e164.example", **enum),
    )


async def find(settings: Settings, work):
    store = open_store(":memory:", node="n", wall_clock=time.time, on_fatal=lambda error: None)
    finding = RouteFinding(settings, store, numbering_of(settings))
    try:
        return await work(finding)
    finally:
        await finding.close()
        await store.close()


def test_the_ranges_are_those_of_the_topology_and_of_the_configuration(tmp_path):
    async def work(finding):
        theirs = await finding.routing.route(Aor(f"tel:{NUMBER}"))
        french = await finding.routing.route(Aor("tel:+33634000001"))
        return theirs.operator, french.operator

    assert asyncio.run(find(settings_with(tmp_path), work)) == ("vodafone.example", "sfr.example")


@pytest.mark.parametrize(
    ("host", "operator"),
    [
        ("ims.mnc010.mcc208.3gppnetwork.org", "sfr.example"),
        ("ims.mnc099.mcc208.3gppnetwork.org", "ims.mnc099.mcc208.3gppnetwork.org"),
        ("tim.example", "tim.example"),
    ],
)
def test_an_ims_host_in_enum_stands_for_the_operator_whose_codes_it_has(tmp_path, host, operator):
    async def story():
        async with scripted_dns(lambda query, over_tcp: [reply(query, naptr(NAME, f"sip:a@{host}"))]) as dns:
            settings = settings_with(tmp_path, servers=(f"127.0.0.1:{dns.port}",))
            route = await find(settings, lambda finding: finding.routing.route(Aor(f"tel:{NUMBER}")))
            assert (route.kind, route.operator, route.how) == ("peer", operator, "enum")

    asyncio.run(story())


def test_the_next_hop_is_asked_of_its_own_servers(tmp_path):
    async def story():
        records = {
            ("_sips._tcp.sfr.example", "SRV"): "_sips._tcp.sfr.example. 60 IN SRV 0 0 5071 a.sfr.example.",
            ("a.sfr.example", "A"): "a.sfr.example. 60 IN A 192.0.2.1",
        }

        def script(query, over_tcp):
            found = records.get(dns.asked[-1][:2])
            return [reply(query, found) if found else reply(query, rcode="NXDOMAIN")]

        async with scripted_dns(script) as dns:
            settings = settings_with(tmp_path)
            servers = replace(settings.interconnect, dns=(f"127.0.0.1:{dns.port}",))
            found = await find(
                replace(settings, interconnect=servers), lambda finding: finding.resolve_next_hops("sfr.example")
            )
            assert found == [NextHop("192.0.2.1", 5071, "tls")]

    asyncio.run(story())


def test_what_cannot_be_used_is_said_before_the_node_starts(tmp_path):
    check_routes(settings_with(tmp_path))
    wrong = settings_with(tmp_path)
    (tmp_path / "small.toml").write_text("[[operators]]\n")
    with pytest.raises(ConfigError, match=r"operators\[0\].domain"):
        check_routes(wrong)
