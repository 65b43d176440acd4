"""pjsua2: text to and from the scripted phone, over UDP, TCP and TLS; SHA-256 alone."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from interop.linphone import registered as registered_linphone
from interop.pjsip import registered
from interop.server import Server
from joyn.phone import Phone

pytestmark = pytest.mark.interop
CPIM = """\
From: <sip:anonymous@anonymous.invalid>
To: <sip:anonymous@anonymous.invalid>
NS: imdn <urn:ietf:params:imdn>
imdn.Message-ID: pjsip-1
imdn.Disposition-Notification: positive-delivery

Content-type: text/plain;charset=UTF-8

bonjour""".replace("\n", "\r\n")


@pytest.mark.parametrize("listener", ["udp", "tcp", "tls", "udp-sha", "tcp-sha", "tls-sha"])
def test_it_chats_with_an_rcs_phone(server: Server, listener: str, tmp_path: Path) -> None:
    account, other = server.subscriber(), server.subscriber()

    async def story() -> None:
        async with Phone(other.number, password=other.password, server=server.address("tcp")) as phone:
            await asyncio.to_thread(pjsip.send, other.uri, "Salut, ça va ?")
            message = await phone.receive(timeout=5)
            assert (message.sender, message.text) == (account.number, "Salut, ça va ?")
            answer = await phone.send(account.number, "Très bien 🙂")
            await answer.delivered(timeout=5)
            await asyncio.to_thread(pjsip.receive, other, "Très bien 🙂")

    with registered(server, listener, account, tmp_path) as pjsip:
        asyncio.run(story())


@pytest.mark.parametrize("listener", ["udp", "tcp", "tls"])
def test_it_chats_with_linphone(server: Server, listener: str, tmp_path: Path) -> None:
    one, two = server.subscriber(), server.subscriber()
    with (
        registered(server, listener, one, tmp_path) as pjsip,
        registered_linphone(server, listener, two, tmp_path) as linphone,
    ):
        pjsip.send(two.uri, "un")
        linphone.receive(one, "un")
        linphone.send(one, "deux")
        pjsip.receive(two, "deux")


def test_its_cpim_message_reaches_an_rcs_phone_with_its_message_id(server: Server, tmp_path: Path) -> None:
    account, other = server.subscriber(), server.subscriber()

    async def story() -> None:
        async with Phone(other.number, password=other.password, server=server.address("tcp")) as phone:
            await asyncio.to_thread(pjsip.send, other.uri, CPIM, "message/cpim")
            message = await phone.receive(timeout=5)
            assert (message.message_id, message.text, message.way) == ("pjsip-1", "bonjour", "pager")

    with registered(server, "udp", account, tmp_path) as pjsip:
        asyncio.run(story())


@pytest.mark.parametrize("listener", ["udp", "udp-sha"])
def test_a_wrong_password_is_told_apart_from_a_right_one(server: Server, listener: str, tmp_path: Path) -> None:
    account = replace(server.subscriber(), password="wrong")
    with registered(server, listener, account, tmp_path, status=401):
        pass
