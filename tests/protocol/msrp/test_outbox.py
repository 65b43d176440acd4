"""Messages whose bytes are asked for as they can go out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joyn.protocol.errors import ProtocolError
from joyn.protocol.msrp import Delivered, Failed, Progress, Wanted, make_response
from joyn.protocol.msrp.outbox import QUEUED_OVERHEAD
from protocol.msrp.test_session import frames_in, make_session, others_in


def asked(actions):
    return [action for action in actions if isinstance(action, Wanted)]


def test_no_more_is_asked_for_than_the_window_lets_out():
    session = make_session(window=3)
    actions = session.stream("m1", "image/jpeg", 1000, 0.0, chunk_size=100)
    assert actions == [Wanted("m1", 0, 300)]
    chunks = frames_in(session.supply("m1", b"x" * 300, 0.0))
    assert [chunk.byte_range for chunk in chunks] == [(1, 100, 1000), (101, 200, 1000), (201, 300, 1000)]
    assert {chunk.continuation for chunk in chunks} == {"+"}
    after = session.receive(make_response(chunks[0], 200), 0.0)
    assert after == [Progress("m1", 100), Wanted("m1", 300, 100)]
    # Asked once, whatever else is answered.
    assert session.receive(make_response(chunks[1], 200), 0.0) == [Progress("m1", 200)]


def test_progress_tells_of_what_was_answered_without_a_gap():
    session = make_session(window=2)
    session.stream("m1", "image/jpeg", 20, 0.0, chunk_size=10)
    first, second = frames_in(session.supply("m1", b"x" * 20, 0.0))
    assert session.receive(make_response(second, 200), 0.0) == [Progress("m1", 0)]
    assert session.receive(make_response(first, 200), 0.0) == [Progress("m1", 20), Delivered("m1")]


@given(st.integers(0, 500), st.integers(1, 70), st.integers(1, 5), st.randoms(use_true_random=False))
def test_every_byte_goes_out_once_and_in_order(size, chunk_size, window, random):
    body = bytes(number % 251 for number in range(size))
    session, sent = make_session(window=window), b""
    actions = session.stream("m1", "image/jpeg", size, 0.0, chunk_size=chunk_size)
    for _ in range(4 * size + 10):
        waiting = []
        for chunk in frames_in(actions):
            assert chunk.byte_range == (len(sent) + 1, len(sent) + len(chunk.body), size)
            sent += chunk.body
            waiting.append(chunk)
        (wanted,) = asked(actions) or (None,)
        actions = []
        if wanted is not None:
            assert wanted.offset == len(sent)
            # A source may give less than was asked for.
            actions = session.supply("m1", body[wanted.offset :][: random.randint(1, wanted.size)], 0.0)
        for chunk in waiting:
            actions += session.receive(make_response(chunk, 200), 0.0)
        if Delivered("m1") in actions:
            break
    assert sent == body
    assert session.unsettled == ()
    assert session.queued == 0


def test_a_streamed_message_counts_only_for_itself():
    session = make_session(max_queued=QUEUED_OVERHEAD)
    session.stream("m1", "image/jpeg", 10**9, 0.0)
    assert session.queued == QUEUED_OVERHEAD


def test_a_message_behind_a_streamed_one_waits_for_its_end():
    session = make_session(window=4)
    session.stream("m1", "image/jpeg", 10, 0.0)
    assert session.send("m2", "text/plain", b"hello", 0.0) == []
    chunks = frames_in(session.supply("m1", b"x" * 10, 0.0))
    assert [chunk.message_id for chunk in chunks] == ["m1", "m2"]


def test_a_streamed_message_that_is_given_up_is_interrupted_and_what_was_being_read_is_not_missed():
    session = make_session(window=1)
    session.stream("m1", "image/jpeg", 20, 0.0, chunk_size=10)
    (chunk,) = frames_in(session.supply("m1", b"x" * 10, 0.0))
    assert asked(session.receive(make_response(chunk, 200), 0.0))
    (end,) = frames_in(session.abort("m1", 0.0))
    assert (end.continuation, end.byte_range, end.body) == ("#", (11, None, 20), None)
    assert session.supply("m1", b"x" * 10, 0.0) == []
    assert session.queued == 0


def test_a_refused_chunk_ends_it():
    session = make_session(window=1)
    session.stream("m1", "image/jpeg", 20, 0.0, chunk_size=10)
    (chunk,) = frames_in(session.supply("m1", b"x" * 10, 0.0))
    actions = session.receive(make_response(chunk, 413), 0.0)
    assert others_in(actions) == [Failed("m1", 413)]
    assert [frame.continuation for frame in frames_in(actions)] == ["#"]


@pytest.mark.parametrize("data", [b"", b"x" * 101])
def test_bytes_that_were_not_asked_for_are_a_mistake_of_ours(data):
    session = make_session(window=1)
    session.stream("m1", "image/jpeg", 200, 0.0, chunk_size=100)
    with pytest.raises(ProtocolError):
        session.supply("m1", data, 0.0)


def test_bytes_before_they_are_asked_for_are_a_mistake_of_ours():
    session = make_session(window=1)
    session.stream("m1", "image/jpeg", 200, 0.0, chunk_size=100)
    session.supply("m1", b"x" * 100, 0.0)
    with pytest.raises(ProtocolError):
        session.supply("m1", b"x" * 100, 0.0)
