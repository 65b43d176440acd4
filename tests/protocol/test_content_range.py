import pytest
from hypothesis import given
from hypothesis import strategies as st

from joyn.protocol.content_range import MAX_CONTENT_RANGE, ContentRange
from joyn.protocol.errors import ParseError
from joyn.protocol.file_info import MAX_SIZE
from protocol.body_samples import value_or_error


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("bytes 500-999/1000", ContentRange(500, 999, 1000)),
        ("500-999/1000", ContentRange(500, 999, 1000)),
        ("Bytes=0-0/1", ContentRange(0, 0, 1)),
        (" bytes 0 - 9 / 10 ", ContentRange(0, 9, 10)),
        ("bytes 5-9/*", ContentRange(5, 9, None)),
    ],
)
def test_clients_write_it_in_several_ways(text, value):
    assert ContentRange.parse(text) == value


@pytest.mark.parametrize(
    "text",
    ["", "bytes", "bytes 5-4/10", "bytes 0-10/10", "bytes */10", "bytes 0-9", "bytes -1-9/10", "bytes ٣-9/10", "0-9/x"],
)
def test_what_is_none_is_refused(text):
    with pytest.raises(ParseError):
        ContentRange.parse(text)


def test_it_may_be_so_long_and_so_large():
    assert ContentRange.parse(f"0-{MAX_SIZE - 1}/{MAX_SIZE}".ljust(MAX_CONTENT_RANGE)).size == MAX_SIZE
    for text in (f"0-1/{MAX_SIZE + 1}", "0-9/10".ljust(MAX_CONTENT_RANGE + 1)):
        with pytest.raises(ParseError):
            ContentRange.parse(text)


@given(st.integers(0, MAX_SIZE), st.integers(0, 10**6), st.one_of(st.none(), st.integers(1, 10**6)))
def test_what_is_emitted_is_read_back(start, more, rest):
    size = None if rest is None else start + more + rest
    if start + more > MAX_SIZE or (size or 0) > MAX_SIZE:
        return
    value = ContentRange(start, start + more, size)
    assert ContentRange.parse(value.emit()) == value


@given(st.text(max_size=40))
def test_arbitrary_text_is_a_range_or_a_parse_error(text):
    value_or_error(lambda data: ContentRange.parse(data.decode()), text.encode("utf-8", "replace"))
