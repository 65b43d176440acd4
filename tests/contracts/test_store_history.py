"""What every store promises of a subscriber's history and of searching it."""

import pytest

from contracts.store_values import (
    ALICE,
    BOB,
    CAROL,
    NOON,
    accept_all,
    make_copied_deposit,
    make_deposit,
    make_receipt,
    make_subscriber,
)
from joyn.model.message import Address, Deposit, EntryKind, State
from joyn.model.value import value


def ids(page):
    return [item.message.message_id for item in page.items]


async def fill(store, count=5):
    """Alice and Bob write in turns, m0 to m(count - 1); a receipt follows each message."""
    for number in range(count):
        sender, recipient = (ALICE, BOB) if number % 2 == 0 else (BOB, ALICE)
        await store.mailboxes.accept(make_deposit(f"m{number}", sender=sender, conversation=recipient))
        await store.mailboxes.accept(make_receipt(f"m{number}", sender=sender, recipient=recipient))


def test_both_see_what_they_sent_and_what_they_received_the_newest_first(run):
    async def scenario(store):
        await fill(store)
        for owner, first in ((ALICE, False), (BOB, True)):
            page = await store.history.before(owner, None, 10)
            assert (ids(page), page.more) == (["m4", "m3", "m2", "m1", "m0"], False)
            assert [item.incoming for item in page.items] == [first, not first, first, not first, first]

    run(scenario)


def test_pages_go_on_where_the_last_one_ended_in_both_directions(run):
    async def scenario(store):
        await fill(store)
        newest = await store.history.before(ALICE, None, 2)
        older = await store.history.before(ALICE, newest.items[-1].message.id, 2)
        oldest = await store.history.before(ALICE, older.items[-1].message.id, 2)
        assert [(ids(p), p.more) for p in (newest, older, oldest)] == [
            (["m4", "m3"], True),
            (["m2", "m1"], True),
            (["m0"], False),
        ]
        first = await store.history.after(ALICE, 0, 3)
        rest = await store.history.after(ALICE, first.items[-1].message.id, 3)
        assert [(ids(p), p.more) for p in (first, rest)] == [(["m0", "m1", "m2"], True), (["m3", "m4"], False)]
        assert ids(await store.history.after(ALICE, rest.items[-1].message.id, 3)) == []

    run(scenario)


def test_a_stranger_sees_and_finds_nothing_of_it(run):
    async def scenario(store):
        await fill(store)
        assert ids(await store.history.before(CAROL, None, 10)) == []
        assert ids(await store.history.after(CAROL, 0, 10)) == []
        assert ids(await store.history.search(CAROL, ["eight"], 10)) == []

    run(scenario)


def test_a_copy_for_ones_own_devices_is_no_second_message(run):
    async def scenario(store):
        await store.mailboxes.accept(make_copied_deposit())
        assert ids(await store.history.before(ALICE, None, 10)) == ["m1"]
        assert ids(await store.history.after(ALICE, 0, 10)) == ["m1"]

    run(scenario)


def test_a_note_to_oneself_is_there_once(run):
    async def scenario(store):
        await store.mailboxes.accept(make_deposit("m1", sender=ALICE, conversation=ALICE))
        assert ids(await store.history.before(ALICE, None, 10)) == ["m1"]
        assert ids(await store.history.search(ALICE, ["eight"], 10)) == ["m1"]

    run(scenario)


def test_the_state_is_the_highest_that_the_recipient_has_told(run):
    async def scenario(store):
        await accept_all(store, make_deposit("quiet"), make_deposit("kept"), make_deposit("read"), make_deposit("lost"))
        await accept_all(
            store,
            make_receipt("kept", State.DELIVERED),
            make_receipt("read", State.DELIVERED),
            make_receipt("read", State.DISPLAYED),
        )
        lost = await store.mailboxes.find(ALICE, BOB, "lost")
        await store.mailboxes.fail(BOB, lost.entries[0].seq)
        page = await store.history.before(ALICE, None, 10)
        assert {item.message.message_id: item.state for item in page.items} == {
            "quiet": State.PENDING,
            "kept": State.DELIVERED,
            "read": State.DISPLAYED,
            "lost": State.FAILED,
        }

    run(scenario)


def test_what_never_came_is_in_the_senders_history_only(run):
    async def scenario(store):
        await store.mailboxes.accept(make_deposit("m1", deliver_until=NOON))
        await store.mailboxes.expire(NOON + 1)
        assert ids(await store.history.before(ALICE, None, 10)) == ["m1"]
        assert ids(await store.history.before(BOB, None, 10)) == []
        assert ids(await store.history.search(BOB, ["eight"], 10)) == []

    run(scenario)


def test_what_was_withheld_from_the_recipient_is_in_the_senders_history_only(run):
    async def scenario(store):
        # A blocked sender's message: kept, with nobody to deliver it to but the sender's own devices.
        copy = Address(mailbox=ALICE, kind=EntryKind.COPY)
        await accept_all(store, make_deposit("m1", copy), Deposit(message=make_deposit("m2").message, addresses=()))
        assert ids(await store.history.before(ALICE, None, 10)) == ["m2", "m1"]
        assert ids(await store.history.before(BOB, None, 10)) == []
        assert ids(await store.history.search(BOB, ["eight"], 10)) == []

    run(scenario)


def test_what_was_withdrawn_is_in_nobodys_history(run):
    async def scenario(store):
        await store.mailboxes.accept(make_deposit("m1"))
        await store.history.index()
        assert await store.mailboxes.revoke(ALICE, BOB, "m1", NOON)
        for owner in (ALICE, BOB):
            assert ids(await store.history.before(owner, None, 10)) == []
            assert ids(await store.history.search(owner, ["eight"], 10)) == []

    run(scenario)


def test_a_message_accepted_anew_is_there_once(run):
    async def scenario(store):
        first = await store.mailboxes.accept(make_deposit("m1"))
        await store.mailboxes.fail(BOB, first.entries[0].seq)
        again = await store.mailboxes.accept(make_deposit("m1"))
        for owner in (ALICE, BOB):
            found = [await store.history.before(owner, None, 10), await store.history.search(owner, ["eight"], 10)]
            assert [[item.message.id for item in page.items] for page in found] == [[again.message.id]] * 2

    run(scenario)


def test_large_messages_make_short_pages(run):
    async def scenario(store):
        await accept_all(store, *(make_deposit(f"m{n}", body=b"x" * (3 << 20)) for n in range(3)))
        page = await store.history.before(ALICE, None, 10)
        assert (ids(page), page.more) == (["m2"], True)

    run(scenario)


def test_a_former_owners_history_does_not_come_with_the_number(run):
    async def scenario(store):
        await store.subscribers.put(make_subscriber(ALICE))
        await fill(store)
        await store.subscribers.remove(ALICE)
        await store.subscribers.put(make_subscriber(ALICE))
        await store.mailboxes.accept(make_deposit("new"))
        assert ids(await store.history.before(ALICE, None, 10)) == ["new"]
        assert ids(await store.history.after(ALICE, 0, 10)) == ["new"]
        assert ids(await store.history.search(ALICE, ["eight"], 10)) == ["new"]
        assert len((await store.history.before(BOB, None, 10)).items) == 6

    run(scenario)


@value
class Search:
    words: str
    found: list[str]


TEXTS = {
    "m1": "Rendez-vous à l'Élysée, demain à huit heures",
    "m2": "The train leaves at 8:15, don't be late",
    "m3": "Привет, как дела",
    "m4": "e\u0301le\u0300ve",  # decomposed
    "m5": 'AND OR NOT "NEAR" parties:p body* x',
}


@pytest.mark.parametrize(
    "search",
    [
        Search(words="demain", found=["m1"]),
        Search(words="DEM", found=["m1"]),
        Search(words="elysee", found=["m1"]),
        Search(words="élysée", found=["m1"]),
        Search(words="heures rendez", found=["m1"]),
        Search(words="rendez-vous", found=["m1"]),
        Search(words="heures train", found=[]),
        Search(words="emain", found=[]),
        Search(words="15", found=["m2"]),
        Search(words="привет", found=["m3"]),
        Search(words="eleve", found=["m4"]),
        Search(words="x", found=["m5"]),
        Search(words="and", found=["m5"]),
        Search(words='"near" not', found=["m5"]),
        Search(words='") OR (parties : "p', found=["m5"]),
        Search(words="p", found=["m5"]),
        Search(words="* ( ) \" ' : ^ - +", found=[]),
        Search(words="", found=[]),
        Search(words="\x00", found=[]),
        Search(words="demain " * 100, found=["m1"]),
    ],
    ids=lambda search: search.words[:12],
)
def test_words_and_their_beginnings_are_found_whatever_their_case_and_accents(run, search):
    async def scenario(store):
        await accept_all(store, *(make_deposit(name, body=text.encode()) for name, text in TEXTS.items()))
        assert ids(await store.history.search(BOB, search.words.split(" "), 10)) == search.found

    run(scenario)


def test_finds_come_the_newest_first_and_no_more_than_asked_for(run):
    async def scenario(store):
        await fill(store)
        page = await store.history.search(ALICE, ["eight"], 2)
        assert (ids(page), page.more) == (["m4", "m3"], True)
        assert [item.incoming for item in page.items] == [False, True]

    run(scenario)


def test_the_word_that_stands_for_a_party_cannot_be_searched_for(run):
    async def scenario(store):
        from joyn.store.sqlite.history import _party

        await store.mailboxes.accept(make_deposit("m1"))
        assert ids(await store.history.search(ALICE, [_party(BOB)], 10)) == []

    run(scenario)


def test_what_is_ready_to_be_found_is_counted_and_done_once(run):
    async def scenario(store):
        await fill(store, 3)
        assert [await store.history.index(4), await store.history.index(4), await store.history.index(4)] == [4, 2, 0]

    run(scenario)


def test_what_was_pruned_is_found_no_more(run):
    async def scenario(store):
        await accept_all(store, make_deposit("old", retain_until=NOON), make_deposit("new"))
        await store.history.index()
        await store.mailboxes.prune(NOON + 1)
        assert ids(await store.history.search(BOB, ["eight"], 10)) == ["new"]
        assert ids(await store.history.before(BOB, None, 10)) == ["new"]

    run(scenario)


def test_a_search_goes_on_after_a_restart(run):
    async def before(store):
        await store.mailboxes.accept(make_deposit("m1"))
        await store.history.index()
        await store.mailboxes.accept(make_deposit("m2"))

    async def after(store):
        assert ids(await store.history.search(BOB, ["eight"], 10)) == ["m2", "m1"]

    run(before, after)
