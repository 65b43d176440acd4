import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from joyn.protocol.errors import ParseError
from joyn.protocol.msrp.setup import answer_setup, connects, parse_setup
from joyn.protocol.msrp.uri import HOPS_MAX, URI_MAX, MsrpUri, parse_path


@pytest.mark.parametrize(
    ("text", "uri"),
    [
        ("msrp://h/s;tcp", MsrpUri(host="h", session_id="s")),
        (
            "msrps://u@h.example:7394/a=b+c;ws",
            MsrpUri(scheme="msrps", userinfo="u", host="h.example", port=7394, session_id="a=b+c", transport="ws"),
        ),
        ("msrp://[2001:db8::1]:2855/s;tcp", MsrpUri(host="2001:db8::1", port=2855, session_id="s")),
        ("msrp://h;tcp;k;l=v", MsrpUri(host="h", parameters=(("k", None), ("l", "v")))),
        ("msrp://a;b@h/s;tcp", MsrpUri(userinfo="a;b", host="h", session_id="s")),
        ("msrp://h/a/b;tcp", MsrpUri(host="h", session_id="a/b")),
    ],
)
def test_uri_is_read_and_written(text, uri):
    assert MsrpUri.parse(text) == uri
    assert str(uri) == text


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("", 0),
        ("sip:a@b", 0),
        ("msrp:///s;tcp", 7),
        ("msrp://h:/s;tcp", 9),
        ("msrp://h:0/s;tcp", 9),
        ("msrp://h:65536/s;tcp", 9),
        ("msrp://h:٣/s;tcp", 9),
        ("msrp://h/s", 10),
        ("msrp://h/;tcp", 9),
        ("msrp://h/s;", 11),
        ("msrp://h/s t;tcp", 10),
        ("msrp://[::1/s;tcp", 8),
        ("msrp://[fe80::1%25e]/s;tcp", 8),
        ("msrp://a b@h/s;tcp", 8),
        ("msrp://h/s;tcp;=x", 15),
    ],
)
def test_what_is_no_uri_is_refused_where_it_goes_wrong(text, at):
    with pytest.raises(ParseError) as caught:
        MsrpUri.parse(text)
    assert caught.value.at == at


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("msrp://H.example/s;tcp", "MSRP://h.EXAMPLE/s;TCP", True),
        ("msrp://u@h/s;tcp;a=b", "msrp://h/s;tcp", True),
        ("msrp://[2001:DB8:0::1]/s;tcp", "msrp://[2001:db8::1]/s;tcp", True),
        ("msrp://h/s;tcp", "msrps://h/s;tcp", False),
        ("msrp://h/s;tcp", "msrp://h/S;tcp", False),
        ("msrp://h/s;tcp", "msrp://h;tcp", False),
        ("msrp://h:2855/s;tcp", "msrp://h/s;tcp", False),
        ("msrp://h/s;tcp", "msrp://h/s;ws", False),
        ("msrp://192.0.2.1/s;tcp", "msrp://192.0.2.2/s;tcp", False),
    ],
)
def test_uris_compare_by_the_rules_of_rfc_4975_6_1(one, other, same):
    assert MsrpUri.parse(one).matches(MsrpUri.parse(other)) is same
    assert MsrpUri.parse(other).matches(MsrpUri.parse(one)) is same


def test_path_is_bounded_in_hops_and_uris_in_length():
    uri = MsrpUri(host="h", session_id="s")
    assert parse_path(" ".join([str(uri)] * HOPS_MAX)) == (uri,) * HOPS_MAX
    with pytest.raises(ParseError):
        parse_path(" ".join([str(uri)] * (HOPS_MAX + 1)))
    assert MsrpUri.parse("msrp://h/" + "s" * (URI_MAX - 13) + ";tcp").host == "h"
    with pytest.raises(ParseError):
        MsrpUri.parse("msrp://h/" + "s" * (URI_MAX - 12) + ";tcp")


def test_error_in_a_path_names_its_place_in_the_whole():
    with pytest.raises(ParseError) as caught:
        parse_path("msrp://h/s;tcp msrp://h/s")
    assert caught.value.at == 25


@settings(max_examples=200)
@given(
    st.lists(
        st.sampled_from(["msrp://", "[", "::1", "]", "h", ":", "1", "/", ";", "tcp", "@", "=", "%", " ", "é"])
    ).map("".join)
    | st.text(max_size=30)
)
def test_any_text_gives_a_path_or_a_parse_error_and_what_is_read_is_written_back(text):
    for candidate in (text, "msrp://" + text):
        path, at = read(candidate)
        assert 0 <= at <= len(candidate)
        assert path is None or parse_path(" ".join(str(uri) for uri in path)) == path


def read(text):
    try:
        return parse_path(text), 0
    except ParseError as error:
        return None, error.at


@pytest.mark.parametrize(
    ("offer", "answer", "who"),
    [
        ("actpass", "active", "answerer"),
        ("actpass", "passive", "offerer"),
        ("active", "passive", "offerer"),
        ("passive", "active", "answerer"),
        (None, None, "offerer"),
        (None, "active", "answerer"),
        (None, "passive", "offerer"),
        ("active", None, "offerer"),
        ("actpass", None, "offerer"),
        ("passive", None, "answerer"),
        ("holdconn", "holdconn", None),
        ("active", "holdconn", None),
    ],
)
def test_setup_says_who_connects(offer, answer, who):
    assert connects(offer, answer) == who


@pytest.mark.parametrize(("offer", "answer"), [("active", "active"), ("passive", "passive"), ("active", "actpass")])
def test_impossible_answer_is_refused(offer, answer):
    with pytest.raises(ParseError):
        connects(offer, answer)


def test_server_waits_for_the_phone_unless_the_phone_waits():
    assert [answer_setup(offer) for offer in ("active", "passive", "actpass", "holdconn", None)] == [
        "passive",
        "active",
        "passive",
        "holdconn",
        "passive",
    ]
    assert answer_setup("actpass", prefer="active") == "active"
    assert (parse_setup(" Active"), parse_setup(None)) == ("active", None)
    with pytest.raises(ParseError):
        parse_setup("both")
