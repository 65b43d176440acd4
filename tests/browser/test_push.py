"""A browser whose pages are closed is woken: node, push service, service worker, notification, message.

The push service is the test's own (`sleeper.py`); everything else is the real thing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from browser.people import Place
from browser.sleeper import CLICK, KEYS, SHOWN, PushService, Sleeper, written
from phone.node import BOB
from services.push.test_vapid import verified

pytestmark = pytest.mark.browser

TEXT = "rendez-vous à la gare"
RESOURCE = "/p/carol"

COUNTED = """
  () => {
    const { showNotification } = ServiceWorkerRegistration.prototype;
    globalThis.asked = 0;
    ServiceWorkerRegistration.prototype.showNotification = function (...all) {
      asked++;
      return showNotification.apply(this, all);
    };
  }
"""


@pytest.fixture
def service() -> Iterator[PushService]:
    """The push service."""
    made = PushService()
    yield made
    made.close()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A running operator that may write to it."""
    made = Place(tmp_path, '[push]\nhosts = ["127.0.0.1"]\ninsecure = true\npause = "1s"\n')
    made.start()
    yield made
    made.stop()


@pytest.fixture
def carol(chromium: Any, place: Place, service: PushService) -> Iterator[Sleeper]:
    """Signed in, with notifications on."""
    made = Sleeper(chromium, place, service.origin + RESOURCE)
    made.sign_in()
    made.switch_on()
    yield made
    made.close()
    assert made.errors == []


def subscriptions(place: Place) -> list[tuple[str, str, str]]:
    """What the node knows of push resources."""
    with sqlite3.connect(f"file:{place.directory / 'data' / 'joyn.db'}?mode=ro", uri=True) as database:
        return database.execute("SELECT endpoint, p256dh, auth FROM push_target").fetchall()


def test_a_closed_browser_is_woken_and_shows_the_message_once(
    carol: Sleeper, place: Place, service: PushService
) -> None:
    assert subscriptions(place) == [(service.origin + RESOURCE, KEYS["p256dh"], KEYS["auth"])]
    key = carol.page.evaluate("localStorage.getItem('test-push')")
    carol.sleep()
    written(place, TEXT)

    call = service.call()
    assert (call.path, call.headers["Content-Encoding"]) == (RESOURCE, "aes128gcm")
    assert verified(call.headers["Authorization"])["aud"] == service.origin
    assert call.headers["Authorization"].endswith(f"k={key}")  # RFC 8292 §4.2: whom the browser subscribed to
    assert call.read() == b'{"wake":"messages"}'

    carol.wake(call.read())
    carol.until(lambda: carol.worker(SHOWN), "a notification")
    assert carol.worker(SHOWN) == [{"title": "joyn", "body": "New messages", "data": None}]
    assert carol.worker(CLICK) == ["open /"]
    assert carol.worker(SHOWN) == []

    carol.page = carol.tab()
    carol.page.goto(f"{place.url}/")
    carol.page.get_by_role("link", name=TEXT).click()
    carol.sees(TEXT)
    assert carol.texts() == [TEXT]


def test_several_pushes_are_one_notification(carol: Sleeper) -> None:
    carol.sleep()
    carol.worker("() => { globalThis.pushed = 0; addEventListener('push', () => { pushed++; }); }")
    for _ in range(3):
        carol.wake(b'{"wake":"messages"}')
    carol.until(lambda: carol.worker("pushed") == 3 and carol.worker(SHOWN), "all of them have come")
    assert len(carol.worker(SHOWN)) == 1


def test_whoever_looks_at_the_page_is_shown_no_notification(carol: Sleeper, place: Place) -> None:
    carol.open(BOB)
    carol.worker(COUNTED)
    written(place, TEXT)
    carol.sees(TEXT)
    carol.wake(b'{"wake":"messages"}')
    # The worker decides in the very task in which it wakes the page.
    carol.until(lambda: carol.page.evaluate("woken") == 1, "the page is woken")
    assert carol.worker("asked") == 0
    assert carol.texts() == [TEXT]
    carol.sleep()
    carol.wake(b'{"wake":"messages"}')
    carol.until(lambda: carol.worker("asked") == 1, "what is counted is what is shown")


def test_a_click_brings_an_open_page_forward_as_it_is(carol: Sleeper) -> None:
    carol.sleep()
    carol.wake(b'{"wake":"messages"}')
    carol.until(lambda: carol.worker(SHOWN), "a notification")
    carol.page = carol.tab()
    carol.open(BOB)
    carol.composer.fill("half a thought")
    assert carol.worker(CLICK) == [f"focus /c/{BOB}"]
    assert carol.composer.input_value() == "half a thought"


def test_signing_out_takes_the_subscription_away(carol: Sleeper, place: Place, service: PushService) -> None:
    carol.page.goto(f"{place.url}/settings")
    carol.page.get_by_role("button", name="Sign out", exact=True).click()
    carol.page.get_by_role("alertdialog").get_by_role("button", name="Sign out", exact=True).click()
    carol.page.get_by_label("Mobile number").wait_for()
    carol.until(lambda: subscriptions(place) == [], "the node forgets it")
    assert carol.page.evaluate("localStorage.getItem('test-push')") is None
    # With somebody to wake, the node would wait ten seconds for them before it says so.
    written(place, TEXT, until_stored=True)
    assert service.calls.empty()
