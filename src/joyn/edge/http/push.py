"""/api/push: how a browser that is closed can be woken."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

import msgspec

from joyn.edge.http.describing import MALFORMED, Asked, Caller, Operation, Problem, ProblemFound, Provider, Serve
from joyn.model.push import PushTarget
from joyn.model.refused import Reason, Refused
from joyn.services.push.encryption import MAX_KEY, keys_of
from joyn.services.push.endpoints import MAX_ENDPOINT, Endpoints
from joyn.services.push.waking import Waking

__all__ = ["PushDoor"]

UNKNOWN_SERVICE: Final = Problem(403, "push-service-unknown", "The operator lets nobody push through that service.")
Key = Annotated[str, msgspec.Meta(max_length=MAX_KEY)]


class PushKey(msgspec.Struct, frozen=True):
    """The key to subscribe with (applicationServerKey), base64url."""

    key: str


class SubscriptionKeys(msgspec.Struct, frozen=True):
    """RFC 8291 §2: the browser's public key and its authentication secret, base64url."""

    p256dh: Key
    auth: Key


class Subscription(msgspec.Struct, frozen=True):
    """What PushSubscription.toJSON() gives."""

    endpoint: Annotated[str, msgspec.Meta(max_length=MAX_ENDPOINT)]
    keys: SubscriptionKeys


ANOTHER_S: Final = Problem(403, "another-subscriber", "The subscription is that of another subscriber's browser.")
KEY: Final = Operation(method="GET", path="/api/push", summary="The key to subscribe with.", answer=PushKey)
SUBSCRIBE: Final = Operation(
    method="PUT",
    path="/api/push",
    summary="Wake this device when something comes.",
    body=Subscription,
    problems=(UNKNOWN_SERVICE, ANOTHER_S),
)
UNSUBSCRIBE: Final = Operation(method="DELETE", path="/api/push", summary="Do not wake this device any more.")


class PushDoor(Provider):
    """The provider."""

    def __init__(self, waking: Waking, endpoints: Endpoints, public_key: str, caller: Caller) -> None:
        self._waking = waking
        self._endpoints = endpoints
        self._public_key = public_key
        super().__init__(caller)

    @property
    def operations(self) -> Sequence[tuple[Operation, Serve]]:
        """What it serves."""
        return ((KEY, self._key), (SUBSCRIBE, self._subscribe), (UNSUBSCRIBE, self._unsubscribe))

    async def _key(self, _asked: Asked) -> PushKey:
        return PushKey(key=self._public_key)

    async def _subscribe(self, asked: Asked) -> None:
        subscription: Subscription = asked.body
        keys = subscription.keys
        try:
            self._endpoints.check(subscription.endpoint)
            keys_of(keys.p256dh, keys.auth)
        except Refused as refused:
            raise ProblemFound(UNKNOWN_SERVICE if refused.reason is Reason.NOT_ALLOWED else MALFORMED) from None
        except ValueError:
            raise ProblemFound(MALFORMED) from None
        target = PushTarget(
            aor=asked.aor,
            device=asked.device,
            endpoint=subscription.endpoint,
            p256dh=keys.p256dh,
            auth=keys.auth,
        )
        try:
            await self._waking.add(target)
        except Refused as refused:
            if refused.reason is Reason.NOT_ALLOWED:
                raise ProblemFound(ANOTHER_S) from None
            raise

    async def _unsubscribe(self, asked: Asked) -> None:
        await self._waking.remove(asked.aor, asked.device)
