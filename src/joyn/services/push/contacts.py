"""Push parameters of a SIP contact: which device it is, and how it is woken.

Spec: RFC 8599 §4 (pn-provider, pn-prid, pn-param), §5 (Feature-Caps, 555); facts §13.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from joyn.model.aor import Aor
from joyn.model.binding import Binding
from joyn.model.push import PushTarget
from joyn.model.refused import Reason, Refused
from joyn.protocol.sip.uri import SipUri, parse_uri
from joyn.services.push.endpoints import Endpoints
from joyn.services.push.waking import Waking

__all__ = ["PROVIDER", "PushContacts", "PushWish", "UnsupportedProvider", "device_of"]

PROVIDER = "webpush"
"""The only push notification service there is an adapter for; others come with theirs (apns, fcm)."""


class UnsupportedProvider(Refused):
    """The device wants a push notification service that is not here: 555 in SIP (RFC 8599 §5)."""

    def __init__(self) -> None:
        super().__init__(Reason.NOT_ACCEPTABLE, "no such push notification service")


@dataclass(frozen=True, slots=True, kw_only=True)
class PushWish:
    """What a contact says about push. With an empty `resource` it only asks which services there are."""

    resource: str


class PushContacts:
    """Keeps the targets of SIP devices in step with their registrations."""

    def __init__(self, waking: Waking, endpoints: Endpoints, public_key: str) -> None:
        self._waking = waking
        self._endpoints = endpoints
        self.feature_caps = f'*;+sip.pns="{PROVIDER}";+sip.vapid="{public_key}"'
        """The Feature-Caps of a 200 to a device that asked for push (RFC 8599 §5), and of the
        555 to one that asked for something else."""

    def wish(self, contact: str) -> PushWish | None:
        """What the URI of a contact says about push, or None when it says nothing.

        Raises ParseError, UnsupportedProvider, Refused: MALFORMED for a resource that is no URL.
        """
        if "pn-provider" not in contact:
            return None
        uri = parse_uri(contact)
        parameters: Mapping[str, str | None] = uri.parameters if isinstance(uri, SipUri) else {}
        if "pn-provider" not in parameters:
            return None
        provider, resource = parameters["pn-provider"], parameters.get("pn-prid") or ""
        if provider and provider.lower() != PROVIDER:
            raise UnsupportedProvider
        if provider and resource:
            try:
                self._endpoints.check(resource)
            except Refused as refused:
                # To the device it is the same: nobody here can wake it through that service.
                raise (UnsupportedProvider() if refused.reason is Reason.NOT_ALLOWED else refused) from None
        return PushWish(resource=resource if provider else "")

    async def registered(self, aor: Aor, named: Collection[str] | None, bindings: Sequence[Binding]) -> None:
        """A REGISTER that named these devices (None: all of them) has led to `bindings`. Those that can be woken are
        kept, those that took their registration back or no longer want it are forgotten."""
        kept = set()
        for binding in bindings:
            device = binding.device
            wish = self.wish(binding.contact) if named is not None and device in named else None
            if wish is not None and wish.resource:
                kept.add(device)
                target = PushTarget(
                    aor=aor,
                    device=device,
                    endpoint=wish.resource,
                    username=binding.username,
                    expires_at=binding.expires_at,
                )
                try:
                    await self._waking.add(target)
                except Refused as refused:
                    # The resource is another subscriber's browser: whoever says so is not woken through it.
                    if refused.reason is not Reason.NOT_ALLOWED:
                        raise
        for target in self._waking.targets(aor):
            # Those with keys are browsers' own subscriptions: they live outside of any registration.
            if (named is None or target.device in named) and target.device not in kept and not target.p256dh:
                await self._waking.remove(aor, target.device)


def device_of(instance: str, contact: str) -> str:
    """What a SIP device is called here: its instance, or the contact of one that has none."""
    return instance.strip("<>") or contact
