"""Sending a wake-up to one push resource: what is in it, how often it is tried, when a resource is given up.

Spec: RFC 8030 §5 (TTL, Topic, Urgency, status codes), RFC 8291, RFC 8292.
A wake-up says that there is something, never what or from whom: the device comes and asks.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from enum import Enum
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from joyn import telemetry
from joyn.model.push import PushTarget
from joyn.model.refused import Refused
from joyn.services.push.encryption import encrypt
from joyn.services.push.endpoints import Endpoint, Endpoints
from joyn.services.push.vapid import Vapid
from joyn.transport.push import Answer, Unreachable

__all__ = ["PAYLOAD", "Client", "Sending", "Sent"]

PAYLOAD = b'{"wake":"messages"}'
"""All that a device is told. That it decrypts proves that it comes from here."""
TOPIC = "joyn-messages"
"""RFC 8030 §5.4: a wake-up still waiting at the push service is replaced by the next one."""
MAX_TRIES = 3
FIRST_DELAY = 2.0
"""Seconds before the second try; four times as long before the third."""
MAX_DELAY = 60.0
"""Longest wait within one wake-up. A push service that wants more is left alone for that time, and the wake-up is given
up: the message is in the mailbox anyway."""
MAX_LEFT_ALONE = 3600.0
"""Longest time a push service can make us stay away."""
MAX_ORIGINS = 1024
"""Push services whose wish to be left alone is remembered."""
_GONE = frozenset((404, 410))
_BUSY = frozenset((429, 503))

TRIED = telemetry.counter("push.sent")


class Sent(Enum):
    """What came of a wake-up."""

    ACCEPTED = "the push service has it"
    GONE = "there is no such push resource any more"
    FAILED = "not now"


class Client(Protocol):
    """The way to push services: joyn.transport.push."""

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Push one message. Raises Unreachable."""
        ...


class Sending:
    """Sends wake-ups.

    `ttl` is how many seconds a push service shall keep one for a device that is off. `make_ephemeral` and `make_salt`
    are asked anew for each message.
    """

    def __init__(
        self,
        client: Client,
        vapid: Vapid,
        endpoints: Endpoints,
        *,
        ttl: float,
        now: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
        make_ephemeral: Callable[[], EllipticCurvePrivateKey],
        make_salt: Callable[[], bytes],
    ) -> None:
        self._client = client
        self._vapid = vapid
        self._endpoints = endpoints
        self._ttl = ttl
        self._now = now
        self._sleep = sleep
        self._make_ephemeral = make_ephemeral
        self._make_salt = make_salt
        self._not_before: dict[str, float] = {}

    async def wake(self, target: PushTarget) -> Sent:
        """Send a wake-up; returns when the push service has it or it was given up."""
        try:
            # The list may have become shorter since the device subscribed.
            endpoint = self._endpoints.check(target.endpoint)
        except Refused as refused:
            telemetry.event("push.refused", reason=refused.detail)
            return Sent.GONE
        delay = FIRST_DELAY
        for tries in range(MAX_TRIES):
            wait = max(self._not_before.get(endpoint.origin, 0.0) - self._now(), delay if tries else 0.0)
            if wait > MAX_DELAY:
                break
            if wait > 0:
                await self._sleep(wait)
                delay *= 4
            sent = await self._try(target, endpoint)
            if sent is not None:
                return sent
        telemetry.event("push.failed", service=endpoint.origin)
        return Sent.FAILED

    async def _try(self, target: PushTarget, endpoint: Endpoint) -> Sent | None:
        """One request; None when another may go better."""
        headers, body = self._message(target, endpoint)
        try:
            answer = await self._client.post(endpoint.url, headers, body)
        except Unreachable:
            return None
        if 200 <= answer.status < 300:
            TRIED.inc()
            return Sent.ACCEPTED
        if answer.status in _GONE:
            return Sent.GONE
        if answer.status in _BUSY:
            self._leave_alone(endpoint.origin, answer.retry_after)
            return None
        if answer.status >= 500:
            return None
        # 400, 401, 403, 413: our own fault, and it would be again.
        telemetry.event("push.refused", reason=f"{endpoint.origin} answered {answer.status}")
        return Sent.FAILED

    def _message(self, target: PushTarget, endpoint: Endpoint) -> tuple[dict[str, str], bytes]:
        headers = {
            "TTL": str(int(self._ttl)),
            "Topic": TOPIC,
            "Urgency": "high",
            "Authorization": self._vapid.authorization(endpoint.origin),
        }
        if not target.p256dh:
            # RFC 8599: no keys come with a SIP contact; an empty wake-up needs none.
            return headers, b""
        body = encrypt(
            PAYLOAD, p256dh=target.p256dh, auth=target.auth, ephemeral=self._make_ephemeral(), salt=self._make_salt()
        )
        headers |= {"Content-Encoding": "aes128gcm", "Content-Type": "application/octet-stream"}
        return headers, body

    def _leave_alone(self, origin: str, seconds: float | None) -> None:
        if seconds is None:
            return
        if len(self._not_before) >= MAX_ORIGINS:
            now = self._now()
            self._not_before = {key: until for key, until in self._not_before.items() if until > now}
        if len(self._not_before) < MAX_ORIGINS:
            self._not_before[origin] = self._now() + min(seconds, MAX_LEFT_ALONE)
