"""In which order, and when, the files of a peer are tried."""

import asyncio
from collections.abc import Awaitable, Callable

from joyn.services.files.lane import HURRIED, PAUSE_FIRST, PAUSE_MAX, Lane


def in_loop(story: Callable[[], Awaitable[None]]) -> None:
    async def run() -> None:
        async with asyncio.timeout(10):
            await story()

    asyncio.run(run())


def test_files_are_taken_in_their_order_and_each_by_one_worker() -> None:
    lane = Lane()
    for at, file_id in enumerate("abab"):
        lane.add(file_id, float(at))
    assert [lane.take(5.0), lane.take(5.0), lane.take(5.0)] == ["a", "b", None]
    lane.add("a", 6.0)
    assert lane.take(6.0) is None


def test_a_file_that_fails_is_tried_ever_later_and_the_others_are_not() -> None:
    lane = Lane()
    now, pauses = 0.0, []
    lane.add("bad", now)
    for _ in range(12):
        assert lane.take(now) == "bad"
        lane.later("bad", now)
        lane.add("good", now)
        assert lane.take(now) == "good"
        lane.done("good")
        pause = next(2.0**n for n in range(20) if _is_due(lane, "bad", now + min(2.0**n, PAUSE_MAX)))
        pauses.append(pause)
        now += min(pause, PAUSE_MAX)
    assert pauses[:5] == [PAUSE_FIRST * 2**n for n in range(5)]
    assert pauses[-1] >= PAUSE_MAX


def _is_due(lane: Lane, file_id: str, at: float) -> bool:
    """Looks, and puts it back."""
    if lane.take(at) != file_id:
        return False
    lane.active.discard(file_id)
    lane.add(file_id, at)
    return True


def test_one_that_has_come_further_is_tried_as_soon_as_one_that_failed_once() -> None:
    lane = Lane()
    lane.add("a", 0.0)
    now = 0.0
    for _ in range(5):
        assert lane.take(now) == "a"
        lane.later("a", now)
        now += PAUSE_MAX
    assert lane.take(now) == "a"
    lane.later("a", now, further=True)
    assert lane.take(now + PAUSE_FIRST) == "a"


def test_it_is_not_tried_before_the_peer_said_but_no_longer_than_the_bound() -> None:
    lane = Lane()
    lane.add("a", 0.0)
    lane.take(0.0)
    lane.later("a", 0.0, after=60.0)
    assert lane.take(59.0) is None
    assert lane.take(60.0) == "a"
    lane.later("a", 60.0, after=1e9)
    assert lane.take(60.0 + PAUSE_MAX) == "a"


def test_when_nobody_answers_none_is_tried_ever_longer() -> None:
    lane = Lane()
    for file_id in "ab":
        lane.add(file_id, 0.0)
    # Both are under way when the peer goes: that is one failure.
    assert [lane.take(0.0), lane.take(0.0)] == ["a", "b"]
    lane.rest("a", 0.0)
    lane.rest("b", 0.1)
    assert lane.take(PAUSE_FIRST - 0.1) is None
    taken = lane.take(PAUSE_FIRST)
    assert taken == "a"
    lane.rest("a", PAUSE_FIRST)
    assert lane.take(PAUSE_FIRST * 2.9) is None
    taken = lane.take(PAUSE_FIRST * 3)
    assert taken == "b"
    lane.done("b")
    # It answers again: all are.
    assert lane.take(PAUSE_FIRST * 3) == "a"


def test_what_somebody_waits_for_comes_first_however_often_they_ask() -> None:
    lane = Lane()
    for file_id in "abc":
        lane.add(file_id, 0.0)
    for at in range(1000):
        lane.hurry("c", 1.0 + at / 1000)
    assert lane.take(2.0) == "c"
    assert len(lane) == 2


def test_somebody_who_asks_all_the_time_does_not_make_us_ask_the_peer_all_the_time() -> None:
    lane = Lane()
    lane.add("a", 0.0)
    tries, now = 0, 0.0
    while now < 10.0:
        lane.hurry("a", now)
        if lane.take(now) is not None:
            tries += 1
            lane.rest("a", now)
        now += 0.01
    assert tries <= 10.0 / HURRIED + 1


def test_who_waits_for_a_file_to_be_due_is_woken_by_another() -> None:
    async def story() -> None:
        lane = Lane()
        lane.add("a", 1000.0)
        waiting = asyncio.ensure_future(lane.wait(0.0))
        await asyncio.sleep(0)
        assert not waiting.done()
        lane.add("b", 0.0)
        await waiting

    in_loop(story)
