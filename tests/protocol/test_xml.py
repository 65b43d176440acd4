import pytest
from hypothesis import given
from hypothesis import strategies as st

from joyn.protocol import xml
from joyn.protocol.errors import ParseError
from protocol.body_samples import growth, load, value_or_error


@pytest.mark.parametrize("sample", load("xml"))
def test_sample_means_what_it_says(sample):
    if "error" in sample:
        with pytest.raises(ParseError) as caught:
            xml.parse(sample["wire"])
        assert caught.value.at == sample["error"]["at"]
        return
    root, value = xml.parse(sample["wire"]), sample["value"]
    assert xml.local_name(root) == value["name"]
    assert xml.text_of(root) == value["text"]
    assert {xml.local_name(child): xml.text_of(child) for child in root} == value["children"]


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_a_tree_or_a_parse_error(data):
    for candidate in (data, b"<a>" + data + b"</a>", b"<a b='" + data):
        value_or_error(xml.parse, candidate)


@given(st.text(st.characters(), max_size=60))
def test_escaped_text_comes_back_except_what_xml_cannot_say(text):
    root = xml.parse(f'<a b="{xml.escape(text)}">{xml.escape(text)}</a>'.encode())
    unsayable = {*map(chr, range(32)), *map(chr, range(0xD800, 0xE000)), "\ufffe", "\uffff"} - set("\t\n\r")
    assert (root.text or "") == "".join("\ufffd" if char in unsayable else char for char in text)
    assert root.get("b") == (root.text or "")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "cp037", "utf-7"])
def test_a_dtd_in_another_encoding_does_not_get_in(encoding):
    document = f'<?xml version="1.0" encoding="{encoding}"?><!DOCTYPE a [<!ENTITY e "x">]><a>&e;</a>'
    with pytest.raises(ParseError):
        xml.parse(document.encode(encoding))


def test_a_document_may_be_max_depth_deep_and_no_deeper():
    def nested(depth: int) -> bytes:
        return b"<a>" * depth + b"</a>" * depth

    assert xml.local_name(xml.parse(nested(xml.MAX_DEPTH))) == "a"
    with pytest.raises(ParseError):
        xml.parse(nested(xml.MAX_DEPTH + 1))
    with pytest.raises(ParseError):
        xml.parse(nested(50_000))


def test_a_document_may_have_max_document_bytes_and_no_more():
    assert xml.local_name(xml.parse(b"<a/>".ljust(xml.MAX_DOCUMENT))) == "a"
    with pytest.raises(ParseError) as caught:
        xml.parse(b"<a/>".ljust(xml.MAX_DOCUMENT + 1))
    assert caught.value.at == xml.MAX_DOCUMENT


def test_children_are_found_by_local_name():
    root = xml.parse(b'<a xmlns="u:1" xmlns:n="u:2"><n:b>one</n:b><b>two</b><!-- c --></a>')
    assert xml.child_text(root, "b") == "one"
    assert xml.child_text(root, "c") == ""
    assert xml.child(root, "c") is None


@pytest.mark.parametrize(
    "make",
    [
        lambda size: b"<a>" + b"<b>x</b>" * size + b"</a>",
        lambda size: b"<a>\n" + b"\n" * size + b"<",
        lambda size: b"<a>" * size,
        lambda size: b"<a>" + b"&amp;" * size + b"</a>",
    ],
    ids=["many elements", "many lines", "depth", "references"],
)
def test_the_worst_documents_take_linear_time(make):
    assert growth(xml.parse, make, 2000) < 30
