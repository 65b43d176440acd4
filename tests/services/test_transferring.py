"""The bounds of files that go out over MSRP; what they carry is seen at the node's doors (tests/edge)."""

import asyncio
from typing import Any

from joyn.model.message import Entry, EntryKind, State
from joyn.services.messaging.delivery import Attempts, Outcome
from joyn.services.messaging.offered import Offers
from joyn.services.messaging.pouring import MAX_REMEMBERED, WINDOW, Pouring, TransferBounds
from joyn.services.messaging.transferring import Transferring
from services.scene import ALICE, BOB, make_binding, make_message


def make_transferring(**bounds: int) -> Transferring:
    """One that is never let near a socket."""
    nothing: Any = None
    return Transferring(
        nothing,
        nothing,
        nothing,
        Attempts(lambda: 0.0),
        lambda _binding: None,
        nothing,
        Pouring(nothing, TransferBounds(**({"all": 100, "per_device": 100} | bounds), idle=60.0)),
        make_boundary=lambda: "b",
    )


def make_entry(number: int) -> Entry:
    message = make_message(f"m{number}", id=number)
    return Entry(mailbox=BOB, seq=number, kind=EntryKind.INCOMING, instance="", state=State.PENDING, message=message)


class Gate:
    """Transfers that end when the test says so."""

    def __init__(self, transferring: Transferring) -> None:
        self.sending = 0
        self.open = asyncio.Event()
        transferring._send = self._send  # type: ignore[method-assign]

    async def _send(self, _transfer: object) -> tuple[Outcome, str]:
        self.sending += 1
        await self.open.wait()
        return Outcome.TAKEN, "taken"


def test_a_device_that_is_sent_as_many_files_as_may_be_begun_waits_for_one_to_end() -> None:
    async def story() -> None:
        transferring = make_transferring()
        gate = Gate(transferring)
        attempts = [transferring.begin(make_binding("phone"), make_entry(number)) for number in range(WINDOW)]
        assert all(attempt.beside for attempt in attempts)
        assert [attempt.room.done() for attempt in attempts] == [True] * (WINDOW - 1) + [False]
        gate.open.set()
        assert [await attempt.done for attempt in attempts] == [Outcome.TAKEN] * WINDOW
        await attempts[-1].room
        assert (transferring._pouring._queues, transferring._pouring._under_way) == ({}, {})

    asyncio.run(story())


def test_no_more_are_under_way_than_the_node_and_each_device_may_have() -> None:
    async def story() -> None:
        transferring = make_transferring(all=3, per_device=2)
        gate = Gate(transferring)
        names = ("phone", "tablet")
        attempts = [transferring.begin(make_binding(name), make_entry(number)) for name in names for number in range(3)]
        for _ in range(5):
            await asyncio.sleep(0)
        assert gate.sending == 3
        gate.open.set()
        for attempt in attempts:
            await attempt.done
        assert gate.sending == 6

    asyncio.run(story())


def test_so_many_offers_are_remembered() -> None:
    offers = make_transferring()._pouring.offers
    for number in range(MAX_REMEMBERED + 1):
        offers.note(make_entry(number), "phone", "ab", 5)
    assert len(offers) == MAX_REMEMBERED
    assert offers.get((BOB, "phone", 0)) is None


def test_what_was_heard_of_last_is_remembered_longest() -> None:
    offers = Offers(2)
    for number in (1, 2):
        offers.note(make_entry(number), "phone", "ab", 5)
    offers.progressed((BOB, "phone", 1), 3)
    offers.note(make_entry(3), "phone", "ab", 5)
    assert offers.get((BOB, "phone", 2)) is None
    assert offers.note(make_entry(1), "phone", "ab", 5).taken == 3


def test_of_the_same_file_offered_twice_the_last_one_is_meant() -> None:
    offers = Offers(10)
    first, second = (offers.note(make_entry(number), "phone", "ab", 5) for number in (1, 2))
    assert offers.find((BOB, "phone"), ALICE, "ab", 5) is second
    offers.forget(second.key)
    assert offers.find((BOB, "phone"), ALICE, "ab", 5) is first
    first.whole = True
    assert offers.find((BOB, "phone"), ALICE, "ab", 5) is None
    offers.forget(first.key)
    assert (len(offers), offers._selected) == (0, {})


def test_another_file_behind_the_same_message_begins_anew() -> None:
    offers = Offers(10)
    offers.note(make_entry(1), "phone", "ab", 5)
    offers.progressed((BOB, "phone", 1), 3)
    assert offers.note(make_entry(1), "phone", "cd", 5).taken == 0
    assert offers.find((BOB, "phone"), ALICE, "ab", 5) is None


def test_a_bug_of_ours_leaves_the_pump_not_waiting() -> None:
    async def story() -> None:
        transferring = make_transferring()

        async def broken(_transfer: object) -> tuple[Outcome, str]:
            raise ZeroDivisionError

        transferring._send = broken  # type: ignore[method-assign]
        assert await transferring.begin(make_binding("phone"), make_entry(1)).done is Outcome.LATER

    asyncio.run(story())


def test_transfers_end_with_the_node() -> None:
    async def story() -> None:
        transferring = make_transferring()
        Gate(transferring)
        attempt = transferring.begin(make_binding("phone"), make_entry(1))
        await asyncio.sleep(0)
        await transferring._pouring.close()
        assert await attempt.done is Outcome.LATER

    asyncio.run(story())
