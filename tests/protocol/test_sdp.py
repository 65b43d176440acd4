from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joyn.protocol import sdp
from joyn.protocol.errors import ParseError, ProtocolError
from joyn.protocol.sdp import MediaDescription, SessionDescription, build_msrp
from protocol.body_samples import growth, load, value_or_error

LINE_TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12)
LINES = st.lists(st.tuples(st.sampled_from("abciz"), LINE_TEXT), max_size=6)


def make_offer(**changes) -> SessionDescription:
    parts = {
        "address": "192.0.2.7",
        "port": 2855,
        "path": ["msrp://192.0.2.7:2855/s1;tcp"],
        "session_id": 42,
        "accept_types": ["message/cpim"],
        "setup": "actpass",
    }
    return build_msrp(**{**parts, **changes})


def with_lines(*lines: str) -> bytes:
    return "".join(f"{line}\r\n" for line in ("v=0", *lines)).encode()


@pytest.mark.parametrize("sample", load("sdp"))
def test_sample_means_what_it_says(sample):
    if "error" in sample:
        with pytest.raises(ParseError) as caught:
            SessionDescription.parse(sample["wire"])
        assert caught.value.at == sample["error"]["at"]
        return
    description, value = SessionDescription.parse(sample["wire"]), sample["value"]
    assert [[medium.kind, medium.port, medium.protocol] for medium in description.media] == value["media"]
    assert (description.origin and description.origin.session_id) == value["session_id"]
    msrp = description.msrp()
    read = msrp and {name: list(it) if isinstance(it, tuple) else it for name, it in asdict(msrp).items()}
    assert read == value["msrp"]
    if sample.get("emit"):
        assert description.emit() == sample["wire"]


@given(LINES, st.lists(LINES, max_size=3))
def test_every_line_comes_out_as_it_came_in(session, media):
    data = b"v=0\r\n" + b"".join(f"{letter}={text}\r\n".encode() for letter, text in session)
    for lines in media:
        data += b"m=audio 9 RTP/AVP 0  1\r\n" + b"".join(f"{letter}={text}\r\n".encode() for letter, text in lines)
    assert SessionDescription.parse(data).emit() == data


@given(LINES)
def test_setting_an_attribute_touches_no_other_line(lines):
    medium = MediaDescription(kind="message", port=9, lines=tuple(lines))
    changed = medium.with_attribute("setup", "active")
    others = [(letter, text) for letter, text in lines if (letter, text.partition(":")[0]) != ("a", "setup")]
    assert changed.attribute("setup") == "active"
    assert list(changed.without_attribute("setup").lines) == others


@given(st.binary(max_size=120))
def test_arbitrary_bytes_are_a_description_or_a_parse_error(data):
    for candidate in (data, b"v=0\r\n" + data, b"v=0\r\no=" + data, b"v=0\r\nm=message 9 TCP/MSRP *\r\na=" + data):
        description = value_or_error(SessionDescription.parse, candidate)
        if not isinstance(description, ParseError):
            description.msrp()
            assert SessionDescription.parse(description.emit()) == description


def test_an_offer_is_written_as_joyn_clients_write_it():
    offer = make_offer(accept_wrapped_types=["text/plain", "message/imdn+xml"], direction="recvonly")
    assert offer.emit().decode().split("\r\n") == [
        "v=0",
        "o=- 42 42 IN IP4 192.0.2.7",
        "s=-",
        "c=IN IP4 192.0.2.7",
        "t=0 0",
        "m=message 2855 TCP/MSRP *",
        "a=accept-types:message/cpim",
        "a=accept-wrapped-types:text/plain message/imdn+xml",
        "a=setup:actpass",
        "a=path:msrp://192.0.2.7:2855/s1;tcp",
        "a=recvonly",
        "",
    ]


def test_what_is_built_is_read_back():
    offer = make_offer(address="2001:db8::7", fingerprint=("sha-256", "AB:CD"), attributes=[("msrp-cema", None)])
    again = SessionDescription.parse(offer.emit())
    assert again == offer
    msrp = again.msrp()
    assert msrp == offer.msrp()
    assert (msrp.secure, msrp.fingerprint, msrp.cema) == (True, ("sha-256", "AB:CD"), True)
    assert again.origin.address_type == "IP6"


def test_direction_replaces_the_direction_there_is_in_its_place():
    medium = MediaDescription(kind="message", port=9, lines=(("a", "sendrecv"), ("a", "x"), ("a", "sendonly")))
    assert medium.with_direction("inactive").lines == (("a", "inactive"), ("a", "x"))


def test_a_medium_is_refused_by_port_zero():
    offer = make_offer()
    refused = offer.with_media(0, offer.media[0].with_port(0))
    assert refused.msrp().port == 0
    assert refused.with_attribute("tool", "t").attribute("tool") == "t"


def test_an_attribute_name_is_not_matched_by_its_beginning():
    medium = MediaDescription(kind="message", port=9, lines=(("a", "pathology:x"), ("a", "path:y")))
    assert medium.attribute("path") == "y"
    assert medium.attribute("pat") is None


@pytest.mark.parametrize("changes", [{"path": ["x\r\na=y"]}, {"address": "a\nb"}, {"attributes": [("x", "\0")]}])
def test_a_line_break_in_a_value_is_our_bug(changes):
    with pytest.raises(ProtocolError):
        make_offer(**changes)


def test_a_description_may_have_max_sdp_bytes_and_no_more():
    longest = with_lines("i=" + "x" * (sdp.MAX_SDP - 9))
    assert SessionDescription.parse(longest).emit() == longest
    with pytest.raises(ParseError):
        SessionDescription.parse(with_lines("i=" + "x" * (sdp.MAX_SDP - 8)))


def test_a_description_may_have_max_lines_and_no_more():
    assert len(SessionDescription.parse(with_lines(*["i=x"] * (sdp.MAX_LINES - 1))).lines) == sdp.MAX_LINES
    with pytest.raises(ParseError):
        SessionDescription.parse(with_lines(*["i=x"] * sdp.MAX_LINES))


def test_a_description_may_have_max_media_and_no_more():
    medium = "m=audio 9 RTP/AVP 0"
    assert len(SessionDescription.parse(with_lines(*[medium] * sdp.MAX_MEDIA)).media) == sdp.MAX_MEDIA
    with pytest.raises(ParseError):
        SessionDescription.parse(with_lines(*[medium] * (sdp.MAX_MEDIA + 1)))


@pytest.mark.parametrize(
    "make",
    [
        lambda size: with_lines(*["a=x:" + "y" * 20] * (size // 30)),
        lambda size: b"v=0\r\n" * (size // 8) + b"\r\n" * size,
        lambda size: with_lines("m=" + " " * size),
    ],
    ids=["attributes", "blank lines", "blanks"],
)
def test_the_worst_descriptions_take_linear_time(make):
    assert growth(SessionDescription.parse, make, 2500) < 30
