"""Two operators that have exchanged a file: their subscribers do not notice whose customer the other is."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from interconnect.operators import ALICE, BEN, BOB, NOBODY, Operator, two_operators
from joyn.telemetry import counters
from stories import as_test
from waiting import until

STYLES = ("cpm", "simple")
ALL = ("positive-delivery", "negative-delivery", "display", "processing")
Story = Callable[[Operator, Operator], Awaitable[None]]


def with_two_operators(story: Story) -> Callable[[], None]:
    """Make a test of a story."""

    def test() -> None:
        async def play() -> None:
            async with two_operators() as (orange, sfr):
                await story(orange, sfr)

        asyncio.run(play())

    return as_test(story, test, given=2)


@with_two_operators
async def test_a_message_and_its_receipts_cross_both_ways(orange: Operator, sfr: Operator) -> None:
    async with orange.phone(ALICE) as alice, sfr.phone(BOB) as bob:
        sent = await alice.send(BOB, "salut")
        message = await bob.receive(timeout=5)
        assert (message.sender, message.text, message.deferred) == (ALICE, "salut", False)
        await sent.delivered(timeout=5)
        await message.mark_displayed()
        await sent.displayed(timeout=5)
        back = await bob.send(ALICE, "bonjour")
        assert (await alice.receive(timeout=5)).text == "bonjour"
        await back.delivered(timeout=5)


@with_two_operators
async def test_what_somebody_can_do_is_asked_of_their_operator(orange: Operator, sfr: Operator) -> None:
    async with orange.phone(ALICE) as alice:
        assert (await alice.capabilities(BEN)).status == "offline"
        assert (await alice.capabilities(NOBODY)).status == "unknown"
        async with sfr.phone(BOB):
            assert (await alice.capabilities(BOB)).status == "online"


@with_two_operators
async def test_a_number_that_is_nobodys_at_the_peer_fails_for_its_sender(orange: Operator, sfr: Operator) -> None:
    async with orange.phone(ALICE) as alice:
        sent = await alice.send(NOBODY, "salut")
        await until(lambda: sent.state == "failed")
        assert sent.cause == 404


def test_what_a_peer_is_away_for_too_long_fails_for_its_sender_who_is_told_why() -> None:
    ahead = 0.0

    async def story() -> None:
        nonlocal ahead
        async with (
            two_operators(wall=lambda: time.time() + ahead) as (orange, sfr),
            orange.phone(ALICE) as alice,
        ):
            await orange.accept(sfr.as_peer(paused=True))
            sent = await alice.send(BOB, "salut", request=ALL, expires=60)
            await until(lambda: sent.reached("stored"))
            ahead = 61.0
            await orange.node.sweep()
            await until(lambda: sent.state == "failed")
            assert sent.cause == 408

    asyncio.run(story())


@with_two_operators
async def test_who_is_away_gets_it_when_they_come_and_the_sender_hears_that_it_waits(
    orange: Operator, sfr: Operator
) -> None:
    async with orange.phone(ALICE) as alice:
        sent = await alice.send(BOB, "un", request=ALL)
        await until(lambda: sent.reached("stored"))
        await alice.send(BOB, "deux")
        async with sfr.phone(BOB) as bob:
            assert [(await bob.receive(timeout=5)).text for _ in range(2)] == ["un", "deux"]
            await sent.delivered(timeout=5)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("other", STYLES)
def test_a_chat_goes_on_across_the_border(style: str, other: str) -> None:
    async def story() -> None:
        async with (
            two_operators() as (orange, sfr),
            orange.phone(ALICE, style=style) as alice,
            sfr.phone(BOB, style=other) as bob,
        ):
            chat = await alice.open_chat(BOB, "un")
            assert (await bob.receive(timeout=5)).text == "un"
            theirs = await bob.incoming_chat(timeout=5)
            sent = await chat.send("deux")
            assert (await bob.receive(timeout=5)).text == "deux"
            await sent.delivered(timeout=5)
            await theirs.send("trois")
            assert (await alice.receive(timeout=5)).text == "trois"
            typing = asyncio.Event()
            theirs.on_typing = lambda active: typing.set() if active else None
            await chat.typing()
            async with asyncio.timeout(5):
                await typing.wait()

    asyncio.run(story())


@pytest.mark.parametrize("mode", ["session", "large"])
def test_a_message_too_large_for_a_sip_message_crosses_over_msrp_both_ways(mode: str) -> None:
    async def story() -> None:
        async with (
            two_operators() as (orange, sfr),
            orange.phone(ALICE) as alice,
            sfr.phone(BOB) as bob,
        ):
            text = "joyn " * 60_000  # more than the border takes in a request
            sent = await alice.send(BOB, text, mode=mode)
            assert (await bob.receive(timeout=10)).text == text
            await sent.delivered(timeout=10)
            await alice.send(BOB, "court", mode=mode)
            assert (await bob.receive(timeout=10)).text == "court"
            back = await bob.send(ALICE, text[::-1], mode=mode)
            assert (await alice.receive(timeout=10)).text == text[::-1]
            await back.delivered(timeout=10)
            assert counters()["session.opened"] > 0

    asyncio.run(story())


@with_two_operators
async def test_what_waits_for_somebody_of_the_peers_can_be_taken_back(orange: Operator, sfr: Operator) -> None:
    async with orange.phone(ALICE) as alice:
        sent = await alice.send(BOB, "un", request=ALL)
        await until(lambda: sent.reached("stored"))
        assert await alice.revoke(sent, timeout=5)
        async with sfr.phone(BOB) as bob:
            await alice.send(BOB, "deux")
            assert (await bob.receive(timeout=5)).text == "deux"


@with_two_operators
async def test_a_message_that_a_device_has_is_not_taken_back(orange: Operator, sfr: Operator) -> None:
    async with orange.phone(ALICE) as alice, sfr.phone(BOB) as bob:
        sent = await alice.send(BOB, "un")
        await bob.receive(timeout=5)
        await sent.delivered(timeout=5)
        assert not await alice.revoke(sent, timeout=5)


@with_two_operators
async def test_a_paused_peer_gets_nothing_until_it_is_resumed(orange: Operator, sfr: Operator) -> None:
    async with orange.phone(ALICE) as alice, sfr.phone(BOB) as bob:
        await orange.accept(sfr.as_peer(paused=True))
        sent = await alice.send(BOB, "un", request=ALL)
        await until(lambda: sent.reached("stored"))
        health = await orange.node.interconnect.health(sfr.domain)
        assert health is not None
        assert (health["ready"], health["queue"]) == (False, 1)
        await orange.accept(sfr.as_peer())
        assert (await bob.receive(timeout=10)).text == "un"
