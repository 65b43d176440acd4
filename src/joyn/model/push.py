"""Where a device that is not connected can be woken.

Spec: RFC 8030 (Web Push), RFC 8599 (push for SIP).
"""

from __future__ import annotations

from dataclasses import dataclass

from joyn.model.aor import Aor


@dataclass(frozen=True, slots=True, kw_only=True)
class PushTarget:
    """One device of a subscriber and the push resource that reaches it.

    `device` is the id under which the device signed in or the `+sip.instance` it registers, with the credentials of
    `username` (empty for a browser's own subscription). `endpoint` is a capability:
    who knows it can write to the device, so it is never logged. `p256dh` and `auth` are the browser's keys (RFC 8291
    §2, base64url); both are empty for a device that takes no payload. `expires_at` is wall-clock seconds, infinite for
    a browser's subscription, which lives until the push service disowns it.
    """

    aor: Aor
    device: str
    endpoint: str
    p256dh: str = ""
    auth: str = ""
    username: str = ""
    expires_at: float = float("inf")
