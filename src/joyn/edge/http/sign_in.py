"""Signing in with a browser: a number, a code, a session.

Spec: design §3. The session is a cookie no script can read; the SIP password comes with the configuration, is new each
time and stays in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec
from aiohttp import web

from joyn.edge.http import cookies, source_of
from joyn.edge.http.describing import (
    SIGNED_OUT,
    Asked,
    Operation,
    Problem,
    ProblemFound,
    Provider,
    Serve,
    answer_of,
    failed,
)
from joyn.model.aor import Aor, Numbering
from joyn.model.device import Device
from joyn.model.refused import Reason, Refused
from joyn.model.subscriber import Subscriber
from joyn.services.provisioning.codes import Codes, Expired, Locked, TooMany, Wrong
from joyn.services.provisioning.devices import About, Devices
from joyn.store import Subscribers

__all__ = ["OperatorFacts", "SessionCaller", "SignInDoor"]

MAX_BODY: Final = 4096
CHALLENGE_SECONDS: Final = 900
SESSION_SECONDS: Final = 400 * 86400
"""As long as browsers keep a cookie at most: a session ends by signing out, here or from another device."""


class DeviceFacts(msgspec.Struct, frozen=True):
    """What a browser says of itself."""

    name: str = ""
    browser: str = ""
    system: str = ""


class NumberGiven(msgspec.Struct, frozen=True):
    """A number as a person typed it, and the country whose numbers need no prefix."""

    number: str
    country: str = ""
    device: DeviceFacts = DeviceFacts()


class CodeGiven(msgspec.Struct, frozen=True):
    """A code as a person typed it."""

    code: str


class TermsAnswered(msgspec.Struct, frozen=True):
    """Whether the user agrees."""

    accept: bool


class OperatorFacts(msgspec.Struct, frozen=True):
    """Who this is, for the page."""

    name: str
    theme: str
    country: str
    terms_url: str = ""
    help_url: str = ""


class CodeSent(msgspec.Struct, frozen=True):
    """A code of `length` digits is on its way to a number; another may be asked for from `again` on (Unix seconds)."""

    aor: str
    number: str
    length: int
    again: float


class SignedIn(msgspec.Struct, frozen=True):
    """Who is signed in now, and the id of this device."""

    aor: str
    device: str


class SessionShown(msgspec.Struct, frozen=True):
    """Who is signed in here, on which device, with which operator."""

    aor: str
    number: str
    profile_name: str
    device: str
    operator: OperatorFacts


BAD_NUMBER: Final = Problem(400, "bad-number", "That is no telephone number.")
OPERATOR_UNKNOWN: Final = Problem(404, "operator-unknown", "The number is none of this operator's.")
NOT_ELIGIBLE: Final = Problem(403, "not-eligible", "The operator has switched the service off for this number.")
TOO_MANY: Final = Problem(429, "too-many", "No code now, but `until` at the latest.")
SERVICE_DOWN: Final = Problem(503, "service-down", "The SMS cannot leave.")
WRONG: Final = Problem(401, "wrong", "That is not the code; there are `tries_left`.")
EXPIRED: Final = Problem(410, "expired", "The code is over, or was none of this browser's.")
LOCKED: Final = Problem(429, "locked", "Too many wrong codes; the number is locked `until` then.")
SIGNED_OUT_ELSEWHERE: Final = Problem(401, "signed-out-elsewhere", "The session was ended, here or from elsewhere.")

ASK: Final = Operation(
    method="POST",
    path="/api/sign-in",
    summary="Send a code by SMS to a number.",
    body=NumberGiven,
    max_body=MAX_BODY,
    answer=CodeSent,
    problems=(BAD_NUMBER, OPERATOR_UNKNOWN, NOT_ELIGIBLE, TOO_MANY, SERVICE_DOWN),
    signed_in=False,
)
ENTER: Final = Operation(
    method="POST",
    path="/api/sign-in/code",
    summary="Sign in with the code that this browser asked for.",
    body=CodeGiven,
    max_body=MAX_BODY,
    answer=SignedIn,
    problems=(WRONG, EXPIRED, LOCKED),
    signed_in=False,
)
SESSION: Final = Operation(
    method="GET",
    path="/api/session",
    summary="Who is signed in here.",
    answer=SessionShown,
    nothing="Nobody is signed in here.",
    problems=(SIGNED_OUT_ELSEWHERE,),
    signed_in=False,
)
SIGN_OUT: Final = Operation(method="DELETE", path="/api/session", summary="Sign this device out.", signed_in=False)
TERMS: Final = Operation(
    method="POST",
    path="/api/terms",
    summary="Accept the operator's terms; refusing them signs out.",
    body=TermsAnswered,
    max_body=MAX_BODY,
)
OPERATOR: Final = Operation(
    method="GET", path="/api/operator", summary="Who this operator is.", answer=OperatorFacts, signed_in=False
)


class SessionCaller:
    """Who a request is from, by its session. See joyn.edge.http.describing.Caller."""

    def __init__(self, devices: Devices) -> None:
        self._devices = devices

    async def session(self, request: web.Request) -> tuple[Device, Subscriber] | None:
        """The browser that asks, and its subscriber, unless the operator has blocked them."""
        found = await self._devices.of_token(cookies.read(request, cookies.SESSION), "browser")
        return None if found is None or found[1].blocked else found

    async def of(self, request: web.Request) -> tuple[Aor, str]:
        """The subscriber, and the device's id. Raises Refused(UNAUTHENTICATED)."""
        found = await self.session(request)
        if found is None:
            raise Refused(Reason.UNAUTHENTICATED)
        return found[0].aor, found[0].id


class SignInDoor(Provider):
    """The provider. `shown` writes a number as its country's people do."""

    def __init__(
        self,
        subscribers: Subscribers,
        numbering: Numbering,
        codes: Codes,
        devices: Devices,
        caller: SessionCaller,
        operator: OperatorFacts,
        *,
        shown: Callable[[Aor], str],
    ) -> None:
        self._subscribers = subscribers
        self._numbering = numbering
        self._codes = codes
        self._devices = devices
        super().__init__(caller)
        self._sessions = caller
        self._operator = operator
        self._shown = shown

    @property
    def operations(self) -> Sequence[tuple[Operation, Serve]]:
        """What it serves."""
        return (
            (ASK, self._ask),
            (ENTER, self._enter),
            (SESSION, self._session),
            (SIGN_OUT, self._sign_out),
            (TERMS, self._terms),
            (OPERATOR, self._facts),
        )

    async def _facts(self, _asked: Asked) -> OperatorFacts:
        return self._operator

    async def _ask(self, asked: Asked) -> web.Response:
        given: NumberGiven = asked.body
        numbering = self._numbering
        if len(given.country) == 2 and given.country.upper() != numbering.country:
            numbering = Numbering(given.country, (numbering.domain,))
        digits = numbering.number(given.number[:40])
        if digits is None:
            raise ProblemFound(BAD_NUMBER)
        aor = Aor(f"tel:{digits}")
        source = source_of(asked.request)
        subscriber = await self._subscribers.get(aor)
        try:
            if subscriber is None or subscriber.blocked:
                await self._codes.asked_in_vain(source)
                raise ProblemFound(OPERATOR_UNKNOWN if subscriber is None else NOT_ELIGIBLE)
            about = msgspec.json.encode(given.device).decode()
            sending = await self._codes.send(aor, about=about, source=source)
        except TooMany as error:
            raise ProblemFound(TOO_MANY, until=error.until) from None
        except OSError:
            raise ProblemFound(SERVICE_DOWN) from None
        response = answer_of(CodeSent(aor=aor, number=self._shown(aor), length=sending.length, again=sending.again))
        cookies.write(asked.request, response, cookies.CHALLENGE, sending.cookie, CHALLENGE_SECONDS)
        return response

    async def _enter(self, asked: Asked) -> web.Response:
        given: CodeGiven = asked.body
        request = asked.request
        try:
            code = await self._codes.check(cookies.read(request, cookies.CHALLENGE), given.code[:20])
        except Wrong as error:
            raise ProblemFound(WRONG, tries_left=error.tries_left) from None
        except Expired:
            raise ProblemFound(EXPIRED) from None
        except Locked as error:
            raise ProblemFound(LOCKED, until=error.until) from None
        said = msgspec.json.decode(code.about or "{}", type=DeviceFacts)
        about = About(name=said.name, agent=said.browser, system=said.system)
        try:
            device, token = await self._devices.set_up(code.aor, "browser", about)
        except Refused as refused:
            if refused.reason is not Reason.UNKNOWN_RECIPIENT:
                raise
            raise ProblemFound(EXPIRED) from None
        response = answer_of(SignedIn(aor=device.aor, device=device.id))
        cookies.write(request, response, cookies.SESSION, token, SESSION_SECONDS)
        cookies.drop(request, response, cookies.CHALLENGE)
        return response

    async def _session(self, asked: Asked) -> SessionShown | web.Response:
        request = asked.request
        found = await self._sessions.session(request)
        if found is None:
            if not cookies.read(request, cookies.SESSION):
                return answer_of(None)  # nobody has signed in here, which is no failure
            response = failed(SIGNED_OUT_ELSEWHERE)
            cookies.drop(request, response, cookies.SESSION)
            return response
        device, subscriber = found
        return SessionShown(
            aor=device.aor,
            number=self._shown(device.aor),
            profile_name=subscriber.display_name,
            device=device.id,
            operator=self._operator,
        )

    async def _sign_out(self, asked: Asked) -> web.Response:
        found = await self._sessions.session(asked.request)
        if found is not None:
            await self._devices.sign_out(found[0])
        response = answer_of(None)
        cookies.drop(asked.request, response, cookies.SESSION)
        return response

    async def _terms(self, asked: Asked) -> web.Response | None:
        answered: TermsAnswered = asked.body
        if not answered.accept:
            return await self._sign_out(asked)
        if not await self._devices.accept_terms(asked.device):
            raise ProblemFound(SIGNED_OUT)
        return None
