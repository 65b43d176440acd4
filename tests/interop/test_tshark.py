"""tshark: what the server puts on the wire, dissected by somebody else's code."""

import asyncio

import pytest

from interop.capture import Dissection, capturing
from interop.linphone import registered
from interop.server import Account, Server
from interop.sipp_client import play
from joyn.phone import Phone, Rejected

pytestmark = pytest.mark.interop
LONG = "à" * 20_000
"""More than a chunk, more than a datagram."""


def make_phone(server: Server, account: Account, transport: str, style: str) -> Phone:
    return Phone(
        account.number, password=account.password, server=server.address(transport), transport=transport, style=style
    )


async def talk(server: Server, transport: str, one: Account, two: Account) -> None:
    """Every kind of message there is, between two styles of phone."""
    async with make_phone(server, one, transport, "cpm") as cpm, make_phone(server, two, transport, "simple") as simple:
        assert (await cpm.capabilities(two.number)).status == "online"
        sent = await cpm.send(two.number, "salut")
        await (await simple.receive(timeout=5)).mark_displayed()
        await sent.displayed(timeout=5)
        chat = await simple.open_chat(one.number, "un")
        assert (await cpm.receive(timeout=5)).text == "un"
        await chat.typing()
        sent = await chat.send(LONG)
        assert (await cpm.receive(timeout=5)).text == LONG
        await sent.delivered(timeout=5)
        await chat.close()


async def stumble(server: Server, transport: str, one: Account, away: Account) -> None:
    """What the server refuses, and what it keeps for later."""
    async with make_phone(server, one, transport, "cpm") as phone:
        assert (await phone.capabilities(away.number)).status == "offline"
        assert (await phone.capabilities("+33639989999")).status == "unknown"
        with pytest.raises(Rejected):
            await phone.send("+33639989999", "salut")
        await phone.send(away.number, "plus tard")
    async with make_phone(server, away, transport, "simple") as phone:
        assert (await phone.receive(timeout=5)).text == "plus tard"


@pytest.fixture(scope="module")
def dissection(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Dissection:
    """A capture of phones of every kind, SIPp and linphone at this server."""
    directory = tmp_path_factory.mktemp("talk")
    with capturing(directory) as file:
        for transport in ("udp", "tcp"):
            asyncio.run(talk(server, transport, server.subscriber(), server.subscriber()))
            asyncio.run(stumble(server, transport, server.subscriber(), server.subscriber()))
            one, two, sipp = server.subscriber(), server.subscriber(), server.subscriber("MD5")
            with (
                registered(server, transport, one, directory) as first,
                registered(server, transport, two, directory) as second,
            ):
                first.send(two, "salut")
                second.receive(one, "salut")
            play("register-423", server, transport, sipp, directory, expires="10")
    return Dissection(file, server.ports)


def test_nothing_the_server_sent_is_malformed(dissection: Dissection) -> None:
    assert dissection.of_server("_ws.malformed", "frame.number", "frame.protocols", "_ws.col.Info") == []


def test_no_dissector_warns_of_it(dissection: Dissection) -> None:
    # A warning or worse; a note would be that it has not heard of Contribution-ID.
    complaint = "(sip or sdp or msrp) and _ws.expert.severity >= 0x600000"
    assert dissection.of_server(complaint, "frame.number", "_ws.expert.message", "_ws.col.Info") == []


def test_all_of_it_was_seen(dissection: Dissection) -> None:
    methods = dissection.of_server("sip.Request-Line", "sip.Method")
    assert {"MESSAGE", "INVITE", "ACK", "BYE"} <= set(",".join(methods).split(","))
    statuses = dissection.of_server("sip.Status-Line", "sip.Status-Code")
    assert {"200", "202", "401", "404", "407", "423", "480"} <= set(",".join(statuses).split(","))
    assert {"SEND"} <= set(",".join(dissection.of_server("msrp.request.line", "msrp.method")).split(","))
    assert {"200"} <= set(",".join(dissection.of_server("msrp.response.line", "msrp.status.code")).split(","))
    assert dissection.of_server("sdp.media.media == message", "sdp.media")
