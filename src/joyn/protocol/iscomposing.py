"""Is-composing: who is typing, said rarely and forgotten soon.

Spec: RFC 3994.
Promises: time is an argument; a lost notice wears off by itself, and nothing here is ever stored.
"""

import math
from dataclasses import dataclass
from typing import Literal

from joyn.protocol import xml
from joyn.protocol.errors import ParseError

CONTENT_TYPE = "application/im-iscomposing+xml"
NAMESPACE = "urn:ietf:params:xml:ns:im-iscomposing"

MAX_IS_COMPOSING = 4096
"""Bytes of one document."""
IDLE_AFTER = 15.0
"""Seconds without a key stroke after which a composer is idle (RFC 3994 §3.2)."""
DEFAULT_REFRESH = 120
"""Seconds a notice holds when it does not say (RFC 3994 §3.3)."""
MIN_REFRESH = 60
"""The shortest refresh interval we announce (RFC 3994 §3.2)."""
MAX_REFRESH = 3600
"""The longest announced interval we believe."""

State = Literal["active", "idle"]


@dataclass(frozen=True, slots=True, kw_only=True)
class IsComposing:
    """One notice. `refresh` is in seconds, None when unsaid; `content_type` is what is composed, `last_active` RFC
    3339 text; both may be empty.
    """

    state: State
    content_type: str = ""
    last_active: str = ""
    refresh: int | None = None

    @classmethod
    def parse(cls, data: bytes) -> "IsComposing":
        """Read a document; a state unknown to us means idle (RFC 3994 §3.4). Raises ParseError."""
        root = xml.parse(data, max_bytes=MAX_IS_COMPOSING)
        if xml.local_name(root) != "isComposing":
            raise ParseError("not an isComposing document")
        state = xml.child(root, "state")
        if state is None:
            raise ParseError("isComposing without a state")
        refresh = xml.child_text(root, "refresh")
        known = refresh.isascii() and refresh.isdigit() and len(refresh) < 10
        return cls(
            state="active" if xml.text_of(state) == "active" else "idle",
            content_type=xml.child_text(root, "contenttype"),
            last_active=xml.child_text(root, "lastactive"),
            refresh=int(refresh) if known else None,
        )

    def emit(self) -> bytes:
        """Write the document, its elements in the order of the schema's names as joyn clients write them."""
        parts = [f"<state>{self.state}</state>"]
        if self.content_type:
            parts.append(f"<contenttype>{xml.escape(self.content_type)}</contenttype>")
        if self.last_active:
            parts.append(f"<lastactive>{xml.escape(self.last_active)}</lastactive>")
        if self.refresh is not None:
            parts.append(f"<refresh>{self.refresh:d}</refresh>")
        body = "".join(parts)
        return (
            f'<?xml version="1.0" encoding="UTF-8"?>\r\n<isComposing xmlns="{NAMESPACE}">{body}</isComposing>'
        ).encode()


@dataclass(frozen=True, slots=True)
class Transmit:
    """Send this notice to the peer."""

    notice: IsComposing


@dataclass(frozen=True, slots=True)
class StateChanged:
    """Show that the peer composes, or no longer does."""

    state: State


class Composer:
    """Our side: key strokes in, few notices out (RFC 3994 §3.2)."""

    __slots__ = ("_content_type", "_idle_at", "_refresh", "_refresh_at", "state")

    def __init__(self, *, content_type: str = "text/plain", refresh: int = MIN_REFRESH) -> None:
        self.state: State = "idle"
        self._content_type = content_type
        self._refresh = max(refresh, MIN_REFRESH)
        self._idle_at = math.inf
        self._refresh_at = math.inf

    def compose(self, now: float) -> list[Transmit]:
        """The user changed the text: say so when idle before, or when the last notice wears off."""
        self._idle_at = now + IDLE_AFTER
        if self.state == "active" and now < self._refresh_at:
            return []
        self.state = "active"
        self._refresh_at = now + self._refresh
        return [Transmit(IsComposing(state="active", content_type=self._content_type, refresh=self._refresh))]

    def send(self) -> list[Transmit]:
        """The user sent the message, which says by itself that composing ended (RFC 3994 §3.2)."""
        self._become_idle()
        return []

    def deadline(self) -> float:
        """When `handle_deadline` is due; infinity while idle."""
        return self._idle_at

    def handle_deadline(self, now: float) -> list[Transmit]:
        """Say idle when the user has stopped; before that nothing."""
        if now < self._idle_at:
            return []
        self._become_idle()
        return [Transmit(IsComposing(state="idle", content_type=self._content_type))]

    def _become_idle(self) -> None:
        self.state = "idle"
        self._idle_at = self._refresh_at = math.inf


class Receiver:
    """The peer's side as we show it: active until idle is said, a message comes, or the notice wears off."""

    __slots__ = ("_expires_at", "state")

    def __init__(self) -> None:
        self.state: State = "idle"
        self._expires_at = math.inf

    def receive(self, notice: IsComposing, now: float) -> list[StateChanged]:
        """Take a notice (RFC 3994 §3.3)."""
        if notice.state == "idle":
            return self._become("idle", math.inf)
        seconds = DEFAULT_REFRESH if not notice.refresh else min(notice.refresh, MAX_REFRESH)
        return self._become("active", now + seconds)

    def receive_message(self) -> list[StateChanged]:
        """Take a message: what was being composed is here."""
        return self._become("idle", math.inf)

    def deadline(self) -> float:
        """When `handle_deadline` is due; infinity while idle."""
        return self._expires_at

    def handle_deadline(self, now: float) -> list[StateChanged]:
        """Forget a peer from whom nothing more was heard."""
        return [] if now < self._expires_at else self._become("idle", math.inf)

    def _become(self, state: State, expires_at: float) -> list[StateChanged]:
        self._expires_at = expires_at
        if state == self.state:
            return []
        self.state = state
        return [StateChanged(state)]
