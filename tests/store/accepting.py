"""Accepts messages for ever, sixteen at a time, and prints each Message-ID once it is acknowledged. Run by a test."""

import asyncio
import sys
from itertools import count

from contracts.store_values import NOON, make_copied_deposit
from joyn.store.sqlite import Limits, open_store


async def main(path: str, prefix: str) -> None:
    # A small checkpoint bound, so that some are killed in the middle of one.
    store = open_store(path, node="n1", wall_clock=lambda: NOON, on_fatal=print, limits=Limits(checkpoint_pages=100))

    async def accept(message_id: str) -> None:
        await store.mailboxes.accept(make_copied_deposit(message_id))
        print(message_id, flush=True)

    for number in count():
        await asyncio.gather(*(accept(f"{prefix}-{number}-{n}") for n in range(16)))


asyncio.run(main(sys.argv[1], sys.argv[2]))
