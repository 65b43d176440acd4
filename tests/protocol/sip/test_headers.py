import pytest
from hypothesis import given
from hypothesis import strategies as st

from joyn.protocol.errors import ParseError
from joyn.protocol.sip import auth, headers
from joyn.protocol.sip.auth import Auth, parse_auth, parse_auths
from joyn.protocol.sip.feature_tags import FeatureTags
from joyn.protocol.sip.headers import (
    NameAddr,
    TokenValue,
    Via,
    parse_contacts,
    parse_event,
    parse_name_addr,
    parse_name_addrs,
    parse_parameters,
    parse_reasons,
    parse_route_set,
    parse_seconds,
    parse_token_value,
    parse_via,
    parse_vias,
)
from protocol.body_samples import growth, load

TOKENS = st.text(sorted(headers.TOKEN), min_size=1, max_size=8)
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=10)
PARAMETERS = st.dictionaries(TOKENS.map(lambda name: f"x{name}".lower()), st.none() | TEXT, max_size=4)
URIS = st.sampled_from(["sip:+33639980001@joyn.example;user=phone", "tel:+33639980001", "urn:a,b;c"])


def as_json(value):
    if isinstance(value, list):
        return [as_json(each) for each in value]
    if isinstance(value, FeatureTags):
        value = {name: getattr(value, name) for name in ("bare", "icsi", "iari", "valued")}
        return {name: sorted(group) for name, group in value.items()}
    if isinstance(value, NameAddr | Via | TokenValue | Auth):
        return {name: getattr(value, name) for name in value.__slots__}
    return value


READERS = {
    "address": parse_name_addr,
    "contacts": lambda text: parse_contacts([text]),
    "via": parse_via,
    "token": parse_token_value,
    "routes": lambda text: parse_route_set([text]),
    "seconds": parse_seconds,
    "auth": lambda text: parse_auths([text]),
    "feature_tags": FeatureTags.parse_accept_contact,
}


@pytest.mark.parametrize("sample", load("sip/headers"))
def test_sample_means_what_it_says(sample):
    read, text = READERS[sample["kind"]], sample["wire"].decode()
    if "error" in sample:
        with pytest.raises(ParseError) as caught:
            read(text)
        assert caught.value.at == sample["error"]["at"]
        return
    value = read(text)
    assert as_json(value) == sample["value"]
    if sample.get("emit"):
        assert ", ".join(map(str, value if isinstance(value, list) else [value])) == text


@given(st.text('abc=;,<>"\\ \t:/.[]*%+\udc80é', max_size=30))
def test_any_text_is_a_value_or_a_parse_error(text):
    for start in ("", "<sip:a>", 'Digest a="', "SIP/2.0/UDP h;", '"a" <'):
        for read in READERS.values():
            try:
                read(start + text)
            except ParseError:
                continue


@given(TEXT, URIS, PARAMETERS)
def test_address_written_is_read_back(name, uri, parameters):
    address = NameAddr(name, uri, parameters)
    assert parse_name_addr(str(address)) == address
    assert parse_name_addrs([f"{address}, {address}", str(address)]) == [address] * 3


@given(TOKENS, st.sampled_from(["h", "[2001:db8::1]"]), st.none() | st.integers(0, 65535), TOKENS, PARAMETERS)
def test_via_written_is_read_back(transport, host, port, branch, parameters):
    via = Via(transport.upper(), host, port, branch, parameters)
    assert parse_via(str(via)) == via
    assert parse_vias([f"{via},{via}"]) == [via, via]


@given(st.dictionaries(st.sampled_from(["realm", "nonce", "opaque", "uri"]), TEXT, min_size=1))
def test_challenge_written_is_read_back(parameters):
    challenge = Auth("Digest", parameters)
    assert parse_auth(str(challenge)) == challenge
    assert parse_auths([f"{challenge}, {challenge}"]) == [challenge, challenge]


@given(
    st.frozensets(st.sampled_from(["+g.oma.sip-im", "video", "+g.gsma.rcs.ipcall"])),
    st.frozensets(st.sampled_from(["urn:urn-7:3gpp-service.ims.icsi.mmtel", "urn:x:y z"])),
    st.frozensets(st.tuples(st.sampled_from(["+g.a", "methods"]), st.sampled_from(["#=1", "v1"])), max_size=1),
)
def test_feature_tags_written_are_read_back(bare, references, valued):
    tags = FeatureTags(bare, references, references, valued)
    assert FeatureTags.parse(parse_parameters(tags.emit())) == tags
    assert tags | FeatureTags() == tags
    assert not tags & FeatureTags()
    assert FeatureTags() <= tags <= tags
    assert all(tag in tags for tag in (*bare, *references, *(name for name, _ in valued)))


def test_a_false_tag_is_not_a_bare_one():
    tags = FeatureTags.parse(parse_parameters('automata="FALSE";video'))
    assert tags.bare == {"video"}


def test_repeated_parameters_count_once_except_feature_tags():
    assert parse_parameters('a=1;a=2;+g.b="x";+G.B="y"') == {"a": "1", "+g.b": "x,y"}


def test_events_and_reasons():
    assert parse_event("presence;id=1") == TokenValue("presence", {"id": "1"})
    assert [reason.token for reason in parse_reasons(["SIP;cause=200, Q.850;cause=16", "x"])] == ["SIP", "Q.850", "x"]


def test_seconds_end_at_the_largest():
    assert parse_seconds("4294967295") == parse_seconds("4294967296") == headers.MAX_DELTA_SECONDS
    assert parse_seconds("9" * 5000) == headers.MAX_DELTA_SECONDS


def test_contact_star_stands_alone():
    with pytest.raises(ParseError):
        parse_contacts(["*", "<sip:a@b>"])


def test_there_may_be_max_contacts_and_no_more():
    for read in (parse_contacts, parse_route_set):
        assert len(read(["<sip:a@b>"] * headers.MAX_CONTACTS)) == headers.MAX_CONTACTS
        with pytest.raises(ParseError):
            read([", ".join(["<sip:a@b>"] * (headers.MAX_CONTACTS + 1))])


def test_there_may_be_max_challenges_and_no_more():
    assert len(parse_auths(['Digest a="b"'] * auth.MAX_CHALLENGES)) == auth.MAX_CHALLENGES
    with pytest.raises(ParseError):
        parse_auths(['Digest a="b"'] * (auth.MAX_CHALLENGES + 1))


@pytest.mark.parametrize("kind", READERS)
def test_time_grows_with_the_size_only(kind):
    for start, pattern in (("", "\\"), ('"', '\\"'), ("<a>;x=", '";"'), ("<a>", ";a"), ("a ", 'b="",'), ("", ", <")):

        def make(size, start=start, pattern=pattern):
            return (start + pattern * (size // len(pattern))).encode()

        assert growth(lambda data: READERS[kind](data.decode()), make, 1000) < 24


def test_default_ports_of_sent_by():
    assert parse_via("SIP/2.0/TLS h").sent_by == ("h", 5061)
    assert parse_via("SIP/2.0/UDP h").sent_by == ("h", 5060)
    assert parse_via("SIP/2.0/UDP h:7").sent_by == ("h", 7)
