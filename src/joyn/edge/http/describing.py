"""Typed descriptions of HTTP operations: the handler and the OpenAPI document are made from the same one.

An operation says what it takes and what it answers, as msgspec types. What does not fit is refused before the handler
runs; what the handler returns is written by its type.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import msgspec
from aiohttp import web

from joyn.model.aor import Aor
from joyn.model.refused import Reason

__all__ = [
    "REFUSED",
    "Asked",
    "Caller",
    "Operation",
    "Problem",
    "ProblemFound",
    "Provider",
    "answer_of",
    "failed",
]

MAX_BODY: Final = 64 * 1024
"""Bytes of a request."""
RETRY_AFTER: Final = 5
"""Seconds after which it may go better."""


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
    """Answer with this problem, and what helps (`tries_left`, `until`)."""

    def __init__(self, problem: Problem, **more: float) -> None:
        super().__init__(problem.word)
        self.problem = problem
        self.more = more


class Caller(Protocol):
    """Who a request is from."""

    async def of(self, request: web.Request) -> tuple[Aor, str]:
        """The subscriber of the session, and the id of the device it belongs to. Raises Refused(UNAUTHENTICATED)."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """What one method of one path does.

    `query` and `body` are msgspec.Struct types, None when there is none; `answer` is any type msgspec knows, None for
    204. `nothing` says when an operation with an answer has none. `parameters` are the names in the path with what they
    are. `problems` are those of its own: those that every operation shares are added. With `signed_in` it is for
    subscribers only.
    """

    method: str
    path: str
    summary: str
    query: type[msgspec.Struct] | None = None
    body: type[msgspec.Struct] | None = None
    max_body: int = MAX_BODY
    answer: Any = None
    nothing: str = ""
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
            shared.append(CROSS_SITE)
        if self.changes or self.signed_in:
            # That a device is active is noted, whatever it asks.
            shared.append(OVERLOADED)
        return (*shared, *self.problems)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that has passed its description. `aor` and `device` are empty when nobody need be signed in."""

    request: web.Request
    aor: Aor
    device: str
    query: Any
    body: Any
    parameters: Mapping[str, str]


Serve = Callable[[Asked], Awaitable[Any]]
"""Gives the answer as its type, or made with `answer_of` when it takes more than that, like a cookie."""


REFUSED: Final = {
    Reason.UNAUTHENTICATED: SIGNED_OUT,
    Reason.MALFORMED: MALFORMED,
    Reason.OVERLOADED: OVERLOADED,
    Reason.STORAGE_FULL: OVERLOADED,
    Reason.STOPPING: OVERLOADED,
}


def _route(operation: Operation, serve: Serve, caller: Caller) -> web.RouteDef:
    """The operation as aiohttp wants it."""

    async def handle(request: web.Request) -> web.StreamResponse:
        aor, device = await caller.of(request) if operation.signed_in else (Aor(""), "")
        body = await _body(operation, request)
        answer = await serve(Asked(request, aor, device, _query(operation, request), body, request.match_info))
        return answer if isinstance(answer, web.StreamResponse) else answer_of(answer)

    return web.route(operation.method, operation.path, handle)


class Provider(ABC):
    """A module of the HTTP door whose operations are described."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    @property
    @abstractmethod
    def operations(self) -> Sequence[tuple[Operation, Serve]]:
        """Its operations, and what serves each."""

    def routes(self) -> list[web.RouteDef]:
        """The same as routes."""
        return [_route(operation, serve, self._caller) for operation, serve in self.operations]


def answer_of(value: object) -> web.Response:
    """The answer that says this; None is 204."""
    if value is None:
        return web.Response(status=204)
    return web.Response(body=msgspec.json.encode(value), content_type="application/json")


def _query(operation: Operation, request: web.Request) -> Any:
    if operation.query is None:
        return None
    try:
        # Not strict: in a query a number is text.
        return msgspec.convert(dict(request.query), operation.query, strict=False)
    except msgspec.ValidationError:
        raise ProblemFound(MALFORMED) from None


async def _body(operation: Operation, request: web.Request) -> Any:
    """The body as its type, in however many pieces it comes. Raises ProblemFound."""
    kind, max_body = operation.body, operation.max_body
    if kind is None:
        return None
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


def failed(problem: Problem, more: Mapping[str, float] | None = None) -> web.Response:
    """The answer that says so."""
    response = web.json_response({"error": problem.word, **(more or {})}, status=problem.status)
    if problem.status == 503:
        response.headers["Retry-After"] = str(RETRY_AFTER)
    return response
