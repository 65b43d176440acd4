"""What came of sending something to a peer operator.

Spec: RFC 3261 §21; facts §10: 408 and 503 are unreachable, and unreachable is never a failure.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

__all__ = ["Answer", "Outcome", "outcome_of"]


class Outcome(Enum):
    """How an attempt ended."""

    TAKEN = "the peer has it on disk"
    REFUSED = "the peer will never take it"
    LATER = "the peer would not take this one now"
    GONE = "there is no way to the peer, or it asked to be left alone for a while"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An outcome, what the operator reads of it, and the SIP status of the peer's that it comes from, if there is."""

    outcome: Outcome
    reason: str = ""
    status: int = 0


# RFC 5626 §11.4 (430): a proxy's way on has failed. 477 is in no RFC: Kamailio could not send it to the next hop.
_LATER = frozenset((401, 407, 408, 413, 423, 430, 477, 480, 486, 487, 491))


def outcome_of(status: int, *, local: bool) -> Outcome:
    """What a final response of a peer means; `local` when it was made here: time-out or lost connection."""
    if local or status == 503:
        return Outcome.GONE
    if 200 <= status < 300:
        return Outcome.TAKEN
    if status in _LATER or 300 <= status < 400 or 500 <= status < 600:
        return Outcome.LATER
    return Outcome.REFUSED
