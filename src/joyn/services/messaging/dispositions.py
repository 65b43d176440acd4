"""Dispositions: what an IMDN means to us, and the ones the server says itself.

Spec: RFC 5438 §7, §8; OMA CPM (interworking); facts §4.5.
`delivered` and `displayed` come from the recipient's client only, except `delivered` for a plain SIP device, whose
gateway we are; the server itself says `failed` and `stored`.
"""

from __future__ import annotations

from joyn.model.aor import ANONYMOUS
from joyn.model.message import State
from joyn.protocol.cpim import build
from joyn.protocol.imdn import Imdn, Kind

CONTENT_TYPE = "message/imdn+xml"

_STATES: dict[tuple[str, str], State] = {
    ("delivery", "delivered"): State.DELIVERED,
    ("delivery", "failed"): State.FAILED,
    ("delivery", "forbidden"): State.FAILED,
    ("delivery", "error"): State.FAILED,
    ("display", "displayed"): State.DISPLAYED,
    ("display", "forbidden"): State.NOT_DISPLAYED,
    ("display", "error"): State.NOT_DISPLAYED,
    ("processing", "stored"): State.STORED,
    ("processing", "processed"): State.STORED,
}
_NAMES: dict[State, tuple[Kind, str]] = {
    State.STORED: ("processing", "stored"),
    State.FAILED: ("delivery", "failed"),
    State.DELIVERED: ("delivery", "delivered"),
}
ASKED_BY = {
    State.STORED: "processing",
    State.FAILED: "negative-delivery",
    State.DELIVERED: "positive-delivery",
}
"""The request token that a notification of the server's own answers to."""


def state_of(imdn: Imdn) -> State | None:
    """The state a notification reports, None for one we do not know (it is relayed, not counted)."""
    return _STATES.get((imdn.kind, imdn.status))


def notification(message_id: str, state: State, *, own_id: str, date_time: str, cause: int = 0) -> bytes:
    """A CPIM message with an IMDN of the server's own, shaped as clients send theirs (facts §4.5).

    `cause` is the SIP status that says why a message failed, 0 when that is not known.
    """
    kind, status = _NAMES[state]
    body = Imdn(message_id=message_id, kind=kind, status=status, datetime=date_time, cause=cause).emit()
    return build(
        from_=f"<{ANONYMOUS}>",
        to=f"<{ANONYMOUS}>",
        content_type=CONTENT_TYPE,
        body=body,
        message_id=own_id,
        date_time=date_time,
        content_headers=[("Content-Disposition", "notification")],
    )
