import asyncio

import pytest

from contracts.store_values import ALICE, BOB, make_subscriber
from joyn.model.aor import Aor
from joyn.model.refused import Reason, Refused
from joyn.services.provisioning.codes import hashed
from joyn.services.provisioning.devices import MAX_DEVICES, About
from services.provisioning.setting import DAY, played

ABOUT = About(name="Phone")


async def set_up(setting, kind="native"):
    return await setting.devices.set_up(ALICE, kind, ABOUT, token_for=30 * DAY, sms_port=9)


@played
async def test_what_a_device_shows_is_kept_as_a_hash(setting) -> None:
    device, token = await set_up(setting)
    credentials = await setting.devices.mint(device, 60.0)
    kept = await setting.store.devices.get(device.id)
    assert token not in repr(kept)
    assert credentials.password not in repr(kept)
    assert kept.token == hashed(token)


@pytest.mark.parametrize(
    "change",
    [
        lambda devices, device: devices.rotate(device, "old", 60.0),
        lambda devices, device: devices.mint(device, 60.0),
        lambda devices, device: devices.rename(device, "Mine"),
        lambda devices, device: devices.accept_terms(device.id),
        lambda devices, device: devices.listens(device, 10),
        lambda devices, device: devices.sign_out(device),
    ],
)
@played
async def test_a_device_that_was_signed_out_does_not_come_back(setting, change) -> None:
    device, token = await set_up(setting)
    await setting.devices.mint(device, 600.0)
    setting.now += 61
    assert await setting.devices.sign_out(device)
    assert not await change(setting.devices, device)
    assert await setting.devices.of(ALICE) == []
    assert await setting.devices.of_token(token, "native") is None
    assert await setting.devices.find(device.username) is None


@played
async def test_changes_at_once_do_not_undo_each_other(setting) -> None:
    device, _ = await set_up(setting)
    await asyncio.gather(
        setting.devices.rename(device, "Mine"),
        setting.devices.accept_terms(device.id),
        setting.devices.mint(device, 60.0),
    )
    kept = await setting.store.devices.get(device.id)
    assert (kept.name, kept.terms, bool(kept.ha1)) == ("Mine", True, True)


@played
async def test_a_device_that_could_not_be_forgotten_is_signed_out_by_the_next_try(setting, monkeypatch) -> None:
    device, token = await set_up(setting)

    async def busy(_device_id):
        raise Refused(Reason.OVERLOADED)

    with monkeypatch.context() as patch:
        patch.setattr(setting.store.devices, "remove", busy)
        with pytest.raises(Refused):
            await setting.devices.sign_out(device)
    assert setting.signed_out == []
    assert await setting.devices.of_token(token, "native")
    assert await setting.devices.sign_out(device)
    assert setting.signed_out == [device]


@played
async def test_the_token_before_holds_until_the_new_one_is_seen(setting) -> None:
    device, first = await set_up(setting)
    lost = await setting.devices.rotate(device, first, 30 * DAY)
    device, _ = await setting.devices.of_token(first, "native")
    second = await setting.devices.rotate(device, first, 30 * DAY)
    assert await setting.devices.of_token(lost, "native") is None
    assert await setting.devices.of_token(first, "native")
    assert await setting.devices.of_token(second, "native")
    assert await setting.devices.of_token(first, "native") is None


@played
async def test_a_token_ends_and_using_it_does_not_keep_it_alive(setting) -> None:
    device, first = await set_up(setting)
    setting.now += 20 * DAY
    device, _ = await setting.devices.of_token(first, "native")
    second = await setting.devices.rotate(device, first, 30 * DAY)
    setting.now += 10 * DAY
    assert await setting.devices.of_token(first, "native") is None
    setting.now += 20 * DAY - 1
    assert await setting.devices.of_token(second, "native")
    setting.now += 1
    assert await setting.devices.of_token(second, "native") is None


@played
async def test_a_phone_s_token_opens_no_session_and_the_other_way_round(setting) -> None:
    _, token = await set_up(setting)
    _, session = await set_up(setting, "browser")
    assert await setting.devices.of_token(token, "browser") is None
    assert await setting.devices.of_token(session, "native") is None
    assert await setting.devices.of_token("", "native") is None


@played
async def test_credentials_end_with_their_time_their_device_and_their_subscriber(setting) -> None:
    device, _ = await set_up(setting)
    assert await setting.devices.find(device.username) is None
    await setting.devices.mint(device, 60.0)
    found = await setting.devices.find(device.username)
    assert (found.aor, found.username) == (ALICE, device.username)
    setting.now += 60
    assert await setting.devices.find(device.username) is None
    await setting.devices.mint(device, 60.0)
    await setting.store.subscribers.put(make_subscriber(ALICE, username=ALICE, blocked=True))
    assert (await setting.devices.find(device.username)).blocked
    await setting.store.subscribers.remove(ALICE)
    assert await setting.devices.find(device.username) is None


@played
async def test_a_number_that_went_to_somebody_else_takes_no_devices_along(setting) -> None:
    _, token = await set_up(setting)
    await setting.store.subscribers.remove(ALICE)
    with pytest.raises(Refused):
        await set_up(setting)
    await setting.store.subscribers.put(make_subscriber(ALICE, username=ALICE))
    assert await setting.devices.of_token(token, "native") is None


@played
async def test_the_device_longest_away_makes_room(setting) -> None:
    made = []
    for _ in range(MAX_DEVICES + 1):
        setting.now += 1
        made.append((await set_up(setting))[0].id)
    assert [one.id for one in await setting.devices.of(ALICE)] == made[1:]
    assert [one.id for one in setting.signed_out] == made[:1]


@played
async def test_devices_are_their_owner_s_alone(setting) -> None:
    device, _ = await set_up(setting)
    assert (await setting.devices.own(ALICE, device.id)).id == device.id
    for aor, name in ((BOB, device.id), (ALICE, "other"), (Aor("tel:+33639980009"), device.id)):
        with pytest.raises(Refused):
            await setting.devices.own(aor, name)
