"""What every implementation of blobs promises."""

import asyncio
import errno
import hashlib
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.store_values import NOON
from joyn.blobs.directory import DirectoryBlobs
from joyn.model.refused import Reason, Refused

NAME = "an-upload-of-alice"
DATA = os.urandom(300_000)
DIGEST = hashlib.sha256(DATA).hexdigest()


@pytest.fixture(params=["directory"])
def make_blobs(tmp_path):
    """Opens the blobs, each time anew as after a restart."""
    now = [NOON]
    return lambda: DirectoryBlobs(tmp_path / "files", wall=lambda: now[0])


async def keep(blobs, data=DATA, name=NAME):
    incoming = await blobs.resume(name)
    incoming.write(data)
    return await incoming.finish()


async def read(blobs, digest=DIGEST):
    path = await blobs.path(digest)
    return None if path is None else await asyncio.to_thread(path.read_bytes)


async def all_of(batches):
    return sorted([one async for batch in batches for one in batch])


def test_what_is_finished_is_there_under_what_it_is(make_blobs):
    async def story():
        blobs = make_blobs()
        assert await read(blobs) is None
        content = await keep(blobs)
        assert (content.digest, content.size) == (DIGEST, len(DATA))
        assert await read(blobs) == await read(make_blobs()) == DATA
        assert await blobs.received(NAME) == 0
        await blobs.remove(DIGEST)
        assert await read(blobs) is None

    asyncio.run(story())


@pytest.mark.parametrize("killed", [False, True])
def test_what_has_come_stays_and_is_gone_on_with(make_blobs, killed):
    async def story():
        blobs = make_blobs()
        first = await blobs.resume(NAME)
        first.write(DATA[:1000])
        assert first.received == await blobs.received(NAME) == 1000
        if killed:
            blobs = make_blobs()
        else:
            first.close()
        second = await blobs.resume(NAME)
        assert second.received == 1000
        second.write(memoryview(DATA)[1000:])
        assert (await second.finish()).digest == DIGEST
        first.close()

    asyncio.run(story())


def test_the_same_content_is_kept_once(make_blobs, tmp_path):
    async def story():
        blobs = make_blobs()
        one = await keep(blobs)
        assert await keep(blobs, name=f"{NAME}-again") == one
        kept = [path for path in (tmp_path / "files").rglob("*") if path.is_file()]
        assert len(kept) == 1

    asyncio.run(story())


def test_one_at_a_time_brings_a_blob(make_blobs):
    async def story():
        blobs = make_blobs()
        incoming = await blobs.resume(NAME)
        with pytest.raises(Refused) as refused:
            await blobs.resume(NAME)
        assert refused.value.reason is Reason.BUSY
        incoming.close()
        incoming.close()
        (await blobs.resume(NAME)).close()

    asyncio.run(story())


def test_what_is_discarded_begins_anew(make_blobs):
    async def story():
        blobs = make_blobs()
        (await blobs.resume(NAME)).close()
        incoming = await blobs.resume(NAME)
        incoming.write(b"half")
        incoming.close()
        await blobs.discard(NAME)
        await blobs.discard(NAME)
        assert (await blobs.resume(NAME)).received == 0

    asyncio.run(story())


@pytest.mark.parametrize("name", ["", "short", "../../etc/passwd-of-us", "a/b/c/d/e/f/g/h/i/j", "x" * 65, "å" * 20])
def test_a_path_is_no_name(make_blobs, name):
    async def story():
        blobs = make_blobs()
        for call in (blobs.resume, blobs.received, blobs.discard, blobs.path, blobs.remove):
            with pytest.raises(ValueError, match="no name"):
                await call(name)

    asyncio.run(story())


def test_on_a_full_disk_what_counted_stays_and_the_rest_is_refused(make_blobs, monkeypatch):
    async def story():
        blobs = make_blobs()
        incoming = await blobs.resume(NAME)
        incoming.write(DATA[:1000])
        write = os.write

        def half(file, data):
            if len(data) < 5000:
                raise OSError(errno.ENOSPC, "full")
            return write(file, data[:5000])

        with monkeypatch.context() as patch:
            patch.setattr(os, "write", half)
            with pytest.raises(Refused) as refused:
                incoming.write(DATA[1000:9000])
        assert refused.value.reason is Reason.STORAGE_FULL
        assert incoming.received == await blobs.received(NAME) == 1000
        incoming.write(DATA[1000:])
        assert (await incoming.finish()).digest == DIGEST

    asyncio.run(story())


def test_what_is_old_is_named(make_blobs):
    async def story():
        blobs = make_blobs()
        await keep(blobs)
        (await blobs.resume(NAME)).close()
        assert await all_of(blobs.unused_since(NOON)) == []
        assert await all_of(blobs.unused_since(NOON + 1)) == [DIGEST]
        assert await all_of(blobs.abandoned_since(NOON - 10**9)) == []
        assert await all_of(blobs.abandoned_since(2**33)) == [NAME]
        coming = await blobs.resume(NAME)
        assert await all_of(blobs.abandoned_since(2**33)) == []
        coming.close()

    asyncio.run(story())


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.binary(max_size=50), st.booleans()), max_size=12))
def test_however_it_comes_it_is_the_same(make_blobs, pieces):
    async def story():
        blobs = make_blobs()
        await blobs.discard(NAME)
        incoming = await blobs.resume(NAME)
        for data, cut in pieces:
            incoming.write(data)
            if cut:
                incoming.close()
                incoming = await blobs.resume(NAME)
        whole = b"".join(data for data, _ in pieces)
        assert (await incoming.finish()).digest == hashlib.sha256(whole).hexdigest()

    asyncio.run(story())
