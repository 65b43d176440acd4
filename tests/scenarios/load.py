"""Phones that write to each other while the node comes and goes, and the account of what became of every message."""

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from joyn.phone import Phone, Received, Rejected, Unanswered
from scenarios.operator import Operator

SETTLING = 40.0
"""Seconds after the last kill in which everything acknowledged must have arrived."""
NAMED = 20
"""Lost texts that are told by name."""
RETRY = 0.05
"""Seconds before a sender tries again what was not acknowledged."""


@dataclass(slots=True)
class Account:
    """What happened: texts are `sender>recipient number`, unique."""

    acknowledged: list[str] = field(default_factory=list)
    shown: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """By device: the texts in the order it showed them."""
    refused: Counter[int] = field(default_factory=Counter)
    """Answers that were no acknowledgement, by status."""
    said_again: set[str] = field(default_factory=set)
    """Texts a plain client sent once more, having heard no answer: nobody can tell them from new messages."""

    def lost(self, device: str, recipient: str) -> list[str]:
        """Acknowledged texts to `recipient` that the device never showed."""
        shown = set(self.shown[device])
        return [text for text in self.acknowledged if f">{recipient} " in text and text not in shown]

    def doubled(self, device: str) -> int:
        """How many texts the device showed again, though their senders had said them only once."""
        return sum(count - 1 for text, count in Counter(self.shown[device]).items() if text not in self.said_again)

    def disordered(self, device: str) -> list[str]:
        """Conversations of the device in which a later text was first shown before an earlier one."""
        last: dict[str, int] = {}
        wrong = []
        for text in dict.fromkeys(self.shown[device]):
            conversation, _, number = text.partition(" ")
            if int(number) < last.get(conversation, -1):
                wrong.append(text)
            last[conversation] = int(number)
        return wrong

    def table(self, operator: Operator, seed: int, devices: dict[str, str]) -> str:
        """The figures, for people, and by name what is lost."""
        lines = [
            f"seed {seed}, {operator.kills} kills, {len(self.acknowledged)} acknowledged, refused {dict(self.refused)}"
        ]
        for device, recipient in devices.items():
            lines.append(
                f"  {device:24} shown {len(self.shown[device]):5}  lost {len(self.lost(device, recipient)):3}  "
                f"doubled {self.doubled(device):3}  out of order {len(self.disordered(device)):3}"
            )
            lines += [f"    lost: {text}" for text in self.lost(device, recipient)[:NAMED]]
        return "\n".join(lines)


async def write(
    account: Account, phone: Phone, recipient: str, mode: str, stopped: asyncio.Event, *, pause: float = 0.001
) -> None:
    """Send one text after the other, each until it is acknowledged, with the same Message-ID every time."""
    number = 0
    while not stopped.is_set():
        number += 1
        text = f"{phone.number}>{recipient} {number}"
        message_id = f"{phone.number}-{recipient}-{number}"
        while True:
            try:
                await asyncio.wait_for(phone.send(recipient, text, mode=mode, message_id=message_id), 20)
            except Unanswered:
                account.refused[0] += 1
            except Rejected as rejected:
                account.refused[rejected.status] += 1
            except (OSError, TimeoutError):
                account.refused[0] += 1
            else:
                account.acknowledged.append(text)
                break
            if stopped.is_set():
                return
            if phone.style.plain:
                account.said_again.add(text)
            await asyncio.sleep(RETRY)
        await asyncio.sleep(pause)


def show(account: Account, device: str) -> Callable[[Received], None]:
    """A hook that notes what a phone shows."""

    def on_message(received: Received) -> None:
        account.shown[device].append(received.text)

    return on_message


async def disturb(operator: Operator, kills: int, seed: int) -> None:
    """Kill and restart the node at seeded moments."""
    chance = random.Random(seed)
    for _ in range(kills):
        await asyncio.sleep(chance.uniform(0.3, 1.5))
        await asyncio.to_thread(operator.kill)
        await asyncio.sleep(chance.uniform(0.0, 0.3))
        await asyncio.to_thread(operator.start)
    await asyncio.sleep(0.5)


async def settle(account: Account, devices: dict[str, str]) -> None:
    """Wait until every device has shown what was acknowledged, or the time is over."""
    for _ in range(int(SETTLING / 0.1)):
        if not any(account.lost(device, recipient) for device, recipient in devices.items()):
            return
        await asyncio.sleep(0.1)
