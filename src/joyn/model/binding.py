"""A contact binding: one contact of an AOR and the flow that reaches it.

Spec: RFC 3261 §10.3, RFC 5626 (instance, reg-id, flow), RFC 5627 (GRUU).
"""

from __future__ import annotations

from joyn.model.aor import Aor
from joyn.model.value import value


@value
class Binding:
    """One (AOR, instance, reg-id).

    `instance` is `+sip.instance` without brackets, empty for a client that has none. `contact` is the Contact's URI and
    `parameters` its other parameters as they were sent (feature tags live there). `flow` names the flow on `node`:
    `udp|LISTENER|HOST|PORT` outlives a restart, `tcp|N` and `tls|N` do not. `expires_at` is wall-clock seconds.
    `username` is whose credentials registered it: the subscriber's own, or those of one device.
    """

    aor: Aor
    instance: str
    reg_id: int
    contact: str
    parameters: str
    node: str
    flow: str
    call_id: str
    cseq: int
    expires_at: float
    registered_at: float
    path: str = ""
    user_agent: str = ""
    username: str = ""

    @property
    def device(self) -> str:
        """What its device is called here: its instance, or the contact of a client that has none."""
        return self.instance or self.contact

    @property
    def key(self) -> tuple[str, int]:
        """What a newer registration of the same device replaces: (device, reg-id)."""
        return (self.device, self.reg_id)
