"""A node in a process of its own, and people who use it in a browser."""

import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from joyn.model.aor import Aor
from joyn.sms.outbox import read
from phone.node import ALICE, BOB, CAROL
from scenarios.operator import Operator, free_port

PATIENCE = 15_000
"""Milliseconds that something on a page may take."""


class Place(Operator):
    """An operator with a page; `content` is the port of its content server, where it has one."""

    content = 0

    def __init__(
        self, directory: Path, settings: str = "", numbers: Sequence[str] = (ALICE, BOB, CAROL), **fields: Any
    ) -> None:
        self.http = free_port()
        listener = f"[[http.listeners]]\nport = {self.http}\n"
        settings = f"[provisioning]\ncodes_per_hour = 50\n{settings}{listener}"
        super().__init__(directory, numbers, settings=settings, **fields)

    @property
    def url(self) -> str:
        """The page."""
        return f"http://127.0.0.1:{self.http}"

    def texts(self, number: str) -> list[str]:
        """The SMS a number was sent."""
        sent = read(self.directory / "data" / "sms-outbox.jsonl")
        return [one.text for one in sent if one.to == Aor(f"tel:{number}")]

    def code_for(self, number: str, after: int = 0) -> str:
        """The code in the last SMS to a number."""
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            texts = self.texts(number)
            if len(texts) > after:
                found = re.search(r"\d{6}", texts[-1])
                assert found is not None
                return found[0]
            time.sleep(0.02)
        raise AssertionError("no SMS came")


class Person:
    """Somebody with a browser of their own. `errors` is what its console complained about."""

    def __init__(self, chromium: Any, place: Place, number: str, **context: Any) -> None:
        self.place = place
        self.number = number
        self.context = chromium.new_context(**{"locale": "en-GB", "viewport": {"width": 1280, "height": 800}} | context)
        self.context.set_default_timeout(PATIENCE)
        self.errors: list[str] = []
        self.slowness: Any = None
        """What keeps their network slow (`files.slowly`)."""
        self.page = self.tab()

    def tab(self) -> Any:
        """A new tab."""
        page = self.context.new_page()
        page.on("console", lambda line: self.errors.append(line.text) if line.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        return page

    def sign_in(self) -> "Person":
        """By a code, as far as the list of conversations."""
        page, before = self.page, len(self.place.texts(self.number))
        page.goto(self.place.url)
        page.get_by_label("Mobile number").fill(self.number)
        page.get_by_role("button", name="Text me a code").click()
        page.get_by_label("6-digit code").fill(self.place.code_for(self.number, before))
        page.get_by_role("heading", name="Chats").wait_for()
        return self

    def open(self, number: str) -> None:
        """The conversation with somebody."""
        self.page.goto(f"{self.place.url}/c/{number}")
        self.composer.wait_for()

    @property
    def composer(self) -> Any:
        """Where messages are written."""
        return self.page.get_by_role("textbox", name="Message")

    def write(self, text: str) -> None:
        """Write and send."""
        self.composer.fill(text)
        self.composer.press("Enter")

    def sees(self, text: str) -> None:
        """Fails when a message with this text does not appear."""
        self.page.locator("main").get_by_text(text, exact=True).first.wait_for()

    def states(self, text: str) -> list[str]:
        """The states of the own messages with this text, as a screen reader hears them."""
        labels = self.page.locator("[role=article]").evaluate_all("all => all.map(one => one.ariaLabel)")
        return [label.rpartition(", ")[2] for label in labels if label.startswith(f"You, {text},")]

    def has_state(self, text: str, state: str) -> None:
        """Fails when the one message with this text does not come to a state."""
        self.until(lambda: self.states(text) == [state], lambda: f"{text!r} is {self.states(text)}, not {state}")

    def texts(self) -> list[str]:
        """The messages of the open conversation, oldest first, as far as they are mounted."""
        labels = self.page.locator("[role=article]").evaluate_all("all => all.map(one => one.ariaLabel)")
        return [label.split(", ")[1] for label in labels]

    def until(
        self, condition: Callable[[], bool], what: str | Callable[[], str], patience: float = PATIENCE / 1000
    ) -> None:
        """Returns when something has come true, within so many seconds."""
        deadline = time.monotonic() + patience
        while not condition():
            assert time.monotonic() < deadline, what if isinstance(what, str) else what()
            self.page.wait_for_timeout(50)

    def close(self) -> None:
        """The browser is closed."""
        self.context.close()
