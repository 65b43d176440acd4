"""Two phones and a real node, all in this process."""

import asyncio

import pytest

from joyn.phone import Rejected
from phone.node import ALICE, BOB, CAROL, make_phone, running_node

TRANSPORTS = pytest.mark.parametrize("transport", ["udp", "tcp", "ws"])
STYLES = pytest.mark.parametrize("style", ["cpm", "simple"])


@TRANSPORTS
def test_a_message_is_delivered_and_displayed(transport: str) -> None:
    async def story() -> None:
        async with (
            running_node() as servers,
            make_phone(servers, ALICE, transport) as alice,
            make_phone(servers, BOB, transport) as bob,
        ):
            sent = await alice.send(BOB, "salut")
            message = await bob.receive(timeout=5)
            assert (message.sender, message.text, message.deferred) == (ALICE, "salut", False)
            await sent.delivered(timeout=5)
            await message.mark_displayed()
            await sent.displayed(timeout=5)

    asyncio.run(story())


def test_what_one_can_do_depends_on_where_they_are() -> None:
    async def story() -> None:
        async with running_node() as servers, make_phone(servers, ALICE) as alice:
            assert (await alice.capabilities(BOB)).status == "offline"
            assert (await alice.capabilities(CAROL)).status == "unknown"
            async with make_phone(servers, BOB):
                assert (await alice.capabilities(BOB)).status == "online"
            with pytest.raises(Rejected, match="404"):
                await alice.send(CAROL, "salut")

    asyncio.run(story())


def test_a_wrong_password_is_answered_401() -> None:
    async def story() -> None:
        async with running_node() as servers:
            phone = make_phone(servers, ALICE, username=BOB[:-1])
            with pytest.raises(Rejected, match="401"):
                async with phone:
                    pass

    asyncio.run(story())


@STYLES
@pytest.mark.parametrize("setup", ["active", "passive", "actpass"])
def test_a_chat_goes_both_ways(style: str, setup: str) -> None:
    async def story() -> None:
        async with (
            running_node() as servers,
            make_phone(servers, ALICE, style=style, msrp_setup=setup) as alice,
            make_phone(servers, BOB, style=style, msrp_setup=setup) as bob,
        ):
            chat = await alice.open_chat(BOB, "un")
            assert (await bob.receive(timeout=5)).text == "un"
            other = await bob.incoming_chat(timeout=5)
            sent = await chat.send("deux")
            assert (await bob.receive(timeout=5)).text == "deux"
            await sent.delivered(timeout=5)
            await other.send("trois")
            assert (await alice.receive(timeout=5)).text == "trois"
            typing = asyncio.Event()
            other.on_typing = lambda active: typing.set() if active else None
            await chat.typing()
            async with asyncio.timeout(5):
                await typing.wait()

    asyncio.run(story())


@STYLES
@pytest.mark.parametrize("transports", [("ws", "tcp"), ("tcp", "ws"), ("ws", "ws")])
def test_a_chat_goes_both_ways_between_browsers_and_phones(style: str, transports: tuple[str, str]) -> None:
    async def story() -> None:
        async with (
            running_node() as servers,
            make_phone(servers, ALICE, transports[0], style=style) as alice,
            make_phone(servers, BOB, transports[1], style=style) as bob,
        ):
            chat = await alice.open_chat(BOB, "un")
            assert (await bob.receive(timeout=5)).text == "un"
            other = await bob.incoming_chat(timeout=5)
            sent = await chat.send("é" * 50_000)
            assert (await bob.receive(timeout=5)).text == "é" * 50_000
            await sent.delivered(timeout=5)
            await other.send("trois")
            assert (await alice.receive(timeout=5)).text == "trois"

    asyncio.run(story())


@STYLES
@pytest.mark.parametrize("transport", ["tcp", "ws"])
def test_what_came_while_away_waits(style: str, transport: str) -> None:
    async def story() -> None:
        async with running_node() as servers, make_phone(servers, ALICE) as alice:
            sent = [await alice.send(BOB, str(number)) for number in range(3)]
            async with make_phone(servers, BOB, transport, style=style) as bob:
                assert [(await bob.receive(timeout=5)).text for _ in range(3)] == ["0", "1", "2"]
                await sent[-1].delivered(timeout=5)

    asyncio.run(story())


@STYLES
@pytest.mark.parametrize("transport", ["tcp", "ws"])
def test_a_long_message_arrives_whole(style: str, transport: str) -> None:
    async def story() -> None:
        async with (
            running_node() as servers,
            make_phone(servers, ALICE, transport) as alice,
            make_phone(servers, BOB, transport, style=style) as bob,
        ):
            sent = await alice.send(BOB, "é" * 50_000)
            assert sent.mode == "large"
            assert (await bob.receive(timeout=5)).text == "é" * 50_000
            await sent.delivered(timeout=5)

    asyncio.run(story())


def test_a_message_goes_to_every_phone_of_a_number() -> None:
    async def story() -> None:
        async with (
            running_node() as servers,
            make_phone(servers, ALICE) as alice,
            make_phone(servers, BOB) as one,
            make_phone(servers, BOB, style="simple") as other,
        ):
            await alice.send(BOB, "salut")
            assert [(await phone.receive(timeout=5)).text for phone in (one, other)] == ["salut", "salut"]

    asyncio.run(story())


def test_a_synchronised_phone_gets_copies_of_what_the_other_sends() -> None:
    async def story() -> None:
        async with (
            running_node() as servers,
            make_phone(servers, ALICE) as alice,
            make_phone(servers, ALICE, sync=True) as browser,
        ):
            await alice.send(BOB, "salut")
            copy = await browser.receive(timeout=5)
            assert (copy.copy, copy.recipient, copy.text) == (True, BOB, "salut")

    asyncio.run(story())


def test_a_plain_phone_takes_part() -> None:
    async def story() -> None:
        async with (
            running_node() as servers,
            make_phone(servers, ALICE) as alice,
            make_phone(servers, BOB, style="plain", algorithm="MD5") as bob,
        ):
            sent = await alice.send(BOB, "salut")
            message = await bob.receive(timeout=5)
            assert (message.text, message.way) == ("salut", "plain")
            await sent.delivered(timeout=5)
            await message.reply("coucou")
            assert (await alice.receive(timeout=5)).text == "coucou"

    asyncio.run(story())


def test_a_message_nobody_has_yet_can_be_taken_back() -> None:
    async def story() -> None:
        async with running_node() as servers, make_phone(servers, ALICE) as alice:
            sent = await alice.send(BOB, "trop tôt")
            assert await alice.revoke(sent, timeout=5)
            kept = await alice.send(BOB, "gardé")
            async with make_phone(servers, BOB) as bob:
                assert (await bob.receive(timeout=5)).text == "gardé"
                assert not await alice.revoke(kept, timeout=5)

    asyncio.run(story())


def test_a_repeated_message_is_accepted_and_shown_once() -> None:
    async def story() -> None:
        async with running_node() as servers, make_phone(servers, ALICE) as alice, make_phone(servers, BOB) as bob:
            for _ in range(2):
                await alice.send(BOB, "salut", message_id="m1")
            await alice.send(BOB, "fini")
            assert [(await bob.receive(timeout=5)).text for _ in range(2)] == ["salut", "fini"]

    asyncio.run(story())
