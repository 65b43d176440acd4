import pytest
from hypothesis import given
from hypothesis import strategies as st

from joyn.protocol.errors import ParseError
from joyn.protocol.sip import message as sip
from joyn.protocol.sip.building import build_request, build_response, with_source
from joyn.protocol.sip.feature_tags import FeatureTags
from joyn.protocol.sip.headers import parse_contacts
from joyn.protocol.sip.message import SipRequest, SipResponse, mandatory, parse, split_commas
from protocol.body_samples import growth, load, value_or_error

HEADERS = [
    ("Via", "SIP/2.0/UDP 192.0.2.5:5060;branch=z9hG4bK1;rport"),
    ("From", "<sip:a@joyn.example>;tag=a"),
    ("To", "<sip:b@joyn.example>"),
    ("Call-ID", "c1"),
    ("CSeq", "1 OPTIONS"),
]


def make_request(*more: tuple[str, str]) -> SipRequest:
    return build_request("OPTIONS", "sip:b@joyn.example", [*HEADERS, *more])


def read_all(data):
    """Everything that can be asked of a message."""
    message = parse(data)
    mandatory(message)
    return message, message.fields, message.top_via, message.cseq, message.headers("via"), bytes(message)


@pytest.mark.parametrize("sample", load("sip/messages"))
def test_sample_means_what_it_says(sample):
    wire = sample["wire"]
    if "error" in sample:
        with pytest.raises(ParseError) as caught:
            read_all(wire)
        assert caught.value.at == sample["error"]["at"]
        return
    message = read_all(wire)[0]
    value = sample["value"]
    for name in ("method", "uri", "status", "reason"):
        if name in value:
            assert getattr(message, name) == value[name]
    for name, values in value.get("headers", {}).items():
        assert message.headers(name) == values
    if "cseq" in value:
        assert list(message.cseq) == value["cseq"]
    if "body" in value:
        assert message.body == value["body"].encode()
    if "feature_tags" in value:
        tags = FeatureTags.parse(parse_contacts(message.headers("contact"))[0].parameters)
        assert {name: sorted(map(list, group) if name == "valued" else group) for name, group in fields(tags)} == value[
            "feature_tags"
        ]
    if sample.get("emit"):
        assert bytes(message) == wire


def fields(tags):
    return [(name, getattr(tags, name)) for name in ("bare", "icsi", "iari", "valued")]


@given(st.binary(max_size=80), st.integers(0, 400))
def test_arbitrary_bytes_are_a_message_or_a_parse_error(noise, at):
    whole = bytes(make_request(("Subject", "x"), ("Contact", '"a\\"" <sip:a@b>;+sip.instance="<urn:x>"')))
    value_or_error(read_all, noise)
    value_or_error(read_all, whole[:at] + noise + whole[at + len(noise) :])


@pytest.mark.parametrize(
    "make",
    [
        lambda size: b"OPTIONS a:b SIP/2.0\r\n" + b"a:b\r\n" * (size // 60) + b"x" * size + b":\r\n\r\n",
        lambda size: b"OPTIONS a:b SIP/2.0\r\nA: b" + b"\r\n " * (size // 3) + b"\r\n\r\n",
        lambda size: b"OPTIONS a:b SIP/2.0\r\nVia: " + b',"' * (size // 2) + b"\r\n\r\n",
    ],
)
def test_time_grows_with_the_size_only(make):
    def read(data):
        message = parse(data)
        return split_commas(message.header("via") or ""), message.fields

    # All below MAX_HEAD, so that it is the parsing that is measured and not a refusal.
    assert growth(read, make, 1800) < 24


def test_a_head_may_have_max_bytes_and_no_more():
    def head(size):
        start = "OPTIONS sip:b SIP/2.0\r\nSubject: "
        return (start + "x" * (size - len(start))).encode()

    assert len(sip.parse_head(head(sip.MAX_HEAD)).header("subject")) > 16000
    with pytest.raises(ParseError):
        sip.parse_head(head(sip.MAX_HEAD + 1))


def test_a_message_may_have_max_header_lines_and_no_more():
    def message(lines):
        return sip.parse_head(("OPTIONS sip:b SIP/2.0" + "\r\nA: b" * lines).encode())

    assert len(message(sip.MAX_HEADERS).fields) == sip.MAX_HEADERS
    with pytest.raises(ParseError):
        _ = message(sip.MAX_HEADERS + 1).fields


def test_a_start_line_may_have_max_characters_and_no_more():
    def start(size):
        return f"OPTIONS sip:{'b' * (size - 20)} SIP/2.0".encode()

    assert len(start(sip.MAX_START_LINE)) == sip.MAX_START_LINE
    sip.parse_head(start(sip.MAX_START_LINE))
    with pytest.raises(ParseError):
        sip.parse_head(start(sip.MAX_START_LINE + 1))


def test_spellings_beyond_the_remembered_ones_are_understood():
    for number in range(sip.MAX_SPELLINGS + 10):
        assert sip.canonical(f"X-Name-{number}") == f"x-name-{number}"
    assert len(sip._NAMES) <= sip.MAX_SPELLINGS


def test_top_via_is_the_first_however_it_is_spelled():
    head = b"SIP/2.0 200 OK\r\nv: SIP/2.0/UDP a;branch=1\r\nVia: SIP/2.0/UDP b;branch=2\r\nCSeq: 1 OPTIONS\r\n\r\n"
    assert parse(head).top_via == "SIP/2.0/UDP a;branch=1"


def test_looking_at_via_and_cseq_first_changes_no_answer():
    for via in ("Via: a\r\n b", "v: a", "Via:a", "Via: a\rb"):
        head = f"SIP/2.0 200 OK\r\n{via}\r\nCSeq: 1\r\n\tX\r\nContent-Length: 0\r\n\r\n".encode()
        eager, lazy = parse(head), parse(head)
        try:
            expected = (eager.header("via"), eager.header("cseq").partition(" "))
        except ParseError:
            with pytest.raises(ParseError):
                _ = lazy.top_via
            continue
        assert lazy.top_via == expected[0]
        assert lazy.cseq == (1, expected[1][2])


def test_response_copies_what_rfc_3261_wants_and_tags_to():
    request = make_request()
    request.source = ("192.0.2.9", 40000)
    response = parse(build_response(request, 404, to_tag="t", headers=[("Reason", "x")], body=b"hi"))
    assert isinstance(response, SipResponse)
    assert (response.status, response.reason, response.body) == (404, "Not Found", b"hi")
    assert response.fields == [
        ("via", "SIP/2.0/UDP 192.0.2.5:5060;branch=z9hG4bK1;rport=40000;received=192.0.2.9"),
        ("from", "<sip:a@joyn.example>;tag=a"),
        ("to", "<sip:b@joyn.example>;tag=t"),
        ("call-id", "c1"),
        ("cseq", "1 OPTIONS"),
        ("reason", "x"),
        ("content-length", "2"),
    ]


def test_response_keeps_the_tag_that_to_has():
    request = build_request("BYE", "sip:b", [*HEADERS[:2], ("To", "<sip:b;tag=no>;Tag=yes"), *HEADERS[3:]])
    assert parse(build_response(request, 200, to_tag="new")).header("to") == "<sip:b;tag=no>;Tag=yes"


def test_response_without_a_way_back_is_refused():
    request = build_request("BYE", "sip:b", HEADERS[1:])
    with pytest.raises(ParseError):
        build_response(request, 400)


def test_response_to_a_request_without_from_leaves_it_out():
    request = build_request("BYE", "sip:b", HEADERS[:1])
    assert parse(build_response(request, 400)).header("from") is None


@pytest.mark.parametrize("value", ["a\r\nEvil: b", "a\nb", "a\rb", "a\r\n\r\nb"])
def test_line_breaks_cannot_be_smuggled_into_what_we_send(value):
    with pytest.raises(ValueError, match="line break"):
        make_request(("Subject", value))
    with pytest.raises(ValueError, match="line break"):
        build_response(make_request(), 200, headers=[("Subject", value)])
    with pytest.raises(ValueError, match="line break"):
        build_response(make_request(), 200, reason=value)


@pytest.mark.parametrize(
    ("via", "marked"),
    [
        ("SIP/2.0/UDP 192.0.2.1;branch=a", "SIP/2.0/UDP 192.0.2.1;branch=a"),
        ("SIP/2.0/UDP 192.0.2.12;branch=a", "SIP/2.0/UDP 192.0.2.12;branch=a;received=192.0.2.1"),
        ("SIP/2.0/UDP h;rport;branch=a", "SIP/2.0/UDP h;rport=9;branch=a;received=192.0.2.1"),
        ("SIP/2.0/UDP h;received=6.6.6.6;branch=a", "SIP/2.0/UDP h;branch=a;received=192.0.2.1"),
        ("SIP/2.0/UDP h;RPORT=1, SIP/2.0/UDP i;rport", "SIP/2.0/UDP h;rport=9;received=192.0.2.1, SIP/2.0/UDP i;rport"),
    ],
)
def test_top_via_says_where_the_request_came_from(via, marked):
    assert with_source(via, ("192.0.2.1", 9)) == marked


def test_ipv6_source_equal_to_sent_by_needs_no_received():
    via = "SIP/2.0/TCP [2001:db8::1]:5060;branch=a"
    assert with_source(via, ("2001:db8::1", 5060)) == via


def test_commas_inside_quotes_and_brackets_do_not_split():
    assert split_commas('"a\\",b" <c,d>, e ,f') == ['"a\\",b" <c,d>', "e", "f"]
