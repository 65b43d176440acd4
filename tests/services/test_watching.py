"""Who watches the bindings of an AOR: told on change, ended with their flow, and with a word on why."""

from __future__ import annotations

from typing import Any, cast

import pytest

from joyn.model.aor import Aor
from joyn.protocol.sip.dialog import Dialog
from joyn.protocol.sip.message import SipRequest, parse
from joyn.services.watching import MAX_PER_AOR, Watching
from joyn.transport.sip import Endpoint, Flow, Listener
from services.scene import ALICE, BOB, NOON

LISTENER = Listener(name="tcp", transport="TCP", host="192.0.2.254", port=5060)
SUBSCRIBE = (
    "SUBSCRIBE tel:+33639980001 SIP/2.0\r\nVia: SIP/2.0/TCP 192.0.2.1;branch=z9hG4bK1\r\nMax-Forwards: 70\r\n"
    "From: <tel:+33639980001>;tag={tag}\r\nTo: <tel:+33639980001>\r\nCall-ID: c{tag}\r\nCSeq: 1 SUBSCRIBE\r\n"
    "Contact: <sip:alice@192.0.2.1>\r\nEvent: reg\r\nContent-Length: 0\r\n\r\n"
)


class Sent:
    """An endpoint that keeps what is sent."""

    def __init__(self) -> None:
        self.requests: list[tuple[Flow, SipRequest]] = []

    def make_branch(self) -> str:
        return f"z9hG4bKours{len(self.requests)}"

    def send_request(self, flow: Flow, request: SipRequest, _on_response: Any) -> None:
        self.requests.append((flow, request))

    def states(self) -> list[str]:
        return [request.header("subscription-state") or "" for _, request in self.requests]


class Desk:
    """Subscriptions, and what was sent for them at NOON."""

    def __init__(self) -> None:
        self.sent = Sent()
        self.watching = Watching(cast(Endpoint, self.sent), lambda _aor: (), wall=lambda: NOON)
        self._opened = 0

    def open(self, flow: Flow, aor: Aor = ALICE, username: str = "alice") -> SipRequest:
        """A subscription; what comes back is a later request inside it."""
        self._opened += 1
        first = SUBSCRIBE.format(tag=self._opened)
        dialog = Dialog.of_server(request_of(first), f"ours{self._opened}")
        self.watching.open(aor, username, dialog, flow, 600)
        return request_of(first.replace("\r\nCall", f";tag=ours{self._opened}\r\nCall"))


def request_of(text: str) -> SipRequest:
    request = parse(text.encode())
    assert isinstance(request, SipRequest)
    return request


@pytest.fixture
def desk() -> Desk:
    return Desk()


def make_flow(name: str = "f") -> Flow:
    return Flow(name, LISTENER, ("192.0.2.1", 5060))


def test_a_change_is_told_to_who_watches_that_aor(desk: Desk) -> None:
    mine, other = make_flow("mine"), make_flow("other")
    desk.open(mine)
    desk.open(other, BOB)
    desk.watching.changed(ALICE)
    assert [flow for flow, _ in desk.sent.requests] == [mine]
    assert desk.sent.states() == ["active;expires=600"]


def test_a_lost_flow_takes_its_own_watchers_and_no_others(desk: Desk) -> None:
    lost, alive = make_flow("lost"), make_flow("alive")
    gone, stays = [desk.open(lost), desk.open(lost)], desk.open(alive)
    desk.watching.flow_lost(lost)
    assert [desk.watching.find(request) is None for request in (*gone, stays)] == [True, True, False]
    desk.watching.changed(ALICE)
    assert [flow for flow, _ in desk.sent.requests] == [alive]


def test_who_may_not_watch_any_more_is_told_not_to_come_back(desk: Desk) -> None:
    """RFC 6665 §4.1.3: `timeout` would ask them to subscribe again at once, `rejected` asks them not to."""
    request = desk.open(make_flow())
    desk.watching.end_all(ALICE)
    assert desk.sent.states() == ["terminated;reason=rejected"]
    assert desk.watching.find(request) is None
    desk.watching.changed(ALICE)
    assert len(desk.sent.requests) == 1


def test_who_leaves_hears_a_last_word(desk: Desk) -> None:
    request = desk.open(make_flow())
    watcher = desk.watching.find(request)
    assert watcher is not None
    desk.watching.refresh(watcher, 0)
    desk.watching.notify(watcher)
    assert desk.sent.states() == ["terminated;reason=timeout"]


def test_one_watcher_too_many_takes_the_place_of_the_oldest_and_nothing_is_kept_of_any(desk: Desk) -> None:
    flow = make_flow()
    requests = [desk.open(flow) for _ in range(MAX_PER_AOR + 1)]
    assert [desk.watching.find(request) is None for request in requests] == [True] + [False] * MAX_PER_AOR
    desk.watching.end_all(ALICE)
    assert not any((desk.watching._watchers, desk.watching._by_aor, desk.watching._by_flow))
