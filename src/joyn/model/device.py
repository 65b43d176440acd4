"""A device that the operator has set up: a browser, or a phone that fetched its configuration.

Spec: RCC.14 (facts §9). What proves a device is kept as a hash only, and never leaves the node twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from joyn.model.aor import Aor


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One device of a subscriber.

    `token` is the SHA-256 (hex) of what it shows over HTTP: the session cookie of a browser, the TOKEN of a phone.
    `username` and `ha1` are its own digest credentials, good until `credentials_until`; `instance` is the
    `+sip.instance` it registered with last. Times are wall-clock seconds.
    """

    id: str
    aor: Aor
    kind: str
    """`browser` or `native`."""
    name: str = ""
    agent: str = ""
    system: str = ""
    token: str = ""
    username: str = ""
    ha1: Mapping[str, str] = field(default_factory=dict)
    credentials_until: float = 0.0
    instance: str = ""
    terms: bool = False
    """Whether its user has accepted the operator's terms."""
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
