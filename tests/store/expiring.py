"""Lets three messages expire and kills itself: while the reports of it are being made, or once it is told that they are
on disk. Run by a test."""

import asyncio
import os
import signal
import sys

from contracts.store_values import ALICE, BOB, NOON, make_deposit
from joyn.model.message import Deposit, Entry
from joyn.store.sqlite import open_store


def report_of(entry: Entry) -> Deposit:
    return make_deposit(f"about {entry.message.message_id}", sender=BOB, conversation=ALICE)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


async def main(path: str, when: str) -> None:
    store = open_store(path, node="n1", wall_clock=lambda: NOON, on_fatal=print)
    for number in range(3):
        await store.mailboxes.accept(make_deposit(f"m{number}", deliver_until=NOON))

    def report(entry: Entry) -> Deposit:
        if when == "between" and entry.message.message_id == "m2":
            die()  # in the open transaction: all three are FAILED already
        return report_of(entry)

    await store.mailboxes.expire(NOON + 1, report=report)
    die()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
