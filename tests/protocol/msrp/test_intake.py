"""Messages that are handed up piece by piece."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joyn.protocol.msrp import Arrived, Bound, Framer, Request, Stopped
from joyn.protocol.msrp.connection import PIECE
from joyn.protocol.msrp.intake import REFUSED_MAX
from protocol.msrp.test_session import OURS, THEIRS, frames_in, make_session, others_in, statuses

MIB = 1 << 20


def make_chunk(body=b"hello", first=1, total=None, flag="$", name="t1", message_id="m1", **fields):
    end = first + len(body) - 1
    values = {"content_type": "image/jpeg", "body": body, "continuation": flag} | fields
    return Request(name, "SEND", OURS, THEIRS, message_id, (first, end, total), **values)


def streaming(**options):
    return make_session(**({"streaming": True, "max_size": MIB} | options))


def pieces_in(actions):
    return [action.piece for action in actions if isinstance(action, Arrived)]


def give(session, *chunks):
    """Take each chunk in; whatever the session does."""
    return [action for chunk in chunks for action in session.receive(chunk, 0.0)]


def test_a_piece_is_handed_up_at_once_and_its_chunk_answered_when_it_is_taken():
    session = streaming()
    actions = give(session, make_chunk(b"hel", 1, 5, "+"))
    assert statuses(actions) == []
    (piece,) = pieces_in(actions)
    assert (piece.message_id, piece.content_type, piece.offset, piece.total) == ("m1", "image/jpeg", 0, 5)
    assert (piece.data, piece.last) == (b"hel", False)
    assert statuses(session.take(piece)) == [200]
    (rest,) = pieces_in(give(session, make_chunk(b"lo", 4, 5, name="t2")))
    assert (rest.offset, rest.data, rest.last) == (3, b"lo", True)
    assert statuses(session.take(rest)) == [200]


def test_a_chunk_that_comes_in_pieces_is_answered_with_its_last_one():
    body = b"x" * (2 * PIECE + 7)
    session, pieces = streaming(), []
    for frame in Framer().receive(make_chunk(body, 1, len(body)).emit()):
        pieces += pieces_in(session.receive(frame, 0.0))
    assert b"".join(piece.data for piece in pieces) == body
    assert [statuses(session.take(piece)) for piece in pieces] == [[], [], [200]]


@given(st.binary(min_size=1, max_size=400), st.lists(st.integers(1, 60), min_size=1, max_size=20), st.booleans())
def test_whatever_the_chunks_the_bytes_come_in_their_order(body, sizes, told):
    session, at, taken, number = streaming(), 0, b"", 0
    while at < len(body):
        size = sizes[number % len(sizes)]
        part = body[at : at + size]
        flag = "$" if at + len(part) == len(body) else "+"
        (piece,) = pieces_in(
            give(session, make_chunk(part, at + 1, len(body) if told else None, flag, name=f"t{number}"))
        )
        assert piece.offset == len(taken)
        assert statuses(session.take(piece)) == [200]
        taken, at, number = taken + piece.data, at + len(part), number + 1
    assert taken == body
    assert piece.last


@given(st.lists(st.tuples(st.integers(0, 30), st.binary(max_size=12), st.sampled_from("$+#"), st.sampled_from("ab"))))
def test_pieces_never_leave_a_gap_and_every_chunk_is_answered_once(chunks):
    session, expected = streaming(max_size=20), {}
    for number, (first, body, flag, message_id) in enumerate(chunks):
        chunk = make_chunk(body, first, None, flag, name=f"t{number}", message_id=message_id)
        actions = give(session, chunk)
        for piece in pieces_in(actions):
            assert piece.offset == expected.get(message_id, piece.offset)
            expected[message_id] = piece.offset + len(piece.data)
            actions += session.take(piece)
            if piece.last:
                del expected[message_id]
        for action in others_in(actions):
            if isinstance(action, Stopped):
                expected.pop(action.message_id, None)
        assert len(statuses(actions)) == 1


@pytest.mark.parametrize(
    ("second", "status"),
    [
        (make_chunk(b"lo", 5, 5, name="t2"), 400),  # ends beyond its total
        (make_chunk(b"o", 5, 5, name="t2"), 423),  # a gap
        (make_chunk(b"ello", 2, 5, name="t2"), 423),  # an overlap
        (make_chunk(b"lo", 4, 6, "+", name="t2"), 400),  # another total
        (make_chunk(b"l", 4, 5, name="t2"), 400),  # the end before the end
        (make_chunk(b"lo", 4, MIB + 1, "+", name="t2"), 413),
    ],
)
def test_what_is_not_the_rest_of_the_message_ends_it(second, status):
    session = streaming()
    (piece,) = pieces_in(give(session, make_chunk(b"hel", 1, 5, "+")))
    session.take(piece)
    actions = give(session, second)
    assert statuses(actions) == [status]
    assert others_in(actions) == [Stopped("m1", status)]
    # Another message is as welcome as before.
    assert len(pieces_in(give(session, make_chunk(name="t3", message_id="m2")))) == 1


def test_a_message_as_long_as_allowed_comes_and_a_longer_one_is_413_from_its_first_byte():
    session = streaming(max_size=5)
    assert len(pieces_in(give(session, make_chunk(b"hello", 1, 5)))) == 1
    assert statuses(give(session, make_chunk(b"h", 1, 6, "+", message_id="m2"))) == [413]
    assert statuses(give(session, make_chunk(b"e", 2, 6, "+", message_id="m2", name="t2"))) == [413]


def test_a_message_that_begins_within_another_is_stopped_and_the_other_goes_on():
    session = streaming()
    (piece,) = pieces_in(give(session, make_chunk(b"hel", 1, 5, "+")))
    session.take(piece)
    assert statuses(give(session, make_chunk(b"x", 1, 2, "+", name="t2", message_id="m2"))) == [413]
    (rest,) = pieces_in(give(session, make_chunk(b"lo", 4, 5, name="t3")))
    assert rest.last
    assert statuses(give(session, make_chunk(b"y", 2, 2, "$", name="t4", message_id="m2"))) == [413]


def test_a_sender_that_breaks_off_is_answered_and_told_of():
    session = streaming()
    (piece,) = pieces_in(give(session, make_chunk(b"hel", 1, 5, "+")))
    session.take(piece)
    actions = give(session, make_chunk(b"", 4, 5, "#", name="t2"))
    assert statuses(actions) == [200]
    assert others_in(actions) == [Stopped("m1", 0)]


def test_an_empty_send_still_binds():
    actions = give(streaming(), Request("t1", "SEND", OURS, THEIRS, "m1"))
    assert statuses(actions) == [200]
    assert others_in(actions) == [Bound()]


def test_a_refused_piece_refuses_what_else_comes_of_its_message():
    session = streaming()
    (piece,) = pieces_in(give(session, make_chunk(b"hel", 1, 9, "+")))
    answers = frames_in(session.refuse(piece, 415, "Not that"))
    assert [(answer.status, answer.comment) for answer in answers] == [(415, "Not that")]
    assert statuses(give(session, make_chunk(b"lo", 4, 9, "+", name="t2"))) == [415]
    assert statuses(give(session, make_chunk(b"you!", 6, 9, name="t3"))) == [415]
    # It is over, and may be tried afresh.
    assert len(pieces_in(give(session, make_chunk(name="t4")))) == 1


def test_a_chunk_refused_in_its_midst_is_answered_once():
    body = b"x" * (3 * PIECE + 7)
    first, second, *rest = Framer().receive(make_chunk(body, 1, len(body)).emit())
    session = streaming()
    (one,) = pieces_in(give(session, first))
    (two,) = pieces_in(give(session, second))
    assert statuses(session.refuse(one, 413)) == [413]
    assert statuses(give(session, *rest)) == []
    assert statuses(session.refuse(two, 413)) == []


def test_a_refused_chunk_that_is_broken_off_is_not_answered_again():
    body = b"x" * (2 * PIECE)
    first, *_ = Framer().receive(make_chunk(body, 1, len(body)).emit())
    session = streaming()
    (piece,) = pieces_in(give(session, first))
    assert statuses(session.refuse(piece, 413)) == [413]
    assert give(session, make_chunk(b"x", PIECE + 1, len(body), "#")) == []


def test_chunks_handed_up_before_a_refusal_are_refused_one_by_one():
    session = streaming()
    one, two = pieces_in(give(session, make_chunk(b"a", 1, 2, "+"), make_chunk(b"b", 2, 2, name="t2")))
    assert statuses(session.refuse(one, 413)) == [413]
    assert statuses(session.refuse(two, 413)) == [413]


def test_the_end_is_reported_to_who_asked():
    session = streaming()
    (piece,) = pieces_in(give(session, make_chunk(b"hello", 1, 5, success_report=True)))
    answer, report = frames_in(session.take(piece))
    assert answer.status == 200
    assert (report.method, report.byte_range, report.header("Status")) == ("REPORT", (1, 5, 5), "000 200 OK")


def test_of_refused_messages_so_many_are_remembered():
    session = streaming(max_size=5)
    for number in range(REFUSED_MAX + 1):
        give(session, make_chunk(b"x", 1, 6, "+", message_id=f"m{number}"))
    assert len(session._intake._refused) == REFUSED_MAX
