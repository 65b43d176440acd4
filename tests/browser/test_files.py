"""Photos and files from browser to browser over a real node: whole, with what moves told, and gone on with when cut."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from browser.files import (
    MEGA,
    SLOW,
    choose,
    come_to,
    digest,
    fetched,
    noise,
    people_with_files,
    photo,
    place_with_files,
    saved,
    send,
    slowly,
    with_network,
    without_network,
)
from browser.people import Person, Place
from phone.node import BOB, CAROL

pytestmark = pytest.mark.browser


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


def ranges(person: Person) -> list[str]:
    """The Content-Range of what goes on, from now on."""
    seen: list[str] = []

    def look(request: Any) -> None:
        if request.method == "PUT" and "/upload/" in request.url:
            seen.append(request.headers.get("content-range", ""))

    person.page.on("request", look)
    return seen


def test_a_large_file_goes_to_another_browser_byte_by_byte(people: Any, place: Place, tmp_path: Path) -> None:
    bob, carol = people(place, BOB, CAROL), people(place, CAROL, BOB)
    large = noise(tmp_path / "tides.bin", 30 * MEGA)
    slowly(bob)
    send(bob, large)
    bob.write("the tides follow")
    told: set[str] = set()
    line = bob.page.locator("[role=article]", has_text="tides.bin")
    for percent in (20, 50, 80):
        come_to(bob, percent)
        told.add(line.inner_text())
    assert len(told) == 3
    assert all("of 30 MB" in one and "/s" in one and "s left" in one for one in told)
    carol.sees("the tides follow")
    assert carol.page.get_by_text("tides.bin").count() == 0  # the text has overtaken it
    bob.page.get_by_role("button", name="Pause tides.bin").wait_for(state="detached")
    carol.page.get_by_text("30 MB").wait_for()
    assert digest(fetched(carol, "tides.bin", tmp_path / "got")) == digest(large)
    assert carol.page.get_by_text("30 MB · Downloaded").is_visible()
    bob.page.reload()
    assert digest(fetched(bob, "tides.bin", tmp_path / "own")) == digest(large)


def test_a_photo_comes_by_itself_without_what_the_camera_wrote(people: Any, place: Place, tmp_path: Path) -> None:
    bob, carol = people(place, BOB, CAROL), people(place, CAROL, BOB)
    coast, cliff = photo(bob, tmp_path / "coast.jpg"), photo(bob, tmp_path / "cliff.jpg", 800)
    send(bob, coast)
    send(bob, cliff, quality="Original")
    for name in ("coast.jpg", "cliff.jpg"):
        carol.page.get_by_role("button", name=f"Open {name}").wait_for()
    widths = "all => all.map(one => one.naturalWidth)"
    shown = carol.page.locator("[role=article] img")
    carol.until(lambda: shown.evaluate_all(widths) == [1200, 800], lambda: str(shown.evaluate_all(widths)))
    carol.page.get_by_role("button", name="Open coast.jpg").click()
    drawn = saved(carol, "Save coast.jpg", tmp_path / "drawn").read_bytes()
    assert drawn.startswith(b"\xff\xd8")
    assert b"GPS" in coast.read_bytes()
    assert b"GPS" not in drawn
    carol.page.keyboard.press("ArrowRight")
    assert digest(saved(carol, "Save cliff.jpg", tmp_path / "original")) == digest(cliff)
    carol.page.keyboard.press("Escape")
    carol.page.get_by_role("dialog").wait_for(state="detached")
    bob.until(lambda: bob.states("Photo coast.jpg") == ["Delivered"], lambda: str(bob.states("Photo coast.jpg")))


def test_an_upload_goes_on_when_the_network_is_back(people: Any, place: Place, tmp_path: Path) -> None:
    bob, carol = people(place, BOB, CAROL), people(place, CAROL, BOB)
    large, rest = noise(tmp_path / "tides.bin", 15 * MEGA), ranges(bob)
    # So slowly that there is enough left, however long it takes until the network is gone.
    slowly(bob, SLOW // 4)
    send(bob, large)
    come_to(bob, 20)
    without_network(bob)
    bob.page.get_by_text(re.compile(r"Paused at [\d.]+ MB\. Will resume by itself\.")).wait_for()
    with_network(bob)
    slowly(bob)
    assert digest(fetched(carol, "tides.bin", tmp_path / "got")) == digest(large)
    assert len(rest) == 1
    assert int(rest[0].removeprefix("bytes ").partition("-")[0]) > 2 * MEGA


def test_an_upload_goes_on_after_a_reload(people: Any, place: Place, tmp_path: Path) -> None:
    bob, carol = people(place, BOB, CAROL), people(place, CAROL, BOB)
    large, rest = noise(tmp_path / "tides.bin", 15 * MEGA), ranges(bob)
    slowly(bob)
    send(bob, large)
    come_to(bob, 40)
    bob.page.reload()
    assert digest(fetched(carol, "tides.bin", tmp_path / "got")) == digest(large)
    assert len(rest) == 1
    assert int(rest[0].removeprefix("bytes ").partition("-")[0]) > 2 * MEGA


def test_a_pause_lasts_until_it_is_ended(people: Any, place: Place, tmp_path: Path) -> None:
    bob, carol = people(place, BOB, CAROL), people(place, CAROL, BOB)
    large = noise(tmp_path / "tides.bin", 8 * MEGA)
    slowly(bob, SLOW // 4)
    send(bob, large)
    come_to(bob, 20)
    bob.page.get_by_role("button", name="Pause tides.bin").click()
    bob.page.get_by_text(re.compile(r"Paused · [\d.]+ of 8 MB")).wait_for()
    bob.page.reload()
    bob.page.get_by_text(re.compile(r"Paused · [\d.]+ of 8 MB")).wait_for()
    bob.page.get_by_role("button", name="Go on with tides.bin").click()
    assert digest(fetched(carol, "tides.bin", tmp_path / "got")) == digest(large)


def test_what_is_too_large_is_said_before_and_what_does_not_go_in_after(people: Any, tmp_path: Path) -> None:
    place = place_with_files(tmp_path, max_file="4MiB", quota="5MiB")
    place.start()
    try:
        bob = people(place, BOB, CAROL)
        tray = choose(bob, noise(tmp_path / "large.bin", 6 * MEGA))
        tray.get_by_role("alert").get_by_text("large.bin: 6 MB is over the 4 MB limit.").wait_for()
        assert tray.get_by_role("button", name="Send ·").is_disabled()
        tray.get_by_role("button", name="Remove large.bin").click()
        send(bob, noise(tmp_path / "first.bin", 3 * MEGA))
        bob.until(lambda: bob.states("File first.bin") == ["Kept by the network"], "the first goes in")
        send(bob, noise(tmp_path / "second.bin", 3 * MEGA + 1))
        bob.page.get_by_text("There is no room left for your files. Not sent.").wait_for()
        assert bob.states("File second.bin") == ["Not sent"]
    finally:
        place.stop()


def test_what_is_pasted_or_dropped_is_shown_before_it_is_sent(people: Any, place: Place) -> None:
    bob = people(place, BOB, CAROL)
    page = bob.page
    made = """(type) => {
        const files = new DataTransfer();
        files.items.add(new File(["words"], `${type}.txt`, { type: "text/plain" }));
        return files;
    }"""
    page.evaluate(
        f"""() => document.getElementById("composer").dispatchEvent(
            new ClipboardEvent("paste", {{ clipboardData: ({made})("pasted"), bubbles: true, cancelable: true }}))"""
    )
    page.get_by_role("dialog", name="1 file").get_by_text("pasted.txt").wait_for()
    page.keyboard.press("Escape")
    drop = f"""(kind) => document.querySelector("main").dispatchEvent(
        new DragEvent(kind, {{ dataTransfer: ({made})("dropped"), bubbles: true, cancelable: true }}))"""
    page.evaluate(drop, "dragover")
    page.get_by_text("Drop to send to").wait_for()
    page.evaluate(drop, "drop")
    tray = page.get_by_role("dialog", name="1 file")
    tray.get_by_text("dropped.txt").wait_for()
    tray.get_by_role("button", name="Send ·").click()
    bob.until(lambda: bob.states("File dropped.txt") == ["Kept by the network"], "it is sent")
    assert page.get_by_text("Drop to send to").count() == 0
