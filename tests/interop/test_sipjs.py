"""sip.js over WebSocket: text to and from an RCS phone, JsSIP, and another of its kind."""

import asyncio
from pathlib import Path

import pytest

from interop.server import Server
from interop.web_client import registered, started
from joyn.phone import Phone
from joyn.protocol.cpim import build
from joyn.transport.tls import client_context

pytestmark = pytest.mark.interop
LISTENERS = pytest.mark.parametrize("listener", ["ws", "wss"])
ANYBODY = "<sip:anonymous@anonymous.invalid>"


@LISTENERS
def test_it_chats_with_an_rcs_phone_over_websocket(server: Server, listener: str, tmp_path: Path) -> None:
    account, other = server.subscriber("MD5"), server.subscriber()
    tls = client_context(server.certificate_authority)

    async def story() -> None:
        async with Phone(
            other.number, password=other.password, server=server.address(listener), transport=listener, tls=tls
        ) as phone:
            await asyncio.to_thread(client.send, other, "Salut, ça va ?")
            message = await phone.receive(timeout=5)
            assert (message.sender, message.text) == (account.number, "Salut, ça va ?")
            answer = await phone.send(account.number, "Très bien 🙂")
            await answer.delivered(timeout=5)
            await asyncio.to_thread(client.receive, other, "Très bien 🙂")

    with registered("sipjs", server, listener, account, tmp_path) as client:
        asyncio.run(story())


def test_its_cpim_message_reaches_an_rcs_phone_with_its_message_id(server: Server, tmp_path: Path) -> None:
    account, other = server.subscriber("MD5"), server.subscriber()
    cpim = build(from_=ANYBODY, to=ANYBODY, content_type="text/plain", body="été".encode(), message_id="from-sip.js")

    async def story() -> None:
        async with Phone(other.number, password=other.password, server=server.address("tcp")) as phone:
            await asyncio.to_thread(client.send, other, cpim.decode(), "message/cpim")
            message = await phone.receive(timeout=5)
            assert (message.message_id, message.text) == ("from-sip.js", "été")

    with registered("sipjs", server, "ws", account, tmp_path) as client:
        asyncio.run(story())


@LISTENERS
@pytest.mark.parametrize("program", ["sipjs", "jssip"])
def test_two_clients_for_browsers_chat(server: Server, listener: str, program: str, tmp_path: Path) -> None:
    one, two = server.subscriber("MD5"), server.subscriber("MD5")
    with (
        registered("sipjs", server, listener, one, tmp_path / "one") as first,
        registered(program, server, listener, two, tmp_path / "two") as second,
    ):
        first.send(two, "un")
        second.receive(one, "un")
        second.send(one, "deux")
        first.receive(two, "deux")


def test_a_wrong_password_is_answered_401(server: Server, tmp_path: Path) -> None:
    account = server.subscriber("MD5")
    with started("sipjs", server, "ws", account, tmp_path, password="wrong") as client:
        client.expect("refused", 401)


def test_it_takes_its_registration_back(server: Server, tmp_path: Path) -> None:
    account = server.subscriber("MD5")
    with registered("sipjs", server, "wss", account, tmp_path) as client:
        client.unregister()
