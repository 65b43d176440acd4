"""Requests of ours on their way over streams, and the answers they wait for.

Spec: RFC 3261 §17.1.2, with what a reliable transport leaves of it: nothing is sent again and no answer is absorbed,
so all that remains of the transaction is a place to look up and timer F. That is equally long for all, so they expire
in the order they were sent in, and one timer serves them all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from joyn.protocol.sip.message import SipRequest, SipResponse
from joyn.protocol.sip.transaction import Key
from joyn.transport.sip.flow import Flow


class Awaited(NamedTuple):
    """A request that has no final response yet; `deadline` (monotonic seconds) is when it is given up."""

    deadline: float
    request: SipRequest
    flow: Flow
    on_response: Callable[[SipResponse], None]


class Awaiting:
    """All requests but INVITE that wait for an answer over a stream."""

    __slots__ = ("_awaited", "_patience")

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._awaited: dict[Key, Awaited] = {}

    def add(
        self, key: Key, request: SipRequest, flow: Flow, on_response: Callable[[SipResponse], None], now: float
    ) -> None:
        """The request is being sent."""
        flow.outgoing += 1
        self._awaited[key] = Awaited(now + self._patience, request, flow, on_response)

    def flow_of(self, key: Key) -> Flow | None:
        """The flow an answer is awaited on, or None when nobody waits for one."""
        awaited = self._awaited.get(key)
        return None if awaited is None else awaited.flow

    def receive(self, key: Key, response: SipResponse) -> None:
        """Hand a response to who waits for it."""
        awaited = self._awaited[key]
        if response.status >= 200:
            del self._awaited[key]
            awaited.flow.outgoing -= 1
        awaited.on_response(response)

    def deadline(self) -> float | None:
        """When the oldest is given up, or None."""
        for awaited in self._awaited.values():
            return awaited.deadline
        return None

    def expired(self, now: float) -> list[Awaited]:
        """Forget those whose time is over, and return them."""
        over = []
        for key, awaited in self._awaited.items():
            if awaited.deadline > now:
                break
            over.append(key)
        return self._take(over)

    def lost(self, flow: Flow) -> list[Awaited]:
        """Forget those of a flow that has ended, and return them."""
        return self._take([key for key, awaited in self._awaited.items() if awaited.flow is flow])

    def clear(self) -> None:
        """Forget all."""
        self._awaited.clear()

    def _take(self, keys: list[Key]) -> list[Awaited]:
        taken = [self._awaited.pop(key) for key in keys]
        for awaited in taken:
            awaited.flow.outgoing -= 1
        return taken
