from hypothesis import given
from hypothesis import strategies as st

from joyn.protocol.sip.building import build_request, build_response
from joyn.protocol.sip.message import SipRequest, SipResponse, parse
from joyn.protocol.sip.transaction import ClientTransaction, Respond, TimedOut, Timers, client_key
from joyn.transport.sip.awaiting import Awaiting
from joyn.transport.sip.flow import Flow
from joyn.transport.sip.settings import Listener

PATIENCE = 64 * Timers().t1
LISTENER = Listener(name="t", transport="TCP", host="127.0.0.1", port=5060)


def make_request(number: int = 1) -> SipRequest:
    return build_request(
        "MESSAGE",
        "sip:b@joyn.example",
        [
            ("Via", f"SIP/2.0/TCP 192.0.2.5:5060;branch=z9hG4bK{number}"),
            ("From", "<sip:a@joyn.example>;tag=a"),
            ("To", "<sip:b@joyn.example>"),
            ("Call-ID", f"c{number}"),
            ("CSeq", "1 MESSAGE"),
        ],
    )


def make_response(request: SipRequest, status: int) -> SipResponse:
    response = parse(build_response(request, status, to_tag="b"))
    assert isinstance(response, SipResponse)
    return response


def make_flow(name: str = "tcp|1") -> Flow:
    return Flow(name, LISTENER, ("192.0.2.5", 5060))


@given(st.lists(st.tuples(st.floats(0, PATIENCE), st.sampled_from([None, 100, 180, 200, 202, 404, 503])), max_size=6))
def test_who_waits_hears_what_a_client_transaction_over_a_stream_would_tell(happenings):
    """Each happening is a pause in seconds and then a response, or a look at the clock."""
    request = make_request()
    machine = ClientTransaction(request, 0.0, True, Timers())
    machine.start(0.0)
    awaiting, flow, heard = Awaiting(PATIENCE), make_flow(), []
    awaiting.add(client_key(request), request, flow, heard.append, 0.0)
    now, told = 0.0, []
    for pause, status in happenings:
        now += pause
        deadline = machine.deadline()
        assert awaiting.deadline() == deadline
        if deadline is not None and deadline <= now:
            told += ["timed out" for action in machine.handle_deadline(now) if isinstance(action, TimedOut)]
        heard += ["timed out" for awaited in awaiting.expired(now) if awaited.request is request]
        if status is not None:
            response = make_response(request, status)
            told += [action.response for action in machine.receive(response, now) if isinstance(action, Respond)]
            if awaiting.flow_of(client_key(response)) is not None:
                awaiting.receive(client_key(response), response)
        assert heard == told
        assert flow.outgoing == (machine.deadline() is not None)


def test_they_expire_in_the_order_they_were_sent_in():
    awaiting, flow = Awaiting(32.0), make_flow()
    requests = [make_request(number) for number in range(3)]
    for at, request in enumerate(requests):
        awaiting.add(client_key(request), request, flow, print, float(at))
    assert [awaited.request for awaited in awaiting.expired(33.0)] == requests[:2]
    assert awaiting.deadline() == 34.0
    assert flow.outgoing == 1


def test_a_lost_flow_takes_only_its_own_with_it():
    awaiting, one, other = Awaiting(32.0), make_flow("tcp|1"), make_flow("tcp|2")
    for number, flow in enumerate((one, other)):
        awaiting.add(client_key(make_request(number)), make_request(number), flow, print, 0.0)
    assert [awaited.flow for awaited in awaiting.lost(one)] == [one]
    assert (one.outgoing, other.outgoing) == (0, 1)


def test_an_answer_is_awaited_on_the_flow_of_its_request_until_it_has_come():
    awaiting, flow, request = Awaiting(32.0), make_flow(), make_request()
    response = make_response(request, 200)
    assert awaiting.flow_of(client_key(response)) is None
    awaiting.add(client_key(request), request, flow, print, 0.0)
    assert awaiting.flow_of(client_key(response)) is flow
    awaiting.receive(client_key(response), response)
    assert awaiting.flow_of(client_key(response)) is None
