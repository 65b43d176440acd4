"""What every store promises of ported numbers."""

import asyncio

import pytest

from contracts.store_values import HOUR, NOON
from joyn.model.ported import BACK, PortedNumber
from joyn.model.refused import Reason, Refused
from joyn.model.route import Operator
from joyn.store import MAX_PORTED
from joyn.store.sqlite import Limits

MINE, YOURS = "+33639980001", "+447700900123"
SFR, ORANGE = Operator("sfr.example"), Operator("orange.example")


def make_ported(number=MINE, operator=SFR, at=NOON):
    return PortedNumber(number=number, operator=operator, at=at)


def test_ported_numbers_are_kept_with_all_they_say(run):
    longest = make_ported("+999999999999999", ORANGE, NOON + 0.25)

    async def before(store):
        await store.ported.put([make_ported(), longest])

    async def after(store):
        assert await store.ported.get(MINE) == make_ported()
        assert await store.ported.get(longest.number) == longest
        assert await store.ported.get(YOURS) is None

    run(before, after)


def test_a_number_that_moves_on_has_its_last_operator(run):
    async def scenario(store):
        await store.ported.put([make_ported()])
        await store.ported.put([make_ported(operator=ORANGE, at=NOON + HOUR)])
        assert await store.ported.get(MINE) == make_ported(operator=ORANGE, at=NOON + HOUR)
        assert await store.ported.counts() == {ORANGE: 1}

    run(scenario)


def test_of_several_rows_for_a_number_the_last_counts(run):
    async def scenario(store):
        await store.ported.put([make_ported(), make_ported(operator=BACK), make_ported(operator=ORANGE)])
        assert await store.ported.get(MINE) == make_ported(operator=ORANGE)
        await store.ported.put([make_ported(), make_ported(operator=BACK)])
        assert await store.ported.get(MINE) is None

    run(scenario)


def test_a_number_that_is_back_is_ported_no_more(run):
    async def before(store):
        await store.ported.put([make_ported(), make_ported(YOURS)])
        await store.ported.put([make_ported(operator=BACK)])
        assert await store.ported.get(MINE) is None
        assert await store.ported.get(YOURS) == make_ported(YOURS)

    async def after(store):
        assert await store.ported.get(MINE) is None
        assert await store.ported.counts() == {SFR: 1}

    run(before, after)


def test_who_asked_before_a_number_was_ported_is_told_when_asking_again(run):
    async def scenario(store):
        assert await store.ported.get(MINE) is None
        await store.ported.put([make_ported()])
        assert await store.ported.get(MINE) == make_ported()

    run(scenario)


def test_asking_while_a_number_is_being_ported_never_keeps_the_old_answer(run):
    async def scenario(store):
        for turn in range(30):
            operator = (SFR, ORANGE)[turn % 2]
            porting = asyncio.ensure_future(store.ported.put([make_ported(operator=operator)]))
            while not porting.done():
                await store.ported.get(MINE)
                await asyncio.sleep(0)
            assert (await store.ported.get(MINE)).operator == operator

    run(scenario)


@pytest.mark.parametrize("count", [63, 64, 65, 1000])
def test_many_are_put_in_one_call(run, count):
    async def scenario(store):
        many = [make_ported(f"+336399{index:05}") for index in range(count)]
        await store.ported.put(many)
        assert await store.ported.counts() == {SFR: count}
        await store.ported.put([make_ported(one.number, BACK) for one in many[1:]])
        assert await store.ported.counts() == {SFR: 1}
        await store.ported.put([])

    run(scenario)


def test_no_more_are_put_at_once_than_one_commit_shall_take(run):
    async def scenario(store):
        many = [make_ported(f"+336{39_000_000 + index}") for index in range(MAX_PORTED + 1)]
        with pytest.raises(ValueError, match="is the bound"):
            await store.ported.put(many)
        assert await store.ported.counts() == {}
        await store.ported.put(many[1:])
        assert await store.ported.counts() == {SFR: MAX_PORTED}

    run(scenario)


def test_when_the_disk_is_full_none_of_them_is_taken(run):
    async def scenario(store):
        taken = 0

        async def fill():
            nonlocal taken
            while taken < 100_000:
                await store.ported.put([make_ported(f"+336{39_000_000 + taken + index}") for index in range(1000)])
                taken += 1000

        with pytest.raises(Refused) as caught:
            await fill()
        assert caught.value.reason is Reason.STORAGE_FULL
        assert await store.ported.get(f"+336{39_000_000 + taken}") is None
        assert await store.ported.counts() == {SFR: taken}

    run(scenario, max_pages=200)


def test_no_more_is_remembered_than_allowed(run):
    async def scenario(store):
        many = [make_ported(f"+336399{index:05}") for index in range(9)]
        await store.ported.put(many)
        for _ in range(2):
            assert [await store.ported.get(one.number) for one in many] == many
        assert len(store.ported._recent) == 4

    run(scenario, limits=Limits(cached=4))
