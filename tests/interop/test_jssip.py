"""JsSIP over WebSocket: text to and from an RCS phone, and between two of them."""

import asyncio
from pathlib import Path

import pytest

from interop.server import Server
from interop.web_client import registered, started
from joyn.phone import Phone
from waiting import until

pytestmark = pytest.mark.interop
LISTENERS = pytest.mark.parametrize("listener", ["ws", "wss"])


@LISTENERS
def test_it_chats_with_an_rcs_phone(server: Server, listener: str, tmp_path: Path) -> None:
    # It knows no digest but MD5, and gives up on a list that has others.
    account, other = server.subscriber("MD5"), server.subscriber()

    async def story() -> None:
        async with Phone(other.number, password=other.password, server=server.address("tcp")) as phone:
            await asyncio.to_thread(client.send, other, "Salut, ça va ?")
            message = await phone.receive(timeout=5)
            assert (message.sender, message.text) == (account.number, "Salut, ça va ?")
            answer = await phone.send(account.number, "Très bien 🙂")
            await answer.delivered(timeout=5)
            await asyncio.to_thread(client.receive, other, "Très bien 🙂")

    with registered("jssip", server, listener, account, tmp_path) as client:
        asyncio.run(story())


@LISTENERS
def test_two_of_them_chat(server: Server, listener: str, tmp_path: Path) -> None:
    one, two = server.subscriber("MD5"), server.subscriber("MD5")
    with (
        registered("jssip", server, listener, one, tmp_path / "one") as first,
        registered("jssip", server, listener, two, tmp_path / "two") as second,
    ):
        first.send(two, "un")
        second.receive(one, "un")
        second.send(one, "deux")
        first.receive(two, "deux")


def test_a_wrong_password_is_answered_401(server: Server, tmp_path: Path) -> None:
    account = server.subscriber("MD5")
    with started("jssip", server, "ws", account, tmp_path, password="wrong") as client:
        client.expect("refused", 401)


def test_it_takes_its_registration_back(server: Server, tmp_path: Path) -> None:
    account, other = server.subscriber("MD5"), server.subscriber()

    async def status() -> str:
        async with Phone(other.number, password=other.password, server=server.address("tcp")) as phone:
            return (await phone.capabilities(account.number)).status

    with registered("jssip", server, "ws", account, tmp_path) as client:
        assert asyncio.run(status()) == "online"
        client.unregister()
        assert asyncio.run(status()) == "offline"


def test_what_was_sent_while_it_was_away_waits_for_it(server: Server, tmp_path: Path) -> None:
    account, other = server.subscriber("MD5"), server.subscriber()

    async def story() -> None:
        async with Phone(other.number, password=other.password, server=server.address("tcp")) as phone:
            sent = [await phone.send(account.number, text) for text in ("un", "deux")]
            with registered("jssip", server, "ws", account, tmp_path) as client:
                for message in sent:
                    await message.delivered(timeout=5)
                await asyncio.to_thread(client.receive, other, "un")
                await asyncio.to_thread(client.receive, other, "deux")

            # Its process is gone, and the connection with it.
            async def is_offline() -> bool:
                return (await phone.capabilities(account.number)).status == "offline"

            await until(is_offline)

    asyncio.run(story())
