"""Three operators, one of which answers 503, garbage, or nothing for a long time: the other notices nothing of it, and
what was due to the bad one reaches it when it is good again."""

import asyncio
import statistics
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from interconnect.operators import ALICE, ANNA, BEN, BOB, ORANGE, SFR, Operator, operator
from interconnect.scripted_peer import RETRY_AFTER, Mood, ScriptedPeer
from joyn.phone import Phone, Sent
from joyn.services.interconnect.pump import WINDOW
from waiting import until

pytestmark = pytest.mark.timeout(120)

VODAFONE = "vodafone.example"
MANY = WINDOW + 44
"""Conversations with the bad peer's subscribers: more than may be under way to it at a time."""
ROUNDS = 30
MOODS: tuple[Mood, ...] = ("503", "garbage", "slow")


@dataclass(slots=True)
class Stage:
    """Orange, whose peers are SFR, which is good, and Vodafone, which is what the test says."""

    orange: Operator
    vodafone: ScriptedPeer
    alice: Phone
    bob: Phone

    async def due(self, conversations: int, each: int = 1) -> list[Sent]:
        """Write to so many of Vodafone's subscribers."""
        numbers = [f"+33639982{number:03d}" for number in range(conversations)]
        return [await self.alice.send(number, f"{turn}") for turn in range(each) for number in numbers]

    async def pass_rounds(self, label: str) -> None:
        """Messages to SFR, each delivered and its receipt back before the next; their times are told."""
        times = []
        for turn in range(ROUNDS):
            begin = time.perf_counter()
            sent = await self.alice.send(BOB, f"{label} {turn}")
            assert (await self.bob.receive(timeout=20)).text == f"{label} {turn}"
            await sent.delivered(timeout=20)
            times.append(time.perf_counter() - begin)
        print(f"\n{label}: message and receipt {statistics.median(times) * 1000:.1f} ms (median of {ROUNDS})")

    async def queue(self) -> int:
        health = await self.orange.node.interconnect.health(VODAFONE)
        assert health is not None
        queue: int = health["queue"]
        return queue


def play(tmp_path: Path, story: Callable[[Stage], Awaitable[None]]) -> None:
    async def run() -> None:
        async with AsyncExitStack() as stack:
            orange = await stack.enter_async_context(operator(ORANGE, (ALICE, ANNA)))
            sfr = await stack.enter_async_context(operator(SFR, (BOB, BEN)))
            vodafone = ScriptedPeer(tmp_path, orange.border, domain=VODAFONE)
            stack.push_async_callback(vodafone.close)
            await vodafone.listen(orange)
            await orange.accept(sfr.as_peer(), vodafone.as_peer(ranges=("+33639982",)))
            await sfr.accept(orange.as_peer())
            alice = await stack.enter_async_context(orange.phone(ALICE))
            bob = await stack.enter_async_context(sfr.phone(BOB))
            here = Stage(orange, vodafone, alice, bob)
            await here.due(1)
            held = orange.settings.interconnect.connections
            await until(lambda: all(len(flows_to(orange, one)) == held for one in (SFR, VODAFONE)), within=20)
            await until(lambda: vodafone.taken, within=20)
            vodafone.taken.clear()
            vodafone.came.clear()
            await story(here)

    asyncio.run(run())


@pytest.mark.parametrize("mood", MOODS)
def test_a_bad_peer_holds_up_nobody_else_and_gets_all_of_it_once_it_is_good(tmp_path: Path, mood: Mood) -> None:
    async def story(here: Stage) -> None:
        await here.pass_rounds("before")
        standing = flows_to(here.orange, SFR)
        here.vodafone.mood = mood
        sent = await here.due(MANY)
        await here.pass_rounds(f"meanwhile ({mood})")
        # The good one had its messages while the bad one has not taken a single one of so many, …
        assert here.vodafone.came
        assert here.vodafone.taken == []
        assert await here.queue() == MANY
        # … over connections that nothing has happened to.
        assert flows_to(here.orange, SFR) == standing
        here.vodafone.mood = "good"
        wanted = {one.message_id for one in sent}
        await until(lambda: set(here.vodafone.taken) == wanted, within=60)
        await until(lambda: drained(here), within=20)

    play(tmp_path, story)


def test_after_a_503_nothing_comes_before_the_time_it_names(tmp_path: Path) -> None:
    conversations = 8

    async def story(here: Stage) -> None:
        here.vodafone.mood = "503"
        sent = await here.due(conversations, each=3)
        await until(lambda: gaps(here.vodafone), within=30)
        here.vodafone.mood = "good"
        (first, *_) = gaps(here.vodafone)
        # Until then each conversation has been tried once at most, and only its first message.
        assert len(here.vodafone.came[:first]) <= conversations
        assert {message_id for _, message_id in here.vodafone.came[:first]} <= {
            one.message_id for one in sent[:conversations]
        }
        await until(lambda: len(here.vodafone.taken) == len(sent), within=60)
        # In order in each conversation, and each once.
        places = {message_id: place for place, message_id in enumerate(here.vodafone.taken)}
        for place in range(conversations):
            conversation = [places[one.message_id] for one in sent[place::conversations]]
            assert conversation == sorted(conversation)
        assert set(Counter(here.vodafone.taken).values()) == {1}

    play(tmp_path, story)


def test_garbage_costs_the_connection_it_came_on_and_the_peer_gets_another(tmp_path: Path) -> None:
    async def story(here: Stage) -> None:
        before = flows_to(here.orange, VODAFONE)
        here.vodafone.mood = "garbage"
        await here.due(1)
        await until(lambda: before - flows_to(here.orange, VODAFONE), within=20)
        here.vodafone.mood = "good"
        await until(lambda: len(here.vodafone.taken) == 1, within=20)
        await until(lambda: len(flows_to(here.orange, VODAFONE)) == len(before), within=20)

    play(tmp_path, story)


def test_a_question_about_somebody_of_a_slow_peer_is_answered_as_if_they_were_away(tmp_path: Path) -> None:
    async def story(here: Stage) -> None:
        here.vodafone.mood = "slow"
        assert (await here.alice.capabilities("+33639982001")).status == "offline"

    play(tmp_path, story)


def flows_to(orange: Operator, peer: str) -> set[str]:
    """The connections that Orange has made to a peer."""
    wanted = orange.node.interconnect.links.peers[peer].addresses[0].port
    return {one.id for one in orange.node.interconnect.endpoint.flows.values() if one.remote[1] == wanted}


def gaps(peer: ScriptedPeer) -> list[int]:
    """Where in `came` there was nothing for as long as the peer has asked for."""
    times = [at for at, _ in peer.came]
    return [place for place in range(1, len(times)) if times[place] - times[place - 1] >= RETRY_AFTER]


async def drained(here: Stage) -> bool:
    return await here.queue() == 0
