import pytest
from hypothesis import given
from hypothesis import strategies as st

from joyn.protocol import form_data
from joyn.protocol.errors import ParseError
from joyn.protocol.form_data import MAX_FORM_PARTS, FormReader, PartBegun, PartEnded
from joyn.protocol.multipart import MAX_PART_HEAD
from protocol.body_samples import growth

TYPE = "multipart/form-data; boundary=joyn42"
BODIES = st.lists(
    st.one_of(st.binary(max_size=60), st.text("\r\n-joyn42", max_size=40).map(str.encode)).filter(
        lambda body: b"\r\n--joyn42" not in b"\r\n" + body
    ),
    max_size=4,
)


def make_form(bodies, preamble=b"", last=b"--\r\n"):
    parts = [
        f'--joyn42\r\nContent-Disposition: form-data; name="File{number}"; filename="a;b.jpg"\r\n\r\n'.encode() + body
        for number, body in enumerate(bodies)
    ]
    return preamble + b"\r\n".join([*parts, b"--joyn42"]) + last


def read(form, sizes=()):
    """The names and bodies of a form fed in pieces of these sizes, then whole."""
    reader, parts, at = FormReader(TYPE), [], 0
    for size in (*sizes, len(form)):
        for event in reader.feed(form[at : at + size]):
            if isinstance(event, PartBegun):
                parts.append([event.name, b"", False])
            elif isinstance(event, PartEnded):
                parts[-1][2] = True
            else:
                assert not parts[-1][2]
                parts[-1][1] += event
        at += size
    return [tuple(part) for part in parts], reader.done


@given(BODIES, st.lists(st.integers(0, 30), max_size=60))
def test_however_it_is_cut_it_is_the_same_form(bodies, sizes):
    expected = [(f"file{number}", body, True) for number, body in enumerate(bodies)]
    assert read(make_form(bodies), sizes) == (expected, True)
    assert read(make_form(bodies, b"a preamble\r\n"), [1] * 400) == (expected, True)


@given(BODIES, st.lists(st.integers(1, 30), max_size=60))
def test_a_buffer_that_is_used_again_gives_nothing_of_what_was_in_it(bodies, sizes):
    form, at = make_form(bodies), 0
    reader, buffer, got = FormReader(TYPE), bytearray(b"\r\n--joyn42--\r\n" * 60), b""
    for size in (*sizes, *[30] * len(form)):
        piece = form[at : at + size]
        buffer[: len(piece)] = piece
        got += b"".join(event for event in reader.feed(buffer, len(piece)) if isinstance(event, memoryview))
        at += size
    assert (got, reader.done) == (b"".join(bodies), True)


@given(st.binary(max_size=80), st.integers(0, 200))
def test_arbitrary_bytes_are_a_form_or_a_parse_error(noise, at):
    form = make_form([b"one", b"two"])
    for data in (noise, form[:at] + noise + form[at:]):
        try:
            whole = read(data)
        except ParseError:
            with pytest.raises(ParseError):
                read(data, [1] * len(data))
        else:
            assert read(data, [1] * len(data)) == whole


def test_what_a_part_says_of_itself_is_read():
    reader = FormReader(TYPE)
    head = (
        b'--joyn42\r\ncontent-disposition: form-data; name="Thumbnail"; filename="a\\"b;c.jpg"\r\n'
        b"Content-Type: image/jpeg\r\nContent-Range: 0-9/10\r\n\r\n"
    )
    (begun,) = reader.feed(head)
    assert (begun.name, begun.file_name, begun.header("content-type")) == ("thumbnail", 'a"b;c.jpg', "image/jpeg")
    assert begun.header("Content-Range") == "0-9/10"
    assert not reader.done


def test_a_form_without_its_end_is_not_done():
    assert read(make_form([b"one"], last=b"")) == ([("file0", b"one", False)], False)


@pytest.mark.parametrize(
    "form",
    [
        b"--joyn42 and more\r\nA: b\r\n\r\n",
        b"--joyn42\r\nno header\r\n\r\n",
        b"--joyn42\r\n: empty\r\n\r\n",
        b"--joyn42\r\n" + b"A: b\r\n" * 64 + b"\r\n",
        b"--joyn42\r\nA: " + b"a" * MAX_PART_HEAD,
    ],
)
def test_a_head_that_is_none_is_refused(form):
    with pytest.raises(ParseError):
        read(form)


def test_a_form_may_have_so_many_parts():
    assert len(read(make_form([b"x"] * MAX_FORM_PARTS))[0]) == MAX_FORM_PARTS
    with pytest.raises(ParseError):
        read(make_form([b"x"] * (MAX_FORM_PARTS + 1)))


@pytest.mark.parametrize("kind", ["text/plain", "multipart/form-data", "multipart/form-data; boundary="])
def test_without_a_boundary_it_is_no_form(kind):
    with pytest.raises(ParseError):
        FormReader(kind)


@pytest.mark.parametrize("filler", [b"\r", b"\r\n--joyn4", b"\r\n", b"-", b"a"])
def test_the_worst_bodies_take_linear_time(filler):
    assert growth(read, lambda size: make_form([filler * (size // len(filler))]), 20_000) < 24


def test_what_waits_is_no_longer_than_a_delimiter():
    reader = FormReader(TYPE)
    list(reader.feed(b"--joyn42\r\n\r\n"))
    for _ in range(100):
        list(reader.feed(b"\r\n--joyn4"))
        assert len(reader._kept) < len(b"\r\n--joyn42")
    assert form_data.MAX_FORM_PARTS > 3
