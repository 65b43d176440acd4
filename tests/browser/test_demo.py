"""The page of `joyn demo` in a real browser: two phones of two operators beside each other."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from browser.people import PATIENCE
from joyn.cli.demo.cast import CAMILLE, DENIS

pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(120),
    pytest.mark.skipif(sys.platform == "win32", reason="sends SIGTERM to a process"),
]
ENDING = 20
"""Seconds that the demo may take to end."""


@pytest.fixture
def stage(chromium: Any, tmp_path: Path) -> Iterator[Any]:
    """The page of a running demo; its console complained of nothing."""
    with subprocess.Popen(
        [sys.executable, "-m", "joyn", "demo", "--beat", "0.02", "--directory", "demo"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    ) as demo:
        try:
            assert demo.stdout is not None
            told = ""
            while "Ctrl-C" not in told:
                line = demo.stdout.readline()
                assert line, told
                told += line
            context = chromium.new_context(locale="en-GB", viewport={"width": 1340, "height": 820})
            context.set_default_timeout(PATIENCE)
            page, errors = context.new_page(), []
            page.on("console", lambda line: errors.append(line.text) if line.type in ("error", "warning") else None)
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.goto(re.findall(r"http://\S+/demo", told)[0])
            yield page
            context.close()
            demo.send_signal(signal.SIGTERM)
            demo.communicate(timeout=ENDING)
        finally:
            demo.kill()
    assert (demo.returncode, errors) == (0, [])


def sign_in(page: Any, place: int, number: str) -> Any:
    """The frame of the phone at a place, signed in with the code that the page shows."""
    phone = page.locator("iframe").nth(place).element_handle().content_frame()
    phone.get_by_label("Mobile number").fill(number)
    phone.get_by_role("button", name="Text me a code").click()
    code = page.locator("#texts li").filter(has_text=f"{number[-2:]} ·").first.locator("strong").inner_text()
    phone.get_by_label("6-digit code").fill(code)
    phone.get_by_role("heading", name="Chats").wait_for()
    return phone


def write(phone: Any, number: str, text: str) -> None:
    """Open the conversation with somebody and send a message."""
    composer = phone.get_by_role("textbox", name="Message")
    if f"/c/{number}" not in phone.url:
        phone.goto(re.sub(r"(//[^/]+/).*", rf"\g<1>c/{number}", phone.url))
    composer.fill(text)
    composer.press("Enter")


def test_a_message_crosses_from_the_orange_phone_to_the_sfr_phone_and_back(stage: Any) -> None:
    stage.locator("iframe").nth(1).wait_for()
    assert stage.locator("figcaption .operator").all_inner_texts() == ["Orange", "SFR"]
    camille, denis = sign_in(stage, 0, CAMILLE), sign_in(stage, 1, DENIS)
    for phone, theme in ((camille, "orange"), (denis, "sfr")):
        assert phone.evaluate("document.documentElement.dataset.operator") == theme
    write(camille, DENIS, "salut de chez Orange")
    denis.get_by_text("salut de chez Orange").first.wait_for(state="attached")
    write(denis, CAMILLE, "bonjour de chez SFR")
    camille.get_by_role("article", name="bonjour de chez SFR").wait_for()
    # Ticks are said to screen readers in words.
    camille.get_by_role("article", name=re.compile("^You, salut de chez Orange,.*Read$")).wait_for()
    denis.get_by_role("article", name=re.compile("^You, bonjour de chez SFR,.*Read$")).wait_for()
    denis.get_by_role("textbox", name="Message").press_sequentially("et", delay=30)
    camille.locator("main header").get_by_text("typing").wait_for()


def test_a_scripted_phone_of_the_other_operator_answers_a_browser(stage: Any) -> None:
    stage.locator("iframe").nth(1).wait_for()
    denis = sign_in(stage, 1, DENIS)
    write(denis, "+33639980001", "salut Alice")
    denis.get_by_role("article", name="Alice here. You wrote: salut Alice").wait_for()


def test_the_sign_in_page_is_in_the_operator_s_colours(stage: Any) -> None:
    for place, theme in enumerate(("orange", "sfr")):
        phone = stage.locator("iframe").nth(place).element_handle().content_frame()
        phone.get_by_label("Mobile number").wait_for()
        assert phone.evaluate("document.documentElement.dataset.operator") == theme


def test_a_photo_crosses_from_the_orange_phone_to_the_sfr_phone(stage: Any, tmp_path: Path) -> None:
    from playwright.sync_api import expect

    stage.locator("iframe").nth(1).wait_for()
    camille, denis = sign_in(stage, 0, CAMILLE), sign_in(stage, 1, DENIS)
    write(camille, DENIS, "salut")
    write(denis, CAMILLE, "bonjour")
    camille.get_by_role("article", name="bonjour").wait_for()
    # The stage's own look is as good a photo as any.
    file = tmp_path / "coast.png"
    stage.screenshot(path=file)
    width = stage.viewport_size["width"]
    camille.locator("input[type=file]").first.set_input_files(str(file))
    camille.get_by_role("dialog").get_by_role("button", name="Send ·").click()
    # Its thumbnail first, then all of it.
    expect(denis.locator("[role=article] img").first).to_have_js_property("naturalWidth", width, timeout=PATIENCE)
