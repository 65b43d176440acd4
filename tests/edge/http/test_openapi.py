"""The OpenAPI document says what the implementation does: every route is called, every answer held against it."""

import re

import pytest

from contracts.store_values import make_deposit
from edge.http.data_door import ALICE, BOB, asked
from joyn.edge.http.describing import Operation
from joyn.edge.http.openapi import document
from services.push.test_encryption import AUTH, P256DH

SAMPLES = {
    "Profile": {"name": "Alice"},
    "Report": {"aor": BOB, "message_ids": ["m1"]},
    "Subscription": {"endpoint": "https://push.example/1", "keys": {"p256dh": P256DH, "auth": AUTH}},
}
QUERIES = {"/api/search": "?q=eight"}


class Mismatch(AssertionError):
    """A value is not what its schema says."""


def hold(value, schema, components, where="$"):
    """The part of JSON Schema that the document uses; a keyword it does not know is a failure, so nothing is passed
    over."""
    schema = dict(schema)
    for ignored in ("title", "description", "default", "contentEncoding"):
        schema.pop(ignored, None)
    if reference := schema.pop("$ref", None):
        return hold(value, components[reference.rpartition("/")[2]], components, where)
    if choices := schema.pop("anyOf", None):
        for choice in choices:
            try:
                return hold(value, choice, components, where)
            except Mismatch:
                continue
        raise Mismatch(f"{where}: {value!r} fits none")
    kinds = {"object": dict, "array": list, "string": str, "boolean": bool, "number": (int, float), "integer": int}
    kind = schema.pop("type", None)
    if kind and not isinstance(value, kinds[kind]):
        raise Mismatch(f"{where}: {value!r} is no {kind}")
    _hold_parts(value, kind, schema, components, where)
    if (allowed := schema.pop("enum", None)) is not None and value not in allowed:
        raise Mismatch(f"{where}: {value!r} is none of {allowed}")
    for name in ("maxLength", "minLength", "maximum", "minimum", "maxItems"):
        schema.pop(name, None)
    if schema:
        raise Mismatch(f"{where}: what is {schema}?")
    return None


def _hold_parts(value, kind, schema, components, where):
    properties, required, items = schema.pop("properties", {}), schema.pop("required", []), schema.pop("items", None)
    if kind == "object":
        missing, unknown = set(required) - value.keys(), value.keys() - properties.keys() if properties else set()
        if missing or unknown:
            raise Mismatch(f"{where}: {missing=} {unknown=}")
        for name in value.keys() & properties.keys():
            hold(value[name], properties[name], components, f"{where}.{name}")
    if kind == "array":
        for number, one in enumerate(value):
            hold(one, items, components, f"{where}[{number}]")


def body_of(described):
    content = described.get("requestBody", {}).get("content", {})
    return SAMPLES[content["application/json"]["schema"]["$ref"].rpartition("/")[2]] if content else None


@asked
async def test_every_route_answers_what_the_document_says(door):
    await door.store.mailboxes.accept(make_deposit("m1"))
    _, described = await door.ask("GET", "/api/openapi.json", None)
    components = described["components"]["schemas"]
    seen = 0
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            where = path.replace("{aor}", BOB) + QUERIES.get(path, "")
            body = body_of(operation)
            signed_in = await door.ask(method, where, ALICE, **({"json": body} if body else {}))
            signed_out = await door.ask(method, where, None, **({"json": body} if body else {}))
            answers = [signed_in, signed_out]
            if body:
                answers.append(await door.ask(method, where, ALICE, json=["no"]))
                assert answers[-1][0] == 400
            for status, answer in answers:
                assert str(status) in operation["responses"], (method, path, status)
                content = operation["responses"][str(status)].get("content")
                assert (answer is None) == (content is None), (method, path, status)
                if content:
                    hold(answer, content["application/json"]["schema"], components, f"{method} {path} {status}")
            assert signed_in[0] in (200, 204), (method, path, signed_in)
            assert (signed_out[0] == 401) == ("security" in operation), (method, path)
            seen += 1
    assert seen == 12


@asked
async def test_every_route_there_is_is_described_and_no_other(door):
    _, described = await door.ask("GET", "/api/openapi.json", None)
    there = {(route.method.lower(), route.path) for provider in door.providers for route in provider.routes()}
    assert there == {(method, path) for path, methods in described["paths"].items() for method in methods}


@asked
async def test_the_document_is_whole(door):
    _, described = await door.ask("GET", "/api/openapi.json", None)
    assert described["openapi"].startswith("3.1.")
    references = set(re.findall(r"#/components/schemas/(\w+)", str(described)))
    assert references == described["components"]["schemas"].keys()
    for path, methods in described["paths"].items():
        for operation in methods.values():
            named = {one["name"] for one in operation.get("parameters", ()) if one["in"] == "path"}
            assert named == set(re.findall(r"\{(\w+)\}", path))


def test_a_schema_that_is_not_met_is_noticed_by_these_tests():
    schema = {"type": "object", "properties": {"a": {"type": "array", "items": {"enum": ["x"]}}}, "required": ["a"]}
    hold({"a": ["x"]}, schema, {})
    for wrong in ({}, {"a": ["y"]}, {"a": "x"}, {"a": [], "b": 1}, []):
        with pytest.raises(Mismatch):
            hold(wrong, schema, {})


def test_an_operation_without_anything_is_described_by_its_summary():
    bare = Operation(method="GET", path="/x", summary="Nothing.", signed_in=False)
    assert document([bare])["paths"] == {
        "/x": {"get": {"summary": "Nothing.", "responses": {"204": {"description": "Done."}}}}
    }
