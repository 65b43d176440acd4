"""Where to connect to for a SIP domain, as its DNS says."""

import asyncio
import random
from collections import Counter

import pytest

from joyn.transport.next_hops import MAX_HOPS, NextHop, resolve_next_hops
from joyn.transport.resolver import Resolver, ResolverLimits, Unresolved
from scripted_dns import reply, scripted_dns

TLS = ("tls",)
ANY = ("tls", "tcp", "udp")
A = "a.sfr.example. 60 IN A 192.0.2.1"
B = "b.sfr.example. 60 IN A 192.0.2.2"
SRV_A = "_sips._tcp.sfr.example. 60 IN SRV 0 1 5061 a.sfr.example."
SRV_B = "_sips._tcp.sfr.example. 60 IN SRV 1 1 5062 b.sfr.example."
NAPTRS = 'sfr.example. 60 IN NAPTR {} {} "s" "{}" "" {}.sfr.example.'


def zone(*records, fails=()):
    """A server of these records; it fails for these names and kinds."""

    def script(query, over_tcp):
        question = query.question[0]
        asked = (question.name.to_text(omit_final_dot=True), question.to_text().split()[-1])
        if asked in fails:
            return [reply(query, rcode="SERVFAIL")]
        found = [one for one in records if (one.split()[0].rstrip("."), one.split()[3]) == asked]
        return [reply(query, *found, rcode="NOERROR" if found else "NXDOMAIN")]

    return script


def hops(script, domain="sfr.example", transports=TLS, pick=lambda count: 0):
    async def run():
        async with scripted_dns(script) as server:
            resolver = Resolver([("127.0.0.1", server.port)], now=lambda: 0.0, limits=ResolverLimits(timeout=0.5))
            return await resolve_next_hops(resolver, domain, pick, transports)

    return asyncio.run(run())


def test_an_address_needs_no_asking():
    assert hops(zone(), "192.0.2.9") == [NextHop("192.0.2.9", 5061, "tls")]
    assert hops(zone(), "2001:db8::9", ("tcp",)) == [NextHop("2001:db8::9", 5060, "tcp")]


def test_naptr_says_which_service_and_srv_which_servers():
    found = hops(
        zone(
            NAPTRS.format(20, 10, "SIPS+D2T", "_tls._x"),
            NAPTRS.format(10, 10, "SIP+D2U", "_udp._x"),
            "_tls._x.sfr.example. 60 IN SRV 0 1 5071 a.sfr.example.",
            "_udp._x.sfr.example. 60 IN SRV 0 1 5070 b.sfr.example.",
            A,
            B,
        ),
        transports=ANY,
    )
    assert found == [NextHop("192.0.2.2", 5070, "udp"), NextHop("192.0.2.1", 5071, "tls")]


def test_only_the_transports_that_may_be_used_are():
    found = hops(zone(NAPTRS.format(10, 10, "SIP+D2U", "_sip._udp"), SRV_A, A))
    assert found == [NextHop("192.0.2.1", 5061, "tls")]


def test_without_naptr_srv_is_asked_and_priorities_are_kept():
    assert hops(zone(SRV_B, SRV_A, A, B)) == [NextHop("192.0.2.1", 5061, "tls"), NextHop("192.0.2.2", 5062, "tls")]


def test_without_srv_the_domain_itself_is_connected_to():
    addresses = ("sfr.example. 60 IN A 192.0.2.3", "sfr.example. 60 IN AAAA 2001:db8::3")
    assert hops(zone(*addresses)) == [NextHop("2001:db8::3", 5061, "tls"), NextHop("192.0.2.3", 5061, "tls")]


def test_a_target_that_is_none_says_that_there_is_no_service():
    assert hops(zone("_sips._tcp.sfr.example. 60 IN SRV 0 0 0 .", "sfr.example. 60 IN A 192.0.2.3")) == []


def test_a_domain_that_is_not_there_is_nowhere():
    assert hops(zone()) == []


def test_a_server_that_cannot_be_looked_up_leaves_the_others():
    script = zone(SRV_A, SRV_B, A, B, fails=[("a.sfr.example", "A"), ("a.sfr.example", "AAAA")])
    assert hops(script) == [NextHop("192.0.2.2", 5062, "tls")]


def test_a_server_that_cannot_be_asked_for_ipv6_is_found_by_ipv4():
    assert hops(zone(SRV_A, A, fails=[("a.sfr.example", "AAAA")])) == [NextHop("192.0.2.1", 5061, "tls")]


@pytest.mark.parametrize(
    "failing", [("sfr.example", "NAPTR"), ("_sips._tcp.sfr.example", "SRV"), ("a.sfr.example", "A")]
)
def test_when_dns_does_not_answer_it_is_not_said_that_there_is_nowhere(failing):
    with pytest.raises(Unresolved):
        hops(zone(SRV_A, A, fails=[failing]))


def test_servers_of_one_priority_are_drawn_by_weight():
    """RFC 2782: three times the weight is chosen first three times as often; a weight of 0 seldom."""
    weights = {"192.0.2.1": 60, "192.0.2.2": 20, "192.0.2.3": 0}
    records = [
        record
        for index, (address, weight) in enumerate(weights.items())
        for record in (
            f"_sips._tcp.sfr.example. 60 IN SRV 0 {weight} 5061 h{index}.sfr.example.",
            f"h{index}.sfr.example. 60 IN A {address}",
        )
    ]
    draw = random.Random(7)
    first = Counter()

    async def run():
        async with scripted_dns(zone(*records)) as server:
            resolver = Resolver([("127.0.0.1", server.port)], now=lambda: 0.0)
            for _ in range(2000):
                found = await resolve_next_hops(resolver, "sfr.example", draw.randrange)
                assert {hop.host for hop in found} == set(weights)
                first[found[0].host] += 1

    asyncio.run(run())
    assert 2.5 < first["192.0.2.1"] / first["192.0.2.2"] < 3.5
    assert 0 < first["192.0.2.3"] < 100


def test_no_more_hops_than_allowed():
    many = [f"a.sfr.example. 60 IN A 192.0.2.{index}" for index in range(1, MAX_HOPS + 9)]
    assert len(hops(zone(SRV_A, *many))) == MAX_HOPS
