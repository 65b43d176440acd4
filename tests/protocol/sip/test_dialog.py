import pytest

from joyn.protocol.errors import ParseError
from joyn.protocol.sip.building import build_request, build_response
from joyn.protocol.sip.dialog import Dialog, DialogId
from joyn.protocol.sip.message import SipRequest, SipResponse, parse

VIA = ("Via", "SIP/2.0/UDP 192.0.2.5;branch=z9hG4bK1")
ALICE, BOB = "<sip:alice@192.0.2.5>", "<sip:bob@192.0.2.6>"


def make_invite(*more, contact=ALICE, sender='"Alice" <sip:alice@joyn.example>;tag=a') -> SipRequest:
    headers = [VIA, ("From", sender), ("To", "<sip:bob@joyn.example>"), ("Call-ID", "c1"), ("CSeq", "5 INVITE")]
    return build_request("INVITE", "sip:bob@joyn.example", [*headers, ("Contact", contact), *more])


def make_response(request, status, *more, contact=BOB, tag="b") -> SipResponse:
    headers = [("Contact", contact)] if contact else []
    response = parse(build_response(request, status, to_tag=tag, headers=[*headers, *more]))
    assert isinstance(response, SipResponse)
    return response


def make_pair(*routes):
    """Both ends of one dialog."""
    recorded = [("Record-Route", route) for route in routes]
    invite = make_invite(*recorded)
    return Dialog.of_client(invite, make_response(invite, 200, *recorded)), Dialog.of_server(invite, "b")


def test_both_ends_name_the_dialog_from_their_side():
    caller, called = make_pair()
    assert caller.dialog_id == DialogId("c1", "a", "b")
    assert called.dialog_id == DialogId("c1", "b", "a")


def test_requests_of_either_end_match_at_the_other():
    caller, called = make_pair()
    bye = caller.request("BYE", [VIA])
    assert called.matches(bye)
    assert called.receive(bye)
    assert bye.uri == "sip:bob@192.0.2.6"
    assert bye.cseq == (6, "BYE")
    assert bye.header("from") == '"Alice" <sip:alice@joyn.example>;tag=a'
    assert bye.header("to") == "<sip:bob@joyn.example>;tag=b"
    back = called.request("BYE", [VIA])
    assert caller.matches(back)
    assert back.uri == "sip:alice@192.0.2.5"
    assert back.cseq == (1, "BYE")
    assert not caller.matches(bye)


def test_route_set_is_recorded_order_for_the_called_and_reversed_for_the_caller():
    caller, called = make_pair("<sip:p2.example;lr>", "<sip:p1.example;lr>, <sip:p0.example;lr>")
    hops = ["<sip:p2.example;lr>", "<sip:p1.example;lr>", "<sip:p0.example;lr>"]
    assert called.request("BYE", [VIA]).headers("route") == hops
    assert caller.request("BYE", [VIA]).headers("route") == hops[::-1]


def test_strict_router_gets_itself_as_request_uri():
    _, called = make_pair("<sip:strict.example>", "<sip:p1.example;lr>")
    request = called.request("BYE", [VIA])
    assert request.uri == "sip:strict.example"
    assert request.headers("route") == ["<sip:p1.example;lr>", "<sip:alice@192.0.2.5>"]


def test_early_dialog_takes_its_route_set_anew_from_the_2xx():
    invite = make_invite()
    dialog = Dialog.of_client(invite, make_response(invite, 180, ("Record-Route", "<sip:old.example;lr>")))
    assert dialog.early
    contact = "<sip:bob@192.0.2.7>"
    dialog.confirm(make_response(invite, 200, ("Record-Route", "<sip:new.example;lr>"), contact=contact))
    assert not dialog.early
    assert dialog.route_set == ["<sip:new.example;lr>"]
    assert dialog.remote_target == "sip:bob@192.0.2.7"
    dialog.confirm(make_response(invite, 200))
    assert dialog.route_set == ["<sip:new.example;lr>"]


def test_ack_takes_the_number_of_the_last_invite():
    caller, _ = make_pair()
    assert caller.request("ACK", [VIA]).cseq == (5, "ACK")
    caller.request("MESSAGE", [VIA])
    assert caller.request("ACK", [VIA]).cseq == (5, "ACK")
    assert caller.request("INVITE", [VIA]).cseq == (7, "INVITE")
    assert caller.request("ACK", [VIA]).cseq == (7, "ACK")


def test_request_out_of_order_is_refused_but_ack_is_not():
    caller, called = make_pair()
    first, second = caller.request("MESSAGE", [VIA]), caller.request("MESSAGE", [VIA])
    assert called.receive(second)
    assert not called.receive(first)
    assert not called.receive(second)
    assert called.receive(caller.request("ACK", [VIA]))


def test_target_moves_with_the_contact_of_a_refresh_only():
    caller, called = make_pair()
    called.receive(caller.request("MESSAGE", [VIA, ("Contact", "<sip:alice@192.0.2.8>")]))
    assert called.remote_target == "sip:alice@192.0.2.5"
    update = caller.request("UPDATE", [VIA, ("Contact", "<sip:alice@192.0.2.9>")])
    called.receive(update)
    assert called.remote_target == "sip:alice@192.0.2.9"
    caller.refreshed(make_response(update, 200, contact="<sip:bob@192.0.2.10>"))
    assert caller.remote_target == "sip:bob@192.0.2.10"


def test_peer_without_tag_has_an_empty_one():
    dialog = Dialog.of_server(make_invite(sender="sip:alice@joyn.example"), "b")
    assert dialog.dialog_id == DialogId("c1", "b", "")
    assert dialog.request("BYE", [VIA]).header("to") == "<sip:alice@joyn.example>"


def test_via_stands_on_top_and_max_forwards_may_be_given():
    caller, _ = make_pair()
    request = caller.request("MESSAGE", [("Max-Forwards", "9"), VIA, ("Content-Type", "text/plain")], b"hi")
    assert request.fields[0] == ("via", VIA[1])
    assert request.headers("max-forwards") == ["9"]
    assert request.body == b"hi"


def test_no_contact_no_dialog():
    with pytest.raises(ParseError):
        Dialog.of_client(make_invite(), make_response(make_invite(), 200, contact=""))
    bare = build_request("INVITE", "sip:b", [VIA, ("From", "<sip:a>"), ("To", "<sip:b>"), ("CSeq", "1 INVITE")])
    with pytest.raises(ParseError):
        Dialog.of_server(bare, "b")
