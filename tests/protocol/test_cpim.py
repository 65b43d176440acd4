import pytest
from hypothesis import given
from hypothesis import strategies as st

from joyn.protocol import cpim
from joyn.protocol.cpim import CpimMessage, address_uri, build
from joyn.protocol.errors import ParseError, ProtocolError
from protocol.body_samples import growth, load, value_or_error

ANONYMOUS = "<sip:anonymous@anonymous.invalid>"
VALUES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40).map(lambda t: f"x{t}x")


def make_message(body: bytes = b"Bonjour", **changes) -> CpimMessage:
    parts = {"from_": cpim.ANONYMOUS, "to": cpim.ANONYMOUS, "content_type": "text/plain", "message_id": "m1"}
    return CpimMessage.make(**{**parts, **changes}, body=body)


def wire(head: bytes, content: bytes = b"Content-type: text/plain\r\n\r\nhi") -> bytes:
    return head + b"\r\n" + content


@pytest.mark.parametrize("sample", load("cpim"))
def test_sample_means_what_it_says(sample):
    if "error" in sample:
        with pytest.raises(ParseError) as caught:
            CpimMessage.parse(sample["wire"])
        assert caught.value.at == sample["error"]["at"]
        return
    message, value = CpimMessage.parse(sample["wire"]), sample["value"]
    assert message.from_ == value["from"]
    assert list(message.recipients) == value["to"]
    assert message.to == value["to"][0]
    assert message.date_time == value["date_time"]
    assert message.message_id == value["message_id"]
    assert sorted(message.disposition_request) == value["disposition_request"]
    assert message.content_type == value["content_type"]
    assert message.body == value["body"].encode()
    assert message.decoded_body == value.get("decoded", value["body"]).encode()
    assert len(message.headers) == value["headers"]
    for uri, name, text in value.get("namespaced", []):
        assert message.namespaced(uri, name) == text
    assert bytes(message) == sample["wire"]


@pytest.mark.parametrize("sample", [p for p in load("cpim") if p.values[0].get("emit")])
def test_sample_is_built_byte_for_byte(sample):
    message = CpimMessage.parse(sample["wire"])
    assert (
        build(
            from_=message.from_,
            to=message.to,
            content_type=message.content_header("Content-Type"),
            body=message.body,
            message_id=message.message_id,
            date_time=message.date_time,
            disposition_request=message.disposition_request,
            content_headers=[tuple(pair) for pair in sample.get("content_headers", [])],
        )
        == sample["wire"]
    )


@given(body=st.binary(max_size=200), message_id=VALUES.map(lambda t: t[:60]), value=VALUES)
def test_what_is_built_is_read_back(body, message_id, value):
    message_id = message_id.strip()
    extra = [("NS", "e <urn:example:e>"), ("e.Thing", value)]
    message = make_message(body, message_id=message_id, headers=extra, disposition_request=["display", "future"])
    assert message.body == body
    assert message.message_id == message_id
    assert message.namespaced("urn:example:e", "Thing") == value
    assert message.disposition_request == {"display", "future"}


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_a_message_or_a_parse_error(data):
    for candidate in (data, b"From: <sip:a@b>\r\n" + data, b"From: a\r\n\r\nContent-type: " + data + b"\r\n\r\n"):
        message = value_or_error(CpimMessage.parse, candidate)
        if isinstance(message, ParseError):
            continue
        assert bytes(message) == candidate
        assert message.body == candidate[message.body_start :]
        rewritten = message.with_addresses("tel:+33639980009", "tel:+33639980008")
        assert rewritten.from_ == "<tel:+33639980009>"
        assert rewritten.recipients == ("<tel:+33639980008>",)
        assert rewritten.body == message.body


@given(st.lists(st.sampled_from([b"From: x\r\n", b"to:\ty \n", b"N.S: 1 \r\n", b"NS: a <u>\r\n", b"a.B:\r\n c\r\n"])))
def test_rewriting_addresses_changes_no_other_byte(lines):
    content = b"Content-Type:text/plain\n\n\x00\xff\r\n"
    rewritten = CpimMessage.parse(wire(b"".join(lines), content)).with_addresses("sip:f@x", "sip:t@x")
    others = [line for line in lines if not line.lower().startswith((b"from:", b"to:"))]
    kept = bytes(rewritten).replace(b"From: <sip:f@x>\r\n", b"", 1).replace(b"To: <sip:t@x>\r\n", b"", 1)
    assert kept == wire(b"".join(others), content)


def test_a_second_from_does_not_survive_rewriting():
    head = b"NS: c <urn:ietf:params:cpim-headers:>\r\nFrom: <sip:a@x>\r\nfrom: <sip:b@x>\r\n <sip:c@x>\r\nc.From: d\r\n"
    message = CpimMessage.parse(wire(head + b"To: <sip:t@x>\r\n")).with_addresses(from_=ANONYMOUS)
    expected = b"NS: c <urn:ietf:params:cpim-headers:>\r\nFrom: " + ANONYMOUS.encode() + b"\r\nTo: <sip:t@x>\r\n"
    assert bytes(message) == wire(expected)


def test_an_ns_without_prefix_does_not_hide_from():
    message = CpimMessage.parse(wire(b"NS: <urn:example:x>\r\nFrom: <sip:a@x>\r\n.From: b\r\n"))
    assert message.from_ == "<sip:a@x>"


def test_a_prefix_declared_anew_means_the_new_namespace_from_there_on():
    message = CpimMessage.parse(wire(b"NS: p <urn:1>\r\np.A: one\r\nNS: p <urn:2>\r\np.A: two\r\n"))
    assert (message.namespaced("urn:1", "A"), message.namespaced("urn:2", "A")) == ("one", "two")


def test_header_names_are_found_in_any_case_prefix_included():
    message = CpimMessage.parse(wire(b"NS: x <urn:1>\r\nX.Thing: one\r\n"))
    assert message.header("x.thing") == "one"
    assert message.header("Subject") == ""


@pytest.mark.parametrize("name", ["from_", "to", "message_id", "date_time"])
def test_a_line_break_in_a_value_is_our_bug(name):
    with pytest.raises(ProtocolError):
        make_message(**{name: "x\r\nFrom: <sip:evil@x>"})


def test_broken_base64_is_a_parse_error_at_the_body():
    message = CpimMessage.parse(wire(b"", b"Content-Transfer-Encoding: base64\r\n\r\nabc"))
    with pytest.raises(ParseError) as caught:
        _ = message.decoded_body
    assert caught.value.at == message.body_start


@pytest.mark.parametrize(
    ("value", "uri"), [("<tel:+1>", "tel:+1"), ('"a <b>" <sip:c@d>', "sip:c@d"), (" sip:e@f ", "sip:e@f"), ("<x", "x")]
)
def test_the_uri_of_an_address_is_in_its_last_angle_brackets(value, uri):
    assert address_uri(value) == uri


def test_message_id_may_have_256_bytes_and_no_more():
    assert make_message(message_id="é" * 128).message_id == "é" * 128
    with pytest.raises(ParseError):
        make_message(message_id="é" * 128 + "e")


def test_a_block_may_have_max_headers_and_no_more():
    assert len(CpimMessage.parse(wire(b"A: b\r\n" * cpim.MAX_HEADERS)).headers) == cpim.MAX_HEADERS
    with pytest.raises(ParseError):
        CpimMessage.parse(wire(b"A: b\r\n" * (cpim.MAX_HEADERS + 1)))


def test_a_block_may_have_max_head_bytes_and_no_more():
    longest = b"A: ".ljust(cpim.MAX_HEAD - 4, b"b") + b"\r\n"
    assert len(CpimMessage.parse(wire(longest)).header("A")) == cpim.MAX_HEAD - 7
    with pytest.raises(ParseError):
        CpimMessage.parse(wire(b"A" + longest))


def test_a_header_block_does_not_begin_folded():
    with pytest.raises(ParseError):
        CpimMessage.parse(wire(b" From: <sip:a@x>\r\n"))


@pytest.mark.parametrize(
    "make",
    [
        lambda size: b"A:" + b" " * size + b"\x01\r\n\r\n\r\n",
        lambda size: b"A" * size,
        lambda size: b"A: b\r\n\r\n\r\n" + b"\n\r" * size,
    ],
    ids=["blanks", "no end", "body of line ends"],
)
def test_the_worst_messages_take_linear_time(make):
    assert growth(CpimMessage.parse, make, cpim.MAX_HEAD // 16) < 30


@given(st.binary(max_size=50), st.sampled_from([b"Content-length: 3\r\n", b"content-LENGTH :3\r\n", b""]))
def test_another_body_changes_nothing_but_itself_and_its_length(body, length):
    lines = b"Content-type: a/b\r\n%sContent-length-of-mine: 3\r\n"
    head = b"From: <sip:a@x>\r\nContent-length: 3\r\n\r\n"
    rewritten = CpimMessage.parse(head + lines % length + b"\r\nabc").with_body(body)
    assert bytes(rewritten) == head + lines % length.replace(b"3", b"%d" % len(body)) + b"\r\n" + body


def test_another_body_is_in_base64_where_the_former_was():
    head = b"From: <sip:a@x>\r\n\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    rewritten = CpimMessage.parse(head + b"YWJj").with_body(b"\x00abc")
    assert (rewritten.body, rewritten.decoded_body) == (b"AGFiYw==", b"\x00abc")
