"""The web client with a long conversation, in Chromium: how soon it opens, and whether it scrolls without gaps.

A node serves the client and somebody signs in; the messages are put where the client keeps its own, so that what is
measured is the browser's work and no network's.
"""

from __future__ import annotations

import importlib
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.rounds import FULL, Bench, Broken, Measured, Series
from bench.yardstick.peer import DATA

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = Path(__file__).with_name("web_open.js")
MESSAGES = 10_000
STEP = 360
"""Pixels of one turn of the wheel: three notches at once, half of what is in view."""
FEW = 1500
"""Messages that are scrolled through in short rounds."""
QUIET_MS = 1500
"""Until a page that was just loaded has done what it does by itself."""
TIMEOUT = 300.0
"""Seconds that scrolling may take."""


def web_open(bench: Bench, _peer: str) -> Measured:
    """Opens the conversation in a fresh page each round; scrolls up through all of it in the last. Raises Broken."""
    with _page() as (page, url, number):
        page.evaluate("([id, count]) => bench.fill(id, count)", [f"tel:{number}", MESSAGES])
        opened = Series("ms", [_open(page, url, number) for _ in range(bench.scale.rounds)])
        seen = _scroll(page, 1 if bench.scale == FULL else MESSAGES - FEW)
    return {
        "open": opened,
        "blank frames": Series("frames", [seen["blank"]]),
        "frames": Series("frames", [seen["frames"]]),
        "longest frame": Series("ms", [seen["longest"]]),
        "mounted": Series("rows", [seen["rows"]]),
    }


def _open(page: Any, url: str, number: str) -> float:
    """Milliseconds from the click on the conversation to the painting with its newest message."""
    page.goto(url)
    link = page.locator(f"a[href='/c/{number}']").first
    link.wait_for()
    page.wait_for_timeout(QUIET_MS)
    page.evaluate("text => bench.opening(text)", f"{MESSAGES}. ")
    link.click()
    return float(page.evaluate("bench.opened"))


def _scroll(page: Any, to: int) -> dict[str, float]:
    """Turns the wheel until the message with this number is there; what was seen on the way."""
    page.wait_for_timeout(QUIET_MS)
    page.evaluate("bench.watch()")
    page.mouse.move(900, 400)
    deadline = time.monotonic() + TIMEOUT
    while page.evaluate("bench.topmost()") > to:
        if time.monotonic() > deadline:
            raise Broken(f"message {to} was not reached in {TIMEOUT:.0f} s")
        page.mouse.wheel(0, -STEP)
    seen: dict[str, float] = page.evaluate("bench.seen")
    return seen


@contextmanager
def _page() -> Iterator[tuple[Any, str, str]]:
    """A page in which somebody has signed in, its address, and whom they have a conversation with. Raises Broken."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError:
        raise Broken("Playwright is missing (the group dev of pyproject.toml)") from None
    from joyn.edge.http.page import built_client

    if chromium is None or built_client() is None:
        raise Broken("Chromium (apt-get install chromium) and the built web client (make web) are needed")
    # The node and the people of the browser tests.
    sys.path.insert(0, str(ROOT / "tests"))
    people, numbers = importlib.import_module("browser.people"), importlib.import_module("phone.node")
    DATA.mkdir(parents=True, exist_ok=True)
    place = people.Place(Path(tempfile.mkdtemp(prefix="web-", dir=DATA)))
    place.start()
    try:
        with sync_playwright() as running:
            browser = running.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            person = people.Person(browser, place, numbers.CAROL)
            person.context.add_init_script(path=SCRIPT)
            yield person.sign_in().page, place.url, numbers.BOB
            browser.close()
    except Error as error:
        raise Broken(str(error)) from error
    finally:
        place.stop()
