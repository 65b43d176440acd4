"""The content server's door: uploads that may be cut and gone on with, downloads by link.

Spec: RCC.07 §3.5.4.8 (facts §6.2), RFC 7578, RFC 9110 §14 (ranges). Nothing here looks at cookies: phones show digest
credentials, browsers a ticket, and a link is enough to fetch what it leads to.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing
from functools import partial
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import quote, unquote

from aiohttp import ClientPayloadError, web
from aiohttp.streams import StreamReader

from joyn.edge.http import through_proxy
from joyn.edge.http.describing import MALFORMED, OVERLOADED, Problem, ProblemFound, failed
from joyn.model.aor import Aor
from joyn.model.file import StoredFile
from joyn.model.refused import Reason, Refused
from joyn.model.subscriber import Subscriber
from joyn.protocol.content_range import ContentRange
from joyn.protocol.errors import ParseError
from joyn.protocol.file_info import CONTENT_TYPE, MAX_FILE_INFO, ResumeInfo, emit
from joyn.protocol.form_data import FormReader, PartBegun, PartEnded
from joyn.protocol.sip.auth import Auth, parse_auth
from joyn.services.files.content_server import MAX_TID, Announced, ContentServer, Receiving
from joyn.services.files.tickets import Tickets
from joyn.services.subscribers import Challenge
from joyn.transport.http import BUFFER, Body
from joyn.transport.http.body import Take

__all__ = ["PATH", "Credentials", "FilesDoor"]

PATH: Final = "/content"
"""Where uploads go: the path of ftHTTPCSURI."""
STALL: Final = 30.0
"""Seconds without a byte after which an upload stops; the client goes on with it when it can."""
PIECE: Final = 32 << 10
"""Bytes of a body that are used at a time while it has not been taken over, each with a copy or two."""
_CORS: Final = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, HEAD, POST, PUT",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, Content-Range, Range",
    "Access-Control-Expose-Headers": "Content-Disposition, Content-Length, Content-Range, ETag",
    "Access-Control-Max-Age": "7200",
    "Cross-Origin-Resource-Policy": "cross-origin",
}

TOO_LARGE: Final = Problem(413, "too-large", "The file is larger than the operator takes.")
QUOTA: Final = Problem(413, "quota", "There is no room left for the subscriber's files.")
OTHER_TYPE: Final = Problem(415, "not-what-it-says", "The file is not what its type says.")
UNKNOWN: Final = Problem(404, "unknown", "There is no such file or upload.")
GONE: Final = Problem(410, "gone", "The file's time is over.")
TICKET_OVER: Final = Problem(401, "ticket", "The ticket is over, or its device was signed out.")
BLOCKED: Final = Problem(403, "not-eligible", "The operator has blocked the subscriber.")
INFECTED: Final = Problem(403, "infected", "The operator's virus scanner found something in the file.")
UNSCANNED: Final = Problem(503, "unscanned", "The operator's virus scanner is not done; go on with the upload later.")
NOT_NEEDED: Final = Problem(415, "not-needed", "Browsers draw the file as it is, or it is no picture.")
UNDECODABLE: Final = Problem(422, "undecodable", "The picture is broken or too large, or nothing here can read it.")
MAKERS_BUSY: Final = Problem(503, "makers-busy", "Too many pictures wait to be made.")
NO_ROOM: Final = Problem(507, "quota", "There is no room left for what would be made of the file.")
BUSY: Final = Problem(503, "busy", "The upload goes on elsewhere.")
AWAITED: Final = Problem(503, "awaited", "The file is on its way from another operator; come back in a moment.")
_REFUSED: Final = {
    Reason.TOO_LARGE: TOO_LARGE,
    Reason.QUOTA_PASSED: QUOTA,
    Reason.UNSUPPORTED_CONTENT: OTHER_TYPE,
    Reason.SUBSCRIBER_BLOCKED: BLOCKED,
    Reason.UNKNOWN_RECIPIENT: BLOCKED,
    Reason.MALFORMED: MALFORMED,
    Reason.INFECTED: INFECTED,
    Reason.UNSCANNED: UNSCANNED,
    Reason.BUSY: BUSY,
    Reason.AWAITED: AWAITED,
    Reason.OVERLOADED: OVERLOADED,
    Reason.STORAGE_FULL: OVERLOADED,
    Reason.STOPPING: OVERLOADED,
}
_NOT_SHOWN: Final = {
    Reason.NOT_ACCEPTABLE: NOT_NEEDED,
    Reason.UNSUPPORTED_CONTENT: UNDECODABLE,
    Reason.QUOTA_PASSED: NO_ROOM,
    Reason.OVERLOADED: MAKERS_BUSY,
}
"""What a refusal means to who wants to see a picture, where it is not what it means to who uploads."""


class Credentials(Protocol):
    """Who a request with digest credentials is from; see joyn.services.subscribers.Authentication."""

    async def authenticate(self, credentials: Auth | None, method: str, path: str) -> Subscriber:
        """With the request's method and path. Raises Challenge, and Refused(SUBSCRIBER_BLOCKED)."""
        ...

    async def holds(self, aor: Aor, device: str) -> bool:
        """Whether the subscriber still has this device."""
        ...

    def challenges(self, challenge: Challenge) -> list[str]:
        """Values of WWW-Authenticate."""
        ...

    def nonce(self) -> str:
        """One for the next request."""
        ...


class FilesDoor:
    """The provider. `proxied` says where a front proxy finds a file, when it shall send it: that is told to none but
    proxies that we trust."""

    def __init__(
        self,
        server: ContentServer,
        credentials: Credentials,
        tickets: Tickets,
        *,
        proxied: Callable[[Path], str] | None = None,
    ) -> None:
        self._server = server
        self._credentials = credentials
        self._tickets = tickets
        self._proxied = proxied
        self._buffer = bytearray(BUFFER)

    def routes(self) -> list[web.RouteDef]:
        """What the content server serves."""
        return [
            web.post(PATH, self._told(self._upload)),
            web.get(PATH, self._told(self._ask)),
            web.put("/upload/{id}", self._told(self._go_on)),
            web.get("/file/{id}", self._told(self._fetch)),
            web.get("/file/{id}/shown", self._told(self._show)),
            web.options("/{path:.*}", self._preflight),
        ]

    def _told(
        self, serve: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """The handler, with what is refused as phones and pages are told of it."""

        async def handle(request: web.Request) -> web.StreamResponse:
            try:
                response = await serve(request)
            except Challenge as challenge:
                response = failed(Problem(401, "credentials", ""))
                for value in self._credentials.challenges(challenge):
                    response.headers.add("WWW-Authenticate", value)
            except Refused as refused:
                response = failed(_REFUSED.get(refused.reason, MALFORMED))
            except ParseError:
                response = failed(MALFORMED)
            except ProblemFound as found:
                response = failed(found.problem, found.more)
            response.headers.update(_CORS)
            return response

        return handle

    async def _preflight(self, _request: web.Request) -> web.Response:
        return web.Response(status=204, headers=_CORS)

    async def _owner(self, request: web.Request) -> Aor:
        """Whose request it is. Raises Challenge, Refused."""
        header = request.headers.get("Authorization", "")
        if header[:7].lower() == "bearer ":
            found = self._tickets.read(header[7:].strip())
            if found is None or not await self._credentials.holds(*found):
                raise ProblemFound(TICKET_OVER)
            return found[0]
        try:
            credentials = parse_auth(header) if header else None
        except ParseError:
            credentials = None
        claimed = credentials.get("uri") if credentials else ""
        # Clients write the digest's uri with the host and without it, with the query and without it.
        path = claimed if _path_of(claimed) == request.path else request.path
        return (await self._credentials.authenticate(credentials, request.method, path)).aor

    def _xml(self, body: bytes) -> web.Response:
        headers = {"Authentication-Info": f'nextnonce="{self._credentials.nonce()}"', "Cache-Control": "no-store"}
        return web.Response(body=body, content_type=CONTENT_TYPE, headers=headers)

    # Uploads.

    async def _upload(self, request: web.Request) -> web.Response:
        """An empty body asks for a challenge or for leave (204); a form brings tid, thumbnail and file."""
        owner = await self._owner(request)
        await self._server.admit(owner)
        if not request.can_read_body:
            return web.Response(status=204)
        reader = FormReader(request.headers.get("Content-Type", ""))
        async with AsyncExitStack() as stack:
            form = _Form(self._server, owner, request.content_length or 0, reader, stack)
            async with aclosing(_pieces(request, self._buffer, form.take_at_once)) as pieces:
                async for piece in pieces:
                    await form.take(piece)
            if not reader.done or form.receiving is None:
                raise ProblemFound(MALFORMED)
            return self._xml(emit(await form.receiving.finish()))

    async def _go_on(self, request: web.Request) -> web.Response:
        """The rest of an upload, or a part of it."""
        said = request.headers.get("Content-Range", "")
        part = ContentRange.parse(said) if said else None
        start, size = (part.start, part.size or 0) if part else (0, request.content_length or 0)
        receiving = await self._server.resume(request.match_info["id"], start, size)
        if receiving is None:
            raise ProblemFound(UNKNOWN)
        async with receiving:
            async with aclosing(_pieces(request, self._buffer, partial(_write_at_once, receiving))) as pieces:
                async for piece in pieces:
                    await receiving.write(piece)
            if part is not None and receiving.received != part.end + 1:
                raise Refused(Reason.MALFORMED, "another number of bytes came than the range says")
            if receiving.received != (size or receiving.upload.size):
                return web.Response(status=200)
            return self._xml(emit(await receiving.finish(size)))

    async def _ask(self, request: web.Request) -> web.Response:
        """How far an upload has come, or what it has become."""
        owner = await self._owner(request)
        tid = request.query.get("tid", "")[: MAX_TID + 1]
        if "get_upload_info" in request.query:
            found = await self._server.progress(owner, tid)
            # Of one that has not begun nothing can be said: the client sends it anew.
            if found is not None and found[1]:
                upload, received = found
                return self._xml(ResumeInfo(start=0, end=received - 1, url=self._server.upload_url(upload)).emit())
        elif "get_download_info" in request.query:
            infos = await self._server.infos(owner, tid)
            if infos:
                return self._xml(emit(infos))
        else:
            raise ProblemFound(MALFORMED)
        raise ProblemFound(UNKNOWN)

    # Downloads.

    async def _fetch(self, request: web.Request) -> web.StreamResponse:
        """A file, whole or in ranges."""
        return self._sent(request, *await self._found(request))

    async def _show(self, request: web.Request) -> web.StreamResponse:
        """The same picture as JPEG, for browsers that do not draw it as it is."""
        file, _ = await self._found(request)
        try:
            return self._sent(request, *await self._server.shown(file))
        except Refused as refused:
            raise ProblemFound(_NOT_SHOWN.get(refused.reason, OVERLOADED)) from None

    async def _found(self, request: web.Request) -> tuple[StoredFile, Path]:
        """The file of a link. Raises ProblemFound."""
        found = await self._server.find(request.match_info["id"])
        if found is None:
            raise ProblemFound(UNKNOWN)
        file, path = found
        if path is None:
            raise ProblemFound(GONE)
        return file, path

    def _sent(self, request: web.Request, file: StoredFile, path: Path) -> web.StreamResponse:
        headers = {
            "Content-Type": file.content_type,
            # Attacks: markup in a file must not run in our name, whatever the browser makes of it.
            "Content-Disposition": f"attachment; filename*=UTF-8''{quote(file.name or 'thumbnail', safe='')}",
            "Content-Security-Policy": "default-src 'none'; sandbox",
            "Cache-Control": "private, max-age=86400, immutable",
        }
        if self._proxied is not None and through_proxy(request):
            return web.Response(headers={**headers, "X-Accel-Redirect": self._proxied(path)})
        return web.FileResponse(path, chunk_size=256 << 10, headers=headers)


class _Form:
    """The parts of an upload, in the order phones send them: tid, perhaps Thumbnail, File.

    The file, once it has begun, is one more thing on `stack`.
    """

    def __init__(
        self, server: ContentServer, owner: Aor, length: int, reader: FormReader, stack: AsyncExitStack
    ) -> None:
        self._server = server
        self._owner = owner
        self._length = length
        self._reader = reader
        self._stack = stack
        self._part: PartBegun | None = None
        self._held = bytearray()
        self._tid = ""
        self._thumbnail: tuple[bytes, str] | None = None
        self.receiving: Receiving | None = None

    async def take(self, piece: bytes) -> None:
        """The next piece of the form. Raises ParseError, Refused, ProblemFound."""
        for event in self._reader.feed(piece):
            if isinstance(event, memoryview) and self.receiving is not None and self._in_file:
                await self.receiving.write(event)
                continue
            self._use(event)
            if isinstance(event, PartBegun) and self._in_file:
                await self._begin(event)

    def take_at_once(self, buffer: bytearray, end: int) -> bool:
        """The next piece, unless something would have to be waited for: nearly all of the file. Raises as `take`."""
        if self.receiving is None or not self.receiving.has_room(self._reader.kept + end):
            return False
        for event in self._reader.feed(buffer, end):
            if isinstance(event, memoryview) and self._in_file:
                self.receiving.write_reserved(event)
            else:
                self._use(event)
        return True

    @property
    def _in_file(self) -> bool:
        return self._part is not None and self._part.name == "file"

    def _use(self, event: PartBegun | PartEnded | memoryview) -> None:
        """What needs no waiting for: anything but the file, and its beginning."""
        if isinstance(event, PartBegun):
            self._part = event
            self._held.clear()
            if self._in_file and self.receiving is not None:
                raise ProblemFound(MALFORMED)
        elif isinstance(event, PartEnded):
            self._end()
        else:
            self._held += event
            if len(self._held) > self._server.max_held:
                raise ProblemFound(TOO_LARGE)

    async def _begin(self, part: PartBegun) -> None:
        """The file begins."""
        size = _said_size(part)
        # A form is a little longer than its file, so that what does not go in is told before it comes.
        least = max(size, self._length - MAX_FILE_INFO - self._server.max_held, 1)
        announced = Announced(
            tid=self._tid,
            name=unquote(part.file_name),
            content_type=part.header("Content-Type"),
            size=size,
            least=least,
            most=self._length,
        )
        await self._server.admit(self._owner, least)
        thumbnail, kind = None, ""
        if self._thumbnail is not None:
            data, kind = self._thumbnail
            thumbnail = await self._server.take_thumbnail(data, kind)
        begun = await self._server.begin(self._owner, announced, thumbnail, kind)
        self.receiving = await self._stack.enter_async_context(begun)

    def _end(self) -> None:
        if self._part is None:
            return
        if self._part.name == "tid":
            self._tid = self._held.decode("utf-8", "replace").strip()
        elif self._part.name == "thumbnail":
            self._thumbnail = bytes(self._held), self._part.header("Content-Type")


def _said_size(part: PartBegun) -> int:
    """The file's size where its part has a Content-Range, as some clients write; else 0."""
    try:
        return ContentRange.parse(part.header("Content-Range")).size or 0
    except ParseError:
        return 0


def _write_at_once(receiving: Receiving, buffer: bytearray, end: int) -> bool:
    if not receiving.has_room(end):
        return False
    receiving.write_reserved(memoryview(buffer)[:end])
    return True


async def _pieces(request: web.Request, buffer: bytearray, take: Take) -> AsyncGenerator[bytes, None]:
    """The body as it comes, but for what `take` has taken. Raises ProblemFound when it stops coming, and as `take`."""
    content, used, body = request.content, 0, None
    try:
        while True:
            body = body or Body.take_over(request, used, buffer, take)
            if body is not None:
                body.wait()
            piece = await _more(content, body)
            if not piece:
                return
            used += len(piece)
            yield piece
    except TimeoutError:
        raise ProblemFound(Problem(408, "timeout", "Nothing more came.")) from None
    except (ClientPayloadError, ConnectionError):
        # Nobody hears the answer; what came stays for when the client comes back.
        raise ProblemFound(MALFORMED) from None
    finally:
        if body is not None:
            body.drop()


async def _more(content: StreamReader, body: Body | None) -> bytes:
    """The next piece that is to be used here; nothing at the end. Raises TimeoutError when nothing came for STALL."""
    clock = asyncio.get_running_loop().time
    until = clock() + STALL
    while True:
        try:
            async with asyncio.timeout_at(until):
                return await content.read(PIECE)
        except TimeoutError:
            if body is None or body.last + STALL <= clock():
                raise
            until = body.last + STALL


def _path_of(uri: str) -> str:
    """The path of an absolute or relative URI, without its query."""
    rest = uri.partition("://")[2]
    path = f"/{rest.partition('/')[2]}" if rest else uri
    return path.partition("?")[0]
