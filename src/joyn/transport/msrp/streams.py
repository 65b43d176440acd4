"""Messages too long for memory: bytes are handed up as they come, and read from their source as they can go.

Spec: RFC 4975 §7.1, §7.3; the machine is protocol.msrp.Session.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from joyn.protocol.msrp.outbox import Wanted

if TYPE_CHECKING:
    from joyn.transport.msrp.leg import MsrpLeg

__all__ = ["ABORTED", "Outflow", "Source"]

log = logging.getLogger(__name__)
ABORTED = 499
"""The status of a streamed message that we gave up, or whose source failed; not a status of MSRP itself."""
PIECE_OVERHEAD = 512
"""What a piece that is handed up counts on top of its bytes."""

Source = Callable[[int, int], "bytes | Awaitable[bytes]"]
"""Gives bytes of a message: so many at most from an offset on, one at least. May raise anything: the message is then
given up."""


class Outflow:
    """A streamed message on its way out, with the task that reads its source."""

    __slots__ = ("_ready", "_task", "_wanted", "content_type", "message_id", "progress", "read", "size")

    def __init__(
        self, message_id: str, content_type: str, size: int, read: Source, progress: Callable[[int], None]
    ) -> None:
        self.message_id = message_id
        self.content_type = content_type
        self.size = size
        self.read = read
        self.progress = progress
        self._wanted: Wanted | None = None
        self._ready = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def begin(self, leg: MsrpLeg) -> None:
        """It is under way."""
        self._task = asyncio.get_running_loop().create_task(self._drive(leg))

    def want(self, wanted: Wanted) -> None:
        """These bytes may go out."""
        self._wanted = wanted
        self._ready.set()

    def wake(self) -> None:
        """The peer reads again."""
        self._ready.set()

    def end(self) -> None:
        """It is over, however."""
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()
        self._task = None

    async def _drive(self, leg: MsrpLeg) -> None:
        while True:
            await self._ready.wait()
            self._ready.clear()
            if self._wanted is None or leg.connection is None or leg.connection.full:
                continue
            wanted, self._wanted = self._wanted, None
            try:
                data = self.read(wanted.offset, wanted.size)
                if not isinstance(data, bytes):
                    data = await data
            except Exception:  # the loop that owns the message: whatever its source has, the peer is told
                log.exception("the source of an MSRP message failed")
                data = b""
            if self._task is None:
                return
            if not 0 < len(data) <= wanted.size:
                leg.abort(self.message_id)
                return
            leg.supply(self.message_id, data)
