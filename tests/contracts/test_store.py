"""What every store promises of accepting (joyn.store.Mailboxes.accept, read), asked of every implementation."""

import asyncio
from dataclasses import replace

import pytest

from contracts.store_values import (
    ALICE,
    BOB,
    CAROL,
    DAY,
    NOON,
    accept_all,
    make_copied_deposit,
    make_deposit,
    make_message,
    make_receipt,
    seqs,
    state_of,
)
from joyn.model.message import Address, Cursor, Deposit, EntryKind, Kind, State
from joyn.model.refused import Reason, Refused
from joyn.store.sqlite import Limits

# Accepting and reading


def test_an_accepted_message_stands_in_its_mailbox_byte_for_byte(run):
    async def scenario(store):
        deposit = make_deposit()
        accepted = await store.mailboxes.accept(deposit)
        assert accepted.message.id > 0
        assert accepted.message == replace(deposit.message, id=accepted.message.id)
        assert not accepted.duplicate
        assert accepted.dropped == ""
        assert await store.mailboxes.read(BOB, 0, 10) == list(accepted.entries)
        (entry,) = accepted.entries
        assert (entry.mailbox, entry.kind, entry.instance, entry.state) == (BOB, EntryKind.INCOMING, "", State.PENDING)
        assert deposit.message.id == 0

    run(scenario)


def test_messages_stand_in_the_order_of_the_calls(run):
    async def scenario(store):
        accepted = await accept_all(store, *(make_deposit(f"m{n}") for n in range(150)))
        numbers = [one.message.id for one in accepted]
        assert numbers == sorted(set(numbers))
        entries = await store.mailboxes.read(BOB, 0, 1000)
        assert [entry.message.message_id for entry in entries] == [f"m{n}" for n in range(150)]

    run(scenario)


def test_read_gives_pages(run):
    async def scenario(store):
        await accept_all(store, *(make_deposit(f"m{n}") for n in range(5)))
        everything = await seqs(store)
        assert await seqs(store, limit=2) == everything[:2]
        assert await seqs(store, after=everything[1], limit=2) == everything[2:4]
        assert await seqs(store, after=everything[4]) == []
        assert await seqs(store, limit=0) == []

    run(scenario)


def test_read_never_passes_an_entry_that_can_still_come(run):
    async def scenario(store):
        writing = asyncio.gather(*(store.mailboxes.accept(make_deposit(f"m{n}")) for n in range(300)))
        seen, cursor = [], 0
        while len(seen) < 300:
            await asyncio.sleep(0)
            for entry in await store.mailboxes.read(BOB, cursor, 7):
                seen.append(entry.message.message_id)
                cursor = entry.seq
        await writing
        assert seen == [f"m{n}" for n in range(300)]

    run(scenario, limits=Limits(batch=10))


def test_one_deposit_may_fill_two_mailboxes(run):
    async def scenario(store):
        accepted = await store.mailboxes.accept(make_copied_deposit())
        assert [(entry.mailbox, entry.kind) for entry in accepted.entries] == [
            (BOB, EntryKind.INCOMING),
            (ALICE, EntryKind.COPY),
        ]
        assert [*await store.mailboxes.read(BOB, 0, 9), *await store.mailboxes.read(ALICE, 0, 9)] == list(
            accepted.entries
        )

    run(scenario)


def test_two_devices_of_one_mailbox_have_an_entry_each(run):
    async def scenario(store):
        both = (Address(mailbox=BOB, instance="phone"), Address(mailbox=BOB, instance="browser"))
        accepted = await store.mailboxes.accept(make_deposit("m1", *both))
        await store.mailboxes.accept(make_deposit("m2"))
        entries = await store.mailboxes.read(BOB, 0, 9)
        assert [(entry.instance, entry.message.message_id) for entry in entries] == [
            ("phone", "m1"),
            ("browser", "m1"),
            ("", "m2"),
        ]
        assert entries[:2] == list(accepted.entries)
        assert len({entry.seq for entry in entries}) == 3

    run(scenario)


def test_a_message_without_addresses_is_kept_and_goes_nowhere(run):
    async def scenario(store):
        deposit = Deposit(message=make_message(), addresses=())
        first = await store.mailboxes.accept(deposit)
        assert first.entries == ()
        assert await seqs(store) == []
        assert (await store.mailboxes.find(ALICE, BOB, "m1")).message == first.message
        assert (await store.mailboxes.accept(deposit)).duplicate

    run(scenario)


def test_what_was_accepted_is_there_after_reopening_and_numbers_go_on(run):
    numbers = []

    async def before(store):
        accepted = await accept_all(store, make_deposit("m1"), make_copied_deposit("m2"))
        numbers.extend(entry.seq for one in accepted for entry in one.entries)
        await store.mailboxes.accept(make_deposit("gone", retain_until=NOON))
        numbers.append((await store.mailboxes.find(ALICE, BOB, "gone")).message.id)
        assert await store.mailboxes.prune(NOON) == 1

    async def after(store):
        assert [entry.message.message_id for entry in await store.mailboxes.read(BOB, 0, 9)] == ["m1", "m2"]
        assert (await store.mailboxes.accept(make_deposit("m1"))).duplicate
        assert (await store.mailboxes.accept(make_deposit("m3"))).message.id > max(numbers)

    run(before, after)


# Duplicates


def test_a_duplicate_gets_the_first_message_and_appends_nothing(run):
    async def scenario(store):
        first = await store.mailboxes.accept(make_deposit())
        again = await store.mailboxes.accept(make_deposit())
        assert (again.message, again.entries, again.duplicate) == (first.message, (), True)
        assert len(await seqs(store)) == 1

    run(scenario)


def test_duplicates_handed_in_together_are_found(run):
    async def scenario(store):
        first, *others = await accept_all(store, *(make_deposit() for _ in range(5)))
        assert not first.duplicate
        assert all(other.duplicate and other.message == first.message for other in others)
        assert len(await seqs(store)) == 1

    run(scenario)


def test_only_the_same_sender_conversation_id_and_kind_make_a_duplicate(run):
    async def scenario(store):
        accepted = await accept_all(
            store,
            make_deposit(),
            make_deposit(sender=CAROL),
            make_deposit(conversation=CAROL),
            make_deposit("m2"),
            make_deposit(kind=Kind.SYSTEM),
        )
        assert not any(one.duplicate for one in accepted)
        assert len({one.message.id for one in accepted}) == 5

    run(scenario)


@pytest.mark.parametrize("together", [True, False])
def test_the_same_id_with_another_body_is_refused(run, together):
    async def scenario(store):
        one, other = make_deposit(), make_deposit(body=b"see you at nine")
        if together:
            _, refusal = await asyncio.gather(*map(store.mailboxes.accept, (one, other)), return_exceptions=True)
            assert refusal.reason is Reason.ID_REUSED
        else:
            await store.mailboxes.accept(one)
            with pytest.raises(Refused) as refused:
                await store.mailboxes.accept(other)
            assert refused.value.reason is Reason.ID_REUSED
        assert len(await seqs(store)) == 1

    run(scenario)


async def expired(store):
    await store.mailboxes.expire(NOON + 2 * DAY)


async def revoked(store):
    await store.mailboxes.revoke(ALICE, BOB, "m1", NOON)


async def settled_failed(store):
    seq = (await seqs(store))[0]
    store.mailboxes.settle(Cursor(mailbox=BOB, instance="a", low=seq), [(seq, State.FAILED)])


async def reported_failed(store):
    seq = (await seqs(store))[0]
    store.mailboxes.settle(Cursor(mailbox=BOB, instance="a", low=seq), [(seq, State.ACKNOWLEDGED)])
    await store.mailboxes.accept(make_receipt(state=State.FAILED))


@pytest.mark.parametrize("end", [expired, revoked, settled_failed, reported_failed])
def test_what_ended_without_delivery_is_accepted_anew_and_then_counts(run, end):
    async def scenario(store):
        first = await store.mailboxes.accept(make_deposit())
        await end(store)
        second = await store.mailboxes.accept(make_deposit())
        assert not second.duplicate
        assert second.message.id > first.message.id
        assert (await store.mailboxes.find(ALICE, BOB, "m1")).message == second.message
        third = await store.mailboxes.accept(make_deposit())
        assert (third.duplicate, third.message) == (True, second.message)
        assert (await store.mailboxes.accept(make_receipt())).dropped == ""
        assert [trace.message for trace in await store.mailboxes.trace("m1")] == [first.message, second.message]

    run(scenario)


def test_what_was_delivered_after_all_is_not_accepted_anew(run):
    async def scenario(store):
        await store.mailboxes.accept(make_deposit())
        await expired(store)
        await store.mailboxes.accept(make_receipt(state=State.DELIVERED))
        assert (await store.mailboxes.accept(make_deposit())).duplicate

    run(scenario)


# Receipts


def test_a_receipt_goes_to_the_sender_once_and_is_recorded(run):
    async def scenario(store):
        await store.mailboxes.accept(make_deposit())
        accepted = await store.mailboxes.accept(make_receipt())
        assert accepted.dropped == ""
        assert await store.mailboxes.read(ALICE, 0, 9) == list(accepted.entries)
        again = await store.mailboxes.accept(make_receipt())
        assert (again.duplicate, again.entries) == (True, ())
        (disposition,) = (await store.mailboxes.find(ALICE, BOB, "m1")).dispositions
        assert (disposition.recipient, disposition.state, disposition.at) == (BOB, State.DELIVERED, NOON)

    run(scenario)


@pytest.mark.parametrize(
    "receipt",
    [
        make_receipt("m2"),
        make_receipt(recipient=CAROL),
        make_receipt(sender=CAROL),
        make_receipt(sender=BOB, recipient=ALICE),
    ],
    ids=["another id", "somebody else's", "to somebody else", "the sender's own"],
)
def test_a_receipt_for_no_message_between_these_two_is_dropped(run, receipt):
    async def scenario(store):
        await store.mailboxes.accept(make_deposit())
        accepted = await store.mailboxes.accept(receipt)
        assert (accepted.dropped, accepted.entries) == ("unknown", ())
        assert await seqs(store, receipt.addresses[0].mailbox) == ([] if receipt.addresses[0].mailbox != BOB else [1])
        assert (await store.mailboxes.find(ALICE, BOB, "m1")).dispositions == ()

    run(scenario)


def test_only_chat_messages_are_spoken_of(run):
    async def scenario(store):
        await store.mailboxes.accept(make_deposit(kind=Kind.SYSTEM))
        assert (await store.mailboxes.accept(make_receipt())).dropped == "unknown"

    run(scenario)


def test_a_receipt_may_come_together_with_its_message_but_not_before(run):
    async def scenario(store):
        early, _, late = await accept_all(
            store, make_receipt(receipt_id="early"), make_deposit(), make_receipt(receipt_id="late")
        )
        assert (early.dropped, late.dropped) == ("unknown", "")
        assert await state_of(store) == State.DELIVERED

    run(scenario)


@pytest.mark.parametrize("together", [True, False])
def test_a_state_goes_on_only_when_it_is_higher_than_before(run, together):
    async def scenario(store):
        receipts = [
            make_receipt(state=State.FAILED),
            make_receipt(state=State.DELIVERED, receipt_id="a"),
            make_receipt(state=State.DELIVERED, receipt_id="b"),
            make_receipt(state=State.DISPLAYED),
            make_receipt(state=State.NOT_DISPLAYED),
            make_receipt(state=State.STORED),
        ]
        await store.mailboxes.accept(make_deposit())
        if together:
            accepted = await accept_all(store, *receipts)
        else:
            accepted = [await store.mailboxes.accept(receipt) for receipt in receipts]
        assert [one.dropped for one in accepted] == ["", "", "stale", "", "stale", "stale"]
        recorded = (await store.mailboxes.find(ALICE, BOB, "m1")).dispositions
        assert [one.state for one in recorded] == [State.FAILED, State.DELIVERED, State.DISPLAYED]
        assert len(await seqs(store, ALICE)) == 3

    run(scenario)


@pytest.mark.parametrize(
    ("state", "token"),
    [
        (State.STORED, "processing"),
        (State.FAILED, "negative-delivery"),
        (State.DELIVERED, "positive-delivery"),
        (State.NOT_DISPLAYED, "display"),
        (State.DISPLAYED, "display"),
    ],
)
def test_a_receipt_needs_to_have_been_asked_for(run, state, token):
    every = {"processing", "negative-delivery", "positive-delivery", "display"}

    async def scenario(store):
        await store.mailboxes.accept(make_deposit("asked", requested=f"other,{token}"))
        await store.mailboxes.accept(make_deposit("unasked", requested=",".join(sorted(every - {token}))))
        assert (await store.mailboxes.accept(make_receipt("asked", state))).dropped == ""
        dropped = await store.mailboxes.accept(make_receipt("unasked", state))
        assert (dropped.dropped, dropped.entries) == ("unasked", ())
        (recorded,) = (await store.mailboxes.find(ALICE, BOB, "unasked")).dispositions
        assert recorded.state == state
        assert (await store.mailboxes.accept(make_receipt("unasked", state, receipt_id="x"))).dropped == "stale"

    run(scenario)


def test_a_dropped_receipt_leaves_nothing_behind_and_may_come_again(run):
    async def scenario(store):
        dropped = await store.mailboxes.accept(make_receipt())
        assert dropped.message.id == 0
        assert await store.mailboxes.trace("m1-DELIVERED") == []
        await store.mailboxes.accept(make_deposit())
        assert (await store.mailboxes.accept(make_receipt())).dropped == ""

    run(scenario)


# Bounds


def test_too_much_waiting_is_refused_at_once(run):
    async def scenario(store):
        results = await asyncio.gather(
            *(store.mailboxes.accept(make_deposit(f"m{n}")) for n in range(6)), return_exceptions=True
        )
        assert [isinstance(result, Refused) for result in results] == [False] * 4 + [True] * 2
        assert {result.reason for result in results[4:]} == {Reason.OVERLOADED}
        assert len(await seqs(store)) == 4
        assert not (await store.mailboxes.accept(make_deposit("m5"))).duplicate

    run(scenario, limits=Limits(queued=4))


def test_too_many_bytes_waiting_are_refused_at_once(run):
    async def scenario(store):
        big = [make_deposit(f"m{n}", body=b"x" * 10_000) for n in range(3)]
        results = await asyncio.gather(*map(store.mailboxes.accept, big), return_exceptions=True)
        assert [isinstance(result, Refused) for result in results] == [False, False, True]
        assert not (await store.mailboxes.accept(big[2])).duplicate

    run(scenario, limits=Limits(queued_bytes=25_000))


def test_what_no_store_can_hold_harms_nobody_else(run):
    async def scenario(store):
        good, bad, other = await asyncio.gather(
            store.mailboxes.accept(make_deposit("m1")),
            store.mailboxes.accept(make_deposit("m2", requested="\ud800")),
            store.mailboxes.accept(make_deposit("m3")),
            return_exceptions=True,
        )
        assert isinstance(bad, UnicodeEncodeError)
        assert [entry.seq for entry in await store.mailboxes.read(BOB, 0, 9)] == [
            good.entries[0].seq,
            other.entries[0].seq,
        ]
        assert len(await seqs(store)) == 2

    run(scenario)


def test_a_closed_store_refuses(run):
    async def scenario(store):
        await store.close()
        with pytest.raises(Refused) as refused:
            await store.mailboxes.accept(make_deposit())
        assert refused.value.reason is Reason.STOPPING

    run(scenario)


def test_a_caller_who_goes_away_takes_nothing_along(run):
    async def scenario(store):
        task = asyncio.ensure_future(store.mailboxes.accept(make_deposit()))
        await asyncio.sleep(0)
        task.cancel()
        assert (await store.mailboxes.accept(make_deposit("m2"))).message.id == 2
        assert [entry.message.message_id for entry in await store.mailboxes.read(BOB, 0, 9)] == ["m1", "m2"]

    run(scenario)


def test_what_is_accepted_is_announced_in_the_order_of_its_numbers_and_before_accept_returns(run):
    async def scenario(store):
        told = []
        store.mailboxes.on_accepted = lambda entries: told.extend(entry.seq for entry in entries)
        returned = []

        async def accept(deposit, detours):
            accepted = await store.mailboxes.accept(deposit)
            assert {entry.seq for entry in accepted.entries} <= set(told)
            for _ in range(detours):
                await asyncio.sleep(0)
            returned.append(accepted)

        await asyncio.gather(*(accept(make_deposit(f"m{n}"), n % 3) for n in range(40)))
        assert told == sorted(told)
        assert len(told) == 40

    run(scenario)


def test_what_nobody_waits_for_any_more_is_announced_all_the_same(run):
    async def scenario(store):
        told = []
        store.mailboxes.on_accepted = told.extend
        waiting = asyncio.ensure_future(store.mailboxes.accept(make_deposit("given up")))
        await asyncio.sleep(0)
        waiting.cancel()
        await store.mailboxes.accept(make_deposit("next"))
        assert [entry.message.message_id for entry in told] == ["given up", "next"]

    run(scenario)
