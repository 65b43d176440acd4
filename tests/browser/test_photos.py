"""Photos over a real node: albums, the viewer, and what a camera wrote into them."""

import base64
import json
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from browser.files import choose, digest, people_with_files, photo, place_with_files, saved, send
from browser.people import Person, Place
from phone.node import BOB, CAROL

pytestmark = pytest.mark.browser

XMP = b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta>Brest</x:xmpmeta>"
PLACE = b"GPSPLACE"
"""Where a position would stand, as something that can be looked for."""


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


def _segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def exif(orientation: int) -> bytes:
    """Exif 2.32 §4.6: an orientation, and a directory of the position with a date in it."""
    first = struct.pack("<HHHIHHHHIIII", 2, 0x0112, 3, 1, orientation, 0, 0x8825, 4, 1, 38, 0, 0)[:-4]
    position = struct.pack("<HHHI", 1, 0x001D, 2, len(PLACE)) + struct.pack("<II", 56, 0) + PLACE
    return b"Exif\0\0" + b"II*\0" + struct.pack("<I", 8) + first + position


def lying(person: Person, path: Path) -> Path:
    """A JPEG that a camera took on its side, red on the left and blue on the right: turned by 90°, as its orientation
    says, red is above."""
    plain = person.page.evaluate(
        """async () => {
            const canvas = new OffscreenCanvas(400, 200);
            const context = canvas.getContext("2d");
            context.fillStyle = "#f00";
            context.fillRect(0, 0, 200, 200);
            context.fillStyle = "#00f";
            context.fillRect(200, 0, 200, 200);
            const blob = await canvas.convertToBlob({ type: "image/jpeg", quality: 0.95 });
            return [...new Uint8Array(await blob.arrayBuffer())];
        }"""
    )
    data = bytes(plain)
    path.write_bytes(data[:2] + _segment(0xE1, exif(6)) + _segment(0xE1, XMP) + data[2:])
    return path


def with_words(path: Path) -> Path:
    """A PNG with a text and Exif in it."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 40, 20, 8, 2, 0, 0, 0))
    words = chunk(b"tEXt", b"Comment\0taken in Brest") + chunk(b"eXIf", exif(1)[6:])
    rows = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + b"\x10\x80\xf0" * 40 for _ in range(20))))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + head + words + rows + chunk(b"IEND", b""))
    return path


def colours(person: Person, image: Any) -> list[str]:
    """Which colour is above, and which below, and how it stands."""
    found: list[str] = image.evaluate(
        """async (image) => {
            await image.decode();
            const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight);
            const context = canvas.getContext("2d", { willReadFrequently: true });
            context.drawImage(image, 0, 0);
            const at = (y) => context.getImageData(canvas.width / 2, canvas.height * y, 1, 1).data;
            const name = ([red, , blue]) => (red > 200 && blue < 60 ? "red" : blue > 200 && red < 60 ? "blue" : "?");
            return [name(at(0.25)), name(at(0.75)), canvas.width < canvas.height ? "upright" : "lying"];
        }"""
    )
    return found


def opened(person: Person, name: str) -> Any:
    """The viewer, with a photo in it that is all there."""
    person.page.get_by_role("button", name=f"Open {name}").last.click()
    viewer = person.page.get_by_role("dialog")
    viewer.get_by_role("img", name=name).wait_for()
    return viewer


@pytest.mark.parametrize(("quality", "kept"), [("Light", False), ("HD", False), ("HD", True)])
def test_a_photo_that_is_drawn_anew_stands_upright_and_tells_no_place_unless_it_is_wanted(
    quality: str, kept: bool, people: Any, place: Place, tmp_path: Path
) -> None:
    bob, carol = people(place, BOB, CAROL), people(place, CAROL, BOB)
    taken = lying(bob, tmp_path / "pier.jpg")
    tray = choose(bob, taken)
    tray.get_by_role("radio", name=quality).check()
    switch = tray.get_by_role("switch", name="Remove location")
    assert switch.is_checked()
    if kept:
        switch.uncheck()
        assert "stay in the file" in tray.get_by_role("status").inner_text()
    tray.get_by_role("button", name="Send ·").click()
    carol.page.get_by_role("button", name="Open pier.jpg").wait_for()
    viewer = opened(carol, "pier.jpg")
    assert colours(carol, viewer.get_by_role("img", name="pier.jpg")) == ["red", "blue", "upright"]
    got = saved(carol, "Save pier.jpg", tmp_path / "got").read_bytes()
    assert got.startswith(b"\xff\xd8\xff")
    assert b"xmpmeta" not in got
    assert (PLACE in got, b"Exif" in got) == (kept, kept)
    if kept:
        assert exif(1) in got  # it says no more that it has to be turned


def test_a_drawing_keeps_its_pixels_and_loses_its_words(people: Any, place: Place, tmp_path: Path) -> None:
    bob, carol = people(place, BOB, CAROL), people(place, CAROL, BOB)
    send(bob, with_words(tmp_path / "map.png"), quality="HD")
    opened(carol, "map.png")
    got = saved(carol, "Save map.png", tmp_path / "got").read_bytes()
    assert got.startswith(b"\x89PNG")
    assert [word for word in (b"tEXt", b"eXIf", b"Brest", PLACE) if word in got] == []


def test_an_original_is_the_same_to_the_last_byte_and_says_what_stays_in_it(
    people: Any, place: Place, tmp_path: Path
) -> None:
    bob, carol = people(place, BOB, CAROL), people(place, CAROL, BOB)
    taken = lying(bob, tmp_path / "pier.jpg")
    tray = choose(bob, taken)
    tray.get_by_role("radio", name="Original").check()
    assert tray.get_by_role("switch").count() == 0
    assert tray.get_by_role("status").inner_text() == "Place and camera details stay in the file."
    tray.get_by_role("button", name="Send ·").click()
    viewer = opened(carol, "pier.jpg")
    assert colours(carol, viewer.get_by_role("img", name="pier.jpg")) == ["red", "blue", "upright"]
    assert digest(saved(carol, "Save pier.jpg", tmp_path / "got")) == digest(taken)


def test_five_photos_of_one_pick_are_one_album_on_both_sides(people: Any, place: Place, tmp_path: Path) -> None:
    bob, carol = people(place, BOB, CAROL), people(place, CAROL, BOB)
    names = [f"day-{number}.jpg" for number in range(1, 6)]
    send(bob, *[photo(bob, tmp_path / name, 300 + 20 * at) for at, name in enumerate(names)])
    for person in (bob, carol):
        cells = person.page.locator(".album [role=article]")
        person.until(lambda cells=cells: cells.count() == 3, "three are seen")
        more = person.page.locator(".album [role=article][aria-label$='and 2 more']")
        more.wait_for()
        assert person.page.locator("ol > li .album").count() == 1
    bob.until(
        lambda: all(bob.states(f"Photo {name}")[0].startswith("Delivered") for name in names[:2]),
        lambda: str([bob.states(f"Photo {name}") for name in names]),
    )
    page = carol.page
    first = page.locator(".album [role=article]").first
    first.get_by_role("button", name="Open").click()
    viewer = page.get_by_role("dialog")
    viewer.get_by_text("1 of 5").wait_for()
    seen = set()
    for at in range(2, 6):
        page.keyboard.press("ArrowRight")
        viewer.get_by_text(f"{at} of 5").wait_for()
        seen.add(viewer.locator(".room img").get_attribute("alt"))
    assert len(seen) == 4
    viewer.get_by_role("button", name="Reply").click()
    viewer.wait_for(state="detached")
    page.get_by_text("Reply to").wait_for()
    carol.composer.fill("this one")
    carol.composer.press("Enter")
    bob.sees("this one")
    assert bob.page.locator(".album").count() == 1  # a text after it changes nothing of it


def test_a_photo_that_no_browser_draws_is_shown_and_saved_as_it_is(people: Any, place: Place, tmp_path: Path) -> None:
    vector = json.loads((Path(__file__).parents[1] / "vectors/pictures/heic.json").read_text())
    taken = tmp_path / "IMG_1.HEIC"
    taken.write_bytes(base64.b64decode(vector["wire_base64"]))
    bob, carol = people(place, BOB, CAROL), people(place, CAROL, BOB)
    tray = choose(bob, taken)
    tray.get_by_text("IMG_1.HEIC is sent as it is").wait_for()
    assert tray.get_by_role("radio").count() == 0
    tray.get_by_role("button", name="Send ·").click()
    for person in (carol, bob):
        person.page.locator("[role=article] img").wait_for()
        viewer = opened(person, "IMG_1.HEIC")
        image = viewer.get_by_role("img", name="IMG_1.HEIC")
        person.until(lambda image=image: image.evaluate("one => one.naturalWidth") == 96, "the shown form")
    assert digest(saved(carol, "Save IMG_1.HEIC", tmp_path / "got")) == digest(taken)
