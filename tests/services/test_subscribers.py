"""Which algorithms a challenge offers, and to whom."""

import asyncio

import pytest

from joyn.model.aor import Aor
from joyn.model.subscriber import DEFAULT_ALGORITHMS, Subscriber
from joyn.protocol.sip.auth import Auth, parse_auths
from joyn.protocol.sip.digest import NonceKeeper, ReplayGuard, ha1
from joyn.services.subscribers import Authentication, Challenge
from joyn.store.sqlite import open_store

REALM = "joyn.localhost"
OLD, NEW = Aor("tel:+33639980001"), Aor("tel:+33639980002")


def make_subscriber(aor: Aor, algorithms: tuple[str, ...]) -> Subscriber:
    hashes = {algorithm: ha1(aor, REALM, "secret", algorithm) for algorithm in DEFAULT_ALGORITHMS}
    return Subscriber(aor=aor, username=aor, realm=REALM, ha1=hashes, algorithms=algorithms)


def challenge_for(claimed: Aor | None, offered: tuple[str, ...] = (), credentials: str = "") -> tuple[str, ...]:
    """What somebody is offered who proves nothing."""

    async def ask() -> tuple[str, ...]:
        store = open_store(":memory:", node="n", wall_clock=lambda: 0.0, on_fatal=lambda error: None)
        try:
            await store.subscribers.put(make_subscriber(OLD, ("MD5",)))
            await store.subscribers.put(make_subscriber(NEW, ("SHA-256",)))
            nonces = NonceKeeper(bytes(32), 60.0)
            authentication = Authentication(
                store.subscribers, REALM, nonces, ReplayGuard(10), wall=lambda: 0.0, make_salt=lambda: "salt"
            )
            given: Auth | None = next(iter(parse_auths([credentials])), None) if credentials else None
            with pytest.raises(Challenge) as raised:
                await authentication.authenticate(given, "REGISTER", f"sip:{REALM}", b"", offered, claimed)
            return raised.value.algorithms
        finally:
            await store.close()

    return asyncio.run(ask())


@pytest.mark.parametrize(
    ("claimed", "algorithms"),
    [(OLD, ("MD5",)), (NEW, ("SHA-256",)), (Aor("tel:+33639980003"), DEFAULT_ALGORITHMS), (None, DEFAULT_ALGORITHMS)],
)
def test_without_credentials_the_claimed_subscriber_s_policy_counts(
    claimed: Aor | None, algorithms: tuple[str, ...]
) -> None:
    assert challenge_for(claimed) == algorithms


def test_the_listener_s_list_comes_before_any_subscriber_s() -> None:
    assert challenge_for(OLD, ("SHA-512-256",)) == ("SHA-512-256",)


def test_an_empty_authorization_that_names_an_algorithm_is_challenged_with_that_one() -> None:
    credentials = f'Digest username="{NEW}",realm="{REALM}",algorithm=sha-256,nonce="",response=""'
    assert challenge_for(None, ("MD5", "SHA-256"), credentials) == ("SHA-256",)
