"""The part of the admin door that speaks of numbers: where they belong, and which were ported."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final, Protocol

from aiohttp import web

from joyn import telemetry
from joyn.model.aor import Numbering
from joyn.model.ported import NUMBER, PortedNumber, read_row
from joyn.model.refused import Refused
from joyn.model.route import Operator, Route, Router
from joyn.protocol.errors import ParseError
from joyn.store import MAX_PORTED

__all__ = ["MAX_ROWS", "NumbersDoor", "PortedNumbers", "route_shown"]

MAX_ROWS: Final = MAX_PORTED
"""Rows of ported numbers in one request, which is one commit."""
MAX_BYTES: Final = MAX_ROWS * 64
"""Bytes of them; more is answered 413."""

PORTED = telemetry.counter("number.ported")


class PortedNumbers(Protocol):
    """What the door needs of the store's ported numbers."""

    async def get(self, number: str) -> PortedNumber | None:
        """The row of an E.164 number, or None."""
        ...

    async def put(self, ported: Sequence[PortedNumber]) -> None:
        """Add, replace, and remove those without an operator; durable when it returns."""
        ...

    async def counts(self) -> Mapping[Operator, int]:
        """How many numbers each operator has."""
        ...


async def _nothing(_rows: Sequence[PortedNumber]) -> None:
    pass


class NumbersDoor:
    """Serves /route and /ported. `on_ported` is told of rows that have changed."""

    def __init__(
        self,
        routing: Router,
        numbering: Numbering,
        ported: PortedNumbers,
        *,
        wall: Callable[[], float] = time.time,
        on_ported: Callable[[Sequence[PortedNumber]], Awaitable[None]] = _nothing,
    ) -> None:
        self._on_ported = on_ported
        self._routing = routing
        self._numbering = numbering
        self._ported = ported
        self._wall = wall

    def routes(self) -> list[web.RouteDef]:
        """What it serves."""
        return [
            web.get("/route", self._route),
            web.get("/ported", self._counts),
            web.get("/ported/{number}", self._get),
            web.post("/ported", self._put),
        ]

    async def _route(self, request: web.Request) -> web.Response:
        """The decision about an AOR, and its steps; `from` is the peer operator that a request would come from."""
        aor = self._numbering.aor(request.query.get("aor", ""))
        if aor is None:
            raise ValueError("aor: shall be a tel URI, or a SIP URI of this operator")
        route = await self._routing.route(
            aor, came_from=request.query.get("from", ""), forwarded=request.query.get("forwarded", "") == "yes"
        )
        return web.json_response(route_shown(route))

    async def _counts(self, _: web.Request) -> web.Response:
        return web.json_response({"operators": dict(await self._ported.counts())})

    async def _get(self, request: web.Request) -> web.Response:
        found = await self._ported.get(_number(request))
        if found is None:
            raise web.HTTPNotFound(text="the number was not ported")
        return web.json_response(asdict(found))

    async def _put(self, request: web.Request) -> web.Response:
        """Lines `number,operator`, all of them or none."""
        rows: list[PortedNumber] = []
        at = self._wall()
        for place, line in enumerate((await _body(request)).splitlines(), 1):
            try:
                row = read_row(line, at)
            except ParseError as error:
                raise ValueError(f"line {place}: {error.what}") from None
            if row is not None:
                rows.append(row)
        if len(rows) > MAX_ROWS:
            raise web.HTTPRequestEntityTooLarge(MAX_ROWS, len(rows), text=f"more than {MAX_ROWS} rows")
        try:
            await self._ported.put(rows)
            await self._on_ported(rows)
        except Refused as refused:
            # A full disk, or too much waiting for it.
            raise web.HTTPServiceUnavailable(text=refused.detail) from None
        PORTED.inc(len(rows))
        return web.json_response({"rows": len(rows)})


def route_shown(route: Route) -> dict[str, Any]:
    """A route as JSON."""
    return asdict(route)


def _number(request: web.Request) -> str:
    number = request.match_info["number"]
    if not NUMBER.fullmatch(number):
        raise ValueError(f"{number!r} is no number as +33639980001")
    return number


async def _body(request: web.Request) -> str:
    """All of the body, which may be larger than other requests'."""
    read = bytearray()
    async for chunk in request.content.iter_any():
        read += chunk
        if len(read) > MAX_BYTES:
            raise web.HTTPRequestEntityTooLarge(MAX_BYTES, len(read), text=f"more than {MAX_BYTES} bytes")
    return read.decode("utf-8", "replace")
