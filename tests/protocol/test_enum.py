import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joyn.protocol.enum import MAX_EXPRESSION, MAX_RECORDS, MAX_RESULT, Naptr, domain_of, sip_uris, substitute
from joyn.protocol.errors import ParseError
from protocol.body_samples import load

NUMBER = "+33639980001"


def make_rule(uri: str = "sip:a@sfr.example", *, order: int = 100, preference: int = 10, **fields: str) -> Naptr:
    texts = {"flags": "u", "service": "E2U+sip", "regexp": f"!^.*$!{uri}!"} | fields
    return Naptr(order=order, preference=preference, **texts)


@pytest.mark.parametrize("sample", load("enum"))
def test_sample_means_what_it_says(sample):
    if "error" in sample:
        with pytest.raises(ParseError) as caught:
            substitute(sample["wire"].decode(), NUMBER)
        assert caught.value.at == sample["error"]["at"]
    else:
        assert substitute(sample["wire"].decode(), sample["value"]["number"]) == sample["value"]["uri"]


def test_a_number_is_a_domain_name_read_from_its_end():
    assert domain_of("+33612", "e164enum.net") == "2.1.6.3.3.e164enum.net"


def test_rules_are_tried_by_order_then_preference():
    rules = [
        make_rule("sip:c@c.example", order=200, preference=1),
        make_rule("sip:b@b.example", preference=20),
        make_rule("sip:a@a.example", preference=10),
    ]
    assert sip_uris(rules, NUMBER) == ["sip:a@a.example", "sip:b@b.example", "sip:c@c.example"]


@pytest.mark.parametrize("service", ["E2U+sip", "e2u+SIP", "E2U+pres+sip", "sip+E2U"])
def test_rules_for_sip_count_however_they_are_written(service):
    assert sip_uris([make_rule(service=service)], NUMBER) == ["sip:a@sfr.example"]


@pytest.mark.parametrize(
    "fields",
    [
        {"service": "E2U+mailto"},
        {"service": "E2U+pstn:sip"},
        {"service": "sip"},
        {"service": ""},
        {"flags": "s"},
        {"flags": ""},
        {"regexp": "!^.*$!mailto:a@sfr.example!"},
        {"regexp": "!^.*$!//sip:a@sfr.example!"},
        {"regexp": "!(((!sip:a@sfr.example!"},
        {"regexp": "", "replacement": "other.example"},
    ],
)
def test_other_rules_are_passed_over(fields):
    good = make_rule("sip:b@b.example", order=200)
    assert sip_uris([make_rule(**fields), good], NUMBER) == ["sip:b@b.example"]


def test_no_more_records_are_looked_at_than_allowed():
    rules = [make_rule(f"sip:{index}@sfr.example", preference=index) for index in range(MAX_RECORDS + 1)]
    assert len(sip_uris(rules, NUMBER)) == MAX_RECORDS


def test_an_expression_and_what_comes_of_it_are_bounded():
    fits = "x" * (MAX_EXPRESSION - len("!^.*$!sip:@a.b!"))
    assert substitute(f"!^.*$!sip:{fits}@a.b!", NUMBER) == f"sip:{fits}@a.b"
    with pytest.raises(ParseError, match="too long"):
        substitute(f"!^.*$!sip:{fits}x@a.b!", NUMBER)
    with pytest.raises(ParseError, match="no URI"):
        substitute("!^(.*)$!sip:" + r"\1" * (MAX_RESULT // len(NUMBER)) + "@a.b!", NUMBER)


PIECES = st.lists(
    st.sampled_from([*"^$.()|*+?[]{}\\!0123i", "[0-9]", ".*", "(.*)", "(.+)+", "{1,9}", "\\1"]), max_size=24
)


@given(PIECES.map("".join), PIECES.map("".join))
def test_any_expression_gives_a_uri_or_an_error_at_once(pattern, replacement):
    before = time.process_time()
    try:
        made = substitute(f"!{pattern}!{replacement}!", "+999999999999999")
    except ParseError:
        made = None
    assert made is None or (made.isascii() and len(made) <= MAX_RESULT)
    # The worst that the grammar lets through takes some microseconds; what backtracks takes minutes.
    assert time.process_time() - before < 1.0
