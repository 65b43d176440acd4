"""Voice messages and places from browser to browser, and between browsers and phones, over a real node.

The browser's microphone is Chromium's own for tests, which beeps.
"""

import asyncio
import math
import re
import struct
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from browser.people import Person, Place
from joyn.phone import FileTransfer, Phone
from joyn.protocol import file_info, geolocation
from joyn.protocol.geolocation import Location
from phone.node import ALICE, BOB, CAROL, PASSWORD, make_phone
from ports import free_port

pytestmark = pytest.mark.browser

STATION = {"latitude": 48.1035, "longitude": -1.6725, "accuracy": 12}
LISTENING = """
  () => {
    const { mediaDevices } = navigator;
    const ask = mediaDevices.getUserMedia.bind(mediaDevices);
    globalThis.streams = [];
    mediaDevices.getUserMedia = async (wanted) => {
      const stream = await ask(wanted);
      streams.push(stream);
      return stream;
    };
    const Sound = Audio;
    globalThis.sounds = [];
    globalThis.Audio = function (...given) {
      const sound = new Sound(...given);
      sounds.push(sound);
      return sound;
    };
  }
"""
LIVE = "streams.flatMap((one) => one.getTracks()).filter((one) => one.readyState === 'live').length"
PLAYING = "sounds.filter((one) => one.src && !one.paused).map((one) => [one.currentTime, one.playbackRate])"


class Speaking(Place):
    """An operator with a content server, `files`."""

    def __init__(self, directory: Path) -> None:
        port = free_port()
        self.files = f"http://127.0.0.1:{port}"
        super().__init__(directory, f"[files]\n[[files.listeners]]\nport = {port}\n")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Speaking]:
    """A running operator with a content server."""
    made = Speaking(tmp_path)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def people(chromium: Any, place: Speaking) -> Iterator[Callable[..., Person]]:
    """Makes people with an open conversation; nobody's console may complain but of the network."""
    there: list[Person] = []

    def make(number: str, other: str, *permissions: str) -> Person:
        context = {"permissions": list(permissions), "geolocation": STATION}
        person = Person(chromium, place, number, **context)
        there.append(person)
        person.sign_in().open(other)
        person.page.get_by_role("button", name="Attach files").wait_for()
        person.page.evaluate(LISTENING)
        return person

    yield make
    for person in there:
        person.close()
    errors = [error for person in there for error in person.errors]
    assert [error for error in errors if "net::ERR" not in error and "Failed to load resource" not in error] == []


def button(person: Person, name: str) -> Any:
    """The button of that name."""
    return person.page.get_by_role("button", name=name, exact=True)


def hold(person: Person) -> tuple[float, float]:
    """Press the microphone and keep it pressed; where that is."""
    box = button(person, "Record a voice message").bounding_box()
    at = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    person.page.mouse.move(*at)
    person.page.mouse.down()
    return at


def recorded(person: Person, seconds: int) -> None:
    """Wait until so much is recorded."""
    timer = person.page.get_by_role("timer")
    timer.wait_for()
    person.until(lambda: timer.inner_text() >= f"0:0{seconds}", lambda: timer.inner_text())


def is_silent(person: Person) -> None:
    """Fails when the page goes on listening."""
    person.until(lambda: person.page.evaluate(LIVE) == 0, "the microphone is free")
    assert person.page.evaluate("streams.length") > 0


def voices(person: Person) -> list[str]:
    """What a screen reader says of the voice messages, without names and times."""
    return [text for text in person.texts() if text.startswith("Voice message")]


def test_what_was_recorded_while_held_plays_in_another_browser_at_twice_its_speed(people: Any) -> None:
    bob, carol = people(BOB, CAROL, "microphone"), people(CAROL, BOB)
    hold(bob)
    recorded(bob, 3)
    bob.page.mouse.up()
    bob.until(lambda: len(voices(bob)) == 1, "it is sent")
    is_silent(bob)
    carol.until(
        lambda: re.fullmatch(r"Voice message · 0:0[345]", "".join(voices(carol))) is not None,
        lambda: str(voices(carol)),
    )
    second = carol.page.get_by_role("link").filter(has_text="Voice message")
    second.wait_for()

    button(carol, "Speed 1×. Change it").click()
    button(carol, "Speed 1.5×. Change it").click()
    button(carol, "Play voice message").click()
    carol.until(lambda: bool(carol.page.evaluate(PLAYING)), "it plays")
    moved = carol.page.evaluate(
        f"""async () => {{
            const [[from, speed]] = {PLAYING};
            const begin = performance.now();
            await new Promise((resolve) => setTimeout(resolve, 600));
            const [[to]] = {PLAYING};
            return [speed, (to - from) / ((performance.now() - begin) / 1000)];
        }}"""
    )
    assert moved[0] == 2
    assert 1.5 < moved[1] < 2.5
    button(carol, "Play voice message").wait_for()  # it has come to its end
    bob.until(lambda: bob.states(voices(bob)[0]) == ["Delivered"], lambda: str(bob.states(voices(bob)[0])))


def test_a_press_records_until_it_is_stopped_and_is_heard_before_it_is_sent(people: Any) -> None:
    bob, carol = people(BOB, CAROL, "microphone"), people(CAROL, BOB)
    page = bob.page
    button(bob, "Record a voice message").focus()
    page.keyboard.press("Enter")
    recorded(bob, 2)
    page.keyboard.press("Enter")  # the focus is on Stop
    is_silent(bob)
    button(bob, "Play voice message").click()
    bob.until(lambda: bool(page.evaluate(PLAYING)), "it plays")
    button(bob, "Pause voice message").click()
    position = page.get_by_role("slider", name="Place in the voice message")
    before = float(position.input_value())
    position.focus()
    page.keyboard.press("ArrowRight")
    assert float(position.input_value()) > before
    assert voices(bob) == []
    button(bob, "Send").click()
    bob.until(lambda: len(voices(bob)) == 1, "it is sent")
    carol.until(lambda: voices(carol) == voices(bob), lambda: str(voices(carol)))
    assert bob.composer.evaluate("element => element === document.activeElement")


def test_sliding_aside_cancels_and_sliding_up_goes_on_without_the_hand(people: Any) -> None:
    bob = people(BOB, CAROL, "microphone")
    x, y = hold(bob)
    recorded(bob, 1)
    bob.page.mouse.move(x - 120, y, steps=5)
    bob.page.get_by_role("timer").wait_for(state="detached")
    bob.page.mouse.up()
    is_silent(bob)
    x, y = hold(bob)
    recorded(bob, 1)
    bob.page.mouse.move(x, y - 80, steps=5)
    bob.page.mouse.up()
    button(bob, "Stop and listen").wait_for()
    bob.page.keyboard.press("Escape")
    bob.page.get_by_role("timer").wait_for(state="detached")
    is_silent(bob)
    assert voices(bob) == []


def test_leaving_the_conversation_ends_a_recording(people: Any) -> None:
    bob = people(BOB, CAROL, "microphone")
    button(bob, "Record a voice message").click()
    recorded(bob, 1)
    assert bob.page.evaluate(LIVE) == 1
    bob.page.get_by_role("link", name="Contacts").click()
    is_silent(bob)


def test_a_tab_that_is_not_looked_at_listens_no_more_and_keeps_what_it_heard(people: Any) -> None:
    bob = people(BOB, CAROL, "microphone")
    button(bob, "Record a voice message").click()
    recorded(bob, 1)
    bob.page.evaluate(
        """() => {
            Object.defineProperty(document, "hidden", { value: true, configurable: true });
            document.dispatchEvent(new Event("visibilitychange"));
        }"""
    )
    is_silent(bob)
    button(bob, "Send").wait_for()


def test_a_blocked_microphone_and_a_blocked_place_are_said(people: Any) -> None:
    bob = people(BOB, CAROL, "notifications")
    button(bob, "Record a voice message").click()
    bob.page.get_by_role("alert").get_by_text("Microphone is blocked. Allow it in the address bar.").wait_for()
    locate(bob)
    tray = bob.page.get_by_role("dialog", name="Send where you are")
    tray.get_by_role("alert").get_by_text("Location is blocked. Allow it in the address bar.").wait_for()
    assert button(bob, "Send location").count() == 0


def locate(person: Person) -> None:
    """Choose Location."""
    button(person, "Attach files").click()
    person.page.get_by_role("menuitem", name="Location").click()


def test_a_place_is_shown_before_it_is_sent_and_loads_no_map_by_itself(people: Any) -> None:
    bob, carol = people(BOB, CAROL, "geolocation"), people(CAROL, BOB)
    asked: list[str] = []
    for person in (bob, carol):
        person.page.on("request", lambda request: asked.append(request.url))
    locate(bob)
    tray = bob.page.get_by_role("dialog", name="Send where you are")
    tray.get_by_text("48.10350° N · 1.67250° W").wait_for()
    tray.get_by_text("Within 12 m").wait_for()
    label = tray.get_by_label("What is here")
    label.fill("x" * 120)
    assert len(label.input_value()) == 100
    label.fill("Gare de Rennes")
    label.press("Enter")
    tray.wait_for(state="detached")

    card = carol.page.get_by_role("article", name="Location · Gare de Rennes")
    card.get_by_text("48.10350° N · 1.67250° W").wait_for()
    link = card.get_by_role("link", name="Open map")
    expected = "https://www.openstreetmap.org/?mlat=48.10350&mlon=-1.67250#map=18/48.10350/-1.67250"
    assert link.get_attribute("href") == expected
    assert (link.get_attribute("target"), link.get_attribute("rel")) == ("_blank", "noreferrer")
    carol.page.get_by_role("link").filter(has_text="Gare de Rennes").first.wait_for()
    bob.until(lambda: bob.states("Location · Gare de Rennes") == ["Delivered"], "it is delivered")
    assert [url for url in asked if "127.0.0.1" not in url and not url.startswith("blob:")] == []


def on_a_phone(place: Speaking, story: Callable[[Phone], Awaitable[None]]) -> Future[None]:
    """Alice's phone, in a thread: Playwright keeps an event loop running in the one of its tests."""

    async def play() -> None:
        async with make_phone(place.servers, ALICE) as alice:
            await story(alice)

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, play())


async def say(place: Speaking, alice: Phone, sound: Path, kind: str, seconds: int) -> None:
    """A voice message, as phones send them."""
    async with FileTransfer(f"{place.files}/content", ALICE, PASSWORD) as transfer:
        [info] = await transfer.upload(sound, content_type=kind)
    document = file_info.emit([replace(info, disposition="render", playing_length=seconds)])
    await alice.send(BOB, document, content_type=file_info.CONTENT_TYPE)


def tone(path: Path, seconds: int) -> Path:
    """A WAV."""
    rate = 8000
    samples = bytes(128 + int(60 * math.sin(at / 6)) for at in range(seconds * rate))
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, rate, 1, 8)
    body = b"WAVE" + form + struct.pack("<4sI", b"data", len(samples)) + samples
    path.write_bytes(struct.pack("<4sI", b"RIFF", len(body)) + body)
    return path


def test_a_phone_s_voice_message_plays_or_is_a_file_that_says_why_not(
    people: Any, place: Speaking, tmp_path: Path
) -> None:
    bob = people(BOB, ALICE)
    speech = tmp_path / "speech.amr"
    speech.write_bytes(b"#!AMR\n" + (b"\x3c" + bytes(range(31))) * 50)
    wave = tone(tmp_path / "tone.wav", 4)

    noise = tmp_path / "noise.wav"
    noise.write_bytes(bytes(range(256)) * 40)

    async def talk(alice: Phone) -> None:
        await say(place, alice, wave, "audio/wav", 4)
        await say(place, alice, speech, "audio/amr", 7)
        await say(place, alice, noise, "audio/wav", 9)

    on_a_phone(place, talk).result(30)
    said = ["Voice message · 0:04", "Voice message · 0:07", "Voice message · 0:09"]
    bob.until(lambda: voices(bob) == said, lambda: str(voices(bob)))
    card = bob.page.get_by_role("article", name="Voice message · 0:07")
    why_not = "Voice message, which this browser can’t play. Save it to hear it elsewhere."
    card.get_by_text(why_not).wait_for()
    save = card.get_by_role("button", name="Save speech.amr")
    with bob.page.expect_download() as coming:
        save.click()
    coming.value.save_as(tmp_path / "got.amr")
    assert (tmp_path / "got.amr").read_bytes() == speech.read_bytes()
    other = bob.page.get_by_role("article", name="Voice message · 0:09")
    other.get_by_role("button", name="Play voice message").click()
    other.get_by_text(why_not).wait_for()
    other.get_by_role("button", name="Save noise.wav").wait_for()
    button(bob, "Play voice message").click()
    bob.until(lambda: any(at > 0.2 for at, _ in bob.page.evaluate(PLAYING)), "it plays")


def test_a_phone_hears_and_finds_what_a_browser_sends_and_is_found_itself(people: Any, place: Speaking) -> None:
    bob = people(BOB, ALICE, "microphone", "geolocation")
    until = datetime.now(UTC) + timedelta(minutes=30)
    quay = Location(
        id="a1",
        latitude=48.64,
        longitude=-2.02,
        radius=5.0,
        label="Quay",
        entity=f"tel:{ALICE}",
        expires=until.strftime("%Y-%m-%dT%H:%M:%SZ"),
        timestamp="",
    )
    over = replace(quay, id="a2", label="Yesterday's", expires="2026-01-01T00:00:00Z")

    async def talk(alice: Phone) -> None:
        for one in (quay, over):
            await alice.send(BOB, one.emit(), content_type=geolocation.CONTENT_TYPE)

    on_a_phone(place, talk).result(30)
    bob.page.get_by_role("article", name="Location · Quay").get_by_role("link", name="Open map").wait_for()
    old = bob.page.get_by_role("article", name="Location · Yesterday's")
    old.get_by_text("No longer shared").wait_for()
    assert old.get_by_role("link").count() == 0

    hold(bob)
    recorded(bob, 2)
    bob.page.mouse.up()
    bob.until(lambda: len(voices(bob)) == 1, "it is sent")
    bob.until(lambda: bob.states(voices(bob)[0]) == ["Kept by the network"], "it has left")
    locate(bob)
    button(bob, "Send location").click()
    bob.until(lambda: bob.states("Location") == ["Kept by the network"], "it has left")

    async def listen(alice: Phone) -> None:
        voice, where = await alice.receive(timeout=15), await alice.receive(timeout=15)
        [info] = voice.files
        assert (info.disposition, info.content_type) == ("render", "audio/webm")
        assert info.playing_length in (2, 3)
        found = Location.parse(where.body)
        assert (found.latitude, found.longitude, found.radius) == (48.1035, -1.6725, 12)
        assert found.entity == f"tel:{BOB}"
        assert found.expires > found.timestamp > ""

    on_a_phone(place, listen).result(30)
