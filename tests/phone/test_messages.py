import asyncio

import pytest

from joyn.phone import Received, Rejected, Unanswered, Undelivered
from joyn.phone.inbox import MAX_UNREAD
from joyn.protocol import revocation
from joyn.protocol.cpim import CpimMessage
from joyn.protocol.imdn import Imdn, Kind
from joyn.protocol.sip.transaction import Timers
from phone.scripted_server import ALICE, BOB, ScriptedServer, make_chat, make_phone, running


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


def make_receipt(message_id: str, status: str, kind: Kind = "delivery", cause: int = 0) -> CpimMessage:
    notice = Imdn(message_id=message_id, kind=kind, status=status, cause=cause).emit()
    return CpimMessage.make(from_="<sip:x>", to="<sip:y>", content_type="message/imdn+xml", body=notice)


def states_of(server: ScriptedServer) -> list[str]:
    """The states of all notifications the server was sent, in order."""
    bodies = [CpimMessage.parse(request.body) for request in server.of("MESSAGE")]
    return [Imdn.parse(body.body).status for body in bodies if body.content_type == "message/imdn+xml"]


@pytest.mark.parametrize(
    ("cause", "said"),
    [(0, "failed$"), (404, "failed: the recipient's number is not on joyn$"), (499, "failed: status 499$")],
)
def test_a_message_that_failed_tells_who_waits_for_it_and_why(cause: int, said: str) -> None:
    async def story() -> None:
        async with running() as server, make_phone(server) as alice:
            sent = await alice.send(BOB, "salut")
            await server.deliver(ALICE, make_receipt(sent.message_id, "failed", cause=cause))
            with pytest.raises(Undelivered, match=said) as undelivered:
                await sent.delivered(timeout=1)
            assert undelivered.value.cause == sent.cause == cause

    asyncio.run(story())


def test_a_silent_server_is_not_a_refusal() -> None:
    async def story() -> None:
        async with running() as server, make_phone(server, reconnect=False) as alice:
            server.on["MESSAGE"] = lambda inbound: inbound.flow.close()
            with pytest.raises(Unanswered, match="503"):
                await alice.send(BOB, "salut")

    asyncio.run(story())


def test_a_repeated_message_is_read_once_and_reported_each_time() -> None:
    async def story() -> None:
        async with running() as server, make_phone(server) as alice:
            for _ in range(2):
                await server.deliver(ALICE, make_chat(request=("positive-delivery",)))
            await server.wait_for("MESSAGE", 2)
            assert (await alice.receive(timeout=1)).message_id == "m1"
            assert alice.log.all("duplicate") == ["m1"]
            assert states_of(server) == ["delivered", "delivered"]
            with pytest.raises(TimeoutError):
                await alice.receive(timeout=0)

    asyncio.run(story())


def test_the_same_id_from_somebody_else_is_another_message() -> None:
    async def story() -> None:
        async with running() as server, make_phone(server) as alice:
            await server.deliver(ALICE, make_chat(), sender=BOB)
            await server.deliver(ALICE, make_chat(), sender="+33639980003")
            assert [(await alice.receive(timeout=1)).sender for _ in range(2)] == [BOB, "+33639980003"]

    asyncio.run(story())


def test_displayed_is_said_once_and_only_when_asked_for() -> None:
    async def story() -> None:
        async with running() as server, make_phone(server) as alice:
            await server.deliver(ALICE, make_chat(request=("display",)))
            await server.deliver(ALICE, make_chat(message_id="m2"))
            for _ in range(2):
                message = await alice.receive(timeout=1)
                await message.mark_displayed()
                await message.mark_displayed()
            assert states_of(server) == ["displayed"]

    asyncio.run(story())


def test_automatic_receipts_say_displayed_when_the_program_reads() -> None:
    async def story() -> None:
        async with running() as server, make_phone(server, receipts="auto") as alice:
            await server.deliver(ALICE, make_chat(request=("positive-delivery", "display")))
            await server.wait_for("MESSAGE")
            assert states_of(server) == ["delivered"]
            await alice.receive(timeout=1)
            await server.wait_for("MESSAGE", 2)
            assert states_of(server) == ["delivered", "displayed"]

    asyncio.run(story())


def test_a_phone_told_to_say_nothing_says_nothing() -> None:
    async def story() -> None:
        async with running() as server, make_phone(server, receipts="none") as alice:
            await server.deliver(ALICE, make_chat(request=("positive-delivery", "display")))
            await alice.receive(timeout=1)
            await alice.send(BOB, "fini")
            assert states_of(server) == []

    asyncio.run(story())


def test_a_phone_refuses_with_the_status_it_is_told_and_does_not_take_the_message() -> None:
    async def story() -> None:
        async with running() as server, make_phone(server) as alice:
            alice.answer = 486
            assert (await server.deliver(ALICE, make_chat(request=("positive-delivery",)))).status == 486
            alice.answer = 200
            await server.deliver(ALICE, make_chat(message_id="m2"))
            assert (await alice.receive(timeout=1)).message_id == "m2"
            assert states_of(server) == []

    asyncio.run(story())


def test_with_too_much_unread_messages_are_put_off_and_receipts_taken() -> None:
    async def story() -> None:
        async with running() as server, make_phone(server) as alice:
            sent = await alice.send(BOB, "salut")
            for number in range(MAX_UNREAD):
                alice._inbox.take(alice_has_unread(str(number)))
            assert (await server.deliver(ALICE, make_chat())).status == 480
            assert (await server.deliver(ALICE, make_receipt(sent.message_id, "delivered"))).status == 200
            assert sent.state == "delivered"
            await alice.receive()
            assert (await server.deliver(ALICE, make_chat())).status == 200

    def alice_has_unread(message_id: str) -> Received:
        return Received(sender=BOB, recipient=ALICE, message_id=message_id, content_type="text/plain", body=b"")

    asyncio.run(story())


def test_a_phone_that_ignores_lets_the_request_time_out() -> None:
    async def story() -> None:
        async with running(timers=Timers(t1=0.01)) as server, make_phone(server) as alice:
            alice.answer = None
            assert (await server.deliver(ALICE, make_chat())).status == 408
            assert alice.log.all("ignored") == ["MESSAGE"]

    asyncio.run(story())


def test_an_answer_can_be_late() -> None:
    async def story() -> None:
        async with running() as server, make_phone(server) as alice:
            alice.answer_delay = 0.05
            delivering = asyncio.create_task(server.deliver(ALICE, make_chat()))
            alice.answer = 486
            assert (await delivering).status == 486

    asyncio.run(story())


def test_a_receipt_that_got_no_answer_is_sent_after_the_next_registration() -> None:
    async def story() -> None:
        async with running() as server, make_phone(server) as alice:
            server.on["MESSAGE"] = lambda inbound: inbound.flow.close()
            await server.deliver(ALICE, make_chat(request=("positive-delivery",)))
            await server.wait_for("MESSAGE")
            del server.on["MESSAGE"]
            await server.wait_for("MESSAGE", 2)
            assert states_of(server) == ["delivered", "delivered"]
            await alice.send(BOB, "fini")
            assert alice.log.all("acknowledged") == ["m1 delivered"]

    asyncio.run(story())


def test_requests_that_are_challenged_together_all_go_through_with_one_password_proof_each() -> None:
    async def story() -> None:
        async with (
            running("udp", algorithms=("SHA-256",), challenge_all=True) as server,
            make_phone(server, transport="udp") as alice,
        ):
            await asyncio.gather(*(alice.send(BOB, str(number)) for number in range(5)))
            assert len(server.of("MESSAGE")) == 10
            await alice.send(BOB, "encore")
            assert len(server.of("MESSAGE")) == 11

    asyncio.run(story())


def test_a_new_nonce_is_answered_at_once() -> None:
    async def story() -> None:
        async with running(algorithms=("SHA-256",), challenge_all=True) as server, make_phone(server) as alice:
            await alice.send(BOB, "un")
            server.nonce = "nonce-2"
            await alice.send(BOB, "deux")
            assert alice.log.all("rejected") == []

    asyncio.run(story())


def test_a_plain_phone_speaks_bare_text() -> None:
    async def story() -> None:
        async with running() as server, make_phone(server, style="plain") as alice:
            await alice.send(BOB, "salut")
            request = server.of("MESSAGE")[0]
            assert (request.uri, request.body) == (f"sip:{BOB}@joyn.example", b"salut")
            await server.send(ALICE, "MESSAGE", [("Content-Type", "text/plain")], "reçu".encode())
            message = await alice.receive(timeout=1)
            assert (message.text, message.way, message.message_id) == ("reçu", "plain", "")

    asyncio.run(story())


def test_two_equal_plain_messages_are_two() -> None:
    async def story() -> None:
        async with running() as server, make_phone(server, style="plain") as alice:
            for _ in range(2):
                await server.send(ALICE, "MESSAGE", [("Content-Type", "text/plain")], b"oui")
            assert [(await alice.receive(timeout=1)).text for _ in range(2)] == ["oui", "oui"]

    asyncio.run(story())


def test_a_copy_of_what_another_phone_of_ours_sent_is_marked_and_not_reported() -> None:
    async def story() -> None:
        async with running() as server, make_phone(server, sync=True) as alice:
            server.to = f"<tel:{BOB}>"
            await server.deliver(ALICE, make_chat(request=("positive-delivery",)), sender=ALICE)
            message = await alice.receive(timeout=1)
            assert (message.copy, message.recipient) == (True, BOB)
            await alice.send(BOB, "fini")
            assert states_of(server) == []

    asyncio.run(story())


@pytest.mark.parametrize(("result", "withdrawn"), [("success", True), ("failure", False)])
def test_a_revocation_is_answered(result: revocation.Result, withdrawn: bool) -> None:
    async def story() -> None:
        async with running() as server, make_phone(server) as alice:
            sent = await alice.send(BOB, "trop tôt")
            revoking = asyncio.create_task(alice.revoke(sent, timeout=2))
            request = revocation.parse(CpimMessage.parse((await server.wait_for("MESSAGE", 2)).body).body)
            assert request == revocation.RevokeRequest(message_id=sent.message_id)
            answer = revocation.RevokeResponse(message_id=sent.message_id, result=result).emit()
            cpim = CpimMessage.make(from_="<sip:x>", to="<sip:y>", content_type=revocation.CONTENT_TYPE, body=answer)
            await server.deliver(ALICE, cpim)
            assert await revoking is withdrawn

    asyncio.run(story())


@pytest.mark.parametrize(
    ("code", "status"), [(200, "online"), (480, "offline"), (408, "offline"), (404, "unknown"), (500, "error")]
)
def test_capabilities_are_what_the_answer_means(code: int, status: str) -> None:
    async def story() -> None:
        async with running() as server, make_phone(server) as alice:
            server.answers["OPTIONS"] = code
            assert (await alice.capabilities(BOB)).status == status

    asyncio.run(story())


def test_a_phone_says_what_it_can_when_asked() -> None:
    async def story() -> None:
        async with running() as server, make_phone(server):
            answer = await server.send(ALICE, "OPTIONS", [])
            assert answer.status == 200
            assert "rcse.im" in (answer.header("contact") or "")

    asyncio.run(story())


def test_a_message_that_is_no_cpim_is_answered_400() -> None:
    async def story() -> None:
        async with running() as server, make_phone(server):
            assert (await server.send(ALICE, "MESSAGE", [("Content-Type", "message/cpim")], b"x")).status == 400

    asyncio.run(story())


def test_a_hook_gets_messages_instead_of_the_reader() -> None:
    async def story() -> None:
        async with running() as server, make_phone(server) as alice:
            heard: list[Received] = []
            alice.on_message = heard.append
            await server.deliver(ALICE, make_chat())
            assert [message.text for message in heard] == ["salut"]

    asyncio.run(story())
