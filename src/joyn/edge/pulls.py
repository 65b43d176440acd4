"""The door for devices that ask for a file: the INVITE of a medium that they only receive.

Spec: RFC 5547 §8.2.2 and §8.3.2, RFC 3264 §6.1, facts §6.1. Who asks is what the signalling proved, and of whom is whom
the INVITE is for.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final

from joyn.edge.sip import Caller
from joyn.model.refused import Reason, Refused
from joyn.protocol.file_transfer import FileOffer
from joyn.services.messaging.destination import Destinations
from joyn.services.messaging.pulling import SHA_1, Pull, Pulling
from joyn.services.messaging.sessions import Leg, Offer, Sessions
from joyn.transport.sip import Inbound

__all__ = ["PullDoor"]

_STATUS: Final = {
    Reason.NOT_ACCEPTABLE: 488,
    # Facts §4.1: 486 is what clients know for as many sessions as there may be.
    Reason.BUSY: 486,
    # Facts §3.2: by 404 a handset learns that the sender is not on joyn.
    Reason.GONE: 488,
    Reason.AWAITED: 480,
}


class PullDoor:
    """Serves the INVITEs that ask for a file. `holds` says whether a device still has its credentials."""

    def __init__(
        self,
        sessions: Sessions,
        destinations: Destinations,
        holds: Callable[[str], Awaitable[object]],
        pulling: Pulling,
    ) -> None:
        self._sessions = sessions
        self._destinations = destinations
        self._holds = holds
        self._pulling = pulling

    async def invite(self, inbound: Inbound, caller: Caller, offer: Offer, file: FileOffer) -> bool:
        """A file is asked for; whether it was answered 200. Raises Refused, ParseError."""
        try:
            await self._invite(inbound, caller, offer, file)
        except Refused as refused:
            if refused.reason not in _STATUS:
                raise
            inbound.respond(_STATUS[refused.reason], headers=[("Warning", f'399 joyn "{refused.detail}"')])
            return False
        return True

    async def _invite(self, inbound: Inbound, caller: Caller, offer: Offer, file: FileOffer) -> None:
        device = (caller.aor, caller.instance)
        sender = (await self._destinations.choose(inbound.request.uri)).aor
        offered = self._pulling.find(device, sender, file)
        leg = self._sessions.prepare(inbound, device, sender, offer, standalone=True, idle=self._pulling.idle)
        leg.username = caller.username
        pull = None
        try:
            pull = await self._pulling.begin(offered, file)
            _describe(leg, pull, file)
            if inbound.flow.closed or not await self._holds(caller.username):
                # The connection went meanwhile, or the device was signed out, and what ends its legs has been.
                raise Refused(Reason.NOT_ALLOWED, "the device is gone")
            self._pulling.start(pull, leg)
        except BaseException:
            leg.media.close()
            if pull is not None:
                await self._pulling.give_up(pull)
            raise
        self._sessions.answer(inbound, leg, offer)


def _describe(leg: Leg, pull: Pull, asked: FileOffer) -> None:
    """Say which file it is, and from which byte on (RFC 5547 §8.3.2): the name and the type are ours."""
    leaving = pull.leaving
    stop = pull.stop if pull.stop < leaving.size else None
    answered = FileOffer(
        name=leaving.name,
        content_type=leaving.content_type,
        size=leaving.size,
        hashes=((SHA_1, leaving.sha1),),
        transfer_id=asked.transfer_id,
    )
    leg.accept_types = (leaving.content_type,)
    leg.attributes = replace(answered, start=pull.start, stop=stop, ranged=asked.ranged).attributes()
