"""What tests of files in a browser share: a place with a content server, files to send, and hands to send them with."""

import asyncio
import hashlib
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from browser.people import Person, Place
from cutting import CuttingProxy
from ports import free_port

MEGA = 1 << 20
SLOW = 6 * MEGA
"""Bytes a second at which a transfer can be watched."""
EXIF = b"\xff\xe1\x00\x16Exif\x00\x00II*\x00\x08\x00\x00\x00GPS-48-N-2-E"
"""What a camera writes into a JPEG, as far as a browser that draws it is concerned."""


def place_with_files(directory: Path, front: int | None = None, **settings: str) -> Place:
    """An operator with a content server; `front` is where clients are sent in place of its own port."""
    port = free_port()
    address = {} if front is None else {"url": f"http://127.0.0.1:{front}"}
    said = "".join(f'{name} = "{value}"\n' for name, value in (address | settings).items())
    place = Place(directory, f"[files]\n{said}[[files.listeners]]\nport = {port}\n")
    place.content = port
    return place


def people_with_files(chromium: Any) -> Iterator[Any]:
    """Makes people with a conversation open, and closes their browsers; no console may have complained but of the
    network."""
    there: list[Person] = []

    def make(place: Place, number: str, other: str) -> Person:
        person = Person(chromium, place, number).sign_in()
        there.append(person)
        person.open(other)
        person.page.get_by_role("button", name="Attach files").wait_for()
        return person

    yield make
    for person in there:
        person.close()
    errors = [error for person in there for error in person.errors]
    assert [error for error in errors if "net::ERR" not in error and "Failed to load resource" not in error] == []


class Counting:
    """A proxy that counts, in a thread of its own: Playwright keeps the loop of its tests for itself."""

    def __init__(self, target: int, port: int) -> None:
        self.proxy = CuttingProxy(target, port)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> CuttingProxy:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self.proxy.__aenter__(), self._loop).result(5)
        return self.proxy

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    async def _end(self) -> None:
        await self.proxy.__aexit__(None, None, None)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*others, return_exceptions=True)


def noise(path: Path, size: int) -> Path:
    """A file that nothing can make smaller."""
    chance = random.Random(size)
    with path.open("wb") as file:
        for start in range(0, size, MEGA):
            file.write(chance.randbytes(min(MEGA, size - start)))
    return path


def photo(person: Person, path: Path, width: int = 1200) -> Path:
    """A JPEG with a camera's details in it."""
    drawn = person.page.evaluate(
        """async (width) => {
            const canvas = new OffscreenCanvas(width, width / 2);
            const context = canvas.getContext("2d");
            for (let at = 0; at < 200; at++) {
                context.fillStyle = `hsl(${(at * 47) % 360} 60% 60%)`;
                context.fillRect((at * 173) % width, (at * 71) % (width / 2), width / 8, width / 8);
            }
            const blob = await canvas.convertToBlob({ type: "image/jpeg" });
            return [...new Uint8Array(await blob.arrayBuffer())];
        }""",
        width,
    )
    data = bytes(drawn)
    path.write_bytes(data[:2] + EXIF + data[2:])
    return path


def digest(path: Path) -> str:
    """Its SHA-256."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def choose(person: Person, *paths: Path) -> Any:
    """Choose files; the tray that shows them."""
    person.page.locator("input[type=file]").set_input_files([str(path) for path in paths])
    tray = person.page.get_by_role("dialog")
    tray.wait_for()
    return tray


def send(person: Person, *paths: Path, quality: str = "", patience: float = 15) -> None:
    """Choose files and send them, once they are ready."""
    tray = choose(person, *paths)
    ready = tray.get_by_role("button", name="Send ·")
    ready.wait_for(timeout=1000 * patience)
    if quality:
        tray.get_by_role("radio", name=quality).check()
    ready.click()
    tray.wait_for(state="detached")


def slowly(person: Person, up: int = SLOW, down: int = -1) -> None:
    """From now on their page sends and receives so many bytes a second; -1 is as many as there are."""
    if person.slowness is None:
        person.slowness = person.context.new_cdp_session(person.page)
    conditions = {"offline": False, "latency": 0, "downloadThroughput": down, "uploadThroughput": up}
    person.slowness.send("Network.emulateNetworkConditions", conditions)


def at_full_speed(person: Person) -> None:
    """From now on their page is not slow any more."""
    if person.slowness is not None:
        person.slowness.detach()
    person.slowness = None


def without_network(person: Person) -> None:
    """Their network goes, until `with_network`. What makes it slow says so too, or it would say that it is there; for
    a moment without both a whole file would come."""
    if person.slowness is not None:
        conditions = {"offline": True, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
        person.slowness.send("Network.emulateNetworkConditions", conditions)
    person.context.set_offline(True)


def with_network(person: Person, up: int = -1, down: int = -1) -> None:
    """It comes back, as slow as that."""
    person.context.set_offline(False)
    slowly(person, up, down)


def come_to(person: Person, percent: int) -> None:
    """Wait until a transfer has come so far."""
    found = "all => all.map(one => Number(one.ariaValueNow))"

    def far() -> bool:
        return any(now >= percent for now in person.page.locator("[role=progressbar]").evaluate_all(found))

    person.until(far, f"{percent} %", patience=60)  # it may have to be connected again first


def saved(person: Person, button: str, path: Path, patience: float = 15) -> Path:
    """What pressing Save puts on the disk."""
    with person.page.expect_download(timeout=1000 * patience) as coming:
        person.page.get_by_role("button", name=button).click()
    coming.value.save_as(path)
    return path


def fetched(person: Person, name: str, path: Path, patience: float = 15) -> Path:
    """What somebody gets who downloads a file and saves it."""
    person.page.get_by_role("button", name=f"Download {name}").click()
    person.page.get_by_role("button", name=f"Save {name}").wait_for(timeout=1000 * patience)
    return saved(person, f"Save {name}", path, patience)
