import pytest
from hypothesis import given
from hypothesis import strategies as st

from joyn.protocol import geolocation
from joyn.protocol.errors import ParseError
from joyn.protocol.geolocation import Location
from protocol.body_samples import growth, load, value_or_error

XML_TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc", "Cn"]), max_size=30).map(str.strip)


def make_location(**fields) -> Location:
    return Location(**{"id": "l1", "latitude": 48.5, "longitude": -3.5} | fields)


@pytest.mark.parametrize("sample", load("geolocation"))
def test_sample_means_what_it_says(sample):
    if "error" in sample:
        with pytest.raises(ParseError) as caught:
            Location.parse(sample["wire"])
        assert caught.value.at == sample["error"]["at"]
        return
    value = Location(**sample["value"])
    assert Location.parse(sample["wire"]) == value
    if sample.get("emit"):
        assert value.emit() == sample["wire"]


@given(XML_TEXT, st.floats(-90, 90), st.floats(-180, 180), st.floats(0, 1e8))
def test_what_is_emitted_is_read_back(text, latitude, longitude, radius):
    value = make_location(
        id=text, label=text, entity=text, expires=text, latitude=latitude, longitude=longitude, radius=radius
    )
    assert Location.parse(value.emit()) == value


@given(st.binary(max_size=100), st.integers(0, 900))
def test_arbitrary_bytes_are_a_place_or_a_parse_error(noise, at):
    value_or_error(Location.parse, noise)
    document = make_location().emit()
    value_or_error(Location.parse, document[:at] + noise + document[at + len(noise) :])


def test_a_document_may_have_so_many_bytes():
    document = make_location().emit()
    assert Location.parse(document.ljust(geolocation.MAX_LOCATION)) == make_location()
    with pytest.raises(ParseError):
        Location.parse(document.ljust(geolocation.MAX_LOCATION + 1))


@pytest.mark.parametrize("filler", ["<pos/>", "<a>", "1 ", "&amp;"])
def test_the_worst_documents_take_linear_time(filler):
    head, tail = "<rcsenvelope><rcspushlocation>", "</rcspushlocation></rcsenvelope>"
    assert growth(Location.parse, lambda size: f"{head}{filler * (size // len(filler))}{tail}".encode(), 900) < 30
