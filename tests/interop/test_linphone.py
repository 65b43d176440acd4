"""linphone: text to and from the scripted phone, over UDP, TCP and TLS."""

import asyncio
from pathlib import Path

import pytest

from interop.linphone import registered
from interop.server import Server
from joyn.phone import Phone

pytestmark = pytest.mark.interop


@pytest.mark.parametrize("listener", ["udp", "tcp", "tls", "tls-sha"])
def test_it_chats_with_an_rcs_phone(server: Server, listener: str, tmp_path: Path) -> None:
    account, other = server.subscriber(), server.subscriber()

    async def story() -> None:
        async with Phone(other.number, password=other.password, server=server.address("tcp")) as phone:
            await asyncio.to_thread(linphone.send, other, "Salut, ça va ?")
            message = await phone.receive(timeout=5)
            assert (message.sender, message.text) == (account.number, "Salut, ça va ?")
            # A plain client sends no receipt: the server, as its gateway, does when it has answered 200.
            answer = await phone.send(account.number, "Très bien 🙂")
            await answer.delivered(timeout=5)
            await asyncio.to_thread(linphone.receive, other, "Très bien 🙂")

    with registered(server, listener, account, tmp_path) as linphone:
        asyncio.run(story())
        linphone.finish()


@pytest.mark.parametrize("listener", ["udp", "tcp", "tls"])
def test_two_of_them_chat(server: Server, listener: str, tmp_path: Path) -> None:
    one, two = server.subscriber(), server.subscriber()
    with registered(server, listener, one, tmp_path) as first, registered(server, listener, two, tmp_path) as second:
        first.send(two, "un")
        second.receive(one, "un")
        second.send(one, "deux")
        first.receive(two, "deux")


def test_what_was_sent_while_it_was_away_waits_for_it(server: Server, tmp_path: Path) -> None:
    account, other = server.subscriber(), server.subscriber()

    async def story() -> None:
        async with Phone(other.number, password=other.password, server=server.address("tcp")) as phone:
            sent = [await phone.send(account.number, text) for text in ("un", "deux")]
            with registered(server, "tcp", account, tmp_path) as linphone:
                for message in sent:
                    await message.delivered(timeout=5)
                await asyncio.to_thread(linphone.receive, other, "un")
                await asyncio.to_thread(linphone.receive, other, "deux")

    asyncio.run(story())
