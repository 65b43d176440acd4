"""The rules of the cursor: what each device gets, when, in what order, and what the sender is told."""

from unittest.mock import patch

import pytest

from joyn.model.aor import Aor
from joyn.model.message import State
from joyn.services.messaging.delivery import Outcome
from joyn.services.messaging.device import MAX_AHEAD
from joyn.services.messaging.terminating import MAX_AGAIN, MAX_CURSORS
from services.scene import ALICE, BOB, CAROL, DAVE, PLAIN, RECEIPT, Scene, over_another_flow, played

# Where a device begins, and where it goes on.


@played
async def test_a_new_instance_starts_at_the_first_entry_no_device_has_acknowledged(scene: Scene) -> None:
    scene.attach("phone")
    await scene.accept("1")
    scene.detach("phone")
    await scene.accept("2")
    await scene.accept("3")
    scene.attach("tablet")
    await scene.quiet()
    assert scene.tried("tablet") == ["2", "3"]


@played
async def test_a_device_that_comes_back_goes_on_where_it_was_though_another_has_read_it_all(scene: Scene) -> None:
    scene.attach("phone")
    scene.attach("tablet")
    await scene.accept("1")
    scene.detach("phone")
    await scene.accept("2")
    scene.attach("phone")
    await scene.quiet()
    assert scene.tried("phone") == ["1", "2"]


@played
async def test_what_was_acknowledged_before_a_restart_is_not_sent_again(scene: Scene) -> None:
    scene.attach("phone")
    await scene.accept("1")
    await scene.restart()
    await scene.accept("2")
    scene.attach("phone")
    await scene.quiet()
    assert scene.tried("phone") == ["2"]


@played
async def test_contacts_without_an_instance_share_one_cursor(scene: Scene) -> None:
    scene.attach("", PLAIN, contact="sip:bob@192.0.2.7", reg_id=0)
    await scene.accept("1")
    scene.detach("")
    scene.attach("", PLAIN, contact="sip:bob@192.0.2.8", reg_id=0)
    await scene.accept("2")
    assert scene.tried("") == ["1", "2"]
    assert len(await scene.store.mailboxes.cursors(BOB)) == 1


@played
async def test_the_device_longest_away_gives_its_place_to_one_too_many(scene: Scene) -> None:
    for number in range(MAX_CURSORS):
        scene.now += 1
        scene.attach(f"phone {number}")
        await scene.quiet()
        scene.detach(f"phone {number}")
    scene.attach("one more")
    await scene.quiet()
    instances = {cursor.instance for cursor in await scene.store.mailboxes.cursors(BOB)}
    assert instances == {f"phone {number}" for number in range(1, MAX_CURSORS)} | {"one more"}


# Order.


@played
async def test_one_message_is_in_flight_per_device_and_the_next_follows_its_answer(scene: Scene) -> None:
    scene.delivery.answers["phone 1"] = None
    scene.attach("phone")
    await scene.accept("1")
    await scene.accept("2")
    assert scene.tried("phone") == ["1"]
    scene.delivery.last("1").end(Outcome.TAKEN)
    await scene.quiet()
    assert scene.tried("phone") == ["1", "2"]


@played
async def test_pipelined_messages_begin_in_order_and_the_cursor_waits_for_the_slowest(scene: Scene) -> None:
    scene.delivery.pipelined = True
    scene.delivery.answers["phone"] = None
    scene.attach("phone")
    (first,) = await scene.accept("1")
    (second,) = await scene.accept("2")
    assert scene.tried("phone") == ["1", "2"]
    scene.delivery.last("2").end(Outcome.TAKEN)
    await scene.quiet()
    cursor = await scene.cursor("phone")
    assert (cursor.low, cursor.ahead) == (first.seq - 1, {second.seq})
    scene.delivery.last("1").end(Outcome.TAKEN)
    await scene.quiet()
    cursor = await scene.cursor("phone")
    assert (cursor.low, cursor.ahead) == (second.seq, frozenset())


@played
async def test_what_does_not_fit_the_queue_is_read_from_the_store_in_order(scene: Scene) -> None:
    scene.start(queue_per_device=2)
    scene.delivery.answers["phone 0"] = None
    scene.attach("phone")
    for number in range(9):
        await scene.accept(str(number))
    scene.delivery.last("0").end(Outcome.TAKEN)
    await scene.quiet()
    assert scene.tried("phone") == [str(number) for number in range(9)]


# Refused for good, not now, and not there.


@played
async def test_what_a_device_has_refused_is_never_tried_there_again(scene: Scene) -> None:
    scene.delivery.answers["phone 1"] = Outcome.REFUSED
    binding = scene.attach("phone")
    await scene.accept("1")
    await scene.accept("2")
    scene.attach("phone", **over_another_flow(binding))
    await scene.quiet()
    assert scene.tried("phone") == ["1", "2"]


@played
async def test_a_message_fails_when_the_only_device_has_refused_it(scene: Scene) -> None:
    scene.delivery.answers["phone"] = Outcome.REFUSED
    scene.attach("phone")
    await scene.accept("1")
    assert scene.reports == [("1", BOB, State.FAILED)]
    assert await scene.state("1") is State.FAILED


@played
async def test_a_message_fails_only_when_no_device_is_left(scene: Scene) -> None:
    scene.delivery.answers.update({"phone": Outcome.REFUSED, "tablet": None})
    scene.attach("phone")
    scene.attach("tablet")
    await scene.accept("1")
    assert scene.reports == []
    scene.delivery.last("1", "tablet").end(Outcome.REFUSED)
    await scene.quiet()
    assert scene.reports == [("1", BOB, State.FAILED)]


@played
async def test_a_message_does_not_fail_while_a_device_that_is_away_may_still_take_it(scene: Scene) -> None:
    scene.attach("tablet")
    await scene.quiet()
    scene.detach("tablet")
    scene.delivery.answers["phone"] = Outcome.REFUSED
    scene.attach("phone")
    await scene.accept("1")
    assert scene.reports == []
    scene.attach("tablet")
    await scene.quiet()
    assert await scene.state("1") is State.ACKNOWLEDGED
    assert scene.reports == []


@played
async def test_a_message_does_not_fail_while_a_device_is_only_just_coming(scene: Scene) -> None:
    first = scene.store.mailboxes.first_unacknowledged

    async def slowly(mailbox: Aor) -> int:
        await scene.quiet()
        return await first(mailbox)

    scene.delivery.answers["phone"] = None
    scene.attach("phone")
    await scene.accept("1")
    with patch.object(scene.store.mailboxes, "first_unacknowledged", slowly):
        scene.attach("tablet")
        scene.delivery.last("1").end(Outcome.REFUSED)
        await scene.quiet()
        await scene.quiet()
    assert scene.reports == []
    assert await scene.state("1") is State.ACKNOWLEDGED


@played
async def test_what_one_device_took_has_not_failed_though_another_refuses_it(scene: Scene) -> None:
    scene.delivery.answers["phone"] = None
    scene.attach("phone")
    scene.attach("tablet")
    await scene.accept("1")
    scene.delivery.last("1", "phone").end(Outcome.REFUSED)
    await scene.quiet()
    assert scene.reports == []
    assert await scene.state("1") is State.ACKNOWLEDGED


@pytest.mark.parametrize("fresh", [False, True])
@played
async def test_not_now_is_tried_again_once_with_each_registration(scene: Scene, fresh: bool) -> None:
    scene.delivery.answers["phone"] = Outcome.LATER
    binding = scene.attach("phone")
    await scene.accept("1")
    await scene.accept("2")
    assert scene.tried("phone") == ["1"]
    scene.attach("phone", **(over_another_flow(binding) if fresh else {}))
    await scene.quiet()
    assert scene.tried("phone") == ["1", "1"]
    assert scene.reports == []


@played
async def test_a_held_conversation_keeps_its_order_until_it_goes_on(scene: Scene) -> None:
    scene.delivery.answers["phone 1"] = Outcome.LATER
    scene.attach("phone")
    await scene.accept("1")
    await scene.accept("2")
    await scene.accept("3")
    scene.delivery.answers.clear()
    scene.attach("phone")
    await scene.quiet()
    assert scene.tried("phone") == ["1", "1", "2", "3"]


@played
async def test_a_held_conversation_does_not_block_another(scene: Scene) -> None:
    scene.delivery.answers["phone from alice"] = Outcome.LATER
    scene.attach("phone")
    (held,) = await scene.accept("from alice")
    (other,) = await scene.accept("from carol", sender=CAROL)
    assert scene.tried("phone") == ["from alice", "from carol"]
    cursor = await scene.cursor("phone")
    assert (cursor.low, cursor.ahead) == (held.seq - 1, {other.seq})


@played
async def test_what_was_settled_ahead_is_not_sent_again_after_a_restart(scene: Scene) -> None:
    scene.delivery.answers["phone from alice"] = Outcome.LATER
    scene.attach("phone")
    await scene.accept("from alice")
    await scene.accept("from carol", sender=CAROL)
    await scene.restart()
    scene.attach("phone")
    await scene.quiet()
    assert scene.tried("phone") == ["from alice"]


@played
async def test_a_conversation_the_device_opens_itself_is_held_no_more(scene: Scene) -> None:
    scene.delivery.answers["phone 1"] = Outcome.LATER
    scene.attach("phone")
    await scene.accept("1")
    scene.delivery.answers.clear()
    scene.terminating.opened(BOB, "phone", ALICE)
    await scene.quiet()
    assert scene.tried("phone") == ["1", "1"]


@played
async def test_a_receipt_that_was_put_off_holds_nothing_back(scene: Scene) -> None:
    scene.delivery.answers["phone receipt"] = Outcome.LATER
    scene.attach("phone")
    await scene.accept("receipt", **RECEIPT)
    await scene.accept("1")
    assert scene.tried("phone") == ["receipt", "1"]


@pytest.mark.parametrize("sender", [ALICE, CAROL])
@played
async def test_too_much_beyond_an_unsettled_entry_makes_a_device_wait_for_its_registration(
    scene: Scene, sender: Aor
) -> None:
    """The rest is held too when Alice sends it, and taken when Carol does."""
    scene.delivery.answers["phone held"] = Outcome.LATER
    scene.attach("phone")
    await scene.accept("held")
    ids = [str(number) for number in range(MAX_AHEAD + 5)]
    for message_id in ids:
        await scene.accept(message_id, sender=sender)
    assert len((await scene.cursor("phone")).ahead) <= MAX_AHEAD
    assert len(scene.tried("phone")) <= MAX_AHEAD + 1
    scene.delivery.answers.clear()
    scene.attach("phone")
    while not await scene.done("phone"):
        await scene.quiet()
    assert scene.tried("phone").count("held") == 2
    assert [one for one in scene.tried("phone") if one != "held"] == ids


@played
async def test_nothing_is_tried_at_a_device_that_is_gone_until_it_is_heard_of(scene: Scene) -> None:
    scene.delivery.answers["phone"] = Outcome.GONE
    scene.attach("phone")
    await scene.accept("1")
    await scene.accept("from carol", sender=CAROL)
    assert scene.tried("phone") == ["1"]
    scene.delivery.answers.clear()
    scene.terminating.heard(BOB, "phone")
    await scene.quiet()
    assert scene.tried("phone") == ["1", "1", "from carol"]


@played
async def test_a_device_that_cannot_be_reached_one_way_is_tried_the_other(scene: Scene) -> None:
    scene.attach("phone", reg_id=1, contact="sip:bob@192.0.2.1", flow="tcp|old")
    scene.delivery.answers["sip:bob@192.0.2.2"] = Outcome.GONE
    scene.attach("phone", reg_id=2, contact="sip:bob@192.0.2.2", flow="tcp|new")
    await scene.accept("1")
    assert [one.binding.reg_id for one in scene.delivery.attempts] == [2, 1]
    assert await scene.state("1") is State.ACKNOWLEDGED


@played
async def test_one_message_that_is_never_answered_holds_back_its_own_conversation_only(scene: Scene) -> None:
    scene.delivery.answers |= {"phone bad": Outcome.GONE, "phone worse": Outcome.GONE}
    scene.attach("phone")
    await scene.accept("bad")
    await scene.accept("worse", sender=DAVE)
    await scene.accept("after bad")
    await scene.accept("good", sender=CAROL)
    for _ in range(3):
        scene.attach("phone")
        await scene.quiet()
    assert "good" in scene.tried("phone")
    assert "after bad" not in scene.tried("phone")
    scene.delivery.answers.clear()
    scene.attach("phone")
    await scene.quiet()
    assert scene.tried("phone")[-3:] == ["bad", "worse", "after bad"]


# Sessions that break, and devices that move.


@played
async def test_after_a_broken_session_everything_unsettled_is_sent_again_in_order(scene: Scene) -> None:
    scene.delivery.pipelined = True
    scene.delivery.answers["phone"] = None
    scene.attach("phone")
    for name in "123":
        await scene.accept(name)
    first, second, third = scene.delivery.attempts
    first.end(Outcome.TAKEN)
    third.end(Outcome.AGAIN)
    await scene.quiet()
    assert scene.tried("phone") == ["1", "2", "3"]
    scene.delivery.answers.clear()
    second.end(Outcome.AGAIN)
    await scene.quiet()
    assert scene.tried("phone") == ["1", "2", "3", "2", "3"]


@played
async def test_sessions_that_break_again_and_again_wait_for_the_next_registration(scene: Scene) -> None:
    scene.delivery.answers["phone"] = Outcome.AGAIN
    scene.attach("phone")
    await scene.accept("1")
    assert scene.tried("phone") == ["1"] * (MAX_AGAIN + 1)
    scene.delivery.answers.clear()
    scene.attach("phone")
    await scene.quiet()
    assert await scene.state("1") is State.ACKNOWLEDGED


@played
async def test_what_was_in_flight_over_the_old_connection_is_sent_at_once_over_the_new_one(scene: Scene) -> None:
    scene.delivery.answers["phone"] = None
    binding = scene.attach("phone")
    await scene.accept("1")
    scene.attach("phone", **over_another_flow(binding))
    await scene.quiet()
    assert scene.tried("phone") == ["1", "1"]


@pytest.mark.parametrize(("outcome", "state"), [(Outcome.TAKEN, State.ACKNOWLEDGED), (Outcome.REFUSED, State.PENDING)])
@played
async def test_over_a_connection_the_device_has_left_only_an_acknowledgement_counts(
    scene: Scene, outcome: Outcome, state: State
) -> None:
    scene.delivery.answers["phone"] = None
    binding = scene.attach("phone")
    await scene.accept("1")
    before = scene.delivery.last("1")
    scene.attach("phone", **over_another_flow(binding))
    await scene.quiet()
    before.end(outcome)
    assert await scene.state("1") is state
    assert scene.reports == []


@played
async def test_what_was_in_flight_over_a_lost_flow_goes_over_the_device_s_other_one(scene: Scene) -> None:
    scene.delivery.answers["sip:second"] = None
    scene.attach("phone", contact="sip:first", flow="tcp|1")
    scene.attach("phone", reg_id=2, contact="sip:second", flow="tcp|2")
    await scene.accept("1")
    scene.lose("tcp|2")
    await scene.accept("2")
    ways = [(one.binding.contact, one.entry.message.message_id) for one in scene.delivery.attempts]
    assert ways == [("sip:second", "1"), ("sip:first", "1"), ("sip:first", "2")]


@played
async def test_sessions_over_a_flow_that_is_gone_are_tried_over_the_other_one_in_order(scene: Scene) -> None:
    scene.delivery.pipelined = True
    scene.delivery.answers["sip:second"] = None
    scene.attach("phone", contact="sip:first", flow="udp|1")
    scene.attach("phone", reg_id=2, contact="sip:second", flow="udp|2")
    await scene.accept("1")
    await scene.accept("2")
    for one in list(scene.delivery.attempts):
        one.end(Outcome.GONE)
    await scene.quiet()
    ways = [(one.binding.contact, one.entry.message.message_id) for one in scene.delivery.attempts]
    assert ways == [("sip:second", "1"), ("sip:second", "2"), ("sip:first", "1"), ("sip:first", "2")]
