"""How an entry goes to a device: pager mode, a session or a file transfer, by what the device registered and is open.

Spec: RCC.07 §3.2, §3.3, §3.5 (facts §4.1, §4.5, §4.7, §4.8, §6.1).
"""

from __future__ import annotations

from joyn.model.binding import Binding
from joyn.model.message import Entry, EntryKind, Kind
from joyn.model.tags import traits_of
from joyn.services.messaging.delivery import Attempt
from joyn.services.messaging.inviting import Inviting
from joyn.services.messaging.pager import Pager
from joyn.services.messaging.sessions import Sessions
from joyn.services.messaging.transferring import Transferring


class Choosing:
    """The delivery that picks between the ways. `transferring` is None where there is no content server."""

    def __init__(
        self,
        pager: Pager,
        inviting: Inviting,
        transferring: Transferring | None,
        sessions: Sessions,
        *,
        pager_limit: int,
    ) -> None:
        self._pager = pager
        self._inviting = inviting
        self._transferring = transferring
        self._sessions = sessions
        self._pager_limit = pager_limit

    def begin(self, binding: Binding, entry: Entry, *, deferred: bool) -> Attempt:
        """See Delivery."""
        available = self._sessions.available(web=binding.flow.startswith("ws"))
        if available and self._transferring is not None and self._transferring.is_for(binding, entry):
            return self._transferring.begin(binding, entry)
        if available and self._by_session(binding, entry, deferred):
            return self._inviting.begin(binding, entry, deferred=deferred)
        return self._pager.begin(binding, entry, deferred=deferred)

    def _by_session(self, binding: Binding, entry: Entry, deferred: bool) -> bool:
        message = entry.message
        device = traits_of(binding.parameters)
        if entry.kind is EntryKind.COPY or message.kind is Kind.SYSTEM or not device.rcs:
            return False
        leg = self._sessions.find((entry.mailbox, binding.instance), message.sender)
        if message.kind is Kind.RECEIPT:
            if leg is not None and leg.media.bound:
                return True
            # Facts §4.8: only the joyn era's clients know the session of stored notifications.
            return deferred and device.sessions and not device.cpm_session
        if leg is not None:
            return True
        if device.pager and (message.service != "session" or not device.sessions):
            fits = device.pager_large or len(message.cpim) <= self._pager_limit
            return not fits and (device.sessions or device.cpm_large)
        return True
