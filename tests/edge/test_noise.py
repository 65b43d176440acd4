"""Requests and answers that are nearly right: whatever is wrong with them, the node has an answer and goes on.

`JOYN_SEED` picks other noise, `JOYN_NOISE` how much of it.
"""

import asyncio
import contextlib
import logging
import os
import random
import re
from collections.abc import Iterator

import pytest

from edge.stranger import ANYBODY, DOMAIN, Door, Stranger, make_cpim, meets, uri
from joyn.model.tags import CPM_SESSION
from joyn.protocol.cpim import build
from joyn.protocol.imdn import Imdn
from joyn.protocol.sdp import SessionDescription
from joyn.protocol.sip.building import build_response
from joyn.protocol.sip.message import SipRequest, SipResponse
from phone.node import ALICE, BOB, CAROL

SEED = int(os.environ.get("JOYN_SEED", "20261122"))
ROUNDS = int(os.environ.get("JOYN_NOISE", "12"))
SDP = (
    b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=message 9 TCP/MSRP *\r\n"
    b"a=accept-types:message/cpim\r\na=accept-wrapped-types:text/plain message/imdn+xml\r\na=setup:active\r\n"
    b"a=path:msrp://127.0.0.1:9/abc;tcp\r\na=sendrecv\r\n"
)
FORMS = (
    b"--bb\r\nContent-Type: application/sdp\r\n\r\n" + SDP + b"\r\n--bb\r\nContent-Type: message/cpim\r\n\r\n"
    b"From: " + ANYBODY.encode() + b"\r\n\r\nContent-type: text/plain\r\n\r\nsalut\r\n--bb--\r\n"
)
ODD = ["²", "٣", "", '"', "<", ">", ";", ",", "=", ":", "\0", "\r", "\n", "\r\n", "\r\n ", "%00", "%", "é", "\udcff"]
ODD += ["9" * 30, "-1", "0", "*", "a" * 300, "sip:", "tel:", "[::1]", "[", "@", "\\", "\t", "1e9", ";;", ",,"]
NOISE = [odd.encode("utf-8", "surrogateescape") for odd in ODD]


def requests(s: Stranger) -> Iterator[bytes]:
    """One good request of every kind."""
    imdn = Imdn(message_id="a", kind="delivery", status="delivered", datetime="2026-11-22T12:00:00Z").emit()
    contact = ("Contact", s.contact(CAROL))
    sdp = ("Content-Type", "application/sdp")
    yield s.message()
    yield s.message(cpim=build(from_=ANYBODY, to=ANYBODY, content_type="message/imdn+xml", body=imdn, message_id="b"))
    one_device = ("Accept-Contact", '*;+sip.instance="<urn:uuid:1>"')
    yield s.message(more=[("Expires", "60"), ("Conversation-ID", "abc"), one_device])
    yield s.request("MESSAGE", f"tel:{BOB}", body=b"salut", more=[("Content-Type", "text/plain;charset=UTF-8")])
    yield s.request("OPTIONS", f"tel:{BOB}", more=[contact, ("Accept", "application/sdp")])
    yield s.request("SUBSCRIBE", f"tel:{CAROL}", more=[contact, ("Event", "reg"), ("Expires", "600")])
    timer = [("Supported", "timer"), ("Session-Expires", "1800;refresher=uac")]
    yield s.request("INVITE", f"tel:{BOB}", body=SDP, more=[sdp, contact, *timer])
    yield s.request(
        "INVITE", f"tel:{BOB}", body=FORMS, more=[("Content-Type", 'multipart/mixed;boundary="bb"'), contact]
    )
    yield s.request("UPDATE", f"tel:{BOB}", to=f"<tel:{BOB}>;tag=x", body=SDP, more=[sdp])
    for method in ("BYE", "CANCEL", "ACK"):
        yield s.request(method, f"sip:{DOMAIN}", to=f"<tel:{BOB}>;tag=x")
    proof = 'Digest username="x",realm="y",nonce="z",uri="sip:a",response="00",qop=auth,nc=00000001,cnonce="c"'
    outbound = [("Supported", "path, gruu, outbound"), ("Path", "<sip:a@b;lr>"), ("Authorization", proof)]
    more = [("Contact", f"{s.contact(CAROL)};expires=600;reg-id=1"), *outbound]
    yield s.request("REGISTER", f"sip:{DOMAIN}", to=f"<{uri(CAROL)}>", more=more)


KINDS = 13
"""How many `requests` there are."""


async def heard_out(somebody: Stranger) -> None:
    """Returns when the node has answered the last request, closed the connection, or waits for more."""
    with contextlib.suppress(TimeoutError):  # it waits for more
        while message := await somebody.hear(0.05):
            if isinstance(message, SipResponse) and message.header("call-id") == "last":
                return


def spoiled(chance: random.Random, data: bytes) -> bytes:
    """The bytes with one to three things wrong."""
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        data = chance.choice((in_place, in_a_header, in_a_word))(chance, data, chance.choice(NOISE)) or b"x"
    return data


def in_place(chance: random.Random, data: bytes, noise: bytes) -> bytes:
    """Something goes in, or instead of a few bytes."""
    start = chance.randrange(len(data))
    return data[:start] + noise + data[start + chance.choice((0, 0, 1, 5, 12)) :]


def in_a_header(chance: random.Random, data: bytes, noise: bytes) -> bytes:
    """A line comes twice, not at all, or with another value."""
    lines = data.split(b"\r\n")
    place = chance.randrange(len(lines))
    name, colon, _ = lines[place].partition(b":")
    lines[place : place + 1] = chance.choice(([lines[place]] * 2, [], [name + colon + b" " + noise]))
    return b"\r\n".join(lines)


def in_a_word(chance: random.Random, data: bytes, noise: bytes) -> bytes:
    """A word becomes something else."""
    words = list(re.finditer(rb"[A-Za-z0-9.+-]+", data))
    if not words:
        return data
    word = chance.choice(words)
    return data[: word.start()] + noise + data[word.end() :]


@pytest.mark.parametrize("listener", ["tcp", "trusted"])
def test_requests_that_are_nearly_right(listener: str, caplog: pytest.LogCaptureFixture) -> None:
    chance = random.Random(SEED)

    async def story(door: Door) -> None:
        for number in range(ROUNDS * KINDS):
            async with door.stranger(listener) as carol:
                assert (await carol.register()).status == 200
                carol.say(spoiled(chance, list(requests(carol))[number % KINDS]))
                # What comes next is served after it; the connection may have been closed by then.
                carol.say(carol.request("OPTIONS", f"sip:{DOMAIN}", call_id="last"))
                await heard_out(carol)

    meets(story)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


@pytest.mark.parametrize("mode", ["pager", "session"])
def test_answers_that_are_nearly_right(mode: str, caplog: pytest.LogCaptureFixture) -> None:
    chance = random.Random(SEED)

    async def story(door: Door) -> None:
        for _ in range(2 * ROUNDS):
            async with door.stranger() as carol:
                assert (await carol.register()).status == 200
                await door.alice.send(CAROL, "salut", mode=mode)
                request = await carol.hear()
                assert isinstance(request, SipRequest)
                headers = [("Contact", f"<sip:{CAROL}@127.0.0.1:5060>"), ("Content-Type", "application/sdp")]
                carol.say(spoiled(chance, build_response(request, 200, to_tag="t", headers=headers, body=SDP)))
                carol.say(carol.request("OPTIONS", f"sip:{DOMAIN}"))
                await asyncio.sleep(0.01)  # the node tells nobody what it made of an answer

    meets(story)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


def frames(path: str, own: str) -> Iterator[bytes]:
    """One good MSRP request or response of every kind."""
    cpim = make_cpim("salut")
    head = f"To-Path: {path}\r\nFrom-Path: {own}\r\nMessage-ID: m1\r\n"
    whole = f"Byte-Range: 1-{len(cpim)}/{len(cpim)}\r\nContent-Type: message/cpim\r\n\r\n"
    yield f"MSRP t001 SEND\r\n{head}{whole}".encode() + cpim + b"\r\n-------t001$\r\n"
    part = f"Byte-Range: 1-*/{len(cpim)}\r\nContent-Type: message/cpim\r\n\r\n"
    yield f"MSRP t002 SEND\r\n{head}{part}".encode() + cpim[:9] + b"\r\n-------t002+\r\n"
    yield f"MSRP t003 SEND\r\n{head}Byte-Range: 1-0/0\r\n-------t003$\r\n".encode()
    yield f"MSRP t004 REPORT\r\n{head}Byte-Range: 1-9/9\r\nStatus: 000 200 OK\r\n-------t004$\r\n".encode()
    yield f"MSRP t005 200 OK\r\nTo-Path: {path}\r\nFrom-Path: {own}\r\n-------t005$\r\n".encode()


FRAMES = 5
"""How many `frames` there are."""


def test_chat_frames_that_are_nearly_right(caplog: pytest.LogCaptureFixture) -> None:
    chance = random.Random(SEED)
    own = "msrp://127.0.0.1:9/abc;tcp"

    async def story(door: Door) -> None:
        async with door.stranger() as carol:
            assert (await carol.register()).status == 200
            for number in range(FRAMES * ROUNDS):
                more = [("Content-Type", "application/sdp"), ("Contact", carol.contact(CAROL))]
                answer = await carol.ask(carol.request("INVITE", f"tel:{BOB}", body=SDP, more=more))
                media = SessionDescription.parse(answer.body).msrp()
                assert media is not None
                reader, writer = await asyncio.open_connection("127.0.0.1", media.port)
                every = list(frames(media.path[0], own))
                writer.write(spoiled(chance, every[number % FRAMES]) + every[0])
                with contextlib.suppress(TimeoutError):  # it answers, or closes, or waits for the end of a message
                    await asyncio.wait_for(reader.read(1), 0.05)
                writer.close()
            assert (await door.bob.receive(timeout=5)).text == "salut"

    meets(story)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


@pytest.mark.parametrize(
    "path", [b"msrp://127.0.0.1:9", b"http://127.0.0.1/", b"msrp://[/a;tcp", b"msrp://a:99999/b;tcp"]
)
def test_a_session_whose_path_is_none_is_ended_and_the_message_tried_in_another(path: bytes) -> None:
    async def story(door: Door) -> None:
        async with door.stranger() as carol:
            carol.tags = f'+g.3gpp.icsi-ref="{CPM_SESSION.replace(":", "%3A")}"'
            assert (await carol.register()).status == 200
            await door.alice.send(CAROL, "salut", mode="session")
            headers = [("Contact", f"<sip:{CAROL}@127.0.0.1:5060>"), ("Content-Type", "application/sdp")]
            heard = []
            while heard.count("INVITE") < 2:
                request = await carol.hear()
                assert isinstance(request, SipRequest)
                heard.append(request.method)
                if request.method == "INVITE":
                    body = SDP.replace(b"msrp://127.0.0.1:9/abc;tcp", path)
                    carol.say(build_response(request, 200, to_tag="t", headers=headers, body=body))
                elif request.method == "BYE":
                    carol.say(build_response(request, 200))
            assert heard == ["INVITE", "ACK", "BYE", "INVITE"]

    meets(story)


def test_a_message_to_alice_still_arrives_from_whoever_made_noise() -> None:
    async def story(door: Door) -> None:
        async with door.stranger() as carol:
            assert (await carol.register()).status == 200
            assert await carol.status(carol.message(ALICE, make_cpim("pardon"))) == 202
            assert (await door.alice.receive(timeout=5)).text == "pardon"

    meets(story)
