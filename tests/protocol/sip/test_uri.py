import pytest
from hypothesis import given
from hypothesis import strategies as st

from joyn.protocol.errors import ParseError
from joyn.protocol.sip.uri import (
    MAX_URI,
    OpaqueUri,
    SipUri,
    TelUri,
    _parse_uri,
    equivalent,
    number_of,
    parse_host_port,
    parse_uri,
)
from protocol.body_samples import growth, load

TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
HOSTS = st.sampled_from(["joyn.example", "192.0.2.1", "[2001:db8::1]", "x_y.invalid"])
PARAMETERS = st.dictionaries(
    TEXT.map(str.lower).filter(lambda name: name == name.lower()), st.none() | TEXT, max_size=3
)
SIP_URIS = st.builds(
    SipUri,
    scheme=st.sampled_from(["sip", "sips"]),
    user=TEXT,
    password=st.none() | TEXT,
    host=HOSTS,
    port=st.none() | st.integers(0, 65535),
    parameters=PARAMETERS,
    headers=st.lists(st.tuples(TEXT, TEXT | st.just("")), max_size=2).map(tuple),
)


def as_json(uri):
    names = {SipUri: "scheme user password host port parameters headers", TelUri: "number parameters"}
    value = {name: getattr(uri, name) for name in names.get(type(uri), "scheme rest").split()}
    if isinstance(uri, TelUri):
        value["scheme"] = "tel"
    if isinstance(uri, SipUri):
        value["headers"] = [list(pair) for pair in uri.headers]
    return value


@pytest.mark.parametrize("sample", load("sip/uris"))
def test_sample_means_what_it_says(sample):
    text = sample["wire"].decode()
    if "error" in sample:
        with pytest.raises(ParseError) as caught:
            parse_uri(text)
        assert caught.value.at == sample["error"]["at"]
        assert number_of(text) is None
        return
    uri = parse_uri(text)
    assert as_json(uri) == sample["value"]
    assert number_of(text) == number_of(uri) == sample["number"]
    assert str(uri) == sample["canonical"]
    assert parse_uri(str(uri)) == uri


@given(SIP_URIS)
def test_what_is_written_is_read_back(uri):
    assert parse_uri(str(uri)) == uri


@given(st.text(max_size=30))
def test_any_text_is_a_uri_or_a_parse_error_and_reads_back(text):
    for start in ("", "sip:", "sip:a@", "tel:", "sip:[", "sip:b;"):
        number_of(start + text)
        try:
            uri = parse_uri(start + text)
        except ParseError:
            continue
        assert parse_uri(str(uri)) == uri
        assert equivalent(uri, uri)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        # RFC 3261 §19.1.4, its examples.
        ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
        ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;newparam=5"),
        (
            "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
            "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
        ),
        (
            "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
            "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
        ),
        ("sip:[2001:db8:0::1]", "sip:[2001:DB8::1]"),
        ("tel:+33-639980001", "tel:+33(6)39980001"),
        ("urn:a:b", "urn:a:b"),
    ],
)
def test_uris_that_mean_the_same(one, other):
    assert equivalent(parse_uri(one), parse_uri(other))
    assert equivalent(parse_uri(other), parse_uri(one))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
        ("sip:bob@biloxi.com;transport=udp", "sip:bob@biloxi.com;transport=tcp"),
        ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
        ("sip:a@b", "sip:a@b;user=phone"),
        ("sip:a@b", "sips:a@b"),
        ("sip:a@b", "sip:a:x@b"),
        ("tel:+33639980001", "tel:+33639980001;ext=1"),
        ("tel:+33639980001", "sip:+33639980001@b"),
        ("urn:a:b", "urn:a:B"),
    ],
)
def test_uris_that_differ(one, other):
    assert not equivalent(parse_uri(one), parse_uri(other))


def test_number_needs_its_plus_and_a_country():
    assert number_of("sip:33639980001@joyn.example;user=phone") is None
    assert number_of("tel:+0639980001") is None
    assert number_of("sip:+@joyn.example") is None
    assert number_of("sip:joyn.example") is None
    assert number_of(OpaqueUri(scheme="urn", rest="x")) is None


def test_ports_end_at_65535():
    assert parse_host_port("h:65535") == ("h", 65535)
    for text in ("h:65536", "h:", "h:-1", "h:٣", "[::1]:", "[::1]x", "[fe80::1%25eth0]", "h h"):
        with pytest.raises(ParseError):
            parse_host_port(text)


def test_a_uri_may_have_max_characters_and_no_more():
    assert parse_uri("sip:" + "a" * (MAX_URI - 4)).host == "a" * (MAX_URI - 4)
    with pytest.raises(ParseError):
        parse_uri("sip:" + "a" * (MAX_URI - 3))


def test_time_grows_with_the_size_only():
    for pattern in ("%", "@", ":", ";a", "?"):
        made = {size: f"sip:{(pattern * size)[:size]}b".encode() for size in (250, 2000)}
        # Past the cache: the smaller of the two would be in it, and take no time at all.
        assert growth(lambda data: _parse_uri(data.decode()), made.__getitem__, 250) < 24
