"""Waiting for what nobody tells of."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable

PATIENCE = 5.0
"""Seconds until something that should come true never will."""
PAUSE = 0.005
"""Seconds between two looks."""


async def until(
    condition: Callable[[], object | Awaitable[object]], *, within: float = PATIENCE, pause: float = PAUSE
) -> None:
    """Returns when something has come true, which is looked at again and again. Raises TimeoutError."""
    async with asyncio.timeout(within):
        while not await _value(condition()):  # noqa: ASYNC110  # no event tells of it: that is what this is for
            await asyncio.sleep(pause)


async def _value(found: object | Awaitable[object]) -> object:
    return await found if inspect.isawaitable(found) else found
