"""Where numbers belong, by every table there is, and what comes from a peer."""

import asyncio
from dataclasses import asdict

import pytest

from joyn.model.aor import Aor, Numbering
from joyn.model.ported import PortedNumber
from joyn.model.ranges import Ranges
from joyn.model.refused import Reason, Refused
from joyn.model.route import Operator
from joyn.model.subscriber import Subscriber
from joyn.services.routing.enum import NotFound
from joyn.services.routing.routing import Routing
from joyn.store.sqlite import open_store
from joyn.transport.resolver import Unresolved
from services.scene import ALICE, BOB, NOON

US, SFR, TIM = Operator("orange.example"), Operator("sfr.example"), Operator("tim.example")
NUMBER = "+447700900123"
THEIRS = Aor(f"tel:{NUMBER}")
STRAY = Aor("tel:+33639980099")
SHORT = Aor("tel:36180;phone-context=orange.example")
RANGES = Ranges([("+3363998", US), ("+44770090", SFR)])


def known(operator):
    async def enum(number):
        return operator

    return enum


async def unknown(number):
    raise NotFound("not known under e164.example")


async def silent(number):
    raise Unresolved("no answer in time")


async def never(number):
    raise AssertionError("ENUM is asked only for what no table of ours knows")


def make_subscriber(aor, **fields):
    return Subscriber(aor=aor, username=aor, realm="r", ha1={"MD5": "0"}, **fields)


def with_routing(story, *, enum=None, ranges=RANGES, ported=()):
    """Alice is a subscriber, Bob is one that the operator has blocked."""

    async def run():
        store = open_store(":memory:", node="n", wall_clock=lambda: NOON, on_fatal=lambda error: None)
        try:
            await store.subscribers.put(make_subscriber(ALICE))
            await store.subscribers.put(make_subscriber(BOB, blocked=True))
            await store.ported.put([PortedNumber(number=number, operator=who, at=NOON) for number, who in ported])
            numbering = Numbering("FR", ("orange.example", "also.example"))
            return await story(Routing(numbering, store.subscribers, store.ported, ranges, enum))
        finally:
            await store.close()

    return asyncio.run(run())


def route(aor, came_from="", forwarded=False, **world):
    return with_routing(lambda routing: routing.route(aor, came_from=came_from, forwarded=forwarded), **world)


def tables(found):
    return [step.table for step in found.steps]


def test_a_subscriber_of_ours_is_local_and_nobody_else_is_asked():
    found = route(ALICE, enum=never)
    assert (found.kind, found.aor, tables(found)) == ("local", ALICE, ["ported numbers", "subscribers"])


def test_a_number_that_was_ported_away_is_its_new_operator_s_though_the_subscriber_is_still_there():
    found = route(ALICE, enum=never, ported=[(ALICE[4:], SFR)])
    assert (found.kind, found.operator, found.how) == ("peer", SFR, "ported")
    assert tables(found) == ["ported numbers"]


@pytest.mark.parametrize("ours", [US, Operator("also.example")])
def test_a_number_that_was_ported_to_us_is_local_or_nowhere(ours):
    assert route(ALICE, ported=[(ALICE[4:], ours)]).kind == "local"
    found = route(THEIRS, enum=never, ported=[(NUMBER, ours)])
    assert (found.kind, found.unsure) == ("nowhere", False)
    assert "ported to us" in found.reason


def test_the_ported_table_comes_before_enum_and_ranges():
    found = route(THEIRS, enum=never, ported=[(NUMBER, TIM)])
    assert (found.kind, found.operator, found.how) == ("peer", TIM, "ported")


def test_enum_comes_before_the_ranges():
    found = route(THEIRS, enum=known(TIM))
    assert (found.kind, found.operator, found.how) == ("peer", TIM, "enum")
    assert tables(found) == ["ported numbers", "subscribers", "ENUM"]


@pytest.mark.parametrize("enum", [None, unknown])
def test_a_range_decides_what_enum_does_not_know(enum):
    found = route(THEIRS, enum=enum)
    assert (found.kind, found.operator, found.how, found.unsure) == ("peer", SFR, "range", False)
    assert found.steps[-1].said == "+44770090 is a range of sfr.example"


def test_a_number_that_nobody_knows_is_nowhere():
    found = route(THEIRS, enum=unknown, ranges=Ranges())
    assert (found.kind, found.reason, found.unsure) == ("nowhere", "the number is not on this network", False)
    assert tables(found) == ["ported numbers", "subscribers", "ENUM", "ranges"]
    assert [step.said for step in found.steps][-2:] == ["not known under e164.example", "in no range"]


@pytest.mark.parametrize("enum", [known(US), unknown])
def test_a_number_that_would_be_ours_and_is_no_subscriber_s_is_nowhere(enum):
    found = route(STRAY, enum=enum)
    assert (found.kind, found.unsure) == ("nowhere", False)
    assert "would be ours" in found.reason


def test_whom_the_operator_has_blocked_is_nowhere_and_not_looked_for_elsewhere():
    assert route(BOB, enum=never).kind == "nowhere"


@pytest.mark.parametrize("ranges", [Ranges(), Ranges([("+44", US)])])
def test_when_enum_is_silent_nobody_says_that_a_number_is_unknown(ranges):
    found = route(THEIRS, enum=silent, ranges=ranges)
    assert (found.kind, found.unsure) == ("nowhere", True)
    assert found.steps[2].said == "no answer: no answer in time"


def test_when_enum_is_silent_the_range_of_a_peer_will_do():
    """Who had the number once knows where it went, and sends it on."""
    found = route(THEIRS, enum=silent)
    assert (found.kind, found.operator, found.how, found.unsure) == ("peer", SFR, "range", False)


@pytest.mark.parametrize("aor", [SHORT, Aor("sip:alice@orange.example")])
def test_what_is_no_number_is_looked_for_nowhere_else(aor):
    assert route(aor, enum=never).kind == "nowhere"


# What comes from a peer.


def test_what_comes_from_a_peer_for_a_subscriber_of_ours_is_local():
    assert route(ALICE, came_from=SFR, enum=never).kind == "local"


def test_what_comes_from_a_peer_goes_one_hop_on_to_where_the_number_has_moved():
    found = route(ALICE, came_from=SFR, ported=[(ALICE[4:], TIM)])
    assert (found.kind, found.operator) == ("peer", TIM)


def test_what_was_sent_on_once_is_not_sent_on_again():
    found = route(ALICE, came_from=SFR, forwarded=True, ported=[(ALICE[4:], TIM)])
    assert (found.kind, found.reason) == ("nowhere", "it was sent on to us, and would go on to tim.example")


@pytest.mark.parametrize("came_from", ["sfr.example", "SFR.example"])
def test_nothing_goes_back_to_whom_it_came_from(came_from):
    found = route(ALICE, came_from=came_from, ported=[(ALICE[4:], SFR)])
    assert (found.kind, found.reason) == ("nowhere", "it came from sfr.example, to whom it would go")


def test_what_comes_from_a_peer_is_not_looked_for_in_enum_and_ranges():
    """A peer that is wrong about us shall not make us carry its messages to others, nor send them round."""
    found = route(THEIRS, came_from=TIM, enum=never)
    assert (found.kind, found.unsure) == ("nowhere", False)
    assert "it came from tim.example" in found.reason


def test_two_operators_with_contrary_tables_do_not_send_a_message_round():
    """Each believes that the number is the other's."""

    async def story(routing):
        return await routing.route(ALICE, came_from=SFR)

    ours = with_routing(story, ported=[(ALICE[4:], SFR)])
    assert ours.kind == "nowhere"


# Through URIs.


@pytest.mark.parametrize("uri", ["tel:0639980001", "sip:+33639980001@also.example;user=phone", "tel:+33-6-39-98-00-01"])
def test_a_uri_chooses_a_subscriber(uri):
    assert with_routing(lambda routing: routing.choose(uri)) == ALICE


@pytest.mark.parametrize(
    "uri", [THEIRS, STRAY, BOB, SHORT, "sip:alice@elsewhere.example", "mailto:alice@orange.example"]
)
def test_a_uri_of_nobody_here_is_refused(uri):
    async def story(routing):
        with pytest.raises(Refused) as caught:
            await routing.choose(uri)
        assert caught.value.reason is Reason.UNKNOWN_RECIPIENT

    with_routing(story, enum=unknown)


def test_a_uri_that_nothing_can_be_said_of_just_now_is_refused_for_the_time_being():
    async def story(routing):
        with pytest.raises(Refused) as caught:
            await routing.choose(THEIRS)
        assert caught.value.reason is Reason.ROUTE_UNKNOWN

    with_routing(story, enum=silent, ranges=Ranges())


def test_a_route_is_the_same_for_the_same_tables():
    assert asdict(route(THEIRS)) == asdict(route(THEIRS))
