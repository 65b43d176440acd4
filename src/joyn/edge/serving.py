"""Serving: coroutines that each run until they wait for something, and go on when it has come.

What the loop finds to read in one turn is begun together in the next: the same code runs for one request after the
other while the processor has it at hand, and the store gets larger commits. An asyncio task for each would do the same,
but be kept in two sets and woken through the loop, which is a tenth of the price of a message.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Coroutine
from functools import partial
from typing import Any


class Serving:
    """Runs coroutines that handle their own exceptions. In them, `asyncio.current_task()` is None."""

    __slots__ = ("_begun", "_idle", "_under_way")

    def __init__(self) -> None:
        self._under_way = 0
        self._begun: deque[Coroutine[Any, Any, None]] = deque()
        self._idle: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        """How many have not ended."""
        return self._under_way

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Run it from the loop's next turn on."""
        self._under_way += 1
        if not self._begun:
            asyncio.get_running_loop().call_soon(self._run)
        self._begun.append(work)

    def _run(self) -> None:
        try:
            for _ in range(len(self._begun)):
                self._step(self._begun.popleft(), None)
        finally:
            if self._begun:
                asyncio.get_running_loop().call_soon(self._run)

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
