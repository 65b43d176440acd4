"""What every store promises of accepted messages: cursors, states, withdrawal, expiry, pruning, traces."""

import asyncio

import pytest

from contracts.store_values import (
    ALICE,
    BOB,
    CAROL,
    DAY,
    HOUR,
    NOON,
    accept_all,
    make_copied_deposit,
    make_deposit,
    make_message,
    make_receipt,
    seqs,
    state_of,
)
from joyn.model.aor import Aor
from joyn.model.message import Cursor, Deposit, Kind, State

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


def test_cursors_untouched_for_long_are_forgotten(run):
    async def scenario(store):
        old = Cursor(mailbox=BOB, instance="old", low=7, touched_at=NOON - DAY)
        new = Cursor(mailbox=BOB, instance="new", low=7, touched_at=NOON)
        store.mailboxes.settle(old)
        store.mailboxes.settle(new)
        await store.mailboxes.flush()
        assert await store.mailboxes.forget_cursors(NOON - HOUR) == 1
        assert await store.mailboxes.cursors(BOB) == [new]

    run(scenario)


def test_a_new_device_begins_at_the_first_entry_that_nobody_took(run):
    async def scenario(store):
        assert await store.mailboxes.first_unacknowledged(BOB) == 0
        await accept_all(store, make_deposit("1"), make_deposit("2"))
        first, second = await seqs(store)
        assert await store.mailboxes.first_unacknowledged(BOB) == first - 1
        store.mailboxes.settle(Cursor(mailbox=BOB, instance="a", low=first), [(first, State.ACKNOWLEDGED)])
        assert await store.mailboxes.first_unacknowledged(BOB) == second - 1
        store.mailboxes.settle(Cursor(mailbox=BOB, instance="a", low=second), [(second, State.ACKNOWLEDGED)])
        await store.mailboxes.flush()
        assert await store.mailboxes.first_unacknowledged(BOB) == second

    run(scenario)


def test_a_new_device_never_begins_behind_a_message_that_is_being_accepted(run):
    async def scenario(store):
        for number in range(200):
            mailbox = Aor(f"tel:+3363998{number:04d}")
            accepting = asyncio.ensure_future(store.mailboxes.accept(make_deposit(conversation=mailbox)))
            begins = []
            while not accepting.done():
                begins.append(await store.mailboxes.first_unacknowledged(mailbox))
                await asyncio.sleep(0)
            (entry,) = accepting.result().entries
            assert max(begins) < entry.seq

    run(scenario)


def test_an_entry_fails_only_while_nobody_has_taken_it(run):
    async def scenario(store):
        await accept_all(store, make_deposit("1"), make_deposit("2"))
        first, second = await seqs(store)
        store.mailboxes.settle(Cursor(mailbox=BOB, instance="a", low=first), [(first, State.ACKNOWLEDGED)])
        assert not await store.mailboxes.fail(BOB, first)
        assert not await store.mailboxes.fail(ALICE, second)
        assert await store.mailboxes.fail(BOB, second)
        assert [entry.seq for entry in await store.mailboxes.read(BOB, 0, 10)] == [first]

    run(scenario)


def test_what_tells_of_a_failure_is_accepted_with_it_or_not_at_all(run):
    async def scenario(store):
        told = []
        store.mailboxes.on_accepted = lambda entries: told.extend(entry.message.message_id for entry in entries)
        await accept_all(store, make_deposit("taken"), make_deposit("refused"))
        taken, refused = await seqs(store)
        store.mailboxes.settle(Cursor(mailbox=BOB, instance="a", low=taken), [(taken, State.ACKNOWLEDGED)])
        assert not await store.mailboxes.fail(BOB, taken, make_deposit("no", sender=BOB, conversation=ALICE))
        assert await store.mailboxes.fail(BOB, refused, make_deposit("yes", sender=BOB, conversation=ALICE))
        assert told == ["taken", "refused", "yes"]
        assert [entry.message.message_id for entry in await store.mailboxes.read(ALICE, 0, 10)] == ["yes"]

    run(scenario)


def test_what_tells_of_an_expiry_is_accepted_with_it(run):
    def report(entry):
        if entry.message.message_id == "unasked":
            return None
        return make_deposit(f"about {entry.message.message_id}", sender=BOB, conversation=ALICE)

    async def scenario(store):
        await accept_all(store, *(make_deposit(name, deliver_until=NOON) for name in ("1", "unasked", "2")))
        assert len(await store.mailboxes.expire(NOON + 1, report=report)) == 3
        reports = await store.mailboxes.read(ALICE, 0, 10)
        assert [entry.message.message_id for entry in reports] == ["about 1", "about 2"]

    run(scenario)


def test_a_commit_of_several_sorts_is_told_in_the_order_of_its_numbers(run):
    async def scenario(store):
        told = []
        store.mailboxes.on_accepted = lambda entries: told.extend(entry.seq for entry in entries)
        await accept_all(store, make_deposit("late", deliver_until=NOON))

        def report(entry):
            return make_deposit("report", sender=BOB, conversation=ALICE)

        # One commit for all: they are handed in before the writer looks.
        await asyncio.gather(
            store.mailboxes.expire(NOON + 1, report=report),
            *(store.mailboxes.accept(make_deposit(f"m{number}")) for number in range(20)),
        )
        assert len(told) == 22
        assert told == sorted(told)

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
