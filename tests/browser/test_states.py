"""The web client's states in a real browser: no console error, axe-core's rules, and what a person does there.

The states are those of web/src/ui/states.ts over a scripted client. Needs the built client (`make web`), Chromium and
Playwright; with JOYN_SHOTS set to a folder, a picture of every state is left there.
"""

from __future__ import annotations

import functools
import gzip
import http.server
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from joyn.edge.http.page import built_client

pytestmark = pytest.mark.browser

ROOT = Path(__file__).parents[2]
AXE = ROOT / "web/node_modules/axe-core/axe.min.js"
DESK = {"width": 1440, "height": 900}
PHONE = {"width": 360, "height": 780}
STATES = (
    "number bad-number too-many code code-wrong code-expired locked terms provisioning provisioning-slow not-eligible "
    "operator-unknown signed-out empty list conversation unread stored delivery not-on-joyn stranger new blocked "
    "offline many files albums info contacts dialog-new dialog-keys dialog-emoji dialog-files dialog-viewer "
    "voice location menu-attach dialog-location dialog-location-blocked "
    "settings settings-profile settings-privacy settings-notifications settings-appearance settings-language "
    "settings-data settings-devices settings-help"
).split()
CSS_BUDGET = 20 * 1024
"""Design §14, first load."""
JS_BUDGET = 150 * 1024
MOUNTED = 80


class _Files(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the name is its parent's
        """Requests are not worth a line."""


@pytest.fixture(scope="module")
def folder() -> Path:
    built = built_client()
    assert built is not None
    return built


@pytest.fixture(scope="module")
def site(folder: Path) -> Iterator[str]:
    handler = functools.partial(_Files, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


STILL = """() => new Promise((resolve) => {
  const settled = () => { observer.disconnect(); resolve(); };
  let timer = setTimeout(settled, 300);
  const observer = new MutationObserver(() => { clearTimeout(timer); timer = setTimeout(settled, 300); });
  observer.observe(document, { attributes: true, childList: true, characterData: true, subtree: true });
})"""
"""Returns when nothing on the page has changed for a while: what is still being prepared is looked at by nobody."""


class Page:
    """One page of the states, which remembers what went wrong on it."""

    def __init__(self, chromium: Any, site: str, size: dict[str, int]) -> None:
        touch = size["width"] < 720
        self.context = chromium.new_context(viewport=size, locale="en-GB", has_touch=touch, reduced_motion="reduce")
        self.page = self.context.new_page()
        self.errors: list[str] = []
        self._site = site
        self.page.on(
            "console", lambda line: self.errors.append(line.text) if line.type in ("error", "warning") else None
        )
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))

    def show(self, state: str, query: str = "") -> Any:
        self.page.goto(f"{self._site}/states.html?state={state}&{query}")
        self.page.wait_for_function("globalThis.states !== undefined")
        self.page.evaluate(STILL)
        return self.page


@pytest.fixture
def desk(chromium: Any, site: str) -> Iterator[Page]:
    page = Page(chromium, site, DESK)
    yield page
    page.context.close()
    assert page.errors == []


@pytest.fixture
def phone(chromium: Any, site: str) -> Iterator[Page]:
    page = Page(chromium, site, PHONE)
    yield page
    page.context.close()
    assert page.errors == []


def _violations(page: Any) -> list[str]:
    page.evaluate(AXE.read_text())
    found = page.evaluate("axe.run()")["violations"]
    return [f"{rule['id']}: {node['html'][:200]}" for rule in found for node in rule["nodes"]]


def _shot(page: Any, name: str, tmp_path: Path) -> None:
    folder = Path(os.environ.get("JOYN_SHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=str(folder / f"{name}.png"))


def test_every_state_is_looked_at(desk: Page) -> None:
    named = set(desk.show("list").evaluate("states")) - {"starting"}
    assert named == set(STATES)


@pytest.mark.parametrize("state", STATES)
def test_state(state: str, desk: Page, phone: Page, tmp_path: Path) -> None:
    for page, size in ((desk, "desk"), (phone, "phone")):
        shown = page.show(state)
        assert _violations(shown) == []
        assert shown.evaluate("document.documentElement.scrollWidth <= innerWidth")
        _shot(shown, f"{state}-{size}", tmp_path)


@pytest.mark.parametrize("size", ["desk", "phone"])
def test_recording(size: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    looked: Page = request.getfixturevalue(size)
    looked.context.grant_permissions(["microphone"])
    page = looked.show("conversation", "theme=dark" if size == "phone" else "")
    page.get_by_role("button", name="Record a voice message").hover()
    page.mouse.down()
    page.get_by_role("timer").get_by_text("0:01").wait_for()
    focused = "element => element === document.activeElement"

    def clear(what: str) -> None:
        assert _violations(page) == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        _shot(page, f"recording-{what}-{size}", tmp_path)

    clear("held")
    page.get_by_role("button", name="Go on without holding").evaluate("button => button.click()")
    page.mouse.up()
    stop = page.get_by_role("button", name="Stop and listen")
    assert stop.evaluate(focused)
    clear("locked")
    stop.press("Enter")
    send = page.get_by_role("button", name="Send", exact=True)
    send.wait_for()
    assert send.evaluate(focused)
    clear("ready")
    page.get_by_role("button", name="Delete the recording").click()
    page.wait_for_function("document.activeElement.id === 'composer'")


@pytest.mark.parametrize(
    "state", ["conversation", "delivery", "files", "voice", "location", "number", "settings-devices"]
)
@pytest.mark.parametrize("query", ["theme=dark", "lang=fr", "operator=orange", "operator=sfr&theme=dark", "dir=rtl"])
def test_looks(state: str, query: str, desk: Page, phone: Page, tmp_path: Path) -> None:
    for page, size in ((desk, "desk"), (phone, "phone")):
        shown = page.show(state, query)
        assert _violations(shown) == []
        _shot(shown, f"{state}-{size}-{query.replace('=', '-').replace('&', '-')}", tmp_path)


def test_first_load_is_within_the_budget(folder: Path) -> None:
    """What the first screen waits for; SIP and the plan of numbers are fetched once somebody signs in or is in."""
    manifest = json.loads((folder / ".vite/manifest.json").read_text())
    seen: set[str] = set()
    styles: set[str] = set()

    def add(key: str) -> None:
        part = manifest[key]
        if part["file"] in seen:
            return
        seen.add(part["file"])
        styles.update(part.get("css", ()))
        for other in part.get("imports", ()):
            add(other)

    add("index.html")
    # What the entry asks for at once: the engine, and one language.
    for key in ("src/client/index.ts", "src/i18n/fr.ts"):
        add(key)

    def zipped(names: set[str]) -> int:
        return sum(len(gzip.compress((folder / name).read_bytes(), 9)) for name in names)

    assert zipped(seen) <= JS_BUDGET
    assert zipped(styles) <= CSS_BUDGET


def test_a_message_is_written_and_advances(desk: Page) -> None:
    page = desk.show("conversation")
    composer = page.get_by_role("textbox", name="Message to Camille Laurent")
    assert composer.evaluate("element => element === document.activeElement")
    composer.type("On my way")
    composer.press("Enter")
    message = page.get_by_role("article", name="You, On my way")
    message.wait_for()
    page.wait_for_function("document.querySelector('[aria-label*=\"On my way\"]').ariaLabel.endsWith('Read')")
    assert composer.input_value() == ""
    assert page.get_by_text("Know when Camille Laurent answers").is_visible()


def test_the_keyboard_reaches_everything(desk: Page) -> None:
    page = desk.show("conversation")
    page.keyboard.press("ArrowUp")
    assert page.get_by_text("Edit the message").is_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("Shift+Tab")
    focused = "document.activeElement.getAttribute('aria-label')"
    assert "Here is the layout" in page.evaluate(focused)
    page.keyboard.press("ArrowUp")
    assert "The crop is on the left" in page.evaluate(focused)
    page.keyboard.press("Enter")
    page.get_by_role("menuitem", name="Reply").wait_for()
    page.keyboard.press("Escape")
    assert "The crop is on the left" in page.evaluate(focused)
    page.keyboard.press("r")
    assert page.get_by_text("Reply to You").is_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("Alt+ArrowDown")
    page.get_by_role("heading", name="Jonas Weber").wait_for()
    page.keyboard.press("Control+k")
    page.keyboard.type("coast")
    page.get_by_role("heading", name="Messages", exact=True).wait_for()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.get_by_role("article", name="The photos from the coast").wait_for()


def test_archiving_can_be_undone(desk: Page) -> None:
    page = desk.show("list")
    row = page.get_by_role("link", name="Sofia Ricci")
    row.click(button="right")
    page.get_by_role("menuitem", name="Archive").click()
    row.wait_for(state="detached")
    page.get_by_role("button", name="Undo").click()
    row.wait_for()


def test_a_reaction_is_put_and_taken_back(desk: Page) -> None:
    page = desk.show("conversation")
    message = page.get_by_role("article", name="Of course!")
    message.hover()
    message.get_by_role("button", name="React").click()
    page.get_by_role("menuitemcheckbox", name="React with 👍").click()
    reaction = message.get_by_role("button", name="👍, 1 person, you too")
    reaction.wait_for()
    reaction.click()
    reaction.wait_for(state="detached")


def test_ten_thousand_messages_stay_few_rows(desk: Page) -> None:
    page = desk.show("many")
    rows = "document.querySelectorAll('ol > li').length"
    last = page.get_by_role("article", name="10000.")
    last.wait_for()
    page.wait_for_timeout(300)
    box, composer = last.bounding_box(), page.get_by_role("textbox", name="Message to").bounding_box()
    assert box["y"] + box["height"] <= composer["y"]
    assert page.evaluate(rows) <= MOUNTED
    page.keyboard.press("Shift+Tab")
    page.mouse.move(900, 400)
    for _ in range(30):
        page.mouse.wheel(0, -2000)
        page.wait_for_timeout(20)
        assert page.evaluate(rows) <= MOUNTED
    assert "10000." in page.evaluate("document.activeElement.getAttribute('aria-label')")
    page.get_by_role("button", name="Go to the latest message").click()
    page.wait_for_timeout(200)
    assert last.is_visible()


def test_rows_fill_what_is_in_view_to_its_last_pixel(desk: Page) -> None:
    page = desk.show("many")
    page.mouse.move(900, 400)
    for _ in range(25):
        page.mouse.wheel(0, -37)
        missing = page.evaluate(
            """async () => {
              for (let frame = 0; frame < 3; frame++) await new Promise(requestAnimationFrame);
              const list = document.querySelector("main ol"), room = list.parentElement.getBoundingClientRect();
              const boxes = [...list.children].map((row) => row.getBoundingClientRect());
              const last = Math.max(...boxes.filter((box) => box.top < room.bottom).map((box) => box.bottom));
              return Math.min(room.bottom, list.getBoundingClientRect().bottom) - last;
            }"""
        )
        assert missing < 1


def test_a_reader_who_scrolled_up_is_not_moved(desk: Page) -> None:
    page = desk.show("many")
    page.mouse.move(900, 400)
    for _ in range(4):
        page.mouse.wheel(0, -900)
        page.wait_for_timeout(100)
    page.wait_for_timeout(700)  # the wheel runs out, and the older page that it asked for is in place
    top = "document.elementFromPoint(640, 300).closest('[data-message]')?.dataset.message"
    before = page.evaluate(top)
    page.evaluate("scripted.receive('tel:+33639980006', 'news')")
    page.get_by_role("button", name="Go to the latest message, 1 new").wait_for()
    assert page.evaluate(top) == before


def test_new_messages_are_read_aloud_and_old_ones_are_not(desk: Page) -> None:
    page = desk.show("many")
    log = page.get_by_role("log")
    assert log.inner_text() == ""
    for text in ("one", "two", "three"):
        page.evaluate("text => scripted.receive('tel:+33639980006', text)", text)
    page.wait_for_function("document.querySelector('[role=log]').textContent !== ''")
    assert log.inner_text().strip() == "3 new messages"


def test_on_a_phone_back_leads_to_the_list(phone: Page) -> None:
    page = phone.show("list")
    page.get_by_role("link", name="Lucía Ortega").tap()
    page.get_by_role("heading", name="Lucía Ortega").wait_for()
    assert not page.get_by_role("navigation").is_visible()
    page.go_back()
    page.get_by_role("heading", name="Chats").wait_for()
    page.get_by_role("link", name="Lucía Ortega").tap()
    page.get_by_role("button", name="Back").tap()
    page.get_by_role("heading", name="Chats").wait_for()


def test_signing_in_step_by_step(phone: Page) -> None:
    page = phone.show("number")
    page.get_by_label("Mobile number").fill("06 39 98 00 01")
    page.get_by_role("button", name="Text me a code").tap()
    code = page.get_by_label("6-digit code")
    code.fill("123456")
    page.get_by_role("alert").wait_for()
    assert "2 tries left" in page.get_by_role("alert").inner_text()
    code.fill("41890")
    page.get_by_role("alert").wait_for(state="detached")
    assert code.get_attribute("aria-invalid") == "false"
    code.press("End")
    code.type("2")  # six other digits are sent by themselves
    page.get_by_text("Getting your settings from joyn").wait_for()


def test_the_country_is_the_operator_s_until_another_is_typed(desk: Page) -> None:
    page = desk.show("number")
    country, number = page.get_by_label("Country"), page.get_by_label("Mobile number")
    assert country.input_value() == "FR"  # the browser's is GB
    number.type("+49 151")
    assert country.input_value() == "DE"
    number.fill("0041 79")
    assert country.input_value() == "CH"
    number.fill("06 39")
    assert country.input_value() == "CH"


def test_the_viewer_goes_from_photo_to_photo_and_gives_the_focus_back(desk: Page) -> None:
    page = desk.show("files")
    photo = page.get_by_role("button", name="Open going.jpg")
    photo.click()
    viewer = page.get_by_role("dialog", name="You")
    viewer.get_by_text("4 of 4").wait_for()
    page.keyboard.press("ArrowLeft")
    page.get_by_role("dialog").get_by_text("3 of 4").wait_for()
    page.keyboard.press("Home")
    page.get_by_role("dialog", name="Lucía Ortega").get_by_text("1 of 4").wait_for()
    assert page.get_by_role("dialog").get_by_role("img", name="coast.jpg").is_visible()
    assert page.get_by_role("button", name="Previous photo").count() == 0
    page.get_by_role("button", name="Next photo").click()
    page.get_by_role("dialog").get_by_text("2 of 4").wait_for()
    page.keyboard.press("Escape")
    assert photo.evaluate("element => element === document.activeElement")


def test_what_is_chosen_is_shown_with_its_size_and_can_be_taken_out(desk: Page) -> None:
    page = desk.show("dialog-files")
    tray = page.get_by_role("dialog", name="2 files")
    send = tray.get_by_role("button", name="Send")
    send.wait_for()
    assert tray.get_by_role("radio", name="HD").is_checked()
    in_hd = send.text_content()
    tray.get_by_role("radio", name="Light").check()
    assert send.text_content() != in_hd
    assert "taken out" in tray.get_by_role("status").text_content()
    tray.get_by_role("radio", name="Original").check()
    assert "stay in the file" in tray.get_by_role("status").text_content()
    tray.get_by_role("button", name="Remove layout.pdf").click()
    page.get_by_role("dialog", name="1 photo").get_by_role("button", name="Send").click()
    message = page.get_by_role("article", name="You, Photo coast.jpg")
    message.wait_for()
    page.get_by_role("button", name="Open coast.jpg").last.wait_for()


def test_a_transfer_is_stopped_and_goes_on_by_the_keyboard_alone(desk: Page) -> None:
    page = desk.show("files")
    bar = page.get_by_role("progressbar", name="Transfer of print-layout-A2.pdf")
    assert bar.get_attribute("aria-valuenow") == "63"
    page.get_by_role("textbox", name="Message to Lucía Ortega").focus()
    for _ in range(3):  # the buttons of the last message, and the message
        page.keyboard.press("Shift+Tab")
    for _ in range(4):
        page.keyboard.press("ArrowUp")
    assert "print-layout-A2.pdf" in page.evaluate("document.activeElement.ariaLabel")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.ariaLabel") == "Pause print-layout-A2.pdf"
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Go on with print-layout-A2.pdf").wait_for()
    assert page.get_by_text("Paused · 82.4 MB").is_visible()


def test_what_was_being_written_comes_back_after_an_edit(desk: Page) -> None:
    page = desk.show("conversation")
    composer = page.get_by_role("textbox", name="Message to Camille Laurent")

    def act(text: str, action: str) -> None:
        page.get_by_role("article", name=text).click(button="right")
        page.get_by_role("menuitem", name=action, exact=True).click()

    composer.fill("half a thought")
    act("Here is the layout", "Edit")
    page.get_by_text("Edit the message").wait_for()
    assert "Here is the layout" in composer.input_value()
    act("The crop is on the left", "Reply")
    page.get_by_text("Reply to").wait_for()
    assert composer.input_value() == "half a thought"
    act("Here is the layout", "Edit")
    page.get_by_text("Edit the message").wait_for()
    composer.fill("Here is another layout")
    composer.press("Enter")
    page.get_by_role("article", name="Here is another layout").wait_for()
    assert composer.input_value() == "half a thought"


def test_a_number_without_a_name_is_said_once(desk: Page) -> None:
    page = desk.show("new")
    number = page.locator("main h1").inner_text()
    assert number.startswith("+33")
    assert page.locator("main header").inner_text().count(number) == 1


def _confirm(page: Any, verb: str) -> None:
    page.get_by_role("alertdialog").get_by_role("button", name=verb, exact=True).click()


def test_delete_for_everyone_leaves_a_trace_and_no_text(desk: Page) -> None:
    page = desk.show("conversation")
    message = page.get_by_role("article", name="Here is the layout")
    for verb in ("Cancel", "Delete for everyone"):
        message.click(button="right")
        page.get_by_role("menuitem", name="Delete for everyone").click()
        _confirm(page, verb)
        message.wait_for(state="visible" if verb == "Cancel" else "detached")
    page.get_by_role("article", name="Message deleted").wait_for()


def test_blocking_takes_the_composer_away_and_can_be_undone(desk: Page) -> None:
    page = desk.show("conversation")
    composer = page.get_by_role("textbox", name="Message to Camille Laurent")
    page.locator("main header").get_by_role("button", name="More").click()
    page.get_by_role("menuitem", name="Block").click()
    _confirm(page, "Block")
    page.get_by_text("You blocked Camille Laurent.").wait_for()
    assert not composer.is_visible()
    page.get_by_role("button", name="Undo").click()
    composer.wait_for()


def test_signing_out_here_asks_first_and_leads_to_the_number(desk: Page) -> None:
    page = desk.show("settings-devices")
    out = page.get_by_role("complementary").get_by_role("button", name="Sign out", exact=True)
    out.click()
    _confirm(page, "Cancel")
    assert page.get_by_role("heading", name="Settings").is_visible()
    out.click()
    _confirm(page, "Sign out")
    page.get_by_label("Mobile number").wait_for()


def test_signing_out_all_others_leaves_this_device(desk: Page) -> None:
    page = desk.show("settings-devices")
    page.get_by_text("Chrome on Windows").first.wait_for()
    page.get_by_role("button", name="Sign out all others").click()
    _confirm(page, "Sign out all others")
    page.get_by_text("You aren’t signed in anywhere else.").wait_for()
    assert page.get_by_text("This device").is_visible()
    assert not page.get_by_text("Chrome on Windows").is_visible()
