"""The MSRP door: a message on a chat leg becomes one service call, its answer an MSRP status.

Spec: RFC 4975 §10 (statuses), facts §4.3, §4.6. Who sent it is the leg's device, which the signalling authenticated.
"""

from __future__ import annotations

import asyncio
import logging

from joyn.model.refused import Reason, Refused
from joyn.services.messaging.originating import CPIM, Originating, Submission
from joyn.services.messaging.sessions import Leg, Sessions
from joyn.transport.msrp import Message, MsrpLeg

log = logging.getLogger(__name__)

STATUS = {
    Reason.MALFORMED: 400,
    Reason.ID_REUSED: 403,
    Reason.NOT_ALLOWED: 403,
    Reason.UNKNOWN_RECIPIENT: 403,
    Reason.ROUTE_UNKNOWN: 408,
    Reason.UNSUPPORTED_CONTENT: 415,
    Reason.TOO_LARGE: 413,
    Reason.OVERLOADED: 408,
    Reason.STORAGE_FULL: 413,
    Reason.STOPPING: 408,
}
"""What each refusal is in MSRP (RFC 4975 §10; 408 makes the sender try again in a new session)."""


class MsrpDoor:
    """Receives everything that happens on MSRP sessions."""

    def __init__(self, sessions: Sessions, originating: Originating) -> None:
        self._sessions = sessions
        self._originating = originating
        self._tasks: set[asyncio.Task[None]] = set()

    def on_bound(self, leg: MsrpLeg) -> None:
        """The session has its connection."""

    def on_closed(self, leg: MsrpLeg, reason: str) -> None:
        """The connection is gone, or was idle for too long: the chat leg ends (facts §4.1: clients may send no BYE)."""
        chat = self._sessions.of_media(leg)
        if chat is not None:
            self._sessions.end(chat, reason="")

    def on_message(self, leg: MsrpLeg, message: Message) -> None:
        """A whole message came; its last chunk waits for our answer."""
        chat = self._sessions.of_media(leg)
        if chat is None:
            leg.answer(message, 481)
            return
        self._sessions.used(chat)
        content_type = message.content_type.partition(";")[0].strip().lower()
        task = asyncio.get_running_loop().create_task(self._accept(leg, chat, message, content_type))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self, leg: MsrpLeg, chat: Leg, message: Message, content_type: str) -> None:
        aor, instance = chat.device
        submission = Submission(
            sender=aor,
            instance=instance,
            to=chat.peer,
            content_type=CPIM if content_type == CPIM else message.content_type,
            body=message.body,
            headers=chat.headers,
            service="session",
            transaction=f"msrp {leg.local_path} {message.message_id}",
        )
        try:
            await self.accept(submission)
        except Refused as refused:
            leg.answer(message, STATUS.get(refused.reason, 403), refused.detail)
        except Exception:  # the loop that owns a message: a bug of ours must not leave the peer waiting
            log.exception("accepting an MSRP message failed")
            leg.answer(message, 408)
        else:
            leg.answer(message, 200)

    async def accept(self, submission: Submission) -> None:
        """Take what came. Raises Refused."""
        await self._originating.accept(submission)

    async def close(self) -> None:
        """Let what is being accepted end."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5)
