"""What may wait for a peer is bounded, and what has left by another way than being taken makes room."""

import asyncio
import time

import pytest

from interconnect.operators import ALICE, BOB, two_operators
from joyn.phone import Rejected
from joyn.services.interconnect.interconnect import RECOUNT_EVERY

SOON = 60
"""Seconds that the first message may wait."""


def test_a_full_queue_refuses_and_what_has_failed_in_its_time_makes_room() -> None:
    ahead = 0.0

    async def story() -> None:
        nonlocal ahead
        async with (
            two_operators(queue=3, wall=lambda: time.time() + ahead) as (orange, sfr),
            orange.phone(ALICE) as alice,
        ):
            await orange.accept(sfr.as_peer(paused=True))
            await alice.send(BOB, "un", expires=SOON)
            for text in ("deux", "trois"):
                await alice.send(BOB, text)
            with pytest.raises(Rejected) as refused:
                await alice.send(BOB, "quatre")
            assert refused.value.status == 503
            # The first one's time is over: the store decides that, and the link hears nothing of it.
            ahead = SOON + RECOUNT_EVERY
            await orange.node.store.mailboxes.expire(time.time() + ahead)
            await alice.send(BOB, "quatre")
            await orange.accept(sfr.as_peer())
            async with sfr.phone(BOB) as bob:
                texts = [(await bob.receive(timeout=20)).text for _ in range(3)]
                assert texts == ["deux", "trois", "quatre"]

    asyncio.run(story())
