"""Auto-configuration: what a device that asks is answered.

Spec: RCC.14 §2 (facts §9.1 to §9.4). Two ways lead to a configuration: over the operator's own access, where a proxy
says whose number it is, and over any other, where a code by SMS does. What a proxy says is never enough alone: any app
on the phone can make that request (attacks: SRLabs 2019). It only spares typing the number: a new device needs a code.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from joyn import telemetry
from joyn.model.aor import Aor, Numbering
from joyn.model.device import Device
from joyn.model.refused import Reason, Refused
from joyn.model.subscriber import Subscriber
from joyn.protocol.config_document import Characteristic, emit
from joyn.services.provisioning.catalogue import Catalogue, Verdict
from joyn.services.provisioning.codes import Codes, Expired, Locked, TooMany, Wrong, hashed
from joyn.services.provisioning.devices import About, Devices
from joyn.services.provisioning.documents import (
    DISABLED,
    JOYN,
    OFF,
    RESET,
    Description,
    Service,
    Terms,
    Vers,
    document,
    dormant,
    vers_only,
)
from joyn.store import Subscribers

__all__ = ["Answer", "Asking", "Policy", "Provisioning"]

NONCE: Final = "nonce"
CODE: Final = "code"
MAX_NONCES: Final = 10_000
"""Cellular requests between their two steps; beyond that the oldest is forgotten, and begins again."""
NONCE_LIFETIME: Final = 60.0
SERVED = telemetry.counter("configuration.served")
REFUSED = telemetry.counter("configuration.refused")
_NAMES: Final = (
    "vers IMSI IMEI msisdn token SMS_port OTP rcs_version rcs_profile client_vendor client_version terminal_vendor "
    "terminal_model terminal_sw_version default_sms_app default_vvm_app rcs_state provisioning_version app Channel_ID "
    "device_type friendly_device_name alias"
).split()
_NUMBER: Final = re.compile(r"\+?[0-9]{3,20}")
_SPELLINGS: Final = {name.lower(): name for name in _NAMES}


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the operator has decided. Times in seconds; `beta` lets downloadable clients in.

    `configuration` names what all devices are told now: phones that were told something else are told to ask again.
    """

    version: int = 1
    configuration: str = ""
    validity: int = 86400 * 7
    token_validity: int = 86400 * 30
    credentials_for: float = 7200.0
    dormant_for: int = 86400
    beta: bool = True
    native_vendors: tuple[str, ...] = ()
    terms: Mapping[str, Terms] = field(default_factory=dict)
    """By language; the first is for everybody else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """One request. `asserted` is the number that a trusted proxy has put in, `source` the address that asks."""

    parameters: Mapping[str, str]
    cookies: Mapping[str, str] = field(default_factory=dict)
    secure: bool = False
    asserted: str = ""
    source: str = ""
    languages: tuple[str, ...] = ()
    device: tuple[Device, Subscriber] | None = None
    """The browser that asks, by its session."""
    web_socket: str = ""
    """The URI it connects to, on the host that it asks."""

    def get(self, name: str) -> str:
        """A parameter by its name as the standard writes it, or in small letters."""
        return self.parameters.get(name) or self.parameters.get(name.lower()) or ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What it is answered (facts §9.3)."""

    status: int
    body: bytes = b""
    cookie: tuple[str, str] | None = None
    retry_after: int = 0


class Provisioning:
    """The configuration server."""

    def __init__(
        self,
        subscribers: Subscribers,
        numbering: Numbering,
        devices: Devices,
        codes: Codes,
        catalogue: Catalogue,
        policy: Policy,
        service: Service,
        *,
        wall: Callable[[], float],
        make_secret: Callable[[], str],
    ) -> None:
        self._subscribers = subscribers
        self._numbering = numbering
        self._devices = devices
        self._codes = codes
        self._catalogue = catalogue
        self._policy = policy
        self._service = service
        self._wall = wall
        self._make_secret = make_secret
        self._nonces: dict[str, tuple[float, Aor]] = {}

    async def answer(self, asking: Asking) -> Answer:
        """The answer to one request; never an exception for what a device sends. Raises Refused when the store takes
        nothing now."""
        answer = await self._answer(asking)
        (SERVED if answer.status == 200 else REFUSED).inc()
        return answer

    async def _answer(self, asking: Asking) -> Answer:
        if asking.device is not None:
            return await self._browser(asking, *asking.device)
        if asking.get("OTP"):
            return await self._with_code(asking)
        known = any(name.lower() in _SPELLINGS for name in asking.parameters)
        if not known:
            return await self._first_step(asking)
        if not asking.secure:
            # Everything but the empty first request is for TLS alone.
            return Answer(status=403)
        return await self._second_step(asking)

    # Over the operator's own access.

    async def _first_step(self, asking: Asking) -> Answer:
        """An empty request, so that the network can say whose it is. Facts §9.1: without that, 511."""
        aor = self._read(asking.asserted)
        if aor is None:
            return Answer(status=511)
        if await self._eligible(aor) is None:
            return Answer(status=403)
        now = self._wall()
        while self._nonces and (
            len(self._nonces) >= MAX_NONCES or next(iter(self._nonces.values()))[0] + NONCE_LIFETIME <= now
        ):
            del self._nonces[next(iter(self._nonces))]
        nonce = self._make_secret()
        self._nonces[hashed(nonce)] = (now, aor)
        return Answer(status=200, cookie=(NONCE, nonce))

    def _noted(self, asking: Asking) -> Aor | None:
        """The number of this request's first step, once."""
        noted = self._nonces.pop(hashed(asking.cookies.get(NONCE, "")), None)
        return None if noted is None or noted[0] + NONCE_LIFETIME <= self._wall() else noted[1]

    async def _second_step(self, asking: Asking) -> Answer:
        noted = self._noted(asking)
        token = asking.get("token")
        if token:
            found = await self._devices.of_token(token, "native")
            if found is None or (asking.get("msisdn") and self._read(asking.get("msisdn")) != found[0].aor):
                # Facts §9.3: the client drops its token and asks again.
                return Answer(status=511)
            return await self._configure(asking, *found, shown=token)
        aor = noted or self._read(asking.get("msisdn"))
        return Answer(status=403) if aor is None else await self._send_code(asking, aor)

    # By a code.

    async def _send_code(self, asking: Asking, aor: Aor) -> Answer:
        try:
            if await self._eligible(aor) is None:
                await self._codes.asked_in_vain(asking.source)
                return Answer(status=403)
            sending = await self._codes.send(aor, port=_port(asking), source=asking.source)
        except TooMany as error:
            return Answer(status=503, retry_after=max(1, int(error.until - self._wall())))
        except OSError:
            telemetry.event("sms.failed")
            return Answer(status=503, retry_after=60)
        return Answer(status=200, cookie=(CODE, sending.cookie))

    async def _with_code(self, asking: Asking) -> Answer:
        if not asking.secure:
            return Answer(status=403)
        try:
            code = await self._codes.check(asking.cookies.get(CODE, ""), asking.get("OTP"))
        except (Expired, Wrong, Locked):
            # Facts §9.3: 511 makes a client begin anew, at most five times; the code's own bound is lower.
            return Answer(status=511)
        subscriber = await self._eligible(code.aor)
        if subscriber is None:
            return Answer(status=403)
        return await self._new_device(asking, subscriber)

    async def _new_device(self, asking: Asking, subscriber: Subscriber) -> Answer:
        vendor, model, version = (asking.get(f"terminal_{name}") for name in ("vendor", "model", "sw_version"))
        about = About(
            name=asking.get("friendly_device_name") or f"{vendor} {model}".strip(),
            agent=f"{asking.get('client_vendor')} {asking.get('client_version')}".strip(),
            system=f"{vendor} {model} {version}".strip(),
        )
        try:
            device, token = await self._devices.set_up(
                subscriber.aor, "native", about, token_for=float(self._policy.token_validity), sms_port=_port(asking)
            )
        except Refused as refused:
            if refused.reason is not Reason.UNKNOWN_RECIPIENT:
                raise
            return Answer(status=403)
        return await self._configure(asking, device, subscriber, fresh=token)

    # What it gets.

    async def _browser(self, asking: Asking, device: Device, subscriber: Subscriber) -> Answer:
        if subscriber.blocked or not asking.secure:
            # Credentials are for TLS alone, whoever asks.
            return Answer(status=403)
        terms = None if device.terms else self._terms(asking)
        return await self._document(asking, device, terms, self._policy.credentials_for)

    async def _configure(
        self, asking: Asking, device: Device, subscriber: Subscriber, *, shown: str = "", fresh: str = ""
    ) -> Answer:
        """A phone's configuration: it has shown a token, or been set up just now with a `fresh` one."""
        decided = vers_only(RESET) if subscriber.blocked else self._decided(asking)
        if decided is not None:
            return Answer(status=200, body=emit(decided))
        policy = self._policy
        if asking.get("SMS_port"):
            await self._devices.listens(device, _port(asking))
        if shown and asking.get("vers") == str(policy.version) and self._lasts(device, shown):
            return Answer(status=200, body=emit(vers_only(Vers(policy.version, policy.validity))))
        token = fresh or await self._devices.rotate(device, shown, float(policy.token_validity))
        if token is None:
            return Answer(status=511)
        # A client that has no configuration yet shows the terms; one that had it before has accepted them.
        terms = self._terms(asking) if asking.get("vers") in ("", "0") else None
        return await self._document(
            asking, device, terms, float(policy.token_validity), token=(token, policy.token_validity)
        )

    def _lasts(self, device: Device, shown: str) -> bool:
        """Whether all a phone has is good until it asks again; what it never got is not."""
        again = self._wall() + self._policy.validity
        return device.token == hashed(shown) and device.credentials_until > again and device.token_until > again

    def _decided(self, asking: Asking) -> tuple[Characteristic, ...] | None:
        """What the rollout says about such a device, when it is not: go on."""
        vendor, model, version = (asking.get(f"terminal_{name}") for name in ("vendor", "model", "sw_version"))
        verdict, message = self._catalogue.verdict(vendor, model, version)
        told = Terms("", message, accept=False, reject=False) if message else None
        if verdict is Verdict.UPDATE:
            return vers_only(dormant(self._policy.dormant_for), told)
        if verdict is Verdict.UNSUPPORTED:
            return vers_only(OFF, told)
        native = asking.get("client_vendor").lower() in {one.lower() for one in self._policy.native_vendors}
        if not self._policy.beta and not native:
            return vers_only(DISABLED)
        return None

    async def _document(
        self,
        asking: Asking,
        device: Device,
        terms: Terms | None,
        lifetime: float,
        token: tuple[str, int] | None = None,
    ) -> Answer:
        """The whole document, with credentials that are made for it."""
        credentials = await self._devices.mint(device, lifetime, self._policy.configuration)
        if credentials is None:
            # It was signed out this very moment.
            return Answer(status=511 if token else 403)
        profile = asking.get("rcs_profile")
        made = document(
            self._service,
            Description(
                vers=Vers(self._policy.version, self._policy.validity),
                profile=profile if profile.startswith("UP_") else JOYN,
                private_identity=credentials.username,
                public_identities=(device.aor, self._numbering.sip_uri(device.aor)),
                username=credentials.username,
                password=credentials.password,
                token=token,
                terms=terms,
                web_socket=asking.web_socket if device.kind == "browser" else "",
            ),
        )
        return Answer(status=200, body=emit(made))

    def _terms(self, asking: Asking) -> Terms | None:
        terms = self._policy.terms
        for language in asking.languages:
            found = terms.get(language.partition("-")[0].lower())
            if found is not None:
                return found
        return next(iter(terms.values()), None)

    async def _eligible(self, aor: Aor) -> Subscriber | None:
        subscriber = await self._subscribers.get(aor)
        return None if subscriber is None or subscriber.blocked else subscriber

    def _read(self, number: str) -> Aor | None:
        """A number as phones and networks write it: with +, without it, or as people at home do."""
        text = number.removeprefix("tel:")
        if not _NUMBER.fullmatch(text):
            return None
        digits = self._numbering.number(text) or (None if text[0] in "+0" else self._numbering.number(f"+{text}"))
        return Aor(f"tel:{digits}") if digits else None


def _port(asking: Asking) -> int:
    """Where the client reads its SMS; 0 when it reads none, or says what no port is."""
    text = asking.get("SMS_port")
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 5 and int(text) < 65536 else 0
