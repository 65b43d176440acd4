import asyncio

import pytest

from contracts.store_values import ALICE, NOON
from joyn import telemetry
from joyn.model.aor import Aor
from joyn.services.provisioning.codes import LETTERS, Expired, Locked, TooMany, Wrong
from services.provisioning.setting import played


async def fails(work, kind):
    with pytest.raises(kind) as caught:
        await work
    return caught.value


@played
async def test_a_person_gets_digits_and_a_client_letters(setting) -> None:
    await setting.codes.send(ALICE)
    to, text, port = setting.sms.sent[-1]
    assert (to, port, len(text), text.isdigit()) == (ALICE, 0, 6, True)
    setting.now += 30
    await setting.codes.send(ALICE, port=37273)
    to, text, port = setting.sms.sent[-1]
    assert (port, len(text)) == (37273, 10)
    assert set(text) <= set(LETTERS)


@pytest.mark.parametrize("typed", ["{} {}", " {}{} ", "{}-{}", "{}\u00a0{}"])
@played
async def test_a_code_is_taken_as_people_type_it(setting, typed) -> None:
    cookie, code = await setting.code()
    assert (await setting.codes.check(cookie, typed.format(code[:3], code[3:]))).aor == ALICE


@played
async def test_a_code_holds_once_also_for_many_at_once(setting) -> None:
    cookie, code = await setting.code()
    tries = await asyncio.gather(*(setting.codes.check(cookie, code) for _ in range(8)), return_exceptions=True)
    assert [isinstance(one, Expired) for one in tries].count(False) == 1


@played
async def test_guessing_is_stopped_and_somebody_is_told(setting, caplog) -> None:
    cookie, code = await setting.code()
    before = telemetry.counters().get("code.locked", 0)
    caplog.set_level("WARNING", "joyn")
    guesses = await asyncio.gather(
        *(setting.codes.check(cookie, f"{guess:06}") for guess in range(900000, 900500)), return_exceptions=True
    )
    assert [type(one) for one in guesses] == [Wrong, Wrong] + [Locked] * 498
    assert [one.tries_left for one in guesses[:2]] == [2, 1]
    assert telemetry.counters()["code.locked"] == before + 1
    assert "code.locked number=tel:+3363998xxxx" in caplog.text
    # Neither the right code, nor another one, before the time is over.
    assert (await fails(setting.codes.check(cookie, code), Locked)).until == NOON + 600
    setting.now += 599
    assert (await fails(setting.codes.send(ALICE), Locked)).until == NOON + 600
    setting.now += 1
    assert await setting.code()


@played
async def test_many_requests_at_once_send_one_sms(setting) -> None:
    sent = await asyncio.gather(*(setting.codes.send(ALICE) for _ in range(20)), return_exceptions=True)
    assert [type(one) for one in sent].count(TooMany) == 19
    assert len(setting.sms.sent) == 1


@pytest.mark.parametrize(
    ("sources", "sent"),
    [
        (["192.0.2.1"] * 6, 4),
        (["2001:db8::1", "2001:db8::2", "2001:db8:0:0:ffff::", "2001:db8::9", "2001:db8::a"], 4),
        (["2001:db8::1"] * 4 + ["2001:db8:0:1::1"], 5),
        (["192.0.2.1"] * 3 + ["::ffff:192.0.2.1"] * 3, 4),
        ([f"192.0.2.{number}" for number in range(8)], 6),
        ([""] * 8, 6),
    ],
)
@played
async def test_one_source_and_all_together_have_bounds(setting, sources, sent) -> None:
    before = telemetry.counters().get("code.limited", 0)
    for number, source in enumerate(sources):
        try:
            await setting.codes.send(Aor(f"tel:+3363998010{number}"), source=source)
        except TooMany:
            continue
    assert len(setting.sms.sent) == sent
    assert telemetry.counters().get("code.limited", 0) == before + len(sources) - sent


@played
async def test_an_sms_that_cannot_leave_counts_all_the_same(setting) -> None:
    setting.sms.broken = True
    await fails(setting.codes.send(ALICE), OSError)
    await fails(setting.codes.send(ALICE), TooMany)


@played
async def test_a_code_ends(setting) -> None:
    cookie, code = await setting.code()
    setting.now += 600
    await fails(setting.codes.check(cookie, code), Expired)
    await fails(setting.codes.check("", ""), Expired)


@played
async def test_what_limits_nothing_is_forgotten(setting) -> None:
    await setting.code()
    await setting.codes.sweep()
    assert await setting.store.devices.code(ALICE) is not None
    setting.now += 3600 + 601
    await setting.codes.sweep()
    assert await setting.store.devices.code(ALICE) is None
