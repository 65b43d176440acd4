from contracts.store_values import ALICE, BOB
from joyn.services.provisioning.devices import About
from joyn.services.provisioning.reconfiguring import RETRY, Reconfiguring
from services.provisioning.setting import played


def make_reconfiguring(setting, configuration="new"):
    slept = []

    async def sleep(seconds):
        slept.append(seconds)
        setting.sms.broken = False

    return Reconfiguring(setting.store.devices, setting.sms, configuration=configuration, pause=1.0, sleep=sleep), slept


async def set_up(setting, aor=ALICE, sms_port=37273, kind="native"):
    device, _ = await setting.devices.set_up(aor, kind, About(), sms_port=sms_port)
    await setting.devices.mint(device, 60.0, "old")
    return device


@played
async def test_phones_are_told_once_with_pauses(setting) -> None:
    phones = [await set_up(setting), await set_up(setting, BOB, 10000)]
    await set_up(setting, sms_port=0)
    await set_up(setting, kind="browser")
    reconfiguring, slept = make_reconfiguring(setting)
    await reconfiguring.run()
    assert setting.sms.sent == [
        (ALICE, f"{phones[0].username}-rcscfg", 37273),
        (BOB, f"{phones[1].username}-rcscfg", 10000),
    ]
    assert slept == [1.0, 1.0]
    # Not after a restart either, unless something has changed again.
    await make_reconfiguring(setting)[0].run()
    assert len(setting.sms.sent) == 2
    await make_reconfiguring(setting, "newer")[0].run()
    assert len(setting.sms.sent) == 4


@played
async def test_who_has_fetched_it_is_not_told(setting) -> None:
    phone = await set_up(setting)
    await setting.devices.mint(phone, 60.0, "new")
    await make_reconfiguring(setting)[0].run()
    assert setting.sms.sent == []


@played
async def test_when_sms_cannot_leave_they_are_tried_again_later(setting) -> None:
    await set_up(setting)
    setting.sms.broken = True
    reconfiguring, slept = make_reconfiguring(setting)
    await reconfiguring.run()
    assert len(setting.sms.sent) == 1
    assert slept == [RETRY, 1.0]
