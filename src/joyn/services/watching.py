"""The registration event package: devices watch the bindings of their own AOR.

Spec: RFC 3680 (reg-event), RFC 6665 (subscriptions), RFC 5628 (GRUU); facts §2.2.
Every notification carries the full state: it is small, and a lost one costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from joyn import telemetry
from joyn.model.aor import Aor
from joyn.model.binding import Binding
from joyn.protocol import reginfo
from joyn.protocol.sip.dialog import Dialog, DialogId
from joyn.protocol.sip.message import SipRequest, SipResponse
from joyn.transport.sip import Endpoint, Flow

MAX_PER_AOR = 20
"""Subscriptions of one AOR's devices; a further one replaces the oldest."""
OPENED = telemetry.counter("subscription.opened")
CLOSED = telemetry.counter("subscription.closed")


class Watcher:
    """One subscription."""

    __slots__ = ("aor", "dialog", "expires_at", "flow", "username", "version")

    def __init__(self, aor: Aor, username: str, dialog: Dialog, flow: Flow, expires_at: float) -> None:
        self.aor = aor
        self.username = username
        self.dialog = dialog
        self.flow = flow
        self.expires_at = expires_at
        self.version = 0


class Watching:
    """All subscriptions to registration events on this node. They end with their flow."""

    def __init__(
        self, endpoint: Endpoint, bindings: Callable[[Aor], Sequence[Binding]], *, wall: Callable[[], float]
    ) -> None:
        self._endpoint = endpoint
        self._bindings = bindings
        self._wall = wall
        self._watchers: dict[DialogId, Watcher] = {}
        self._by_aor: dict[Aor, list[Watcher]] = {}
        self._by_flow: dict[Flow, dict[Watcher, None]] = {}  # in the order of opening

    def open(self, aor: Aor, username: str, dialog: Dialog, flow: Flow, seconds: int) -> Watcher:
        """A new subscription, by the credentials of `username`; the caller answers 200 and then calls `notify`."""
        watcher = Watcher(aor, username, dialog, flow, self._wall() + seconds)
        mine = self._by_aor.setdefault(aor, [])
        if len(mine) >= MAX_PER_AOR:
            self.close(mine[0])
            mine = self._by_aor.setdefault(aor, [])
        mine.append(watcher)
        self._by_flow.setdefault(flow, {})[watcher] = None
        self._watchers[dialog.dialog_id] = watcher
        OPENED.inc()
        return watcher

    def find(self, request: SipRequest) -> Watcher | None:
        """The subscription a request inside a dialog belongs to. Raises ParseError."""
        return self._watchers.get(DialogId.of_request(request))

    def refresh(self, watcher: Watcher, seconds: int) -> None:
        """Prolong it; 0 ends it after a last notification (RFC 6665 §4.4.1)."""
        watcher.expires_at = self._wall() + seconds

    def close(self, watcher: Watcher) -> None:
        """Forget it."""
        if self._watchers.pop(watcher.dialog.dialog_id, None) is None:
            return
        CLOSED.inc()
        mine, here = self._by_aor[watcher.aor], self._by_flow[watcher.flow]
        mine.remove(watcher)
        del here[watcher]
        if not mine:
            del self._by_aor[watcher.aor]
        if not here:
            del self._by_flow[watcher.flow]

    def changed(self, aor: Aor, gone: Binding | None = None, event: reginfo.Event | None = None) -> None:
        """The bindings of an AOR have changed; `gone` was removed by `event`: tell who watches."""
        for watcher in list(self._by_aor.get(aor, ())):
            self.notify(watcher, gone, event)

    def end_all(self, aor: Aor) -> None:
        """The subscriber is one no more: what their devices watch ends with a last word (RFC 6665 §4.4.1)."""
        self._end(list(self._by_aor.get(aor, ())))

    def end_of(self, aor: Aor, username: str) -> set[Flow]:
        """One of their devices, with these credentials, was signed out. The flows that it watched on."""
        mine = [watcher for watcher in self._by_aor.get(aor, ()) if watcher.username == username]
        self._end(mine)
        return {watcher.flow for watcher in mine}

    def _end(self, watchers: Sequence[Watcher]) -> None:
        for watcher in watchers:
            self.refresh(watcher, 0)
            # RFC 6665 §4.1.3: `timeout` would ask them to come back at once.
            self.notify(watcher, reason="rejected")

    def flow_lost(self, flow: Flow) -> None:
        """The connection is gone, and its subscriptions with it."""
        for watcher in list(self._by_flow.get(flow, ())):
            self.close(watcher)

    def notify(
        self,
        watcher: Watcher,
        gone: Binding | None = None,
        event: reginfo.Event | None = None,
        *,
        reason: str = "timeout",
    ) -> None:
        """Send the full state; a watcher whose time is over gets it for the last time, with the reason."""
        left = int(watcher.expires_at - self._wall())
        state = f"active;expires={left}" if left > 0 else f"terminated;reason={reason}"
        listener = watcher.flow.listener
        branch = self._endpoint.make_branch()
        headers = [
            ("Via", f"SIP/2.0/{listener.transport} {listener.sent_by};branch={branch}"),
            ("Contact", f"<sip:{listener.sent_by};transport={listener.uri_transport}>"),
            ("Event", "reg"),
            ("Subscription-State", state),
            ("Content-Type", reginfo.CONTENT_TYPE),
        ]
        body = self._document(watcher, gone, event)
        watcher.version += 1
        request = watcher.dialog.request("NOTIFY", headers, body)

        def on_response(response: SipResponse) -> None:
            # RFC 6665 §4.2.2: a watcher that does not know the subscription any more is forgotten.
            if response.status in (404, 408, 410, 481, 489, 503):
                self.close(watcher)

        self._endpoint.send_request(watcher.flow, request, on_response)
        if left <= 0:
            self.close(watcher)

    def _document(self, watcher: Watcher, gone: Binding | None, event: reginfo.Event | None) -> bytes:
        bindings = self._bindings(watcher.aor)
        contacts = [self._contact(binding) for binding in bindings]
        if gone is not None:
            contacts.append(self._contact(gone, event))
        registration = reginfo.Registration(
            aor=watcher.aor, id="r1", state="active" if bindings else "terminated", contacts=tuple(contacts)
        )
        return reginfo.RegInfo(version=watcher.version, state="full", registrations=(registration,)).emit()

    def _contact(self, binding: Binding, event: reginfo.Event | None = None) -> reginfo.Contact:
        return reginfo.Contact(
            id=f"{binding.device}-{binding.reg_id}"[:200],
            uri=binding.contact,
            state="terminated" if event else "active",
            event=event or "registered",
            expires=None if event else max(int(binding.expires_at - self._wall()), 0),
            call_id=binding.call_id,
            cseq=binding.cseq,
            instance=f"<{binding.instance}>" if binding.instance else "",
        )
