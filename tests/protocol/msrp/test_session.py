from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from joyn.protocol.errors import ProtocolError
from joyn.protocol.msrp import (
    Bound,
    Delivered,
    Failed,
    Framer,
    MsrpUri,
    QueueFull,
    Received,
    Reported,
    Request,
    Response,
    Session,
    Transmit,
    make_response,
)
from joyn.protocol.msrp.connection import PIECE
from joyn.protocol.msrp.outbox import QUEUED_OVERHEAD, SILENT_MAX

OURS, THEIRS = "msrp://relay.example.org:2855/s9x8;tcp", "msrp://192.0.2.10:20000/a1b2c3;tcp"


def make_session(local=OURS, remote=THEIRS, **options):
    numbers = count()
    options = {"max_size": 10**6, "make_id": lambda: f"{local[7]}{next(numbers):05d}"} | options
    return Session(MsrpUri.parse(local), remote, **options)


def make_send(body=b"hello", to_path=OURS, **fields):
    size = 0 if body is None else len(body)
    values = {"message_id": "m1", "byte_range": (1, size, size), "content_type": "text/plain", "body": body} | fields
    return Request("t1aa", "SEND", to_path, THEIRS, **values)


def frames_in(actions):
    return [f for action in actions if isinstance(action, Transmit) for f in Framer().receive(action.data)]


def others_in(actions):
    return [action for action in actions if not isinstance(action, Transmit)]


def statuses(actions):
    return [frame.status for frame in frames_in(actions) if isinstance(frame, Response)]


def accept(session, actions, status=200, now=0.0):
    """Answer every SEND among `actions` in the peer's place; what the session does then."""
    after = []
    for frame in frames_in(actions):
        after += session.receive(make_response(frame, status), now)
    return after


def converse(one, other, actions):
    """Carry frames between two sessions until both are silent; what each of them said."""
    said = {one: others_in(actions), other: []}
    road = [(other, frame) for frame in frames_in(actions)]
    for session, frame in road:
        peer = one if session is other else other
        actions = session.receive(frame, 0.0)
        for action in list(actions):
            if isinstance(action, Received):
                actions += session.answer(action.message, 200)
        said[session] += others_in(actions)
        road += [(peer, frame) for frame in frames_in(actions)]
    return said[one], said[other]


@settings(max_examples=60)
@given(
    st.binary(max_size=300) | st.sampled_from([b"\r\n-------r00000$\r\n" * 9]),
    st.integers(1, 100),
    st.integers(1, 4),
    st.sampled_from(["yes", "no", "partial"]),
    st.booleans(),
)
def test_two_sessions_deliver_any_body(body, chunk_size, window, failure_report, success_report):
    one, other = make_session(window=window), make_session(THEIRS, OURS)
    options = {"chunk_size": chunk_size, "failure_report": failure_report, "success_report": success_report}
    sent = one.send("m1", "text/plain", body, 0.0, **options)
    here, there = converse(one, other, sent)
    here += one.handle_deadline(99.0)
    assert [action.message.body for action in there] == [body]
    assert there[0].message.content_type == "text/plain"
    assert here.count(Delivered("m1")) == 1
    assert here.count(Reported("m1", 200, (1, len(body), len(body)))) == success_report
    assert len(here) == 1 + success_report
    assert (one.unsettled, one.queued, one.outstanding, one.deadline()) == ((), 0, 0, None)


def test_messages_go_out_in_order_and_never_interleaved():
    session = make_session(window=2)
    actions = session.send("m1", "a/b", b"123456", 0.0, chunk_size=2) + session.send("m2", "a/b", b"78", 0.0)
    seen, said = [], []
    while frames := frames_in(actions):
        seen += [(frame.message_id, frame.body, frame.continuation) for frame in frames]
        assert session.outstanding <= 2
        actions = session.receive(make_response(frames[0], 200), 0.0)
        for frame in frames[1:]:
            actions += session.receive(make_response(frame, 200), 0.0)
        said += others_in(actions)
    assert seen == [("m1", b"12", "+"), ("m1", b"34", "+"), ("m1", b"56", "$"), ("m2", b"78", "$")]
    assert said == [Delivered("m1"), Delivered("m2")]


def test_empty_send_binds_both_ends():
    one, other = make_session(), make_session(THEIRS, OURS)
    sent = one.send_empty(0.0)
    (frame,) = frames_in(sent)
    assert (frame.body, frame.byte_range, frame.content_type) == (None, None, "")
    assert converse(one, other, sent) == ([Bound()], [Bound()])


def test_refused_empty_send_fails():
    session = make_session()
    assert [action.status for action in accept(session, session.send_empty(0.0), 481)] == [481]


@pytest.mark.parametrize(
    ("failure_report", "status", "answered"),
    [
        ("yes", 200, [200]),
        ("yes", 413, [413]),
        ("no", 200, []),
        ("no", 413, []),
        ("partial", 200, []),
        ("partial", 413, [413]),
    ],
)
def test_answer_is_given_where_the_sender_wants_it(failure_report, status, answered):
    session = make_session()
    (received,) = session.receive(make_send(failure_report=failure_report), 0.0)
    assert statuses(session.answer(received.message, status)) == answered


def test_answer_goes_to_the_next_hop_and_the_report_the_whole_way():
    session = make_session()
    request = make_send(success_report=True)
    request.from_path = f"msrp://hop.example.org/x;tcp {THEIRS}"
    (received,) = session.receive(request, 0.0)
    response, report = frames_in(session.answer(received.message, 200))
    assert (response.to_path, response.from_path) == ("msrp://hop.example.org/x;tcp", OURS)
    assert (report.method, report.to_path, report.message_id) == ("REPORT", request.from_path, "m1")
    assert (report.byte_range, report.header("Status")) == ((1, 5, 5), "000 200 OK")
    assert [type(frame) for frame in frames_in(session.answer(received.message, 413))] == [Response]


def test_session_answers_the_chunks_before_the_last_and_leaves_the_last_to_its_caller():
    session = make_session()
    first = make_send(b"he", byte_range=(1, 2, 5), continuation="+")
    assert statuses(session.receive(first, 0.0)) == [200]
    (received,) = session.receive(make_send(b"llo", byte_range=(3, 5, 5)), 0.0)
    assert received.message.body == b"hello"


def test_chunk_in_pieces_is_answered_once_whether_taken_or_refused():
    wire = make_send(bytes(2 * PIECE + 9), continuation="+", byte_range=(1, None, None)).emit()
    for max_size, answers in ((10**6, [200]), (PIECE + 5, [413]), (5, [413])):
        session = make_session(max_size=max_size)
        assert statuses([a for frame in Framer().receive(wire) for a in session.receive(frame, 0.0)]) == answers


def test_message_refused_in_pieces_may_come_again():
    session = make_session(max_size=PIECE + 5)
    for frame in Framer().receive(make_send(bytes(2 * PIECE), byte_range=(1, None, None)).emit()):
        session.receive(frame, 0.0)
    assert [type(action) for action in session.receive(make_send(), 0.0)] == [Received]


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (make_send(to_path="msrp://relay.example.org:2855/else;tcp"), 481),
        (make_send(to_path=f"{OURS} {THEIRS}"), 481),
        (make_send(to_path="nonsense"), 400),
        (make_send(byte_range=(0, 0, 0)), 400),
        (make_send(byte_range=(1, 9, 9)), 400),
        (make_send(message_id=""), 400),
        (make_send(byte_range=(1, 5, 10**6 + 1), continuation="+"), 413),
        (Request("t1aa", "NICKNAME", OURS, THEIRS), 501),
        (Request("t1aa", "AUTH", OURS, THEIRS), 501),
    ],
)
def test_request_that_is_not_for_us_or_wrong_is_refused(request_, status):
    assert statuses(actions := make_session().receive(request_, 0.0)) == [status]
    assert others_in(actions) == []


def test_to_path_in_another_spelling_is_still_ours():
    (received,) = make_session().receive(make_send(to_path=OURS.replace("relay", "RELAY")), 0.0)
    assert received.message.body == b"hello"


def test_report_is_told_and_never_answered():
    session = make_session()
    report = Request("t1aa", "REPORT", OURS, THEIRS, "m1", (1, 5, 5), headers=(("Status", "000 413 Too long"),))
    assert session.receive(report, 0.0) == [Reported("m1", 413, (1, 5, 5))]
    report.headers = (("Status", "nonsense"),)
    assert session.receive(report, 0.0) == []
    report.to_path = THEIRS
    assert session.receive(report, 0.0) == []


def test_error_fails_the_message_once_interrupts_it_and_lets_the_next_go():
    session = make_session(window=2)
    sent = session.send("m1", "a/b", b"123456", 0.0, chunk_size=2) + session.send("m2", "a/b", b"78", 0.0)
    first, second = frames_in(sent)
    actions = session.receive(make_response(first, 413), 0.0)
    interrupt, following = frames_in(actions)
    assert (interrupt.message_id, interrupt.continuation, interrupt.byte_range) == ("m1", "#", (5, None, 6))
    assert following.message_id == "m2"
    assert others_in(actions) == [Failed("m1", 413)]
    assert session.receive(make_response(second, 413), 0.0) == []
    assert session.unsettled == ("m2",)


def test_silence_fails_the_message_with_408_at_the_deadline_and_not_before():
    session = make_session(timeout=5.0)
    (frame,) = frames_in(session.send("m1", "a/b", b"12", 10.0))
    assert session.deadline() == 15.0
    assert session.handle_deadline(14.9) == []
    assert session.handle_deadline(15.0) == [Failed("m1", 408)]
    assert session.deadline() is None
    assert session.receive(make_response(frame, 200), 16.0) == []


def test_without_failure_report_a_message_is_delivered_when_sent():
    session = make_session(window=1)
    actions = session.send("m1", "a/b", b"1234", 0.0, failure_report="no", chunk_size=1)
    assert (len(frames_in(actions)), others_in(actions)) == (4, [Delivered("m1")])
    assert session.deadline() is None


def test_with_partial_failure_report_an_error_counts_and_silence_is_consent():
    session = make_session(timeout=5.0)
    session.send("m1", "a/b", b"12", 0.0, failure_report="partial")
    assert session.handle_deadline(5.0) == [Delivered("m1")]
    sent = session.send("m2", "a/b", b"12", 6.0, failure_report="partial")
    assert accept(session, sent, 415) == [Failed("m2", 415)]


def test_silent_transactions_are_bounded_and_the_oldest_taken_as_accepted():
    session = make_session()
    for number in range(SILENT_MAX):
        assert others_in(session.send(f"m{number}", "a/b", b"1", 0.0, failure_report="partial")) == []
    assert others_in(session.send("last", "a/b", b"1", 0.0, failure_report="partial")) == [Delivered("m0")]


def test_abort_interrupts_what_is_partly_sent_and_forgets_what_is_not():
    session = make_session(window=1)
    (frame,) = frames_in(session.send("m1", "a/b", b"1234", 0.0, chunk_size=2))
    session.send("m2", "a/b", b"56", 0.0)
    assert session.abort("m2", 0.0) == []
    (interrupt,) = frames_in(session.abort("m1", 0.0))
    assert (interrupt.message_id, interrupt.continuation, interrupt.body) == ("m1", "#", None)
    assert session.receive(make_response(frame, 200), 0.0) == []
    assert (session.unsettled, session.queued, session.deadline()) == ((), 0, None)


def test_abort_comes_too_late_for_what_is_sent():
    session = make_session()
    sent = session.send("m1", "a/b", b"12", 0.0)
    assert session.abort("m1", 0.0) == []
    assert accept(session, sent) == [Delivered("m1")]


def test_interrupted_message_is_forgotten_by_the_receiver():
    one, other = make_session(window=1), make_session(THEIRS, OURS)
    sent = one.send("m1", "a/b", b"1234", 0.0, chunk_size=2)
    for frame in frames_in(sent + one.abort("m1", 0.0)):
        assert statuses(other.receive(frame, 0.0)) == [200]
    here, there = converse(one, other, one.send("m1", "a/b", b"whole", 0.0))
    assert (here, there[0].message.body) == ([Delivered("m1")], b"whole")


def test_queue_takes_what_fits_and_refuses_one_byte_more_without_a_trace():
    session = make_session(window=1, max_queued=1000)
    session.send("m1", "a/b", b"1", 0.0)
    with pytest.raises(QueueFull):
        session.send("m2", "a/b", bytes(1001 - QUEUED_OVERHEAD), 0.0)
    assert session.unsettled == ("m1",)
    assert session.send("m2", "a/b", bytes(1000 - QUEUED_OVERHEAD), 0.0) == []
    assert session.queued == 1000
    with pytest.raises(QueueFull):
        session.send_empty(0.0)


def test_message_id_in_use_and_a_chunk_of_nothing_are_bugs():
    session = make_session()
    session.send("m1", "a/b", b"1", 0.0)
    with pytest.raises(ProtocolError):
        session.send("m1", "a/b", b"1", 0.0)
    with pytest.raises(ProtocolError):
        session.send("m2", "a/b", b"1", 0.0, chunk_size=0)


def test_transaction_id_is_chosen_again_when_the_body_holds_it():
    ids = iter(["aaaa", "bbbb"])
    session = make_session(make_id=lambda: next(ids))
    body = b"x\r\n-------aaaa$\r\ny"
    (frame,) = frames_in(session.send("m1", "a/b", body, 0.0))
    assert (frame.transaction_id, frame.body) == ("bbbb", body)
