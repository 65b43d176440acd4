"""A subscriber: whose number it is and how their devices prove it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from joyn.model.aor import Aor

DEFAULT_ALGORITHMS = ("SHA-256", "MD5")
"""Digest algorithms offered when the subscriber's policy says nothing, best first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscriber:
    """One subscriber of this operator.

    `username` is the private identity of digest (unique), `ha1` maps each digest algorithm to the stored
    H(username:realm:password) in hexadecimal: the password itself is never kept. `algorithms` is what a challenge
    offers, best first (baresip 1.0 gives up on any SHA challenge, so it is a policy).
    `blocked` is the operator's switch, not the subscriber's block list. `file_quota` is the room for their files, in
    bytes; 0 for what the operator's settings give everybody.
    """

    aor: Aor
    username: str
    realm: str
    ha1: Mapping[str, str]
    algorithms: tuple[str, ...] = DEFAULT_ALGORITHMS
    display_name: str = ""
    blocked: bool = False
    file_quota: int = 0
    created_at: float = 0.0
