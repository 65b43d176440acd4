from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joyn.protocol.errors import ParseError
from joyn.protocol.sip.framing import MAX_BODY, BodyTooLong, BrokenStream, KeepAlive, StreamFramer
from joyn.protocol.sip.message import MAX_HEAD
from protocol.body_samples import growth, load


def make_message(body=b"", extra=""):
    return f"MESSAGE sip:b SIP/2.0\r\n{extra}Content-Length: {len(body)}\r\n\r\n".encode() + body


def shape(found):
    return [item if isinstance(item, KeepAlive) else bytes(item) for item in found]


def outcome(chunks):
    """What a stream gives until it ends or breaks."""
    framer, found = StreamFramer(), []
    try:
        for chunk in chunks:
            found += framer.receive(chunk)
    except BrokenStream as error:
        return shape([*found, *error.before]), error.what
    return shape(found), framer.buffered


def single(data):
    return [data[i : i + 1] for i in range(len(data))]


PIECES = [
    b"\r\n\r\n",
    make_message(),
    make_message(b"hi\r\n\r\nthere"),
    make_message(b"\0" * 40, "Subject: a\r\n b\r\n"),
    make_message(b"x").replace(b"\r\n", b"\n"),
    *(sample.values[0]["wire"] for sample in load("sip/messages")[:8]),
]


@given(st.lists(st.sampled_from(PIECES), max_size=6))
def test_byte_by_byte_gives_the_same_as_whole(pieces):
    data = b"".join(pieces)
    assert outcome(single(data)) == outcome([data])


@given(st.binary(max_size=60), st.lists(st.integers(0, 150), max_size=5))
def test_any_cut_of_good_messages_gives_them_all(body, cuts):
    data = make_message(body) + b"\r\n\r\n" + make_message(body[::-1])
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    found, left = outcome(data[a:b] for a, b in pairwise(edges))
    assert found == [make_message(body), KeepAlive.PING, make_message(body[::-1])]
    assert left == 0


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_messages_or_a_parse_error(noise):
    outcome([noise])
    outcome(single(noise))
    outcome([make_message(), noise, make_message()])


def test_one_crlf_between_messages_is_a_pong():
    assert StreamFramer().receive(b"\r\n" + make_message())[0] is KeepAlive.PONG


def test_one_crlf_alone_is_a_pong_once_nothing_follows():
    framer = StreamFramer()
    assert framer.receive(b"\r\n") == []
    assert framer.idle_pong()
    assert not framer.idle_pong()
    assert framer.buffered == 0


def test_message_without_length_breaks_the_stream():
    with pytest.raises(ParseError):
        StreamFramer().receive(b"OPTIONS sip:b SIP/2.0\r\n\r\n")


@pytest.mark.parametrize("wrong", [b"hello\r\n\r\n", b"OPTIONS sip:b SIP/2.0\r\n\r\n", b"\rx"])
def test_what_is_whole_before_a_break_is_given_and_the_rest_is_shown(wrong):
    data = make_message(b"salut") + b"\r\n\r\n" + wrong
    for cut in range(len(data) - len(wrong) + 1):
        framer = StreamFramer()
        before = framer.receive(data[:cut])
        with pytest.raises(BrokenStream) as caught:
            framer.receive(data[cut:])
        assert shape([*before, *caught.value.before]) == [make_message(b"salut"), KeepAlive.PING]
        assert caught.value.rest == wrong


def test_head_may_have_max_bytes_and_no_more():
    padding = MAX_HEAD - len(make_message(extra="Subject: \r\n")) + 4
    assert len(StreamFramer().receive(make_message(extra=f"Subject: {'x' * padding}\r\n"))) == 1
    with pytest.raises(ParseError):
        StreamFramer().receive(make_message(extra=f"Subject: {'x' * (padding + 1)}\r\n"))


def test_head_that_never_ends_is_refused_at_the_bound():
    framer = StreamFramer()
    framer.receive(b"OPTIONS sip:b SIP/2.0\r\nA: ".ljust(MAX_HEAD, b"x"))
    assert framer.buffered == MAX_HEAD
    with pytest.raises(ParseError):
        framer.receive(b"x")


def test_body_may_have_max_bytes_and_no_more():
    assert len(StreamFramer().receive(make_message(b"x" * MAX_BODY))) == 1
    with pytest.raises(BrokenStream) as caught:
        StreamFramer().receive(make_message(b"x" * (MAX_BODY + 1))[:60])
    assert isinstance(caught.value.error, BodyTooLong)


def test_dripping_bytes_cost_no_more_than_their_number():
    def drip(data):
        framer = StreamFramer()
        for byte in single(data):
            framer.receive(byte)

    assert growth(drip, lambda size: make_message(b"x" * size), 4000) < 24
    assert growth(drip, lambda size: make_message(extra="A: b\r\nC: " + "x" * size + "\r\n"), 1800) < 24
