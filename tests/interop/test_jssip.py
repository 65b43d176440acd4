"""JsSIP over WebSocket: text to and from an RCS phone, and between two of them."""

import asyncio
from pathlib import Path

import pytest

from interop.server import Account, Server
from interop.web_client import chats_with_a_phone, is_refused_with_a_wrong_password, registered, they_chat
from joyn.phone import Phone
from waiting import until

pytestmark = pytest.mark.interop
LISTENERS = pytest.mark.parametrize("listener", ["ws", "wss"])


@LISTENERS
def test_it_chats_with_an_rcs_phone(server: Server, listener: str, tmp_path: Path) -> None:
    def phone_of(other: Account) -> Phone:
        return Phone(other.number, password=other.password, server=server.address("tcp"))

    chats_with_a_phone("jssip", server, listener, tmp_path, phone_of)


@LISTENERS
def test_two_of_them_chat(server: Server, listener: str, tmp_path: Path) -> None:
    they_chat(("jssip", "jssip"), server, listener, tmp_path)


def test_a_wrong_password_is_answered_401(server: Server, tmp_path: Path) -> None:
    is_refused_with_a_wrong_password("jssip", server, tmp_path)


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
