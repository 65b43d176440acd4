"""Signing in with a browser, its session, its devices."""

import asyncio
import json
from dataclasses import replace

import pytest

from edge.http.browser import Office, at_office
from edge.http.setting_up import Visitor, busy, texts
from joyn import telemetry
from joyn.model.aor import Aor
from joyn.protocol.config_document import understand
from joyn.protocol.sip.digest import Authenticator
from phone.node import BOB, CAROL

CAROL_AOR = Aor(f"tel:{CAROL}")


@pytest.mark.parametrize("secure", [False, True])
def test_a_number_and_a_code_make_a_session(secure: bool) -> None:
    async def story(office: Office) -> None:
        page = Visitor(office)
        asked = await page.ask(
            "POST", "/api/sign-in", {"number": "06 39 98 00 03", "country": "FR", "device": {"name": "Laptop"}}
        )
        again = asked.json.pop("again")
        assert again > 0
        assert asked.json == {"aor": CAROL_AOR, "number": "+33 6 39 98 00 03", "length": 6}
        code = texts(office)[-1].text.split()[0]
        signed = await page.ask("POST", "/api/sign-in/code", {"code": f"{code[:3]} {code[3:]}"})
        assert (signed.status, signed.json["aor"]) == (200, CAROL_AOR)
        cookie = signed.cookies["__Host-joyn-session" if secure else "joyn-session"]
        assert (cookie["httponly"], cookie["samesite"], cookie["path"], bool(cookie["secure"])) == (
            True,
            "Strict",
            "/",
            secure,
        )
        assert (cookie["domain"], list(page.cookies)) == ("", [cookie.key])
        session = await page.ask("GET", "/api/session")
        assert (session.json["aor"], session.json["device"]) == (CAROL_AOR, signed.json["device"])
        listed = (await page.ask("GET", "/api/devices")).json
        assert [(one["name"], one["here"]) for one in listed] == [("Laptop", True)]
        ended = await page.ask("DELETE", "/api/session")
        assert (ended.status, page.cookies) == (204, {})
        assert await office.node.store.devices.of(CAROL_AOR) == []

    at_office(story, secure=secure)


@pytest.mark.parametrize(
    ("number", "status", "word"),
    [("nobody", 400, "bad-number"), ("+33639980009", 404, "operator-unknown"), ("", 400, "bad-number")],
)
def test_a_number_that_is_not_ours_gets_no_code(number: str, status: int, word: str) -> None:
    async def story(office: Office) -> None:
        asked = await Visitor(office).ask("POST", "/api/sign-in", {"number": number})
        assert (asked.status, asked.json) == (status, {"error": word})
        assert texts(office) == []

    at_office(story)


def test_guessing_is_stopped_and_told() -> None:
    async def story(office: Office) -> None:
        page = Visitor(office)
        await page.ask("POST", "/api/sign-in", {"number": CAROL})
        code = texts(office)[-1].text.split()[0]
        wrong = f"{(int(code) + 1) % 1_000_000:06}"
        before = telemetry.counters().get("code.locked", 0)
        guesses = await asyncio.gather(*(page.ask("POST", "/api/sign-in/code", {"code": wrong}) for _ in range(40)))
        assert sorted(one.status for one in guesses) == [401, 401] + [429] * 38
        assert sorted(one.json["tries_left"] for one in guesses if one.status == 401) == [1, 2]
        right = await page.ask("POST", "/api/sign-in/code", {"code": code})
        assert (right.status, right.json["error"]) == (429, "locked")
        again = await page.ask("POST", "/api/sign-in", {"number": CAROL})
        assert (again.status, again.json["error"]) == (429, "too-many")
        assert telemetry.counters()["code.locked"] == before + 1
        assert await office.node.store.devices.of(CAROL_AOR) == []

    at_office(story)


def test_a_code_makes_one_session_and_is_the_asker_s_alone() -> None:
    async def story(office: Office) -> None:
        page, other = Visitor(office), Visitor(office)
        await page.ask("POST", "/api/sign-in", {"number": CAROL})
        code = texts(office)[-1].text.split()[0]
        stolen = await other.ask("POST", "/api/sign-in/code", {"code": code})
        assert (stolen.status, stolen.json) == (410, {"error": "expired"})
        tries = await asyncio.gather(*(page.ask("POST", "/api/sign-in/code", {"code": code}) for _ in range(6)))
        assert sorted(one.status for one in tries) == [200] + [410] * 5
        assert len(await office.node.store.devices.of(CAROL_AOR)) == 1

    at_office(story)


def test_one_source_asks_for_so_many_codes() -> None:
    async def story(office: Office) -> None:
        page = Visitor(office)
        statuses = [
            (await page.ask("POST", "/api/sign-in", {"number": number})).status
            for number in (CAROL, BOB, "+33639980001")
        ]
        assert statuses == [200, 200, 429]

    at_office(story, provisioning={"codes_per_source": 2})


@pytest.mark.parametrize("path", ["/api/sign-in", "/config"])
def test_one_source_finds_out_of_so_many_numbers_whether_they_are_ours(path: str) -> None:
    """Nobody lists the operator's subscribers by asking for every number."""

    async def ask(office: Office, number: str) -> int:
        if path == "/config":
            return (await Visitor(office).ask("GET", f"/config?vers=0&msisdn=%2B{number[1:]}")).status
        return (await Visitor(office).ask("POST", path, {"number": number})).status

    async def story(office: Office) -> None:
        unknown, busy = (403, 503) if path == "/config" else (404, 429)
        strangers = [await ask(office, f"+3363998010{one}") for one in range(3)]
        assert strangers == [unknown, unknown, busy]
        # From now on the answer says nothing, whoever's number it is.
        assert await ask(office, CAROL) == busy
        carol = await office.node.store.subscribers.get(CAROL_AOR)
        assert carol is not None
        await office.node.store.subscribers.put(replace(carol, blocked=True))
        assert await ask(office, CAROL) == busy

    at_office(story, provisioning={"questions_per_source": 2})


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/api/sign-in"), ("GET", f"/config?vers=0&msisdn=%2B{CAROL[1:]}")]
)
def test_while_the_store_is_busy_a_code_is_asked_for_later(
    method: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(office: Office) -> None:
        monkeypatch.setattr(office.node.store.devices, "reserve_code", busy)
        asked = await Visitor(office).ask(method, path, {"number": CAROL} if method == "POST" else None)
        assert (asked.status, asked.json, int(asked.headers["Retry-After"]) > 0) == (503, {"error": "overloaded"}, True)
        assert texts(office) == []

    at_office(story)


@pytest.mark.parametrize("path", ["/api/sign-in", "/api/sign-in/code"])
@pytest.mark.parametrize(
    ("kind", "body", "status", "word"),
    [
        ("text/plain", b'{"number": "+33639980003", "code": "1"}', 403, "cross-site"),
        ("application/x-www-form-urlencoded", b"number=%2B33639980003", 403, "cross-site"),
        ("application/json", b"{", 400, "malformed"),
        ("application/json", b'{"number": 1, "code": 1}', 400, "malformed"),
        ("application/json", b'"\xff"', 400, "malformed"),
        ("application/json", b" " * 4097, 413, "too-large"),
    ],
)
def test_what_is_not_json_of_ours_is_refused(path: str, kind: str, body: bytes, status: int, word: str) -> None:
    async def story(office: Office) -> None:
        async with office.http.post(office.origin + path, data=body, headers={"Content-Type": kind}) as answer:
            assert (answer.status, await answer.json()) == (status, {"error": word})
        assert texts(office) == []

    at_office(story)


def test_a_body_may_come_in_pieces() -> None:
    async def story(office: Office) -> None:
        body = json.dumps({"number": CAROL}).encode()
        head = (
            f"POST /api/sign-in HTTP/1.1\r\nHost: {office.host}\r\nContent-Type: application/json\r\n"
            f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        reader, writer = await asyncio.open_connection(*office.host.split(":"))
        for piece in (head.encode(), body[:5], body[5:]):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.05)
        assert (await reader.readline()).split()[1] == b"200"
        writer.close()

    at_office(story)


def test_another_site_s_page_signs_nobody_in() -> None:
    async def story(office: Office) -> None:
        asked = await Visitor(office).ask("POST", "/api/sign-in", {"number": CAROL}, Sec_Fetch_Site="cross-site")
        assert (asked.status, asked.json) == (403, {"error": "cross-site"})
        assert texts(office) == []

    at_office(story)


def test_terms_are_accepted_once_or_end_the_session() -> None:
    async def story(office: Office) -> None:
        page = Visitor(office)
        await page.sign_in()
        msg = understand((await page.ask("GET", "/config?vers=0")).body).msg
        assert msg is not None
        assert (msg.message, msg.accept, msg.reject) == ("Be kind.", True, True)
        assert (await page.ask("POST", "/api/terms", {"accept": True})).status == 204
        assert understand((await page.ask("GET", "/config?vers=0")).body).msg is None
        assert (await page.ask("POST", "/api/terms", {"accept": False})).status == 204
        assert await office.node.store.devices.of(CAROL_AOR) == []
        assert (await page.ask("POST", "/api/terms", {"accept": True})).status == 401

    at_office(story, provisioning={"terms": "Be kind.", "terms_title": "Chat"})


def test_each_configuration_has_a_password_of_its_own_that_ends() -> None:
    async def story(office: Office) -> None:
        page = Visitor(office)
        await page.sign_in()
        passwords = []
        for _ in range(2):
            ims = understand((await page.ask("GET", "/config?vers=1")).body).ims
            assert ims is not None
            passwords.append(ims.password)
        assert len(set(passwords)) == 2
        async with office.browser() as device:
            device.digest = Authenticator(ims.username, passwords[0], lambda: "0a4f113b")
            assert (await device.register()).status == 401
        async with office.browser() as device:
            device.digest = Authenticator(ims.username, passwords[1], lambda: "0a4f113b")
            assert (await device.register()).status == 200

    at_office(story)
