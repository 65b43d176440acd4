"""The rules of the cursor for what goes beside its conversation: the bytes of a file."""

from joyn.model.binding import Binding
from joyn.model.message import State
from joyn.services.messaging.delivery import Outcome
from joyn.services.messaging.terminating import MAX_AGAIN
from services.scene import ALICE, BOB, Scene, over_another_flow, played


def with_file(scene: Scene) -> Binding:
    """A phone, to which a file takes its time."""
    scene.delivery.beside = frozenset({"file"})
    scene.delivery.answers["phone file"] = None
    return scene.attach("phone")


@played
async def test_what_is_behind_a_file_does_not_wait_for_it(scene: Scene) -> None:
    with_file(scene)
    for message_id in ("file", "1", "2"):
        await scene.accept(message_id)
    assert scene.tried("phone") == ["file", "1", "2"]
    assert await scene.state("2") is State.ACKNOWLEDGED
    assert await scene.state("file") is State.PENDING
    # The cursor waits before it, so that it is begun again after a restart.
    cursor = await scene.cursor("phone")
    assert (cursor.low, len(cursor.ahead)) == (0, 2)


@played
async def test_a_file_that_was_taken_is_reported_as_delivered_as_its_device_cannot_say_so(scene: Scene) -> None:
    with_file(scene)
    await scene.accept("file")
    scene.delivery.last("file").end(Outcome.TAKEN)
    await scene.quiet()
    assert ("file", BOB, State.DELIVERED) in scene.reports
    assert await scene.done("phone")


@played
async def test_a_file_that_is_put_off_holds_back_nothing_of_its_conversation(scene: Scene) -> None:
    with_file(scene)
    await scene.accept("file")
    scene.delivery.last("file").end(Outcome.LATER)
    await scene.accept("1")
    assert scene.tried("phone") == ["file", "1"]
    scene.attach("phone")
    await scene.quiet()
    assert scene.tried("phone") == ["file", "1", "file"]


@played
async def test_a_file_whose_session_broke_is_begun_again_so_many_times(scene: Scene) -> None:
    with_file(scene)
    await scene.accept("file")
    for _ in range(MAX_AGAIN + 1):
        scene.delivery.last("file").end(Outcome.AGAIN)
        await scene.quiet()
    assert scene.tried("phone") == ["file"] * (MAX_AGAIN + 1)


@played
async def test_a_chat_that_broke_begins_again_without_waiting_for_a_file(scene: Scene) -> None:
    with_file(scene)
    await scene.accept("file")
    scene.delivery.answers["phone 1"] = Outcome.AGAIN
    scene.delivery.pipelined = True
    await scene.accept("1")
    assert scene.tried("phone") == ["file"] + ["1"] * (MAX_AGAIN + 1)
    scene.delivery.last("file").end(Outcome.TAKEN)
    await scene.quiet()
    assert await scene.state("file") is State.ACKNOWLEDGED


@played
async def test_a_file_is_begun_anew_for_a_device_that_comes_back_over_another_flow(scene: Scene) -> None:
    binding = with_file(scene)
    await scene.accept("file")
    scene.attach("phone", **over_another_flow(binding))
    await scene.quiet()
    assert scene.tried("phone") == ["file", "file"]
    scene.delivery.last("file").end(Outcome.TAKEN)
    await scene.quiet()
    assert await scene.done("phone")


@played
async def test_a_refused_file_fails_when_nobody_else_is_there(scene: Scene) -> None:
    with_file(scene)
    await scene.accept("file")
    scene.delivery.last("file").end(Outcome.REFUSED)
    await scene.quiet()
    assert ("file", BOB, State.FAILED) in scene.reports


# Asked for by the device itself.


@played
async def test_a_file_that_was_asked_for_is_settled_and_told_of_once(scene: Scene) -> None:
    with_file(scene)
    (entry,) = await scene.accept("file")
    scene.delivery.last("file").end(Outcome.LATER)
    await scene.quiet()
    heard: list[str] = []
    scene.terminating.brought(entry, "phone", lambda: heard.append("once"))
    assert heard == ["once"]
    await scene.quiet()
    assert await scene.state("file") is State.ACKNOWLEDGED
    assert scene.reports == [("file", BOB, State.DELIVERED)]
    scene.attach("phone")
    await scene.quiet()
    assert scene.tried("phone") == ["file"]
    assert await scene.done("phone")


@played
async def test_so_it_is_when_it_is_about_to_be_brought_as_well(scene: Scene) -> None:
    with_file(scene)
    (entry,) = await scene.accept("file")
    scene.terminating.brought(entry, "phone", lambda: None)
    scene.delivery.last("file").end(Outcome.TAKEN)
    await scene.quiet()
    assert scene.reports == [("file", BOB, State.DELIVERED)]
    assert await scene.done("phone")


@played
async def test_so_it_is_when_the_device_is_not_here_any_more(scene: Scene) -> None:
    with_file(scene)
    (entry,) = await scene.accept("file")
    scene.delivery.last("file").end(Outcome.LATER)
    await scene.quiet()
    scene.detach("phone")
    heard: list[str] = []
    scene.terminating.brought(entry, "phone", lambda: heard.append("once"))
    await scene.quiet()
    assert heard == ["once"]
    assert await scene.state("file") is State.ACKNOWLEDGED
    assert ("file", BOB, State.DELIVERED) in scene.reports
    tried = len(scene.delivery.attempts)
    scene.attach("phone")
    await scene.quiet()
    again = [one.entry.message.message_id for one in scene.delivery.attempts[tried:]]
    assert "file" not in again


@played
async def test_what_a_device_without_a_place_in_the_mailbox_has_is_not_known_there(scene: Scene) -> None:
    with_file(scene)
    (entry,) = await scene.accept("file")
    heard: list[str] = []
    scene.terminating.brought(entry, "tablet", lambda: heard.append("once"))
    await scene.quiet()
    assert heard == []
    assert await scene.state("file") is State.PENDING


@played
async def test_what_a_device_is_being_given_is_not_withdrawn(scene: Scene) -> None:
    with_file(scene)
    await scene.accept("file")
    scene.delivery.last("file").end(Outcome.LATER)
    await scene.quiet()
    given = {(BOB, ALICE, "file")}
    scene.terminating.is_given = lambda *identity: identity in given
    assert not await scene.terminating.revoke(BOB, ALICE, "file")
    given.clear()
    assert await scene.terminating.revoke(BOB, ALICE, "file")
