"""The OpenAPI document says what the implementation does: every route is called, every answer held against it."""

import re

import pytest

from contracts.store_values import make_deposit
from edge.http.browser import at_office
from edge.http.data_door import ALICE, BOB, asked
from edge.http.setting_up import Visitor, texts
from joyn.config import HttpListener
from joyn.edge.http.describing import Operation
from joyn.edge.http.openapi import document
from joyn.services.provisioning.devices import About
from ports import free_port
from services.push.test_encryption import AUTH, P256DH

SAMPLES = {
    "Name": {"name": "Laptop"},
    "NumberGiven": {"number": "+33639980003", "device": {"name": "Laptop"}},
    "TermsAnswered": {"accept": True},
    "Profile": {"name": "Alice"},
    "Report": {"aor": BOB, "message_ids": ["m1"]},
    "Subscription": {
        "endpoint": "https://updates.push.services.mozilla.com/1",
        "keys": {"p256dh": P256DH, "auth": AUTH},
    },
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


async def signed_in(office):
    """Alice's browser, and the id of another of hers."""
    visitor = Visitor(office)
    made = [await office.node.setting_up.devices.set_up(ALICE, "browser", About(name=name)) for name in ("one", "two")]
    visitor.cookies["joyn-session"] = made[0][1]
    return visitor, made[1][0].id


async def sample(office, visitor, operation):
    """A body that fits. A code is asked for first: it is good for one sign-in, by who has asked."""
    content = operation.get("requestBody", {}).get("content", {})
    if not content:
        return None
    name = content["application/json"]["schema"]["$ref"].rpartition("/")[2]
    if name != "CodeGiven":
        return SAMPLES[name]
    assert (await visitor.ask("POST", "/api/sign-in", {"number": BOB})).status == 200
    return {"code": texts(office)[-1].text.split()[0]}


async def hold_operation(office, method, path, operation, components):
    """It answers what it says: who is signed in, who is not, and who says what it does not take."""
    visitor, other = await signed_in(office)
    where = path.replace("{aor}", BOB).replace("{id}", other) + QUERIES.get(path, "")
    body = await sample(office, visitor, operation)
    answers = [await who.ask(method, where, body) for who in (visitor, Visitor(office))]
    assert answers[0].status in (200, 204), (method, path, answers[0])
    assert (answers[1].status == 401) == ("security" in operation), (method, path, answers[1])
    if body:
        answers.append(await visitor.ask(method, where, ["no"]))
        assert answers[-1].status == 400
    for answer in answers:
        assert str(answer.status) in operation["responses"], (method, path, answer.status)
        content = operation["responses"][str(answer.status)].get("content")
        assert (answer.body == b"") == (content is None), (method, path, answer.status)
        if content:
            hold(answer.json, content["application/json"]["schema"], components, f"{method} {path} {answer.status}")


def test_every_route_there_is_is_described_and_answers_what_the_document_says():
    async def story(office):
        await office.node.store.mailboxes.accept(make_deposit("m1"))
        described = (await Visitor(office).ask("GET", "/api/openapi.json")).json
        routes = office.node.http._application.router.routes()
        there = {(one.method.lower(), one.resource.canonical) for one in routes}
        named = {(method, path) for path, methods in described["paths"].items() for method in methods}
        # HEAD is GET without its body (RFC 9110 §9.3.2).
        assert named == {(method, path) for method, path in there if path.startswith("/api/") and method != "head"}
        for method, path in sorted(named):
            operation = described["paths"][path][method]
            await hold_operation(office, method, path, operation, described["components"]["schemas"])

    files = {"listeners": (HttpListener(port=free_port()),)}
    at_office(story, provisioning={"codes_per_source": 100}, files=files)


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
