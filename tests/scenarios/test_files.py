"""Files from phone to phone, over HTTP and over MSRP, through a server that dies and connections that break: nothing of
them is lost, and little is sent twice.

`JOYN_SEED` says where they are cut.
"""

import asyncio
import hashlib
import os
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from cutting import BUFFER, CuttingProxy, Way
from joyn.phone import FileTransfer, Phone, Received
from joyn.protocol.file_info import FileInfo
from joyn.protocol.msrp.session import CHUNK_SIZE
from ports import free_port
from scenarios.operator import Operator

pytestmark = [pytest.mark.scenario, pytest.mark.timeout(300)]

SEED = int(os.environ.get("JOYN_SEED", "20261123"))
ALICE, BOB = "+33639980001", "+33639980002"
LARGE = 100_000_000
CUT = 20_000_000
CUTS = 20
FLUSH = 1 << 20
"""Bytes that a server may have and not have written yet."""
SOCKETS = 4 * 2 * BUFFER
"""Bytes under way: in the buffers of four sockets, of which the kernel makes twice what it is asked for."""
ALLOWED = CUT // 100 + CUTS * (FLUSH + SOCKETS)
"""Bytes that may be sent again: one of a hundred, and what was in flight at each cut."""
HEADS = 512 * (CUT // CHUNK_SIZE + 1)
"""Bytes of MSRP around the bytes of one file: so many at most for each chunk."""
MEDIA = "127.0.0.2"
"""Where the proxy is that passes MSRP on to the node's port of the same number."""
MANY, SMALL = 40, 5_000_000
GROWTH = 64 << 20
"""Bytes of memory that the server may need for MANY transfers at once; their contents would be three times that."""


class Content:
    """The files of an operator, whose content server and MSRP are behind proxies."""

    media: CuttingProxy

    def __init__(self, directory: Path) -> None:
        self.port, self.front = free_port(), free_port()
        settings = f'[files]\nurl = "http://127.0.0.1:{self.front}"\n[[files.listeners]]\nport = {self.port}\n'
        self.operator = Operator(directory, [ALICE, BOB], settings=settings, media=MEDIA)
        self.url = f"http://127.0.0.1:{self.front}/content"
        self.directory = directory
        self.back = asyncio.Event()
        self.back.set()

    def make(self, name: str, size: int) -> Path:
        """A file of noise."""
        path = self.directory / name
        chance = random.Random(f"{SEED} {name}")
        with path.open("wb") as file:
            for start in range(0, size, FLUSH):
                file.write(chance.randbytes(min(FLUSH, size - start)))
        return path

    def phone(self, number: str, style: str = "cpm", *, reconnect: bool = True) -> Phone:
        instance = f"urn:uuid:00000000-0000-4000-8000-{number[-12:]:0>12}"
        server, password = self.operator.servers["tcp"], self.operator.password
        kept = self.directory / f"kept-{number}"
        kept.mkdir(exist_ok=True)
        return Phone(
            number,
            password=password,
            server=server,
            instance=instance,
            style=style,
            reconnect=reconnect,
            pause=self.pause,
            content_server=self.url,
            directory=kept,
        )

    def transfer(self) -> FileTransfer:
        return FileTransfer(self.url, ALICE, self.operator.password, pause=self.pause)

    async def pause(self, seconds: float) -> None:
        """As long as was asked for, but not after the server is back: nobody shall wait for this test."""
        if self.back.is_set():
            await asyncio.sleep(seconds)
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(self.back.wait(), seconds)

    def memory(self) -> int:
        """Bytes of the server's resident memory."""
        assert self.operator.process is not None
        status = Path(f"/proc/{self.operator.process.pid}/status").read_text("ascii")
        return 1024 * int(next(line for line in status.splitlines() if line.startswith("VmRSS:")).split()[1])

    async def strike(self, number: int, *phones: Phone) -> None:
        """Every other cut is a SIGKILL, after which these phones come back; the others are the connection's alone."""
        if number % 2 == 0:
            self.back.clear()
            await asyncio.to_thread(self.operator.kill)
            await asyncio.to_thread(self.operator.start)
            for phone in phones:
                await phone.come_back()
            self.back.set()


@pytest.fixture
def content(tmp_path: Path) -> Iterator[Content]:
    made = Content(tmp_path)
    made.operator.start()
    yield made
    made.operator.stop()


@pytest.fixture(scope="module")
def kept_up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Content]:
    """One that serves several stories, as nobody kills it."""
    made = Content(tmp_path_factory.mktemp("kept_up"))
    made.operator.start()
    yield made
    made.operator.stop()


def play(content: Content, story: Callable[[CuttingProxy], Awaitable[None]]) -> None:
    """Between phones and node are two proxies: `story` has the one of the content server, `media` that of MSRP."""

    async def within() -> None:
        msrp = content.operator.msrp
        async with CuttingProxy(content.port, content.front) as proxy, CuttingProxy(msrp, msrp, host=MEDIA) as media:
            content.media = media
            await story(proxy)

    asyncio.run(within())


async def fetched(phone: Phone, received: Received, path: Path) -> Path:
    """The file that a message is, or leads to."""
    if received.path is not None:
        return received.path
    assert received.file is not None
    return await phone.fetch(received.file, path)


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def test_a_large_file_waits_for_who_is_offline(content: Content) -> None:
    film = content.make("film.mp4.bin", LARGE)

    async def story(_proxy: CuttingProxy) -> None:
        async with content.phone(BOB):
            pass  # a device that was never there has no mailbox of its own
        async with content.phone(ALICE) as alice:
            begin = time.monotonic()
            sent = await alice.send_file(BOB, film)
            took = time.monotonic() - begin
            assert not sent.reached("delivered")
            async with content.phone(BOB) as bob:
                received = await bob.receive(timeout=10)
                assert received.file is not None
                begin = time.monotonic()
                got = await bob.fetch(received.file, content.directory / "got")
                print(f"\n{LARGE} bytes: up in {took:.1f} s, down in {time.monotonic() - begin:.1f} s")
                await sent.delivered(timeout=5)
        assert received.file.name == film.name
        assert digest(got) == digest(film)

    play(content, story)


@pytest.mark.parametrize("there", [True, False], ids=["online", "offline"])
@pytest.mark.parametrize("to", ["http", "msrp"])
@pytest.mark.parametrize("of", ["http", "msrp"])
def test_phones_of_both_kinds_send_each_other_files(
    kept_up: Content, tmp_path: Path, of: str, to: str, there: bool
) -> None:
    content, name = kept_up, f"{of}-{to}-{there}.bin"
    photo = content.make(name, SMALL)
    styles = {"http": "cpm", "msrp": "rcse"}

    async def story(_proxy: CuttingProxy) -> None:
        async with content.phone(BOB, styles[to]) as bob, content.phone(ALICE, styles[of]) as alice:
            if not there:
                await bob.unregister()
            sent = await alice.send_file(BOB, photo)
            if not there:
                assert not sent.reached("delivered")
                await bob.register()
            received = await bob.receive(timeout=20)
            got = await fetched(bob, received, tmp_path / "got")
            await sent.delivered(timeout=10)
        assert (received.path is not None) == (to == "msrp")
        assert (received.offer or received.file).name == name  # type: ignore[union-attr]  # one of them
        assert digest(got) == digest(photo)

    play(content, story)


@pytest.mark.parametrize("way", ["up", "down"])
def test_over_msrp_too_what_is_cut_again_and_again_comes_whole(content: Content, way: Way) -> None:
    photo = content.make("photo.bin", CUT)
    points = sorted(random.Random(f"{SEED} msrp {way}").sample(range(CUT // 50, CUT - CUT // 50), CUTS))

    async def story(_proxy: CuttingProxy) -> None:
        sender, recipient = ("rcse", "cpm") if way == "up" else ("cpm", "rcse")
        async with (
            content.phone(BOB, recipient, reconnect=False) as bob,
            content.phone(ALICE, sender, reconnect=False) as alice,
        ):
            content.media.plan(way, points, lambda number: content.strike(number, bob, alice))
            await alice.send_file(BOB, photo)
            received = await bob.receive(timeout=240)
            passed = content.media.up if way == "up" else content.media.down
            cuts = content.media.cuts
            got = await fetched(bob, received, content.directory / "got")
        again, allowed = passed - CUT, ALLOWED + HEADS
        kills = content.operator.kills
        print(
            f"\nseed {SEED}, MSRP {way}, {cuts} cuts, {kills} kills: {again} bytes again, heads with them, of {allowed}"
        )
        assert (cuts, kills) == (CUTS, CUTS // 2)
        assert digest(got) == digest(photo)
        assert again <= allowed

    play(content, story)


@pytest.mark.parametrize("way", ["up", "down"])
def test_what_is_cut_again_and_again_comes_whole_and_is_not_sent_twice(content: Content, way: Way) -> None:
    photo = content.make("photo.bin", CUT)
    points = sorted(random.Random(f"{SEED} {way}").sample(range(CUT // 50, CUT - CUT // 50), CUTS))

    async def story(proxy: CuttingProxy) -> None:
        async with content.transfer() as transfer:
            if way == "up":
                proxy.plan("up", points, content.strike)
            (info,) = await transfer.upload(photo)
            sent = proxy.up
            if way == "down":
                proxy.plan("down", points, content.strike)
            got = await transfer.download(info, content.directory / "got")
            passed = sent if way == "up" else proxy.down
        again = passed - CUT
        print(f"\nseed {SEED}, {way}, {CUTS} cuts, {content.operator.kills} kills: {again} bytes again of {ALLOWED}")
        assert (proxy.cuts if way == "down" else CUTS, content.operator.kills) == (CUTS, CUTS // 2)
        assert digest(got) == digest(photo)
        assert again <= ALLOWED

    play(content, story)


def test_many_at_once_take_no_memory_of_their_own(content: Content) -> None:
    photos = [content.make(f"{number}.bin", SMALL) for number in range(MANY)]

    async def story(_proxy: CuttingProxy) -> None:
        async with content.transfer() as transfer:
            # What is loaded and made at the first transfer is made once.
            (first,) = await transfer.upload(content.make("first.bin", SMALL))
            await transfer.download(first, content.directory / "first")
            before, most = content.memory(), 0

            async def look() -> None:
                nonlocal most
                while True:
                    most = max(most, content.memory())
                    await asyncio.sleep(0.02)

            async def there_and_back(photo: Path) -> tuple[FileInfo, Path]:
                (info,) = await transfer.upload(photo)
                return info, await transfer.download(info, photo.with_suffix(".got"))

            looking = asyncio.create_task(look())
            done = await asyncio.gather(*map(there_and_back, photos))
            looking.cancel()
        grown = most - before
        print(f"\n{MANY} x {SMALL} bytes at once: {before >> 20} MiB before, {grown >> 20} MiB more at most")
        assert [digest(got) for _, got in done] == [digest(photo) for photo in photos]
        assert [info.name for info, _ in done] == [photo.name for photo in photos]
        assert grown < GROWTH

    play(content, story)
