"""Serving: a coroutine runs at once as far as it gets, and goes on when what it waits for has come.

As with the eager tasks of Python 3.12, a request that needs no waiting is served before the next one is read. A task
for each would begin on another turn of the loop and be kept in two sets, which is a tenth of the price of a message.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from functools import partial
from typing import Any


class Serving:
    """Runs coroutines that handle their own exceptions. In them, `asyncio.current_task()` is None."""

    __slots__ = ("_idle", "_under_way")

    def __init__(self) -> None:
        self._under_way = 0
        self._idle: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        """How many are waiting for something."""
        return self._under_way

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Run it, now until it waits."""
        self._under_way += 1
        self._step(work, None)

    def _step(self, work: Coroutine[Any, Any, None], _waited_for: object) -> None:
        try:
            awaited = work.send(None)
        except (StopIteration, asyncio.CancelledError):  # cancelled: what it waited for was
            self._ended()
        except BaseException:
            self._ended()
            raise
        else:
            step = partial(self._step, work)
            if awaited is None:  # it only lets others go first, as asyncio.sleep(0) does
                asyncio.get_running_loop().call_soon(step, None)
            else:
                awaited.add_done_callback(step)

    def _ended(self) -> None:
        self._under_way -= 1
        if self._idle is not None and not self._under_way and not self._idle.done():
            self._idle.set_result(None)

    async def ended(self, patience: float) -> None:
        """Returns when nothing is under way any more, or after `patience` seconds."""
        if self._under_way:
            self._idle = asyncio.get_running_loop().create_future()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._idle, patience)
