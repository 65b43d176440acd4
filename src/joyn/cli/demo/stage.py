"""The demo's stage: a page with two phones side by side, each a real client on a host of its own, and the SMS outbox.

Hosts of their own, because cookies, service worker and database belong to a host; under `.localhost` browsers find this
machine by themselves and call plain HTTP a secure context (RFC 6761 §6.3).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from aiohttp import web

from joyn.edge.http.page import PageDoor, built_client
from joyn.sms import outbox

PATH: Final = "/demo"
SHOWN: Final = 50
"""Text messages on the page."""
_NUMBER: Final = re.compile(r"(\+\d\d)(\d)(\d\d)(\d\d)(\d\d)(\d\d)")


@dataclass(frozen=True, slots=True)
class StagePhone:
    """One phone of the page. `operator` and `theme` are whose it is, empty when there is one operator alone."""

    name: str
    number: str
    url: str
    operator: str = ""
    theme: str = ""


@dataclass(frozen=True, slots=True)
class Friend:
    """Somebody who answers."""

    name: str
    number: str
    operator: str = ""
    theme: str = ""


class Stage:
    """Serves the page at `host` (with its port), and what there is to show on it; `outboxes` by operator."""

    def __init__(
        self, host: str, outboxes: Mapping[str, Path], phones: Sequence[StagePhone], friends: Sequence[Friend]
    ) -> None:
        self._host = host
        self._outboxes = outboxes
        self._phones = phones
        self._friends = friends
        self._page = PageDoor(built_client())

    @property
    def url(self) -> str:
        """What to open."""
        return f"http://{self._host}{PATH}"

    def routes(self) -> list[web.RouteDef]:
        """The page and its data."""
        return [web.get(PATH, self._show), web.get(f"{PATH}/stage.json", self._tell)]

    async def _show(self, request: web.Request) -> web.Response:
        frames = " ".join(phone.url.rstrip("/") for phone in self._phones)
        return self._page.page(request, "demo.html", frames=frames)

    async def _tell(self, request: web.Request) -> web.Response:
        if request.host != self._host:
            # Codes are in it: for the stage's own page alone, on this machine.
            return web.json_response({"error": "not-here"}, status=404)
        texts = sorted(
            (one.at, f"{operator} {one.id}", one)
            for operator, outbox_file in self._outboxes.items()
            for one in outbox.read(outbox_file)[-SHOWN:]
        )
        shown = [
            {"id": name, "to": spaced(one.to.removeprefix("tel:")), "text": one.text, "at": at}
            for at, name, one in texts[-SHOWN:]
        ]
        return web.json_response(
            {
                "phones": [asdict(phone) for phone in self._phones],
                "friends": [asdict(friend) for friend in self._friends],
                "texts": shown,
            },
            headers={"Cache-Control": "no-store"},
        )


def spaced(number: str) -> str:
    """A French number as it is written internationally."""
    return _NUMBER.sub(r"\1 \2 \3 \4 \5 \6", number)
