"""What every store promises of subscribers, block lists and bindings (joyn.store)."""

import asyncio

from contracts.store_values import (
    ALICE,
    BOB,
    CAROL,
    HOUR,
    NOON,
    make_binding,
    make_copied_deposit,
    make_subscriber,
    seqs,
)
from joyn.model.message import Cursor
from joyn.store.sqlite import Limits

# Subscribers


def test_a_subscriber_is_found_by_aor_and_by_username(run):
    async def scenario(store):
        assert await store.subscribers.get(ALICE) is None
        assert await store.subscribers.find("alice") is None
        alice = make_subscriber(
            algorithms=("MD5",), display_name="Alice", blocked=True, file_quota=5 << 30, created_at=NOON
        )
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


def test_a_new_name_changes_nothing_else(run):
    async def scenario(store):
        await store.subscribers.put(make_subscriber(blocked=True))
        await store.subscribers.get(ALICE)
        assert store.subscribers.name_of(ALICE) == ""
        assert await store.subscribers.rename(ALICE, "Alice")
        assert (store.subscribers.name_of(ALICE), store.subscribers.name_of(BOB)) == ("Alice", "")
        assert await store.subscribers.get(ALICE) == make_subscriber(blocked=True, display_name="Alice")
        assert not await store.subscribers.rename(BOB, "Bob")

    run(scenario)
