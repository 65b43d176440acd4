"""A page that is connected and not looked at tells of what comes: what it says, when it is silent, where a click leads.

The page is on the screen for Chromium; that it is not, it is told by a script.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from browser.people import Place
from browser.sleeper import CLICK, SHOWN, Sleeper, written
from phone.node import BOB, CAROL

pytestmark = pytest.mark.browser

FROM_BOB = f"tel:{BOB}"

HIDDEN = """
  (hidden) => {
    delete document.hidden;
    delete document.visibilityState;
    if (hidden) {
      Object.defineProperty(document, "hidden", { value: true, configurable: true });
      Object.defineProperty(document, "visibilityState", { value: "hidden", configurable: true });
    }
    document.dispatchEvent(new Event("visibilitychange"));
  }
"""

RUNG = """
  () => {
    const { showNotification } = ServiceWorkerRegistration.prototype;
    globalThis.rung = [];
    ServiceWorkerRegistration.prototype.showNotification = function (title, options) {
      rung.push(options.body);
      return showNotification.call(this, title, options);
    };
  }
"""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A running operator."""
    made = Place(tmp_path, '[push]\nhosts = ["127.0.0.1"]\ninsecure = true\n')
    made.start()
    yield made
    made.stop()


@pytest.fixture
def carol(chromium: Any, place: Place) -> Iterator[Sleeper]:
    """Signed in, with notifications on; her page shows the settings, and no push reaches it."""
    made = Sleeper(chromium, place, "http://127.0.0.1:9/p/carol")
    made.sign_in()
    made.switch_on()
    yield made
    made.close()
    assert made.errors == []


def shown(carol: Sleeper) -> list[tuple[str, str, str | None]]:
    """Title, body and data of each notification."""
    return [(one["title"], one["body"], one["data"]) for one in carol.worker(SHOWN)]


def comes_to(carol: Sleeper, *notifications: tuple[str, str, str | None]) -> None:
    """Fails when these are not what is shown in the end."""
    expected = list(notifications)
    carol.until(lambda: shown(carol) == expected, lambda: f"{shown(carol)}, not {expected}")


def test_a_notification_says_what_the_settings_allow(carol: Sleeper, place: Place) -> None:
    page = carol.page
    page.get_by_role("radio", name="Name only").check()
    written(place, "one")
    comes_to(carol, ("06 39 98 00 02", "New message", FROM_BOB))
    page.get_by_role("radio", name="Neither").check()
    written(place, "two")
    comes_to(carol, ("joyn", "2 new messages", FROM_BOB))
    page.get_by_role("radio", name="Name and message").check()
    written(place, "three")
    comes_to(carol, ("06 39 98 00 02", "three", FROM_BOB))


def test_whoever_looks_at_the_conversation_in_any_tab_is_not_told(carol: Sleeper, place: Place) -> None:
    first = carol.page
    carol.open(BOB)
    first.evaluate(RUNG)
    written(place, "seen in the first")
    carol.sees("seen in the first")

    first.evaluate(HIDDEN, True)
    carol.page = second = carol.tab()
    carol.open(BOB)
    written(place, "seen in the second")
    carol.sees("seen in the second")
    # The first tab has the connection. It asks the second, which says so within this time, or it would ring.
    first.wait_for_timeout(1_000)
    assert first.evaluate("rung") == []

    second.evaluate(HIDDEN, True)
    written(place, "seen by nobody")
    carol.until(lambda: first.evaluate("rung") == ["seen by nobody"], "the first tab tells")
    comes_to(carol, ("06 39 98 00 02", "seen by nobody", FROM_BOB))
    second.evaluate(HIDDEN, False)
    comes_to(carol)


def test_answering_on_another_device_takes_the_notification_away(carol: Sleeper, place: Place) -> None:
    written(place, "one")
    comes_to(carol, ("06 39 98 00 02", "one", FROM_BOB))
    written(place, "yes", by=CAROL, to=BOB)
    comes_to(carol)


def test_a_muted_conversation_is_silent(carol: Sleeper, place: Place) -> None:
    page = carol.page
    carol.open(BOB)
    written(place, "one")
    carol.sees("one")
    page.locator("main").get_by_role("button", name="More", exact=True).click()
    page.get_by_role("menuitem", name="Mute always").click()
    page.evaluate(RUNG)
    page.evaluate(HIDDEN, True)
    written(place, "two")
    page.wait_for_timeout(1_000)
    assert page.evaluate("rung") == []


def test_a_click_opens_the_conversation_in_the_page_that_is_there(carol: Sleeper, place: Place) -> None:
    written(place, "one")
    comes_to(carol, ("06 39 98 00 02", "one", FROM_BOB))
    carol.page.evaluate("globalThis.kept = true")
    assert carol.worker(CLICK) == ["focus /settings/notifications"]
    carol.sees("one")
    assert carol.page.url == f"{place.url}/c/{BOB}"
    assert carol.page.evaluate("kept")
    assert shown(carol) == []


def test_with_no_page_left_a_click_opens_the_conversation_in_a_new_one(carol: Sleeper, place: Place) -> None:
    written(place, "one")
    comes_to(carol, ("06 39 98 00 02", "one", FROM_BOB))
    carol.sleep()
    assert carol.worker(CLICK) == [f"open /c/{BOB}"]
