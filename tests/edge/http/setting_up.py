"""What the tests of auto-configuration and of signing in share: a node, the SMS it sends, and requests with cookies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from http.cookies import Morsel, SimpleCookie
from typing import Any, NoReturn

from edge.http.browser import Office
from joyn.model.refused import Reason, Refused
from joyn.sms.outbox import Sent, read
from phone.node import CAROL

HOST = "config.rcs.mnc001.mcc208.pub.3gppnetwork.org"
OPERATOR = {"mcc": "208", "mnc": ("1",)}


@dataclass(frozen=True)
class Answered:
    """An answer, read."""

    status: int
    body: bytes
    headers: Mapping[str, str]
    cookies: Mapping[str, Morsel[str]]
    json: Any = None


@dataclass
class Visitor:
    """Somebody with cookies of their own: aiohttp's jar keeps none for an address."""

    office: Office
    cookies: dict[str, str] = field(default_factory=dict)

    async def ask(self, method: str, path: str, json: Any = None, **headers: str) -> Answered:
        """One request, with what it was told to remember."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.cookies:
            named["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        async with self.office.http.request(method, self.office.origin + path, json=json, headers=named) as answer:
            told: SimpleCookie = answer.cookies
            for name, morsel in told.items():
                if morsel.value:
                    self.cookies[name] = morsel.value
                else:
                    self.cookies.pop(name, None)
            kind = answer.content_type
            body = await answer.read()
            return Answered(
                answer.status, body, answer.headers, dict(told), await answer.json() if "json" in kind else None
            )

    async def sign_in(self, number: str = CAROL, name: str = "Laptop") -> Answered:
        """As a browser does."""
        asked = await self.ask("POST", "/api/sign-in", {"number": number, "device": {"name": name}})
        assert asked.status == 200, asked.json
        return await self.ask("POST", "/api/sign-in/code", {"code": texts(self.office)[-1].text.split()[0]})


async def busy(*_asked: object) -> NoReturn:
    """What a store does that takes nothing now."""
    raise Refused(Reason.OVERLOADED)


def texts(office: Office) -> list[Sent]:
    """The SMS that were sent."""
    return read(office.node.settings.sms_outbox)
