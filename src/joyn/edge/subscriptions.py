"""The SUBSCRIBE door: the registration event package, for one's own AOR.

Spec: RFC 6665 §4.2, RFC 3680; facts §2.2.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from joyn.edge.sip import Caller
from joyn.model.aor import Numbering
from joyn.model.refused import Reason, Refused
from joyn.protocol.sip.dialog import Dialog
from joyn.protocol.sip.headers import parse_event
from joyn.services.watching import Watching
from joyn.transport.sip import Endpoint, Inbound

DEFAULT_EXPIRES = 3761
"""RFC 3680 §4.4: seconds of a subscription that names none."""
MAX_EXPIRES = 86_400
MIN_EXPIRES = 60


class SubscriptionDoor:
    """Serves SUBSCRIBE."""

    def __init__(
        self,
        caller: Callable[[Inbound], Awaitable[Caller]],
        watching: Watching,
        numbering: Numbering,
        endpoint: Endpoint,
    ) -> None:
        self._caller = caller
        self._watching = watching
        self._numbering = numbering
        self._endpoint = endpoint

    async def subscribe(self, inbound: Inbound) -> None:
        """Open, refresh or end a subscription; the first notification follows at once."""
        request = inbound.request
        event = request.header("event")
        if event is None or parse_event(event).token.lower() != "reg":
            inbound.respond(489, headers=[("Allow-Events", "reg")])
            return
        caller = await self._caller(inbound)
        seconds = self._seconds(request.header("expires"))
        if ";tag=" in (request.header("to") or ""):
            watcher = self._watching.find(request)
            if watcher is None or watcher.aor != caller.aor:
                inbound.respond(481)
                return
            if not watcher.dialog.receive(request):
                inbound.respond(500)
                return
            inbound.respond(200, headers=self._headers(inbound, seconds))
            self._watching.refresh(watcher, seconds)
        else:
            if self._numbering.aor(request.uri) != caller.aor:
                raise Refused(Reason.NOT_ALLOWED, "only one's own registration can be watched")
            tag = self._endpoint.make_tag()
            dialog = Dialog.of_server(request, tag)
            inbound.respond(200, to_tag=tag, headers=self._headers(inbound, seconds))
            watcher = self._watching.open(caller.aor, caller.username, dialog, inbound.flow, seconds)
        self._watching.notify(watcher)

    @staticmethod
    def _seconds(expires: str | None) -> int:
        if expires is None or not expires.isdecimal():
            return DEFAULT_EXPIRES
        seconds = min(int(expires[:10]), MAX_EXPIRES)
        if 0 < seconds < MIN_EXPIRES:
            raise Refused(Reason.INTERVAL_TOO_BRIEF, str(MIN_EXPIRES))
        return seconds

    @staticmethod
    def _headers(inbound: Inbound, seconds: int) -> list[tuple[str, str]]:
        listener = inbound.flow.listener
        return [
            ("Contact", f"<sip:{listener.sent_by};transport={listener.uri_transport}>"),
            ("Expires", str(seconds)),
        ]
