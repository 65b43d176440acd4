"""SIPp: digest, capabilities, pager mode and the signalling of a chat, on UDP and TCP."""

import asyncio
from pathlib import Path

import pytest

from interop.server import Account, Server
from interop.sipp_client import play, playing
from joyn.phone import Phone
from ports import free_port

pytestmark = pytest.mark.interop
LISTENER = pytest.mark.parametrize("listener", ["udp", "tcp"])
# On UDP each request carries digest, also inside a dialog: SIPp makes all of a run for one URI, so it chats from where
# the access network is trusted.
CHAT_LISTENER = pytest.mark.parametrize("listener", ["udp-trusted", "tcp"])
CPM_TAGS = ';+g.3gpp.icsi-ref="urn%3Aurn-7%3A3gpp-service.ims.icsi.oma.cpm.msg"'


def make_account(server: Server) -> Account:
    """SIPp knows no digest but MD5, and gives up when another is offered first."""
    return server.subscriber("MD5")


def make_phone(server: Server, account: Account, style: str = "cpm") -> Phone:
    return Phone(account.number, password=account.password, server=server.address("tcp"), style=style)


def user_at_domain(account: Account) -> str:
    """An address without its scheme, as SIPp wants the digest's URI."""
    return account.uri.removeprefix("sip:")


@LISTENER
def test_it_registers_with_digest_and_takes_it_back(server: Server, listener: str, tmp_path: Path) -> None:
    account = make_account(server)
    play("register-200", server, listener, account, tmp_path)
    play("register-200", server, listener, account, tmp_path, expires="0")


@LISTENER
def test_a_wrong_password_is_answered_401(server: Server, listener: str, tmp_path: Path) -> None:
    play("register-401", server, listener, make_account(server), tmp_path, password="wrong")


@LISTENER
def test_too_short_a_registration_is_answered_423(server: Server, listener: str, tmp_path: Path) -> None:
    play("register-423", server, listener, make_account(server), tmp_path, expires="10")


@LISTENER
@pytest.mark.parametrize("scenario", ["message-407", "invite-407"])
def test_without_credentials_it_is_answered_407(server: Server, listener: str, scenario: str, tmp_path: Path) -> None:
    play(
        scenario, server, listener, make_account(server), tmp_path, peer=server.subscriber().number, message_id="sipp-0"
    )


@LISTENER
def test_capabilities_tell_who_is_there_who_is_away_and_who_is_unknown(
    server: Server, listener: str, tmp_path: Path
) -> None:
    asker, here, away, nobody = make_account(server), server.subscriber(), server.subscriber(), Account("+33639989999")

    async def story() -> None:
        async with make_phone(server, here):
            for asked, scenario in ((here, "options-200"), (away, "options-480"), (nobody, "options-404")):
                uri = user_at_domain(asked)
                await asyncio.to_thread(play, scenario, server, listener, asker, tmp_path, uri=uri, peer=asked.number)

    asyncio.run(story())


@LISTENER
def test_its_cpim_message_reaches_a_phone(server: Server, listener: str, tmp_path: Path) -> None:
    sender, recipient = make_account(server), server.subscriber()

    async def story() -> None:
        async with make_phone(server, recipient) as phone:
            await asyncio.to_thread(
                play,
                "message-202",
                server,
                listener,
                sender,
                tmp_path,
                uri=user_at_domain(recipient),
                peer=recipient.number,
                message_id="sipp-1",
            )
            message = await phone.receive(timeout=5)
            assert (message.sender, message.text, message.message_id) == (
                sender.number,
                "Bonjour, ici la SIPp !\r\n",
                "sipp-1",
            )

    asyncio.run(story())


def test_a_cpim_message_reaches_it(server: Server, tmp_path: Path) -> None:
    recipient, sender, port = make_account(server), server.subscriber(), free_port()
    play("register-200", server, "udp", recipient, tmp_path, port=port, tags=CPM_TAGS)

    async def story() -> None:
        async with make_phone(server, sender) as phone:
            await phone.send(recipient.number, "salut")

    with playing("message-received", server, "udp", recipient, tmp_path, port=port):
        asyncio.run(story())


@CHAT_LISTENER
def test_it_opens_a_chat_and_ends_it(server: Server, listener: str, tmp_path: Path) -> None:
    account, peer, uri = make_account(server), server.subscriber(), server.address(listener)
    play("invite-200", server, listener, account, tmp_path, uri=uri, peer=peer.number, message_id="sipp-2")


@CHAT_LISTENER
def test_an_offer_without_msrp_is_answered_488(server: Server, listener: str, tmp_path: Path) -> None:
    account, peer, uri = make_account(server), server.subscriber(), server.address(listener)
    play("invite-488", server, listener, account, tmp_path, uri=uri, peer=peer.number, message_id="sipp-3")


def test_a_chat_reaches_it_with_its_first_message(server: Server, tmp_path: Path) -> None:
    recipient, sender, port = make_account(server), server.subscriber(), free_port()
    play("register-200", server, "udp-trusted", recipient, tmp_path, port=port, tags=";+g.oma.sip-im")

    async def story() -> None:
        async with make_phone(server, sender, "simple") as phone:
            await phone.open_chat(recipient.number, "salut")

    with playing("invite-received", server, "udp-trusted", recipient, tmp_path, port=port):
        asyncio.run(story())
