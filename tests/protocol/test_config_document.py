from dataclasses import asdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from joyn.protocol.config_document import (
    MAX_DOCUMENT,
    MAX_PARAMETERS,
    Characteristic,
    Configuration,
    emit,
    parse,
    understand,
)
from joyn.protocol.errors import ParseError
from protocol.body_samples import growth, load, value_or_error

VERS = Characteristic("VERS", (("version", "7"), ("validity", "60")))
TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc", "Cn"]), max_size=8).map(str.strip)
LEAVES = st.builds(Characteristic, TEXT, st.lists(st.tuples(TEXT, TEXT), max_size=3).map(tuple))
TREES = st.recursive(
    LEAVES, lambda inside: st.builds(Characteristic, TEXT, st.just(()), st.lists(inside, max_size=2).map(tuple))
)


def in_vector(configuration: Configuration) -> object:
    """The value with the names of the vectors, which are those of the web client."""

    def renamed(value: object) -> object:
        if isinstance(value, dict):
            return {_camel(key): renamed(one) for key, one in value.items()}
        return list(value) if isinstance(value, tuple) else value

    return renamed(asdict(configuration))


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(map(str.capitalize, others))


@pytest.mark.parametrize("sample", load("config"))
def test_samples(sample) -> None:
    if "error" in sample:
        with pytest.raises(ParseError) as caught:
            parse(sample["wire"])
        assert caught.value.at == sample["error"]["at"]
    else:
        assert in_vector(understand(sample["wire"])) == sample["value"]


@given(st.lists(TREES, max_size=3).map(tuple))
@settings(max_examples=60)
def test_what_is_written_is_read_back(document) -> None:
    assert parse(emit((VERS, *document))) == (VERS, *document)


@given(st.binary(max_size=200))
@settings(max_examples=100)
def test_anything_is_a_document_or_an_error(data) -> None:
    value_or_error(understand, data)
    value_or_error(understand, b"<wap-provisioningdoc>" + data + b"</wap-provisioningdoc>")


@pytest.mark.parametrize("count", [MAX_PARAMETERS, MAX_PARAMETERS + 1])
def test_the_number_of_parameters_is_bounded(count) -> None:
    # VERS has two of them, and inside of it are the others.
    document = emit((Characteristic("VERS", VERS.parameters, (Characteristic("X"),) * (count - 2)),))
    if count <= MAX_PARAMETERS:
        assert parse(document)
    else:
        with pytest.raises(ParseError, match="more than"):
            parse(document)


@pytest.mark.parametrize("size", [MAX_DOCUMENT, MAX_DOCUMENT + 1])
def test_the_size_is_bounded(size) -> None:
    document = emit((VERS,))
    document += b" " * (size - len(document))
    assert isinstance(value_or_error(parse, document), ParseError) == (size > MAX_DOCUMENT)


def test_reading_takes_as_long_as_the_document_is() -> None:
    assert growth(parse, lambda size: emit((VERS, *(Characteristic("X"),) * size)), 400) < 24
