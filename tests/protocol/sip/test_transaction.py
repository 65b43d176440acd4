import heapq
import random

import pytest

from joyn.protocol.errors import ProtocolError
from joyn.protocol.sip.building import build_request, build_response
from joyn.protocol.sip.message import SipRequest, SipResponse, parse
from joyn.protocol.sip.transaction import (
    TRYING_AFTER,
    Acknowledged,
    ClientTransaction,
    InviteClientTransaction,
    InviteServerTransaction,
    Request,
    Respond,
    ServerTransaction,
    State,
    Terminated,
    TimedOut,
    Timers,
    Transmit,
    build_ack,
    build_cancel,
    cancelled_key,
    client_key,
    server_key,
)

TIMERS = Timers()
END = [TimedOut(), Terminated()]


def make_request(method="OPTIONS", branch="z9hG4bK1", via="SIP/2.0/UDP 192.0.2.5:5060;rport", **changes) -> SipRequest:
    headers = {
        "Via": f"{via};branch={branch}" if branch else via,
        "Max-Forwards": "70",
        "Route": "<sip:p.example;lr>",
        "From": "<sip:a@joyn.example>;tag=a",
        "To": "<sip:b@joyn.example>",
        "Call-ID": "c1",
        "CSeq": f"7 {method}",
    }
    return build_request(method, "sip:b@joyn.example", list((headers | changes).items()))


def make_response(request, status, tag="b") -> SipResponse:
    response = parse(build_response(request, status, to_tag=tag))
    assert isinstance(response, SipResponse)
    return response


def run_out(machine):
    """The times of a machine's deadlines and everything it does at them, until it has none."""
    times, done = [], []
    while (due := machine.deadline()) is not None:
        times.append(due)
        done += machine.handle_deadline(due)
    return times, done


def make_client(method="OPTIONS", reliable=False):
    maker = InviteClientTransaction if method == "INVITE" else ClientTransaction
    machine = maker(make_request(method), 0.0, reliable, TIMERS)
    assert machine.start(0.0) == [Transmit(bytes(machine.request))]
    return machine


def make_server(method="OPTIONS", reliable=False):
    maker = InviteServerTransaction if method == "INVITE" else ServerTransaction
    request = make_request(method)
    machine = maker(request, 0.0, reliable, TIMERS)
    assert machine.start(0.0) == [Request(request)]
    return machine, request


# Requests other than INVITE, client (§17.1.2).


def test_request_over_udp_is_resent_at_doubling_intervals_up_to_t2():
    times, done = run_out(make_client())
    assert times == [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5, 32.0]
    assert done[-2:] == END
    assert all(isinstance(action, Transmit) for action in done[:-2])


def test_request_over_a_stream_is_sent_once_and_given_up_after_32_seconds():
    assert run_out(make_client(reliable=True)) == ([32.0], END)


def test_after_a_provisional_response_it_is_resent_every_t2():
    machine = make_client()
    assert isinstance(machine.receive(make_response(machine.request, 100), 0.1)[0], Respond)
    assert run_out(machine)[0][:3] == [0.5, 4.5, 8.5]


def test_final_response_over_udp_is_handed_on_once_and_repetitions_absorbed_for_t4():
    machine = make_client()
    response = make_response(machine.request, 200)
    assert machine.receive(response, 1.0) == [Respond(response)]
    assert machine.receive(response, 1.1) == []
    assert machine.receive(make_response(machine.request, 100), 1.2) == []
    assert run_out(machine) == ([6.0], [Terminated()])


def test_final_response_over_a_stream_ends_at_once():
    machine = make_client(reliable=True)
    response = make_response(machine.request, 404)
    assert machine.receive(response, 1.0) == [Respond(response), Terminated()]
    assert machine.deadline() is None


# INVITE, client (§17.1.1, RFC 6026 §7.2).


def test_invite_over_udp_is_resent_at_doubling_intervals():
    times, done = run_out(make_client("INVITE"))
    assert times == [0.5, 1.5, 3.5, 7.5, 15.5, 31.5, 32.0]
    assert done[-2:] == END


def test_invite_that_rings_is_not_resent_and_ends_after_timer_c():
    machine = make_client("INVITE")
    machine.receive(make_response(machine.request, 180), 1.0)
    assert run_out(machine) == ([1.0 + TIMERS.c], END)


def test_trying_does_not_prolong_the_ringing():
    machine = make_client("INVITE")
    machine.receive(make_response(machine.request, 180), 1.0)
    machine.receive(make_response(machine.request, 100), 9.0)
    assert machine.deadline() == 1.0 + TIMERS.c


def test_cancelled_invite_waits_no_longer_than_32_seconds():
    machine = make_client("INVITE")
    machine.receive(make_response(machine.request, 180), 1.0)
    machine.cancel(2.0)
    assert machine.deadline() == 34.0


def test_failure_is_acknowledged_each_time_and_handed_on_once():
    machine = make_client("INVITE")
    response = make_response(machine.request, 486)
    ack = Transmit(bytes(build_ack(machine.request, response)))
    assert machine.receive(response, 1.0) == [ack, Respond(response)]
    assert machine.receive(response, 1.5) == [ack]
    assert run_out(machine) == ([33.0], [Terminated()])


def test_failure_over_a_stream_ends_at_once():
    machine = make_client("INVITE", reliable=True)
    actions = machine.receive(make_response(machine.request, 486), 1.0)
    assert [type(action) for action in actions] == [Transmit, Respond, Terminated]


def test_every_2xx_is_handed_on_until_timer_m():
    machine = make_client("INVITE")
    one, other = make_response(machine.request, 200, "x"), make_response(machine.request, 200, "y")
    assert machine.receive(one, 1.0) == [Respond(one)]
    assert machine.receive(other, 2.0) == [Respond(other)]
    assert machine.receive(make_response(machine.request, 486), 2.0) == []
    assert run_out(machine) == ([33.0], [Terminated()])


def test_acknowledged_2xx_that_comes_again_gets_the_same_ack():
    machine = make_client("INVITE")
    one, other = make_response(machine.request, 200, "x"), make_response(machine.request, 200, "y")
    machine.receive(one, 1.0)
    assert machine.acknowledge(b"ack") == [Transmit(b"ack")]
    assert machine.receive(one, 2.0) == [Transmit(b"ack")]
    assert machine.receive(other, 2.0) == [Respond(other)]


def test_ack_before_a_2xx_is_a_bug():
    with pytest.raises(ProtocolError):
        make_client("INVITE").acknowledge(b"ack")


def test_ack_and_cancel_of_an_invite():
    invite = make_request("INVITE")
    ack, cancel = build_ack(invite, make_response(invite, 486, "z")), build_cancel(invite)
    for companion in (ack, cancel):
        assert companion.uri == invite.uri
        assert companion.headers("via") == [invite.top_via]
        assert companion.headers("route") == invite.headers("route")
        assert companion.cseq == (7, companion.method)
        assert companion.header("from") == invite.header("from")
    assert ack.header("to") == "<sip:b@joyn.example>;tag=z"
    assert cancel.header("to") == invite.header("to")


# Requests other than INVITE, server (§17.2.2).


def test_repeated_request_is_absorbed_then_answered_like_the_first():
    machine, request = make_server()
    assert machine.receive(request, 0.5) == []
    assert machine.send(b"100", 100, 1.0) == [Transmit(b"100")]
    assert machine.receive(request, 1.5) == [Transmit(b"100")]
    assert machine.send(b"200", 200, 2.0) == [Transmit(b"200")]
    assert machine.receive(request, 2.5) == [Transmit(b"200")]
    assert machine.send(b"500", 500, 2.6) == []
    assert run_out(machine) == ([34.0], [Terminated()])


def test_answer_over_a_stream_ends_at_once():
    machine, request = make_server(reliable=True)
    assert machine.send(b"200", 200, 1.0) == [Transmit(b"200"), Terminated()]
    assert machine.receive(request, 1.0) == []
    assert machine.deadline() is None


def test_answered_request_is_not_kept():
    machine, _ = make_server()
    machine.send(b"200", 200, 1.0)
    assert machine.start(1.0) == []
    assert not any(isinstance(getattr(machine, name), SipRequest) for name in ServerTransaction.__slots__)


def test_request_nobody_answers_ends_when_its_sender_has_given_up():
    machine, _ = make_server()
    assert run_out(machine) == ([32.0], END)
    assert machine.send(b"200", 200, 33.0) == []


# INVITE, server (§17.2.1, RFC 6026 §7.1).


def test_invite_is_answered_100_when_the_user_is_slow():
    machine, request = make_server("INVITE")
    assert machine.deadline() == TRYING_AFTER
    [trying] = machine.handle_deadline(TRYING_AFTER)
    assert parse(trying.data).status == 100
    assert machine.receive(request, 0.5) == [trying]
    assert run_out(machine) == ([TIMERS.c], END)


def test_invite_answered_in_time_gets_no_100():
    machine, request = make_server("INVITE")
    assert machine.send(b"180", 180, 0.1) == [Transmit(b"180")]
    assert machine.receive(request, 0.5) == [Transmit(b"180")]
    assert machine.deadline() == 0.1 + TIMERS.c


def test_failure_is_resent_until_its_ack():
    machine, request = make_server("INVITE")
    machine.send(b"486", 486, 0.0)
    assert machine.receive(request, 0.1) == [Transmit(b"486")]
    assert machine.handle_deadline(0.5) == [Transmit(b"486")]
    assert machine.deadline() == 1.5
    assert machine.receive(make_request("ACK"), 1.6) == []
    assert machine.state is State.CONFIRMED
    assert machine.receive(request, 1.7) == []
    assert run_out(machine) == ([1.6 + TIMERS.t4], [Terminated()])


def test_failure_without_ack_times_out():
    machine, _ = make_server("INVITE")
    machine.send(b"486", 486, 0.0)
    times, done = run_out(machine)
    assert times == [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5, 32.0]
    assert done[-2:] == END


def test_failure_over_a_stream_is_sent_once_and_ends_with_its_ack():
    machine, _ = make_server("INVITE", reliable=True)
    machine.send(b"486", 486, 0.0)
    assert machine.deadline() == 32.0
    assert machine.receive(make_request("ACK"), 1.0) == [Terminated()]


def test_accepted_invite_absorbs_repetitions_and_hands_acks_on():
    machine, request = make_server("INVITE")
    assert machine.send(b"200", 200, 0.0) == [Transmit(b"200")]
    assert machine.receive(request, 0.5) == []
    assert machine.send(b"200", 200, 0.5) == [Transmit(b"200")]
    assert machine.send(b"486", 486, 0.6) == []
    ack = make_request("ACK")
    assert machine.receive(ack, 0.7) == [Acknowledged(ack)]
    assert run_out(machine) == ([32.0], [Terminated()])


def test_own_2xx_is_repeated_until_its_ack_over_streams_too():
    machine, request = make_server("INVITE", reliable=True)
    assert machine.accept(b"200", 1.0) == [Transmit(b"200")]
    assert machine.deadline() == 1.5
    assert machine.handle_deadline(1.5) == [Transmit(b"200")]
    assert machine.deadline() == 2.5
    assert machine.receive(request, 2.0) == []
    machine.acknowledged()
    assert run_out(machine) == ([33.0], [Terminated()])


def test_own_2xx_without_ack_times_out():
    machine, _ = make_server("INVITE")
    machine.accept(b"200", 0.0)
    times, done = run_out(machine)
    assert times[:5] == [0.5, 1.5, 3.5, 7.5, 11.5]
    assert done[-2:] == END
    assert machine.accept(b"200", 40.0) == []


# Keys (§17.1.3, §17.2.3).


def test_response_has_the_key_of_its_request():
    for method in ("OPTIONS", "INVITE"):
        request = make_request(method)
        assert client_key(make_response(request, 200)) == client_key(request)
    assert client_key(make_request()) != client_key(make_request(branch="z9hG4bK2"))
    assert client_key(make_request("INVITE")) != client_key(build_cancel(make_request("INVITE")))


def test_ack_has_the_key_of_its_invite_even_when_vias_shared_a_line():
    via = "SIP/2.0/UDP Proxy.example ; branch=z9hG4bK1, SIP/2.0/UDP 192.0.2.5"
    invite = make_request("INVITE", branch="", via=via)
    ack = build_ack(invite, make_response(invite, 486))
    assert ack.top_via == "SIP/2.0/UDP Proxy.example ; branch=z9hG4bK1"
    assert server_key(ack) == server_key(invite) == cancelled_key(build_cancel(invite))
    assert server_key(build_cancel(invite)) != server_key(invite)


def test_same_branch_from_another_sender_is_another_request():
    assert server_key(make_request()) != server_key(make_request(via="SIP/2.0/UDP 192.0.2.6:5060"))


def test_peer_of_rfc_2543_is_known_by_tags_call_id_cseq_and_via():
    for branch in ("", "1", "z9hG4bK"):
        invite = make_request("INVITE", branch=branch)
        assert server_key(invite) == server_key(build_ack(invite, make_response(invite, 486)))
        assert server_key(invite) == cancelled_key(build_cancel(invite))
        for change in ({"From": "<sip:a>;tag=x"}, {"CSeq": "8 INVITE"}, {"Call-ID": "c2"}):
            assert server_key(make_request("INVITE", branch=branch, **change)) != server_key(invite)


class Simulation:
    """Two ends, and a wire that loses, delays, doubles and reorders."""

    def __init__(self, seed, method, status, loss):
        self.dice, self.method, self.status, self.loss = random.Random(seed), method, status, loss
        self.client, self.server = make_client(method), None
        self.finals, self.timed_out, self.sent = [], 0, 0
        self.wire: list[tuple[float, int, bool, bytes]] = []
        self.put(0.0, True, bytes(self.client.request))

    def put(self, now, to_server, data):
        for _ in range(self.dice.choice([1, 1, 1, 2])):
            self.sent += 1
            if self.dice.random() >= self.loss:
                heapq.heappush(self.wire, (now + self.dice.uniform(0.01, 0.8), self.sent, to_server, data))

    def client_does(self, actions, now):
        for action in actions:
            if isinstance(action, Transmit):
                self.put(now, True, action.data)
            elif isinstance(action, TimedOut):
                self.timed_out += 1
            elif isinstance(action, Respond) and action.response.status >= 200:
                self.finals.append(action.response.status)
                if self.method == "INVITE" and action.response.status < 300:
                    ack = make_request("ACK", branch="z9hG4bKack")
                    self.client_does(self.client.acknowledge(bytes(ack)), now)

    def server_does(self, actions, now):
        for action in actions:
            if isinstance(action, Transmit):
                self.put(now, False, action.data)

    def deliver(self, now):
        _, _, to_server, data = heapq.heappop(self.wire)
        message = parse(data)
        if not to_server:
            self.client_does(self.client.receive(message, now), now)
        elif self.server is None and message.method == self.method:
            maker = InviteServerTransaction if self.method == "INVITE" else ServerTransaction
            self.server = maker(message, now, False, TIMERS)
            for status in (100, self.status):
                answer = build_response(message, status, to_tag="b")
                self.server_does(self.server.send(answer, status, now), now)
        elif self.server is not None and server_key(message) == server_key(self.client.request):
            self.server_does(self.server.receive(message, now), now)

    def run(self):
        """Go from event to event until nothing is due any more."""
        for _ in range(10_000):
            due = [(self.client.deadline(), 0), (self.server and self.server.deadline(), 1)]
            due.append((self.wire[0][0] if self.wire else None, 2))
            events = [(time, what) for time, what in due if time is not None]
            if not events:
                return
            now, what = min(events)
            if what == 0:
                self.client_does(self.client.handle_deadline(now), now)
            elif what == 1:
                self.server_does(self.server.handle_deadline(now), now)
            else:
                self.deliver(now)
        raise AssertionError("the simulation does not end")


@pytest.mark.parametrize("method", ["OPTIONS", "INVITE"])
@pytest.mark.parametrize("status", [200, 486])
@pytest.mark.parametrize("loss", [0.0, 0.3, 0.6, 1.0])
def test_over_a_lossy_wire_both_ends_finish_and_the_client_hears_one_final_answer(method, status, loss):
    for seed in range(12):
        simulation = Simulation(seed, method, status, loss)
        simulation.run()
        assert len(simulation.finals) + simulation.timed_out == 1
        assert simulation.client.state is State.TERMINATED
        assert simulation.server is None or simulation.server.state is State.TERMINATED
        assert loss > 0.0 or simulation.finals == [status]
        assert loss < 1.0 or simulation.timed_out == 1
