"""Kamailio between Orange and SFR, which have never exchanged a file: their subscribers reach each other through it,
and each believes it for the other alone."""

import asyncio
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from interconnect.operators import ALICE, ANNA, BEN, BOB, ORANGE, RANGES, SFR
from interconnect.processes import Peering, start_all, stop_all
from interconnect.scripted_peer import ScriptedPeer, asserted
from interop.kamailio import DOMAIN, Kamailio
from joyn.model.peer import Peer, PeerAddress
from joyn.model.peer_file import parse
from joyn.phone import Phone
from joyn.transport.peer_tls import link_context
from services.scene import make_cpim
from waiting import until

pytestmark = [pytest.mark.interop, pytest.mark.timeout(120)]

VODAFONE = "vodafone.example"
ALL = ("positive-delivery", "negative-delivery", "display", "processing")
WITHIN = 20.0


@dataclass(slots=True)
class Stage:
    orange: Peering
    sfr: Peering
    hub: Kamailio
    directory: Path

    def vodafone(self) -> ScriptedPeer:
        """An operator that the hub lets in, and that is behind it for nobody."""
        return ScriptedPeer(self.directory, self.hub.port, domain=VODAFONE)

    def as_peer(self) -> Peer:
        address = PeerAddress(host="127.0.0.1", port=self.hub.port)
        return Peer(domain=DOMAIN, name="Hub", addresses=(address,), certificates=(self.hub.certificate,))


@pytest.fixture(scope="module")
def stage(network: bool, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Orange, the hub and SFR, all running; neither operator has anything of the other but the start of its numbers."""
    tmp_path = tmp_path_factory.mktemp("hub")
    hub = Kamailio(tmp_path / "hub")
    operators = {}
    for domain, numbers, other in ((ORANGE, (ALICE, ANNA), SFR), (SFR, (BOB, BEN), ORANGE)):
        ranges = f'[[interconnect.ranges]]\nprefix = "{RANGES[other]}"\noperator = "{other}"\n'
        operator = operators[domain] = Peering(tmp_path / domain, domain, RANGES[domain], numbers, more=ranges)
        operator.joyn_here("peer", "invite", str(operator.file))
        operator.joyn_here("peer", "accept", "--yes", str(hub.file(other)))
    orange, sfr = operators[ORANGE], operators[SFR]
    made = Stage(orange, sfr, hub, tmp_path)
    shown = [one.pem for domain in operators.values() for one in parse(domain.file.read_text()).peer.certificates]
    shown.append(made.vodafone().identity.current.pem)
    hub.configure({domain: one.border for domain, one in operators.items()}, shown)
    try:
        hub.start()
        start_all((orange, sfr))
        yield made
    finally:
        stop_all((orange, sfr))
        hub.stop()


def test_messages_small_and_large_receipts_capabilities_and_typing_cross_by_the_hub(stage: Stage) -> None:
    async def story() -> None:
        async with stage.orange.phone(ALICE) as alice, stage.sfr.phone(BOB) as bob:
            await there_and_back(alice, bob)
            await there_and_back(bob, alice)
            assert (await alice.capabilities(BOB)).status == "online"
            assert (await bob.capabilities(ANNA)).status == "offline"
            assert (await alice.capabilities(f"{RANGES[SFR]}99")).status == "unknown"
            chat = await alice.open_chat(BOB, "on se voit ?")
            assert (await bob.receive(timeout=WITHIN)).text == "on se voit ?"
            theirs = await bob.incoming_chat(timeout=WITHIN)
            typing = asyncio.Event()
            theirs.on_typing = lambda active: typing.set() if active else None
            await chat.typing()
            await asyncio.wait_for(typing.wait(), WITHIN)
        # Nothing went another way: either knows one peer, the hub.
        for operator, other in ((stage.orange, SFR), (stage.sfr, ORANGE)):
            assert operator.joyn("peer", "list", "--json").count('"domain"') == 1
            assert other not in operator.joyn("peer", "list")

    asyncio.run(story())


async def there_and_back(sender: Phone, recipient: Phone) -> None:
    for size in (10, 20_000):
        text = "é" * size
        sent = await sender.send(recipient.number, text, mode="pager" if size < 100 else "session")
        message = await recipient.receive(timeout=WITHIN)
        assert (message.sender, message.text) == (sender.number, text)
        await sent.delivered(timeout=WITHIN)
        await message.mark_displayed()
        await sent.displayed(timeout=WITHIN)


def test_an_operator_that_the_hub_cannot_reach_is_waited_for(stage: Stage) -> None:
    async def story() -> None:
        async with stage.orange.phone(ALICE) as alice:
            async with stage.sfr.phone(BOB):
                pass  # a device that was never there has no mailbox of its own
            await asyncio.to_thread(stage.sfr.kill)
            sent = await alice.send(BOB, "salut", request=ALL)
            await until(lambda: sent.reached("stored"), within=WITHIN)
            assert await stage.orange.waits_for(DOMAIN) == 1
            # The hub has said so, and not in Kamailio's own words.
            health = await stage.orange.health(DOMAIN)
            assert health["health"]["last_error"].startswith("480")
            await asyncio.to_thread(stage.sfr.start)
            async with stage.sfr.phone(BOB) as bob:
                assert (await bob.receive(timeout=WITHIN)).text == "salut"
                await sent.delivered(timeout=WITHIN)

    asyncio.run(story())


def test_a_hub_that_dies_and_comes_back_loses_nothing(stage: Stage) -> None:
    texts = [f"{number}" for number in range(60)]

    async def story() -> None:
        async with stage.orange.phone(ALICE) as alice, stage.sfr.phone(BOB) as bob:
            sent = [await alice.send(BOB, text) for text in texts[:20]]
            await asyncio.to_thread(stage.hub.stop)
            sent += [await alice.send(BOB, text) for text in texts[20:40]]
            await asyncio.to_thread(stage.hub.start)
            sent += [await alice.send(BOB, text) for text in texts[40:]]
            assert [(await bob.receive(timeout=WITHIN)).text for _ in texts] == texts
            await until(lambda: all(one.reached("delivered") for one in sent), within=WITHIN)

    asyncio.run(story())


@pytest.mark.parametrize(
    ("number", "status"),
    [
        pytest.param("+33639982001", 403, id="a number of an operator that is not behind the hub"),
        pytest.param(ANNA, 403, id="a number of the border's own"),
        pytest.param(BOB, 202, id="a number of the operator behind the hub"),
    ],
)
def test_the_border_believes_the_hub_for_those_behind_it_only(stage: Stage, number: str, status: int) -> None:
    """The hub's own key speaks here, so that what Orange answers is Orange's word and not the hub's."""

    async def story() -> None:
        async with stage.orange.phone(ALICE) as alice:
            peer = stage.vodafone()
            orange = parse(stage.orange.file.read_text()).peer
            together = stage.hub.directory / "together.pem"
            together.write_text((stage.hub.directory / "hub-key.pem").read_text() + stage.hub.pem)
            context = link_context(peer.identity, orange)
            context.load_cert_chain(together)
            peer.flow = await peer.endpoint.connect("TLS", "127.0.0.1", stage.orange.border, tls=context)
            try:
                answer = await peer.send("MESSAGE", ALICE, asserted(number), make_cpim("m1", b"salut"))
                assert answer.status == status
                if status == 202:
                    assert (await alice.receive(timeout=WITHIN)).sender == number
            finally:
                await peer.close()

    asyncio.run(story())


def test_the_hub_lets_nobody_speak_for_another(stage: Stage) -> None:
    async def story() -> None:
        peer = stage.vodafone()
        context = link_context(peer.identity, stage.as_peer())
        peer.flow = await peer.endpoint.connect("TLS", "127.0.0.1", stage.hub.port, tls=context)
        try:
            answer = await peer.send("MESSAGE", ALICE, asserted(BOB), make_cpim("m1", b"salut"))
            assert answer.status == 403
        finally:
            await peer.close()

    asyncio.run(story())


def test_a_client_without_a_certificate_does_not_get_into_the_hub(stage: Stage) -> None:
    async def story() -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        reader, writer = await asyncio.open_connection("127.0.0.1", stage.hub.port, ssl=context)
        writer.write(b"OPTIONS sip:hub.example SIP/2.0\r\nContent-Length: 0\r\n\r\n")
        # TLS 1.3 tells a client only when it first reads: an alert, or just the end.
        with pytest.raises((OSError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        writer.close()

    asyncio.run(story())
