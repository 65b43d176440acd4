"""What is large goes from a browser to whoever was not there: whole, watched, and gone on with wherever it is cut.

Some hundred megabytes: left out of `make test`, as the scenarios are.
"""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from browser.files import (
    MEGA,
    Counting,
    come_to,
    digest,
    fetched,
    noise,
    people_with_files,
    place_with_files,
    saved,
    send,
    slowly,
    with_network,
    without_network,
)
from browser.people import Person, Place
from cutting import BUFFER
from phone.node import ALICE, BOB, CAROL, make_phone
from ports import free_port

pytestmark = [pytest.mark.browser, pytest.mark.scenario, pytest.mark.timeout(300)]

LARGE = 100 * MEGA
CUT = 40 * MEGA
RATE = 12 * MEGA
SLOW = 2 * MEGA
"""Bytes a second: enough is left to be cut, however busy the machine is."""
PATIENCE = 60.0
"""Seconds that something large may take."""
FLUSH = MEGA
"""Bytes that either side may have and not have kept yet."""
SOCKETS = 4 * 2 * BUFFER
"""Bytes under way: in the buffers of the proxy's sockets, of which the kernel makes twice what it is asked for."""
FORMS = 64 << 10
"""Bytes of headers, forms and questions."""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A running operator."""
    made = place_with_files(tmp_path)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def people(chromium: Any) -> Iterator[Any]:
    """Makes people, and closes their browsers."""
    yield from people_with_files(chromium)


def leave(person: Person) -> None:
    """They close the page."""
    person.page.close()


def come_back(person: Person, other: str) -> None:
    """They open it again."""
    person.page = person.tab()
    person.open(other)


def drawn(person: Person, path: Path) -> Path:
    """A photo of 24 megapixels, as a camera takes them."""
    with person.page.expect_download(timeout=1000 * PATIENCE) as coming:
        person.page.evaluate(
            """async () => {
                const grain = new ImageData(1500, 1000);
                for (let at = 0; at < grain.data.length; at += 65536) {
                    crypto.getRandomValues(grain.data.subarray(at, at + 65536));
                }
                for (let at = 3; at < grain.data.length; at += 4) grain.data[at] = 255;
                const small = await createImageBitmap(grain);
                const canvas = new OffscreenCanvas(6000, 4000);
                canvas.getContext("2d").drawImage(small, 0, 0, 6000, 4000);
                const link = document.createElement("a");
                link.href = URL.createObjectURL(await canvas.convertToBlob({ type: "image/jpeg", quality: 0.95 }));
                link.download = "camera.jpg";
                link.click();
            }"""
        )
    coming.value.save_as(path)
    return path


def watched(person: Person, name: str) -> set[str]:
    """What is said of a transfer at a quarter, a half and three quarters."""
    told: set[str] = set()
    for percent in (25, 50, 75):
        come_to(person, percent)
        told.add(person.page.locator("[role=article]", has_text=name).inner_text())
    return told


def kept_by_the_network(person: Person, text: str) -> None:
    """It has left, and waits for somebody who is not there."""
    person.page.locator(f"[role=article][aria-label^='You, {text},'][aria-label$='Kept by the network']").wait_for(
        timeout=1000 * PATIENCE
    )


def test_a_file_of_100_mb_waits_for_whoever_was_away(people: Any, place: Place, tmp_path: Path) -> None:
    bob, carol = people(place, BOB, CAROL), people(place, CAROL, BOB)
    leave(carol)
    large = noise(tmp_path / "tides.bin", LARGE)
    slowly(bob, up=RATE)
    send(bob, large)
    assert len(watched(bob, "tides.bin")) == 3
    kept_by_the_network(bob, "File tides.bin")
    come_back(carol, BOB)
    slowly(carol, down=RATE)
    carol.page.get_by_role("button", name="Download tides.bin").click()
    assert len(watched(carol, "tides.bin")) == 3
    carol.page.get_by_text("100 MB · Downloaded").wait_for(timeout=1000 * PATIENCE)
    assert digest(saved(carol, "Save tides.bin", tmp_path / "got", PATIENCE)) == digest(large)


def test_a_photo_of_24_megapixels_comes_as_the_camera_took_it(people: Any, place: Place, tmp_path: Path) -> None:
    bob, carol = people(place, BOB, CAROL), people(place, CAROL, BOB)
    leave(carol)
    camera = drawn(bob, tmp_path / "camera.jpg")
    slowly(bob, up=2 * MEGA)
    send(bob, camera, quality="Original", patience=PATIENCE)
    for percent in (25, 50, 75):
        come_to(bob, percent)
    kept_by_the_network(bob, "Photo camera.jpg")
    come_back(carol, BOB)
    assert camera.stat().st_size > 10 * MEGA  # so that it does not come by itself
    carol.page.get_by_role("button", name="Download camera.jpg").first.click(timeout=1000 * PATIENCE)
    carol.page.get_by_role("button", name="Open camera.jpg").click(timeout=1000 * PATIENCE)
    image = carol.page.get_by_role("dialog").get_by_role("img", name="camera.jpg")
    carol.until(lambda: image.evaluate("one => [one.naturalWidth, one.naturalHeight]") == [6000, 4000], "all of it")
    assert digest(saved(carol, "Save camera.jpg", tmp_path / "got", PATIENCE)) == digest(camera)


def test_a_phone_gets_what_a_browser_sends(people: Any, place: Place, tmp_path: Path) -> None:
    bob = people(place, BOB, ALICE)
    large, camera = noise(tmp_path / "tides.bin", LARGE), drawn(bob, tmp_path / "camera.jpg")

    async def get() -> dict[str, Path]:
        got: dict[str, Path] = {}
        async with make_phone(place.servers, ALICE) as alice:
            while len(got) < 2:
                info = (await alice.receive(timeout=PATIENCE)).file
                assert info is not None
                got[info.name] = await alice.fetch(info, tmp_path / f"got {info.name}")
        return got

    with ThreadPoolExecutor(1) as thread:
        getting = thread.submit(asyncio.run, get())
        send(bob, large)
        send(bob, camera, quality="Original", patience=PATIENCE)
        got = getting.result(2 * PATIENCE)
    assert {name: digest(path) for name, path in got.items()} == {
        "tides.bin": digest(large),
        "camera.jpg": digest(camera),
    }


def cut_twice(place: Place, person: Person, **slow: int) -> None:
    """Their network goes, and then the server dies; both come back."""
    come_to(person, 20)
    without_network(person)
    person.page.get_by_text("Will resume by itself.").wait_for()
    with_network(person, **slow)
    come_to(person, 50)
    place.kill()
    person.page.get_by_text("Will resume by itself.").wait_for()
    place.start()


@pytest.mark.parametrize("way", ["up", "down"])
def test_what_is_cut_twice_goes_on_where_it_was(way: str, people: Any, tmp_path: Path) -> None:
    front = free_port()
    place = place_with_files(tmp_path, front)
    place.start()
    try:
        with Counting(place.content, front) as proxy:
            bob, carol = people(place, BOB, CAROL), people(place, CAROL, BOB)
            large = noise(tmp_path / "tides.bin", CUT)
            if way == "up":
                slowly(bob, up=SLOW)
                send(bob, large)
                cut_twice(place, bob, up=SLOW)
                bob.page.get_by_role("button", name="Pause tides.bin").wait_for(
                    state="detached", timeout=1000 * PATIENCE
                )
                moved = proxy.up
            else:
                send(bob, large)
                # Slow on the way, so that nothing waits in the browser's buffers; and a little in the browser, which
                # without that would not cut what has begun when its network goes.
                proxy.rate = SLOW
                slowly(carol, down=4 * SLOW)
                carol.page.get_by_role("button", name="Download tides.bin").click(timeout=1000 * PATIENCE)
                cut_twice(place, carol, down=4 * SLOW)
            got = tmp_path / "got"
            if way == "up":
                fetched(carol, "tides.bin", got, PATIENCE)
            else:
                carol.page.get_by_role("button", name="Save tides.bin").wait_for(timeout=1000 * PATIENCE)
                moved = proxy.down
                saved(carol, "Save tides.bin", got, PATIENCE)
            assert digest(got) == digest(large)
            again = moved - CUT
            print(f"{way}: {again} bytes twice, of {CUT}, in two cuts")
            assert again <= 2 * (CUT // 100 + FLUSH + SOCKETS) + FORMS
    finally:
        place.stop()
