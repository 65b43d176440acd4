"""Files that devices ask for: the rest of what they were offered over MSRP, when they have paused it or it was cut.

Spec: RFC 5547 §8.2.2 and §8.3.2 (the offerer receives, the answerer sends), facts §6.1. A device is given nothing but
what it was offered itself, by whom it names, while the message about it is still due.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Final

from joyn.model.aor import Aor
from joyn.model.message import Entry, State
from joyn.model.refused import Reason, Refused
from joyn.protocol.errors import ParseError
from joyn.protocol.file_transfer import FileOffer
from joyn.services.messaging.contents import Contents, Leaving
from joyn.services.messaging.delivery import Attempts, Outcome
from joyn.services.messaging.offered import Offered
from joyn.services.messaging.pouring import Ended, Pouring, Transfer, file_of, infos_of
from joyn.services.messaging.sessions import Leg, Sessions
from joyn.services.messaging.terminating import Terminating
from joyn.store import Mailboxes

__all__ = ["Pull", "Pulling"]

log = logging.getLogger(__name__)
SHA_1: Final = "sha-1"
"""RFC 5547 §6: the hash that a file is known by."""


@dataclass(frozen=True, slots=True, eq=False)
class Pull:
    """A file that is about to be given: its bytes from `start` up to `stop`, counted from 0."""

    transfer: Transfer
    entry: Entry
    leaving: Leaving
    start: int
    stop: int


class Pulling:
    """Gives files to the devices that ask for them. What is due to whom it learns from `terminating`, and tells it what
    a device has."""

    def __init__(
        self,
        pouring: Pouring,
        sessions: Sessions,
        mailboxes: Mailboxes,
        contents: Contents,
        attempts: Attempts,
        terminating: Terminating,
    ) -> None:
        self._pouring = pouring
        self._sessions = sessions
        self._mailboxes = mailboxes
        self._contents = contents
        self._attempts = attempts
        self._terminating = terminating
        terminating.is_given = pouring.gives

    @property
    def idle(self) -> float:
        """Seconds after which a transfer in which nothing moves is ended."""
        return self._pouring.bounds.idle

    def find(self, device: tuple[Aor, str], sender: Aor, file: FileOffer) -> Offered:
        """What a device asks for. Raises Refused(NOT_ACCEPTABLE) when it says too little, or was offered no such file
        by that sender."""
        sha1 = dict(file.hashes).get(SHA_1)
        if not file.size or sha1 is None:
            raise Refused(Reason.NOT_ACCEPTABLE, "a file-selector with the size and the sha-1 of the file is wanted")
        offered = self._pouring.offers.find(device, sender, sha1, file.size)
        if offered is None:
            raise Refused(Reason.NOT_ACCEPTABLE, "no such file was offered to this device")
        if file.start >= file.size:
            raise Refused(Reason.NOT_ACCEPTABLE, "the file-range begins behind the end of the file")
        return offered

    async def begin(self, offered: Offered, file: FileOffer) -> Pull:
        """Everything that can be refused; then the pull is to be started or given up.

        What else brings this file to the device is ended. Raises Refused: GONE when the file is not due to the device
        any more, or not there; BUSY, OVERLOADED.
        """
        transfer = self._pouring.enter(offered.key, offered)
        try:
            entry = await self._due(offered)
            await self._pouring.instead(transfer)
            leaving = await self._open(entry, offered)
        except BaseException:
            self._pouring.leave(transfer, Outcome.AGAIN)
            raise
        stop = leaving.size if file.stop is None else min(file.stop, leaving.size)
        return Pull(transfer, entry, leaving, file.start, stop)

    async def _due(self, offered: Offered) -> Entry:
        """The entry that the file was offered for, if it still may be given. Raises Refused."""
        sender, conversation, message_id = offered.sender, offered.conversation, offered.message_id
        if self._terminating.withdraws(conversation, sender, message_id):
            raise Refused(Reason.BUSY, "the file is being withdrawn")
        # From here on none is withdrawn (`is_given`), so what the store says holds.
        trace = await self._mailboxes.find(sender, conversation, message_id)
        entries = () if trace is None else trace.entries
        place = (offered.key[0], offered.seq, offered.key[2])
        entry = next((one for one in entries if (one.mailbox, one.seq, one.message.id) == place), None)
        if entry is None:
            raise Refused(Reason.GONE, "the message about the file is gone")
        if entry.state is State.REVOKED:
            raise Refused(Reason.GONE, "the sender has withdrawn the file")
        if entry.state is State.FAILED or self._terminating.is_over(entry):
            raise Refused(Reason.GONE, "the time of the message about the file is over")
        return entry

    async def _open(self, entry: Entry, offered: Offered) -> Leaving:
        """The file. Raises Refused."""
        try:
            file = file_of(infos_of(entry))
        except ParseError as error:
            raise Refused(Reason.GONE, error.what) from error
        leaving = await self._contents.open(file.url) if self._contents.has(file.url) else None
        if leaving is None:
            raise Refused(Reason.GONE, "the file's time is over")
        if (leaving.sha1, leaving.size) != (offered.sha1, offered.size):
            await leaving.close()
            raise Refused(Reason.GONE, "the file is another by now")
        return leaving

    async def give_up(self, pull: Pull) -> None:
        """It is not to be started after all."""
        self._pouring.leave(pull.transfer, Outcome.AGAIN)
        await pull.leaving.close()

    def start(self, pull: Pull, leg: Leg) -> None:
        """Let the bytes go over this leg as soon as it stands. Raises Refused(BUSY) when the device has asked again."""
        transfer = pull.transfer
        if transfer.heir is not None:
            raise Refused(Reason.BUSY, "the file was asked for again")
        transfer.leg = leg
        transfer.task = asyncio.get_running_loop().create_task(self._run(pull, leg))
        transfer.task.add_done_callback(lambda task: self._over(pull, task))

    async def _run(self, pull: Pull, leg: Leg) -> Ended:
        try:
            return await self._pouring.pour(pull.transfer, leg, pull.leaving, pull.start, pull.stop)
        except Exception:  # the loop that owns a transfer: a bug of ours must not leave the device waiting
            log.exception("giving a file failed")
            return Outcome.LATER, "failed here"
        finally:
            self._sessions.end(leg)
            await pull.leaving.close()

    def _over(self, pull: Pull, task: asyncio.Task[Ended]) -> None:
        transfer, entry = pull.transfer, pull.entry
        outcome, what = (Outcome.LATER, "the node stops") if task.cancelled() else task.result()
        _, instance, _ = transfer.key
        self._attempts.note(entry, instance, "file transfer", f"asked for: {what}")
        if outcome is Outcome.TAKEN:
            if transfer.asked is not None:
                transfer.asked.whole = True  # its entry may be where no pump sees it now, and come to one later
            self._terminating.brought(entry, instance, lambda: self._pouring.offers.forget(transfer.key))
        elif outcome is Outcome.REFUSED:
            # Whether it wants the file at all it says when it is brought; what it has of it does not fit the rest.
            self._pouring.offers.progressed(transfer.key, 0)
            outcome = Outcome.LATER
        self._pouring.leave(transfer, outcome)
