from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from joyn.protocol.msrp.chunk import Request
from joyn.protocol.msrp.reassembly import Reassembler, Rejected


def make_chunk(body, start=1, flag="+", total=None, end="exact", message_id="m1"):
    end = start + len(body) - 1 if end == "exact" else end
    return Request(
        "t1aa", "SEND", "b", "a", message_id, (start, end, total), "text/plain", body=body, continuation=flag
    )


def status_of(reassembler, chunk):
    with pytest.raises(Rejected) as caught:
        reassembler.receive(chunk)
    return caught.value.status


@st.composite
def laid_chunks(draw):
    """Chunks, overlapping and shuffled, the end flagged; some parts may be missing."""
    size = draw(st.integers(1, 40))
    spans = draw(st.lists(st.tuples(st.integers(0, size - 1), st.integers(0, 12)), max_size=14))
    cuts = sorted({0, size, *draw(st.lists(st.integers(0, size), max_size=5))})
    spans += [(a, b - a) for a, b in pairwise(cuts)]
    spans = draw(st.permutations(spans))
    chunks = []
    for number, (start, length) in enumerate(spans):
        body = bytes([number]) * min(length, size - start)
        # Only the chunk that ends the message may say so, and not every one that could does.
        last = start + len(body) == size and draw(st.booleans())
        total = draw(st.sampled_from([None, size]))
        chunks.append(make_chunk(body, start + 1, "$" if last else "+", total, draw(st.sampled_from(["exact", None]))))
    return size, chunks


@settings(max_examples=200)
@given(laid_chunks())
def test_shuffled_and_overlapping_chunks_make_what_a_plain_model_makes(laid):
    size, chunks = laid
    reassembler = Reassembler(1000)
    model, ended = {}, False
    for chunk in chunks:
        start = chunk.byte_range[0] - 1
        model |= {start + at: byte for at, byte in enumerate(chunk.body)}
        ended |= chunk.continuation == "$"
        message = reassembler.receive(chunk)
        whole = ended and len(model) == size
        assert (message is not None) == whole
        if whole:
            assert message.body == bytes(model[at] for at in range(size))
            assert reassembler.held == 0
            return
        assert reassembler.held == len(model)


def test_whole_message_in_one_chunk_is_handed_on_without_a_copy():
    chunk = make_chunk(b"hello" * 100, flag="$", total=500)
    assert Reassembler(500).receive(chunk).body is chunk.body


def test_message_of_no_bytes_is_a_message():
    assert Reassembler(10).receive(make_chunk(b"", flag="$", total=0)).body == b""


def test_interrupted_message_is_dropped():
    reassembler = Reassembler(10)
    assert reassembler.receive(make_chunk(b"ab")) is None
    assert reassembler.receive(make_chunk(b"", 3, "#", end=None)) is None
    assert (reassembler.held, "m1" in reassembler) == (0, False)


@pytest.mark.parametrize(
    "chunk",
    [
        make_chunk(b"ab", 0, end=None),
        make_chunk(b"ab", end=3),
        make_chunk(b"ab", end=1),
        make_chunk(b"ab", total=1),
        make_chunk(b"ab", flag="$", total=3),
        make_chunk(b"ab", message_id=""),
    ],
)
def test_range_that_cannot_be_is_refused_with_400(chunk):
    reassembler = Reassembler(100)
    assert status_of(reassembler, chunk) == 400
    assert reassembler.held == 0


def test_total_that_changes_or_is_overrun_is_refused_with_400():
    reassembler = Reassembler(100)
    reassembler.receive(make_chunk(b"ab", total=9))
    assert status_of(reassembler, make_chunk(b"cd", 3, total=8)) == 400
    reassembler = Reassembler(100)
    reassembler.receive(make_chunk(b"cd", 7))
    assert status_of(reassembler, make_chunk(b"ab", 3, "$")) == 400


def test_size_is_taken_at_the_limit_and_refused_with_413_one_past():
    assert Reassembler(5).receive(make_chunk(b"hello", flag="$")).body == b"hello"
    assert status_of(Reassembler(4), make_chunk(b"hello", flag="$")) == 413
    assert status_of(Reassembler(4), make_chunk(b"h", total=5)) == 413
    assert status_of(Reassembler(4), make_chunk(b"h", 5)) == 413


def test_far_position_costs_no_memory():
    reassembler = Reassembler(10**12)
    reassembler.receive(make_chunk(b"x", 10**11))
    assert reassembler.held == 1


def test_unfinished_messages_are_bounded():
    reassembler = Reassembler(100, max_messages=2)
    reassembler.receive(make_chunk(b"a", message_id="m1"))
    reassembler.receive(make_chunk(b"a", message_id="m2"))
    assert status_of(reassembler, make_chunk(b"a", message_id="m3")) == 413
    assert reassembler.receive(make_chunk(b"a", flag="$", message_id="m4")).body == b"a"
    assert reassembler.receive(make_chunk(b"b", 2, "$", message_id="m1")).body == b"ab"


def test_scattered_pieces_are_bounded():
    reassembler = Reassembler(100, max_ranges=3)
    for start in (1, 3, 5):
        reassembler.receive(make_chunk(b"a", start))
    assert status_of(reassembler, make_chunk(b"a", 7)) == 413


def test_rest_of_a_refused_message_meets_the_same_answer_and_then_it_may_come_again():
    reassembler = Reassembler(4)
    assert status_of(reassembler, make_chunk(b"abc", total=9)) == 413
    assert status_of(reassembler, make_chunk(b"d", 4)) == 413
    assert status_of(reassembler, make_chunk(b"e", 4, "$")) == 413
    assert reassembler.receive(make_chunk(b"abcd", flag="$")).body == b"abcd"
