"""The rules of the cursor, seen from the devices: who gets what, and what the sender is told."""

import asyncio
from typing import Any, NoReturn
from unittest.mock import patch

import pytest

from joyn.model.aor import Aor
from joyn.model.message import Address, Entry, EntryKind, Kind, State
from joyn.model.refused import Reason, Refused
from joyn.services.messaging.delivery import Outcome
from joyn.services.messaging.terminating import PAGE
from joyn.store import Mailboxes
from services.scene import ALICE, BOB, CAROL, NOON, PLAIN, RECEIPT, SYNCING, Scene, played
from waiting import until

# Who gets what.


@played
async def test_every_device_of_the_recipient_gets_a_message(scene: Scene) -> None:
    scene.attach("phone")
    scene.attach("tablet")
    await scene.accept("1")
    assert (scene.tried("phone"), scene.tried("tablet")) == (["1"], ["1"])


@played
async def test_copies_go_only_to_other_devices_that_asked_to_be_kept_in_step(scene: Scene) -> None:
    for instance, parameters in (("phone", SYNCING), ("browser", SYNCING)):
        scene.attach(instance, parameters, aor=ALICE)
    scene.attach("desk phone", aor=ALICE)
    await scene.quiet()
    copy = Address(mailbox=ALICE, kind=EntryKind.COPY)
    await scene.accept("1", Address(mailbox=BOB), copy, instance="phone")
    assert [scene.tried(name) for name in ("phone", "browser", "desk phone")] == [[], ["1"], []]


@pytest.mark.parametrize(("sender", "wanted"), [("phone", True), ("browser", False)])
@played
async def test_a_copy_is_wanted_when_another_device_keeps_in_step(scene: Scene, sender: str, wanted: bool) -> None:
    scene.attach("phone", aor=ALICE)
    scene.attach("browser", SYNCING, aor=ALICE)
    assert scene.terminating.wants_copies(ALICE, sender) is wanted


@played
async def test_what_is_for_one_device_goes_to_that_one_only(scene: Scene) -> None:
    scene.attach("phone")
    scene.attach("tablet")
    await scene.accept("1", Address(mailbox=BOB, instance="tablet"), **RECEIPT)
    assert (scene.tried("phone"), scene.tried("tablet")) == ([], ["1"])


@pytest.mark.parametrize(
    "fields", [RECEIPT, {"kind": Kind.SYSTEM}, {"content_type": "application/vnd.gsma.rcs-ft-http+xml"}]
)
@played
async def test_a_plain_client_gets_text_only_and_nothing_else_stays_before_it(
    scene: Scene, fields: dict[str, object]
) -> None:
    scene.attach("desk phone", PLAIN)
    await scene.accept("not for it", **fields)
    (text,) = await scene.accept("1")
    assert scene.tried("desk phone") == ["1"]
    assert (await scene.cursor("desk phone")).low == text.seq


@played
async def test_an_expired_message_is_not_delivered_any_more(scene: Scene) -> None:
    await scene.accept("1", deliver_until=NOON + 60)
    scene.now += 60
    scene.attach("phone")
    await scene.accept("2")
    assert scene.tried("phone") == ["2"]


@played
async def test_a_message_older_than_the_registration_is_deferred(scene: Scene) -> None:
    await scene.accept("1")
    scene.now += 1
    scene.attach("phone")
    await scene.accept("2")
    assert [one.deferred for one in scene.delivery.attempts] == [True, False]


# What the sender is told, and what devices say.


@played
async def test_the_sender_learns_that_a_message_waits_when_nobody_is_there(scene: Scene) -> None:
    await scene.accept("1")
    await scene.accept("a receipt", **RECEIPT)
    assert scene.reports == [("1", BOB, State.STORED)]


@played
async def test_for_a_plain_client_the_server_says_delivered(scene: Scene) -> None:
    scene.attach("desk phone", PLAIN)
    await scene.accept("1")
    assert scene.reports == [("1", BOB, State.DELIVERED)]


@played
async def test_for_a_client_that_knows_receipts_the_server_says_nothing(scene: Scene) -> None:
    scene.attach("phone")
    await scene.accept("1")
    assert scene.reports == []


@played
async def test_the_cursor_of_a_plain_client_is_on_disk_before_its_next_message(scene: Scene) -> None:
    flushed: list[int] = []
    flush = scene.store.mailboxes.flush

    async def noting() -> None:
        await flush()
        flushed.append(len(scene.delivery.attempts))

    for number in range(3):
        await scene.accept(str(number))
    with patch.object(scene.store.mailboxes, "flush", noting):
        scene.attach("desk phone", PLAIN)
        while len(flushed) < 3:
            await scene.quiet()
    assert {1, 2, 3} <= set(flushed)


@played
async def test_a_receipt_of_the_device_settles_a_message_whose_answer_was_lost(scene: Scene) -> None:
    scene.delivery.answers["phone"] = None
    scene.attach("phone")
    (entry,) = await scene.accept("1")
    scene.terminating.acknowledged(BOB, "phone", ALICE, "1")
    assert (await scene.cursor("phone")).low == entry.seq
    assert await scene.state("1") is State.ACKNOWLEDGED


@played
async def test_a_receipt_for_somebody_else_s_message_of_the_same_id_settles_nothing(scene: Scene) -> None:
    scene.delivery.answers["phone"] = None
    scene.attach("phone")
    await scene.accept("1")
    scene.terminating.acknowledged(BOB, "phone", CAROL, "1")
    assert await scene.state("1") is State.PENDING


# Revocation.


@played
async def test_a_message_in_flight_cannot_be_revoked(scene: Scene) -> None:
    scene.delivery.answers["phone"] = None
    scene.attach("phone")
    await scene.accept("1")
    assert await scene.terminating.revoke(BOB, ALICE, "1") is False
    assert await scene.state("1") is State.PENDING


@played
async def test_a_revoked_message_that_was_next_is_not_tried(scene: Scene) -> None:
    scene.delivery.answers["phone 1"] = None
    scene.attach("phone")
    await scene.accept("1")
    await scene.accept("2")
    await scene.accept("2", sender=CAROL)
    assert await scene.terminating.revoke(BOB, ALICE, "2") is True
    scene.delivery.last("1").end(Outcome.TAKEN)
    await scene.quiet()
    assert [(one.entry.message.sender, one.entry.message.message_id) for one in scene.delivery.attempts] == [
        (ALICE, "1"),
        (CAROL, "2"),
    ]


@played
async def test_a_message_that_cannot_be_revoked_any_more_still_reaches_the_other_devices(scene: Scene) -> None:
    scene.delivery.answers["tablet 1"] = None
    scene.attach("phone")
    scene.attach("tablet")
    await scene.accept("1")
    await scene.accept("2")
    assert await scene.terminating.revoke(BOB, ALICE, "2") is False  # the phone has it
    scene.delivery.last("1", "tablet").end(Outcome.TAKEN)
    await scene.quiet()
    assert scene.tried("tablet") == ["1", "2"]


@played
async def test_a_message_being_revoked_is_not_begun_meanwhile(scene: Scene) -> None:
    scene.delivery.answers["phone 1"] = None
    scene.attach("phone")
    await scene.accept("1")
    await scene.accept("2")
    await scene.accept("3")
    revoking = asyncio.ensure_future(scene.terminating.revoke(BOB, ALICE, "2"))
    await asyncio.sleep(0)
    scene.delivery.last("1").end(Outcome.TAKEN)
    assert scene.tried("phone") == ["1"]
    assert await revoking is True
    await scene.quiet()
    assert scene.tried("phone") == ["1", "3"]


def reading_late(scene: Scene, which: int) -> tuple[asyncio.Event, asyncio.Event]:
    """Mailboxes of which the read number `which` is answered when the first event is set, which is then what was there
    when the second one was."""
    read, late, done, count = scene.store.mailboxes.read, asyncio.Event(), asyncio.Event(), 0

    async def read_late(mailbox: Aor, after: int, limit: int) -> list[Entry]:
        nonlocal count
        count += 1
        number, entries = count, await read(mailbox, after, limit)
        if number == which:
            done.set()
            await late.wait()
        return entries

    scene.terminating._mailboxes = With(scene.store.mailboxes, read=read_late)
    return late, done


@played
async def test_a_message_revoked_while_the_mailbox_is_read_is_not_tried(scene: Scene) -> None:
    await scene.accept("1")
    await scene.accept("2")
    late, read = reading_late(scene, 1)
    scene.attach("phone")
    await until(read.is_set)
    assert await scene.terminating.revoke(BOB, ALICE, "1") is True
    late.set()
    await scene.quiet()
    assert scene.tried("phone") == ["2"]


@played
async def test_a_message_put_off_and_then_revoked_holds_nothing_back(scene: Scene) -> None:
    scene.delivery.answers["phone"] = Outcome.LATER
    scene.attach("phone")
    (entry,) = await scene.accept("1")
    assert await scene.terminating.revoke(BOB, ALICE, "1") is True
    await scene.quiet()
    assert (await scene.cursor("phone")).low == entry.seq


# A store that takes its time, or does not answer.


@played
async def test_what_is_committed_while_the_mailbox_is_read_is_not_passed_over(scene: Scene) -> None:
    await scene.accept("1")
    late, read = reading_late(scene, 1)
    scene.attach("phone")
    await until(read.is_set)
    await scene.accept("2")
    late.set()
    await scene.quiet()
    assert scene.tried("phone") == ["1", "2"]


@played
async def test_what_is_read_when_a_device_begins_again_from_an_earlier_entry_is_not_taken_for_the_next(
    scene: Scene,
) -> None:
    await scene.accept("put off")
    for number in range(PAGE):
        await scene.accept(f"{number}", sender=CAROL)
    late, read = reading_late(scene, 2)
    scene.delivery.answers["phone put off"] = Outcome.LATER
    scene.attach("phone")
    await until(read.is_set)
    assert scene.tried("phone") == ["put off", *map(str, range(PAGE - 1))]
    del scene.delivery.answers["phone put off"]
    scene.terminating.opened(BOB, "phone", ALICE)
    late.set()
    await scene.quiet()
    assert scene.tried("phone")[PAGE:] == ["put off", str(PAGE - 1)]
    assert await scene.done("phone")


@pytest.mark.parametrize("refused", ["first_unacknowledged", "read"])
@played
async def test_a_device_whose_cursor_or_mailbox_could_not_be_read_is_served_later(scene: Scene, refused: str) -> None:
    scene.start(retry_after=0.01)
    scene.terminating._mailboxes = With(scene.store.mailboxes, **{refused: refuse})
    await scene.accept("1")
    scene.attach("phone")
    await scene.quiet()
    assert scene.tried("phone") == []
    scene.terminating._mailboxes = scene.store.mailboxes
    await until(lambda: scene.tried("phone"))
    await scene.quiet()
    assert scene.tried("phone") == ["1"]


# Memory.


@played
async def test_a_device_without_anything_to_do_is_forgotten_and_known_again(scene: Scene) -> None:
    scene.attach("phone")
    await scene.accept("1")
    scene.terminating.forget_idle()
    scene.terminating.forget_idle()
    await scene.accept("2")
    assert scene.tried("phone") == ["1", "2"]


@played
async def test_a_device_that_has_put_something_off_is_not_forgotten(scene: Scene) -> None:
    scene.delivery.answers["phone 1"] = Outcome.LATER
    scene.attach("phone")
    await scene.accept("1", **RECEIPT)
    scene.terminating.forget_idle()
    scene.terminating.forget_idle()
    scene.delivery.answers.clear()
    scene.attach("phone", cseq=2)
    await scene.quiet()
    assert scene.tried("phone") == ["1", "1"]


class With:
    """Mailboxes of which some methods are replaced."""

    def __init__(self, mailboxes: Mailboxes, **replaced: Any) -> None:
        self._mailboxes = mailboxes
        self._replaced = replaced

    def __getattr__(self, name: str) -> Any:
        return self._replaced.get(name) or getattr(self._mailboxes, name)


async def refuse(*_arguments: object) -> NoReturn:
    raise Refused(Reason.OVERLOADED)
