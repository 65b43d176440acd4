"""Typed descriptions of HTTP operations: the handler and the OpenAPI document are made from the same one.

An operation says what it takes and what it answers, as msgspec types. What does not fit is refused before the handler
runs; what the handler returns is written by its type.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import msgspec
from aiohttp import web

from joyn.model.aor import Aor
from joyn.model.refused import Reason, Refused

__all__ = ["Asked", "Caller", "Operation", "Problem", "ProblemFound", "Provider", "failed", "read_json", "route"]

MAX_BODY: Final = 64 * 1024
"""Bytes of a request."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One way an operation can fail: the status, the word in `error`, and when it happens."""

    status: int
    word: str
    when: str


SIGNED_OUT: Final = Problem(401, "signed-out", "There is no session, or it has ended.")
MALFORMED: Final = Problem(400, "malformed", "The request is not what this description says.")
TOO_LARGE: Final = Problem(413, "too-large", "The body is larger than anything this operation takes.")
CROSS_SITE: Final = Problem(403, "cross-site", "Another site's page made the request.")
OVERLOADED: Final = Problem(503, "overloaded", "Too much is waiting, or the disk is full; try again later.")


class ProblemFound(Exception):
    """Answer with this problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.word)
        self.problem = problem


class Caller(Protocol):
    """Who a request is from."""

    async def of(self, request: web.Request) -> tuple[Aor, str]:
        """The subscriber of the session, and the id of the device it belongs to. Raises Refused(UNAUTHENTICATED)."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """What one method of one path does.

    `query` and `body` are msgspec.Struct types, None when there is none; `answer` is any type msgspec knows, None for
    204. `parameters` are the names in the path with what they are. `problems` are those of its own: those that every
    operation shares are added. With `signed_in` it is for subscribers only.
    """

    method: str
    path: str
    summary: str
    query: type[msgspec.Struct] | None = None
    body: type[msgspec.Struct] | None = None
    answer: Any = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    signed_in: bool = True

    @property
    def changes(self) -> bool:
        """Whether it changes something: then it must come from our own page."""
        return self.method != "GET"

    @property
    def all_problems(self) -> tuple[Problem, ...]:
        """Everything it can fail with."""
        shared = [SIGNED_OUT] if self.signed_in else []
        if self.query or self.body or self.parameters:
            shared.append(MALFORMED)
        if self.body:
            shared.append(TOO_LARGE)
        if self.changes:
            shared += [CROSS_SITE, OVERLOADED]
        return (*shared, *self.problems)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that has passed its description. `aor` and `device` are empty when nobody need be signed in."""

    aor: Aor
    device: str
    query: Any
    body: Any
    parameters: Mapping[str, str]


Serve = Callable[[Asked], Awaitable[Any]]


class Provider(Protocol):
    """A module of the HTTP door whose operations are described."""

    @property
    def operations(self) -> Sequence[tuple[Operation, Serve]]:
        """Its operations, and what serves each."""
        ...


_REFUSED: Final = {
    Reason.UNAUTHENTICATED: SIGNED_OUT,
    Reason.MALFORMED: MALFORMED,
    Reason.OVERLOADED: OVERLOADED,
    Reason.STORAGE_FULL: OVERLOADED,
    Reason.STOPPING: OVERLOADED,
}


def route(operation: Operation, serve: Serve, caller: Caller) -> web.RouteDef:
    """The operation as aiohttp wants it."""

    async def handle(request: web.Request) -> web.Response:
        try:
            aor, device = await caller.of(request) if operation.signed_in else (Aor(""), "")
            asked = Asked(aor, device, _query(operation, request), await _body(operation, request), request.match_info)
            answer = await serve(asked)
        except ProblemFound as found:
            return failed(found.problem)
        except Refused as refused:
            problem = _REFUSED.get(refused.reason)
            if problem is None:
                raise
            return failed(problem)
        if operation.answer is None:
            return web.Response(status=204)
        return web.Response(body=msgspec.json.encode(answer), content_type="application/json")

    return web.route(operation.method, operation.path, handle)


def _query(operation: Operation, request: web.Request) -> Any:
    if operation.query is None:
        return None
    try:
        # Not strict: in a query a number is text.
        return msgspec.convert(dict(request.query), operation.query, strict=False)
    except msgspec.ValidationError:
        raise ProblemFound(MALFORMED) from None


async def _body(operation: Operation, request: web.Request) -> Any:
    return None if operation.body is None else await read_json(request, operation.body)


async def read_json(request: web.Request, kind: type[Any], max_body: int = MAX_BODY) -> Any:
    """A request's body as this type, in however many pieces it comes. Raises ProblemFound."""
    if request.content_type != "application/json":
        # What a form of another site's page can send without being asked for leave is none of these.
        raise ProblemFound(CROSS_SITE)
    if (request.content_length or 0) > max_body:
        raise ProblemFound(TOO_LARGE)
    data = await request.content.read(max_body + 1)
    while len(data) <= max_body and (more := await request.content.read(max_body + 1 - len(data))):
        data += more
    if len(data) > max_body:
        raise ProblemFound(TOO_LARGE)
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise ProblemFound(MALFORMED) from None


def failed(problem: Problem) -> web.Response:
    """The answer that says so."""
    return web.json_response({"error": problem.word}, status=problem.status)
