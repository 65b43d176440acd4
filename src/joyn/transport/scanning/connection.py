"""The connection to a scanner: opened for one file, bounded in time and in what is read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

from joyn.transport.scanning import Unscanned
from joyn.transport.scanning.address import Address

__all__ = ["MAX_ANSWER", "answered", "connected"]

Answer = TypeVar("Answer")

MAX_ANSWER: Final = 16 << 10
"""Bytes of a scanner's answer."""


@asynccontextmanager
async def connected(
    address: Address, seconds: float
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection for as long as the block takes, `seconds` at most. Raises Unscanned in the place of all that goes
    wrong with it."""
    try:
        async with asyncio.timeout(seconds):
            if address.path:
                reader, writer = await asyncio.open_unix_connection(address.path, limit=MAX_ANSWER)
            else:
                reader, writer = await asyncio.open_connection(address.host, address.port, limit=MAX_ANSWER)
            try:
                yield reader, writer
            finally:
                writer.transport.abort()
    except TimeoutError:
        raise Unscanned("it took too long") from None
    except asyncio.IncompleteReadError:
        raise Unscanned("it hung up without a verdict") from None
    except asyncio.LimitOverrunError:
        raise Unscanned("its answer is too long") from None
    except OSError as error:
        raise Unscanned(f"no connection: {error.strerror or error}") from error


async def answered(sending: Coroutine[Any, Any, None], answering: Coroutine[Any, Any, Answer]) -> Answer:
    """The answer, which may come before everything is sent. Raises what `answering` raises, and what `sending` does
    unless the connection broke, as the answer may tell why."""
    sent, answer = asyncio.ensure_future(sending), asyncio.ensure_future(answering)
    try:
        await asyncio.wait((sent, answer), return_when=asyncio.FIRST_COMPLETED)
        if sent.done() and not isinstance(sent.exception(), ConnectionError):
            sent.result()
        return await answer
    finally:
        for task in (sent, answer):
            task.cancel()
        await asyncio.gather(sent, answer, return_exceptions=True)
