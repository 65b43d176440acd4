"""Where a number belongs, and how that was found out.

Spec: IR.67, IR.90 (facts §10).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NewType, Protocol

from joyn.model.value import value

if TYPE_CHECKING:
    # Reading the configuration needs operators, and no numbering plans, which take their time to be imported.
    from joyn.model.aor import Aor

__all__ = ["How", "Kind", "Operator", "Route", "Router", "Step"]

Operator = NewType("Operator", str)
"""An operator is named by its SIP domain, in lower case."""
Kind = Literal["local", "peer", "nowhere"]
How = Literal["", "ported", "enum", "range"]


@value
class Step:
    """One table that was asked, and what it said, in words for the operator."""

    table: str
    said: str


@value
class Route:
    """Where messages to an AOR go. `local`: to a subscriber of ours; `peer`: to `operator`, of which `how` says how we
    know; `nowhere`: it is not on joyn, or not to be told, for the `reason`.

    `unsure` is a `nowhere` that may be wrong: a table did not answer, so nobody may be told that the number is unknown
    (facts §10: no 404 for a failure of ours). `steps` explain the decision in its order.
    """

    kind: Kind
    aor: Aor
    operator: Operator = Operator("")
    how: How = ""
    reason: str = ""
    unsure: bool = False
    steps: tuple[Step, ...] = ()


class Router(Protocol):
    """What services ask that have something to route: `services.routing.Routing`."""

    async def choose(self, uri: str) -> Aor:
        """The subscriber of ours that a URI means. Raises Refused(UNKNOWN_RECIPIENT), Refused(ROUTE_UNKNOWN)."""
        ...

    async def route(self, aor: Aor, *, came_from: str = "", forwarded: bool = False) -> Route:
        """Where an AOR belongs; `came_from` is the peer operator that asks, `forwarded`: it was sent on to us."""
        ...
