"""What a sender is told about numbers that are not, or not surely, a subscriber's here."""

import asyncio
import time

import pytest

from edge.stranger import BOB, Door, at_the_door
from joyn.model.ported import BACK, PortedNumber
from joyn.model.route import Operator
from scripted_dns import naptr, reply, scripted_dns
from waiting import until

THEIRS = "+447700900123"
NAME = "3.2.1.0.0.9.0.0.7.7.4.4.e164enum.net"


async def asked(door: Door, number: str, method: str = "MESSAGE") -> int:
    """What Carol's phone is answered that writes to a number, or asks what it can do."""
    async with door.stranger() as carol:
        return (await carol.prove(method, f"tel:{number}")).status


@pytest.mark.parametrize(
    ("answers", "status"),
    [
        (lambda query: [reply(query, rcode="NXDOMAIN")], 404),
        # It is a peer operator's, and nothing leads there yet.
        (lambda query: [reply(query, naptr(NAME, "sip:a@sfr.example"))], 404),
        (lambda query: [reply(query, rcode="SERVFAIL")], 503),
    ],
    ids=["unknown", "a peer's", "nobody can say"],
)
def test_a_number_of_nobody_here_is_refused_at_once(answers, status) -> None:
    async def story() -> None:
        async with (
            scripted_dns(lambda query, over_tcp: answers(query)) as dns,
            at_the_door(enum={"servers": (f"127.0.0.1:{dns.port}",)}) as door,
        ):
            assert await asked(door, THEIRS) == status
            assert await asked(door, THEIRS, "OPTIONS") == status
            assert dns.asked[0][:2] == (NAME, "NAPTR")
            await door.still_serves()

    asyncio.run(story())


def test_a_silent_enum_holds_up_nobody_else() -> None:
    async def story() -> None:
        async with (
            scripted_dns(lambda query, over_tcp: []) as dns,
            at_the_door(enum={"servers": (f"127.0.0.1:{dns.port}",), "timeout": 30.0}) as door,
        ):
            waiting = asyncio.ensure_future(asked(door, THEIRS))
            await until(lambda: dns.asked)
            await door.still_serves()
            assert not waiting.done()
            waiting.cancel()

    asyncio.run(story())


def test_a_subscriber_whose_number_was_ported_away_is_not_written_to_here() -> None:
    async def story() -> None:
        async with at_the_door() as door:
            ported = PortedNumber(number=BOB, operator=Operator("sfr.example"), at=time.time())
            await door.node.store.ported.put([ported])
            assert await asked(door, BOB) == 404
            assert await asked(door, BOB, "OPTIONS") == 404
            await door.node.store.ported.put([PortedNumber(number=BOB, operator=BACK, at=time.time())])
            assert await asked(door, BOB, "OPTIONS") == 200
            await door.still_serves()

    asyncio.run(story())
