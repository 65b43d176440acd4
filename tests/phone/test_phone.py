import asyncio

import pytest

from joyn.phone import Rejected
from joyn.protocol.cpim import CpimMessage
from joyn.protocol.imdn import Imdn
from phone.scripted_server import ALICE, BOB, make_chat, make_phone, running


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_message_goes_out_in_its_envelope_and_its_receipt_comes_back(transport: str) -> None:
    async def story() -> None:
        async with running(transport) as server, make_phone(server, transport=transport) as alice:
            sent = await alice.send(BOB, "salut")
            request = server.of("MESSAGE")[0]
            assert request.uri == f"tel:{BOB}"
            assert request.header("content-type") == "message/cpim"
            assert CpimMessage.parse(request.body).body == b"salut"
            assert sent.state == "accepted"
            notice = Imdn(message_id=sent.message_id, kind="delivery", status="delivered").emit()
            receipt = CpimMessage.make(from_="<sip:x>", to="<sip:y>", content_type="message/imdn+xml", body=notice)
            assert (await server.deliver(ALICE, receipt)).status == 200
            await sent.delivered(timeout=1)

    asyncio.run(story())


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_message_that_comes_in_is_read_and_reported_delivered(transport: str) -> None:
    async def story() -> None:
        async with running(transport) as server, make_phone(server, transport=transport) as alice:
            assert (await server.deliver(ALICE, make_chat(request=("positive-delivery",)))).status == 200
            message = await alice.receive(timeout=1)
            assert (message.sender, message.text, message.message_id) == (BOB, "salut", "m1")
            notice = CpimMessage.parse((await server.wait_for("MESSAGE")).body)
            assert Imdn.parse(notice.body).message_id == "m1"
            assert Imdn.parse(notice.body).status == "delivered"

    asyncio.run(story())


def test_a_refused_message_raises_with_its_status() -> None:
    async def story() -> None:
        async with running() as server, make_phone(server) as alice:
            server.answers["MESSAGE"] = 404
            with pytest.raises(Rejected, match="404"):
                await alice.send(BOB, "salut")

    asyncio.run(story())
