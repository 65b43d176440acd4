"""GET /api/openapi.json: the API described for machines, from the descriptions its handlers are made from.

Spec: OpenAPI 3.1.1, JSON Schema 2020-12.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from joyn import __version__
from joyn.edge.http.describing import Asked, Caller, Operation, Problem, Provider, Serve

__all__ = ["OpenApiDoor", "document"]

_SCHEMAS: Final = "#/components/schemas/"


class Failure(msgspec.Struct, frozen=True):
    """What went wrong, in one word; some add how many tries are left, or until when it will go wrong (Unix seconds)."""

    error: str
    tries_left: int | msgspec.UnsetType = msgspec.UNSET
    until: float | msgspec.UnsetType = msgspec.UNSET


DESCRIPTION: Final = Operation(
    method="GET", path="/api/openapi.json", summary="This document.", answer=dict[str, Any], signed_in=False
)


class OpenApiDoor(Provider):
    """The provider; describes itself too."""

    def __init__(self, providers: Iterable[Provider], caller: Caller) -> None:
        operations = [operation for provider in providers for operation, _ in provider.operations]
        self._document = document([*operations, DESCRIPTION])
        super().__init__(caller)

    @property
    def operations(self) -> Sequence[tuple[Operation, Serve]]:
        """What it serves."""
        return ((DESCRIPTION, self._describe),)

    async def _describe(self, _asked: Asked) -> dict[str, Any]:
        return self._document


def document(operations: Sequence[Operation]) -> dict[str, Any]:
    """The OpenAPI document of these operations."""
    types = [one for operation in operations for one in (operation.body, operation.answer) if one is not None]
    queries = [operation.query for operation in operations if operation.query is not None]
    schemas, components = msgspec.json.schema_components([*types, *queries, Failure], ref_template=_SCHEMAS + "{name}")
    of = {id(kind): schema for kind, schema in zip([*types, *queries, Failure], schemas, strict=True)}
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, of, components)
    for query in queries:
        # A query is taken apart into parameters; as a whole it is nobody's schema.
        components.pop(query.__name__, None)
    return {
        "openapi": "3.1.1",
        "info": {"title": "joyn", "version": __version__, "summary": "A subscriber's own data."},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"session": {"type": "apiKey", "in": "cookie", "name": "joyn-session"}},
        },
    }


def _operation(operation: Operation, of: Mapping[int, Any], components: Mapping[str, Any]) -> dict[str, Any]:
    described: dict[str, Any] = {"summary": operation.summary}
    parameters = [
        {"name": name, "in": "path", "required": True, "description": what, "schema": {"type": "string"}}
        for name, what in operation.parameters.items()
    ]
    if operation.query is not None:
        schema = components[operation.query.__name__]
        required = schema.get("required", [])
        parameters += [
            {"name": name, "in": "query", "required": name in required, "schema": one}
            for name, one in schema["properties"].items()
        ]
    if parameters:
        described["parameters"] = parameters
    if operation.body is not None:
        described["requestBody"] = {"required": True, "content": _json(of[id(operation.body)])}
    if operation.signed_in:
        described["security"] = [{"session": []}]
    if operation.answer is None:
        responses: dict[str, Any] = {"204": {"description": "Done."}}
    else:
        responses = {"200": {"description": operation.summary, "content": _json(of[id(operation.answer)])}}
        if operation.nothing:
            responses["204"] = {"description": operation.nothing}
    return {**described, "responses": responses | _failures(operation.all_problems)}


def _failures(problems: Sequence[Problem]) -> dict[str, Any]:
    """One response for each status, saying all its words."""
    by_status: dict[str, list[Problem]] = {}
    for problem in problems:
        by_status.setdefault(str(problem.status), []).append(problem)
    return {
        status: {
            "description": " ".join(f"`{one.word}`: {one.when}" for one in group),
            "content": _json({"$ref": f"{_SCHEMAS}{Failure.__name__}"}),
        }
        for status, group in sorted(by_status.items())
    }


def _json(schema: Any) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}
