"""People who chat in real browsers over a real node: what each sees, and when."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from browser.people import Person, Place
from phone.node import ALICE, BOB, CAROL

pytestmark = pytest.mark.browser


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A running operator."""
    made = Place(tmp_path)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def people(chromium: Any, place: Place) -> Iterator[Any]:
    """Makes people, and closes their browsers; nobody's console may have complained."""
    there: list[Person] = []

    def make(number: str, **context: Any) -> Person:
        there.append(Person(chromium, place, number, **context))
        return there[-1]

    yield make
    for person in there:
        person.close()
    assert [error for person in there for error in person.errors] == []


def test_signing_in_with_a_wrong_code_and_then_the_right_one(people: Any, place: Place) -> None:
    bob = people(BOB)
    page = bob.page
    page.goto(place.url)
    page.get_by_label("Mobile number").fill("12")
    page.get_by_role("button", name="Text me a code").click()
    page.get_by_role("alert").wait_for()
    page.get_by_label("Mobile number").fill(BOB)
    page.get_by_role("button", name="Text me a code").click()
    right = place.code_for(BOB)
    page.get_by_label("6-digit code").fill("000000" if right != "000000" else "000001")
    page.get_by_text("2 tries left").wait_for()
    page.get_by_label("6-digit code").fill(right)
    page.get_by_role("heading", name="Chats").wait_for()
    # The browser itself reports answers like 401; it is the page that must not.
    bob.errors[:] = [error for error in bob.errors if "Failed to load resource" not in error]


def test_ticks_go_from_pending_to_displayed(people: Any) -> None:
    bob, carol = people(BOB).sign_in(), people(CAROL).sign_in()
    bob.open(CAROL)
    bob.write("salut")
    bob.has_state("salut", "Delivered")
    carol.open(BOB)
    carol.sees("salut")
    carol.write("ça va ?")
    carol.has_state("ça va ?", "Read")
    bob.has_state("salut", "Read")  # a stranger learns so when they are answered
    bob.sees("ça va ?")
    bob.write("oui")
    bob.has_state("oui", "Read")
    assert bob.texts() == ["salut", "ça va ?", "oui"]
    assert carol.texts() == ["salut", "ça va ?", "oui"]


def test_what_is_sent_to_somebody_away_waits_for_them(people: Any) -> None:
    bob = people(BOB).sign_in()
    bob.open(CAROL)
    for text in ("one", "two", "three"):
        bob.write(text)
    bob.has_state("three", "Kept by the network")
    carol = people(CAROL).sign_in()
    carol.open(BOB)
    carol.until(lambda: carol.texts() == ["one", "two", "three"], "all of them, in order")
    bob.has_state("one", "Delivered")


def test_a_restart_of_the_node_under_open_pages_loses_and_doubles_nothing(people: Any, place: Place) -> None:
    bob, carol = people(BOB).sign_in(), people(CAROL).sign_in()
    bob.open(CAROL)
    carol.open(BOB)
    bob.write("before")
    carol.sees("before")
    place.kill()
    bob.write("while it is down 1")
    bob.write("while it is down 2")
    bob.has_state("while it is down 1", "Waiting to leave")
    place.start()
    carol.until(lambda: carol.texts() == ["before", "while it is down 1", "while it is down 2"], str(carol.texts()))
    bob.until(lambda: bob.states("while it is down 2") in (["Delivered"], ["Read"]), "it arrives")
    assert bob.texts() == ["before", "while it is down 1", "while it is down 2"]
    # While the node is down browsers complain of failed connections.
    for person in (bob, carol):
        person.errors[:] = [error for error in person.errors if "net::ERR" not in error and "WebSocket" not in error]


def test_a_reload_keeps_everything_and_stays_signed_in(people: Any) -> None:
    bob = people(BOB).sign_in()
    bob.open(CAROL)
    bob.write("still here?")
    bob.has_state("still here?", "Kept by the network")
    bob.page.reload()
    bob.has_state("still here?", "Kept by the network")
    bob.write("yes")
    bob.has_state("yes", "Kept by the network")


def test_two_tabs_share_one_registration(people: Any) -> None:
    bob, carol = people(BOB).sign_in(), people(CAROL).sign_in()
    bob.open(CAROL)
    second = bob.tab()
    second.goto(bob.page.url)
    second.get_by_role("textbox", name="Message").wait_for()
    carol.open(BOB)
    carol.write("to both tabs")
    bob.sees("to both tabs")
    second.locator("main").get_by_text("to both tabs", exact=True).wait_for()
    second.get_by_role("textbox", name="Message").fill("from the second")
    second.get_by_role("textbox", name="Message").press("Enter")
    carol.sees("from the second")
    bob.sees("from the second")
    assert carol.texts() == ["to both tabs", "from the second"]


def test_the_banner_says_at_once_in_every_tab_that_there_is_no_network(people: Any) -> None:
    bob = people(BOB).sign_in()
    tabs = [bob.page, bob.tab()]
    tabs[1].goto(bob.place.url)
    tabs[1].get_by_role("heading", name="Chats").wait_for()
    bob.context.set_offline(True)
    for page in tabs:
        page.get_by_text("Reconnecting").wait_for(timeout=4_000)  # it holds its peace for two seconds
    bob.context.set_offline(False)
    for page in tabs:
        page.get_by_text("Reconnecting").wait_for(state="detached")
    bob.errors[:] = [error for error in bob.errors if "ERR_INTERNET_DISCONNECTED" not in error]


def test_deleting_for_everyone_and_blocking_reach_the_other_side(people: Any) -> None:
    bob, carol = people(BOB).sign_in(), people(CAROL).sign_in()
    bob.open(CAROL)
    bob.write("regretted")
    carol.open(BOB)
    carol.sees("regretted")
    bob.has_state("regretted", "Delivered")
    bob.page.get_by_role("article", name="You, regretted").click(button="right")
    bob.page.get_by_role("menuitem", name="Delete for everyone").click()
    bob.page.get_by_role("alertdialog").get_by_role("button", name="Delete for everyone").click()
    carol.sees("Message deleted")
    assert carol.page.get_by_text("regretted").count() == 0
    bob.page.locator("main header").get_by_role("button", name="More").click()
    bob.page.get_by_role("menuitem", name="Block").click()
    bob.page.get_by_role("alertdialog").get_by_role("button", name="Block").click()
    bob.page.get_by_text("You blocked").wait_for()
    carol.write("unheard")
    carol.page.wait_for_timeout(1_000)
    assert "unheard" not in bob.texts()


def test_a_second_device_shows_the_history_and_what_the_first_one_sends(people: Any, place: Place) -> None:
    carol = people(CAROL).sign_in()
    first = people(BOB).sign_in()
    first.open(CAROL)
    first.write("from the first device")
    carol.open(BOB)
    carol.sees("from the first device")
    carol.write("an answer")
    first.sees("an answer")
    first.page.wait_for_timeout(31_000)  # a number is sent a second code after half a minute at the earliest
    second = people(BOB).sign_in()
    second.open(CAROL)
    second.until(lambda: second.texts() == ["from the first device", "an answer"], str(second.texts()))
    first.write("seen by both")
    second.sees("seen by both")


@pytest.mark.parametrize(("locale", "word"), [("fr-FR", "Messages"), ("en-GB", "Chats")])
def test_the_language_is_the_browser_s(people: Any, place: Place, locale: str, word: str) -> None:
    bob = people(BOB, locale=locale)
    bob.page.goto(place.url)
    bob.page.get_by_role("textbox").first.fill(BOB)
    bob.page.get_by_role("button").last.click()
    bob.page.get_by_role("textbox").first.wait_for()
    code = place.code_for(BOB)
    bob.page.locator("input[inputmode=numeric]").fill(code)
    bob.page.get_by_role("heading", name=word).wait_for()


def test_a_small_screen_shows_one_pane_and_chats_as_well(people: Any) -> None:
    bob, carol = people(BOB, viewport={"width": 360, "height": 780}, has_touch=True).sign_in(), people(CAROL).sign_in()
    bob.open(CAROL)
    bob.composer.fill("from a small screen")
    bob.page.get_by_role("button", name="Send").click()
    carol.open(BOB)
    carol.sees("from a small screen")
    assert bob.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_somebody_who_is_not_on_joyn_is_said_to_be_so(people: Any) -> None:
    bob = people(BOB).sign_in()
    bob.page.goto(f"{bob.place.url}/c/+33639980099")
    bob.until(lambda: "on joyn yet" in bob.page.locator("main").inner_text(), "one clear sentence")


def test_a_phone_and_a_browser_chat(people: Any, place: Place) -> None:
    import asyncio
    from concurrent.futures import ThreadPoolExecutor

    from phone.node import make_phone

    bob = people(BOB).sign_in()
    bob.open(ALICE)

    async def talk() -> list[str]:
        async with make_phone(place.servers, ALICE) as alice:
            sent = await alice.send(BOB, "salut du téléphone")
            await sent.delivered(timeout=10)
            received = await alice.receive(timeout=15)
            await received.mark_displayed()
            await asyncio.sleep(1)
            return [received.text]

    with ThreadPoolExecutor(1) as thread:
        talking = thread.submit(asyncio.run, talk())
        bob.sees("salut du téléphone")
        bob.write("salut du navigateur")
        bob.has_state("salut du navigateur", "Read")
        assert talking.result(20) == ["salut du navigateur"]
