"""sip.js over WebSocket: text to and from an RCS phone, JsSIP, and another of its kind."""

import asyncio
from pathlib import Path

import pytest

from interop.server import Account, Server
from interop.web_client import chats_with_a_phone, is_refused_with_a_wrong_password, registered, they_chat
from joyn.phone import Phone
from joyn.protocol.cpim import build
from joyn.transport.tls import client_context

pytestmark = pytest.mark.interop
LISTENERS = pytest.mark.parametrize("listener", ["ws", "wss"])
ANYBODY = "<sip:anonymous@anonymous.invalid>"


@LISTENERS
def test_it_chats_with_an_rcs_phone_over_websocket(server: Server, listener: str, tmp_path: Path) -> None:
    tls = client_context(server.certificate_authority)

    def phone_of(other: Account) -> Phone:
        at = server.address(listener)
        return Phone(other.number, password=other.password, server=at, transport=listener, tls=tls)

    chats_with_a_phone("sipjs", server, listener, tmp_path, phone_of)


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
    they_chat(("sipjs", program), server, listener, tmp_path)


def test_a_wrong_password_is_answered_401(server: Server, tmp_path: Path) -> None:
    is_refused_with_a_wrong_password("sipjs", server, tmp_path)


def test_it_takes_its_registration_back(server: Server, tmp_path: Path) -> None:
    account = server.subscriber("MD5")
    with registered("sipjs", server, "wss", account, tmp_path) as client:
        client.unregister()
