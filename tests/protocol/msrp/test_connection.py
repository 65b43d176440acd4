import base64
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from joyn.protocol.errors import ParseError, ProtocolError
from joyn.protocol.msrp.chunk import (
    _USUAL,
    HEAD_MAX,
    HEADER_LINE_MAX,
    HEADERS_MAX,
    START_LINE_MAX,
    TRANSACTION_ID_MAX,
    Request,
    Response,
    _parse_any_head,
    free_transaction_id,
    make_response,
    parse_head,
    parse_range,
)
from joyn.protocol.msrp.connection import BUFFERED_MAX, PIECE, Framer

VECTORS = sorted((Path(__file__).parents[2] / "vectors" / "msrp").glob("*.json"))
A, B = "msrp://192.0.2.10:20000/a1b2c3;tcp", "msrp://relay.example.org:2855/s9x8;tcp"


def make_send(body=b"hello", **fields):
    values = {"message_id": "m1", "byte_range": (1, None, None), "content_type": "text/plain", "body": body}
    return Request("t1aa", "SEND", B, A, **(values | fields))


def make_head(*lines):
    return "".join(f"{line}\r\n" for line in ("MSRP t1aa SEND", f"To-Path: {B}", f"From-Path: {A}", *lines))


def read(wire, step=None):
    """Frames and the error's position, whether fed whole or in steps."""
    framer, frames = Framer(), []
    try:
        for at in range(0, len(wire), step or len(wire) or 1):
            frames += framer.receive(wire[at : at + (step or len(wire))])
            assert framer.buffered <= BUFFERED_MAX
    except ParseError as error:
        return frames + error.frames, (error.what, error.at)
    return frames, None


def wire_of(vector):
    return base64.b64decode(vector["wire_base64"]) if "wire_base64" in vector else vector["wire"].encode()


def frame_of(value):
    value = dict(value)
    value["headers"] = tuple((name, text) for name, text in value["headers"])
    if value.pop("kind") == "response":
        return Response(**value)
    if value["byte_range"] is not None:
        value["byte_range"] = tuple(value["byte_range"])
    if "body_base64" in value:
        value["body"] = base64.b64decode(value.pop("body_base64"))
    elif value["body"] is not None:
        value["body"] = value["body"].encode()
    return Request(**value)


@pytest.mark.parametrize("path", VECTORS, ids=lambda path: path.stem)
@pytest.mark.parametrize("step", [None, 1, 7])
def test_vector_means_what_it_says_however_it_is_cut(path, step):
    vector = json.loads(path.read_text())
    frames, error = read(wire_of(vector), step)
    if "error" in vector:
        assert error is not None
        assert error[1] == vector["error"]["at"]
        return
    assert (frames, error) == ([frame_of(value) for value in vector["value"]["frames"]], None)
    if vector.get("emit"):
        assert b"".join(bytes(frame) for frame in frames) == wire_of(vector)


def test_vectors_are_there():
    assert len(VECTORS) >= 25


words = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), max_size=20).map(lambda t: t.strip(" \t"))
idents = st.text("abcXYZ019.-+%=", min_size=1, max_size=32).map(lambda t: "a" + t)
others = st.lists(st.tuples(st.sampled_from(["X-One", "Status", "Content-ID"]), words), max_size=4).map(tuple)
numbers = st.integers(0, 10**18 - 1)
ranges = st.none() | st.tuples(numbers, st.none() | numbers, st.none() | numbers)
noise = st.lists(st.sampled_from([b"\r\n", b"-------", b"\r\n-------", b"t1aa", b"$", b"+", b"x", b"\r", b"-"])).map(
    b"".join
)
bodies = st.none() | st.binary(max_size=60) | noise
paths = st.lists(st.sampled_from([A, B]), min_size=1, max_size=3).map(" ".join)


@st.composite
def requests(draw):
    body = draw(bodies)
    ids = iter(draw(st.lists(idents, min_size=20, max_size=20, unique=True)))
    return Request(
        free_transaction_id(lambda: next(ids), body),
        draw(st.sampled_from(["SEND", "REPORT", "AUTH", "NICKNAME"])),
        draw(paths),
        draw(paths),
        draw(words),
        draw(ranges),
        draw(words),
        draw(st.booleans()),
        draw(st.sampled_from(["yes", "no", "partial"])),
        draw(others),
        body,
        draw(st.sampled_from(["$", "+", "#"])),
    )


responses = st.builds(Response, idents, st.integers(0, 999), words, paths, paths, others)


@settings(max_examples=60)
@given(st.lists(requests() | responses, max_size=4), st.integers(1, 40))
def test_what_is_emitted_is_read_back_however_it_is_cut(frames, step):
    wire = b"".join(bytes(frame) for frame in frames)
    assert read(wire) == (frames, None)
    assert read(wire, step) == (frames, None)


fragments = st.sampled_from(
    [
        b"MSRP t1aa SEND\r\n",
        b"MSRP t1aa 200 OK\r\n",
        b"MSRP ",
        f"To-Path: {A}\r\n".encode(),
        f"From-Path: {B}\r\n".encode(),
        b"Byte-Range: 1-9/9\r\n",
        b"\r\n",
        b"-------t1aa$\r\n",
        b"-------t1a",
        b"-------t1aa!\r\n",
        b"a: b\r\n",
        b"\xff",
        b"\r",
        b"\0",
    ]
)


@settings(max_examples=150)
@given(st.lists(fragments | st.binary(max_size=8), max_size=14).map(b"".join), st.integers(1, 9))
def test_arbitrary_bytes_are_read_alike_whole_and_in_steps_and_raise_only_parse_error(wire, step):
    assert read(wire) == read(wire, step) == read(wire, 1)


@pytest.mark.parametrize("size", [PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, 2 * PIECE + 5])
@pytest.mark.parametrize("step", [None, 1000, PIECE + 3])
def test_long_body_comes_in_pieces_that_make_it_up(size, step):
    body = bytes(i % 251 for i in range(size))
    frames, error = read(make_send(body, byte_range=(11, size + 10, size + 10)).emit() * 2, step)
    assert error is None
    pieces = frames[: len(frames) // 2]
    assert frames[len(pieces) :] == pieces
    assert b"".join(piece.body for piece in pieces) == body
    assert max(len(piece.body) for piece in pieces) <= PIECE
    assert [piece.partial for piece in pieces] == [True] * (len(pieces) - 1) + [False]
    assert [piece.continuation for piece in pieces] == ["+"] * (len(pieces) - 1) + ["$"]
    starts = [11 + PIECE * number for number in range(len(pieces))]
    ends = [*(start - 1 for start in starts[1:]), size + 10]
    assert [piece.byte_range for piece in pieces] == [(s, e, size + 10) for s, e in zip(starts, ends, strict=True)]


def test_last_piece_keeps_the_end_the_sender_claimed():
    frames, _ = read(make_send(bytes(PIECE + 9), byte_range=(1, 5, None)).emit())
    assert [frame.byte_range for frame in frames] == [(1, PIECE, None), (PIECE + 1, 5, None)]


class CountingBuffer(bytearray):
    """Counts the bytes that searches may have looked at."""

    work = 0

    def find(self, needle, start=0, end=None):
        found = super().find(needle, start, len(self) if end is None else end)
        type(self).work += (found if found >= 0 else min(len(self), len(self) if end is None else end)) - start
        return found


@pytest.mark.parametrize("filler", [b"x", b"\r\n-------", b"\r\n-------t1aa", b"\r\n\r\n"])
@pytest.mark.parametrize("step", [16, 1000])
def test_search_for_the_end_looks_at_each_byte_a_few_times_only(filler, step):
    size = 3 * PIECE
    wire = make_send((filler * size)[:size]).emit()
    framer, CountingBuffer.work = Framer(), 0
    framer._buffer = CountingBuffer()
    for at in range(0, len(wire), step):
        framer.receive(wire[at : at + step])
    # Each call looks again at an end-line's length at most.
    assert CountingBuffer.work <= 3 * len(wire) + 40 * (len(wire) // step)
    assert framer.buffered == 0


def test_frames_before_the_error_are_not_lost_and_the_error_stays():
    framer = Framer()
    with pytest.raises(ParseError) as caught:
        framer.receive(make_send().emit() + b"SIP/2.0")
    assert caught.value.frames == [make_send()]
    with pytest.raises(ParseError) as again:
        framer.receive(make_send().emit())
    assert (again.value.at, again.value.frames) == (caught.value.at, [])


@pytest.mark.parametrize(
    ("fits", "wire"),
    [
        (fits, wire)
        for fits, extra in ((True, 0), (False, 1))
        for wire in (
            f"MSRP {'t' * (TRANSACTION_ID_MAX + extra)} 200 OK\r\nTo-Path: a\r\nFrom-Path: b\r\n"
            f"-------{'t' * (TRANSACTION_ID_MAX + extra)}$\r\n",
            f"MSRP t1aa 200 {'c' * (START_LINE_MAX - 14 + extra)}\r\nTo-Path: a\r\nFrom-Path: b\r\n-------t1aa$\r\n",
            make_head(f"X: {'x' * (HEADER_LINE_MAX - 3 + extra)}") + "-------t1aa$\r\n",
            make_head(*["X: y"] * (HEADERS_MAX - 2 + extra)) + "-------t1aa$\r\n",
            make_head("X: " + "x" * 8150, "Y: " + "y" * (HEAD_MAX - len(make_head()) - 8155 - 3 + extra))
            + "-------t1aa$\r\n",
        )
    ],
)
@pytest.mark.parametrize("step", [None, 101])
def test_limit_is_met_at_the_limit_and_refused_one_past(fits, wire, step):
    frames, error = read(wire.encode(), step)
    assert (len(frames) == 1, error is None) == (fits, fits)


def test_head_without_an_end_is_refused_at_the_limit():
    frames, error = read(b"MSRP " + b"x" * (HEAD_MAX + 100), 1000)
    assert (frames, error) == ([], (f"head longer than {HEAD_MAX} bytes", HEAD_MAX))


def test_response_to_a_send_goes_one_hop_back_and_others_the_whole_way():
    send = make_send()
    send.to_path, send.from_path = f"{B} {A}", f"{A} {B}"
    answer = make_response(send, 413)
    assert (answer.to_path, answer.from_path, answer.comment) == (A, B, "Stop Sending")
    send.method = "AUTH"
    assert make_response(send, 501).to_path == f"{A} {B}"
    send.method = "REPORT"
    with pytest.raises(ProtocolError):
        make_response(send, 200)


def test_transaction_id_that_occurs_in_the_body_is_not_taken():
    ids = iter(["aaaa", "bbbb", "cccc"])
    assert free_transaction_id(lambda: next(ids), b"x\r\n-------aaaa$\r\n-------bbbb") == "cccc"
    with pytest.raises(ProtocolError):
        free_transaction_id(lambda: "aaaa", b"-------aaaa")


def test_value_with_a_line_break_is_not_emitted():
    for broken in (make_send(message_id="a\r\nb"), make_send(headers=(("X", "a\nb"),))):
        with pytest.raises(ProtocolError):
            broken.emit()


@pytest.mark.parametrize(
    "text", ["", "1", "1-2", "-/", "a-b/c", "1-2/", "+1-2/3", "1 -2/3", "²-3/4", "1-2/3/4", "1" * 19 + "-*/*"]
)
def test_unreadable_range_is_the_bad_range(text):
    assert parse_range(text) == (0, 0, 0)


@settings(max_examples=100)
@given(
    st.lists(
        st.sampled_from(
            [
                "Message-ID: m1",
                "Message-ID: m 2",
                "Message-ID:  m3 ",
                "Success-Report: yes",
                "Success-Report: no",
                "Failure-Report: partial",
                "Byte-Range: 1-2/*",
                "Byte-Range: 1-2",
                "Content-Type: text/plain",
                "Content-Type: text/plain; charset=utf-8",
                "X: y",
            ]
        ),
        max_size=6,
    ),
    st.booleans(),
)
def test_usual_head_is_read_like_any_other(lines, ordered):
    order = ["M", "S", "F", "B", "C", "X"]
    lines = sorted(set(lines), key=lambda line: order.index(line[0])) if ordered else lines
    text = make_head(*lines).removesuffix("\r\n")
    results = []
    for read_head in (parse_head, _parse_any_head):
        try:
            results.append(read_head(text, 5))
        except ParseError as error:
            results.append((error.what, error.at))
    assert results[0] == results[1]


def test_pieces_of_a_chunk_without_range_count_from_one():
    frames, _ = read(make_send(bytes(PIECE + 1), byte_range=None).emit())
    assert [frame.byte_range for frame in frames] == [(1, PIECE, None), (PIECE + 1, None, None)]


def test_usual_head_takes_the_short_way():
    assert _USUAL.fullmatch(make_send().emit().decode().partition("\r\n\r\n")[0])
