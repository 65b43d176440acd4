"""interconnect_load.py FROM TO [DEAD]: pairs of phones, one at each address, that send messages and wait for receipts.

Prints "ready", and for each line of input, which is a number of seconds, a round of that length as one JSON object:
`units`, and the seconds from sending to the message being `there` and to its receipt being `back`. FROM and TO are
`host:port/domain/prefix`; the phones' numbers are prefix00, prefix01 … DEAD is a number whose operator is not there:
each sender writes to it once in a round, all the same.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from contextlib import AsyncExitStack

from joyn.phone import Phone

PAIRS = 64
"""Each has one message in flight: as many together as in the other cases."""
PASSWORD = "correct horse"


async def main(sending: str, receiving: str, dead: str = "") -> None:
    """Play rounds until there is no more input."""
    arrived: dict[str, float] = {}
    there: list[float] = []
    back: list[float] = []
    async with AsyncExitStack() as stack:

        async def phone(place: str, pair: int) -> Phone:
            server, domain, prefix = place.split("/")
            made = Phone(f"{prefix}{pair:02d}", domain=domain, password=PASSWORD, server=server, transport="tcp")
            return await stack.enter_async_context(made)

        async def talk(pair: int, until: float) -> None:
            sender, recipient = pairs[pair]
            if dead:
                await sender.send(dead, "nobody is there to take this")
            while time.monotonic() < until:
                began = time.monotonic()
                sent = await sender.send(recipient.number, "a message of the usual length, more or less")
                await sent.delivered(timeout=30)
                back.append(time.monotonic() - began)
                there.append(arrived.pop(sent.message_id) - began)

        pairs = []
        for pair in range(PAIRS):
            one, other = await phone(sending, pair), await phone(receiving, pair)
            other.on_message = lambda received: arrived.__setitem__(received.message_id, time.monotonic())
            pairs.append((one, other))
        print("ready", flush=True)
        lines = asyncio.get_running_loop()
        while seconds := await lines.run_in_executor(None, sys.stdin.readline):
            there.clear()
            back.clear()
            until = time.monotonic() + float(seconds)
            await asyncio.gather(*(talk(pair, until) for pair in range(PAIRS)))
            print(json.dumps({"units": len(back), "there": there, "back": back}), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
