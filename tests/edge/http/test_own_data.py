"""A subscriber's own data over HTTP: theirs, whole, and nobody else's."""

import base64
import json
import logging

import pytest

from contracts.store_values import make_deposit, make_message, make_receipt
from edge.http.data_door import ALICE, BOB, CAROL, asked
from joyn.edge.http.blocks import MAX_BLOCKS
from joyn.edge.http.describing import MAX_BODY
from joyn.edge.http.profile import MAX_NAME
from joyn.edge.http.reports import MAX_MESSAGES, MAX_REPORTS, PERIOD, ReportsDoor
from joyn.model.message import State
from joyn.services.history import MAX_PAGE, MAX_QUERY
from services.push.test_encryption import AUTH, P256DH

ENDPOINT = "https://push.example/1"
SUBSCRIPTION = {"endpoint": ENDPOINT, "expirationTime": None, "keys": {"p256dh": P256DH, "auth": AUTH}}


async def talk(door):
    """Alice writes m1, Bob reads it and answers m2; Carol writes Bob something of her own."""
    accept = door.store.mailboxes.accept
    await accept(make_deposit("m1"))
    await accept(make_receipt("m1", State.DISPLAYED))
    await accept(make_deposit("m2", sender=BOB, conversation=ALICE, body=b"at nine"))
    await accept(make_deposit("m3", sender=CAROL, conversation=BOB, body=b"a secret"))


# History.


@asked
async def test_history_shows_both_sides_the_newest_first(door):
    await talk(door)
    status, page = await door.ask("GET", "/api/history")
    assert status == 200
    incoming, outgoing = page["items"]
    cpim = make_message("m2", body=b"at nine").cpim
    assert incoming == {
        "cursor": incoming["cursor"],
        "direction": "incoming",
        "peer": BOB,
        "message_id": "m2",
        "at": 1_800_000_000.0,
        "content_type": "text/plain",
        "cpim": base64.b64encode(cpim).decode(),
        "state": "delivered",
        "kind": "chat",
    }
    assert (outgoing["direction"], outgoing["peer"], outgoing["state"]) == ("outgoing", BOB, "displayed")
    assert page["more"] is False


@asked
async def test_what_one_has_read_is_displayed(door):
    await talk(door)
    _, page = await door.ask("GET", "/api/history", BOB)
    assert [(item["message_id"], item["state"]) for item in page["items"]] == [
        ("m3", "delivered"),
        ("m2", "sent"),
        ("m1", "displayed"),
    ]


@asked
async def test_history_goes_on_from_a_cursor_in_either_direction(door):
    await talk(door)
    _, newest = await door.ask("GET", "/api/history?limit=1")
    assert newest["more"] is True
    cursor = newest["items"][0]["cursor"]
    _, older = await door.ask("GET", f"/api/history?before={cursor}")
    assert [item["message_id"] for item in older["items"]] == ["m1"]
    _, newer = await door.ask("GET", f"/api/history?after={older['items'][0]['cursor']}")
    assert [item["message_id"] for item in newer["items"]] == ["m2"]
    assert await door.ask("GET", f"/api/history?after={cursor}") == (200, {"items": [], "more": False})
    _, all_of_them = await door.ask("GET", "/api/history?after=0")
    assert [item["message_id"] for item in all_of_them["items"]] == ["m1", "m2"]


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        f"limit={MAX_PAGE + 1}",
        "limit=x",
        "before=-1",
        "before=x",
        "after=1.5",
        "after=",
        f"after={'A' * 22}",
        f"after={'A' * 23}",
        "before=%C3%A9",
        "owner=tel:%2B33639980002",
    ],
)
@asked
async def test_a_query_that_is_none_is_refused(door, query):
    assert await door.ask("GET", f"/api/history?{query}") == (400, {"error": "malformed"})


@asked
async def test_another_subscribers_history_is_nowhere_to_be_had(door):
    await talk(door)
    _, theirs = await door.ask("GET", "/api/history", BOB)
    for item in theirs["items"]:
        for side in ("before", "after"):
            answer = await door.ask("GET", f"/api/history?{side}={item['cursor']}", ALICE)
            assert answer == (400, {"error": "malformed"})
    for path in ("/api/history", "/api/search?q=secret", "/api/search?q=a"):
        _, page = await door.ask("GET", path, ALICE)
        assert "m3" not in [item["message_id"] for item in page["items"]]
    assert (await door.ask("GET", "/api/search?q=secret", BOB))[1]["items"][0]["message_id"] == "m3"


# Search.


@asked
async def test_words_are_found(door):
    await talk(door)
    _, page = await door.ask("GET", "/api/search?q=NIN")
    assert [item["message_id"] for item in page["items"]] == ["m2"]
    assert await door.ask("GET", "/api/search?q=") == (200, {"items": [], "more": False})
    assert (await door.ask("GET", f"/api/search?q={'x' * MAX_QUERY}"))[0] == 200
    assert (await door.ask("GET", f"/api/search?q={'x' * (MAX_QUERY + 1)}"))[0] == 400
    assert (await door.ask("GET", "/api/search"))[0] == 400


# Blocks.


@asked
async def test_people_are_put_on_the_list_and_taken_off(door):
    assert await door.ask("GET", "/api/blocks") == (200, [])
    assert await door.ask("PUT", "/api/blocks/tel:+33639980003") == (204, None)
    assert await door.ask("PUT", "/api/blocks/sip:+33639980002@joyn.example;user=phone") == (204, None)
    assert await door.ask("PUT", "/api/blocks/tel:+33-6-39-98-00-02") == (204, None)
    assert await door.ask("GET", "/api/blocks") == (200, [BOB, CAROL])
    assert await door.ask("DELETE", "/api/blocks/tel:+33639980003") == (204, None)
    assert await door.ask("DELETE", "/api/blocks/tel:+33639980003") == (204, None)
    assert await door.ask("GET", "/api/blocks") == (200, [BOB])
    assert await door.ask("GET", "/api/blocks", BOB) == (200, [])
    assert await door.store.subscribers.blocks(ALICE) == {BOB}


@asked
async def test_nobody_is_blocked_under_an_address_that_is_none(door):
    for address in ("bob", "tel:", "sip:bob@elsewhere.example", "javascript:alert(1)", "%00"):
        assert await door.ask("PUT", f"/api/blocks/{address}") == (400, {"error": "bad-address"})


@asked
async def test_the_list_has_so_many_places(door):
    for number in range(MAX_BLOCKS):
        await door.store.subscribers.block(ALICE, f"tel:+336400{number:05d}")
    assert await door.ask("PUT", f"/api/blocks/{BOB}") == (409, {"error": "too-many"})
    assert await door.ask("PUT", "/api/blocks/tel:+33640000000") == (204, None)


# Profile.


@asked
async def test_the_name_is_read_and_changed_and_nothing_else_is(door):
    assert await door.ask("GET", "/api/profile") == (200, {"name": "Alice"})
    before = await door.store.subscribers.get(ALICE)
    changes = {"name": " Alice Ériu ", "blocked": True, "aor": BOB, "username": "bob"}
    assert await door.ask("PUT", "/api/profile", json=changes) == (204, None)
    assert await door.ask("GET", "/api/profile") == (200, {"name": "Alice Ériu"})
    after = await door.store.subscribers.get(ALICE)
    assert (after.blocked, after.username, after.ha1) == (before.blocked, before.username, before.ha1)
    assert await door.ask("GET", "/api/profile", BOB) == (200, {"name": "Bob"})


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"name": "x" * MAX_NAME}, 204),
        ({"name": ""}, 204),
        ({"name": "x" * (MAX_NAME + 1)}, 400),
        ({"name": "a\r\nVia: b"}, 400),
        ({"name": "a\u202eb"}, 400),
        ({"name": 1}, 400),
        ({}, 400),
        ([], 400),
    ],
)
@asked
async def test_names_are_printable_and_short(door, body, status):
    assert (await door.ask("PUT", "/api/profile", json=body))[0] == status


@asked
async def test_who_is_no_subscriber_any_more_is_signed_out(door):
    await door.store.subscribers.remove(ALICE)
    assert await door.ask("GET", "/api/profile") == (401, {"error": "signed-out"})
    assert await door.ask("PUT", "/api/profile", json={"name": "x"}) == (401, {"error": "signed-out"})


# Reports.


@asked
async def test_a_report_is_logged_without_content_and_counts_what_was_really_sent(door):
    await talk(door)
    lines = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    logger = logging.getLogger("joyn")
    logger.addHandler(handler)
    level = logger.level
    logger.setLevel(logging.INFO)
    try:
        body = {"aor": BOB, "message_ids": ["m2", "m2", "m1", "m3", "invented"]}
        assert await door.ask("POST", "/api/reports", json=body) == (204, None)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
    assert lines == ["sender.reported subscriber=tel:+3363998xxxx sender=tel:+3363998xxxx messages=1"]


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"aor": "nobody", "message_ids": []}, "bad-address"),
        ({"aor": BOB, "message_ids": ["x"] * (MAX_MESSAGES + 1)}, "malformed"),
        ({"aor": BOB, "message_ids": ["x" * 257]}, "malformed"),
        ({"aor": BOB, "message_ids": "m1"}, "malformed"),
        ({"aor": BOB}, "malformed"),
    ],
)
@asked
async def test_a_report_that_is_none_is_refused(door, body, error):
    assert await door.ask("POST", "/api/reports", json=body) == (400, {"error": error})


@asked
async def test_a_subscriber_reports_so_much_an_hour_and_no_more(door):
    reports = next(one for one in door.providers if isinstance(one, ReportsDoor))
    now = 0.0
    reports._now, reports._begun = (lambda: now), 0.0
    body = {"aor": CAROL, "message_ids": []}
    for _ in range(MAX_REPORTS):
        assert (await door.ask("POST", "/api/reports", json=body))[0] == 204
    assert await door.ask("POST", "/api/reports", json=body) == (429, {"error": "too-many"})
    assert (await door.ask("POST", "/api/reports", BOB, json=body))[0] == 204
    now = PERIOD
    assert (await door.ask("POST", "/api/reports", json=body))[0] == 204


# Push.


@asked
async def test_a_browser_subscribes_and_unsubscribes_for_its_own_device(door):
    status, answer = await door.ask("GET", "/api/push")
    assert (status, answer) == (200, {"key": door.push.public_key})
    assert await door.ask("PUT", "/api/push", json=SUBSCRIPTION) == (204, None)
    (target,) = await door.store.push_targets.all()
    assert (target.aor, target.device, target.endpoint, target.p256dh, target.auth) == (
        ALICE,
        "d1",
        ENDPOINT,
        P256DH,
        AUTH,
    )
    # One that was signed out meanwhile does not come back by this.
    assert await door.ask("PUT", "/api/push", device="d9", json=SUBSCRIPTION) == (401, {"error": "signed-out"})
    # An endpoint is its browser's, which has its keys, whoever else knows it.
    other = SUBSCRIPTION | {"keys": {"p256dh": P256DH, "auth": AUTH[:-1] + ("A" if AUTH[-1] != "A" else "Q")}}
    assert await door.ask("PUT", "/api/push", BOB, "b1", json=other) == (403, {"error": "another-subscriber"})
    assert await door.ask("DELETE", "/api/push", device="d2") == (204, None)
    assert len(await door.store.push_targets.all()) == 1
    assert await door.ask("DELETE", "/api/push", BOB) == (204, None)
    assert len(await door.store.push_targets.all()) == 1
    assert await door.ask("DELETE", "/api/push") == (204, None)
    assert await door.store.push_targets.all() == []


@pytest.mark.parametrize(
    ("endpoint", "status", "error"),
    [
        ("https://evil.example/x", 403, "push-service-unknown"),
        ("https://127.0.0.1/x", 403, "push-service-unknown"),
        ("https://169.254.169.254/latest/meta-data/", 403, "push-service-unknown"),
        ("https://[::1]/x", 403, "push-service-unknown"),
        ("http://push.example/x", 403, "push-service-unknown"),
        ("https://push.example:22/x", 403, "push-service-unknown"),
        ("https://push.example.evil.example/x", 403, "push-service-unknown"),
        ("https://user@push.example/x", 400, "malformed"),
        ("file:///etc/passwd", 400, "malformed"),
        ("https://push.example/" + "x" * 2000, 400, "malformed"),
        ("", 400, "malformed"),
    ],
)
@asked
async def test_nobody_sends_the_server_anywhere_but_to_a_listed_push_service(door, endpoint, status, error):
    body = SUBSCRIPTION | {"endpoint": endpoint}
    assert await door.ask("PUT", "/api/push", json=body) == (status, {"error": error})
    assert await door.store.push_targets.all() == []


@pytest.mark.parametrize(
    "keys", [{}, {"p256dh": P256DH}, {"p256dh": "x", "auth": AUTH}, {"p256dh": AUTH, "auth": AUTH}]
)
@asked
async def test_keys_that_are_none_are_refused_at_once(door, keys):
    assert (await door.ask("PUT", "/api/push", json=SUBSCRIPTION | {"keys": keys}))[0] == 400


# All of them.


CHANGES = [
    ("PUT", f"/api/blocks/{BOB}", None),
    ("DELETE", f"/api/blocks/{BOB}", None),
    ("PUT", "/api/profile", {"name": "Mallory"}),
    ("POST", "/api/reports", {"aor": BOB, "message_ids": []}),
    ("PUT", "/api/push", SUBSCRIPTION),
    ("DELETE", "/api/push", None),
]


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"},
    ],
)
@asked
async def test_another_sites_page_changes_nothing(door, headers):
    for method, path, body in CHANGES:
        answer = await door.ask(method, path, headers=headers, **({"json": body} if body else {}))
        assert (method, path, answer) == (method, path, (403, {"error": "cross-site"}))
    assert await door.ask("GET", "/api/blocks") == (200, [])
    assert await door.ask("GET", "/api/profile") == (200, {"name": "Alice"})
    assert await door.store.push_targets.all() == []


@asked
async def test_our_own_page_does(door):
    origin = str(door.client.make_url("/")).rstrip("/")
    headers = {"Sec-Fetch-Site": "same-origin", "Origin": origin}
    for method, path, body in CHANGES:
        status, _ = await door.ask(method, path, headers=headers, **({"json": body} if body else {}))
        assert (method, path, status) == (method, path, 204)


@asked
async def test_nothing_of_it_is_kept_by_anybody_on_the_way(door):
    for path in ("/api/history", "/api/blocks", "/api/profile", "/api/push"):
        async with door.client.get(path, headers={"Cookie": f"joyn-session={ALICE}/d1"}) as response:
            assert response.headers["Cache-Control"] == "no-store"


@asked
async def test_without_a_session_there_is_nothing(door):
    for provider in door.providers:
        for operation, _ in provider.operations:
            path = operation.path.replace("{aor}", BOB)
            status, answer = await door.ask(operation.method, path, None, json={})
            if operation.signed_in:
                assert (operation.path, status, answer) == (operation.path, 401, {"error": "signed-out"})


@asked
async def test_a_body_is_json_of_a_bounded_size(door):
    for data, sent_as, status, error in (
        (b"{", "application/json", 400, "malformed"),
        (b"\xff", "application/json", 400, "malformed"),
        (b"[" * 5000, "application/json", 400, "malformed"),
        (b"", "application/json", 400, "malformed"),
        (json.dumps({"name": "x"}).encode(), "text/plain", 403, "cross-site"),
        (b"name=x", "application/x-www-form-urlencoded", 403, "cross-site"),
        (b" " * MAX_BODY + b"{}", "application/json", 413, "too-large"),
    ):
        answer = await door.ask("PUT", "/api/profile", data=data, headers={"Content-Type": sent_as})
        assert (sent_as, answer) == (sent_as, (status, {"error": error}))


@asked
async def test_a_body_without_a_length_is_bounded_too(door):
    async def endless():
        for _ in range(MAX_BODY // 1024 + 2):
            yield b" " * 1024

    answer = await door.ask("PUT", "/api/profile", data=endless(), headers={"Content-Type": "application/json"})
    assert answer == (413, {"error": "too-large"})
