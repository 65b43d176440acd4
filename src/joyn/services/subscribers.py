"""Who a request is from: digest credentials checked against the subscribers' stored hashes.

Spec: RFC 7616, RFC 8760 (algorithm lists), RFC 3261 §22; the flow's identity is the registrar's business.
Nonces are stateless (a keyed hash of time and salt); only how often each was used is remembered, in a bounded map.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from joyn import telemetry
from joyn.model.aor import Aor
from joyn.model.refused import Reason, Refused
from joyn.model.subscriber import DEFAULT_ALGORITHMS, Subscriber
from joyn.protocol.sip.auth import Auth
from joyn.protocol.sip.digest import NonceKeeper, ReplayGuard, verify
from joyn.store import Subscribers

REJECTED = telemetry.counter("credentials.refused")


class Challenge(Refused):
    """The caller must authenticate. `stale` when only the nonce was too old: the password is right, try again."""

    def __init__(self, algorithms: tuple[str, ...], *, stale: bool = False) -> None:
        super().__init__(Reason.UNAUTHENTICATED)
        self.algorithms = algorithms
        self.stale = stale


class Authentication:
    """Checks credentials and makes challenges for one realm.

    `find_device` finds the subscriber that a device's own user name stands for, with that device's credentials.
    """

    def __init__(
        self,
        subscribers: Subscribers,
        realm: str,
        nonces: NonceKeeper,
        replays: ReplayGuard,
        *,
        wall: Callable[[], float],
        make_salt: Callable[[], str],
    ) -> None:
        self._subscribers = subscribers
        self._realm = realm
        self._nonces = nonces
        self._replays = replays
        self._wall = wall
        self._make_salt = make_salt
        self.find_device: Callable[[str], Awaitable[Subscriber | None]] = _no_device

    def nonce(self) -> str:
        """A fresh nonce, also for Authentication-Info: nextnonce."""
        return self._nonces.make(self._wall(), self._make_salt())

    def challenges(self, challenge: Challenge) -> list[str]:
        """Header values, best algorithm first, all with the same realm and nonce (RFC 8760 §2.4)."""
        nonce = self.nonce()
        made = []
        for algorithm in challenge.algorithms:
            parameters = {"realm": self._realm, "nonce": nonce, "algorithm": algorithm, "qop": "auth"}
            if challenge.stale:
                parameters["stale"] = "TRUE"
            made.append(str(Auth("Digest", parameters)))
        return made

    async def authenticate(
        self,
        credentials: Auth | None,
        method: str,
        uri: str,
        body: bytes,
        offered: tuple[str, ...],
        claimed: Aor | None = None,
    ) -> Subscriber:
        """The subscriber these credentials prove. `offered` is the listener's list of algorithms, empty for the
        subscriber's own. `claimed` is who a request without credentials says it is from: it only picks the challenge.

        Raises Challenge for missing, stale, replayed or wrong credentials, Refused(SUBSCRIBER_BLOCKED).
        """
        if credentials is None or credentials.scheme.lower() != "digest":
            raise Challenge(offered or await self._policy(claimed))
        get = credentials.get
        subscriber = await self.find(get("username"))
        policy = offered or (subscriber.algorithms if subscriber else DEFAULT_ALGORITHMS)
        if not get("response"):
            # The empty Authorization of IMS: a client that names its algorithm there is challenged with that one.
            named = get("algorithm").upper()
            raise Challenge((named,) if named in policy else policy)
        now = self._wall()
        state = self._nonces.check(get("nonce"), now)
        if state == "forged":
            raise Challenge(policy)
        if (
            subscriber is None
            or get("realm") != self._realm
            or (get("algorithm") or "MD5").upper() not in policy
            or not _same_uri(get("uri"), uri)
            or not verify(credentials, method, subscriber.ha1, body)
        ):
            REJECTED.inc()
            raise Challenge(policy)
        if state == "stale" or not self._replays.fresh(get("nonce"), get("nc")):
            raise Challenge(policy, stale=True)
        if subscriber.blocked:
            raise Refused(Reason.SUBSCRIBER_BLOCKED)
        return subscriber

    async def find(self, username: str) -> Subscriber | None:
        """The subscriber with these credentials now, their own or those of one of their devices."""
        return await self._subscribers.find(username) or await self.find_device(username)

    async def _policy(self, claimed: Aor | None) -> tuple[str, ...]:
        """The algorithms of whoever somebody says they are: clients of MD5 alone give up on any other challenge."""
        subscriber = None if claimed is None else await self._subscribers.get(claimed)
        return subscriber.algorithms if subscriber else DEFAULT_ALGORITHMS


async def _no_device(_username: str) -> None:
    return None


def _same_uri(claimed: str, request_uri: str) -> bool:
    """Whether the digest was made for this request: RFC 7616 §3.4 wants the uri of the request.

    Clients write it with and without parameters or port, so scheme, user and host decide.
    """
    return _core(claimed) == _core(request_uri)


def _core(uri: str) -> str:
    core = uri.partition(";")[0].partition("?")[0]
    scheme, _, rest = core.partition(":")
    user, at, host = rest.rpartition("@")
    host = host.lower()
    if not host.startswith("["):
        host = host.partition(":")[0]
    return f"{scheme.lower()}:{user}{at}{host}"
