import pytest
from hypothesis import given
from hypothesis import strategies as st

from joyn.protocol.errors import ParseError, ProtocolError
from joyn.protocol.sip.message import MAX_HEADERS, SipRequest, parse
from joyn.protocol.sip.proxy import forward_request, forward_response, hops_left, loop_token, looped
from protocol.body_samples import load

OURS = "SIP/2.0/TLS joyn.example;branch=z9hG4bKours"
HEAD = (
    "INVITE tel:+33639980002 SIP/2.0\r\n"
    "Via: SIP/2.0/UDP 192.0.2.5;branch=z9hG4bK1;rport\r\n"
    "route : <sip:joyn.example;lr>,  <sip:a,b@p.example;lr>\r\n"
    "Route: <sip:q.example;lr>\r\n"
    "X-Odd  :  kept \t\r\n"
    "Subject: folded\r\n\tand kept,\r\n   both\r\n"
    "MAX-FORWARDS:  5\r\n"
    "From: <sip:a@joyn.example>;tag=a\r\nTo: <sip:b@joyn.example>\r\nCall-ID: c1\r\nCSeq: 1 INVITE\r\n"
    "P-Asserted-Identity: <tel:+33639980009>\r\n"
    "Content-Length: 4"
)
BODY = b"\r\n\0\xff"


def make_request(head=HEAD, source=None) -> SipRequest:
    request = parse(head.encode("utf-8", "surrogateescape") + b"\r\n\r\n" + BODY)
    assert isinstance(request, SipRequest)
    request.source = source
    return request


def head_of(data):
    head, blank, body = data.partition(b"\r\n\r\n")
    assert blank + body == b"\r\n\r\n" + BODY
    return head.decode("utf-8", "surrogateescape")


def test_only_what_must_change_changes():
    expected = HEAD.replace("Via:", f"Via: {OURS}\r\nVia:", 1).replace("MAX-FORWARDS:  5", "MAX-FORWARDS:  4")
    assert head_of(forward_request(make_request(), via=OURS)) == expected


def test_everything_that_can_be_changed():
    forwarded = forward_request(
        make_request(source=("192.0.2.9", 4000)),
        uri="sip:b@192.0.2.6",
        via=OURS,
        record_route="<sip:joyn.example;lr>",
        drop_routes=1,
        drop={"p-asserted-identity"},
        add=[("P-Asserted-Identity", "<tel:+33639980001>")],
    )
    expected = (
        HEAD.replace("tel:+33639980002", "sip:b@192.0.2.6", 1)
        .replace("Via:", f"Via: {OURS}\r\nVia:", 1)
        .replace(";rport", ";rport=4000;received=192.0.2.9")
        .replace(" <sip:joyn.example;lr>,", "", 1)
        .replace("MAX-FORWARDS:  5", "MAX-FORWARDS:  4")
        .replace("P-Asserted-Identity: <tel:+33639980009>\r\n", "")
    )
    expected += "\r\nRecord-Route: <sip:joyn.example;lr>\r\nP-Asserted-Identity: <tel:+33639980001>"
    assert head_of(forwarded) == expected


@pytest.mark.parametrize(
    ("drop", "routes"),
    [
        (0, ["<sip:joyn.example;lr>,  <sip:a,b@p.example;lr>", "<sip:q.example;lr>"]),
        (1, ["<sip:a,b@p.example;lr>", "<sip:q.example;lr>"]),
        (2, ["<sip:q.example;lr>"]),
        (3, []),
        (9, []),
    ],
)
def test_topmost_routes_are_dropped_across_lines(drop, routes):
    assert parse(forward_request(make_request(), via=OURS, drop_routes=drop)).headers("route") == routes


def test_own_record_route_stands_above_the_others():
    head = HEAD + "\r\nRecord-Route: <sip:p.example;lr>"
    forwarded = parse(forward_request(make_request(head), via=OURS, record_route="<sip:joyn.example;lr>"))
    assert forwarded.headers("record-route") == ["<sip:joyn.example;lr>", "<sip:p.example;lr>"]


def test_missing_max_forwards_and_length_are_added():
    head = HEAD.replace("MAX-FORWARDS:  5\r\n", "").replace("\r\nContent-Length: 4", "")
    forwarded = parse(forward_request(make_request(head), via=OURS))
    assert forwarded.header("max-forwards") == "70"
    assert forwarded.header("content-length") == "4"


def test_a_request_without_hops_left_says_so_and_is_not_forwarded():
    request = make_request(HEAD.replace("  5", " 0"))
    assert hops_left(request) == 0
    with pytest.raises(ProtocolError):
        forward_request(request, via=OURS)


def test_hops_end_at_255():
    assert hops_left(make_request(HEAD.replace("  5", " 255"))) == 255
    for value in ("256", "-1", "x", "", "9" * 5000):
        with pytest.raises(ParseError):
            hops_left(make_request(HEAD.replace("  5", f" {value}")))


def test_line_breaks_cannot_be_added():
    for change in ({"uri": "sip:b\r\n"}, {"record_route": "a\nb"}, {"add": [("A", "b\r\nC: d")]}):
        with pytest.raises(ProtocolError):
            forward_request(make_request(), **({"via": OURS} | change))


def test_response_loses_our_via_from_a_shared_line_only():
    head = (
        'SIP/2.0 200 Oui \r\nServer:x\r\nvia : {}SIP/2.0/UDP a ;x=",", SIP/2.0/TCP b\r\nVia: SIP/2.0/UDP c\r\n'
        "Content-Length: 4"
    )
    wire = head.format(f"{OURS} ,").encode() + b"\r\n\r\n" + BODY
    assert head_of(forward_response(parse(wire))) == head.format("").replace("via : ", "via :")


def test_response_loses_our_via_with_its_line():
    head = "SIP/2.0 200 OK\r\nVia: {}\r\n and: folded\r\nVia: SIP/2.0/UDP a\r\n\tb\r\nContent-Length: 4"
    wire = head.format(OURS).encode() + b"\r\n\r\n" + BODY
    expected = head.replace("Via: {}\r\n and: folded\r\n", "")
    assert head_of(forward_response(parse(wire))) == expected


def test_response_with_no_via_but_ours_is_not_forwarded():
    with pytest.raises(ParseError):
        forward_response(parse(f"SIP/2.0 200 OK\r\nVia: {OURS}\r\n\r\n".encode()))


@pytest.mark.parametrize("sample", load("sip/messages"))
def test_samples_forwarded_there_and_back_are_the_same_bytes(sample):
    if "value" not in sample or not sample.get("emit"):
        return
    message = parse(sample["wire"])
    if not isinstance(message, SipRequest) or message.header("content-length") is None:
        return
    there = forward_request(message, via=OURS)
    hops = message.header("max-forwards")
    expected = sample["wire"]
    if hops is None:
        expected = expected.replace(b"\r\n\r\n", b"\r\nMax-Forwards: 70\r\n\r\n", 1)
    else:
        expected = expected.replace(b"Max-Forwards: " + hops.encode(), b"Max-Forwards: %d" % (int(hops) - 1))
    assert there.replace(f"Via: {OURS}\r\n".encode(), b"", 1) == expected


@given(st.text('aé\udc80:;,"<> \t', max_size=20), st.binary(max_size=20))
def test_any_value_and_any_body_go_through_untouched(value, body):
    head = f"OPTIONS sip:b SIP/2.0\r\nVia: SIP/2.0/UDP a\r\nX:{value}\r\nMax-Forwards: 2\r\nContent-Length: {len(body)}"
    wire = head.encode("utf-8", "surrogateescape") + b"\r\n\r\n" + body
    forwarded = forward_request(parse(wire), via=OURS)
    assert forwarded == wire.replace(b"Via:", f"Via: {OURS}\r\nVia:".encode(), 1).replace(b"s: 2", b"s: 1", 1)


@given(st.binary(max_size=60), st.integers(0, 500))
def test_arbitrary_bytes_are_forwarded_or_a_parse_error(noise, at):
    wire = HEAD.encode() + b"\r\n\r\n" + BODY
    try:
        message = parse(wire[:at] + noise + wire[at + len(noise) :])
        if isinstance(message, SipRequest) and hops_left(message) > 0:
            message.source = ("192.0.2.9", 4000)
            parse(forward_request(message, via=OURS, drop_routes=2, record_route="<sip:x;lr>"))
            looped(message, ("joyn.example", 5061))
    except ParseError:
        return


def test_a_request_that_comes_back_unchanged_is_a_loop():
    request = make_request()
    via = f"{OURS}.{loop_token(request)}"
    back = parse(forward_request(request, via=via))
    assert looped(back, ("joyn.example", 5061))
    assert not looped(back, ("other.example", 5061))
    assert not looped(request, ("joyn.example", 5061))


def test_a_request_that_comes_back_with_another_target_is_a_spiral():
    request = make_request()
    back = parse(forward_request(request, via=f"{OURS}.{loop_token(request)}", uri="sip:b@192.0.2.6"))
    assert not looped(back, ("joyn.example", 5061))


def test_the_most_header_lines_that_can_be_read_can_be_forwarded():
    room = MAX_HEADERS - HEAD.count("\r\n")
    assert forward_request(make_request(HEAD + "\r\nA: b" * room), via=OURS).count(b"A: b") == room
    with pytest.raises(ParseError):
        forward_request(make_request(HEAD + "\r\nA: b" * (room + 1)), via=OURS)
