"""The pump of a peer operator: nothing is lost, nothing overtakes, nobody waits for somebody else's trouble."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from joyn.model.aor import Aor
from joyn.model.message import Address, Deposit, Entry, Kind, Message, State
from joyn.model.peer import mailbox_of
from joyn.services.interconnect.outcome import Answer, Outcome
from joyn.services.interconnect.pump import KNOWN, PATIENCE, WINDOW, Pump
from joyn.store import Store
from joyn.store.sqlite import open_store
from services.scene import ALICE, BOB, CAROL, DAVE, MONTH, NOON, make_cpim
from stories import as_test
from waiting import until

SFR = "sfr.example"
MAILBOX = mailbox_of(SFR)
ASKED = "negative-delivery,positive-delivery,processing"


@dataclass(slots=True)
class Sent:
    """One attempt at the peer."""

    entry: Entry
    answer: Callable[[Answer], None]

    @property
    def id(self) -> str:
        return self.entry.message.message_id

    def end(self, outcome: Outcome, reason: str = "", status: int = 0) -> None:
        self.answer(Answer(outcome=outcome, reason=reason, status=status))


class Border:
    """A pump on a store in memory, and the peer as the test plays it."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.now = NOON
        self.up = True
        self.at_once: Outcome | None = Outcome.TAKEN
        self.sent: list[Sent] = []
        self.reports: list[tuple[str, State]] = []
        self.failed: list[tuple[str, int]] = []
        self.start()

    def start(self) -> None:
        """A pump as a new run of the node has it."""
        self.pump = Pump(
            SFR,
            self.store.mailboxes,
            begin=self._begin,
            ready=lambda: self.up,
            wall=lambda: self.now,
            random=lambda: 0.0,
        )
        self.pump.report = lambda message, state: self.reports.append((message.message_id, state))
        self.pump.failure = self._failure
        self.store.mailboxes.on_accepted = lambda entries: [self.pump.nudge(one) for one in entries]

    def _begin(self, entry: Entry, answer: Callable[[Answer], None]) -> None:
        one = Sent(entry, answer)
        self.sent.append(one)
        if self.at_once is not None:
            one.end(self.at_once)

    def _failure(self, entry: Entry, cause: int) -> Deposit | None:
        self.failed.append((entry.message.message_id, cause))
        return None

    async def deposit(self, message_id: str, sender: Aor = ALICE, recipient: Aor = BOB, **fields: Any) -> None:
        """A message to a subscriber of the peer's."""
        message = Message(
            sender=sender,
            conversation=recipient,
            message_id=message_id,
            content_type="text/plain",
            cpim=make_cpim(message_id, b"salut"),
            digest=message_id.encode(),
            requested=ASKED,
            accepted_at=self.now,
            deliver_until=NOON + MONTH,
            retain_until=NOON + 3 * MONTH,
        )
        await self.store.mailboxes.accept(
            Deposit(message=replace(message, **fields), addresses=(Address(mailbox=MAILBOX),))
        )

    @property
    def ids(self) -> list[str]:
        """What was sent, in order."""
        return [one.id for one in self.sent]

    def last(self, message_id: str) -> Sent:
        return next(one for one in reversed(self.sent) if one.id == message_id)

    async def nothing_waits(self) -> bool:
        """Whether the store knows of nothing that is due to the peer."""
        return await self.store.mailboxes.pending(MAILBOX) == 0

    async def restart(self) -> None:
        """Kill and start again."""
        await self.pump.close()
        await self.store.mailboxes.flush()
        self.sent.clear()
        self.start()
        await self.pump.open()


def at_the_border(story: Callable[[Border], Awaitable[None]]) -> Callable[[], None]:
    """Make a test of a story."""

    def test() -> None:
        async def play() -> None:
            store = open_store(":memory:", node="n", wall_clock=lambda: NOON, on_fatal=lambda error: None)
            border = Border(store)
            try:
                await border.pump.open()
                await story(border)
            finally:
                await border.pump.close()
                await store.close()

        asyncio.run(play())

    return as_test(story, test)


@at_the_border
async def test_what_is_committed_goes_at_once_and_is_acknowledged_on_disk(border: Border) -> None:
    await border.deposit("1")
    await until(lambda: border.ids == ["1"])
    await border.restart()
    await border.deposit("2")
    await until(lambda: border.ids == ["2"])
    await border.restart()
    assert await border.store.mailboxes.pending(MAILBOX) == 0


@at_the_border
async def test_one_conversation_goes_in_order_and_others_pass_it(border: Border) -> None:
    border.at_once = None
    for number in range(3):
        await border.deposit(f"a{number}")
    await border.deposit("b0", sender=CAROL)
    await until(lambda: border.ids == ["a0", "b0"])
    border.last("a0").end(Outcome.TAKEN)
    await until(lambda: border.ids == ["a0", "b0", "a1"])
    border.last("a1").end(Outcome.TAKEN)
    await until(lambda: border.ids == ["a0", "b0", "a1", "a2"])


@at_the_border
async def test_what_came_while_the_peer_was_down_is_stored_for_its_sender_and_goes_when_it_is_back(
    border: Border,
) -> None:
    border.up = False
    await border.deposit("1")
    await border.deposit("2")
    assert border.reports == [("1", State.STORED), ("2", State.STORED)]
    assert border.sent == []
    border.up = True
    border.pump.run()
    await until(lambda: border.ids == ["1", "2"])


@at_the_border
async def test_a_message_on_a_connection_that_breaks_is_sent_again_and_nothing_overtakes_it(border: Border) -> None:
    border.at_once = None
    await border.deposit("1")
    await border.deposit("2")
    border.up = False
    border.last("1").end(Outcome.GONE, "no answer")
    assert border.reports == [("1", State.STORED)]
    border.up, border.at_once = True, Outcome.TAKEN
    border.pump.run()
    await until(lambda: border.ids == ["1", "1", "2"])
    assert border.pump.last_error == "no answer"


@at_the_border
async def test_a_conversation_whose_message_is_put_off_rests_and_holds_up_nobody_else(border: Border) -> None:
    border.at_once = None
    await border.deposit("a0")
    await border.deposit("a1")
    border.last("a0").end(Outcome.LATER, "480")
    border.at_once = Outcome.TAKEN
    await border.deposit("b0", sender=CAROL)
    await until(lambda: border.ids == ["a0", "b0"])
    await until(lambda: border.ids == ["a0", "b0", "a0", "a1"])


@at_the_border
async def test_what_the_peer_will_never_take_fails_and_its_sender_is_told_why(border: Border) -> None:
    border.at_once = None
    await border.deposit("1")
    border.last("1").end(Outcome.REFUSED, "404 Not Found", 404)
    await until(lambda: border.failed == [("1", 404)])
    await border.deposit("2")
    border.last("2").end(Outcome.TAKEN)
    trace = await border.store.mailboxes.find(ALICE, BOB, "1")
    assert trace is not None
    assert [entry.state for entry in trace.entries] == [State.FAILED]


@at_the_border
async def test_a_node_that_is_killed_begins_where_the_peer_had_taken_all(border: Border) -> None:
    border.at_once = None
    await border.deposit("a", sender=ALICE)
    await border.deposit("b", sender=CAROL)
    await border.deposit("c", sender=DAVE)
    border.last("b").end(Outcome.TAKEN)
    border.at_once = Outcome.TAKEN
    await border.restart()
    await until(lambda: border.ids == ["a", "c"])


@at_the_border
async def test_no_more_than_a_window_is_under_way_and_no_more_than_a_bound_is_held(border: Border) -> None:
    border.at_once = None
    count = KNOWN + 100
    people = [Aor(f"tel:+336399{number:05}") for number in range(count)]
    await asyncio.gather(*(border.deposit("m", sender=one) for one in people))
    await until(lambda: len(border.sent) == WINDOW)
    assert border.pump.known <= KNOWN
    border.at_once = Outcome.TAKEN
    for one in border.sent[:WINDOW]:
        one.end(Outcome.TAKEN)
    await until(lambda: len(border.sent) == count)
    assert {one.entry.message.sender for one in border.sent} == set(people)


@at_the_border
async def test_a_message_is_taken_back_before_the_peer_has_it_and_not_while_it_may(border: Border) -> None:
    border.at_once = None
    await border.deposit("1")
    await border.deposit("2")
    assert not await border.pump.revoke(BOB, ALICE, "1")
    assert await border.pump.revoke(BOB, ALICE, "2")
    await border.deposit("3")
    border.at_once = Outcome.TAKEN
    border.last("1").end(Outcome.TAKEN)
    await until(lambda: border.ids == ["1", "3"])


@at_the_border
async def test_what_the_peer_may_have_though_its_answer_was_lost_is_not_taken_back(border: Border) -> None:
    border.at_once = None
    await border.deposit("1")
    border.up = False
    border.last("1").end(Outcome.GONE, "no answer")
    assert not await border.pump.revoke(BOB, ALICE, "1")
    border.now += 60
    await border.restart()
    # What an earlier run has sent, this one does not know.
    await until(lambda: border.pump.known == 1)
    assert not await border.pump.revoke(BOB, ALICE, "1")


@at_the_border
async def test_one_message_that_is_put_off_does_not_stop_who_writes_to_somebody_else(border: Border) -> None:
    border.at_once = None
    await border.deposit("stuck")
    border.at_once = Outcome.TAKEN
    for number in range(KNOWN + 10):
        await border.deposit(f"{number}", sender=CAROL)
    await until(lambda: len(border.sent) == KNOWN + 11)
    border.last("stuck").end(Outcome.TAKEN)
    await until(border.nothing_waits)


@at_the_border
async def test_what_holds_up_more_than_can_be_kept_in_mind_is_given_up_and_its_sender_told(border: Border) -> None:
    border.at_once = None
    await border.deposit("stuck")
    border.at_once = Outcome.TAKEN
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("joyn.services.interconnect.pump.AHEAD", 20)
        for number in range(30):
            await border.deposit(f"{number}", sender=CAROL)
        assert len(border.sent) == 20
        border.last("stuck").end(Outcome.LATER, "480", 480)
        await until(lambda: border.failed == [("stuck", 480)])
        await until(lambda: len(border.sent) == 31)


@at_the_border
async def test_a_receipt_whose_time_is_over_is_not_sent_and_waits_no_more(border: Border) -> None:
    border.up = False
    await border.deposit("r", kind=Kind.SYSTEM, deliver_until=NOON + 10)
    await border.deposit("2")
    border.now = NOON + 11
    border.up = True
    border.pump.run()
    await until(lambda: border.ids == ["2"])
    await until(border.nothing_waits)


@at_the_border
async def test_an_error_in_finding_a_new_home_puts_the_entry_off(border: Border) -> None:
    async def broken(_entry: Entry) -> Deposit | None:
        raise RuntimeError("a bug")

    border.pump.moved = broken
    await border.deposit("1")
    await until(lambda: border.pump.last_error == "an error of ours")
    border.pump.moved = lambda _entry: None
    await until(lambda: border.ids == ["1"])


@at_the_border
async def test_what_has_expired_is_not_sent(border: Border) -> None:
    border.up = False
    await border.deposit("1", deliver_until=NOON + 10)
    await border.deposit("2")
    border.now = NOON + 11
    border.up = True
    border.pump.run()
    await until(lambda: border.ids == ["2"])


@at_the_border
async def test_what_has_another_home_by_now_goes_there_in_the_same_commit(border: Border) -> None:
    there = mailbox_of("orange.example")

    async def moved(entry: Entry) -> Deposit | None:
        return Deposit(message=replace(entry.message, id=0), addresses=(Address(mailbox=there),))

    border.pump.moved = lambda entry: moved(entry) if entry.message.kind is Kind.CHAT else None
    await border.deposit("1")
    await until(lambda: border.pump.known == 0)
    entries = await border.store.mailboxes.read(there, 0, 10)
    assert [entry.message.message_id for entry in entries] == ["1"]
    assert border.sent == []
    assert await border.store.mailboxes.pending(MAILBOX) == 0


@at_the_border
async def test_a_message_that_breaks_every_connection_rests_after_a_few_times(border: Border) -> None:
    border.at_once = Outcome.GONE
    await border.deposit("1")
    await until(lambda: len(border.sent) == 4)
    border.at_once = Outcome.TAKEN
    await border.deposit("b", sender=CAROL)
    await until(lambda: border.ids[-1] == "b")


@at_the_border
async def test_the_rests_of_a_conversation_begin_short_however_often_connections_went(border: Border) -> None:
    border.at_once = None
    await border.deposit("1")
    for _ in range(PATIENCE):
        border.last("1").end(Outcome.GONE)
    lane = border.pump._lanes.get((ALICE, BOB))
    assert lane is not None
    assert (lane.resting, lane.rests) == (False, 0)
    border.last("1").end(Outcome.GONE)
    assert (lane.resting, lane.rests) == (True, 1)
    sent = len(border.sent)
    await until(lambda: len(border.sent) > sent)
    border.last("1").end(Outcome.LATER)
    assert (lane.resting, lane.rests) == (True, 2)
    await until(lambda: len(border.sent) > sent + 1)
    await border.deposit("2")
    border.last("1").end(Outcome.TAKEN)
    assert not lane.put_off
    border.last("2").end(Outcome.GONE)
    assert not lane.resting


@at_the_border
async def test_what_was_in_the_way_of_one_message_is_not_held_against_the_next(border: Border) -> None:
    border.at_once = None
    await border.deposit("a")
    await border.deposit("b")
    border.last("a").end(Outcome.GONE)
    await until(lambda: border.ids == ["a", "a"])
    border.last("a").end(Outcome.REFUSED, "403", 403)
    await until(lambda: border.ids == ["a", "a", "b"])
    border.last("b").end(Outcome.LATER)
    assert ("b", State.STORED) in border.reports


def test_what_is_committed_while_a_page_is_read_is_not_passed_over() -> None:
    async def play() -> None:
        store = open_store(":memory:", node="n", wall_clock=lambda: NOON, on_fatal=lambda error: None)
        border = Border(store)
        read, once = store.mailboxes.read, True

        async def slowly(mailbox: Aor, after: int, limit: int) -> list[Entry]:
            nonlocal once
            entries = await read(mailbox, after, limit)
            if once:
                once = False
                await border.deposit("m2")
            return entries

        try:
            await border.deposit("m1")
            store.mailboxes.read = slowly  # type: ignore[method-assign]  # a store that takes its time
            await border.pump.open()
            await until(lambda: border.ids == ["m1", "m2"])
        finally:
            await border.pump.close()
            await store.close()

    asyncio.run(play())
