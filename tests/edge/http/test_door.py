"""What holds for every HTTP request, whatever is asked for."""

import asyncio
import ipaddress
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from joyn.edge.http import application, source_of

HOST = "chat.example"
OWN = {"Host": HOST, "Origin": f"http://{HOST}", "Sec-Fetch-Site": "same-origin"}


class Pages:
    """Pages that do what their name says."""

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/api/mine", self._mine),
            web.post("/api/mine", self._mine),
            web.delete("/api/mine", self._mine),
            web.get("/source", self._source),
            web.get("/broken", self._broken),
            web.get("/elsewhere", self._elsewhere),
        ]

    async def _mine(self, request: web.Request) -> web.Response:
        return web.json_response({"read": len(await request.read())})

    async def _source(self, request: web.Request) -> web.Response:
        return web.Response(text=source_of(request))

    async def _broken(self, request: web.Request) -> web.Response:
        raise ValueError("+33639980001 was here")

    async def _elsewhere(self, request: web.Request) -> web.Response:
        raise web.HTTPFound("/source")


Door = TestClient[web.Request, web.Application]


def at_door(story: Callable[[Door], Awaitable[None]], **settings: Any) -> None:
    async def play() -> None:
        async with TestClient(TestServer(application([Pages()], **settings))) as client:
            await story(client)

    asyncio.run(play())


async def failure(response: aiohttp.ClientResponse) -> tuple[int, str]:
    return response.status, (await response.json())["error"]


@pytest.mark.parametrize(
    ("method", "path", "status", "word"),
    [
        ("GET", "/nowhere", 404, "not-found"),
        ("PUT", "/api/mine", 405, "method-not-allowed"),
        ("GET", "/broken", 500, "failed"),
    ],
)
def test_what_fails_is_one_word(method: str, path: str, status: int, word: str) -> None:
    async def story(door: Door) -> None:
        answer = await door.request(method, path)
        assert await failure(answer) == (status, word)
        assert answer.headers.get("Allow") == ("DELETE,GET,HEAD,POST" if status == 405 else None)

    at_door(story)


def test_a_bug_of_ours_is_logged_with_the_name_of_its_request_and_told_to_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def story(door: Door) -> None:
        answer = await door.get("/broken")
        assert "+336" not in await answer.text()
        assert f"request {answer.headers['X-Request-Id']}" in caplog.text
        assert (await door.get("/broken")).headers["X-Request-Id"] != answer.headers["X-Request-Id"]

    with caplog.at_level(logging.ERROR):
        at_door(story)


def test_a_redirection_stays_one() -> None:
    async def story(door: Door) -> None:
        answer = await door.get("/elsewhere", allow_redirects=False)
        assert (answer.status, answer.headers["Location"]) == (302, "/source")

    at_door(story)


# Other sites.


@pytest.mark.parametrize("method", ["POST", "DELETE"])
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        (OWN, 200),
        ({"Host": HOST, "Origin": f"http://{HOST}"}, 200),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({**OWN, "Sec-Fetch-Site": "cross-site"}, 403),
        ({**OWN, "Origin": "http://evil.example"}, 403),
        ({**OWN, "Origin": f"https://{HOST}"}, 403),
        ({**OWN, "Origin": f"http://{HOST}:81"}, 403),
        ({**OWN, "Origin": "null"}, 403),
        ({**OWN, "Origin": ""}, 403),
    ],
)
def test_only_our_own_page_changes_something(method: str, headers: dict[str, str], status: int) -> None:
    async def story(door: Door) -> None:
        answer = await door.request(method, "/api/mine", headers=headers)
        assert answer.status == status
        if status == 403:
            assert await failure(answer) == (403, "cross-site")
            assert answer.headers["Cache-Control"] == "no-store"

    at_door(story)


def test_another_site_may_look_at_nothing_either() -> None:
    async def story(door: Door) -> None:
        answer = await door.get("/api/mine", headers={"Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site"})
        assert "Access-Control-Allow-Origin" not in answer.headers
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        asking = {"Origin": "http://evil.example", "Access-Control-Request-Method": "DELETE"}
        assert (await door.options("/api/mine", headers=asking)).status == 405

    at_door(story)


# What every answer says.


@pytest.mark.parametrize("path", ["/api/mine", "/source", "/nowhere", "/broken"])
def test_every_answer_is_what_it_says_it_is_and_tells_nobody_where_one_was(path: str) -> None:
    async def story(door: Door) -> None:
        headers = (await door.get(path)).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Server"] == "joyn"
        assert headers.get("Cache-Control") == ("no-store" if path.startswith("/api/") else None)

    at_door(story)


@pytest.mark.parametrize(("proxies", "told"), [((), False), (("127.0.0.0/8",), True), (("192.0.2.0/24",), False)])
def test_only_over_https_browsers_are_told_to_stay_there(proxies: tuple[str, ...], told: bool) -> None:
    async def story(door: Door) -> None:
        answer = await door.get("/source", headers={"X-Forwarded-Proto": "https"})
        assert ("Strict-Transport-Security" in answer.headers) is told
        secure = {**OWN, "Origin": f"https://{HOST}", "X-Forwarded-Proto": "https"}
        assert (await door.post("/api/mine", headers=secure)).status == (200 if told else 403)

    at_door(story, trusted_proxies=proxies)


# Behind proxies.


@pytest.mark.parametrize(
    ("proxies", "forwarded", "source"),
    [
        ((), ["203.0.113.9"], "127.0.0.1"),
        (("127.0.0.1/32",), [], "127.0.0.1"),
        (("127.0.0.1/32",), ["203.0.113.9"], "203.0.113.9"),
        (("127.0.0.1/32",), ["198.51.100.1, 203.0.113.9"], "203.0.113.9"),
        (("127.0.0.1/32",), ["198.51.100.1", "203.0.113.9"], "203.0.113.9"),
        (("127.0.0.1/32", "10.0.0.0/8"), ["203.0.113.9, 10.0.0.1"], "203.0.113.9"),
        (("127.0.0.1/32", "10.0.0.0/8"), ["10.0.0.1"], "10.0.0.1"),
        (("127.0.0.1/32",), ["2001:db8::1"], "2001:db8::1"),
        (("127.0.0.1/32",), ["nobody"], "127.0.0.1"),
        (("127.0.0.1/32", "10.0.0.0/8"), ["nobody, 10.0.0.1"], "10.0.0.1"),
    ],
)
def test_where_a_request_is_from_is_what_the_last_trusted_proxy_says(
    proxies: tuple[str, ...], forwarded: list[str], source: str
) -> None:
    async def story(door: Door) -> None:
        answer = await door.get("/source", headers=[("X-Forwarded-For", value) for value in forwarded])
        assert await answer.text() == source
        ipaddress.ip_address(await answer.text())

    at_door(story, trusted_proxies=proxies)


# Bounds.


def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    async def story(door: Door) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
        writer.write(b"POST /api/mine HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf")
        assert b"408" in await asyncio.wait_for(reader.readline(), 5)
        writer.close()

    at_door(story, patience=0.05)


@pytest.mark.parametrize(("size", "status"), [(100, 200), (101, 413)])
def test_a_body_may_be_so_large(size: int, status: int) -> None:
    async def story(door: Door) -> None:
        assert (await door.post("/api/mine", data=b"x" * size)).status == status

    at_door(story, max_body=100)
