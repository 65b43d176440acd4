"""What a peer may say, and for whom: the table of what is tried at a border."""

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from interconnect.operators import ALICE, ANNA, BOB, ORANGE, SFR, Operator, operator
from interconnect.scripted_peer import ScriptedPeer, asserted, scripted_peer
from joyn.model.aor import Aor
from joyn.model.peer import mailbox_of
from joyn.model.ported import PortedNumber
from joyn.model.refused import Refused
from joyn.model.route import Operator as Domain
from joyn.protocol.imdn import Imdn
from joyn.services.messaging.originating import CPIM as CPIM_TYPE
from joyn.services.messaging.originating import Submission
from joyn.telemetry import counters
from phone.node import make_subscriber
from services.scene import make_cpim
from waiting import until

VODAFONE = "vodafone.example"
CPIM = make_cpim("m1", b"salut")
Story = Callable[[Operator, ScriptedPeer], Awaitable[None]]


def play(tmp_path: Path, story: Story, **fields: object) -> None:
    """Orange, and a peer at its border."""

    async def run() -> None:
        async with (
            operator(ORANGE, (ALICE, ANNA)) as orange,
            scripted_peer(tmp_path, orange, **fields) as peer,
        ):
            await story(orange, peer)

    asyncio.run(run())


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param(asserted(ANNA), id="a subscriber of ours"),
        pytest.param(asserted("+447700900001"), id="a number that is nobody's here"),
        pytest.param([], id="nobody"),
        pytest.param(asserted(BOB, "+33639980102"), id="two numbers"),
        pytest.param(asserted(BOB, BOB, BOB), id="more identities than RFC 3325 allows"),
        pytest.param([("P-Preferred-Identity", f"<tel:{BOB}>")], id="what only a phone may prefer"),
        pytest.param([("P-Asserted-Identity", "<sip:anonymous@anonymous.invalid>")], id="anonymous"),
        pytest.param(
            [("P-Asserted-Identity", f"<sip:forward@{SFR}>"), ("Referred-By", f"<tel:{ANNA}>")],
            id="forwarded for a number that was never the peer's",
        ),
    ],
)
def test_a_peer_speaks_for_its_own_numbers_alone(tmp_path: Path, headers: list[tuple[str, str]]) -> None:
    async def story(orange: Operator, peer: ScriptedPeer) -> None:
        async with orange.phone(ALICE) as alice:
            answer = await peer.send("MESSAGE", ALICE, headers, CPIM)
            assert answer.status == 403
            # What it may say is still heard, and nothing came before it.
            assert (await peer.send("MESSAGE", ALICE, asserted(BOB), make_cpim("m2", b"moi"))).status == 202
            message = await alice.receive(timeout=5)
            assert (message.sender, message.text) == (BOB, "moi")

    play(tmp_path, story)


def test_a_replayed_message_is_answered_and_shown_once(tmp_path: Path) -> None:
    async def story(orange: Operator, peer: ScriptedPeer) -> None:
        async with orange.phone(ALICE) as alice:
            for _ in range(3):
                assert (await peer.send("MESSAGE", ALICE, asserted(BOB), CPIM)).status == 202
            other = make_cpim("m1", b"autre chose")
            assert (await peer.send("MESSAGE", ALICE, asserted(BOB), other)).status == 400
            assert (await peer.send("MESSAGE", ALICE, asserted(BOB), make_cpim("m2", b"fin"))).status == 202
            assert [(await alice.receive(timeout=5)).text for _ in range(2)] == ["salut", "fin"]

    play(tmp_path, story)


@pytest.mark.parametrize("status", ["delivered", "displayed", "failed"])
def test_a_receipt_counts_only_from_whom_the_message_was_sent_to(tmp_path: Path, status: str) -> None:
    async def story(orange: Operator, peer: ScriptedPeer) -> None:
        async with orange.phone(ALICE) as alice, orange.phone(ANNA) as anna:
            sent = await alice.send(ANNA, "salut")
            await anna.receive(timeout=5)
            await sent.delivered(timeout=5)
            kind = "display" if status == "displayed" else "delivery"
            body = Imdn(message_id=sent.message_id, kind=kind, status=status).emit()
            before = counters().get("receipt.dropped", 0)
            forged = make_cpim("forged", body, "message/imdn+xml")
            assert (await peer.send("MESSAGE", ALICE, asserted(BOB), forged)).status == 202
            assert counters().get("receipt.dropped", 0) == before + 1
            assert (await peer.send("MESSAGE", ALICE, asserted(BOB), make_cpim("m2", b"fin"))).status == 202
            assert (await alice.receive(timeout=5)).text == "fin"
            assert [state for state, _ in sent.states] == ["accepted", "delivered"]

    play(tmp_path, story)


def test_what_phones_said_of_themselves_and_where_they_are_does_not_cross(tmp_path: Path) -> None:
    async def story(orange: Operator, peer: ScriptedPeer) -> None:
        async with orange.phone(ALICE) as alice:
            private = [
                ("P-Access-Network-Info", "3GPP-E-UTRAN-FDD; utran-cell-id-3gpp=208011234"),
                ("P-Charging-Vector", "icid-value=secret"),
                ("User-Agent", "Telephone/1"),
                ("Service-Route", "<sip:inside.sfr.example;lr>"),
                ("Conversation-ID", "c-1"),
            ]
            assert (await peer.send("MESSAGE", ALICE, asserted(BOB) + private, CPIM)).status == 202
            await alice.receive(timeout=5)
            (trace,) = await orange.node.store.mailboxes.trace("m1")
            assert trace.message.headers == "Conversation-ID: c-1"

    play(tmp_path, story)


def test_a_peer_does_not_reach_other_operators_through_us(tmp_path: Path) -> None:
    async def story(orange: Operator, peer: ScriptedPeer) -> None:
        other = ScriptedPeer(tmp_path, orange.border, domain=VODAFONE)
        await orange.accept(other.as_peer(ranges=("+4477009",)))
        answer = await peer.send("MESSAGE", "+447700900001", asserted(BOB), CPIM)
        assert answer.status == 404
        assert (await peer.send("MESSAGE", BOB, asserted(BOB), CPIM)).status == 404

    play(tmp_path, story)


def test_a_hub_speaks_for_the_operators_behind_it_and_for_nobody_else(tmp_path: Path) -> None:
    async def story(orange: Operator, hub: ScriptedPeer) -> None:
        sfr = ScriptedPeer(tmp_path, orange.border, domain=SFR)
        vodafone = ScriptedPeer(tmp_path, orange.border, domain=VODAFONE)
        await orange.accept(vodafone.as_peer(ranges=("+4477009",)), sfr.as_peer())
        assert (await hub.send("MESSAGE", ALICE, asserted(BOB), CPIM)).status == 202
        assert (await hub.send("MESSAGE", ALICE, asserted("+447700900001"), CPIM)).status == 403

    play(tmp_path, story, domain="hub.example", transit=(SFR,), ranges=())


def test_a_donor_returns_what_our_subscriber_gave_it_and_forges_nothing_in_their_name(tmp_path: Path) -> None:
    """Bob's number was SFR's and has come to Orange: SFR may forward, which is no licence to write for Anna."""

    async def story(orange: Operator, peer: ScriptedPeer) -> None:
        returned = [("P-Asserted-Identity", f"<sip:forward@{SFR}>"), ("Referred-By", f"<tel:{ANNA}>")]
        async with orange.phone(ANNA) as anna:
            sent = await anna.send(BOB, "salut")
            (trace,) = await orange.node.store.mailboxes.trace(sent.message_id)
            await orange.node.store.subscribers.put(make_subscriber(BOB, ORANGE))
            row = PortedNumber(number=BOB, operator=Domain(ORANGE), at=time.time())
            await orange.node.store.ported.put([row])
            async with orange.phone(BOB) as bob:
                assert (await peer.send("MESSAGE", BOB, returned, make_cpim("forged", b"moi"))).status == 403
                receipt = Imdn(message_id="m0", kind="delivery", status="delivered").emit()
                forged = make_cpim("r", receipt, "message/imdn+xml")
                assert (await peer.send("MESSAGE", BOB, returned, forged)).status == 403
                assert (await peer.send("INVITE", BOB, returned)).status == 403
                assert (await peer.send("MESSAGE", BOB, returned, trace.message.cpim)).status == 202
                assert (await bob.receive(timeout=5)).text == "salut"
                await sent.delivered(timeout=5)

    play(tmp_path, story)


def test_what_a_peer_says_at_length_is_not_kept(tmp_path: Path) -> None:
    async def story(orange: Operator, peer: ScriptedPeer) -> None:
        long = [("P-Asserted-Identity", f'"{"x" * 5000}" <tel:{BOB}>')]
        assert (await peer.send("MESSAGE", ALICE, long, CPIM)).status == 403
        named = [("P-Asserted-Identity", f'"{"x" * 500}" <tel:{BOB}>')]
        assert (await peer.send("MESSAGE", ALICE, named, CPIM)).status == 202
        assert orange.node.interconnect.name_of(Aor(f"tel:{BOB}")) == "x" * 128
        assert (await peer.send("MESSAGE", "9" * 1500, asserted(BOB), CPIM)).status == 404

    play(tmp_path, story)


def test_a_session_is_no_way_around_what_a_peer_may_send(tmp_path: Path) -> None:
    async def story(orange: Operator, peer: ScriptedPeer) -> None:
        async def over_a_session(number: int) -> None:
            submission = Submission(
                sender=Aor(f"tel:{BOB}"),
                instance=mailbox_of(SFR),
                to=f"tel:{ALICE}",
                content_type=CPIM_TYPE,
                body=make_cpim(f"{number}", b"x"),
            )
            await orange.node.interconnect.crossing.accept(submission)

        for number in range(2):
            await over_a_session(number)
        with pytest.raises(Refused, match="not now"):
            await asyncio.gather(*(over_a_session(number) for number in range(2, 22)))

    play(tmp_path, story, rate=5)


def test_another_certificate_ends_the_connections_that_stand_both_ways(tmp_path: Path) -> None:
    async def story(orange: Operator, peer: ScriptedPeer) -> None:
        await peer.listen(orange)
        await orange.accept(peer.as_peer())
        assert (await peer.send("OPTIONS", ALICE, [])).status == 480
        await until(lambda: orange.node.interconnect.links.reaches(SFR))
        renewed = ScriptedPeer(tmp_path / "renewed", orange.border, domain=SFR)
        await orange.accept(renewed.as_peer(addresses=peer.as_peer().addresses))
        await until(lambda: not orange.node.interconnect.links.reaches(SFR))
        flow = peer.flow
        assert flow is not None
        await until(lambda: flow.closed)

    play(tmp_path, story)


def test_a_peer_that_sends_too_much_is_told_to_wait(tmp_path: Path) -> None:
    async def story(orange: Operator, peer: ScriptedPeer) -> None:
        answers = [await peer.send("MESSAGE", ALICE, asserted(BOB), make_cpim(f"{n}", b"x")) for n in range(12)]
        statuses = [answer.status for answer in answers]
        assert statuses[:5] == [202] * 5
        assert 503 in statuses
        assert next(one for one in answers if one.status == 503).header("retry-after") == "1"

    play(tmp_path, story, rate=5)


def test_a_paused_peer_is_asked_to_come_back_later(tmp_path: Path) -> None:
    async def story(orange: Operator, peer: ScriptedPeer) -> None:
        await orange.accept(peer.as_peer(paused=True))
        answer = await peer.send("MESSAGE", ALICE, asserted(BOB), CPIM)
        assert (answer.status, answer.header("retry-after")) == (503, "60")

    play(tmp_path, story)


def test_a_peer_that_was_removed_loses_the_connection_it_has(tmp_path: Path) -> None:
    async def story(orange: Operator, peer: ScriptedPeer) -> None:
        assert (await peer.send("OPTIONS", "", [])).status in (200, 404)
        await orange.node.store.peers.remove(SFR)
        await orange.node.interconnect.update()
        flow = peer.flow
        assert flow is not None
        await until(lambda: flow.closed)
        with pytest.raises(OSError):  # of which kind depends on where TLS has come
            await _speak(peer, orange)

    play(tmp_path, story)


async def _speak(peer: ScriptedPeer, orange: Operator) -> None:
    """TLS 1.3 tells a client only at its first read that its certificate was refused."""
    await peer.connect(orange)
    answer = await peer.send("MESSAGE", ALICE, asserted(BOB), CPIM)
    if answer.status == 503:
        raise ConnectionError("the border has closed the connection")


@pytest.mark.parametrize(
    ("made_at", "exchanged"),
    [
        pytest.param(0.0, False, id="not exchanged"),
        pytest.param(-400 * 86400.0, True, id="expired"),
        pytest.param(+2 * 86400.0, True, id="not valid yet"),
    ],
)
def test_a_certificate_that_is_not_good_opens_no_border(tmp_path: Path, made_at: float, exchanged: bool) -> None:
    async def run() -> None:
        async with operator(ORANGE, (ALICE,)) as orange:
            peer = ScriptedPeer(tmp_path, orange.border, now=time.time() + made_at)
            known = peer if exchanged else ScriptedPeer(tmp_path / "other", orange.border)
            await orange.accept(known.as_peer())
            try:
                with pytest.raises(OSError):  # of which kind depends on where TLS has come
                    await _speak(peer, orange)
            finally:
                await peer.close()
                await known.close()

    asyncio.run(run())


def test_without_tls_nobody_is_heard(tmp_path: Path) -> None:
    async def story(orange: Operator, peer: ScriptedPeer) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", orange.border)
        writer.write(b"OPTIONS sip:orange.example SIP/2.0\r\nContent-Length: 0\r\n\r\n")
        answer = await reader.read()
        assert b"SIP/2.0" not in answer
        writer.close()
        assert (await peer.send("MESSAGE", ALICE, asserted(BOB), CPIM)).status == 202

    play(tmp_path, story)


def test_a_peer_without_a_certificate_is_not_let_in(tmp_path: Path) -> None:
    async def story(orange: Operator, peer: ScriptedPeer) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        reader, writer = await asyncio.open_connection("127.0.0.1", orange.border, ssl=context)
        # TLS 1.3 tells a client only when it first reads: an alert, or just the end.
        with pytest.raises((OSError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        writer.close()

    play(tmp_path, story)
