"""A browser at Orange and a browser at SFR, over two real nodes that have exchanged their files: neither notices."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from browser.people import Person, Place
from browser.test_files import MEGA, digest, fetched, noise, photo, send
from interconnect.operators import ALICE, BOB, ORANGE, RANGES, SFR
from interconnect.processes import Peering, exchange_all, start_all, stop_all
from ports import free_port

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]


class Town(Peering, Place):
    """An operator with a page, a content server and a border."""


@pytest.fixture(scope="module")
def towns(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Town, Town]]:
    """Orange and SFR."""
    directory = tmp_path_factory.mktemp("towns")
    made = [
        Town(
            directory / domain,
            domain,
            RANGES[domain],
            (number,),
            settings=f"[files]\n[[files.listeners]]\nport = {free_port()}\n",
        )
        for domain, number in ((ORANGE, ALICE), (SFR, BOB))
    ]
    try:
        exchange_all(made)
        start_all(made)
        yield made[0], made[1]
    finally:
        stop_all(made)


@pytest.fixture(scope="module")
def couple(chromium: Any, towns: tuple[Town, Town]) -> Iterator[tuple[Person, Person]]:
    """Alice at Orange and Bob at SFR, signed in once: a code is not sent again and again."""
    people = Person(chromium, towns[0], ALICE).sign_in(), Person(chromium, towns[1], BOB).sign_in()
    yield people
    for person in people:
        person.close()
    assert [error for person in people for error in person.errors] == []


@pytest.fixture
def alice(couple: tuple[Person, Person]) -> Person:
    """Before her conversation with Bob."""
    couple[0].open(BOB)
    return couple[0]


@pytest.fixture
def bob(couple: tuple[Person, Person]) -> Person:
    """Before his conversation with Alice."""
    couple[1].open(ALICE)
    return couple[1]


def test_a_message_is_delivered_answered_and_read_across_two_operators(alice: Person, bob: Person) -> None:
    alice.write("salut de chez Orange")
    bob.sees("salut de chez Orange")
    bob.write("salut de chez SFR")
    alice.sees("salut de chez SFR")
    for person, text in ((alice, "salut de chez Orange"), (bob, "salut de chez SFR")):
        person.has_state(text, "Read")


def test_a_message_is_delivered_and_not_read_while_the_other_looks_elsewhere(alice: Person, bob: Person) -> None:
    bob.page.goto(bob.place.url)
    bob.page.get_by_role("heading", name="Chats").wait_for()
    alice.write("tu as vu ?")
    alice.has_state("tu as vu ?", "Delivered")
    bob.open(ALICE)
    bob.sees("tu as vu ?")
    bob.write("oui")  # a stranger learns that it was read when they are answered
    alice.has_state("tu as vu ?", "Read")


def test_that_somebody_types_is_seen_at_the_other_operator(alice: Person, bob: Person) -> None:
    # Typing is shown within a conversation that has begun on both sides.
    alice.write("on commence")
    bob.sees("on commence")
    bob.write("d'accord")
    alice.sees("d'accord")
    bob.composer.type("je suis en train d'écrire", delay=20)
    alice.page.get_by_role("img", name=re.compile("is typing")).wait_for()


def test_a_reply_and_a_reaction_cross(alice: Person, bob: Person) -> None:
    alice.write("on prend le train ?")
    message = bob.page.get_by_role("article", name=re.compile("on prend le train ?"))
    message.wait_for()
    message.hover()
    message.get_by_role("button", name="React").click()
    bob.page.get_by_role("menuitemcheckbox", name="React with 👍").click()
    alice.page.get_by_role("button", name=re.compile("^👍, 1 person")).wait_for()
    message.focus()
    bob.page.keyboard.press("Enter")
    bob.page.get_by_role("menuitem", name="Reply").click()
    bob.page.get_by_text("Reply to").wait_for()
    bob.write("plutôt la voiture")
    answer = alice.page.get_by_role("article", name=re.compile("plutôt la voiture"))
    answer.wait_for()
    # What is replied to stands in the reply.
    answer.get_by_text("on prend le train ?").wait_for()


def test_a_photo_is_seen_at_the_other_operator(alice: Person, bob: Person, tmp_path: Path) -> None:
    send(alice, photo(alice, tmp_path / "coast.jpg"))
    bob.page.get_by_role("button", name="Open coast.jpg").wait_for()
    widths = "all => all.map(one => one.naturalWidth)"
    images = bob.page.locator("[role=article] img")
    bob.until(lambda: images.evaluate_all(widths) == [1200], lambda: str(images.evaluate_all(widths)))
    # Read too, if Bob has answered her before.
    arrived = (["Delivered"], ["Read"])
    alice.until(lambda: alice.states("Photo coast.jpg") in arrived, lambda: str(alice.states("Photo coast.jpg")))


def test_a_file_comes_byte_by_byte_from_the_other_operator(alice: Person, bob: Person, tmp_path: Path) -> None:
    tides = noise(tmp_path / "tides.bin", 3 * MEGA)
    send(bob, tides)
    alice.page.get_by_text("tides.bin").first.wait_for()
    assert digest(fetched(alice, "tides.bin", tmp_path / "got")) == digest(tides)
