"""Any style of client writes to any other, online or away, and learns what became of it."""

import asyncio
import itertools

import pytest

from joyn.phone import Phone
from phone.node import ALICE, BOB, make_phone, running_node

STYLES = ("cpm", "simple", "plain")
MODES = {"cpm": ("pager", "session"), "simple": ("session", "auto"), "plain": ("pager",)}
WAYS = [(one, mode, other) for one, other in itertools.product(STYLES, STYLES) for mode in MODES[one]]


@pytest.mark.parametrize("transport", ["tcp", "udp"])
@pytest.mark.parametrize(("style", "mode", "other"), WAYS)
def test_a_message_arrives_whatever_the_two_clients_speak(transport: str, style: str, mode: str, other: str) -> None:
    async def story() -> None:
        async with (
            running_node() as servers,
            make_phone(servers, ALICE, transport, style=style) as alice,
            make_phone(servers, BOB, transport, style=other) as bob,
        ):
            await exchange(alice, bob, mode)

    asyncio.run(story())


@pytest.mark.parametrize(("style", "mode", "other"), WAYS)
def test_a_message_waits_for_a_client_that_is_away_whatever_the_two_speak(style: str, mode: str, other: str) -> None:
    async def story() -> None:
        async with running_node() as servers, make_phone(servers, ALICE, style=style) as alice:
            texts = [f"nouvelle {n}" for n in range(5)]
            sent = [await alice.send(BOB, text, mode=mode) for text in texts]
            async with make_phone(servers, BOB, style=other) as bob:
                received = [await bob.receive(timeout=5) for _ in texts]
                assert [message.text for message in received] == texts
                assert {message.sender for message in received} == {ALICE}
                if style != "plain":
                    for one in sent:
                        await one.delivered(timeout=5)
                # What is live afterwards comes too.
                await alice.send(BOB, "et encore", mode=mode)
                assert (await bob.receive(timeout=5)).text == "et encore"

    asyncio.run(story())


@pytest.mark.parametrize("style", ["cpm", "simple"])
def test_receipts_wait_for_a_sender_that_is_away(style: str) -> None:
    async def story() -> None:
        async with running_node() as servers, make_phone(servers, BOB) as bob:
            alice = make_phone(servers, ALICE, style=style)
            async with alice:
                sent = await alice.send(BOB, "à plus tard")
                message = await bob.receive(timeout=5)
                await sent.delivered(timeout=5)
            await message.mark_displayed()
            await asyncio.sleep(0.05)
            async with alice:
                await sent.displayed(timeout=5)

    asyncio.run(story())


async def exchange(alice: Phone, bob: Phone, mode: str) -> None:
    for n in range(3):
        sent = await alice.send(BOB, f"bonjour {n}", mode=mode)
        message = await bob.receive(timeout=5)
        assert (message.text, message.sender) == (f"bonjour {n}", ALICE)
        if alice.style.name != "plain":
            await sent.delivered(timeout=5)
        if "plain" not in (alice.style.name, bob.style.name):
            await message.mark_displayed()
            await sent.displayed(timeout=5)
        await bob.send(ALICE, f"réponse {n}")
        assert (await alice.receive(timeout=5)).text == f"réponse {n}"
