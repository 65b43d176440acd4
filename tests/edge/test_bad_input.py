"""What is wrong with a request, and what it is answered. After each of them a good message still arrives."""

from collections.abc import Callable
from typing import Any

import pytest

from edge.stranger import DOMAIN, Door, Stranger, connection, make_cpim, meets
from joyn.protocol.sip.message import MAX_HEAD, MAX_HEADERS, MAX_START_LINE, SipResponse
from phone.node import ALICE, BOB

NOBODY = "+33639980099"
CLOSED = 0
"""Instead of a status: the connection is closed without a word."""
IGNORED = -1
"""Instead of a status: nothing comes back, and the next request is served."""


# A subscriber's phone, over a connection that speaks for them, says what it should not.

Wrong = Callable[[Stranger], bytes]


def headers(count: int) -> list[tuple[str, str]]:
    return [(f"X-{number}", "1") for number in range(count)]


def imdn(body: bytes) -> bytes:
    return make_cpim(body.decode(), content_type="message/imdn+xml")


def broken(data: bytes, old: bytes, new: bytes) -> bytes:
    assert old in data
    return data.replace(old, new, 1)


REQUESTS: dict[str, tuple[Wrong, int]] = {
    "noise": (lambda s: b"hello\r\n\r\n", CLOSED),
    "noise that is no text": (lambda s: bytes(range(128, 256)) + b"\r\n\r\n", CLOSED),
    "another protocol": (lambda s: b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", CLOSED),
    "another version": (lambda s: broken(s.message(), b"SIP/2.0\r\n", b"SIP/3.0\r\n"), CLOSED),
    "a TLS hello": (lambda s: bytes.fromhex("1603010200010001fc0303") + bytes(64) + b"\r\n\r\n", CLOSED),
    "an answer nobody asked for": (
        lambda s: broken(s.message(), f"MESSAGE tel:{BOB} SIP/2.0".encode(), b"SIP/2.0 200 OK"),
        IGNORED,
    ),
    "an ACK of nothing": (lambda s: s.request("ACK", f"sip:{DOMAIN}"), IGNORED),
    "an ACK that is broken": (lambda s: s.request("ACK", f"sip:{DOMAIN}", without="CSeq"), IGNORED),
    "no Via": (lambda s: s.message(without="Via"), IGNORED),
    "no From": (lambda s: s.message(without="From"), 400),
    "no To": (lambda s: s.message(without="To"), 400),
    "no Call-ID": (lambda s: s.message(without="Call-ID"), 400),
    "no CSeq": (lambda s: s.message(without="CSeq"), 400),
    "a CSeq of another method": (lambda s: s.message(cseq="1 INVITE"), 400),
    "a CSeq that is no number": (lambda s: s.message(cseq="one MESSAGE"), 400),
    "a CSeq without end": (lambda s: s.message(cseq=f"{'9' * 4000} MESSAGE"), 400),
    "an Expires that only looks like a number": (lambda s: s.message(more=[("Expires", "²")]), 202),
    "Max-Forwards that only looks like a number": (lambda s: s.message(max_forwards="²"), 400),
    "a head that is no UTF-8": (lambda s: s.message(more=[("Subject", "\udce9t\udce9")]), 400),
    "a content type that is no UTF-8": (lambda s: s.message(more=[("Content-Type", "text/pl\udce0in")]), 400),
    "a sender's name that is no UTF-8": (lambda s: s.message(**{"from": '"Ren\udce9" <sip:a@b>;tag=t'}), 400),
    "two To": (lambda s: s.message(more=[("To", "<tel:+33639980001>")]), 400),
    "two From": (lambda s: s.message(more=[("From", "<tel:+33639980001>;tag=t")]), 400),
    "two Call-ID": (lambda s: s.message(more=[("Call-ID", "another")]), 400),
    "a header without a name": (lambda s: s.message(more=[("", "value")]), CLOSED),
    "no Content-Length": (lambda s: s.message(without="Content-Length"), 400),
    "a Content-Length that is no number": (lambda s: s.message(content_length="many"), 400),
    "a negative Content-Length": (lambda s: s.message(content_length="-1"), 400),
    "two lengths": (lambda s: s.message(more=[("Content-Length", "7")]), 400),
    "a length without end": (lambda s: s.message(content_length="9" * 4000), 400),
    "Max-Forwards that is no number": (lambda s: s.message(max_forwards="some"), 400),
    "no hop left": (lambda s: s.message(max_forwards="0"), 483),
    "no hop left, twice": (lambda s: s.message(max_forwards="00"), 483),
    "a method we do not know": (lambda s: s.request("FETCH", f"sip:{DOMAIN}"), 405),
    "a method in small letters": (lambda s: s.request("message", f"tel:{BOB}"), 405),
    "an extension we do not have": (lambda s: s.message(more=[("Require", "timer, 100rel")]), 420),
    "an extension we do not have as a proxy": (lambda s: s.message(more=[("Proxy-Require", "100rel")]), 420),
    "a scheme we do not know": (lambda s: s.request("MESSAGE", "https://joyn.example/bob"), 416),
    "no scheme": (lambda s: s.request("MESSAGE", BOB), 416),
    "nobody's number": (lambda s: s.message(NOBODY), 404),
    "a number of another domain": (lambda s: s.request("MESSAGE", "sip:bob@elsewhere.example"), 404),
    "a number with letters": (lambda s: s.request("MESSAGE", "tel:+33robert"), 404),
    # Over-long everything.
    "a start line too long": (lambda s: s.request("MESSAGE", f"tel:{'1' * MAX_START_LINE}", to="<tel:1>"), 400),
    "too many headers": (lambda s: s.message(more=headers(MAX_HEADERS)), 400),
    "a header too long": (lambda s: s.message(more=[("Subject", "x" * MAX_HEAD)]), 400),
    "a head without end": (lambda s: b"MESSAGE tel:+33639980002 SIP/2.0\r\nSubject: " + b"x" * 2 * MAX_HEAD, CLOSED),
    "a body too long": (lambda s: s.message(cpim=make_cpim("x" * (64 << 10))), 513),
    "a length that promises too much": (lambda s: s.message(content_length=str(1 << 20)), 513),
    "a Message-ID too long": (lambda s: s.message(cpim=make_cpim("salut", message_id="i" * 257)), 400),
    # Bodies.
    "no CPIM at all": (lambda s: s.message(cpim=b""), 400),
    "half a CPIM": (lambda s: s.message(cpim=b"From: <tel:+33639980003>\r\n\r\nContent-type: text/plain"), 400),
    "a CPIM that is no UTF-8": (lambda s: s.message(cpim=b"From: \xff\xfe\r\n\r\n\r\nsalut"), 400),
    "a CPIM with a control character": (
        lambda s: s.message(cpim=broken(make_cpim("salut"), b"imdn.Message-ID: ", b"imdn.Message-ID: \x00")),
        400,
    ),
    "a receipt that is no XML": (lambda s: s.message(cpim=imdn(b"<imdn")), 400),
    "a receipt that says nothing": (lambda s: s.message(cpim=imdn(b"<imdn/>")), 400),
    "a receipt with a bomb of entities": (
        lambda s: s.message(
            cpim=imdn(
                b'<!DOCTYPE i [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><imdn xmlns="urn:ietf:params:xml:ns:imdn">'
                b"<message-id>&b;</message-id></imdn>"
            )
        ),
        400,
    ),
    # Dialogs and sessions.
    "a BYE of no dialog": (lambda s: s.request("BYE", f"sip:{DOMAIN}", to=f"<tel:{BOB}>;tag=gone"), 481),
    "an INVITE of no dialog": (lambda s: s.request("INVITE", f"tel:{BOB}", to=f"<tel:{BOB}>;tag=gone"), 481),
    "an UPDATE of no dialog": (lambda s: s.request("UPDATE", f"tel:{BOB}", to=f"<tel:{BOB}>;tag=gone"), 481),
    "a CANCEL of nothing": (lambda s: s.request("CANCEL", f"tel:{BOB}"), 481),
    "an INVITE without an offer": (lambda s: s.request("INVITE", f"tel:{BOB}"), 488),
    "an INVITE with a broken offer": (
        lambda s: s.request("INVITE", f"tel:{BOB}", body=b"v=\x00", more=[("Content-Type", "application/sdp")]),
        400,
    ),
    "an INVITE with a path that is none": (
        lambda s: s.request(
            "INVITE",
            f"tel:{BOB}",
            body=b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=message 9 TCP/MSRP *\r\n"
            b"c=IN IP4 127.0.0.1\r\na=path:msrp://nowhere\r\na=setup:active\r\na=accept-types:message/cpim\r\n",
            more=[("Content-Type", "application/sdp")],
        ),
        400,
    ),
    "an INVITE for a telephone call": (
        lambda s: s.request(
            "INVITE",
            f"tel:{BOB}",
            body=b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\nc=IN IP4 127.0.0.1\r\n",
            more=[("Content-Type", "application/sdp")],
        ),
        488,
    ),
    "a subscription to what we do not have": (
        lambda s: s.request("SUBSCRIBE", f"tel:{BOB}", more=[("Event", "presence")]),
        489,
    ),
    "a subscription to somebody else's devices": (
        lambda s: s.request("SUBSCRIBE", f"tel:{BOB}", more=[("Event", "reg"), ("Contact", "<sip:a@b>")]),
        403,
    ),
    "the capabilities of nobody": (lambda s: s.request("OPTIONS", f"tel:{NOBODY}"), 404),
}


@pytest.mark.parametrize(("wrong", "status"), REQUESTS.values(), ids=REQUESTS)
def test_a_wrong_request_over_a_connection_is_answered(wrong: Wrong, status: int) -> None:
    async def story(door: Door) -> None:
        async with door.stranger() as carol:
            assert (await carol.register()).status == 200
            data = wrong(carol)
            if status == CLOSED:
                carol.say(data)
                assert await carol.hear() is None
            elif status == IGNORED:
                carol.say(data)
                await carol.silence()
                assert await carol.status(carol.message()) == 202
            else:
                answer = await carol.ask(data)
                assert answer.status == status, answer.reason
                told_what_rfc_3261_wants(answer)

    meets(story)


@pytest.mark.parametrize("name", ["no Content-Length", "too many headers", "a header too long"])
def test_a_wrong_head_that_comes_in_pieces_is_answered_like_one_that_comes_whole(name: str) -> None:
    async def story(door: Door) -> None:
        async with door.stranger() as somebody:
            wrong, status = REQUESTS[name]
            data = wrong(somebody)
            at = data.index(b"Call-ID")
            somebody.say(data[:at])
            await door.until(
                lambda: any(connection(flow)._framer.buffered for flow in door.node.endpoint.flows.values())
            )
            somebody.say(data[at:])
            assert (await somebody.answer()).status == status
            assert await somebody.hear() is None

    meets(story)


@pytest.mark.parametrize(
    "wrong", [b"GET / HTTP/1.1\r\n\r\n", b"OPTIONS sip:a SIP/2.0\r\nContent-Length: 99999\r\n\r\n"]
)
def test_what_came_whole_before_the_noise_is_served(wrong: bytes) -> None:
    async def story(door: Door) -> None:
        async with door.stranger() as carol:
            assert (await carol.register()).status == 200
            carol.say(carol.message(cpim=make_cpim("salut")) + wrong)
            assert (await door.bob.receive(timeout=5)).text == "salut"

    meets(story)


def told_what_rfc_3261_wants(answer: SipResponse) -> None:
    """RFC 3261 §21.4.6 (405), §21.4.15 (420): what would have been right."""
    if answer.status == 405:
        assert "MESSAGE" in (answer.header("allow") or "")
    if answer.status == 420:
        assert answer.header("unsupported") == "100rel"


DATAGRAMS: dict[str, tuple[Wrong, int]] = {
    "noise": (lambda s: b"hello", IGNORED),
    "nothing": (lambda s: b"", IGNORED),
    "zeros": (lambda s: bytes(500), IGNORED),
    "half a STUN request": (lambda s: bytes.fromhex("000100002112a442"), IGNORED),
    "a head that never ends": (lambda s: b"MESSAGE tel:+33639980002 SIP/2.0\r\nVia: x", 400),
    "a length that promises more than there is": (lambda s: s.message(content_length="9000"), 400),
    "no Via": (lambda s: s.message(without="Via"), IGNORED),
    "no CSeq": (lambda s: s.message(without="CSeq"), 400),
    "too many headers": (lambda s: s.message(more=headers(MAX_HEADERS)), 400),
    "a head too long": (lambda s: s.message(more=[("Subject", "x" * MAX_HEAD)]), 400),
}


@pytest.mark.parametrize(("wrong", "status"), DATAGRAMS.values(), ids=DATAGRAMS)
def test_a_wrong_datagram_is_answered_or_ignored(wrong: Wrong, status: int) -> None:
    async def story(door: Door) -> None:
        async with door.stranger("udp") as somebody:
            somebody.say(wrong(somebody))
            if status == IGNORED:
                await somebody.silence()
            else:
                assert (await somebody.answer()).status == status

    meets(story)


# Registrations.

REGISTRATIONS: dict[str, tuple[list[tuple[str, str]], int]] = {
    "too short": ([("Contact", "<sip:a@127.0.0.1>"), ("Expires", "5")], 423),
    "an expiry that only looks like a number": ([("Contact", "<sip:a@127.0.0.1>;expires=²"), ("Expires", "5")], 423),
    "everything, but not to end it": ([("Contact", "*"), ("Expires", "60")], 400),
    "everything and something": ([("Contact", "*"), ("Contact", "<sip:a@127.0.0.1>"), ("Expires", "0")], 400),
    "a contact that is none": ([("Contact", "<>")], 400),
    "a contact that never ends": ([("Contact", "<sip:a@127.0.0.1")], 400),
    "too many contacts": ([("Contact", ", ".join(f"<sip:{n}@127.0.0.1>" for n in range(65)))], 400),
    "too many devices": ([("Contact", f"<sip:{n}@127.0.0.1>") for n in range(11)], 500),
    "an extension we do not have": ([("Contact", "<sip:a@127.0.0.1>"), ("Require", "sec-agree")], 420),
}


@pytest.mark.parametrize(("more", "status"), REGISTRATIONS.values(), ids=REGISTRATIONS)
def test_a_wrong_registration_is_refused_and_leaves_no_binding(more: list[tuple[str, str]], status: int) -> None:
    async def story(door: Door) -> None:
        async with door.stranger() as carol:
            fields: dict[str, Any] = {"to": f"<sip:+33639980003@{DOMAIN};user=phone>", "more": more}
            if status == 420:
                answer = await carol.ask(carol.request("REGISTER", f"sip:{DOMAIN}", **fields))
            else:
                answer = await carol.prove("REGISTER", f"sip:{DOMAIN}", **fields)
            assert answer.status == status
            if status == 423:
                assert answer.header("min-expires") == "60"
            assert len(door.node.registrar) == 2

    meets(story)


def test_nobody_registers_as_somebody_else() -> None:
    async def story(door: Door) -> None:
        async with door.stranger() as carol:
            fields: dict[str, Any] = {"to": f"<sip:{ALICE}@{DOMAIN};user=phone>"}
            answer = await carol.prove("REGISTER", f"sip:{DOMAIN}", more=[("Contact", "<sip:a@127.0.0.1>")], **fields)
            assert answer.status == 404
            assert len(door.node.registrar) == 2

    meets(story)
