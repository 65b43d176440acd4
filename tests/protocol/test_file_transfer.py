import pytest
from hypothesis import given
from hypothesis import strategies as st

from joyn.protocol.errors import ParseError
from joyn.protocol.file_transfer import MAX_HASHES, MAX_ID, MAX_SELECTOR, MAX_SIZE, FileOffer
from protocol.body_samples import growth, load, value_or_error

NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


def read(data: bytes) -> FileOffer | None:
    """The attributes, one in each line, as a session description has them after `a=`."""
    attributes = []
    for line in data.decode("utf-8", "replace").split("\r\n"):
        name, colon, value = line.partition(":")
        attributes.append((name, value if colon else None))
    return FileOffer.parse(attributes)


@pytest.mark.parametrize("sample", load("file_transfer"))
def test_sample_means_what_it_says(sample):
    if "error" in sample:
        with pytest.raises(ParseError) as caught:
            read(sample["wire"])
        assert caught.value.at == sample["error"]["at"]
        return
    hashes = tuple(tuple(pair) for pair in sample["value"]["hashes"])
    value = FileOffer(**sample["value"] | {"hashes": hashes})
    assert read(sample["wire"]) == value
    if sample.get("emit"):
        written = "".join(f"{name}:{text}\r\n" for name, text in value.attributes())
        assert written.encode() == sample["wire"]


def test_a_medium_without_a_selector_has_no_file():
    assert FileOffer.parse([("sendonly", None), ("file-transfer-id", "t1")]) is None


def test_the_first_attribute_of_a_name_counts():
    assert FileOffer.parse([("file-selector", "size:1"), ("file-selector", "size:2")]) == FileOffer(size=1)


@given(
    NAMES, st.one_of(st.none(), st.integers(0, MAX_SIZE)), st.binary(min_size=20, max_size=20), st.integers(0, 10**9)
)
def test_what_is_emitted_is_read_back(name, size, digest, start):
    value = FileOffer(
        name=name, content_type="image/jpeg", size=size, hashes=(("sha-1", digest.hex()),), start=start, ranged=True
    )
    assert FileOffer.parse(value.attributes()) == value


@given(st.text(max_size=80))
def test_arbitrary_text_is_a_file_or_a_parse_error(text):
    value_or_error(read, f"file-selector:{text}".encode("utf-8", "replace"))


@pytest.mark.parametrize("part", ['name:"', 'type:"', 'type:a"b" ', "size:1 ", " ", "hash:sha-256:" + "ab" * 32 + " "])
def test_reading_takes_time_in_proportion_to_the_text(part):
    size = MAX_SELECTOR // 8 // len(part)
    assert growth(read, lambda times: b"file-selector:" + part.encode() * times, size) < 24


def test_limits_are_where_they_are_said_to_be():
    fits = "size:1".ljust(MAX_SELECTOR)
    assert FileOffer.parse([("file-selector", fits)]) is not None
    hashes = " ".join(["hash:sha-512:ab"] * MAX_HASHES)
    assert FileOffer.parse([("file-selector", hashes), ("file-transfer-id", "x" * MAX_ID)]) is not None
    for attributes in (
        [("file-selector", fits + " ")],
        [("file-selector", hashes + " hash:sha-512:ab")],
        [("file-selector", "size:1"), ("file-transfer-id", "x" * (MAX_ID + 1))],
        [("file-selector", f"size:{MAX_SIZE + 1}")],
    ):
        with pytest.raises(ParseError):
            FileOffer.parse(attributes)
