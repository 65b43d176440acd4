"""Operators in processes of their own, each with its database, interconnected by the commands and nothing else."""

import asyncio
import hashlib
import os
import random
import ssl
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path

import pytest

from interconnect.crossing import PEOPLE, cross
from interconnect.operators import ALICE, ANNA, BEN, BOB, ORANGE, RANGES, SFR
from interconnect.processes import Peering, exchange, exchange_all, start_all, stop_all
from joyn.config import InterconnectSettings
from joyn.phone import Phone
from scenarios.load import Account
from waiting import until

pytestmark = [pytest.mark.scenario, pytest.mark.timeout(240)]

SEED = int(os.environ.get("JOYN_SEED", "20261130"))
SIX = ("orange", "sfr", "vodafone", "telefonica", "telekom", "tim")
CONNECTIONS = InterconnectSettings().connections
WITHIN = 30.0
"""Seconds that something between six processes on one machine may take."""


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[Peering, Peering]]:
    """Orange and SFR run, and have exchanged their files while they did."""
    orange = Peering(tmp_path / "orange", ORANGE, RANGES[ORANGE], PEOPLE[ORANGE])
    sfr = Peering(tmp_path / "sfr", SFR, RANGES[SFR], PEOPLE[SFR])
    try:
        start_all((orange, sfr))
        exchange(orange, sfr)
        yield orange, sfr
    finally:
        stop_all((orange, sfr))


def test_after_the_two_commands_messages_receipts_typing_and_chats_cross(two: tuple[Peering, Peering]) -> None:
    orange, sfr = two

    async def story() -> None:
        async with orange.phone(ALICE) as alice, sfr.phone(BOB) as bob:
            await message_and_receipts(alice, bob)
            await message_and_receipts(bob, alice)
            assert (await alice.capabilities(BOB)).status == "online"
            assert (await bob.capabilities(ANNA)).status == "offline"
        async with orange.phone(ANNA, style="simple") as anna, sfr.phone(BEN) as ben:
            chat = await anna.open_chat(BEN, "on se voit ?")
            assert (await ben.receive(timeout=WITHIN)).text == "on se voit ?"
            theirs = await ben.incoming_chat(timeout=WITHIN)
            for mine, other in ((chat, theirs), (theirs, chat)):
                typing = asyncio.Event()
                other.on_typing = lambda active, typing=typing: typing.set() if active else None
                await mine.typing()
                await asyncio.wait_for(typing.wait(), WITHIN)
            sent = await theirs.send("demain")
            assert (await anna.receive(timeout=WITHIN)).text == "demain"
            await sent.delivered(timeout=WITHIN)

    asyncio.run(story())


async def message_and_receipts(sender: Phone, recipient: Phone) -> None:
    sent = await sender.send(recipient.number, f"salut de {sender.number}")
    message = await recipient.receive(timeout=WITHIN)
    assert (message.sender, message.text) == (sender.number, f"salut de {sender.number}")
    await sent.delivered(timeout=WITHIN)
    await message.mark_displayed()
    await sent.displayed(timeout=WITHIN)


def test_six_operators_that_have_exchanged_files_two_by_two_pass_a_round_each_to_each(tmp_path: Path) -> None:
    numbers = {f"{name}.example": f"+3363998{index}001" for index, name in enumerate(SIX)}
    operators = [
        Peering(tmp_path / domain, domain, number[:-3], (number,), agreed="connections = 1\n")
        for domain, number in numbers.items()
    ]
    order = list(permutations(numbers.values(), 2))
    random.Random(SEED).shuffle(order)

    async def round_of_all() -> None:
        phones = {numbers[one.domain]: one.phone(numbers[one.domain]) for one in operators}
        shown: dict[str, set[str]] = {number: set() for number in phones}
        for number, phone in phones.items():
            phone.on_message = lambda message, number=number: shown[number].add(message.text)
            await phone.__aenter__()
        try:
            sent = [await phones[one].send(other, f"{one}>{other}") for one, other in order]
            await until(lambda: all(one.reached("delivered") for one in sent), within=WITHIN)
        finally:
            for phone in phones.values():
                await phone.__aexit__(None, None, None)
        assert shown == {number: {f"{one}>{number}" for one in phones if one != number} for number in phones}

    try:
        start_all(operators)
        exchange_all(operators)
        asyncio.run(round_of_all())
    finally:
        stop_all(operators)


@pytest.mark.parametrize("rotating", ["orange", "sfr"])
def test_a_certificate_is_rotated_by_the_commands_under_load_and_nothing_is_lost(
    two: tuple[Peering, Peering], rotating: str
) -> None:
    one, other = two if rotating == "orange" else two[::-1]

    def shown() -> str:
        """What whoever comes to the border is shown."""
        pem = ssl.get_server_certificate(("127.0.0.1", one.border), timeout=WITHIN)
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()

    async def joyn(operator: Peering, *arguments: str) -> None:
        await asyncio.to_thread(operator.joyn, "peer", *arguments)

    async def rotate(account: Account) -> None:
        before = await asyncio.to_thread(shown)
        await joyn(one, "rotate")
        await joyn(one, "invite", str(one.file))
        await joyn(other, "accept", "--yes", str(one.file))
        assert await asyncio.to_thread(shown) == before
        await joyn(one, "rotate", "--switch", "--yes")
        assert await asyncio.to_thread(shown) != before
        # Connections that stand would outlive this test: all end with the process that is to see the new certificate.
        await asyncio.to_thread(other.kill)
        await asyncio.to_thread(other.start)
        for operator, peer in ((one, other), (other, one)):
            await until(lambda operator=operator, peer=peer: connected(operator, peer), within=WITHIN, pause=0.1)
        counted = len(account.acknowledged)
        await until(lambda: len(account.acknowledged) > counted + 50, within=WITHIN)

    asyncio.run(cross(*two, rotate, SEED))


async def connected(operator: Peering, peer: Peering) -> bool:
    """Whether an operator has all the connections to a peer that it holds."""
    health = await operator.health(peer.domain)
    return bool(health["health"]["connected"] == CONNECTIONS)
