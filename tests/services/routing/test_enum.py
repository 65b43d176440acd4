"""What an operator is named by ENUM's answers."""

import asyncio

import pytest

from joyn.model.route import Operator
from joyn.protocol.enum import Naptr
from joyn.services.routing.enum import Enum, NotFound
from joyn.transport.resolver import Unresolved

NUMBER = "+33639980001"


def make_rule(uri, preference=10):
    return Naptr(order=1, preference=preference, flags="u", service="E2U+sip", regexp=f"!^.*$!{uri}!")


def ask(*rules, known_as=Operator):
    asked = []

    async def answer(name):
        asked.append(name)
        return rules

    found = asyncio.run(Enum("e164.example", answer, known_as).operator_of(NUMBER))
    assert asked == ["1.0.0.0.8.9.9.3.6.3.3.e164.example"]
    return found


@pytest.mark.parametrize(
    "uri", ["sip:+33639980001@sfr.example;user=phone", "sips:a@SFR.example:5061", "sip:sfr.example"]
)
def test_the_operator_is_the_host_of_the_sip_uri(uri):
    assert ask(make_rule(uri)) == "sfr.example"


def test_a_host_may_stand_for_an_operator():
    hosts = {"ims.mnc010.mcc208.3gppnetwork.org": Operator("sfr.example")}
    assert ask(make_rule("sip:a@ims.mnc010.mcc208.3gppnetwork.org"), known_as=hosts.__getitem__) == "sfr.example"


@pytest.mark.parametrize(
    "uri", ["sip:a@192.0.2.1", "sip:a@[2001:db8::1]", "sip:a@", "sip:a@a_b.example", "sip:a@b.example:99999", "sip:@b"]
)
def test_what_names_no_operator_is_passed_over(uri):
    assert ask(make_rule(uri), make_rule("sip:a@tim.example", 20)) == "tim.example"
    with pytest.raises(NotFound, match="no record that leads to a SIP URI"):
        ask(make_rule(uri))


def test_a_number_without_records_is_not_known():
    with pytest.raises(NotFound, match=r"not known under e164\.example"):
        ask()


def test_that_nobody_answers_is_another_matter():
    async def silent(name):
        raise Unresolved("no answer in time")

    with pytest.raises(Unresolved):
        asyncio.run(Enum("e164.example", silent).operator_of(NUMBER))
