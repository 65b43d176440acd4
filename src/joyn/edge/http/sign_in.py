"""Signing in with a browser: a number, a code, a session.

Spec: design §3. The session is a cookie no script can read; the SIP password comes with the configuration, is new each
time and stays in memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from joyn.edge.http import cookies, source_of
from joyn.edge.http.describing import ProblemFound, failed, read_json
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


class SignInDoor:
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
        self._caller = caller
        self._operator = operator
        self._shown = shown

    def routes(self) -> list[web.RouteDef]:
        """What it serves."""
        return [
            web.post("/api/sign-in", _read(self._number)),
            web.post("/api/sign-in/code", _read(self._code)),
            web.get("/api/session", self._session),
            web.delete("/api/session", self._sign_out),
            web.post("/api/terms", _read(self._terms)),
            web.get("/api/operator", self._facts),
        ]

    async def _facts(self, _request: web.Request) -> web.Response:
        return _json(self._operator)

    async def _number(self, request: web.Request) -> web.Response:
        given: NumberGiven = await read_json(request, NumberGiven, MAX_BODY)
        numbering = self._numbering
        if len(given.country) == 2 and given.country.upper() != numbering.country:
            numbering = Numbering(given.country, (numbering.domain,))
        digits = numbering.number(given.number[:40])
        if digits is None:
            return _problem(400, "bad-number")
        aor = Aor(f"tel:{digits}")
        subscriber = await self._subscribers.get(aor)
        if subscriber is None:
            return _problem(404, "operator-unknown")
        if subscriber.blocked:
            return _problem(403, "not-eligible")
        try:
            about = msgspec.json.encode(given.device).decode()
            sending = await self._codes.send(aor, about=about, source=source_of(request))
        except TooMany as error:
            return _problem(429, "too-many", until=error.until)
        except OSError:
            return _problem(503, "service-down")
        response = _json({"aor": aor, "number": self._shown(aor), "length": sending.length, "again": sending.again})
        cookies.write(request, response, cookies.CHALLENGE, sending.cookie, CHALLENGE_SECONDS)
        return response

    async def _code(self, request: web.Request) -> web.Response:
        given: CodeGiven = await read_json(request, CodeGiven, MAX_BODY)
        try:
            code = await self._codes.check(cookies.read(request, cookies.CHALLENGE), given.code[:20])
        except Wrong as error:
            return _problem(401, "wrong", tries_left=error.tries_left)
        except Expired:
            return _problem(410, "expired")
        except Locked as error:
            return _problem(429, "locked", until=error.until)
        said = msgspec.json.decode(code.about or "{}", type=DeviceFacts)
        about = About(name=said.name, agent=said.browser, system=said.system)
        try:
            device, token = await self._devices.set_up(code.aor, "browser", about)
        except Refused:
            return _problem(410, "expired")
        response = _json({"aor": device.aor, "device": device.id})
        cookies.write(request, response, cookies.SESSION, token, SESSION_SECONDS)
        cookies.drop(request, response, cookies.CHALLENGE)
        return response

    async def _session(self, request: web.Request) -> web.Response:
        found = await self._caller.session(request)
        if found is None:
            if not cookies.read(request, cookies.SESSION):
                return web.Response(status=204)  # nobody has signed in here, which is no failure
            response = _problem(401, "signed-out-elsewhere")
            cookies.drop(request, response, cookies.SESSION)
            return response
        device, subscriber = found
        return _json(
            {
                "aor": device.aor,
                "number": self._shown(device.aor),
                "profile_name": subscriber.display_name,
                "device": device.id,
                "operator": self._operator,
            }
        )

    async def _sign_out(self, request: web.Request) -> web.Response:
        found = await self._caller.session(request)
        if found is not None:
            await self._devices.sign_out(found[0])
        response = web.Response(status=204)
        cookies.drop(request, response, cookies.SESSION)
        return response

    async def _terms(self, request: web.Request) -> web.Response:
        found = await self._caller.session(request)
        if found is None:
            return _problem(401, "signed-out")
        answered: TermsAnswered = await read_json(request, TermsAnswered, MAX_BODY)
        if not answered.accept:
            return await self._sign_out(request)
        if not await self._devices.accept_terms(found[0]):
            return _problem(401, "signed-out")
        return web.Response(status=204)


def _read(serve: Handler) -> Handler:
    """The handler, with the answer to a body that cannot be read."""

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            return await serve(request)
        except ProblemFound as found:
            return failed(found.problem)

    return handle


def _json(value: object) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), content_type="application/json")


def _problem(status: int, word: str, **more: object) -> web.Response:
    return web.json_response({"error": word, **more}, status=status)
