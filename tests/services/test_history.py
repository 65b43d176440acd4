import asyncio
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from joyn.model.aor import Aor
from joyn.model.history import HistoryPage
from joyn.model.refused import Reason, Refused
from joyn.services.history import BATCH, BEGINNING, MAX_BATCHES, MAX_CURSOR, MAX_PAGE, MAX_QUERY, Cursors, Past

ALICE, BOB = Aor("tel:+33639980001"), Aor("tel:+33639980002")
CURSORS = Cursors(b"k" * 16)


class ScriptedHistory:
    """Notes what it is asked, and has so many messages to make ready."""

    def __init__(self, waiting=0):
        self.waiting = waiting
        self.asked = []

    async def before(self, owner, place, limit):
        self.asked.append(("before", owner, place, limit))
        return HistoryPage(items=(), more=False)

    async def after(self, owner, place, limit):
        self.asked.append(("after", owner, place, limit))
        return HistoryPage(items=(), more=False)

    async def search(self, owner, words, limit):
        self.asked.append(("search", owner, words, limit))
        return HistoryPage(items=(), more=False)

    async def index(self, limit):
        done = min(self.waiting, limit)
        self.waiting -= done
        return done


def make_past(history, pauses=None):
    async def sleep(seconds):
        (pauses if pauses is not None else []).append(seconds)

    return Past(history, CURSORS, sleep=sleep)


@settings(max_examples=30)
@given(st.integers(0, 2**63 - 1))
def test_a_cursor_is_opened_by_its_owner_alone(place):
    cursor = CURSORS.seal(ALICE, place)
    assert len(cursor) == MAX_CURSOR
    assert CURSORS.open(ALICE, cursor) == place
    for other in (lambda: CURSORS.open(BOB, cursor), lambda: Cursors(b"l" * 16).open(ALICE, cursor)):
        with pytest.raises(Refused) as caught:
            other()
        assert caught.value.reason is Reason.MALFORMED


@settings(max_examples=50)
@given(st.text(max_size=30).filter(lambda text: text != BEGINNING))
def test_what_is_no_cursor_is_refused(text):
    with pytest.raises(Refused):
        CURSORS.open(ALICE, text)


def test_everybody_can_begin_at_the_beginning():
    assert CURSORS.open(ALICE, BEGINNING) == 0


def test_cursors_of_neighbours_have_nothing_in_common():
    cursors = [CURSORS.seal(ALICE, place) for place in range(100)]
    assert len(set(cursors)) == 100
    assert max(sum(a == b for a, b in zip(*pair, strict=True)) for pair in itertools.pairwise(cursors)) < 8


def test_pages_and_searches_are_bounded_and_about_the_owner():
    history = ScriptedHistory()
    past = make_past(history)
    cursor = CURSORS.seal(ALICE, 7)

    async def scenario():
        await past.page(ALICE, before=None, after=None, limit=10_000)
        await past.page(ALICE, before=cursor, after=None, limit=1)
        await past.page(ALICE, before=None, after=cursor, limit=1)
        await past.search(ALICE, "a b " + "x" * MAX_QUERY, 10_000)

    asyncio.run(scenario())
    assert history.asked == [
        ("before", ALICE, None, MAX_PAGE),
        ("before", ALICE, 7, 1),
        ("after", ALICE, 7, 1),
        ("search", ALICE, ["a", "b", "x" * (MAX_QUERY - 4)], MAX_PAGE),
    ]


@pytest.mark.parametrize(("waiting", "left"), [(0, 0), (BATCH, 0), (BATCH + 1, 0), (BATCH * MAX_BATCHES + 5, 5)])
def test_what_has_come_is_made_ready_batch_by_batch_with_pauses(waiting, left):
    history, pauses = ScriptedHistory(waiting), []
    assert asyncio.run(make_past(history, pauses).keep_ready()) == waiting - left
    assert (history.waiting, len(pauses)) == (left, (waiting - left) // BATCH)
