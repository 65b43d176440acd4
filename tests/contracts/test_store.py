"""What every store promises (joyn.store), asked of every implementation."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from contracts.store_values import (
    ALICE,
    BOB,
    CAROL,
    DAY,
    HOUR,
    NOON,
    make_binding,
    make_copied_deposit,
    make_deposit,
    make_message,
    make_receipt,
    make_subscriber,
)
from joyn.model.message import Address, Cursor, Deposit, EntryKind, Kind, State
from joyn.model.refused import Reason, Refused
from joyn.store import Store
from joyn.store.sqlite import Limits, open_store

Scenario = Callable[[Store], Awaitable[None]]


def never(error):
    raise AssertionError(error)


@pytest.fixture(params=["memory", "sqlite"])
def run(request, tmp_path):
    """Runs a scenario with an open store; several in a row find what the ones before left, where there is a disk."""

    def run_with(*scenarios: Scenario, **options) -> None:
        async def all_of_them() -> None:
            path = ":memory:" if request.param == "memory" else tmp_path / "joyn.db"
            for scenario in scenarios:
                store = open_store(path, node="n1", wall_clock=lambda: NOON, on_fatal=never, **options)
                try:
                    await scenario(store)
                finally:
                    await store.close()

        if len(scenarios) > 1 and request.param == "memory":
            pytest.skip("nothing in memory outlives its store")
        asyncio.run(all_of_them())

    return run_with


async def accept_all(store, *deposits):
    """Hand them in at once, so that they may share a commit."""
    return await asyncio.gather(*map(store.mailboxes.accept, deposits))


async def seqs(store, mailbox=BOB, after=0, limit=100):
    return [entry.seq for entry in await store.mailboxes.read(mailbox, after, limit)]


async def state_of(store, message_id="m1", mailbox=BOB):
    trace = await store.mailboxes.find(ALICE, BOB, message_id)
    return next(entry.state for entry in trace.entries if entry.mailbox == mailbox)


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


# Cursors


def test_a_move_is_seen_at_once_and_after_it_is_written(run):
    async def scenario(store):
        cursor = Cursor(mailbox=BOB, instance="a", low=7, ahead=frozenset({9, 300, 2**40}), touched_at=NOON)
        other = Cursor(mailbox=BOB, instance="b", low=1, touched_at=NOON)
        store.mailboxes.settle(cursor)
        assert await store.mailboxes.cursors(BOB) == [cursor]
        await store.mailboxes.flush()
        assert await store.mailboxes.cursors(BOB) == [cursor]
        store.mailboxes.settle(other)
        assert await store.mailboxes.cursors(BOB) == [cursor, other]
        assert await store.mailboxes.cursors(ALICE) == []

    run(scenario)


@pytest.mark.parametrize("flushed", [True, False])
def test_a_cursor_never_moves_back(run, flushed):
    async def scenario(store):
        store.mailboxes.settle(Cursor(mailbox=BOB, instance="a", low=4, ahead=frozenset({6, 9}), touched_at=NOON))
        if flushed:
            await store.mailboxes.flush()
        store.mailboxes.settle(Cursor(mailbox=BOB, instance="a", low=2, ahead=frozenset({8}), touched_at=NOON - 1))
        expected = Cursor(mailbox=BOB, instance="a", low=4, ahead=frozenset({6, 8, 9}), touched_at=NOON)
        assert await store.mailboxes.cursors(BOB) == [expected]
        store.mailboxes.settle(Cursor(mailbox=BOB, instance="a", low=8, touched_at=NOON + 1))
        await store.mailboxes.flush()
        expected = Cursor(mailbox=BOB, instance="a", low=8, ahead=frozenset({9}), touched_at=NOON + 1)
        assert await store.mailboxes.cursors(BOB) == [expected]

    run(scenario)


def test_cursors_settled_and_not_flushed_are_there_after_closing(run):
    async def before(store):
        accepted = await store.mailboxes.accept(make_deposit())
        store.mailboxes.settle(
            Cursor(mailbox=BOB, instance="a", low=5), [(accepted.entries[0].seq, State.ACKNOWLEDGED)]
        )

    async def after(store):
        assert await store.mailboxes.cursors(BOB) == [Cursor(mailbox=BOB, instance="a", low=5)]
        assert await state_of(store) == State.ACKNOWLEDGED

    run(before, after)


def test_a_dropped_cursor_is_gone_written_or_not(run):
    async def scenario(store):
        store.mailboxes.settle(Cursor(mailbox=BOB, instance="a", low=1))
        await store.mailboxes.flush()
        store.mailboxes.settle(Cursor(mailbox=BOB, instance="a", low=2))
        store.mailboxes.settle(Cursor(mailbox=BOB, instance="b", low=2))
        await store.mailboxes.drop_cursor(BOB, "a")
        assert [cursor.instance for cursor in await store.mailboxes.cursors(BOB)] == ["b"]

    run(scenario)


@pytest.mark.parametrize("flushed", [True, False])
def test_states_only_rise(run, flushed):
    async def scenario(store):
        accepted = await store.mailboxes.accept(make_deposit())
        seq = accepted.entries[0].seq
        cursor = Cursor(mailbox=BOB, instance="a")
        seen = []
        for state in (State.STORED, State.ACKNOWLEDGED, State.FAILED, State.DISPLAYED, State.DELIVERED):
            store.mailboxes.settle(cursor, [(seq, state)])
            if flushed:
                await store.mailboxes.flush()
            seen.append(await state_of(store))
            (entry,) = await store.mailboxes.read(BOB, 0, 9)
            assert entry.state == seen[-1]
        assert seen == [State.STORED, State.ACKNOWLEDGED, State.ACKNOWLEDGED, State.DISPLAYED, State.DISPLAYED]

    run(scenario)


@pytest.mark.parametrize("flushed", [True, False])
def test_failed_entries_are_left_out_of_every_page(run, flushed):
    async def scenario(store):
        await accept_all(store, *(make_deposit(f"m{n}") for n in range(6)))
        everything = await seqs(store)
        store.mailboxes.settle(Cursor(mailbox=BOB, instance="a"), [(seq, State.FAILED) for seq in everything[:4]])
        if flushed:
            await store.mailboxes.flush()
        assert await seqs(store, limit=1) == everything[4:5]
        assert await seqs(store) == everything[4:]

    run(scenario)


def test_pending_counts_what_nobody_acknowledged(run):
    async def scenario(store):
        await accept_all(store, *(make_deposit(f"m{n}") for n in range(4)))
        one, two, three, _ = await seqs(store)
        store.mailboxes.settle(
            Cursor(mailbox=BOB, instance="a"),
            [(one, State.ACKNOWLEDGED), (two, State.STORED), (three, State.FAILED)],
        )
        assert await store.mailboxes.pending(BOB) == 2
        assert await store.mailboxes.pending(CAROL) == 0

    run(scenario)


# Revoking, expiring, pruning, tracing


def test_a_pending_message_can_be_withdrawn_and_nobody_reads_it_again(run):
    async def scenario(store):
        await store.mailboxes.accept(make_copied_deposit())
        assert await store.mailboxes.revoke(ALICE, BOB, "m1", NOON + 1)
        assert (await seqs(store), await seqs(store, ALICE)) == ([], [])
        assert await state_of(store) == State.REVOKED
        (disposition,) = (await store.mailboxes.find(ALICE, BOB, "m1")).dispositions
        assert (disposition.recipient, disposition.state, disposition.at) == (BOB, State.REVOKED, NOON + 1)
        assert await store.mailboxes.revoke(ALICE, BOB, "m1", NOON + 2)

    run(scenario)


def test_withdrawing_what_does_not_exist_or_went_nowhere_is_false(run):
    async def scenario(store):
        await store.mailboxes.accept(Deposit(message=make_message(), addresses=()))
        await store.mailboxes.accept(make_deposit("expired"))
        await store.mailboxes.expire(NOON + 2 * DAY)
        assert not await store.mailboxes.revoke(ALICE, BOB, "m1", NOON)
        assert not await store.mailboxes.revoke(ALICE, BOB, "expired", NOON)
        assert not await store.mailboxes.revoke(ALICE, BOB, "m2", NOON)
        assert not await store.mailboxes.revoke(CAROL, BOB, "expired", NOON)

    run(scenario)


@pytest.mark.parametrize("state", [State.ACKNOWLEDGED, State.DELIVERED, State.DISPLAYED])
def test_what_a_device_took_cannot_be_withdrawn(run, state):
    async def scenario(store):
        await store.mailboxes.accept(make_deposit())
        (seq,) = await seqs(store)
        store.mailboxes.settle(Cursor(mailbox=BOB, instance="a", low=seq), [(seq, state)])
        assert not await store.mailboxes.revoke(ALICE, BOB, "m1", NOON)
        assert await seqs(store) == [seq]

    run(scenario)


@pytest.mark.parametrize("requested", ["", "positive-delivery,display"])
@pytest.mark.parametrize("state", [State.DELIVERED, State.NOT_DISPLAYED, State.DISPLAYED])
def test_a_receipt_says_as_much_asked_for_or_not(run, state, requested):
    async def scenario(store):
        await store.mailboxes.accept(make_deposit(requested=requested))
        await store.mailboxes.accept(make_receipt(state=state))
        assert await state_of(store) == state
        assert not await store.mailboxes.revoke(ALICE, BOB, "m1", NOON)

    run(scenario)


def test_a_copy_on_the_senders_own_device_hinders_no_withdrawal(run):
    async def scenario(store):
        await store.mailboxes.accept(make_copied_deposit())
        (copy,) = await seqs(store, ALICE)
        store.mailboxes.settle(Cursor(mailbox=ALICE, instance="a", low=copy), [(copy, State.ACKNOWLEDGED)])
        assert await store.mailboxes.revoke(ALICE, BOB, "m1", NOON)
        assert await seqs(store, ALICE) == [copy]

    run(scenario)


def test_overdue_messages_fail_and_are_returned_once(run):
    async def scenario(store):
        await accept_all(
            store,
            make_deposit("late", deliver_until=NOON + 2),
            make_deposit("later", deliver_until=NOON + 3),
            make_deposit("first", deliver_until=NOON + 1),
            make_deposit("not yet", deliver_until=NOON + HOUR),
        )
        overdue = await store.mailboxes.expire(NOON + 3)
        assert [entry.message.message_id for entry in overdue] == ["first", "late", "later"]
        assert {entry.state for entry in overdue} == {State.FAILED}
        assert await store.mailboxes.expire(NOON + 3) == []
        assert [entry.message.message_id for entry in await store.mailboxes.read(BOB, 0, 9)] == ["not yet"]

    run(scenario)


def test_expiry_stops_at_its_limit_and_goes_on_from_there(run):
    async def scenario(store):
        await accept_all(store, *(make_deposit(f"m{n}", deliver_until=NOON) for n in range(5)))
        pages = [len(await store.mailboxes.expire(NOON + 1, 2)) for _ in range(4)]
        assert pages == [2, 2, 1, 0]

    run(scenario)


def test_only_incoming_chat_entries_that_nobody_has_expire(run):
    async def scenario(store):
        await accept_all(
            store,
            make_copied_deposit("copied"),
            make_deposit("system", kind=Kind.SYSTEM),
            make_deposit("taken"),
            make_deposit("stored"),
        )
        copied, _, taken, stored = await seqs(store)
        # On its way to disk counts.
        store.mailboxes.settle(Cursor(mailbox=BOB, instance="a"), [(taken, State.ACKNOWLEDGED), (stored, State.STORED)])
        assert [entry.seq for entry in await store.mailboxes.expire(NOON + 2 * DAY)] == [copied, stored]
        assert [entry.state for entry in await store.mailboxes.read(ALICE, 0, 9)] == [State.PENDING]

    run(scenario)


def test_what_is_due_before_the_last_sweep_still_expires(run):
    async def before(store):
        await store.mailboxes.accept(make_deposit("m1", deliver_until=NOON))
        assert len(await store.mailboxes.expire(NOON + HOUR)) == 1
        await store.mailboxes.accept(make_deposit("m2", deliver_until=NOON + 1))
        assert len(await store.mailboxes.expire(NOON + HOUR)) == 1
        await store.mailboxes.accept(make_deposit("m3", deliver_until=NOON + 2))

    async def after(store):
        assert [entry.message.message_id for entry in await store.mailboxes.expire(NOON + HOUR)] == ["m3"]
        assert await store.mailboxes.expire(NOON + HOUR) == []

    async def both(store):
        await before(store)
        await after(store)

    run(both)


def test_what_is_due_before_the_last_sweep_still_expires_after_reopening(run):
    async def before(store):
        await store.mailboxes.accept(make_deposit("m1", deliver_until=NOON))
        assert len(await store.mailboxes.expire(NOON + HOUR)) == 1
        await store.mailboxes.accept(make_deposit("m2", deliver_until=NOON + 1))

    async def after(store):
        assert [entry.message.message_id for entry in await store.mailboxes.expire(NOON + HOUR)] == ["m2"]

    run(before, after)


def test_pruning_deletes_what_was_kept_long_enough_up_to_a_limit(run):
    async def scenario(store):
        await accept_all(
            store,
            *(make_copied_deposit(f"m{n}") for n in range(3)),
            make_deposit("kept", retain_until=NOON + 90 * DAY),
        )
        later = NOON + 30 * DAY
        assert await store.mailboxes.prune(later - 1) == 0
        assert [await store.mailboxes.prune(later, 2) for _ in range(3)] == [2, 1, 0]
        assert [entry.message.message_id for entry in await store.mailboxes.read(BOB, 0, 9)] == ["kept"]
        assert await seqs(store, ALICE) == []
        assert await store.mailboxes.find(ALICE, BOB, "m1") is None
        assert not (await store.mailboxes.accept(make_deposit("m1"))).duplicate

    run(scenario)


def test_a_trace_shows_everybody_who_used_the_id(run):
    async def scenario(store):
        first, second, _ = await accept_all(
            store, make_copied_deposit(), make_deposit(sender=CAROL), make_deposit("m2")
        )
        await store.mailboxes.accept(make_receipt())
        cursor = Cursor(mailbox=BOB, instance="a", low=first.entries[0].seq)
        store.mailboxes.settle(cursor, [(second.entries[0].seq, State.STORED)])
        one, other = await store.mailboxes.trace("m1")
        assert (one.message, other.message) == (first.message, second.message)
        assert [entry.mailbox for entry in one.entries] == [BOB, ALICE]
        assert [disposition.state for disposition in one.dispositions] == [State.DELIVERED]
        assert one.cursors == (cursor,)
        assert [entry.state for entry in other.entries] == [State.STORED]
        assert await store.mailboxes.trace("m3") == []
        assert await store.mailboxes.find(BOB, ALICE, "m1") is None

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


# Subscribers


def test_a_subscriber_is_found_by_aor_and_by_username(run):
    async def scenario(store):
        assert await store.subscribers.get(ALICE) is None
        assert await store.subscribers.find("alice") is None
        alice = make_subscriber(algorithms=("MD5",), display_name="Alice", blocked=True, created_at=NOON)
        await store.subscribers.put(alice)
        assert await store.subscribers.get(ALICE) == alice
        assert await store.subscribers.find("alice") == alice
        assert await store.subscribers.count() == 1

    run(scenario)


def test_a_replaced_subscriber_is_seen_at_once_under_the_new_username_only(run):
    async def scenario(store):
        await store.subscribers.put(make_subscriber())
        assert await store.subscribers.find("alice") is not None
        renamed = make_subscriber(username="alice2")
        await store.subscribers.put(renamed)
        assert await store.subscribers.find("alice") is None
        assert await store.subscribers.find("alice2") == renamed
        assert await store.subscribers.get(ALICE) == renamed
        await store.subscribers.put(make_subscriber(BOB, "alice"))
        assert (await store.subscribers.find("alice")).aor == BOB

    run(scenario)


def test_a_username_belongs_to_one_subscriber(run):
    async def scenario(store):
        await store.subscribers.put(make_subscriber())
        results = await asyncio.gather(
            store.subscribers.put(make_subscriber(BOB, "alice")),
            store.subscribers.put(make_subscriber(CAROL, "carol")),
            return_exceptions=True,
        )
        assert isinstance(results[0], ValueError)
        assert results[1] is None
        assert await store.subscribers.get(BOB) is None
        assert (await store.subscribers.find("alice")).aor == ALICE

    run(scenario)


def test_subscribers_are_listed_in_order(run):
    async def scenario(store):
        for aor, username in ((CAROL, "c"), (ALICE, "a"), (BOB, "b")):
            await store.subscribers.put(make_subscriber(aor, username))
        assert [one.aor for one in await store.subscribers.list()] == [ALICE, BOB, CAROL]
        assert [one.aor for one in await store.subscribers.list(limit=2)] == [ALICE, BOB]
        assert [one.aor for one in await store.subscribers.list(after=BOB)] == [CAROL]

    run(scenario)


def test_a_removed_subscriber_leaves_nothing_of_their_own(run):
    async def scenario(store):
        await store.subscribers.put(make_subscriber(BOB, "bob"))
        await store.subscribers.block(BOB, CAROL)
        await store.bindings.update(put=[make_binding(BOB), make_binding(CAROL)])
        await store.mailboxes.accept(make_copied_deposit())
        store.mailboxes.settle(Cursor(mailbox=BOB, instance="a", low=1))
        store.mailboxes.settle(Cursor(mailbox=ALICE, instance="a", low=1))
        assert await store.subscribers.get(BOB) is not None
        assert await store.subscribers.blocks(BOB) == {CAROL}

        assert await store.subscribers.remove(BOB)
        assert await store.subscribers.get(BOB) is None
        assert await store.subscribers.find("bob") is None
        assert await store.subscribers.blocks(BOB) == frozenset()
        assert await store.bindings.of(BOB) == []
        assert await store.mailboxes.cursors(BOB) == []
        assert await seqs(store) == []
        assert not await store.subscribers.remove(BOB)

        assert len(await store.bindings.of(CAROL)) == 1
        assert len(await store.mailboxes.cursors(ALICE)) == 1
        assert len(await seqs(store, ALICE)) == 1

    run(scenario)


def test_block_lists_are_exact_at_once(run):
    async def scenario(store):
        assert await store.subscribers.blocks(ALICE) == frozenset()
        await store.subscribers.block(ALICE, BOB)
        await store.subscribers.block(ALICE, BOB)
        await store.subscribers.block(ALICE, CAROL)
        assert await store.subscribers.blocks(ALICE) == {BOB, CAROL}
        assert await store.subscribers.blocks(BOB) == frozenset()
        await store.subscribers.block(ALICE, BOB, False)
        await store.subscribers.block(ALICE, BOB, False)
        assert await store.subscribers.blocks(ALICE) == {CAROL}

    run(scenario)


def test_more_subscribers_than_are_kept_in_memory_are_all_found(run):
    async def scenario(store):
        subscribers = [make_subscriber(f"tel:+3363998001{n}", f"user{n}") for n in range(8)]
        for one in subscribers:
            await store.subscribers.put(one)
        for _ in range(2):
            assert [await store.subscribers.find(one.username) for one in subscribers] == subscribers

    run(scenario, limits=Limits(cached=3))


# Bindings


def test_a_binding_is_kept_whole(run):
    async def scenario(store):
        binding = make_binding()
        await store.bindings.update(put=[binding])
        assert await store.bindings.of(ALICE) == [binding]
        assert await store.bindings.of(BOB) == []

    run(scenario)


def test_a_binding_is_replaced_and_removed_by_its_key(run):
    async def scenario(store):
        nameless = make_binding(instance="", contact="sip:a@192.0.2.9")
        await store.bindings.update(put=[make_binding(), make_binding(reg_id=2), nameless])
        newer = make_binding(contact="sip:alice@192.0.2.2", cseq=2, expires_at=NOON + 2 * HOUR)
        await store.bindings.update(put=[newer], remove=[make_binding(reg_id=2, contact="sip:other")])
        assert sorted(await store.bindings.of(ALICE), key=lambda one: one.key) == [nameless, newer]
        await store.bindings.update(remove=[nameless, make_binding(instance="nobody")])
        assert await store.bindings.of(ALICE) == [newer]

    run(scenario)


def test_of_updates_handed_in_together_the_last_word_counts(run):
    async def scenario(store):
        one, two = make_binding(instance="1"), make_binding(instance="2")
        newer = make_binding(instance="2", cseq=2)
        await asyncio.gather(
            store.bindings.update(put=[one, two]),
            store.bindings.update(remove=[one]),
            store.bindings.update(remove=[two]),
            store.bindings.update(put=[newer]),
            *(store.bindings.update(put=[make_binding(BOB, str(n))]) for n in range(100)),
        )
        assert await store.bindings.of(ALICE) == [newer]
        assert len(await store.bindings.of(BOB)) == 100

    run(scenario)


def test_bindings_survive_and_are_read_by_node(run):
    here, there = make_binding(), make_binding(BOB, node="n2")

    async def before(store):
        await store.bindings.update(put=[here, there])

    async def after(store):
        assert await store.bindings.all("n1") == [here]
        assert await store.bindings.of(BOB) == [there]

    run(before, after)


def test_expired_bindings_stay_until_they_are_taken(run):
    async def scenario(store):
        old, fresh = make_binding(expires_at=NOON), make_binding(BOB, expires_at=NOON + 1)
        await store.bindings.update(put=[old, fresh])
        assert await store.bindings.of(ALICE) == [old]
        assert await store.bindings.expire(NOON) == [old]
        assert await store.bindings.expire(NOON) == []
        assert await store.bindings.of(ALICE) == []
        assert await store.bindings.all("n1") == [fresh]

    run(scenario)
