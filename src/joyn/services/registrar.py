"""The registrar: REGISTER requests become contact bindings, and bindings know the flow that reaches them.

Spec: RFC 3261 §10.3, RFC 5626 (instance, reg-id, flow), RFC 5627 (GRUU), RFC 3680 (who watches them).
Bindings of this node are held in memory and in the store; they outlive a restart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from joyn import telemetry
from joyn.model.aor import Aor
from joyn.model.binding import Binding
from joyn.model.refused import Reason, Refused
from joyn.model.value import value
from joyn.protocol.reginfo import Event
from joyn.protocol.sip.headers import NameAddr, emit_parameters
from joyn.store import Bindings

MAX_INTERNED = 4096
"""Different parameter lists and user agents kept once for all bindings that share them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Expiries in seconds and how many bindings one AOR may have."""

    min_expires: int = 60
    max_expires: int = 3600
    default_expires: int = 3600
    max_bindings: int = 10


@value
class Registration:
    """What a REGISTER asks for. `contacts` is None for a query, `"*"` to remove everything.

    `expires` is the Expires header, None when absent; `flow` the id of the flow it came on, `path` the Path header,
    `username` whose credentials it came with.
    """

    aor: Aor
    contacts: Sequence[NameAddr] | str | None
    expires: int | None
    call_id: str
    cseq: int
    flow: str
    path: str = ""
    user_agent: str = ""
    username: str = ""


class Registrar:
    """All bindings of the AORs registered on this node.

    `on_bound(binding, fresh)` is called after each binding that was made or refreshed, `fresh` when the device or its
    flow is new; `on_moved(binding)` with the old binding of a device that has come over another flow;
    `on_unbound(binding, event)` after one has gone, with the reginfo event `unregistered`, `expired`,
    `deactivated` or `rejected`.
    """

    def __init__(self, bindings: Bindings, rules: Rules, *, node: str, wall: Callable[[], float]) -> None:
        self._store = bindings
        self._rules = rules
        self._node = node
        self._wall = wall
        self._by_aor: dict[Aor, tuple[Binding, ...]] = {}
        # Nearly every flow has one AOR, and thousands of sets would weigh as much as their bindings.
        self._by_flow: dict[str, Aor | set[Aor]] = {}
        self._interned: dict[str, str] = {}
        self.on_bound: Callable[[Binding, bool], None] = lambda _binding, _fresh: None
        self.on_moved: Callable[[Binding], None] = lambda _binding: None
        self.on_unbound: Callable[[Binding, Event], None] = lambda _binding, _event: None

    def __len__(self) -> int:
        return sum(map(len, self._by_aor.values()))

    def of(self, aor: Aor) -> tuple[Binding, ...]:
        """The live bindings of an AOR, the newest last."""
        bindings = self._by_aor.get(aor, ())
        now = self._wall()
        if all(binding.expires_at > now for binding in bindings):
            return bindings
        return tuple(binding for binding in bindings if binding.expires_at > now)

    async def restore(self, alive: Callable[[Binding], bool]) -> list[Binding]:
        """Read the bindings of an earlier run, and return them; those whose flow is gone are dropped."""
        dead = []
        restored = []
        now = self._wall()
        for binding in await self._store.all(self._node):
            if binding.expires_at > now and alive(binding):
                self._put(binding)
                restored.append(binding)
            else:
                dead.append(binding)
        if dead:
            await self._store.update(remove=dead)
        return restored

    async def register(self, registration: Registration) -> tuple[Binding, ...]:
        """Apply a REGISTER and return the AOR's bindings; durable when it returns.

        Raises Refused: INTERVAL_TOO_BRIEF, TOO_MANY_BINDINGS, OUT_OF_ORDER, MALFORMED.
        """
        aor = registration.aor
        if registration.contacts is None:
            return self.of(aor)
        old = {binding.key: binding for binding in self.of(aor)}
        put, gone = self._plan(registration, old)
        if (
            len({*old, *(binding.key for binding in put)} - {binding.key for binding in gone})
            > self._rules.max_bindings
        ):
            raise Refused(Reason.TOO_MANY_BINDINGS, f"at most {self._rules.max_bindings} devices")
        await self._store.update(put, gone)
        for binding in gone:
            self._drop(binding)
            self.on_unbound(binding, "unregistered")
        for binding in put:
            before = old.get(binding.key)
            self._put(binding)
            if before is not None and before.flow != binding.flow:
                self._leave_flow(before)
                self.on_moved(before)
            self.on_bound(binding, before is None or before.flow != binding.flow)
        return self.of(aor)

    def _plan(self, asked: Registration, old: dict[tuple[str, int], Binding]) -> tuple[list[Binding], list[Binding]]:
        if isinstance(asked.contacts, str):
            # RFC 3261 §10.2.2: Contact * only together with Expires 0.
            if asked.expires != 0:
                raise Refused(Reason.MALFORMED, "Contact * without Expires: 0")
            return [], list(old.values())
        put: list[Binding] = []
        gone: list[Binding] = []
        for contact in asked.contacts or ():
            binding = self._binding(contact, asked)
            before = old.get(binding.key)
            if before is not None and before.call_id == asked.call_id and before.cseq >= asked.cseq:
                # RFC 3261 §10.3 step 7: an older request must not undo a newer one.
                raise Refused(Reason.OUT_OF_ORDER)
            if binding.expires_at > self._wall():
                put.append(binding)
            elif before is not None:
                gone.append(before)
        return put, gone

    def _binding(self, contact: NameAddr, asked: Registration) -> Binding:
        parameters = dict(contact.parameters)
        now = self._wall()
        seconds = self._expires(parameters.pop("expires", None), asked.expires)
        instance = (parameters.pop("+sip.instance", None) or "").strip("<>")
        reg_id = parameters.pop("reg-id", None)
        for ours in ("pub-gruu", "temp-gruu"):
            parameters.pop(ours, None)
        return Binding(
            aor=asked.aor,
            instance=instance,
            # RFC 5626 §6: reg-id means nothing without an instance.
            reg_id=int(reg_id) if instance and reg_id and reg_id.isdecimal() and len(reg_id) < 10 else 0,
            contact=contact.uri,
            parameters=self._intern(emit_parameters(parameters)),
            node=self._node,
            flow=asked.flow,
            call_id=asked.call_id,
            cseq=asked.cseq,
            expires_at=now + seconds,
            registered_at=now,
            path=asked.path,
            user_agent=self._intern(asked.user_agent),
            username=asked.username,
        )

    def _expires(self, parameter: str | None, header: int | None) -> int:
        if parameter is not None and parameter.isdecimal():
            seconds = int(parameter[:10])
        else:
            seconds = self._rules.default_expires if header is None else header
        if 0 < seconds < self._rules.min_expires:
            raise Refused(Reason.INTERVAL_TOO_BRIEF, str(self._rules.min_expires))
        return min(seconds, self._rules.max_expires)

    def _intern(self, text: str) -> str:
        known = self._interned.get(text)
        if known is None:
            if len(self._interned) >= MAX_INTERNED:
                self._interned.clear()
            known = self._interned[text] = text
        return known

    # Memory.

    def _put(self, binding: Binding) -> None:
        others = tuple(other for other in self._by_aor.get(binding.aor, ()) if other.key != binding.key)
        self._by_aor[binding.aor] = (*others, binding)
        there = self._by_flow.setdefault(binding.flow, binding.aor)
        if isinstance(there, set):
            there.add(binding.aor)
        elif there != binding.aor:
            self._by_flow[binding.flow] = {there, binding.aor}

    def _drop(self, binding: Binding) -> None:
        left = tuple(other for other in self._by_aor.get(binding.aor, ()) if other.key != binding.key)
        if left:
            self._by_aor[binding.aor] = left
        else:
            self._by_aor.pop(binding.aor, None)
        self._leave_flow(binding)

    def _leave_flow(self, binding: Binding) -> None:
        """`binding` is no longer on its flow; it has been dropped, or replaced in `_by_aor`."""
        if any(other.flow == binding.flow for other in self._by_aor.get(binding.aor, ())):
            return
        there = self._by_flow.get(binding.flow)
        if isinstance(there, set):
            there.discard(binding.aor)
        if there == binding.aor or there == set():
            del self._by_flow[binding.flow]

    def on_flow(self, flow: str) -> list[Binding]:
        """The bindings that use a flow."""
        there = self._by_flow.get(flow, set())
        aors = there if isinstance(there, set) else (there,)
        return [b for aor in aors for b in self._by_aor.get(aor, ()) if b.flow == flow]

    async def flow_lost(self, flow: str) -> None:
        """A connection has ended: its bindings go with it (RFC 5626 §5.3: a flow is not replaced by the contact)."""
        lost = self.on_flow(flow)
        if lost:
            await self._remove(lost, "deactivated")

    async def expire(self) -> int:
        """Drop what has passed its expiry; how many were."""
        now = self._wall()
        late = [b for bindings in self._by_aor.values() for b in bindings if b.expires_at <= now]
        if late:
            await self._remove(late, "expired")
        return len(late)

    async def remove(self, aor: Aor, event: Event = "rejected") -> None:
        """Drop every binding of an AOR: it was blocked or removed."""
        await self._remove(self._by_aor.get(aor, ()), event)

    async def remove_of(self, aor: Aor, username: str) -> None:
        """Drop the bindings that these credentials made: they hold no more."""
        await self._remove([one for one in self._by_aor.get(aor, ()) if one.username == username], "rejected")

    def forget(self, aor: Aor, username: str, event: Event = "rejected") -> None:
        """Drop the bindings that these credentials made, which the store has forgotten already."""
        self._forget([one for one in self._by_aor.get(aor, ()) if one.username == username], event)

    async def _remove(self, bindings: Sequence[Binding], event: Event) -> None:
        # Also when the store takes nothing now: they are gone from here, and whoever relies on them hears of it.
        self._forget(bindings, event)
        if bindings:
            await self._store.update(remove=bindings)

    def _forget(self, bindings: Sequence[Binding], event: Event) -> None:
        for binding in bindings:
            self._drop(binding)
        for binding in bindings:
            telemetry.event("binding.removed", aor=binding.aor, reason=event)
            self.on_unbound(binding, event)
