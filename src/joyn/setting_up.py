"""How the node puts together what sets devices up: codes, devices, configuration, and their doors."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
import uuid
from collections.abc import Awaitable
from pathlib import Path

import phonenumbers
from aiohttp import web

from joyn.config import ConfigError, Settings
from joyn.edge.http import RouteProvider
from joyn.edge.http.configuration import ConfigurationDoor, configuration_hosts
from joyn.edge.http.describing import Provider
from joyn.edge.http.devices import DevicesDoor
from joyn.edge.http.files import PATH as CONTENT
from joyn.edge.http.sign_in import OperatorFacts, SessionCaller, SignInDoor
from joyn.model.aor import Aor, Numbering
from joyn.model.device import CodeLimits
from joyn.model.refused import Refused
from joyn.services.provisioning.catalogue import Catalogue, CatalogueError
from joyn.services.provisioning.codes import CodeRules, Codes, hashed
from joyn.services.provisioning.devices import Devices
from joyn.services.provisioning.documents import Parameter, Service, Terms, unmatched
from joyn.services.provisioning.provisioning import Policy, Provisioning
from joyn.services.provisioning.reconfiguring import Reconfiguring
from joyn.sms import Sms
from joyn.store import Store

log = logging.getLogger(__name__)

SECRET_BYTES = 24
"""Random bytes of a token, a cookie or a password."""


def check(settings: Settings) -> None:
    """Raises ConfigError for a catalogue, a parameter or a text that cannot be used."""
    _check_text(settings.provisioning.code_text)
    _catalogue(settings.provisioning.catalogue)
    _service(settings)


class SettingUp:
    """The parts, wired, out of settings that `check` has passed."""

    def __init__(self, settings: Settings, store: Store, numbering: Numbering, sms: Sms) -> None:
        operator, rules = settings.operator, settings.provisioning
        self._numbering = numbering
        self.devices = Devices(
            store.devices,
            store.subscribers,
            realm=operator.realm or operator.domain,
            wall=time.time,
            make_id=lambda: str(uuid.uuid4()),
            make_secret=_secret,
        )
        self.codes = Codes(
            store.devices,
            sms,
            CodeRules(
                tries=rules.code_tries,
                valid_for=rules.code_valid_for,
                locked_for=rules.code_locked_for,
                limits=CodeLimits(
                    per_hour=rules.codes_per_hour,
                    source_per_hour=rules.codes_per_source,
                    vain_per_hour=rules.questions_per_source,
                    all_per_minute=rules.codes_per_minute,
                ),
            ),
            text=lambda code: rules.code_text.format(code=code, operator=operator.name),
            wall=time.time,
            pick=secrets.choice,
            make_cookie=_secret,
        )
        catalogue = _catalogue(rules.catalogue)
        configuration = hashed(f"{rules.version} {catalogue}")
        self._reconfiguring = Reconfiguring(
            store.devices,
            sms,
            configuration=configuration,
            pause=60.0 / rules.told_per_minute,
            sleep=asyncio.sleep,
        )
        self._telling: asyncio.Task[None] | None = None
        self.caller = SessionCaller(self.devices)
        self._service = _service(settings)
        self.provisioning = Provisioning(
            store.subscribers,
            numbering,
            self.devices,
            self.codes,
            catalogue,
            _policy(settings, configuration),
            self._service,
            wall=time.time,
            make_secret=_secret,
        )
        self._configuration = ConfigurationDoor(
            self.provisioning,
            self.caller.session,
            hosts=configuration_hosts(rules.mcc, rules.mnc),
            msisdn_header=rules.msisdn_header,
            proxies=rules.trusted_proxies,
        )
        self._devices_door = DevicesDoor(self.devices, self.caller)
        self._sign_in = SignInDoor(
            store.subscribers,
            numbering,
            self.codes,
            self.devices,
            self.caller,
            OperatorFacts(name=operator.name, theme=operator.theme, country=operator.country),
            shown=self.shown,
        )

    def start(self) -> None:
        """Begin to tell phones whose configuration is out of date."""
        self._telling = asyncio.get_running_loop().create_task(self._tell())

    async def stop(self) -> None:
        """Stop that; the others are told after the next start."""
        if self._telling is not None:
            self._telling.cancel()
            await asyncio.wait([self._telling])

    async def _tell(self) -> None:
        try:
            await self._reconfiguring.run()
        except Refused:
            log.warning("phones were not told of their new configuration: the store takes nothing")

    def providers(self) -> list[RouteProvider]:
        """Its part of the HTTP door."""
        return [self._sign_in, self._devices_door, self._configuration]

    def described(self) -> list[Provider]:
        """What of that the OpenAPI document describes."""
        return [self._sign_in, self._devices_door]

    def root(self, request: web.Request) -> Awaitable[web.StreamResponse] | None:
        """The answer to a phone that asks for / on a configuration host."""
        return self._configuration.configure(request) if self._configuration.serves_root(request) else None

    def shown(self, aor: Aor) -> str:
        """A number as it is written internationally, with the spaces of its country."""
        try:
            number = phonenumbers.parse(aor.removeprefix("tel:"))
        except phonenumbers.NumberParseException:
            return aor
        return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.INTERNATIONAL)


def _secret() -> str:
    return secrets.token_urlsafe(SECRET_BYTES)


def _check_text(text: str) -> None:
    try:
        read = "418902" in text.format(code="418902", operator="")
    except (LookupError, ValueError, AttributeError):
        read = False
    if not read:
        raise ConfigError("shall have {code} in it, and may have {operator}", "provisioning.code_text", text)


def _catalogue(path: Path | None) -> Catalogue:
    if path is None:
        return Catalogue()
    try:
        return Catalogue.parse(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, CatalogueError) as error:
        raise ConfigError(str(error), "provisioning.catalogue", str(path)) from None


def _policy(settings: Settings, configuration: str) -> Policy:
    rules = settings.provisioning
    terms = {settings.operator.country.lower(): Terms(rules.terms_title, rules.terms)} if rules.terms else {}
    return Policy(
        version=rules.version,
        configuration=configuration,
        validity=int(rules.validity),
        token_validity=int(rules.token_validity),
        credentials_for=rules.credentials_for,
        beta=rules.rollout == "beta",
        native_vendors=rules.native_vendors,
        terms=terms,
    )


def _service(settings: Settings) -> Service:
    """What all devices are told, out of the listeners: TLS where there is some."""
    try:
        parameters = tuple(Parameter.parse(line) for line in settings.provisioning.parameters)
    except ValueError as error:
        raise ConfigError(str(error), "provisioning.parameters") from None
    listeners = settings.sip.listeners
    best = next((kind for kind in ("tls", "tcp", "udp") if any(one.transport == kind for one in listeners)), "tcp")
    media = "MSRPoTLS" if any(one.transport == "tls" for one in settings.msrp.listeners) else "MSRP"
    service = Service(
        domain=settings.operator.domain,
        realm=settings.operator.realm or settings.operator.domain,
        pcscf=tuple(f"{one.advertise}:{one.port}" for one in listeners if one.transport == best),
        signalling={"tls": "SIPoTLS", "tcp": "SIPoTCP", "udp": "SIPoUDP"}[best],
        media=media,
        parameters=parameters,
        max_message=settings.msrp.max_message,
        pager_limit=settings.messaging.pager_limit,
        content_server=f"{settings.files_url}{CONTENT}" if settings.files_url else "",
        max_file=settings.files.max_file,
        warn_above=settings.files.warn_above,
    )
    for parameter in unmatched(service):
        raise ConfigError(f"{parameter.path}: no configuration has this parameter", "provisioning.parameters")
    return service
