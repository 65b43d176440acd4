import pytest
from hypothesis import given
from hypothesis import strategies as st

from joyn.protocol import multipart
from joyn.protocol.errors import ParseError, ProtocolError
from joyn.protocol.multipart import Part, boundary_of, build, decode_base64, encode_base64, flatten, parse
from protocol.body_samples import growth, load, value_or_error

PARTS = st.builds(
    Part,
    headers=st.lists(
        st.tuples(st.sampled_from(["A", "Content-Type"]), st.sampled_from(["", "é", "x;y=z"])), max_size=3
    ).map(tuple),
    body=st.one_of(st.binary(max_size=40), st.lists(st.sampled_from([b"--b", b"\r\n", b"-", b"x"])).map(b"".join)),
)


def nested(depth: int) -> tuple[str, bytes]:
    content_type, body = "text/plain", b"core"
    for level in range(depth):
        content_type, body = build([Part.make(content_type, body)], lambda name=f"b{level}": name)
    return content_type, body


@pytest.mark.parametrize("sample", load("multipart"))
def test_sample_means_what_it_says(sample):
    if "error" in sample:
        with pytest.raises(ParseError) as caught:
            parse(sample["content_type"], sample["wire"])
        assert caught.value.at == sample["error"]["at"]
        return
    parts = tuple(
        Part(headers=tuple((name, text) for name, text in part["headers"]), body=part["body"].encode())
        for part in sample["value"]["parts"]
    )
    assert parse(sample["content_type"], sample["wire"]) == parts
    if sample.get("emit"):
        boundary = boundary_of(sample["content_type"])
        assert build(parts, lambda: boundary) == (sample["content_type"], sample["wire"])


@given(st.lists(PARTS, min_size=1, max_size=4))
def test_what_is_built_is_read_back(parts):
    boundaries = iter(["b", "unlikely"])
    content_type, body = build(parts, lambda: next(boundaries))
    assert parse(content_type, body) == tuple(parts)
    assert parse(content_type, b"preamble\r\n" + body + b"epilogue") == tuple(parts)


@given(st.lists(st.sampled_from([b"--b", b"--", b"\r\n", b"\n", b" ", b"A: b", b"\xff", b"b", b":"])).map(b"".join))
def test_arbitrary_bytes_are_parts_or_a_parse_error(data):
    value_or_error(lambda body: parse("multipart/mixed;boundary=b", body), data)
    value_or_error(lambda body: parse("multipart/mixed;boundary=b", body), b"--b\r\n" + data + b"\r\n--b--")


@given(st.text(max_size=60))
def test_an_arbitrary_content_type_has_a_boundary_or_is_a_parse_error(text):
    for content_type in (text, f"multipart/mixed;{text}", f'multipart/mixed; a="{text}; boundary={text}'):
        try:
            boundary = boundary_of(content_type)
        except ParseError:
            continue
        assert boundary in content_type


def test_a_boundary_that_a_body_contains_is_passed_over():
    boundaries = iter(["b", "c", "d"])
    content_type, _ = build(
        [Part.make("text/plain", b"x--b"), Part.make("text/plain", b"\n--c")], lambda: next(boundaries)
    )
    assert content_type == "multipart/mixed;boundary=d"


def test_a_boundary_that_no_attempt_frees_is_our_bug():
    asked = []
    with pytest.raises(ProtocolError):
        build([Part.make("text/plain", b"--b")], lambda: asked.append(1) or "b")
    assert len(asked) == multipart.BOUNDARY_ATTEMPTS


@pytest.mark.parametrize("value", ["x\r\nEvil: y", "x\n", "\r"])
def test_a_line_break_in_a_header_is_our_bug(value):
    with pytest.raises(ProtocolError):
        build([Part(headers=(("A", value),), body=b"")], lambda: "b")


def test_nested_parts_come_out_in_order_up_to_max_nesting():
    assert [part.body for part in flatten(*nested(multipart.MAX_NESTING))] == [b"core"]
    with pytest.raises(ParseError):
        list(flatten(*nested(multipart.MAX_NESTING + 1)))


def test_a_body_may_have_max_parts_and_no_more():
    one = b"--b\r\n\r\nx\r\n"
    content_type = "multipart/mixed;boundary=b"
    assert len(parse(content_type, one * multipart.MAX_PARTS + b"--b--")) == multipart.MAX_PARTS
    with pytest.raises(ParseError):
        parse(content_type, one * (multipart.MAX_PARTS + 1) + b"--b--")


def test_a_part_may_have_max_headers_and_no_more():
    def body(count: int) -> bytes:
        return b"--b\r\n" + b"A: b\r\n" * count + b"\r\n\r\n--b--"

    (part,) = parse("multipart/mixed;boundary=b", body(multipart.MAX_PART_HEADERS))
    assert len(part.headers) == multipart.MAX_PART_HEADERS
    with pytest.raises(ParseError):
        parse("multipart/mixed;boundary=b", body(multipart.MAX_PART_HEADERS + 1))


def test_a_part_head_may_have_max_bytes_and_no_more():
    def body(size: int) -> bytes:
        return b"--b\r\n" + b"A: ".ljust(size - 4, b"x") + b"\r\n\r\n" + b"y" * 9000 + b"\r\n--b--"

    assert parse("multipart/mixed;boundary=b", body(multipart.MAX_PART_HEAD))[0].body == b"y" * 9000
    with pytest.raises(ParseError):
        parse("multipart/mixed;boundary=b", body(multipart.MAX_PART_HEAD + 1))


def test_a_boundary_may_have_seventy_characters_and_no_more():
    assert boundary_of("a/b;boundary=" + "x" * multipart.MAX_BOUNDARY) == "x" * multipart.MAX_BOUNDARY
    with pytest.raises(ParseError):
        boundary_of("a/b;boundary=" + "x" * (multipart.MAX_BOUNDARY + 1))


@given(st.binary(max_size=300))
def test_base64_comes_back_and_stays_within_76_columns(body):
    encoded = encode_base64(body)
    assert all(len(line) <= 76 for line in encoded.split(b"\r\n"))
    assert decode_base64(encoded) == body
    part = Part(headers=(("content-transfer-encoding", "Base64"),), body=encoded)
    assert part.decoded_body == body


def test_broken_base64_is_a_parse_error():
    with pytest.raises(ParseError):
        decode_base64(b"abc")


@pytest.mark.parametrize(
    "make",
    [
        lambda size: b"\r\n--b" * size,
        lambda size: b"\n--b" + b" " * size,
        lambda size: b"\n--b--x" * size,
        lambda size: b"--b\r\n\r\n" + b"--b \t" * size,
    ],
    ids=["near delimiters", "padding", "near closings", "delimiters in lines"],
)
def test_the_worst_bodies_take_linear_time(make):
    assert growth(lambda body: parse("multipart/mixed;boundary=b", body), make, 4000) < 30
