"""Places that a phone tells of.

Spec: facts §7 (location push), as joyn clients send it.
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from typing import Final

from joyn.protocol.geolocation import MAX_LABEL, Location

__all__ = ["LASTS", "location_at"]

LASTS: Final = 3600.0
"""Seconds that a place is to be kept: what joyn clients say."""
MAX_RADIUS: Final = 1e8
"""Metres around a place: more than the whole Earth is no circle on it."""
_FORM: Final = "%Y-%m-%dT%H:%M:%SZ"


def location_at(latitude: float, longitude: float, label: str, radius: float, lasts: float, *, entity: str) -> Location:
    """A place that is told now. Raises ValueError when it is not on Earth, and for a label that is too long."""
    # NaN is no place either.
    if not (abs(latitude) <= 90 and abs(longitude) <= 180 and 0 <= radius <= MAX_RADIUS):
        raise ValueError(f"{latitude:g}, {longitude:g} within {radius:g} m is no place on Earth")
    if len(label) > MAX_LABEL:
        raise ValueError(f"a label has at most {MAX_LABEL} characters")
    at = datetime.now(UTC)
    return Location(
        id=secrets.token_hex(8),
        latitude=float(latitude),
        longitude=float(longitude),
        radius=float(radius),
        label=label,
        entity=entity,
        expires=(at + timedelta(seconds=lasts)).strftime(_FORM),
        timestamp=at.strftime(_FORM),
    )
