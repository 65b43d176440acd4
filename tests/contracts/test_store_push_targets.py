"""What every store promises of push targets, and of the node's own secrets."""

import pytest

from contracts.store_values import ALICE, BOB, NOON, make_subscriber
from joyn.model.device import Device
from joyn.model.push import PushTarget
from joyn.model.refused import Reason, Refused


def make_target(aor=ALICE, device="d1", endpoint="https://push.example/1", **fields):
    return PushTarget(aor=aor, device=device, endpoint=endpoint, **fields)


def make_browser(aor=ALICE, device="d1", **fields):
    """The target of a browser: it has keys."""
    return make_target(aor, device, **{"p256dh": "key", "auth": "secret"} | fields)


async def sign_in(store, target):
    await store.subscribers.put(make_subscriber(target.aor, username=target.aor))
    name = target.device
    await store.devices.add(Device(id=name, aor=target.aor, kind="browser", token=name, username=name))


def test_targets_are_kept_with_all_they_say(run):
    target = make_browser()
    limited = make_target(device="d2", endpoint="https://push.example/2", expires_at=NOON)

    async def before(store):
        await sign_in(store, target)
        assert await store.push_targets.put(target) == []
        assert await store.push_targets.put(limited) == []

    async def after(store):
        assert await store.push_targets.of(ALICE) == [target, limited]
        assert await store.push_targets.of(BOB) == []
        assert await store.push_targets.all() == [target, limited]

    run(before, after)


def test_a_device_has_one_target(run):
    async def scenario(store):
        first, second = make_target(), make_target(endpoint="https://push.example/2")
        await store.push_targets.put(first)
        assert await store.push_targets.put(second) == [first]
        assert await store.push_targets.of(ALICE) == [second]

    run(scenario)


def test_an_endpoint_belongs_to_whom_it_was_given_last(run):
    async def scenario(store):
        mine, theirs = make_target(ALICE), make_target(BOB)
        await store.push_targets.put(mine)
        assert await store.push_targets.put(theirs) == [mine]
        assert (await store.push_targets.of(ALICE), await store.push_targets.of(BOB)) == ([], [theirs])

    run(scenario)


def test_one_browser_wakes_whoever_is_signed_in_there_now(run):
    async def scenario(store):
        mine, theirs = make_browser(ALICE), make_browser(BOB, "d2")
        for target in (mine, theirs):
            await sign_in(store, target)
        await store.push_targets.put(mine)
        assert await store.push_targets.put(theirs) == [mine]
        assert await store.push_targets.all() == [theirs]

    run(scenario)


@pytest.mark.parametrize("keys", [{"p256dh": "another"}, {"auth": "another"}, {"p256dh": "", "auth": ""}])
def test_a_browser_s_endpoint_is_nobody_s_who_has_not_its_keys(run, keys):
    async def scenario(store):
        mine, theirs = make_browser(ALICE), make_browser(BOB, "d2", **keys)
        for target in (mine, theirs):
            await sign_in(store, target)
        await store.push_targets.put(mine)
        with pytest.raises(Refused) as caught:
            await store.push_targets.put(theirs)
        assert caught.value.reason is Reason.NOT_ALLOWED
        assert await store.push_targets.all() == [mine]

    run(scenario)


@pytest.mark.parametrize("signed_in", [None, make_browser(BOB), make_browser(device="d2")])
def test_a_browser_that_is_not_signed_in_is_not_woken(run, signed_in):
    async def scenario(store):
        if signed_in is not None:
            await sign_in(store, signed_in)
        with pytest.raises(Refused) as caught:
            await store.push_targets.put(make_browser())
        assert caught.value.reason is Reason.UNAUTHENTICATED
        assert await store.push_targets.all() == []

    run(scenario)


def test_what_has_been_replaced_is_not_removed_for_its_predecessor(run):
    async def scenario(store):
        first, second = make_target(), make_target(endpoint="https://push.example/2")
        await store.push_targets.put(first)
        await store.push_targets.put(second)
        await store.push_targets.remove([first])
        assert await store.push_targets.of(ALICE) == [second]
        await store.push_targets.remove([second])
        assert await store.push_targets.all() == []

    run(scenario)


def test_targets_go_with_their_subscriber(run):
    async def scenario(store):
        await store.subscribers.put(make_subscriber(ALICE))
        await store.push_targets.put(make_target())
        await store.subscribers.remove(ALICE)
        assert await store.push_targets.all() == []

    run(scenario)


def test_the_secret_that_came_first_stays(run):
    async def before(store):
        assert await store.secrets.keep("push", b"first") == b"first"
        assert await store.secrets.keep("push", b"second") == b"first"
        assert await store.secrets.keep("other", b"second") == b"second"

    async def after(store):
        assert await store.secrets.keep("push", b"third") == b"first"

    run(before, after)
