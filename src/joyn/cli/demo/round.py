"""A message round: everybody writes to everybody, one after the other, and says when each receipt came back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from joyn.phone import Phone, Received, Rejected, Undelivered

PATIENCE: Final = 20.0
"""Seconds that each step of a message may take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """A message from one operator's phone to another's: seconds until its sender knew that it was delivered, or what
    went wrong."""

    author: str
    reader: str
    delivered: float = 0.0
    problem: str = ""


async def play(phones: Mapping[str, Phone]) -> list[Passed]:
    """From each to each, by operator."""
    return [
        await _pass(author, reader, phones[author], phones[reader])
        for author in phones
        for reader in phones
        if author != reader
    ]


async def _pass(author: str, reader: str, writing: Phone, reading: Phone) -> Passed:
    text = f"From {author} to {reader}"
    began = time.monotonic()
    try:
        sent = await writing.send(reading.number, text)
        await sent.delivered(PATIENCE)
        delivered = next(at for state, at in sent.states if state in ("delivered", "displayed")) - began
        async with asyncio.timeout(PATIENCE):
            received = await _message(reading, sent.message_id)
        if (received.sender, received.text) != (writing.number, text):
            return Passed(author=author, reader=reader, problem="it is not what was written")
        await received.mark_displayed()
        await sent.displayed(PATIENCE)
    except (TimeoutError, Rejected, Undelivered, OSError) as error:
        return Passed(author=author, reader=reader, problem=str(error) or "it did not come in time")
    return Passed(author=author, reader=reader, delivered=delivered)


async def _message(phone: Phone, message_id: str) -> Received:
    """The one with this id; others may have waited since an earlier run."""
    while True:
        received = await phone.receive()
        if received.message_id == message_id:
            return received
