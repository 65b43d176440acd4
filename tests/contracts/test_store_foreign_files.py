"""What every store promises of files that links lead to and that are still on a peer operator's content server."""

from dataclasses import replace

import pytest

from contracts.store_values import DAY, NOON
from joyn.model.file import FileUsage, ForeignFile, StoredFile
from joyn.model.peer import mailbox_of
from joyn.store import GONE_FOR, MAX_FOREIGN

SFR, ORANGE = mailbox_of("sfr.example"), mailbox_of("orange.example")
MOST = FileUsage(own=10_000, all=20_000)


def make_foreign(id="f1", owner=SFR, **fields):  # noqa: A002 - the field's name
    return ForeignFile(
        **{
            "id": id,
            "owner": owner,
            "path": "/file/x?y=z",
            "kind": "file",
            "size": 1000,
            "name": "a.jpg",
            "content_type": "image/jpeg",
            "until": NOON + DAY,
        }
        | fields
    )


def arrived(file, **fields):
    values = {name: getattr(file, name) for name in ("id", "owner", "kind", "size", "name", "content_type", "until")}
    return StoredFile(**{"tid": file.id, "digest": "ab" * 32, "stored_at": NOON} | values | fields)


def test_one_that_is_waited_for_is_kept_with_all_it_says(run):
    picture = make_foreign("f2", kind="thumbnail", owner=ORANGE, until=NOON - 1)

    async def before(store):
        assert await store.foreign_files.add([make_foreign(), picture]) == {"f1": NOON + DAY, "f2": NOON - 1}

    async def after(store):
        assert await store.foreign_files.get("f1") == make_foreign()
        assert await store.foreign_files.get("f2") == picture
        assert await store.foreign_files.get("none") is None
        assert await store.foreign_files.waiting(NOON) == [(SFR, "f1")]

    run(before, after)


def test_one_that_is_known_stays_as_it_was_and_says_until_when(run):
    async def story(store):
        foreign = store.foreign_files
        await foreign.add([make_foreign()])
        assert await foreign.add([make_foreign(until=NOON + 9 * DAY, size=5)]) == {"f1": NOON + DAY}
        assert await foreign.get("f1") == make_foreign()
        assert await foreign.arrive(arrived(make_foreign()))
        assert await foreign.add([make_foreign(until=NOON + 9 * DAY)]) == {"f1": NOON + DAY}
        assert await foreign.get("f1") is None
        assert await foreign.waiting(NOON) == []

    run(story)


def test_only_so_many_of_one_peers_are_waited_for(run):
    async def story(store):
        foreign = store.foreign_files
        for start in range(0, MAX_FOREIGN, 1000):
            await foreign.add([make_foreign(f"f{number}") for number in range(start, start + 1000)])
        assert await foreign.add([make_foreign("more"), make_foreign("f1"), make_foreign("other", owner=ORANGE)]) == {
            "f1": NOON + DAY,
            "other": NOON + DAY,
        }
        assert await foreign.get("more") is None
        await foreign.lose("f1")
        assert await foreign.add([make_foreign("more")]) == {"more": NOON + DAY}

    run(story)


def test_one_that_has_come_is_a_file_of_the_peers(run):
    async def story(store):
        file = arrived(make_foreign())
        assert not await store.foreign_files.arrive(file)
        assert await store.files.get("f1") is None
        await store.foreign_files.add([make_foreign()])
        assert await store.foreign_files.arrive(file)
        assert await store.files.get("f1") == file
        assert await store.files.usage(SFR) == FileUsage(1000, 1000)
        assert await store.files.used([file.digest], NOON) == {file.digest}
        assert not await store.foreign_files.arrive(file)
        await store.files.expire(NOON + 2 * DAY, uploads_before=0.0)
        assert await store.files.usage(SFR) == FileUsage(0, 0)

    run(story)


def test_its_size_is_counted_once_and_within_the_bounds(run):
    async def story(store):
        foreign = store.foreign_files
        await foreign.add([make_foreign(), make_foreign("f2"), make_foreign("f3", owner=ORANGE)])
        assert await foreign.reserve("f1", MOST)
        assert await foreign.reserve("f1", MOST)
        assert await store.files.usage(SFR) == FileUsage(1000, 1000)
        assert not await foreign.reserve("f2", FileUsage(own=1999, all=20_000))
        assert not await foreign.reserve("f3", FileUsage(own=10_000, all=1999))
        assert not await foreign.reserve("none", MOST)
        assert await foreign.reserve("f3", MOST)
        assert await store.files.usage(SFR) == FileUsage(1000, 2000)
        assert await foreign.arrive(arrived(make_foreign()))
        assert await store.files.usage(SFR) == FileUsage(1000, 2000)

    run(story)


def test_one_that_is_lost_takes_no_room_and_is_not_waited_for(run):
    async def story(store):
        foreign = store.foreign_files
        await foreign.add([make_foreign()])
        await foreign.reserve("f1", MOST)
        await foreign.lose("f1")
        await foreign.lose("f1")
        await foreign.lose("none")
        assert await foreign.get("f1") == replace(make_foreign(), lost=True)
        assert await foreign.waiting(NOON) == []
        assert await store.files.usage(SFR) == FileUsage(0, 0)
        assert not await foreign.reserve("f1", MOST)
        assert not await foreign.arrive(arrived(make_foreign()))

    run(story)


@pytest.mark.parametrize("limit", [1, 10])
def test_those_that_are_over_are_lost_and_forgotten_in_their_time(run, limit):
    async def story(store):
        foreign = store.foreign_files
        await foreign.add([make_foreign(), make_foreign("f2"), make_foreign("f3", until=NOON + 3 * DAY)])
        await foreign.reserve("f1", MOST)
        while await foreign.expire(NOON + 2 * DAY, limit):
            pass
        assert [(await foreign.get(one)).lost for one in ("f1", "f2", "f3")] == [True, True, False]
        assert await store.files.usage(SFR) == FileUsage(0, 0)
        for _ in range(2):
            await foreign.expire(NOON + DAY + GONE_FOR, limit)
        assert [await foreign.get(one) is None for one in ("f1", "f2", "f3")] == [True, True, False]

    run(story)
