from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joyn.protocol import imdn
from joyn.protocol.errors import ParseError
from joyn.protocol.imdn import Imdn
from protocol.body_samples import growth, load, value_or_error

XML_TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc", "Cn"]), max_size=40).map(str.strip)
IDS = XML_TEXT.filter(lambda text: 0 < len(text.encode()) <= imdn.MAX_MESSAGE_ID)


def make_imdn(**changes) -> Imdn:
    return replace(
        Imdn(message_id="m1", kind="delivery", status="delivered", datetime="2026-01-31T10:00:02Z"), **changes
    )


@pytest.mark.parametrize("sample", load("imdn"))
def test_sample_means_what_it_says(sample):
    if "error" in sample:
        with pytest.raises(ParseError) as caught:
            Imdn.parse(sample["wire"])
        assert caught.value.at == sample["error"]["at"]
        return
    value = Imdn(**sample["value"])
    assert Imdn.parse(sample["wire"]) == value
    if sample.get("emit"):
        assert value.emit() == sample["wire"]


@given(IDS, XML_TEXT, XML_TEXT, st.sampled_from(imdn.KINDS), st.sampled_from(["delivered", "legacy-sms", "stored"]))
def test_what_is_emitted_is_read_back(message_id, datetime, subject, kind, status):
    value = make_imdn(
        message_id=message_id, datetime=datetime, subject=subject, kind=kind, status=status, recipient_uri=subject
    )
    assert Imdn.parse(value.emit()) == value


@given(
    message_id=st.text("aZ0.<&>\" '\n@é", max_size=6),
    kind=st.sampled_from(imdn.KINDS),
    gap=st.sampled_from(["", "\n", " \r\n", "x", "\v"]),
    declaration=st.sampled_from(["", '<?xml version="1.0" encoding="UTF-8"?>', "<!-- -->"]),
)
def test_the_short_way_reads_what_the_long_way_reads(message_id, kind, gap, declaration):
    data = (
        f'{declaration}<imdn xmlns="urn:ietf:params:xml:ns:imdn">{gap}<message-id>{message_id}</message-id>{gap}'
        f"<datetime>{message_id}</datetime><{kind}-notification><status>{gap}<a/></status></{kind}-notification></imdn>"
    ).encode()
    short, long = value_or_error(Imdn.parse, data), value_or_error(Imdn._parse_any, data)
    assert (short == long) or (isinstance(short, ParseError) and isinstance(long, ParseError))


@given(st.binary(max_size=100), st.integers(0, 300))
def test_arbitrary_bytes_are_an_imdn_or_a_parse_error(noise, at):
    value_or_error(Imdn.parse, noise)
    document = make_imdn().emit()
    value_or_error(Imdn.parse, document[:at] + noise + document[at + len(noise) :])


@pytest.mark.parametrize("ending", ["", "<!-- the long way -->"])
def test_a_message_id_may_have_256_bytes_and_no_more(ending):
    longest = "i" * imdn.MAX_MESSAGE_ID
    assert Imdn.parse(make_imdn(message_id=longest).emit() + ending.encode()).message_id == longest
    with pytest.raises(ParseError):
        Imdn.parse(make_imdn(message_id=longest + "i").emit() + ending.encode())


def test_a_document_may_have_max_imdn_bytes_and_no_more():
    document = make_imdn().emit()
    assert Imdn.parse(document.ljust(imdn.MAX_IMDN)) == make_imdn()
    with pytest.raises(ParseError):
        Imdn.parse(document.ljust(imdn.MAX_IMDN + 1))


def test_another_document_is_not_an_imdn():
    with pytest.raises(ParseError):
        Imdn.parse(b"<isComposing/>")


@pytest.mark.parametrize("filler", [b" ", b"i", b"<status>", b"<message-id>"])
def test_the_worst_documents_take_linear_time(filler):
    head = b'<imdn xmlns="urn:ietf:params:xml:ns:imdn"><message-id>m</message-id><datetime>'
    assert growth(Imdn.parse, lambda size: head + filler * (size // len(filler)), 1900) < 30
