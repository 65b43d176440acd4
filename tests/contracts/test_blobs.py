"""What every implementation of blobs promises."""

import asyncio
import errno
import os
import subprocess
import sys
import threading

import pytest
from blake3 import blake3
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.store_values import NOON
from joyn.blobs import put
from joyn.blobs.directory import DirectoryBlobs
from joyn.model.refused import Reason, Refused

NAME = "an-upload-of-alice"
DATA = os.urandom(300_000)
ROOT = sys.platform == "linux" and os.geteuid() == 0
DIGEST = blake3(DATA).hexdigest()


@pytest.fixture(params=["directory"])
def make_blobs(tmp_path):
    """Opens the blobs, each time anew as after a restart, at NOON or the time that is said."""
    return lambda now=NOON: DirectoryBlobs(tmp_path / "files", wall=lambda: now)


@pytest.fixture
def small_disk(tmp_path):
    disk = tmp_path / "files"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "joyn-test", str(disk)], check=True)
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


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


@pytest.mark.parametrize("full", [errno.ENOSPC, errno.EDQUOT])
def test_on_a_full_disk_what_counted_stays_and_the_rest_is_refused(make_blobs, monkeypatch, full):
    async def story():
        blobs = make_blobs()
        incoming = await blobs.resume(NAME)
        incoming.write(DATA[:1000])
        write = os.write

        def half(file, data):
            if len(data) < 5000:
                raise OSError(full, "full")
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


@pytest.mark.scenario
@pytest.mark.skipif(not ROOT, reason="mounting a small tmpfs needs root")
def test_a_disk_that_is_really_full_keeps_what_counted(make_blobs, small_disk):
    async def story():
        incoming = await make_blobs().resume(NAME)
        for _ in range(3):
            incoming.write(DATA)
        with pytest.raises(Refused) as refused:
            incoming.write(DATA)
        assert refused.value.reason is Reason.STORAGE_FULL
        counted = 3 * len(DATA)
        assert counted == incoming.received == (small_disk / "incoming" / NAME).stat().st_size
        await asyncio.to_thread(subprocess.run, ["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
        incoming.write(DATA)
        assert (await incoming.finish()).size == counted + len(DATA)

    asyncio.run(story())


def test_a_blob_that_nobody_noted_is_found(make_blobs):
    """A crash between the rename and the commit."""

    async def story():
        await keep(make_blobs())
        later = make_blobs(NOON + 3600)
        assert await all_of(later.abandoned_since(2**33)) == []
        assert await all_of(later.unused_since(NOON + 60)) == [DIGEST]

    asyncio.run(story())


def test_what_comes_again_while_it_is_swept_stays(make_blobs):
    async def story():
        blobs = make_blobs()
        await keep(blobs)
        assert await all_of(blobs.unused_since(NOON + 1)) == [DIGEST]
        later = make_blobs(NOON + 3600)
        await keep(later)
        assert await all_of(later.unused_since(NOON + 1)) == []
        await later.remove(DIGEST, before=NOON + 1)
        assert await read(later) == DATA
        await later.remove(DIGEST, before=NOON + 3601)
        await later.remove(DIGEST, before=NOON + 3601)
        assert await read(later) is None

    asyncio.run(story())


def test_who_is_cancelled_leaves_the_name_to_others_only_when_the_file_is_left(make_blobs, monkeypatch):
    async def story():
        blobs, reached, go_on = make_blobs(), threading.Event(), threading.Event()
        incoming = await blobs.resume(NAME)
        incoming.write(DATA)
        fsync = os.fsync

        def slow(file):
            reached.set()
            assert go_on.wait(5)
            fsync(file)

        monkeypatch.setattr(os, "fsync", slow)
        finishing = asyncio.ensure_future(incoming.finish())
        assert await asyncio.to_thread(reached.wait, 5)
        finishing.cancel()
        with pytest.raises(Refused):
            await blobs.resume(NAME)
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await finishing
        again = await blobs.resume(NAME)
        assert again.received == 0
        again.write(b"something else")
        again.close()
        assert await read(blobs) == DATA

    asyncio.run(story())


@pytest.mark.parametrize("there", [False, True])
def test_what_was_discarded_meanwhile_is_not_finished(make_blobs, there):
    async def story():
        blobs = make_blobs()
        if there:
            await keep(blobs, name=f"{NAME}-before")
        incoming = await blobs.resume(NAME)
        incoming.write(DATA)
        await blobs.discard(NAME)
        with pytest.raises(Refused) as refused:
            await incoming.finish()
        assert refused.value.reason is Reason.BUSY
        assert (await read(blobs) is not None) == there
        with pytest.raises(ValueError, match="closed"):
            await incoming.finish()
        (await blobs.resume(NAME)).close()

    asyncio.run(story())


@pytest.mark.skipif(os.name != "posix", reason="modes and links are POSIX")
def test_nobody_else_reads_them_and_no_link_is_followed(make_blobs, tmp_path):
    async def story():
        blobs = make_blobs()
        await keep(blobs)
        (await blobs.resume(NAME)).close()
        root = tmp_path / "files"
        for path in (root, *root.rglob("*")):
            assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600)
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        (elsewhere / ("ff" * 32)).touch()
        (root / "blobs" / "ff").symlink_to(elsewhere)
        (root / "incoming" / f"{NAME}-linked").symlink_to(elsewhere / ("ff" * 32))
        assert await all_of(blobs.unused_since(2**33)) == [DIGEST]
        assert await all_of(blobs.abandoned_since(2**33)) == [NAME]
        with pytest.raises(OSError, match="symbolic"):
            await blobs.resume(f"{NAME}-linked")

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
        assert (await incoming.finish()).digest == blake3(whole).hexdigest()

    asyncio.run(story())


def test_what_has_come_can_be_read_and_named_before_it_is_a_blob(make_blobs):
    async def story():
        incoming = await make_blobs().resume(NAME)
        incoming.write(DATA[:1000])
        assert incoming.digest == blake3(DATA[:1000]).hexdigest()
        incoming.write(DATA[1000:])
        assert incoming.digest == DIGEST
        with incoming.read() as file:
            assert file.read(10) == DATA[:10]
            await incoming.finish()
            assert file.read() == DATA[10:]
        blobs = make_blobs()
        gone = await blobs.resume(NAME)
        await blobs.discard(NAME)
        with pytest.raises(Refused) as refused:
            gone.read()
        assert refused.value.reason is Reason.BUSY
        gone.close()

    asyncio.run(story())


def test_what_is_put_whole_is_a_blob_unless_it_is_refused_on_the_way(make_blobs, tmp_path):
    async def refuse(incoming):
        assert incoming.digest == DIGEST
        raise Refused(Reason.INFECTED)

    async def story():
        blobs = make_blobs()
        with pytest.raises(Refused):
            await put(blobs, NAME, DATA, refuse)
        assert [path for path in (tmp_path / "files").rglob("*") if path.is_file()] == []
        assert (await put(blobs, NAME, DATA)).digest == DIGEST
        assert await read(blobs) == DATA

    asyncio.run(story())
