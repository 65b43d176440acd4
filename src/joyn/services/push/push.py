"""The parts of push put together: one key, one list of push services, one sender.

Spec: see the modules beside this one.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from joyn.model.aor import Aor
from joyn.model.binding import Binding
from joyn.services.push.contacts import PushContacts
from joyn.services.push.endpoints import Endpoints
from joyn.services.push.sending import Sending
from joyn.services.push.vapid import Vapid
from joyn.services.push.waking import Waking
from joyn.store import Store
from joyn.transport.push import PushClient

__all__ = ["Push"]

SALT_BYTES = 16


class Push:
    """Push of one node. `key` is a private key as `Vapid` takes it; for the rest see the settings and the parts."""

    def __init__(
        self,
        store: Store,
        key: bytes,
        bindings: Callable[[Aor], Sequence[Binding]],
        *,
        contact: str,
        hosts: tuple[str, ...],
        insecure: bool,
        ttl: float,
        patience: float,
        pause: float,
        wall: Callable[[], float],
    ) -> None:
        vapid = Vapid(key, contact, wall=wall)
        self._client = PushClient(insecure=insecure)
        self.public_key = vapid.public
        self.endpoints = Endpoints(hosts, insecure=insecure)
        sending = Sending(
            self._client,
            vapid,
            self.endpoints,
            ttl=ttl,
            now=wall,
            sleep=asyncio.sleep,
            make_ephemeral=lambda: generate_private_key(SECP256R1()),
            make_salt=lambda: secrets.token_bytes(SALT_BYTES),
        )
        self.waking = Waking(
            store.push_targets,
            store.mailboxes,
            sending,
            bindings,
            wall=wall,
            later=lambda seconds, action: asyncio.get_running_loop().call_later(seconds, action),
            patience=patience,
            pause=pause,
        )
        self.contacts = PushContacts(self.waking, self.endpoints, vapid.public)

    async def close(self) -> None:
        """Say what was held back, and close what is open."""
        await self.waking.close()
        await self._client.close()
