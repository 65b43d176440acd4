"""Chats at the door: what is refused was not taken, and who may not chat any more does not."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from edge.stranger import DOMAIN, Door, Stranger, aor, make_cpim, meets, uri
from joyn.config import MsrpListener, Settings, SipListener
from joyn.model.message import Accepted
from joyn.model.refused import Reason, Refused
from joyn.node import Node
from joyn.phone import Rejected
from joyn.protocol.sip.message import SipRequest, SipResponse
from joyn.services.messaging.originating import Submission
from phone.node import ALICE, BOB, CAROL, make_phone, make_subscriber
from ports import free_port

PATIENCE = 5.0
SDP = (
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=message 9 {proto} *\r\n"
    "a=accept-types:message/cpim\r\na=setup:active\r\na=path:{scheme}://127.0.0.1:9/abcdefghijklmnop;tcp\r\n"
)


def invite(carol: Stranger, *, tls: bool = False, without: str = "", **more: str) -> bytes:
    """An INVITE with a first message, right but for what is said."""
    sdp = SDP.format(proto="TCP/TLS/MSRP" if tls else "TCP/MSRP", scheme="msrps" if tls else "msrp")
    start = f"--b\r\nContent-Type: application/sdp\r\n\r\n{sdp}\r\n--b\r\nContent-Type: message/cpim\r\n\r\n"
    body = start.encode() + make_cpim("the first") + b"\r\n--b--\r\n"
    fields = {"Content-Type": "multipart/mixed;boundary=b", "Contact": carol.contact(CAROL)} | more
    fields.pop(without, None)
    return carol.request("INVITE", f"tel:{BOB}", body=body, more=list(fields.items()))


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ({"tls": True}, 488),
        ({"without": "Contact"}, 400),
        ({"Supported": "timer", "Session-Expires": "soon"}, 400),
    ],
)
def test_the_first_message_of_a_refused_chat_was_not_taken(fault: dict[str, Any], status: int) -> None:
    async def story(door: Door) -> None:
        async with door.stranger() as carol:
            assert (await carol.register()).status == 200
            assert await carol.status(invite(carol, **fault)) == status
            assert await door.node.store.mailboxes.read(aor(BOB), 0, 10) == []
            assert len(door.node.sessions) == 0

    meets(story)


def test_a_chat_whose_first_message_is_refused_leaves_nothing_open() -> None:
    async def story(door: Door) -> None:
        async with door.stranger() as carol:
            assert (await carol.register()).status == 200
            good = invite(carol)
            assert await carol.status(good.replace(b"\r\n\r\nthe first", b"\r\nno header\r\n\r\nthe first")) == 400
            assert len(door.node.sessions) == 0
            assert door.node.msrp._legs == {}

    meets(story)


def test_the_chats_and_watches_of_a_blocked_subscriber_end() -> None:
    async def story(door: Door) -> None:
        chat = await door.alice.open_chat(BOB)
        await (await chat.send("one")).delivered(timeout=PATIENCE)
        async with door.stranger() as somebody:
            assert (await somebody.register(ALICE)).status == 200
            more = [("Event", "reg"), ("Expires", "600"), ("Contact", somebody.contact(ALICE))]
            assert await somebody.status(somebody.request("SUBSCRIBE", f"tel:{ALICE}", from_=ALICE, more=more)) == 200
            subscriber = await door.node.store.subscribers.get(aor(ALICE))
            assert subscriber is not None
            await door.node.store.subscribers.put(replace(subscriber, blocked=True))
            await door.node._changed(aor(ALICE))
            assert await last_state(somebody) == "terminated;reason=rejected"
        await door.until(lambda: not chat.open)
        with pytest.raises(Rejected):
            await chat.send("after that")
        assert all(leg.device[0] != aor(ALICE) for leg in door.node.sessions._media.values())
        # For what comes after the story.
        await door.node.store.subscribers.put(subscriber)
        await door.alice.register()

    meets(story)


def test_a_blocked_subscriber_is_silenced_also_when_the_store_is_too_busy_for_it() -> None:
    async def busy(*_arguments: object, **_named: object) -> None:
        raise Refused(Reason.OVERLOADED, "busy")

    async def story(door: Door) -> None:
        chat = await door.alice.open_chat(BOB)
        async with door.stranger() as carol:
            assert (await carol.register()).status == 200
            subscriber = await door.node.store.subscribers.get(aor(CAROL))
            assert subscriber is not None
            await door.node.store.subscribers.put(replace(subscriber, blocked=True))
            assert await carol.status(invite(carol)) == 200
            with patch.object(door.node.registrar, "remove", busy), pytest.raises(Refused):
                await door.node._changed(aor(CAROL))
            assert [leg.device[0] for leg in door.node.sessions._media.values() if leg.device[0] == aor(CAROL)] == []
            # The connection speaks for her no longer: she would have to prove who she is, and may not.
            assert await carol.status(carol.message()) == 407
            assert chat.open

    meets(story)


def test_a_device_that_comes_over_another_connection_is_brought_its_chats_there() -> None:
    async def story(door: Door) -> None:
        # Carol's phone answers nothing, and a receipt without an answer would hold up what comes after it.
        receipts, door.bob.receipts = door.bob.receipts, "none"
        async with door.stranger() as before, door.stranger() as carol:
            assert (await before.register()).status == 200
            assert await before.status(invite(before)) == 200
            device = aor(CAROL), "urn:uuid:stranger"
            assert door.node.sessions.find(device, aor(BOB)) is not None
            # The old connection looks alive: nobody has closed it. What was opened there is not waited for.
            assert (await carol.register()).status == 200
            assert door.node.sessions.find(device, aor(BOB)) is None
            assert (await before.requested("BYE")).header("reason") is None
            sending = asyncio.ensure_future(door.bob.send(CAROL, "salut", mode="session"))
            assert b"salut" in (await carol.requested("INVITE")).body
            await sending
        door.bob.receipts = receipts

    meets(story)


@pytest.mark.parametrize("instances", ["one device by two ways", "two devices without a name"])
def test_what_is_still_behind_a_connection_keeps_its_chats_there(instances: str) -> None:
    async def story(door: Door) -> None:
        async with door.stranger() as before, door.stranger() as after:
            named = instances.startswith("one")
            first, second = (
                (before.contact(CAROL), before.contact(CAROL).replace(";+sip", ";reg-id=2;+sip"))
                if named
                else (f"<sip:{CAROL}@192.0.2.1:{port};transport=tcp>;{before.tags}" for port in (1, 2))
            )
            # What a small office has behind its one connection, and where one of it goes.
            before.contact = after.contact = lambda _number: first  # type: ignore[method-assign]  # not one of its own
            assert (await before.register()).status == 200
            own, more = f"<{uri(CAROL)}>", [("Contact", second), ("Supported", "outbound, path")]
            again = await before.again("REGISTER", f"sip:{DOMAIN}", from_=CAROL, to=own, more=more)
            assert again.status == 200
            assert await before.status(invite(before)) == 200
            device = aor(CAROL), "urn:uuid:stranger" if named else ""
            assert (await after.register()).status == 200
            assert door.node.sessions.find(device, aor(BOB)) is not None

    meets(story)


def test_a_chat_whose_device_leaves_while_its_message_is_taken_is_not_kept() -> None:
    async def story(door: Door) -> None:
        accept = door.node.originating.accept
        taken, left = asyncio.Event(), asyncio.Event()

        async def after_they_left(submission: Submission) -> Accepted:
            accepted = await accept(submission)
            taken.set()
            await left.wait()
            return accepted

        async with door.stranger() as carol:
            assert (await carol.register()).status == 200
            (flow,) = [one for one in door.node.endpoint.flows.values() if aor(CAROL) in (one.identities or ())]
            with patch.object(door.node.originating, "accept", after_they_left):
                carol.say(invite(carol))
                await taken.wait()
        await door.until(lambda: flow.closed)
        left.set()
        assert (await door.bob.receive(timeout=PATIENCE)).text == "the first"
        # Her MSRP session has become a chat, or is gone.
        await door.until(lambda: set(door.node.msrp._legs.values()) == set(door.node.sessions._media))
        assert [leg for leg in door.node.sessions._media.values() if leg.device[0] == aor(CAROL)] == []

    meets(story)


async def last_state(watcher: Stranger) -> str:
    """The Subscription-State of the last notification."""
    while True:
        heard = await watcher.hear()
        assert heard is not None
        if isinstance(heard, SipRequest) and heard.method == "NOTIFY":
            state = heard.header("subscription-state") or ""
            if state.startswith("terminated"):
                return state


def test_what_waits_at_a_restart_goes_the_way_its_device_wants_it(tmp_path: Path) -> None:
    """A UDP device that takes sessions alone is served as soon as the node is back: by INVITE, for MSRP listens."""
    ports = {"trusted": free_port(), "tcp": free_port()}
    settings = Settings()
    settings = replace(
        settings,
        operator=replace(settings.operator, data=tmp_path),
        sip=replace(
            settings.sip,
            listeners=(
                SipListener(name="trusted", transport="udp", port=ports["trusted"], access="trusted"),
                SipListener(name="tcp", transport="tcp", port=ports["tcp"]),
            ),
        ),
        msrp=replace(settings.msrp, listeners=(MsrpListener(port=free_port()),)),
    )

    async def story() -> None:
        node = Node(settings)
        await node.start()
        for number in (ALICE, CAROL):
            await node.store.subscribers.put(make_subscriber(number, settings.operator.domain))
        async with Stranger("trusted", ports["trusted"]) as carol:
            carol.tags = "+g.oma.sip-im"
            assert (await carol.register()).status == 200
            async with make_phone({"tcp": f"127.0.0.1:{ports['tcp']}"}, ALICE) as alice:
                node.terminating._closed = True  # it is accepted, and nothing of it is begun
                await alice.send(CAROL, "salut", mode="pager")
            await node.stop()
            node = Node(settings)
            await node.start()
            try:
                heard = await carol.hear()
                while isinstance(heard, SipResponse):
                    heard = await carol.hear()
                assert isinstance(heard, SipRequest)
                assert heard.method == "INVITE"
            finally:
                await node.stop()

    asyncio.run(story())
