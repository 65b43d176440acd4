"""What every store promises of uploads and files."""

import asyncio
from dataclasses import replace

import pytest

from contracts.store_values import ALICE, BOB, NOON, make_subscriber
from joyn.model.file import Content, FileUsage, StoredFile, Upload
from joyn.model.refused import Reason, Refused
from joyn.store import GONE_FOR

DAY = 86400.0


def make_upload(tid="t1", owner=ALICE, **fields):
    return Upload(
        **{
            "id": f"upload of {owner} {tid}",
            "owner": owner,
            "tid": tid,
            "size": 1000,
            "reserved": 1000,
            "name": "a.jpg",
            "content_type": "image/jpeg",
            "thumbnail": Content("ee" * 32, 20),
            "thumbnail_type": "image/png",
            "started_at": NOON,
        }
        | fields
    )


def make_file(id="f1", owner=ALICE, **fields):  # noqa: A002 - the field's name
    return StoredFile(
        **{
            "id": id,
            "owner": owner,
            "tid": "t1",
            "kind": "file",
            "digest": "ab" * 32,
            "size": 1000,
            "name": "a.jpg",
            "content_type": "image/jpeg",
            "stored_at": NOON,
            "until": NOON + DAY,
        }
        | fields
    )


async def subscribe(store):
    for aor in (ALICE, BOB):
        await store.subscribers.put(make_subscriber(aor, username=aor))


async def finished(store, *files, **fields):
    upload = make_upload(tid=files[0].tid, owner=files[0].owner, **fields)
    await store.files.begin(upload)
    assert await store.files.finish(upload.id, files)


def test_an_upload_is_kept_with_all_it_says(run):
    async def before(store):
        await subscribe(store)
        assert await store.files.begin(make_upload()) is None
        assert await store.files.begin(make_upload("t2", size=0, thumbnail=None, thumbnail_type="")) is None

    async def after(store):
        assert await store.files.upload("upload of tel:+33639980001 t1") == make_upload()
        plain = make_upload("t2", size=0, thumbnail=None, thumbnail_type="")
        assert await store.files.upload_of(ALICE, "t2") == plain
        assert await store.files.upload_of(BOB, "t2") is None
        assert await store.files.upload("none") is None
        assert await store.files.announce(plain.id, 77)
        assert await store.files.upload_of(ALICE, "t2") == replace(plain, size=77)
        assert not await store.files.announce("none", 77)
        await store.files.drop(plain.id)
        await store.files.drop(plain.id)
        assert await store.files.upload(plain.id) is None

    run(before, after)


def test_an_upload_with_the_same_tid_takes_the_place_of_its_owner_s(run):
    async def story(store):
        await subscribe(store)
        theirs = make_upload(owner=BOB)
        await store.files.begin(theirs)
        await store.files.begin(make_upload())
        again = make_upload(id="another id", reserved=5)
        assert await store.files.begin(again) == make_upload()
        assert await store.files.upload_of(ALICE, "t1") == again
        assert await store.files.upload_of(BOB, "t1") == theirs
        assert await store.files.usage(ALICE) == FileUsage(5, 1005)

    run(story)


def test_only_a_subscriber_uploads(run):
    async def story(store):
        with pytest.raises(Refused) as refused:
            await store.files.begin(make_upload())
        assert refused.value.reason is Reason.UNKNOWN_RECIPIENT
        assert await store.files.usage(ALICE) == FileUsage(0, 0)

    run(story)


def test_who_is_blocked_uploads_nothing(run):
    async def story(store):
        await store.subscribers.put(make_subscriber(ALICE, username=ALICE, blocked=True))
        with pytest.raises(Refused) as refused:
            await store.files.begin(make_upload())
        assert refused.value.reason is Reason.SUBSCRIBER_BLOCKED

    run(story)


def test_room_is_reserved_up_to_the_bounds_however_many_ask_at_once(run):
    async def story(store):
        await subscribe(store)
        uploads = [make_upload(f"t{number}", reserved=0) for number in range(6)]
        for upload in uploads:
            await store.files.begin(upload)
        most = FileUsage(own=1000, all=1500)
        took = await asyncio.gather(*(store.files.reserve(one.id, 300, most) for one in uploads))
        assert (sum(took), await store.files.usage(ALICE)) == (3, FileUsage(900, 900))
        assert await store.files.reserve(uploads[took.index(True)].id, 400, most)
        assert not await store.files.reserve(uploads[took.index(True)].id, 401, most)
        await store.files.begin(make_upload(owner=BOB, reserved=0))
        theirs = make_upload(owner=BOB).id
        assert not await store.files.reserve(theirs, 501, most)
        assert await store.files.reserve(theirs, 500, most)
        assert not await store.files.reserve("none", 1, FileUsage(10**9, 10**9))
        assert await store.files.usage(BOB) == FileUsage(500, 1500)
        await store.files.drop(theirs)
        assert await store.files.usage(BOB) == FileUsage(0, 1000)

    run(story)


def test_an_upload_becomes_files_once(run):
    thumbnail = make_file("f0", kind="thumbnail", size=20, digest="ee" * 32)

    async def before(store):
        await subscribe(store)
        await finished(store, make_file(), thumbnail)
        assert not await store.files.finish(make_upload().id, [make_file("f9")])

    async def after(store):
        assert await store.files.get("f1") == make_file()
        assert await store.files.get("f9") is None
        assert await store.files.of(ALICE, "t1") == [thumbnail, make_file()]
        assert await store.files.of(BOB, "t1") == []
        assert await store.files.upload(make_upload().id) is None
        assert await store.files.usage(ALICE) == FileUsage(1020, 1020)
        await finished(store, make_file("f2", size=7))
        assert await store.files.of(ALICE, "t1") == [make_file("f2", size=7)]
        assert await store.files.get("f1") is None
        assert await store.files.usage(ALICE) == FileUsage(7, 7)

    run(before, after)


def test_a_file_that_is_over_takes_no_room_and_is_known_for_a_while(run):
    async def story(store):
        await subscribe(store)
        await finished(store, make_file())
        await finished(store, make_file("f2", BOB))
        end = NOON + DAY
        assert await store.files.expire(end - 1, uploads_before=0) == []
        assert await store.files.usage(ALICE) == FileUsage(1000, 2000)
        assert await store.files.used(["ab" * 32], end - 1) == {"ab" * 32}
        assert await store.files.expire(end, uploads_before=0) == []
        assert await store.files.usage(ALICE) == FileUsage(0, 0)
        assert await store.files.used(["ab" * 32], end) == set()
        known = await store.files.get("f1")
        assert (known.until, known.digest, known.owner) == (end, "", ALICE)
        await store.files.expire(end + GONE_FOR, uploads_before=0)
        assert await store.files.get("f1") is None

    run(story)


def test_after_a_long_stop_files_go_some_at_a_time_and_none_goes_on_counting(run):
    async def story(store):
        await subscribe(store)
        names = [f"f{number}" for number in range(5)]
        for name in names:
            await finished(store, make_file(name, tid=name))
        for left in (3, 1, 0):
            await store.files.expire(NOON + DAY + GONE_FOR, uploads_before=0, limit=2)
            known = [name for name in names if await store.files.get(name)]
            assert (len(known), await store.files.usage(ALICE)) == (left, FileUsage(left * 1000, left * 1000))

    run(story)


def test_an_upload_that_nobody_goes_on_with_is_given_up(run):
    async def story(store):
        await subscribe(store)
        await store.files.begin(make_upload())
        await store.files.begin(make_upload("t2", started_at=NOON + 10))
        assert await store.files.expire(NOON, uploads_before=NOON) == []
        assert await store.files.expire(NOON, uploads_before=NOON + 1) == [make_upload()]
        assert await store.files.usage(ALICE) == FileUsage(1000, 1000)
        assert await store.files.expire(NOON, uploads_before=NOON + 20, limit=1) != []

    run(story)


def test_what_is_used_is_what_a_file_or_a_waiting_thumbnail_has(run):
    async def story(store):
        await subscribe(store)
        await store.files.begin(make_upload("t2"))
        await finished(store, make_file())
        assert await store.files.used(["ab" * 32, "cd" * 32, "ee" * 32], NOON) == {"ab" * 32, "ee" * 32}
        assert await store.files.used([], NOON) == set()

    run(story)


def test_files_go_with_their_subscriber(run):
    async def story(store):
        await subscribe(store)
        await finished(store, make_file())
        await store.files.begin(make_upload("t2"))
        await store.files.begin(make_upload(owner=BOB))
        await store.subscribers.remove(ALICE)
        assert await store.files.get("f1") is None
        assert await store.files.upload_of(ALICE, "t2") is None
        assert await store.files.usage(BOB) == FileUsage(1000, 1000)

    run(story)


def make_form(id="s1", **fields):  # noqa: A002 - the field's name
    return make_file(id, kind="shown", **{"size": 300, "digest": "cd" * 32, "content_type": "image/jpeg"} | fields)


def test_what_is_made_of_a_file_is_kept_beside_it_and_sent_to_nobody(run):
    async def before(store):
        await subscribe(store)
        await finished(store, make_file())
        assert await store.files.beside(make_file(), "shown") is None
        assert await store.files.add("f1", make_form(), FileUsage(1300, 1300))
        assert await store.files.add("f1", make_file("f0", kind="thumbnail", size=20), FileUsage(1320, 1320))

    async def after(store):
        assert await store.files.beside(make_file(), "shown") == make_form()
        assert [one.id for one in await store.files.of(ALICE, "t1")] == ["f0", "f1"]
        assert await store.files.usage(ALICE) == FileUsage(1320, 1320)
        assert await store.files.used(["cd" * 32], NOON) == {"cd" * 32}

    run(before, after)


def test_what_is_made_again_takes_the_place_of_what_was(run):
    async def story(store):
        await subscribe(store)
        await finished(store, make_file())
        await store.files.add("f1", make_form(), FileUsage(10**6, 10**6))
        assert await store.files.add("f1", make_form("s2", size=200), FileUsage(1200, 1200))
        assert await store.files.beside(make_file(), "shown") == make_form("s2", size=200)
        assert await store.files.get("s1") is None
        assert await store.files.usage(ALICE) == FileUsage(1200, 1200)

    run(story)


def test_what_is_made_takes_no_room_that_there_is_not_and_belongs_to_a_file_that_is(run):
    async def story(store):
        await subscribe(store)
        await finished(store, make_file())
        assert not await store.files.add("f1", make_form(), FileUsage(1299, 10**6))
        assert not await store.files.add("f1", make_form(), FileUsage(10**6, 1299))
        assert not await store.files.add("none", make_form(), FileUsage(10**6, 10**6))
        assert not await store.files.add("f1", make_form(owner=BOB), FileUsage(10**6, 10**6))
        assert await store.files.usage(ALICE) == FileUsage(1000, 1000)
        await store.files.expire(NOON + DAY, uploads_before=0)
        assert not await store.files.add("f1", make_form(), FileUsage(10**6, 10**6))

    run(story)


def test_what_is_made_of_a_file_goes_with_it(run):
    async def story(store):
        await subscribe(store)
        await finished(store, make_file())
        await store.files.add("f1", make_form(), FileUsage(10**6, 10**6))
        await finished(store, make_file("f2", size=7))
        assert await store.files.beside(make_file("f2"), "shown") is None
        assert await store.files.usage(ALICE) == FileUsage(7, 7)
        await store.files.add("f2", make_form("s2"), FileUsage(10**6, 10**6))
        await store.files.expire(NOON + DAY, uploads_before=0)
        assert await store.files.usage(ALICE) == FileUsage(0, 0)

    run(story)


def test_a_quota_of_their_own_stands_in_the_place_of_everybody_s(run):
    async def story(store):
        await subscribe(store)
        most = FileUsage(own=1000, all=5000)
        for own, fits in ((500, 500), (2000, 2000), (0, 1000)):
            await store.subscribers.put(make_subscriber(ALICE, username=ALICE, file_quota=own))
            assert await store.files.allowed(ALICE, most) == FileUsage(fits, 5000)
            await store.files.begin(make_upload(reserved=0))
            assert not await store.files.reserve(make_upload().id, fits + 1, most)
            assert await store.files.reserve(make_upload().id, fits, most)
        assert await store.files.allowed(BOB, most) == await store.files.allowed("tel:+1", most) == most
        await finished(store, make_file())
        assert not await store.files.add("f1", make_form(), most)
        await store.subscribers.put(make_subscriber(ALICE, username=ALICE, file_quota=1300))
        assert await store.files.add("f1", make_form(), most)

    run(story)
