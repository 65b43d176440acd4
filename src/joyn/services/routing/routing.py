"""The decision where a number belongs.

Spec: IR.67, IR.90 (facts §10). The order, and why: docs/howto/numbers-and-porting.md.
Promises: the same tables give the same route; what came from a peer never goes back to it, nor further than one hop.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final, Protocol

from joyn import telemetry
from joyn.model.aor import Aor, Numbering
from joyn.model.ported import PortedNumber
from joyn.model.ranges import Ranges
from joyn.model.refused import Reason, Refused
from joyn.model.route import How, Operator, Route, Step
from joyn.model.subscriber import Subscriber
from joyn.services.routing.enum import NotFound
from joyn.transport.resolver import Unresolved

__all__ = ["Ported", "Routing", "Subscribers"]

UNSURE = telemetry.counter("route.undecided")

PORTED: Final = "ported numbers"
SUBSCRIBERS: Final = "subscribers"
ENUM: Final = "ENUM"
RANGES: Final = "ranges"

# Most messages take these steps; they are made once.
_NOT_PORTED: Final = Step(table=PORTED, said="not ported")
_PORTED_TO_US: Final = Step(table=PORTED, said="ported to us")
_OURS: Final = Step(table=SUBSCRIBERS, said="a subscriber of ours")
_NOT_OURS: Final = Step(table=SUBSCRIBERS, said="no subscriber of ours")
_BLOCKED: Final = Step(table=SUBSCRIBERS, said="a subscriber that the operator has blocked")
_NO_RANGE: Final = Step(table=RANGES, said="in no range")
_LOCAL: Final = (_NOT_PORTED, _OURS)


class Subscribers(Protocol):
    """What routing asks of the store's subscribers."""

    async def get(self, aor: Aor) -> Subscriber | None:
        """The subscriber with this AOR, or None."""
        ...


class Ported(Protocol):
    """What routing asks of the store's ported numbers."""

    async def get(self, number: str) -> PortedNumber | None:
        """The row of an E.164 number, or None."""
        ...


class Routing:
    """Decides by the ported-numbers table, our subscribers, ENUM and the static ranges, in this order.

    `enum` is a question to ENUM (`services.routing.enum.Enum.operator_of`), None where none is asked.
    """

    def __init__(
        self,
        numbering: Numbering,
        subscribers: Subscribers,
        ported: Ported,
        ranges: Ranges,
        enum: Callable[[str], Awaitable[Operator]] | None = None,
    ) -> None:
        self._numbering = numbering
        self._subscribers = subscribers
        self._ported = ported
        self._ranges = ranges
        self._enum = enum

    def know(self, ranges: Ranges) -> None:
        """The static ranges are these now."""
        self._ranges = ranges

    async def choose(self, uri: str) -> Aor:
        """The local subscriber the URI means. Raises Refused(UNKNOWN_RECIPIENT), and Refused(ROUTE_UNKNOWN) when it
        cannot be said just now whose the number is."""
        aor = self._numbering.aor(uri)
        if aor is None:
            raise Refused(Reason.UNKNOWN_RECIPIENT)
        route = await self.route(aor)
        if route.kind == "local":
            return aor
        raise Refused(Reason.ROUTE_UNKNOWN if route.unsure else Reason.UNKNOWN_RECIPIENT)

    async def route(self, aor: Aor, *, came_from: str = "", forwarded: bool = False) -> Route:
        """Where an AOR belongs. `came_from` is the peer operator that a request came from, if it did: then it stays
        here, or goes one hop on to whom the number has moved to, unless it was `forwarded` once already."""
        number = aor[4:] if aor.startswith("tel:+") else ""
        ported = await self._ported.get(number) if number else None
        if ported is not None and ported.operator not in self._numbering.domains:
            # Before the subscribers: a row of ours may outlive its number's stay with us.
            return self._moved(aor, ported, came_from.lower(), forwarded)
        subscriber = await self._subscribers.get(aor)
        if subscriber is not None and not subscriber.blocked:
            return Route(kind="local", aor=aor, steps=_LOCAL if ported is None else (_PORTED_TO_US, _OURS))
        steps: tuple[Step, ...] = (_NOT_PORTED if ported is None else _PORTED_TO_US,)
        if subscriber is not None:
            return _nowhere(aor, "the operator has blocked this subscriber", *steps, _BLOCKED)
        steps = (*steps, _NOT_OURS)
        if not number:
            return _nowhere(aor, "only numbers have other operators", *steps)
        if ported is not None:
            return _nowhere(aor, "the number was ported to us, and is no subscriber's", *steps)
        if came_from:
            # RFC 3261 §16.3 has Max-Forwards for loops of any length; a peer's mistake shall not make one at all.
            return _nowhere(aor, f"it came from {came_from}, and is no subscriber's here", *steps)
        return await self._elsewhere(aor, number, steps)

    def _moved(self, aor: Aor, ported: PortedNumber, came_from: str, forwarded: bool) -> Route:
        operator = ported.operator
        step = Step(table=PORTED, said=f"ported to {operator}")
        if operator == came_from:
            return _nowhere(aor, f"it came from {operator}, to whom it would go", step)
        if forwarded:
            return _nowhere(aor, f"it was sent on to us, and would go on to {operator}", step)
        return Route(kind="peer", aor=aor, operator=operator, how="ported", steps=(step,))

    async def _elsewhere(self, aor: Aor, number: str, steps: tuple[Step, ...]) -> Route:
        """ENUM, then the ranges: neither knows of a number that is no subscriber's of ours."""
        unsure = False
        if self._enum is not None:
            try:
                operator = await self._enum(number)
            except NotFound as answer:
                steps = (*steps, Step(table=ENUM, said=str(answer)))
            except Unresolved as failure:
                UNSURE.inc()
                unsure = True
                steps = (*steps, Step(table=ENUM, said=f"no answer: {failure}"))
            else:
                return self._peer(aor, operator, "enum", steps, Step(table=ENUM, said=f"a number of {operator}"))
        found = self._ranges.find(number)
        if found is not None:
            prefix, operator = found
            step = Step(table=RANGES, said=f"{prefix} is a range of {operator}")
            route = self._peer(aor, operator, "range", steps, step)
        else:
            route = _nowhere(aor, "the number is not on this network", *steps, _NO_RANGE)
        return replace(route, unsure=True) if unsure and route.kind == "nowhere" else route

    def _peer(self, aor: Aor, operator: Operator, how: How, steps: tuple[Step, ...], step: Step) -> Route:
        if operator in self._numbering.domains:
            return _nowhere(aor, "the number would be ours, and is no subscriber's", *steps, step)
        return Route(kind="peer", aor=aor, operator=operator, how=how, steps=(*steps, step))


def _nowhere(aor: Aor, reason: str, *steps: Step) -> Route:
    return Route(kind="nowhere", aor=aor, reason=reason, steps=steps)
