"""The page: files with their types and life times, index.html for all that the client shows, and what it may do."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from joyn.edge.http import application
from joyn.edge.http.page import PageDoor

FILES = {
    "index.html": "<!doctype html><title>joyn</title>",
    "demo.html": "<!doctype html><title>demo</title>",
    "sw.js": "self.onfetch = () => {}",
    "manifest.webmanifest": "{}",
    "icons/icon.svg": "<svg xmlns='http://www.w3.org/2000/svg'/>",
    "assets/index-4f1d.js": "export {}",
    "assets/index-4f1d.css": "body {}",
    "assets/font-4f1d.woff2": "wOF2",
    ".vite/manifest.json": "{}",
}
Site = TestClient[web.Request, web.Application]


def at_site(
    story: Callable[[Site], Awaitable[None]], folder: Path | None, door: PageDoor | None = None, **settings: Any
) -> None:
    async def play() -> None:
        served = application([door or PageDoor(folder, **settings)], trusted_proxies=("127.0.0.0/8",))
        async with TestClient(TestServer(served)) as client:
            await story(client)

    asyncio.run(play())


@pytest.fixture
def built(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize("path", ["/", "/c/tel:+33639980001", "/c/a/b", "/settings", "/settings/devices", "/sign-in"])
def test_what_the_client_shows_by_itself_is_its_index(built: Path, path: str) -> None:
    async def story(site: Site) -> None:
        answer = await site.get(path)
        assert (answer.status, answer.content_type) == (200, "text/html")
        assert await answer.text() == FILES["index.html"]

    at_site(story, built)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("sw.js", "text/javascript; charset=utf-8"),
        ("manifest.webmanifest", "application/manifest+json"),
        ("icons/icon.svg", "image/svg+xml"),
        ("assets/index-4f1d.js", "text/javascript; charset=utf-8"),
        ("assets/index-4f1d.css", "text/css; charset=utf-8"),
        ("assets/font-4f1d.woff2", "font/woff2"),
    ],
)
def test_a_file_has_its_type_and_lives_as_long_as_its_name_says(built: Path, name: str, kind: str) -> None:
    async def story(site: Site) -> None:
        answer = await site.get(f"/{name}")
        assert await answer.text() == FILES[name]
        assert answer.headers["Content-Type"] == kind
        hashed = name.startswith("assets/")
        assert answer.headers["Cache-Control"] == ("public, max-age=31536000, immutable" if hashed else "no-cache")
        again = await site.get(f"/{name}", headers={"If-None-Match": answer.headers["ETag"]})
        assert again.status == 304

    at_site(story, built)


@pytest.mark.parametrize(
    "path",
    [
        "/nowhere",
        "/assets/",
        "/assets/missing.js",
        "/.vite/manifest.json",
        "/demo.html",
        "/assets/../../secret",
        "/assets/%2e%2e/%2e%2e/secret",
        "/..%2fsecret",
    ],
)
def test_nothing_else_is_served(built: Path, path: str) -> None:
    (built.parent / "secret").write_text("secret")

    async def story(site: Site) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
        answer = await asyncio.wait_for(reader.read(), 5)
        writer.close()
        assert answer.startswith(b"HTTP/1.1 404")

    at_site(story, built)


def test_the_index_is_asked_for_anew_and_sent_when_it_has_changed(built: Path) -> None:
    async def story(site: Site) -> None:
        answer = await site.get("/")
        assert answer.headers["Cache-Control"] == "no-cache"
        tag = answer.headers["ETag"]
        assert (await site.get("/", headers={"If-None-Match": tag})).status == 304
        assert (await site.get("/", headers={"If-None-Match": '"other"'})).status == 200

    at_site(story, built)


def policy(answer: Any) -> dict[str, str]:
    parts = (part.strip().partition(" ") for part in answer.headers["Content-Security-Policy"].split(";"))
    return {name: sources for name, _, sources in parts}


@pytest.mark.parametrize(
    ("headers", "socket"),
    [
        ({"Host": "chat.example"}, "ws://chat.example/ws"),
        ({"Host": "a.orange.localhost:8080"}, "ws://a.orange.localhost:8080/ws"),
        ({"Host": "[::1]:8080"}, "ws://[::1]:8080/ws"),
        ({"Host": "chat.example", "X-Forwarded-Proto": "https"}, "wss://chat.example/ws"),
    ],
)
def test_the_page_runs_its_own_scripts_and_speaks_with_us_alone(
    built: Path, headers: dict[str, str], socket: str
) -> None:
    async def story(site: Site) -> None:
        answer = await site.get("/", headers=headers)
        told = policy(answer)
        assert told["default-src"] == "'none'"
        assert told["script-src"] == "'self'"
        assert told["connect-src"] == f"'self' {socket}"
        assert told["frame-ancestors"] == "'none'"
        assert told["base-uri"] == told["form-action"] == told["frame-src"] == "'none'"
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"

    at_site(story, built)


def test_the_page_speaks_with_content_servers_too_those_that_there_are_now(built: Path) -> None:
    servers = ["https://files.joyn.example"]

    async def story(site: Site) -> None:
        assert "/ws https://files.joyn.example;" in (await site.get("/")).headers["Content-Security-Policy"]
        servers.append("https://files.peer.example:8444")
        told = (await site.get("/")).headers["Content-Security-Policy"]
        assert "/ws https://files.joyn.example https://files.peer.example:8444;" in told

    at_site(story, built, files=lambda: servers)


def test_a_host_that_is_none_adds_nothing_to_what_the_page_may(built: Path) -> None:
    async def story(site: Site) -> None:
        told = policy(await site.get("/", headers={"Host": "a; script-src *"}))
        assert (told["script-src"], told["connect-src"]) == ("'self'", "'self'")

    at_site(story, built)


def test_a_page_may_hear_and_locate_and_one_with_frames_lets_them_ask_for_themselves(built: Path) -> None:
    door = PageDoor(built)

    async def show(request: web.Request) -> web.Response:
        return door.page(request, "demo.html", frames="http://a.localhost http://b.localhost")

    class Stage:
        def routes(self) -> list[web.RouteDef]:
            return [web.get("/demo", show)]

    async def play() -> None:
        async with TestClient(TestServer(application([door, Stage()]))) as site:
            answer = await site.get("/")
            assert policy(answer)["media-src"] == "blob:"
            assert answer.headers["Permissions-Policy"] == "camera=(), geolocation=(self), microphone=(self)"
            there = 'self "http://a.localhost" "http://b.localhost"'
            told = (await site.get("/demo")).headers["Permissions-Policy"]
            assert told == f"camera=(), geolocation=({there}), microphone=({there})"

    asyncio.run(play())


def test_a_demo_may_show_the_page_in_its_frames(built: Path) -> None:
    async def story(site: Site) -> None:
        answer = await site.get("/")
        assert policy(answer)["frame-ancestors"] == "http://localhost:8080"
        assert "X-Frame-Options" not in answer.headers

    at_site(story, built, ancestors=("http://localhost:8080",))


def test_pages_are_painted_in_the_operator_s_brand_from_the_first(built: Path) -> None:
    (built / "index.html").write_text('<!doctype html><html lang="en"><title>joyn</title>')

    async def story(site: Site) -> None:
        answer = await site.get("/")
        assert await answer.text() == '<!doctype html><html data-operator="sfr" lang="en"><title>joyn</title>'
        tag = answer.headers["ETag"]
        assert (await site.get("/", headers={"If-None-Match": tag})).status == 304
        async with TestClient(TestServer(application([PageDoor(built)], trusted_proxies=()))) as unbranded:
            assert (await unbranded.get("/", headers={"If-None-Match": tag})).status == 200

    at_site(story, built, theme="sfr")


def test_a_theme_cannot_leave_its_attribute(built: Path) -> None:
    (built / "index.html").write_text('<!doctype html><html lang="en">')

    async def story(site: Site) -> None:
        text = await (await site.get("/")).text()
        assert text == '<!doctype html><html data-operator="&quot;&gt;&lt;script&gt;" lang="en">'

    at_site(story, built, theme='"><script>')


def test_a_client_that_was_not_built_says_so() -> None:
    async def story(site: Site) -> None:
        answer = await site.get("/")
        assert (answer.status, answer.content_type) == (503, "text/html")
        assert "make web" in await answer.text()

    at_site(story, None)
