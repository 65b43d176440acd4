"""What there is to see of the demo: two phones, what is on their screens, and one line for whatever happens."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from joyn.cli.printing import plain

MAX_BUBBLES: Final = 50
"""Messages a screen remembers."""
MAX_AWAITED: Final = 1000
"""Messages on their way whose states are still shown."""
STATES: Final = ("pending", "sent", "delivered", "displayed")
"""What the sender sees of a message, in this order and never backwards."""
ABSENT: Final = frozenset(("failed", "forbidden", "error"))
"""Other ends of it."""


@dataclass(slots=True)
class Bubble:
    """A message on a screen. `state` is for one's own, `waited` the seconds another's had to wait for this phone."""

    author: str
    text: str
    own: bool
    at: float
    state: str = ""
    waited: float = 0.0


@dataclass(slots=True)
class Screen:
    """One phone as its owner sees it. `operator` is whose it is, empty when there is one alone."""

    name: str
    number: str
    kind: str
    operator: str = ""
    online: bool = False
    typing: str = ""
    bubbles: deque[Bubble] = field(default_factory=lambda: deque(maxlen=MAX_BUBBLES))


class Scene:
    """All screens. `tell(who, what)` gets every happening, `changed()` hears that the screens look different."""

    def __init__(
        self,
        screens: list[Screen],
        tell: Callable[[str, str], None] = lambda _who, _what: None,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self.screens = {screen.number: screen for screen in screens}
        self.caption = ""
        self.tell = tell
        self.changed = changed
        self._sent: dict[str, tuple[Screen, Bubble]] = {}

    def name(self, number: str) -> str:
        """What to call somebody: their name when they are of the scene."""
        screen = self.screens.get(number)
        return screen.name if screen else plain(number)

    def explain(self, caption: str) -> None:
        """Say what is going on."""
        self.caption = caption
        self.tell("", caption)
        self.changed()

    def presence(self, number: str, *, online: bool) -> None:
        """A phone has come or gone."""
        screen = self.screens[number]
        if screen.online != online:
            screen.online = online
            screen.typing = ""
            self.tell(screen.name, "is registered" if online else "has no network")
            self.changed()

    def types(self, number: str, author: str, *, typing: bool) -> None:
        """A phone is shown that somebody types, or stopped."""
        screen = self.screens[number]
        screen.typing = self.name(author) if typing else ""
        if typing:
            self.tell(self.name(author), f"is typing, {screen.name} sees")
        self.changed()

    def write(self, number: str, recipient: str, text: str, message_id: str) -> None:
        """A phone begins to send a message."""
        screen = self.screens[number]
        bubble = Bubble(screen.name, text, own=True, at=time.time(), state=STATES[0])
        screen.bubbles.append(bubble)
        if len(self._sent) >= MAX_AWAITED:
            del self._sent[next(iter(self._sent))]
        self._sent[message_id] = screen, bubble
        self.tell(screen.name, f"to {self.name(recipient)}: {plain(text)}")
        self.changed()

    def progress(self, message_id: str, state: str) -> None:
        """A message that a phone sent has come further. Others' and steps backwards are no news."""
        screen, bubble = self._sent.get(message_id, (None, None))
        if screen is None or bubble is None or not (state in STATES or state in ABSENT):
            return
        if bubble.state in ABSENT or (state in STATES and STATES.index(state) <= STATES.index(bubble.state)):
            return
        bubble.state = state
        self.tell(screen.name, f"sees {state}: {plain(bubble.text)}" + ("" if state != "sent" else "  (it is on disk)"))
        self.changed()

    def arrive(self, number: str, author: str, text: str, waited: float = 0.0) -> None:
        """A message is on a phone's screen."""
        screen = self.screens[number]
        screen.bubbles.append(Bubble(self.name(author), text, own=False, at=time.time(), waited=waited))
        screen.typing = ""
        told = f", it waited {waited:.1f} s" if waited else ""
        self.tell(screen.name, f"has from {self.name(author)}{told}: {plain(text)}")
        self.changed()
