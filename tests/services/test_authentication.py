"""Who a request is from: only a fresh, right answer to a nonce of ours proves it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from joyn.model.refused import Reason, Refused
from joyn.model.subscriber import Subscriber
from joyn.protocol.sip.auth import Auth, parse_auths
from joyn.protocol.sip.digest import NonceKeeper, ReplayGuard, ha1, response
from joyn.services.subscribers import Authentication, Challenge
from joyn.store import Store
from joyn.store.sqlite import open_store
from services.scene import ALICE, NOON

REALM, URI, LIFETIME = "joyn.example", "sip:joyn.example", 300.0
USERNAME, PASSWORD = "alice", "correct horse"


class Gate:
    """Authentication with Alice as its one subscriber."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.now = NOON
        self.authentication = Authentication(
            store.subscribers,
            REALM,
            NonceKeeper(bytes(32), LIFETIME),
            ReplayGuard(10),
            wall=lambda: self.now,
            make_salt=lambda: "salt",
        )

    async def enter(self, credentials: Auth | None, *, uri: str = URI, offered: tuple[str, ...] = ()) -> Subscriber:
        return await self.authentication.authenticate(credentials, "REGISTER", uri, b"", offered)

    async def challenge(self, credentials: Auth | None, **fields: Any) -> Challenge:
        """The challenge somebody meets who does not get in."""
        with pytest.raises(Challenge) as raised:
            await self.enter(credentials, **fields)
        return raised.value

    def answer(self, *, password: str = PASSWORD, method: str = "REGISTER", **changed: str) -> Auth:
        """Right credentials, but for what is changed: before the proof is made, or after it (`response`)."""
        given = {
            "username": USERNAME,
            "realm": REALM,
            "uri": URI,
            "nonce": self.authentication.nonce(),
            "algorithm": "SHA-256",
            "qop": "auth",
            "nc": "00000001",
            "cnonce": "0a4f113b",
        } | changed
        secret = ha1(given["username"], given["realm"], password, given["algorithm"])
        proof = response(
            secret,
            given["nonce"],
            method,
            given["uri"],
            algorithm=given["algorithm"],
            qop=given["qop"],
            nc=given["nc"],
            cnonce=given["cnonce"],
        )
        return Auth("Digest", {"response": proof} | given)


def at_the_gate(story: Callable[[Gate], Awaitable[None]]) -> Callable[[], None]:
    def test() -> None:
        async def play() -> None:
            store = open_store(":memory:", node="n", wall_clock=lambda: NOON, on_fatal=lambda error: None)
            hashes = {algorithm: ha1(USERNAME, REALM, PASSWORD, algorithm) for algorithm in ("SHA-256", "MD5")}
            try:
                await store.subscribers.put(Subscriber(aor=ALICE, username=USERNAME, realm=REALM, ha1=hashes))
                await story(Gate(store))
            finally:
                await store.close()

        asyncio.run(play())

    test.__name__, test.__module__ = story.__name__, story.__module__
    return test


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
def test_the_right_password_proves_the_subscriber(algorithm: str) -> None:
    @at_the_gate
    async def story(gate: Gate) -> None:
        assert (await gate.enter(gate.answer(algorithm=algorithm))).aor == ALICE

    story()


@at_the_gate
async def test_a_nonce_may_be_used_again_while_its_count_goes_up(gate: Gate) -> None:
    nonce = gate.authentication.nonce()
    for count in ("00000001", "00000002", "0000000a"):
        await gate.enter(gate.answer(nonce=nonce, nc=count))


@pytest.mark.parametrize("count", ["00000005", "00000004"])
def test_a_count_that_was_used_is_a_replay_and_answered_with_stale(count: str) -> None:
    @at_the_gate
    async def story(gate: Gate) -> None:
        nonce = gate.authentication.nonce()
        await gate.enter(gate.answer(nonce=nonce, nc="00000005"))
        assert (await gate.challenge(gate.answer(nonce=nonce, nc=count))).stale

    story()


@at_the_gate
async def test_an_expired_nonce_with_the_right_password_is_stale(gate: Gate) -> None:
    answer = gate.answer()
    gate.now += LIFETIME + 1
    assert (await gate.challenge(answer)).stale


@at_the_gate
async def test_an_expired_nonce_with_a_wrong_password_is_not_called_stale(gate: Gate) -> None:
    answer = gate.answer(password="wrong")
    gate.now += LIFETIME + 1
    assert not (await gate.challenge(answer)).stale


@pytest.mark.parametrize(
    "changed",
    [
        {"response": "0" * 64},
        {"response": "not hexadecimal"},
        {"password": "wrong"},
        {"username": "nobody"},
        {"realm": "elsewhere.example"},
        {"nonce": "a nonce of somebody else's"},
        {"nonce": ""},
        {"algorithm": "SHA-512-256"},
        {"uri": "sip:elsewhere.example"},
        {"method": "MESSAGE"},
        {"nc": "zzzzzzzz"},
        {"qop": "auth-conf"},
    ],
    ids=str,
)
def test_whatever_is_wrong_with_the_credentials_nobody_gets_in(changed: dict[str, str]) -> None:
    @at_the_gate
    async def story(gate: Gate) -> None:
        await gate.challenge(gate.answer(**changed))

    story()


@at_the_gate
async def test_a_wrong_password_uses_up_no_count(gate: Gate) -> None:
    nonce = gate.authentication.nonce()
    await gate.challenge(gate.answer(nonce=nonce, password="wrong"))
    await gate.enter(gate.answer(nonce=nonce))


@pytest.mark.parametrize("scheme", ["Basic", "Bearer"])
def test_other_schemes_prove_nothing(scheme: str) -> None:
    @at_the_gate
    async def story(gate: Gate) -> None:
        await gate.challenge(Auth(scheme, gate.answer().parameters))

    story()


@at_the_gate
async def test_a_blocked_subscriber_is_refused_only_once_the_password_is_right(gate: Gate) -> None:
    subscriber = await gate.store.subscribers.get(ALICE)
    assert subscriber is not None
    await gate.store.subscribers.put(replace(subscriber, blocked=True))
    await gate.challenge(gate.answer(password="wrong"))
    with pytest.raises(Refused) as raised:
        await gate.enter(gate.answer())
    assert raised.value.reason is Reason.SUBSCRIBER_BLOCKED


@at_the_gate
async def test_an_algorithm_the_policy_does_not_offer_is_not_accepted(gate: Gate) -> None:
    challenge = await gate.challenge(gate.answer(algorithm="MD5"), offered=("SHA-256",))
    assert challenge.algorithms == ("SHA-256",)


@at_the_gate
async def test_a_uri_may_be_written_with_port_and_parameters(gate: Gate) -> None:
    await gate.enter(gate.answer(uri="sip:JOYN.example:5060;transport=tcp"))


@at_the_gate
async def test_challenges_come_best_first_with_one_nonce_and_say_stale_when_it_is(gate: Gate) -> None:
    values = gate.authentication.challenges(Challenge(("SHA-256", "MD5"), stale=True))
    challenges = parse_auths(values)
    assert [one.get("algorithm") for one in challenges] == ["SHA-256", "MD5"]
    assert len({one.get("nonce") for one in challenges}) == 1
    assert {one.get("stale") for one in challenges} == {"TRUE"}
    assert {one.get("qop") for one in challenges} == {"auth"}
