"""The page: the built web client, as it lies in the package.

Assets have their hash in their name and never change; index.html is asked for anew each time.
"""

from __future__ import annotations

import hashlib
import html
import mimetypes
import re
from collections.abc import Awaitable, Callable, Sequence
from importlib import resources
from pathlib import Path
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from joyn.edge.http import origin_of

__all__ = ["CLIENT_PATHS", "PageDoor", "built_client"]

CLIENT_PATHS: Final = ("/", "/c/{tail:.*}", "/calls", "/contacts", "/settings{tail:.*}", "/sign-in")
"""What the client shows by itself (design §2): all are index.html."""
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "media-src blob:; font-src 'self'; connect-src 'self'{sockets}{files}; worker-src 'self'; manifest-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-src {frames}; frame-ancestors {ancestors}"
)
# A voice message is recorded and a place is told when somebody presses for it; a photo is taken by the phone's own
# camera, which asks for no permission of the page.
_PERMISSIONS: Final = "camera=(), geolocation=({who}), microphone=({who})"
_MISSING: Final = (
    "<!doctype html><meta charset=utf-8><title>joyn</title><p>The web client was not built. "
    "<code>make web</code> builds it, and a wheel holds it."
)
_ORIGIN: Final = re.compile(r"https?://(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::\d+)?")
mimetypes.add_type("application/manifest+json", ".webmanifest")


def built_client() -> Path | None:
    """The folder of the built client, or None when it was not built."""
    folder = Path(str(resources.files("joyn"))) / "webdist"
    return folder if (folder / "index.html").is_file() else None


class PageDoor:
    """Serves the client's files. `ancestors` are the origins that may show the page in a frame (the demo's stage).

    `root` may take a request for / to itself: on the configuration hosts it is a phone's. `files` are the origins of
    content servers that the page may ask: ours, and those of peers whose files devices fetch themselves.
    `theme` is the brand that pages are painted in first.
    """

    def __init__(
        self,
        folder: Path | None,
        *,
        ancestors: Sequence[str] = (),
        root: Callable[[web.Request], Awaitable[web.StreamResponse] | None] = lambda _request: None,
        files: Callable[[], Sequence[str]] = lambda: (),
        theme: str = "",
    ) -> None:
        self._folder = folder
        self._root = root
        self._files = files
        self._ancestors = " ".join(ancestors) or "'none'"
        self._theme = html.escape(theme).encode()
        self._pages: dict[str, tuple[bytes, str]] = {}

    def routes(self) -> list[web.RouteDef]:
        """The client's paths, and every file beside index.html."""
        found = [web.get(path, self._index) for path in CLIENT_PATHS]
        if self._folder is not None:
            for file in sorted(self._folder.rglob("*")):
                name = file.relative_to(self._folder).as_posix()
                if file.is_file() and not name.startswith(".") and not name.endswith(".html"):
                    found.append(web.get(f"/{name}", self._file(file)))
        return found

    async def _index(self, request: web.Request) -> web.StreamResponse:
        taken = self._root(request) if request.path == "/" else None
        return self.page(request, "index.html") if taken is None else await taken

    def page(self, request: web.Request, name: str, *, frames: str = "'none'") -> web.Response:
        """One HTML page of the client; `frames` is what it may show in frames."""
        if self._folder is None or not (self._folder / name).is_file():
            return web.Response(text=_MISSING, content_type="text/html", status=503)
        data, tag = self._read(name)
        headers = {
            "Cache-Control": "no-cache",
            "ETag": f'"{tag}"',
            "Content-Security-Policy": _POLICY.format(
                ancestors=self._ancestors,
                frames=frames,
                sockets=_sockets(origin_of(request)),
                files="".join(f" {origin}" for origin in self._files() if origin),
            ),
            "Cross-Origin-Opener-Policy": "same-origin",
            "Permissions-Policy": _PERMISSIONS.format(who=_trusted(frames)),
        }
        if self._ancestors == "'none'":
            headers["X-Frame-Options"] = "DENY"
        else:
            # Shown in a frame of another host, which same-origin would forbid.
            headers["Cross-Origin-Resource-Policy"] = "same-site"
            del headers["Cross-Origin-Opener-Policy"]
        if request.headers.get("If-None-Match") == headers["ETag"]:
            return web.Response(status=304, headers=headers)
        return web.Response(body=data, content_type="text/html", charset="utf-8", headers=headers)

    def _read(self, name: str) -> tuple[bytes, str]:
        if name not in self._pages:
            assert self._folder is not None
            data = (self._folder / name).read_bytes()
            if self._theme:
                data = data.replace(b"<html ", b'<html data-operator="%b" ' % self._theme, 1)
            self._pages[name] = (data, hashlib.sha256(data).hexdigest()[:16])
        return self._pages[name]

    @staticmethod
    def _file(file: Path) -> Handler:
        hashed = file.parent.name == "assets"
        kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        headers = {
            "Cache-Control": "public, max-age=31536000, immutable" if hashed else "no-cache",
            "Content-Type": f"{kind}; charset=utf-8" if kind.startswith("text/") else kind,
        }
        if file.name == "sw.js":
            headers["Service-Worker-Allowed"] = "/"

        async def serve(_request: web.Request) -> web.FileResponse:
            return web.FileResponse(file, headers=headers)

        return serve


def _trusted(frames: str) -> str:
    """Who may ask for the microphone and the place: the page, and what it shows in frames, which asks for itself."""
    origins = () if frames == "'none'" else frames.split()
    return " ".join(("self", *(f'"{origin}"' for origin in origins)))


def _sockets(origin: str) -> str:
    """Our own WebSocket as a source: not every browser takes 'self' for it, and ws: would be everybody's."""
    return f" ws{origin.removeprefix('http')}/ws" if _ORIGIN.fullmatch(origin) else ""
