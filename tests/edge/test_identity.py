"""Who somebody is, is what they have proved: not what they write, and not where they send it from."""

from dataclasses import replace
from typing import Any

import pytest

from edge.stranger import DOMAIN, Door, Stranger, aor, make_cpim, meets
from joyn.model.message import State
from joyn.protocol.cpim import CpimMessage
from joyn.protocol.imdn import Imdn, Kind
from joyn.protocol.sip.auth import parse_auths
from joyn.protocol.sip.digest import Authenticator
from joyn.protocol.sip.message import SipRequest
from phone.node import ALICE, BOB, CAROL, PASSWORD

PATIENCE = 5.0


async def block(door: Door, number: str) -> None:
    """The operator blocks a subscriber, as the admin interface does."""
    subscriber = await door.node.store.subscribers.get(aor(number))
    assert subscriber is not None
    await door.node.store.subscribers.put(replace(subscriber, blocked=True))
    await door.node._changed(aor(number))


# Credentials.


def test_a_registration_is_challenged_with_401_and_anything_else_with_407() -> None:
    async def story(door: Door) -> None:
        async with door.stranger() as somebody:
            for method, status, name in (
                ("REGISTER", 401, "www-authenticate"),
                ("MESSAGE", 407, "proxy-authenticate"),
                ("INVITE", 407, "proxy-authenticate"),
                ("SUBSCRIBE", 407, "proxy-authenticate"),
                ("OPTIONS", 407, "proxy-authenticate"),
                ("BYE", 407, "proxy-authenticate"),
            ):
                more = [("Event", "reg")] if method == "SUBSCRIBE" else []
                answer = await somebody.ask(somebody.request(method, f"tel:{BOB}", more=more))
                assert (method, answer.status) == (method, status)
                assert answer.header(name)

    meets(story)


@pytest.mark.parametrize(("method", "status"), [("REGISTER", 401), ("MESSAGE", 407)])
@pytest.mark.parametrize(
    ("number", "password"),
    [(CAROL, "wrong"), ("+33639980099", PASSWORD), ("", ""), ("' OR 1=1 --", "x"), ("\x01", "x")],
)
def test_wrong_credentials_are_challenged_again_and_get_nowhere(
    method: str, status: int, number: str, password: str
) -> None:
    async def story(door: Door) -> None:
        async with door.stranger("udp") as somebody:
            somebody.digest = Authenticator(number, password, lambda: "0a4f113b")
            uri = f"sip:{DOMAIN}" if method == "REGISTER" else f"tel:{BOB}"
            answer = await somebody.prove(method, uri, make_cpim("non"), to=f"<sip:{CAROL}@{DOMAIN};user=phone>")
            assert answer.status == status
            assert "stale" not in str(parse_auths(answer.headers(challenge_of(status)))[0]).lower()

    meets(story)


def challenge_of(status: int) -> str:
    return "www-authenticate" if status == 401 else "proxy-authenticate"


def test_a_subscriber_the_operator_has_blocked_is_told_so_and_thrown_out() -> None:
    async def story(door: Door) -> None:
        async with door.stranger() as carol:
            assert (await carol.register()).status == 200
            await block(door, CAROL)
            assert door.node.registrar.of(aor(CAROL)) == ()
            assert (await carol.ask(carol.message())).status == 407
            assert (await carol.register()).status == 403
            answer = await carol.prove("MESSAGE", f"tel:{BOB}", make_cpim("non"))
            assert answer.status == 403

    meets(story)


@pytest.mark.parametrize("listener", ["tcp", "udp"])
def test_credentials_that_were_used_prove_nothing_any_more(listener: str) -> None:
    async def story(door: Door) -> None:
        async with door.stranger(listener) as carol, door.stranger(listener) as thief:
            body = make_cpim("une fois")
            more = [("Content-Type", "message/cpim")]
            challenge = await carol.ask(carol.request("MESSAGE", f"tel:{BOB}", body=body, more=more))
            carol.digest.challenged(challenge)
            credentials = carol.digest.authorize("MESSAGE", f"tel:{BOB}", body)
            request = [*more, *credentials]
            assert await carol.status(carol.request("MESSAGE", f"tel:{BOB}", body=body, more=request)) == 202
            again = await thief.ask(thief.request("MESSAGE", f"tel:{BOB}", body=make_cpim("volé"), more=request))
            assert again.status == 407
            assert parse_auths(again.headers("proxy-authenticate"))[0].get("stale").upper() == "TRUE"

    meets(story)


def test_credentials_made_for_something_else_prove_nothing() -> None:
    async def story(door: Door) -> None:
        async with door.stranger("udp") as carol:
            challenge = await carol.ask(carol.request("MESSAGE", f"tel:{BOB}"))
            for method, uri in (("MESSAGE", f"tel:{ALICE}"), ("OPTIONS", f"tel:{BOB}")):
                carol.digest = Authenticator(CAROL, PASSWORD, lambda: "0a4f113b")
                carol.digest.challenged(challenge)
                credentials = carol.digest.authorize(method, uri)
                request = carol.request("MESSAGE", f"tel:{BOB}", body=make_cpim("non"), more=credentials)
                assert await carol.status(request) == 407

    meets(story)


def test_an_old_nonce_is_stale_and_the_phone_gets_in_with_the_new_one() -> None:
    async def story(door: Door) -> None:
        async with door.stranger() as carol:
            challenge = await carol.ask(carol.request("REGISTER", f"sip:{DOMAIN}"))
            carol.digest.challenged(challenge)
            now = door.node.authentication._wall
            door.node.authentication._wall = lambda: now() + 3601
            fields: dict[str, Any] = {"to": f"<sip:{CAROL}@{DOMAIN};user=phone>"}
            late = await carol.again("REGISTER", f"sip:{DOMAIN}", **fields)
            assert late.status == 401
            assert parse_auths(late.headers("www-authenticate"))[0].get("stale").upper() == "TRUE"
            assert carol.digest.challenged(late)
            assert (await carol.again("REGISTER", f"sip:{DOMAIN}", **fields)).status == 200

    meets(story)


def test_credentials_that_are_no_credentials_are_answered() -> None:
    async def story(door: Door) -> None:
        async with door.stranger("udp") as somebody:
            for value in (
                "Digest",
                "Basic QTpC",
                "Digest username=",
                'Digest username="',
                "x" * 9000,
                'Digest nc="\x01"',
            ):
                request = somebody.request("MESSAGE", f"tel:{BOB}", more=[("Proxy-Authorization", value)])
                assert await somebody.status(request) in (400, 407)

    meets(story)


# Claims.


@pytest.mark.parametrize("listener", ["tcp", "udp"])
def test_the_recipient_sees_who_a_message_is_from_and_not_who_it_claims_to_be_from(listener: str) -> None:
    async def story(door: Door) -> None:
        async with door.stranger() as carol, door.stranger(listener) as liar:
            # Carol receives; Alice's second phone lies about everything there is.
            assert (await carol.register()).status == 200
            body = make_cpim("coucou", from_="Bob <tel:+33639980002>")
            more = [
                ("Content-Type", "message/cpim"),
                ("P-Asserted-Identity", f"<tel:{BOB}>"),
                ("P-Preferred-Identity", f"<tel:{BOB}>"),
                ("Remote-Party-ID", f"<tel:{BOB}>"),
                ("P-Asserted-Service", "urn:x"),
            ]
            liar.digest = Authenticator(ALICE, PASSWORD, lambda: "0a4f113b")
            sent = await liar.prove("MESSAGE", f"tel:{CAROL}", body, more=more, from_=BOB)
            assert sent.status == 202
            request = await carol.hear()
            assert isinstance(request, SipRequest)
            assert_from(request, ALICE, but=BOB)

    meets(story)


def assert_from(request: SipRequest, number: str, *, but: str) -> None:
    """The request is from `number`, and nothing in it names the other."""
    assert number in (request.header("from") or "")
    asserted = request.headers("p-asserted-identity")
    assert asserted
    assert all(number in value for value in asserted)
    assert number in CpimMessage.parse(request.body).from_
    assert but not in str(bytes(request))


def test_a_registered_connection_speaks_for_its_subscriber_only() -> None:
    async def story(door: Door) -> None:
        async with door.stranger() as carol:
            assert (await carol.register()).status == 200
            body = make_cpim("coucou", from_=f"<tel:{ALICE}>")
            more = [("P-Preferred-Identity", f"<tel:{ALICE}>"), ("P-Asserted-Identity", f"<tel:{ALICE}>")]
            assert await carol.status(carol.message(BOB, body, from_=ALICE, more=more)) == 202
            message = await door.bob.receive(timeout=PATIENCE)
            assert (message.text, message.sender) == ("coucou", CAROL)

    meets(story)


def test_an_address_on_an_open_network_identifies_nobody() -> None:
    async def story(door: Door) -> None:
        async with door.stranger("udp") as carol:
            assert (await carol.register()).status == 200
            assert await carol.status(carol.message()) == 407
            assert await carol.status(carol.request("OPTIONS", f"tel:{BOB}")) == 407

    meets(story)


def test_an_address_on_a_trusted_network_identifies_who_has_registered_from_it() -> None:
    async def story(door: Door) -> None:
        async with door.stranger("trusted") as carol, door.stranger("trusted") as neighbour:
            assert (await carol.register()).status == 200
            assert await carol.status(carol.message()) == 202
            assert await neighbour.status(neighbour.message()) == 407

    meets(story)


def test_an_address_that_has_unregistered_identifies_nobody() -> None:
    async def story(door: Door) -> None:
        for listener in ("tcp", "trusted"):
            async with door.stranger(listener) as carol:
                assert (await carol.register()).status == 200
                assert (await carol.register(more=[("Expires", "0")])).status == 200
                assert await carol.status(carol.message()) == 407

    meets(story)


def test_on_a_shared_connection_only_those_who_registered_over_it_can_be_chosen() -> None:
    async def story(door: Door) -> None:
        async with door.stranger() as gateway, door.stranger() as other:
            assert (await gateway.register(CAROL)).status == 200
            assert (await gateway.register(ALICE)).status == 200
            assert (await other.register(BOB)).status == 200
            for claimed, number in ((CAROL, CAROL), (ALICE, ALICE), (BOB, CAROL)):
                preferred = [("P-Preferred-Identity", f"<tel:{claimed}>")]
                body = make_cpim(f"de {claimed}")
                assert await gateway.status(gateway.message(BOB, body, from_=claimed, more=preferred)) == 202
                assert (await door.bob.receive(timeout=PATIENCE)).sender == number

    meets(story)


# Receipts.


def receipt(message_id: str, status: str) -> bytes:
    kind: Kind = "display" if status == "displayed" else "delivery"
    body = Imdn(message_id=message_id, kind=kind, status=status, datetime="2026-11-22T12:00:00Z").emit()
    return make_cpim(body.decode(), content_type="message/imdn+xml", disposition_request=())


@pytest.mark.parametrize("status", ["delivered", "displayed", "failed"])
def test_a_receipt_from_somebody_who_was_not_sent_the_message_never_reaches_its_sender(status: str) -> None:
    async def story(door: Door) -> None:
        async with door.stranger() as carol:
            assert (await carol.register()).status == 200
            sent = await door.alice.send(BOB, "pour Bob", mode="pager")
            await sent.delivered(timeout=PATIENCE)
            before = door.counted("receipt.dropped")
            assert await carol.status(carol.message(ALICE, receipt(sent.message_id, status))) == 202
            assert door.counted("receipt.dropped") == before + 1
            trace = await door.node.store.mailboxes.find(aor(ALICE), aor(BOB), sent.message_id)
            assert trace is not None
            assert [(one.recipient, one.state) for one in trace.dispositions] == [(aor(BOB), State.DELIVERED)]
            assert await mailbox_of(door, ALICE) == 1

    meets(story)


async def mailbox_of(door: Door, number: str) -> int:
    """How many entries a mailbox has."""
    return len(await door.node.store.mailboxes.read(aor(number), 0, 100))


def test_a_receipt_for_a_message_that_never_was_goes_nowhere() -> None:
    async def story(door: Door) -> None:
        async with door.stranger() as carol:
            assert (await carol.register()).status == 200
            for message_id in ("never", "", "x" * 256):
                await carol.status(carol.message(ALICE, receipt(message_id, "displayed")))
            assert await mailbox_of(door, ALICE) == 0

    meets(story)


def test_a_receipt_that_was_sent_once_cannot_be_sent_again() -> None:
    async def story(door: Door) -> None:
        async with door.stranger() as carol:
            assert (await carol.register()).status == 200
            sent = await door.alice.send(CAROL, "pour Carol", mode="pager")
            message = await carol.hear()
            assert isinstance(message, SipRequest)
            for status in ("delivered", "delivered", "displayed", "delivered", "failed"):
                assert await status_of(carol, receipt(sent.message_id, status)) == 202
            await sent.displayed(timeout=PATIENCE)
            assert await mailbox_of(door, ALICE) == 2

    meets(story)


async def status_of(carol: Stranger, cpim: bytes) -> int:
    return (await carol.ask(carol.message(ALICE, cpim))).status


def test_nobody_withdraws_what_another_has_sent() -> None:
    async def story(door: Door) -> None:
        async with door.stranger() as carol:
            assert (await carol.register()).status == 200
            door.bob.cut()
            sent = await door.alice.send(BOB, "pour Bob", mode="pager")
            xml = (
                '<?xml version="1.0"?><imRevoke xmlns="urn:gsma:params:xml:ns:rcs:rcs:rcsrevoke"><MessageRevokeRequest>'
                f"<Message-ID>{sent.message_id}</Message-ID></MessageRevokeRequest></imRevoke>"
            )
            body = make_cpim(xml, content_type="application/vnd.gsma.rcsrevoke+xml")
            await carol.ask(carol.message(BOB, body))
            await door.bob.come_back()
            assert (await door.bob.receive(timeout=PATIENCE)).text == "pour Bob"

    meets(story)
