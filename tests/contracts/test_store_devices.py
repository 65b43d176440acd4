"""Devices and one-time codes: what any store promises about them."""

import asyncio
from dataclasses import replace

import pytest

from contracts.store_values import ALICE, BOB, NOON, make_binding, make_subscriber
from joyn.model.device import CodeLimits, CodeWait, Device, Limit, SentCode
from joyn.model.push import PushTarget

LIMITS = CodeLimits(again_after=30.0, per_hour=3, source_per_hour=4, vain_per_hour=6, all_per_minute=5)
LOCK = NOON + 600.0


def make_device(number: int = 1, **changes) -> Device:
    return replace(
        Device(
            id=f"d{number}",
            aor=ALICE,
            kind="native",
            name="Phone",
            token=f"t{number}",
            username=f"d{number}@joyn.example",
            ha1={"MD5": "00"},
            created_at=NOON + number,
        ),
        **changes,
    )


def make_code(aor=ALICE, at=NOON, **changes) -> SentCode:
    values = {"tries_left": 3, "expires_at": at + 600.0, "since": at} | changes
    return SentCode(**{"aor": aor, "cookie": f"cookie of {aor}", "code": "right", "sent_at": at, **values})


async def with_subscribers(store):
    for aor in (ALICE, BOB):
        await store.subscribers.put(make_subscriber(aor, username=aor))
    return store.devices


def test_a_device_is_found_by_what_it_shows(run):
    async def scenario(store):
        devices = await with_subscribers(store)
        assert await devices.add(make_device(token_before="t0"))
        kept = make_device(token_before="t0")
        assert await devices.get("d1") == kept
        assert await devices.with_token("t1") == kept
        assert await devices.with_token("t0") == kept
        assert await devices.with_username("d1@joyn.example") == kept
        assert await devices.of(ALICE) == [kept]
        assert await devices.with_token("") is None
        assert await devices.of(BOB) == []

    run(scenario)


def test_a_device_outlives_a_restart(run):
    async def before(store):
        devices = await with_subscribers(store)
        await devices.add(make_device(token_until=5.0, sms_port=37273, configuration="c1", told="c2"))

    async def after(store):
        kept = make_device(token_until=5.0, sms_port=37273, configuration="c1", told="c2")
        assert await store.devices.get("d1") == kept

    run(before, after)


def test_nobodys_device_is_not_added(run):
    async def scenario(store):
        assert not await store.devices.add(make_device())
        assert await store.devices.get("d1") is None

    run(scenario)


@pytest.mark.parametrize("taken", ["id", "token", "username"])
def test_two_devices_have_nothing_in_common_that_tells_them_apart(run, taken):
    async def scenario(store):
        devices = await with_subscribers(store)
        await devices.add(make_device(1))
        with pytest.raises(ValueError, match="another device's"):
            await devices.add(make_device(2, **{taken: getattr(make_device(1), taken)}))
        assert await devices.of(ALICE) == [make_device(1)]

    run(scenario)


def test_a_change_touches_its_own_fields_alone(run):
    async def scenario(store):
        devices = await with_subscribers(store)
        await devices.add(make_device())
        changes = [{"name": "Mine"}, {"terms": True}, {"sms_port": 9}, {"ha1": {"SHA-256": "11"}}]
        assert all(await asyncio.gather(*(devices.change("d1", **change) for change in changes)))
        changed = make_device(name="Mine", terms=True, sms_port=9, ha1={"SHA-256": "11"})
        assert await devices.get("d1") == changed

    run(scenario)


def test_a_device_that_is_gone_does_not_come_back(run):
    async def scenario(store):
        devices = await with_subscribers(store)
        await devices.add(make_device())
        assert await devices.remove("d1") == make_device()
        assert await devices.remove("d1") is None
        assert not await devices.change("d1", token="t9")
        assert await devices.get("d1") is None
        assert await devices.with_token("t9") is None

    run(scenario)


def test_with_a_device_goes_all_that_its_credentials_registered(run):
    mine = {"aor": ALICE, "username": "d1@joyn.example"}
    own = [make_binding(**mine), make_binding(**mine, instance="urn:uuid:2"), make_binding(**mine, instance="")]
    other = make_binding(instance="urn:uuid:3", username="alice")
    another = make_binding(BOB, username="d2@joyn.example")

    async def before(store):
        devices = await with_subscribers(store)
        await devices.add(make_device(1))
        await devices.add(make_device(2, aor=BOB))
        await store.bindings.update(put=[*own, other, another])
        # That of a binding that has gone already too: its device sleeps.
        for number, one in enumerate([*own[1:], make_binding(**mine, instance="urn:uuid:asleep"), other]):
            endpoint = f"https://push.example/{number}"
            await store.push_targets.put(
                PushTarget(aor=ALICE, device=one.device, endpoint=endpoint, username=one.username)
            )
        keys = {"p256dh": "key", "auth": "secret"}
        await store.push_targets.put(PushTarget(aor=ALICE, device="d1", endpoint="https://push.example/9", **keys))
        await devices.remove("d1")

    async def after(store):
        assert await store.bindings.of(ALICE) == [other]
        assert await store.bindings.of(BOB) == [another]
        assert [target.device for target in await store.push_targets.all()] == ["urn:uuid:3"]

    run(before, after)


@pytest.mark.parametrize("fields", [{}, {"aor": BOB}, {"id": "d2"}, {"kind": "browser"}, {"colour": "red"}])
def test_whose_device_it_is_never_changes(run, fields):
    async def scenario(store):
        devices = await with_subscribers(store)
        await devices.add(make_device())
        with pytest.raises(ValueError, match="fields that change"):
            await devices.change("d1", **fields)

    run(scenario)


def test_phones_that_are_to_be_told_are_found(run):
    async def scenario(store):
        devices = await with_subscribers(store)
        await devices.add(make_device(1, sms_port=9, configuration="old"))
        await devices.add(make_device(2, sms_port=9, configuration="new"))
        await devices.add(make_device(3, sms_port=9, configuration="old", told="new"))
        await devices.add(make_device(4, configuration="old"))
        await devices.add(make_device(5, sms_port=9, kind="browser"))
        await devices.add(make_device(6, sms_port=9, configuration="older", told="old"))
        assert [one.id for one in await devices.outdated("new", 10)] == ["d1", "d6"]
        assert [one.id for one in await devices.outdated("new", 1)] == ["d1"]

    run(scenario)


def test_devices_and_codes_go_with_their_subscriber(run):
    async def scenario(store):
        devices = await with_subscribers(store)
        await devices.add(make_device())
        await devices.reserve_code(make_code(), LIMITS)
        await store.subscribers.remove(ALICE)
        assert await devices.of(ALICE) == []
        assert await devices.code(ALICE) is None

    run(scenario)


# Codes.


def test_a_code_is_kept_and_the_next_one_takes_its_place(run):
    async def scenario(store):
        devices = store.devices
        assert await devices.reserve_code(make_code(), LIMITS) is None
        assert await devices.code(ALICE) == make_code()
        assert await devices.code_of("cookie of tel:+33639980001") == make_code()
        later = make_code(at=NOON + 30.0, cookie="second")
        assert await devices.reserve_code(later, LIMITS) is None
        assert await devices.code(ALICE) == replace(later, sends=2, since=NOON)
        assert await devices.code_of("cookie of tel:+33639980001") is None

    run(scenario)


def test_a_number_has_a_pause_and_a_bound(run):
    async def scenario(store):
        reserve = store.devices.reserve_code
        for count in range(3):
            assert await reserve(make_code(at=NOON + 30.0 * count), LIMITS) is None
            again = await reserve(make_code(at=NOON + 30.0 * count + 29.9), LIMITS)
            assert again == CodeWait(Limit.NUMBER, NOON + 30.0 * count + 30.0)
        assert await reserve(make_code(at=NOON + 3599.0), LIMITS) == CodeWait(Limit.NUMBER, NOON + 3600.0)
        assert await reserve(make_code(at=NOON + 3600.0), LIMITS) is None

    run(scenario)


def test_many_at_once_are_one(run):
    async def scenario(store):
        made = [make_code(cookie=f"c{number}") for number in range(20)]
        waits = await asyncio.gather(*(store.devices.reserve_code(code, LIMITS) for code in made))
        assert waits.count(None) == 1
        assert set(waits) == {None, CodeWait(Limit.NUMBER, NOON + 30.0)}

    run(scenario)


def test_a_source_and_all_numbers_together_have_bounds(run):
    def number(count):
        return f"tel:+336399801{count:02}"

    async def scenario(store):
        reserve = store.devices.reserve_code
        waits = await asyncio.gather(*(reserve(make_code(number(count)), LIMITS, "here") for count in range(6)))
        assert waits == [None] * 4 + [CodeWait(Limit.SOURCE, NOON + 3600.0)] * 2
        waits = [await reserve(make_code(number(count)), LIMITS, "there") for count in (10, 11)]
        assert waits == [None, CodeWait(Limit.ALL, NOON + 60.0)]
        assert await reserve(make_code(number(12), NOON + 61.0), LIMITS, "there") is None

    run(scenario)


def test_who_asks_in_vain_is_bounded_and_then_told_nothing_and_bounds_nobody_else(run):
    async def scenario(store):
        ask, reserve = store.devices.asked_in_vain, store.devices.reserve_code
        over = CodeWait(Limit.SOURCE, NOON + 3600.0)
        waits = await asyncio.gather(*(ask(LIMITS, "here", NOON) for _ in range(7)))
        assert waits == [None] * 6 + [over]
        assert await reserve(make_code(BOB), LIMITS, "here") == over
        assert await reserve(make_code(BOB), LIMITS, "there") is None
        assert await ask(LIMITS, "here", NOON + 3601.0) is None
        # Up to then whoever shares the address signs in as ever.
        for number in range(LIMITS.source_per_hour):
            assert await ask(LIMITS, "office", NOON + 61.0) is None
            assert await reserve(make_code(f"tel:+3363998010{number}", NOON + 61.0), LIMITS, "office") is None
        assert await reserve(make_code(ALICE, NOON + 61.0), LIMITS, "office") is not None
        assert await ask(LIMITS, "office", NOON + 61.0) is None

    run(scenario)


def test_bounds_outlive_a_restart(run):
    async def before(store):
        for count in range(4):
            await store.devices.reserve_code(make_code(f"tel:+3363998010{count}"), LIMITS, "here")
        for _ in range(3):
            await store.devices.try_code("cookie of tel:+33639980100", "wrong", now=NOON, locked_until=LOCK)

    async def after(store):
        reserve = store.devices.reserve_code
        assert await reserve(make_code(at=NOON + 1), LIMITS, "here") == CodeWait(Limit.SOURCE, NOON + 3600.0)
        assert await reserve(make_code("tel:+33639980100", NOON + 60), LIMITS, "x") == CodeWait(Limit.LOCKED, LOCK)

    run(before, after)


def test_a_right_code_holds_once_however_often_it_comes(run):
    async def scenario(store):
        await store.devices.reserve_code(make_code(), LIMITS)
        cookie = make_code().cookie
        tried = await asyncio.gather(
            *(store.devices.try_code(cookie, "right", now=NOON, locked_until=LOCK) for _ in range(10))
        )
        assert [one.right for one in tried].count(True) == 1

    run(scenario)


def test_tries_at_once_are_no_more_than_one_after_another(run):
    async def scenario(store):
        await store.devices.reserve_code(make_code(), LIMITS)
        tries = [store.devices.try_code(make_code().cookie, "wrong", now=NOON, locked_until=LOCK) for _ in range(10)]
        left = [one.code.tries_left for one in await asyncio.gather(*tries)]
        assert left == [3, 2, 1] + [0] * 7
        after = await store.devices.try_code(make_code().cookie, "right", now=NOON, locked_until=LOCK)
        assert (after.right, after.code.locked_until) == (False, LOCK)

    run(scenario)


@pytest.mark.parametrize("late", [600.0, 601.0])
def test_a_code_that_is_over_is_not_right(run, late):
    async def scenario(store):
        await store.devices.reserve_code(make_code(), LIMITS)
        tried = await store.devices.try_code(make_code().cookie, "right", now=NOON + late, locked_until=LOCK)
        assert not tried.right
        assert await store.devices.try_code("another", "right", now=NOON, locked_until=LOCK) is None

    run(scenario)


def test_codes_that_limit_nothing_are_forgotten(run):
    async def scenario(store):
        await store.devices.reserve_code(make_code(), LIMITS)
        assert await store.devices.forget_codes(NOON) == 0
        assert await store.devices.forget_codes(NOON + 601.0) == 1
        assert await store.devices.code(ALICE) is None

    run(scenario)
