"""A number moves from one operator to the other, and its owner's conversations go on."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from interconnect.operators import ALICE, BOB, ORANGE, Operator, operator, two_operators
from joyn.model.aor import Aor
from joyn.model.ported import PortedNumber
from joyn.model.route import Operator as Domain
from phone.node import make_subscriber
from stories import as_test
from waiting import until

VODAFONE = "vodafone.example"
VERA = "+33639980201"
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


async def port(number: str, to: str, *operators: Operator) -> None:
    """Every operator hears of it, as from a bulk load or `joyn port set`."""
    row = PortedNumber(number=number, operator=Domain(to), at=time.time())
    for one in operators:
        await one.node.store.ported.put([row])
        await one.node.interconnect.ported([row])


async def join(number: str, there: Operator) -> None:
    """The operator that the number comes to has its owner as a subscriber."""
    await there.node.store.subscribers.put(make_subscriber(number, there.domain))


@with_two_operators
async def test_a_conversation_goes_on_with_the_new_operator(orange: Operator, sfr: Operator) -> None:
    async with orange.phone(ALICE) as alice:
        async with sfr.phone(BOB) as bob:
            await alice.send(BOB, "avant")
            assert (await bob.receive(timeout=10)).text == "avant"
        await join(BOB, orange)
        await port(BOB, ORANGE, orange, sfr)
        async with orange.phone(BOB) as bob:
            sent = await alice.send(BOB, "après")
            message = await bob.receive(timeout=10)
            assert (message.sender, message.text) == (ALICE, "après")
            await sent.delivered(timeout=10)
            back = await bob.send(ALICE, "toujours moi")
            assert (await alice.receive(timeout=10)).sender == BOB
            await back.delivered(timeout=10)


@with_two_operators
async def test_the_donor_forwards_what_it_still_had_and_the_receipt_comes_from_the_new_operator(
    orange: Operator, sfr: Operator
) -> None:
    async with orange.phone(ALICE) as alice:
        sent = [await alice.send(BOB, text, request=ALL) for text in ("un", "deux")]
        await until(lambda: sent[1].reached("stored"))
        await join(BOB, orange)
        await port(BOB, ORANGE, orange, sfr)
        async with orange.phone(BOB) as bob:
            texts = [(await bob.receive(timeout=10)).text for _ in range(2)]
            assert texts == ["un", "deux"]
            for one in sent:
                await one.delivered(timeout=10)
        assert await sfr.node.store.mailboxes.pending(Aor(f"tel:{BOB}")) == 0


@with_two_operators
async def test_a_device_at_the_donor_is_signed_off_and_gets_nothing_any_more(orange: Operator, sfr: Operator) -> None:
    async with orange.phone(ALICE) as alice, sfr.phone(BOB) as old:
        await join(BOB, orange)
        await port(BOB, ORANGE, orange, sfr)
        await until(lambda: sfr.node.registrar.of(Aor(f"tel:{BOB}")) == ())
        async with orange.phone(BOB) as bob:
            await alice.send(BOB, "salut")
            assert (await bob.receive(timeout=10)).text == "salut"
        assert old.number == BOB


def test_who_has_not_heard_of_the_move_still_reaches_them_through_the_donor() -> None:
    async def play() -> None:
        async with (
            two_operators() as (orange, sfr),
            operator(VODAFONE, (VERA,), own=("+336399802",)) as vodafone,
        ):
            people = (orange, sfr, vodafone)
            for one in people:
                await one.accept(*(other.as_peer() for other in people if other is not one))
            await join(BOB, orange)
            await port(BOB, ORANGE, orange, sfr)
            async with vodafone.phone(VERA) as vera, orange.phone(BOB) as bob:
                sent = await vera.send(BOB, "par le donneur")
                message = await bob.receive(timeout=10)
                assert (message.sender, message.text) == (VERA, "par le donneur")
                # Its receipt is believed only from the operator that the number is routed to now.
                await port(BOB, ORANGE, vodafone)
                await message.mark_displayed()
                await sent.displayed(timeout=10)

    asyncio.run(play())


def test_who_left_while_no_node_ran_is_followed_at_the_next_start() -> None:
    async def play() -> None:
        async with two_operators() as (orange, sfr), orange.phone(ALICE) as alice:
            sent = await alice.send(BOB, "salut", request=ALL)
            await until(lambda: sent.reached("stored"))
            await join(BOB, orange)
            await port(BOB, ORANGE, orange)
            row = PortedNumber(number=BOB, operator=Domain(ORANGE), at=time.time())
            await sfr.node.store.ported.put([row])  # by hand, while nobody looks
            await sfr.node.interconnect.ported(await sfr.node.store.ported.of_subscribers())
            async with orange.phone(BOB) as bob:
                assert (await bob.receive(timeout=10)).text == "salut"

    asyncio.run(play())
