import asyncio
import hashlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from joyn.phone import Phone, Rejected, Unanswered
from joyn.protocol.cpim import CpimMessage
from joyn.protocol.imdn import Imdn
from joyn.protocol.iscomposing import IsComposing
from joyn.protocol.sdp import SessionDescription
from joyn.protocol.sip.message import SipRequest
from joyn.protocol.sip.transaction import build_cancel
from joyn.transport.tls import issue_certificate, make_development_ca, server_context
from phone.scripted_chat import ScriptedChat, ScriptedChats
from phone.scripted_server import ALICE, BOB, make_chat, make_phone, running


@asynccontextmanager
async def ready(
    transport: str = "tcp", *, media: ssl.SSLContext | None = None, fingerprint: str = "", **settings: object
) -> AsyncIterator[tuple[Phone, ScriptedChats]]:
    """A registered phone, and the server's chats with it."""
    async with (
        running(transport) as server,
        ScriptedChats(server, ALICE, media, fingerprint) as chats,
        make_phone(server, transport=transport, **settings) as alice,
    ):
        yield alice, chats


def make_notice(message_id: str, status: str = "delivered", sender: str = "sip:x@y") -> CpimMessage:
    body = Imdn(message_id=message_id, kind="delivery", status=status).emit()
    return CpimMessage.make(from_=f"<{sender}>", to="<sip:y@y>", content_type="message/imdn+xml", body=body)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("setup", ["active", "passive", "actpass"])
def test_a_chat_is_opened_whoever_connects(transport: str, setup: str) -> None:
    async def story() -> None:
        async with ready(transport, msrp_setup=setup) as (alice, chats):
            chat = await alice.open_chat(BOB)
            leg = await chats.next()
            sent = await chat.send("salut")
            assert (await leg.read()).body == b"salut"
            assert sent.state == "accepted"
            await leg.write(make_chat("coucou"))
            message = await alice.receive(timeout=2)
            assert (message.text, message.sender, message.way) == ("coucou", BOB, "session")

    asyncio.run(story())


def test_a_joyn_phone_puts_its_first_message_into_the_invite() -> None:
    async def story() -> None:
        async with ready(style="simple") as (alice, chats):
            chat = await alice.open_chat(BOB, "salut")
            request = (await chats.next()).request
            assert request is not None
            assert (request.header("content-type") or "").startswith("multipart/mixed")
            assert "+g.oma.sip-im" in (request.header("accept-contact") or "")
            assert chat.first is not None
            assert chat.first.state == "accepted"

    asyncio.run(story())


def test_a_cpm_phone_sends_its_first_message_in_the_session() -> None:
    async def story() -> None:
        async with ready() as (alice, chats):
            await alice.open_chat(BOB, "salut")
            leg = await chats.next()
            assert leg.request is not None
            assert leg.request.header("content-type") == "application/sdp"
            assert "oma.cpm.session" in (leg.request.header("p-preferred-service") or "")
            assert (await leg.read()).body == b"salut"

    asyncio.run(story())


def test_a_refused_chat_raises_with_its_status() -> None:
    async def story() -> None:
        async with ready() as (alice, chats):
            chats.server.on["INVITE"] = lambda inbound: inbound.respond(486)
            with pytest.raises(Rejected, match="486"):
                await alice.open_chat(BOB)

    asyncio.run(story())


def test_an_answer_without_msrp_is_ended_at_once() -> None:
    async def story() -> None:
        async with ready() as (alice, chats):
            contact = ("Contact", f"<sip:127.0.0.1:{chats.server.port}>")
            chats.server.on["INVITE"] = lambda inbound: inbound.respond(200, headers=[contact])
            with pytest.raises(Rejected, match="488"):
                await alice.open_chat(BOB)
            await chats.server.wait_for("BYE")

    asyncio.run(story())


def test_giving_up_before_the_answer_cancels_the_invite() -> None:
    async def story() -> None:
        async with ready() as (alice, chats):
            chats.server.on["INVITE"] = lambda inbound: inbound.respond(180)
            opening = asyncio.create_task(alice.open_chat(BOB))
            await chats.server.wait_for("INVITE")
            await alice.capabilities(BOB)  # by now the 180 has come
            opening.cancel()
            cancel = await chats.server.wait_for("CANCEL")
            assert cancel.call_id == chats.server.of("INVITE")[0].call_id

    asyncio.run(story())


def test_a_message_refused_in_the_session_raises_with_its_status() -> None:
    async def story() -> None:
        async with ready() as (alice, chats):
            chat = await alice.open_chat(BOB)
            (await chats.next()).status = 413
            with pytest.raises(Rejected, match="413"):
                await chat.send("trop long")

    asyncio.run(story())


def test_messages_go_into_the_chat_that_is_open() -> None:
    async def story() -> None:
        async with ready() as (alice, chats):
            await alice.open_chat(BOB)
            leg = await chats.next()
            sent = await alice.send(BOB, "salut")
            assert sent.mode == "session"
            assert (await leg.read()).body == b"salut"

    asyncio.run(story())


def test_a_joyn_phone_opens_one_chat_for_messages_sent_together() -> None:
    async def story() -> None:
        async with ready(style="simple") as (alice, chats):
            await asyncio.gather(*(alice.send(BOB, str(number)) for number in range(3)))
            leg = await chats.next()
            assert sorted([(await leg.read()).body for _ in range(2)]) == [b"1", b"2"]
            assert len(chats.server.of("INVITE")) == 1

    asyncio.run(story())


def test_a_long_message_has_a_session_of_its_own() -> None:
    async def story() -> None:
        async with ready() as (alice, chats):
            sent = await alice.send(BOB, "x" * 2000)
            assert sent.mode == "large"
            leg = await chats.next()
            assert leg.request is not None
            assert "oma.cpm.largemsg" in (leg.request.header("accept-contact") or "")
            media = SessionDescription.parse(leg.request.body).msrp()
            assert media is not None
            assert media.direction == "sendonly"
            assert len((await leg.read()).body) == 2000
            await chats.server.wait_for("BYE")

    asyncio.run(story())


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("setup", ["passive", "actpass"])
def test_a_chat_that_comes_in_is_answered_at_once(transport: str, setup: str) -> None:
    async def story() -> None:
        async with ready(transport) as (alice, chats):
            leg = await chats.invite(setup=setup)
            chat = await alice.incoming_chat(timeout=2)
            assert (chat.peer, chat.deferred, chat.state) == (BOB, False, "open")
            await leg.write(make_chat("salut"))
            assert (await alice.receive(timeout=2)).text == "salut"
            await chat.send("coucou")
            assert (await leg.read()).body == b"coucou"

    asyncio.run(story())


def test_a_receipt_goes_the_way_its_message_came() -> None:
    async def story() -> None:
        async with ready() as (alice, chats):
            leg = await chats.invite(first=make_chat("un", "m1", ("positive-delivery", "display")))
            by_message = await chats.server.wait_for("MESSAGE")
            assert Imdn.parse(CpimMessage.parse(by_message.body).body).message_id == "m1"
            await leg.write(make_chat("deux", "m2", ("positive-delivery",)))
            assert Imdn.parse((await leg.read()).body).message_id == "m2"
            first = await alice.receive(timeout=2)
            assert first.way == "invite"
            await first.mark_displayed()
            assert Imdn.parse((await leg.read()).body).status == "displayed"

    asyncio.run(story())


def test_a_receipt_whose_session_has_ended_goes_as_a_message() -> None:
    async def story() -> None:
        async with ready() as (alice, chats):
            leg = await chats.invite()
            await leg.write(make_chat(request=("display",)))
            message = await alice.receive(timeout=2)
            await leg.bye()
            await message.mark_displayed()
            assert len(chats.server.of("MESSAGE")) == 1

    asyncio.run(story())


def test_a_receipt_in_the_session_reaches_its_message() -> None:
    async def story() -> None:
        async with ready() as (alice, chats):
            chat = await alice.open_chat(BOB)
            leg = await chats.next()
            sent = await chat.send("salut")
            await leg.write(make_notice(sent.message_id))
            await sent.delivered(timeout=2)

    asyncio.run(story())


def test_a_chat_rings_until_the_program_accepts_and_its_first_message_is_there_before() -> None:
    async def story() -> None:
        async with ready() as (alice, chats):
            alice.accept_chats = "ring"
            leg = ScriptedChat(chats)
            request, answering = await chats.ask(leg, first=make_chat("salut"))
            chat = await alice.incoming_chat(timeout=2)
            assert chat.state == "ringing"
            assert (await alice.receive(timeout=2)).text == "salut"
            assert not answering.done()
            await chat.accept()
            chats.establish(leg, request, await answering)
            await leg.write(make_chat("deux", "m2"))
            assert (await alice.receive(timeout=2)).text == "deux"

    asyncio.run(story())


def test_a_ringing_chat_can_be_refused() -> None:
    async def story() -> None:
        async with ready() as (alice, chats):
            alice.accept_chats = "ring"
            _, answering = await chats.ask(ScriptedChat(chats))
            await (await alice.incoming_chat(timeout=2)).refuse(603)
            assert (await answering).status == 603

    asyncio.run(story())


def test_a_ringing_chat_that_is_cancelled_is_over() -> None:
    async def story() -> None:
        async with ready() as (alice, chats):
            alice.accept_chats = "ring"
            request, answering = await chats.ask(ScriptedChat(chats))
            chat = await alice.incoming_chat(timeout=2)
            flow = chats.server.contacts[ALICE][1]
            assert (await chats.server.endpoint.request(flow, build_cancel(request))).status == 200
            assert (await answering).status == 487
            await chat.closed(timeout=2)
            await chat.accept()
            assert chat.state == "closed"

    asyncio.run(story())


def test_chats_are_refused_with_the_status_told() -> None:
    async def story() -> None:
        async with ready() as (alice, chats):
            alice.accept_chats = 486
            _, answering = await chats.ask(ScriptedChat(chats), first=make_chat(request=("positive-delivery",)))
            assert (await answering).status == 486
            assert alice.log.all("received") == []

    asyncio.run(story())


def test_an_invite_without_msrp_is_not_acceptable() -> None:
    async def story() -> None:
        async with ready() as (_, chats):
            answer = await chats.server.send(ALICE, "INVITE", [("Contact", "<sip:x@127.0.0.1>")])
            assert answer.status == 488

    asyncio.run(story())


@pytest.mark.parametrize("setup", ["active", "holdconn"])
def test_an_invite_nobody_would_connect_for_is_not_acceptable(setup: str) -> None:
    async def story() -> None:
        async with ready() as (alice, chats):
            _, answering = await chats.ask(ScriptedChat(chats), setup=setup)
            assert (await answering).status == 488
            assert (await alice.incoming_chat(timeout=2)).state == "closed"

    asyncio.run(story())


def test_an_invite_with_a_first_message_that_is_none_leaves_no_chat() -> None:
    async def story() -> None:
        async with ready() as (alice, chats):
            first = make_chat()
            first.data = b"no cpim"
            _, answering = await chats.ask(ScriptedChat(chats), first=first)
            assert (await answering).status == 400
            with pytest.raises(TimeoutError):
                await alice.incoming_chat(timeout=0)

    asyncio.run(story())


def test_stored_messages_are_marked_deferred() -> None:
    async def story() -> None:
        async with ready() as (alice, chats):
            alice.accept_chats = "ring"  # what was stored is accepted all the same
            leg = await chats.invite(first=make_chat("tôt"), headers=(("Referred-By", f"<tel:{BOB}>"),))
            await leg.write(make_chat("plus tard", "m2"))
            messages = [await alice.receive(timeout=2) for _ in range(2)]
            assert [(message.text, message.deferred) for message in messages] == [("tôt", True), ("plus tard", True)]
            assert (await leg.bye()).status == 200
            assert (await alice.incoming_chat(timeout=2)).state == "closed"

    asyncio.run(story())


def test_stored_receipts_come_in_a_session_that_only_receives() -> None:
    async def story() -> None:
        async with ready() as (alice, chats):
            sent = await alice.send(BOB, "salut")
            leg = ScriptedChat(chats)
            identity = "<sip:rcse-standfw@joyn.example>"
            request, answering = await chats.ask(leg, direction="sendonly", identity=identity)
            answer = await answering
            media = SessionDescription.parse(answer.body).msrp()
            assert media is not None
            assert media.direction == "recvonly"
            chats.establish(leg, request, answer)
            senders: list[str] = []
            alice.on_receipt = lambda receipt: senders.append(receipt.sender)
            await leg.write(make_notice(sent.message_id, sender=f"tel:{BOB}"))
            await sent.delivered(timeout=2)
            assert senders == [BOB]

    asyncio.run(story())


def test_typing_is_shown_on_both_sides_until_the_message_comes() -> None:
    async def story() -> None:
        async with ready() as (alice, chats):
            chat = await alice.open_chat(BOB)
            leg = await chats.next()
            seen: list[bool] = []
            chat.on_typing = seen.append
            await chat.typing()
            await chat.typing()
            await chat.idle()
            states = [IsComposing.parse((await leg.messages.get()).body).state for _ in range(2)]
            assert states == ["active", "idle"]
            notice = IsComposing(state="active", refresh=60).emit()
            await leg.media.send("t1", "application/im-iscomposing+xml", notice)
            assert chat.peer_is_typing
            await leg.write(make_chat())
            assert seen == [True, False]
            assert leg.messages.empty()

    asyncio.run(story())


def test_a_message_ends_the_typing_however_it_is_sent() -> None:
    async def story() -> None:
        async with ready() as (alice, chats):
            chat = await alice.open_chat(BOB)
            leg = await chats.next()
            await chat.typing()
            await alice.send(BOB, "salut", mode="session")
            await chat.idle()  # there is nothing to take back any more
            await chat.send("ca va ?")
            kinds = [(await leg.messages.get()).content_type.partition(";")[0] for _ in range(3)]
            assert kinds == ["application/im-iscomposing+xml", "message/cpim", "message/cpim"]

    asyncio.run(story())


def test_leaving_a_chat_says_so_in_a_bye() -> None:
    async def story() -> None:
        async with ready() as (alice, chats):
            chat = await alice.open_chat(BOB)
            await chats.next()
            await chat.close()
            assert "Call completed" in ((await chats.server.wait_for("BYE")).header("reason") or "")
            with pytest.raises(Unanswered):
                await chat.send("trop tard")

    asyncio.run(story())


def test_a_bye_from_the_other_side_ends_the_chat() -> None:
    async def story() -> None:
        async with ready() as (alice, chats):
            chat = await alice.open_chat(BOB)
            assert (await (await chats.next()).bye()).status == 200
            await chat.closed(timeout=2)
            assert chats.server.of("BYE") == []

    asyncio.run(story())


def test_a_lost_media_connection_ends_the_chat_with_a_bye_without_reason() -> None:
    async def story() -> None:
        async with ready() as (alice, chats):
            chat = await alice.open_chat(BOB)
            leg = await chats.next()
            await chat.send("salut")
            assert leg.media.connection is not None
            leg.media.connection.close()
            bye: SipRequest = await chats.server.wait_for("BYE")
            assert bye.header("reason") is None
            assert chat.state == "closed"

    asyncio.run(story())


def test_when_two_chats_cross_the_newest_stays() -> None:
    async def story() -> None:
        async with ready() as (alice, chats):
            first = await alice.open_chat(BOB)
            await chats.next()
            await chats.invite()
            await first.closed(timeout=2)
            assert (await alice.incoming_chat(timeout=2)).open

    asyncio.run(story())


def test_a_refresh_leaves_the_chat_as_it_is() -> None:
    async def story() -> None:
        async with ready() as (alice, chats):
            leg = await chats.invite()
            chat = await alice.incoming_chat(timeout=2)
            assert leg.dialog is not None
            server = chats.server
            flow = server.contacts[ALICE][1]
            contact = ("Contact", f"<sip:127.0.0.1:{server.port}>")
            answer = await server.endpoint.request(flow, leg.dialog.request("UPDATE", [server.via(flow), contact]))
            assert answer.status == 200
            assert chat.open

    asyncio.run(story())


def test_a_phone_told_not_to_answer_in_sessions_lets_the_sender_wait() -> None:
    async def story() -> None:
        async with ready() as (alice, chats):
            leg = await chats.invite()
            alice.session_answer = None
            sending = asyncio.create_task(leg.write(make_chat()))
            notice = IsComposing(state="idle").emit()
            assert await leg.media.send("t1", "application/im-iscomposing+xml", notice) == 200
            assert alice.log.all("ignored") == ["SEND"]
            assert not sending.done()
            alice.cut()
            assert await sending == 503

    asyncio.run(story())


def test_a_cut_phone_says_no_bye() -> None:
    async def story() -> None:
        async with ready() as (alice, chats):
            chat = await alice.open_chat(BOB)
            await chats.next()
            alice.cut()
            assert chat.state == "closed"
            await alice.come_back()
            assert chats.server.of("BYE") == []

    asyncio.run(story())


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, str]:
    """A server's context and the fingerprint of its certificate."""
    directory = tmp_path_factory.mktemp("tls")
    make_development_ca(directory)
    issue_certificate(directory, ["127.0.0.1"])
    leaf = (directory / "server.pem").read_text().partition("-----END CERTIFICATE-----")
    der = ssl.PEM_cert_to_DER_cert(leaf[0] + leaf[1])
    digest = hashlib.sha256(der).hexdigest().upper()
    context = server_context(directory / "server.pem", directory / "server-key.pem")
    return context, ":".join(digest[at : at + 2] for at in range(0, len(digest), 2))


def test_sessions_run_over_tls_where_the_fingerprint_vouches(certificate: tuple[ssl.SSLContext, str]) -> None:
    async def story() -> None:
        async with ready(media=certificate[0], fingerprint=certificate[1], msrps=True) as (alice, chats):
            chat = await alice.open_chat(BOB)
            leg = await chats.next()
            assert leg.request is not None
            assert b"m=message 9 TCP/TLS/MSRP *" in leg.request.body
            await chat.send("chiffré")
            assert (await leg.read()).body == "chiffré".encode()
            await chat.close()
            incoming = await chats.invite()
            await incoming.write(make_chat("aussi"))
            assert (await alice.receive(timeout=2)).text == "aussi"

    asyncio.run(story())


def test_a_session_with_another_certificate_than_announced_is_ended(certificate: tuple[ssl.SSLContext, str]) -> None:
    async def story() -> None:
        wrong = "00" + certificate[1][2:]
        async with ready(media=certificate[0], fingerprint=wrong, msrps=True) as (alice, chats):
            with pytest.raises(Rejected, match="certificate"):
                await alice.open_chat(BOB)
            await chats.server.wait_for("BYE")

    asyncio.run(story())
