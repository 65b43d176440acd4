"""What is believed of DNS servers, for how long, and what comes of those that lie or are silent."""

import asyncio
import socket
from collections.abc import Awaitable, Callable

import dns.flags
import dns.name
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import pytest

from joyn.protocol.enum import Naptr
from joyn.transport.resolver import Resolver, ResolverLimits, Unresolved
from ports import free_port
from scripted_dns import ScriptedDns, naptr, reply, scripted_dns

ROOT = "e164.example"
NAME = f"1.0.0.0.8.9.9.3.6.3.3.{ROOT}"
OTHER = f"2.0.0.0.8.9.9.3.6.3.3.{ROOT}"
SOA = f"{ROOT}. 900 IN SOA ns.{ROOT}. h.{ROOT}. 1 2 3 4 300"
PATIENT = ResolverLimits(timeout=10)
RULE = Naptr(order=100, preference=10, flags="u", service="E2U+sip", regexp="!^.*$!sip:a@sfr.example!")


class Asking:
    """A resolver with a clock of the test's own."""

    def __init__(self, *ports: int, limits: ResolverLimits = PATIENT, within: str = ROOT) -> None:
        self.now = 0.0
        servers = [("127.0.0.1", port) for port in ports]
        self.resolver = Resolver(servers, now=lambda: self.now, within=within, limits=limits)

    async def uris(self, name: str = NAME) -> list[str]:
        return [rule.regexp.split("!")[2] for rule in await self.resolver.naptr(name)]


Story = Callable[[ScriptedDns, Asking], Awaitable[None]]


def play(script, story: Story, **options) -> None:
    async def run() -> None:
        async with scripted_dns(script) as server:
            await story(server, Asking(server.port, **options))

    asyncio.run(run())


def good(query, over_tcp):
    return [reply(query, naptr(NAME, "sip:a@sfr.example"))]


def test_records_are_found_with_all_they_say():
    async def story(server, asking):
        assert await asking.resolver.naptr(NAME) == [RULE]
        assert server.asked == [(NAME, "NAPTR", False)]

    play(good, story)


def test_an_answer_is_remembered_as_long_as_it_says():
    async def story(server, asking):
        await asking.uris()
        asking.now = 59.9
        await asking.uris(NAME.upper() + ".")
        assert len(server.asked) == 1
        asking.now = 60.1
        await asking.uris()
        assert len(server.asked) == 2

    play(good, story)


@pytest.mark.parametrize(("ttl", "kept"), [(0, 5.0), (10, 10.0), (1000, 100.0)])
def test_how_long_is_bounded_from_below_and_above(ttl, kept):
    async def story(server, asking):
        await asking.uris()
        asking.now = kept - 0.1
        await asking.uris()
        assert len(server.asked) == 1
        asking.now = kept + 0.1
        await asking.uris()
        assert len(server.asked) == 2

    limits = ResolverLimits(min_ttl=5, max_ttl=100)
    play(lambda query, _: [reply(query, naptr(NAME, "sip:a@b.example", ttl=ttl))], story, limits=limits)


@pytest.mark.parametrize("rcode", ["NXDOMAIN", "NOERROR"])
@pytest.mark.parametrize(("authority", "kept"), [(SOA, 300.0), ("", 5.0), (SOA.replace(" 300", " 9999"), 600.0)])
def test_that_there_is_none_is_remembered_as_long_as_the_zone_says(rcode, authority, kept):
    """RFC 2308 §5: the smaller of the SOA record's TTL and its minimum, and no longer than our own bound."""

    async def story(server, asking):
        assert await asking.uris() == []
        asking.now = kept - 0.1
        assert await asking.uris() == []
        assert len(server.asked) == 1
        asking.now = kept + 0.1
        assert await asking.uris() == []
        assert len(server.asked) == 2

    play(
        lambda query, _: [reply(query, rcode=rcode, authority=authority)],
        story,
        limits=ResolverLimits(min_ttl=5, max_negative_ttl=600),
    )


def test_an_answer_that_is_cut_short_is_asked_for_over_tcp():
    def script(query, over_tcp):
        if over_tcp:
            return good(query, over_tcp)
        short = reply(query)
        short.flags |= dns.flags.TC
        return [short]

    async def story(server, asking):
        assert await asking.uris() == ["sip:a@sfr.example"]
        assert [over_tcp for _, _, over_tcp in server.asked] == [False, True]

    play(script, story)


def test_an_answer_that_is_cut_short_on_tcp_too_is_none():
    def script(query, over_tcp):
        short = good(query, over_tcp)[0]
        short.flags |= dns.flags.TC
        return [short]

    async def story(server, asking):
        with pytest.raises(Unresolved, match="in part"):
            await asking.uris()

    play(script, story)


def forged(query, change):
    """An answer to something else, with a lie in it."""
    made = reply(query, naptr(NAME, "sip:evil@evil.example"))
    change(made)
    return made


def wrong_id(made):
    made.id ^= 1


def wrong_question(made):
    made.question = [dns.rrset.RRset(dns.name.from_text(OTHER), dns.rdataclass.IN, dns.rdatatype.NAPTR)]


def no_question(made):
    made.question.clear()


def no_answer(made):
    made.flags &= ~dns.flags.QR


@pytest.mark.parametrize("change", [wrong_id, wrong_question, no_question, no_answer])
def test_what_is_no_answer_to_the_question_is_waited_past(change):
    async def story(server, asking):
        assert await asking.uris() == ["sip:a@sfr.example"]

    play(lambda query, over_tcp: [forged(query, change), b"\x00garbage", *good(query, over_tcp)], story)


@pytest.mark.parametrize("change", [wrong_id, wrong_question, no_question, no_answer])
def test_when_nothing_else_comes_there_is_no_answer(change):
    async def story(server, asking):
        with pytest.raises(Unresolved, match="no answer in time"):
            await asking.uris()

    play(lambda query, over_tcp: [forged(query, change)], story, limits=ResolverLimits(timeout=0.1))


def test_what_comes_from_elsewhere_is_waited_past():
    """RFC 5452 §9.1: an answer comes from the address and port that were asked."""

    async def story(server, asking):
        elsewhere = socket.socket(type=socket.SOCK_DGRAM)

        def lie_first(query, over_tcp):
            # The right id and question, and another port.
            elsewhere.sendto(reply(query, naptr(NAME, "sip:evil@evil.example")).to_wire(), server.asker)
            return good(query, over_tcp)

        server.script = lie_first
        assert await asking.uris() == ["sip:a@sfr.example"]
        elsewhere.close()

    play(good, story)


@pytest.mark.parametrize("name", [OTHER, "evil.example", ROOT])
def test_records_of_another_name_are_not_believed(name):
    """Out of the question's zone, or another number's: what was not asked for is not taken in."""

    def script(query, over_tcp):
        if query.question[0].name.to_text(omit_final_dot=True) == NAME:
            return [reply(query, naptr(name, "sip:evil@evil.example"))]
        return [reply(query, rcode="NXDOMAIN", authority=SOA)]

    async def story(server, asking):
        assert await asking.uris() == []
        if name.endswith(ROOT):
            # And not remembered for whoever asks for that name next.
            assert await asking.uris(name) == []
            assert len(server.asked) == 2

    play(script, story)


def test_an_alias_within_the_zone_is_followed():
    async def story(server, asking):
        assert await asking.uris() == ["sip:a@sfr.example"]
        asking.now = 31
        await asking.uris()
        # The alias holds for half a minute only, whatever its target says.
        assert len(server.asked) == 2

    play(
        lambda query, _: [reply(query, f"{NAME}. 30 IN CNAME {OTHER}.", naptr(OTHER, "sip:a@sfr.example"))],
        story,
    )


def test_an_alias_that_leads_out_of_the_zone_is_refused():
    async def story(server, asking):
        with pytest.raises(Unresolved, match="leads out of"):
            await asking.uris()

    play(
        lambda query, _: [
            reply(query, f"{NAME}. 30 IN CNAME n.evil.example.", naptr("n.evil.example", "sip:evil@evil.example"))
        ],
        story,
    )


def test_aliases_that_go_round_in_a_circle_end():
    async def story(server, asking):
        with pytest.raises(Unresolved):
            await asking.uris()

    play(lambda query, _: [reply(query, f"{NAME}. 30 IN CNAME {OTHER}.", f"{OTHER}. 30 IN CNAME {NAME}.")], story)


@pytest.mark.parametrize("rcode", ["SERVFAIL", "REFUSED", "NOTIMP"])
def test_a_server_that_cannot_is_no_answer_and_is_left_alone_for_a_moment(rcode):
    async def story(server, asking):
        for _ in range(3):
            with pytest.raises(Unresolved, match=rcode):
                await asking.uris()
        assert len(server.asked) == PATIENT.tries
        server.script = good
        asking.now = PATIENT.failure_ttl + 0.1
        assert await asking.uris() == ["sip:a@sfr.example"]

    play(lambda query, _: [reply(query, rcode=rcode)], story)


def test_a_silent_server_is_waited_for_as_long_as_allowed():
    async def story(server, asking):
        with pytest.raises(Unresolved, match="no answer in time"):
            await asking.uris()
        assert len(server.asked) == 2

    play(lambda query, _: [], story, limits=ResolverLimits(timeout=0.05, tries=2))


def test_where_nobody_listens_there_is_no_answer():
    async def run():
        with pytest.raises(Unresolved):
            await Asking(free_port()).uris()
        with pytest.raises(Unresolved, match="no DNS server is configured"):
            await Asking().uris()

    asyncio.run(run())


def test_another_server_is_asked_and_stays_the_first():
    async def run():
        async with scripted_dns(lambda query, _: []) as silent, scripted_dns(good) as server:
            asking = Asking(silent.port, server.port, limits=ResolverLimits(timeout=0.5))
            assert await asking.uris() == ["sip:a@sfr.example"]
            assert await asking.uris(OTHER) == []
            assert (len(silent.asked), len(server.asked)) == (1, 2)

    asyncio.run(run())


def test_those_who_ask_for_the_same_name_at_once_share_a_question():
    async def story(server, asking):
        found = await asyncio.gather(*(asking.uris() for _ in range(20)))
        assert found == [["sip:a@sfr.example"]] * 20
        assert len(server.asked) == 1

    play(good, story)


def test_who_goes_away_takes_the_answer_from_nobody():
    async def story(server, asking):
        impatient = asyncio.ensure_future(asking.uris())
        patient = asyncio.ensure_future(asking.uris())
        await asyncio.sleep(0)
        impatient.cancel()
        assert await patient == ["sip:a@sfr.example"]

    play(good, story)


def test_no_more_questions_are_on_their_way_than_allowed():
    async def story(server, asking):
        first = asyncio.ensure_future(asking.uris())
        await asyncio.sleep(0)
        with pytest.raises(Unresolved, match="too many questions"):
            await asking.uris(OTHER)
        assert await first == ["sip:a@sfr.example"]
        assert await asking.uris(OTHER) == []

    play(good, story, limits=ResolverLimits(in_flight=1))


def test_no_more_answers_are_remembered_than_allowed():
    async def story(server, asking):
        for index in range(5):
            await asking.uris(f"{index}.{ROOT}")
        assert len(asking.resolver) == 3
        await asking.uris(f"4.{ROOT}")
        assert len(server.asked) == 5

    play(good, story, limits=ResolverLimits(cached=3))


@pytest.mark.parametrize("name", ["a..b", "x" * 64 + ".example", "1." * 200 + ROOT])
def test_a_name_that_cannot_be_asked_for_is_not(name):
    async def story(server, asking):
        with pytest.raises(Unresolved, match="no name that can be asked for"):
            await asking.uris(name)
        assert server.asked == []

    play(good, story)


def test_closing_gives_up_what_is_asked():
    async def story(server, asking):
        waiting = asyncio.ensure_future(asking.uris())
        await asyncio.sleep(0)
        await asking.resolver.close()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    play(lambda query, _: [], story, limits=ResolverLimits(timeout=60))
