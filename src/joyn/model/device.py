"""A device that the operator has set up: a browser, or a phone that fetched its configuration.

Spec: RCC.14 (facts §9). What proves a device is kept as a hash only, and never leaves the node twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from joyn.model.aor import Aor


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One device of a subscriber.

    `token` is the SHA-256 (hex) of what it shows over HTTP: the session cookie of a browser, the TOKEN of a phone. It
    holds until `token_until` (0: without end); the one before it, until the new one was seen or `before_until`.
    `username` and `ha1` are its own digest credentials, good until `credentials_until`: a binding with that user name
    is the device's. Times are wall-clock seconds.
    """

    id: str
    aor: Aor
    kind: str
    """`browser` or `native`."""
    name: str = ""
    agent: str = ""
    system: str = ""
    token: str = ""
    token_until: float = 0.0
    token_before: str = ""
    before_until: float = 0.0
    username: str = ""
    ha1: Mapping[str, str] = field(default_factory=dict)
    credentials_until: float = 0.0
    terms: bool = False
    """Whether its user has accepted the operator's terms."""
    sms_port: int = 0
    """The port on which its client reads SMS; 0 when it reads none."""
    configuration: str = ""
    """Names the configuration it has been given last."""
    told: str = ""
    """Names the configuration it was last told to fetch."""
    created_at: float = 0.0
    last_active: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SentCode:
    """The one-time code a number was sent last, and how often it was sent one.

    `cookie` and `code` are hashes; `sends` were made since `since`. `locked_until` is 0 unless too many tries failed.
    """

    aor: Aor
    cookie: str
    code: str
    tries_left: int
    sent_at: float
    expires_at: float
    sends: int = 1
    since: float = 0.0
    locked_until: float = 0.0
    about: str = ""
    """What the device said of itself when it asked, to be taken over once the code is right (JSON)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeLimits:
    """How many codes may be sent: seconds between two for a number, then numbers of codes."""

    again_after: float = 30.0
    per_hour: int = 5
    """For one number."""
    source_per_hour: int = 30
    """For one address that asks."""
    vain_per_hour: int = 300
    """Questions of one address about numbers that cannot have a code."""
    all_per_minute: int = 600


class Limit(Enum):
    """Which bound was met."""

    LOCKED = "locked"
    NUMBER = "number"
    SOURCE = "source"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class CodeWait:
    """No code now, but `until` (wall clock) at the latest."""

    limit: Limit
    until: float


@dataclass(frozen=True, slots=True)
class TriedCode:
    """A code as it was before a try, and whether the try was right; one that was over was not tried at all."""

    code: SentCode
    right: bool
