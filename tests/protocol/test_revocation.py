import pytest
from hypothesis import given
from hypothesis import strategies as st

from joyn.protocol import revocation
from joyn.protocol.errors import ParseError
from joyn.protocol.revocation import RevokeRequest, RevokeResponse, parse
from protocol.body_samples import load, value_or_error

IDS = st.text(st.characters(exclude_categories=["Cs", "Cc", "Cn"]), max_size=40).map(lambda text: f"i{text}d")


@pytest.mark.parametrize("sample", load("revocation"))
def test_sample_means_what_it_says(sample):
    if "error" in sample:
        with pytest.raises(ParseError) as caught:
            parse(sample["wire"])
        assert caught.value.at == sample["error"]["at"]
        return
    value = (RevokeResponse if "result" in sample["value"] else RevokeRequest)(**sample["value"])
    assert parse(sample["wire"]) == value
    if sample.get("emit"):
        assert value.emit() == sample["wire"]


@given(IDS, st.sampled_from(["success", "failure"]))
def test_what_is_emitted_is_read_back(message_id, result):
    for value in (RevokeRequest(message_id=message_id), RevokeResponse(message_id=message_id, result=result)):
        assert parse(value.emit()) == value


@given(st.binary(max_size=60), st.integers(0, 250))
def test_arbitrary_bytes_are_a_revocation_or_a_parse_error(noise, at):
    document = RevokeResponse(message_id="m1", result="success").emit()
    value_or_error(parse, noise)
    value_or_error(parse, document[:at] + noise + document[at + len(noise) :])


def test_a_message_id_may_have_256_bytes_and_no_more():
    longest = "é" * (revocation.MAX_MESSAGE_ID // 2)
    assert parse(RevokeRequest(message_id=longest).emit()) == RevokeRequest(message_id=longest)
    with pytest.raises(ParseError):
        parse(RevokeRequest(message_id=longest + "i").emit())


def test_a_document_may_have_max_bytes_and_no_more():
    request = RevokeRequest(message_id="m1")
    assert parse(request.emit().ljust(revocation.MAX_REVOCATION)) == request
    with pytest.raises(ParseError):
        parse(request.emit().ljust(revocation.MAX_REVOCATION + 1))
