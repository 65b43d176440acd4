"""The legs of a node: found without looking at anybody else's, ended with their flow, the least used one first."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from types import SimpleNamespace
from typing import Any, cast

from joyn.model.aor import Aor
from joyn.services.messaging.sessions import MAX_LEGS_PER_DEVICE, Sessions
from joyn.transport.msrp import MsrpEndpoint
from joyn.transport.sip import Endpoint, Flow, Listener
from services.scene import ALICE, BOB, CAROL, DAVE

LISTENER = Listener(name="tcp", transport="TCP", host="192.0.2.254", port=5060)
PHONE, TABLET = (BOB, "phone"), (BOB, "tablet")


class Media:
    """An MSRP session whose peer is there and takes everything."""

    bound = True

    def __init__(self, number: int) -> None:
        self.local_path = f"msrp://192.0.2.254:2855/{number};tcp"
        self.sent: list[str] = []
        self.on_send: Callable[[], None] = lambda: None

    def send(self, _id: str, content_type: str, _body: bytes, **_options: Any) -> None:
        self.sent.append(content_type)
        self.on_send()

    def close(self) -> None:
        pass


class Compared(str):
    """An AOR that counts how often it is compared with another one."""

    __slots__ = ()
    times = 0

    def __eq__(self, other: object) -> bool:
        Compared.times += 1
        return str.__eq__(self, other)

    __hash__ = str.__hash__


def make_sessions(clock: Callable[[], float] = lambda: 0.0) -> Sessions:
    numbers = count(1)
    msrp = SimpleNamespace(listens=lambda **_kind: True, session=lambda _handler, **_kind: Media(next(numbers)))
    sessions = Sessions(cast(Endpoint, SimpleNamespace()), cast(MsrpEndpoint, msrp), session_id=lambda: 1, now=clock)
    sessions.handler = cast(Any, None)
    return sessions


def make_flow(name: str) -> Flow:
    return Flow(name, LISTENER, ("192.0.2.1", 5060))


def media_of(leg: Any) -> Media:
    return cast(Media, leg.media)


def test_typing_is_told_to_the_recipient_s_chats_with_the_sender_alone() -> None:
    sessions, flow = make_sessions(), make_flow("f")
    told = [sessions.open(device, ALICE, flow, deferred=False) for device in (PHONE, TABLET)]
    others = [
        sessions.open(PHONE, CAROL, flow, deferred=False),
        sessions.open((CAROL, "p"), ALICE, flow, deferred=False),
    ]
    sessions.compose(ALICE, BOB, b"typing")
    assert [len(media_of(leg).sent) for leg in told + others] == [1, 1, 0, 0]


def test_a_chat_that_breaks_while_it_is_told_of_typing_hides_it_from_no_other() -> None:
    sessions, flow = make_sessions(), make_flow("f")
    first, second = (sessions.open(device, ALICE, flow, deferred=False) for device in (PHONE, TABLET))
    media_of(first).on_send = lambda: sessions.end(first)
    sessions.compose(ALICE, BOB, b"typing")
    assert first.closed
    assert len(media_of(second).sent) == 1


def test_nobody_else_s_legs_are_looked_at() -> None:
    sessions, flow = make_sessions(), make_flow("f")
    for number in range(100):
        sessions.open((Aor(Compared(f"tel:+336399801{number:02}")), "phone"), ALICE, flow, deferred=False)
    Compared.times = 0
    assert sessions.towards(BOB, ALICE) == []
    sessions.end_all(BOB)
    assert Compared.times == 0


def test_a_lost_flow_takes_its_own_legs_and_no_others() -> None:
    sessions = make_sessions()
    lost, alive = make_flow("lost"), make_flow("alive")
    gone = [sessions.open(PHONE, peer, lost, deferred=False) for peer in (ALICE, CAROL)]
    stays = sessions.open(TABLET, ALICE, alive, deferred=False)
    sessions.flow_lost(lost)
    assert [leg.closed for leg in (*gone, stays)] == [True, True, False]
    assert sessions.find(PHONE, ALICE) is None
    assert sessions.find(TABLET, ALICE) is stays
    sessions.flow_lost(lost)
    assert len(sessions) == 1


def test_every_leg_of_a_subscriber_ends_and_nothing_is_kept_of_any() -> None:
    sessions, flow = make_sessions(), make_flow("f")
    mine = [sessions.open(device, peer, flow, deferred=False) for device in (PHONE, TABLET) for peer in (ALICE, CAROL)]
    other = sessions.open((CAROL, "phone"), BOB, flow, deferred=False)
    sessions.end_all(BOB)
    assert all(leg.closed for leg in mine)
    assert not other.closed
    sessions.end(other)
    assert not any((sessions._legs, sessions._on_flow, sessions._media, sessions._dialogs))


def test_one_chat_too_many_ends_the_one_unused_for_longest() -> None:
    sessions, flow = make_sessions(count().__next__), make_flow("f")
    legs = [
        sessions.open(PHONE, f"tel:+336399801{number:02}", flow, deferred=False)
        for number in range(MAX_LEGS_PER_DEVICE)
    ]
    sessions.used(legs[0])
    sessions.open(PHONE, DAVE, flow, deferred=False)
    assert [leg.closed for leg in legs[:3]] == [False, True, False]
    assert len(sessions) == MAX_LEGS_PER_DEVICE
