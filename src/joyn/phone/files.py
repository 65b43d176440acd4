"""Files: to the content server and from it, gone on with where they were cut.

Spec: RCC.07 §3.5.4.8 (facts §6.2), RFC 9110 §14. An upload is named by its `tid`, by which the server says how much of
it has come; a download is asked for from the first byte that is not here. Neither is ever whole in memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Final, TypeVar
from urllib.parse import quote

import aiohttp
from aiohttp.payload import Payload
from yarl import URL

from joyn.phone.attempts import BROKEN, Attempts, TransferFailed, broken, refusal, short
from joyn.phone.uploading import PIECE, STALL, Progress, Upload, unheard
from joyn.protocol import file_info
from joyn.protocol.content_range import ContentRange
from joyn.protocol.errors import ParseError
from joyn.protocol.file_info import FileInfo, ResumeInfo

__all__ = ["FileTransfer", "partial"]

CONNECT: Final = 10.0
"""Seconds to connect in."""
Result = TypeVar("Result")


class FileTransfer:
    """One subscriber's way to the content server. It may do several transfers at once.

    `url` is where uploads go (ftHTTPCSURI), empty for a phone that only fetches; `tls` a client context for https.
    `pause` waits for so many seconds. Use it as `async with`, or `close` it.
    """

    def __init__(
        self,
        url: str,
        username: str,
        password: str,
        *,
        tls: ssl.SSLContext | None = None,
        pause: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._url = URL(url)
        self._username = username
        self._password = password
        self._tls = tls
        self._pause = pause
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> FileTransfer:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close its connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def upload(
        self,
        path: Path,
        *,
        content_type: str = "",
        name: str = "",
        thumbnail: bytes = b"",
        tid: str = "",
        on_progress: Progress = unheard,
    ) -> tuple[FileInfo, ...]:
        """Bring a file to the content server; what is sent in its place.

        Type and name are told by `path` unless given; `thumbnail` is a picture. With the `tid` of an upload that was
        begun before, this process or another goes on with that. Raises TransferFailed, and OSError when the file cannot
        be read.
        """
        if not self._url.host:
            raise ValueError("no content server: give its address, ftHTTPCSURI")
        upload = await asyncio.to_thread(Upload.of, path, content_type, name, thumbnail, tid, on_progress)
        attempts = Attempts(self._pause)
        digest = self._digest()
        begun = bool(tid)
        while True:
            try:
                if begun and (infos := await self._go_on(upload, digest)):
                    return infos
                begun = True
                return await self._begin(upload, digest)
            except TransferFailed as failure:
                upload.check()
                await attempts.next(failure, upload.sent)

    async def download(self, info: FileInfo, path: Path, *, on_progress: Progress = unheard) -> Path:
        """Fetch a file to `path`. What has come lies beside it (`partial`) until all has, and is gone on with.

        Raises TransferFailed, and OSError when the file cannot be written.
        """
        part = partial(info, path)
        attempts = Attempts(self._pause)
        digest = self._digest()
        while True:
            try:
                await self._fetch(info, part, digest, on_progress)
                break
            except TransferFailed as failure:
                await attempts.next(failure, _size(part))
        await asyncio.to_thread(_settle, part, path)
        return path

    # Uploads.

    async def _begin(self, upload: Upload, digest: aiohttp.DigestAuthMiddleware) -> tuple[FileInfo, ...]:
        """All of it, in one form. The empty request before it is answered with the challenge, so that the file itself
        goes once."""
        await self._ask("POST", self._url, upload.name, digest)
        upload.there = 0
        form = upload.form()
        return _infos(await self._ask("POST", self._url, upload.name, digest, form), upload.name)

    async def _go_on(self, upload: Upload, digest: aiohttp.DigestAuthMiddleware) -> tuple[FileInfo, ...]:
        """The rest of it, or only the answer to it that was lost; nothing when the server does not know it."""
        found = await self._ask_about(upload, "get_upload_info", digest)
        if found:
            info = _understood(ResumeInfo.parse, found, upload.name)
            upload.there = info.end + 1
            if upload.there < upload.size:
                return await self._put(upload, info, digest)
        done = await self._ask_about(upload, "get_download_info", digest)
        return _infos(done, upload.name) if done else ()

    async def _put(
        self, upload: Upload, info: ResumeInfo, digest: aiohttp.DigestAuthMiddleware
    ) -> tuple[FileInfo, ...]:
        extent = ContentRange(upload.there, upload.size - 1, upload.size).emit()
        rest, headers = upload.rest(upload.there), {"Content-Range": extent}
        try:
            url = _web_address(info.url, upload.name)
            return _infos(await self._ask("PUT", url, upload.name, digest, rest, headers), upload.name)
        except TransferFailed as failure:
            # It has forgotten the upload, or understood otherwise how far it is: it is asked anew.
            failure.again = failure.again or failure.status in (400, 404, 416)
            raise

    async def _ask_about(self, upload: Upload, question: str, digest: aiohttp.DigestAuthMiddleware) -> bytes:
        # Facts §6.2: the question has no value, and yarl would write `question=`.
        query = f"{self._url.raw_query_string}&" if self._url.raw_query_string else ""
        url = URL(f"{self._url.with_query(None)}?{query}tid={quote(upload.tid, safe='')}&{question}", encoded=True)
        try:
            return await self._ask("GET", url, upload.name, digest)
        except TransferFailed as failure:
            if failure.status in (404, 410):
                return b""
            raise

    async def _ask(
        self,
        method: str,
        url: URL,
        what: str,
        digest: aiohttp.DigestAuthMiddleware,
        body: Payload | None = None,
        headers: dict[str, str] | None = None,
    ) -> bytes:
        """One request; the body of its answer. Raises TransferFailed for all but 2xx."""
        try:
            async with self._request(method, url, digest, body, headers) as answer:
                text = await short(answer)
                if answer.status >= 300:
                    raise refusal(what, answer, text)
                return text
        except BROKEN as error:
            raise broken(what, url, error) from error

    # Downloads.

    async def _fetch(
        self, info: FileInfo, part: Path, digest: aiohttp.DigestAuthMiddleware, on_progress: Progress
    ) -> None:
        """What is not here yet. Raises TransferFailed."""
        what = info.name or "the file"
        url = _web_address(info.url, what)
        have = _size(part)
        if have > info.size:
            await asyncio.to_thread(part.unlink)
            have = 0
        if have == info.size > 0:
            on_progress(have, info.size)
            return
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
        try:
            async with self._request("GET", url, digest, None, headers) as answer:
                start = await _starts_at(answer, have, info.size, what)
                on_progress(start, info.size)
                await _write(answer, part, start, info.size, on_progress, what)
        except BROKEN as error:
            raise broken(what, url, error) from error
        except TransferFailed as failure:
            if failure.status == 416:
                # What we have is no part of it.
                await asyncio.to_thread(part.unlink, missing_ok=True)
                failure.again = True
            raise

    # Requests.

    def _digest(self) -> aiohttp.DigestAuthMiddleware:
        """One for each transfer: their nonces and counts do not overtake each other."""
        return aiohttp.DigestAuthMiddleware(self._username, self._password)

    def _request(
        self,
        method: str,
        url: URL,
        digest: aiohttp.DigestAuthMiddleware,
        body: Payload | None,
        headers: dict[str, str] | None,
    ) -> aiohttp.client._RequestContextManager:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=self._tls or True, limit=0),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT, sock_read=STALL),
                headers={"User-Agent": "joyn-phone"},
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        # A link comes from whoever sent the file: what proves our password to the content server is nobody else's.
        ours = bool(self._url.host) and url.origin() == self._url.origin()
        middlewares = (_once, digest) if ours else (_once,)
        return self._session.request(
            method, url, data=body, headers=headers, middlewares=middlewares, allow_redirects=not ours
        )


async def _once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """aiohttp sends what is idempotent again when a connection breaks; for a PUT of ours another byte has come next."""
    try:
        return await handler(request)
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        # These two are what it does that for. A certificate says itself what it is.
        if not request.body or isinstance(error, aiohttp.ClientSSLError):
            raise
        raise aiohttp.ClientConnectionError(str(error)) from error


def partial(info: FileInfo, path: Path) -> Path:
    """Where what has come of a file lies: another link has another place, as it leads to another file."""
    return path.with_name(f"{path.name}.{hashlib.sha256(info.url.encode()).hexdigest()[:8]}.part")


async def _starts_at(answer: aiohttp.ClientResponse, have: int, size: int, what: str) -> int:
    """The number of the first byte of an answer. Raises TransferFailed when it is not what was asked for."""
    if answer.status == 200:
        return 0
    if answer.status != 206:
        raise refusal(what, answer, await short(answer))
    said = _understood(lambda text: ContentRange.parse(text.decode()), _range_of(answer), what)
    if said.start != have or said.size not in (None, size):
        raise TransferFailed(f"{what} cannot be fetched: it is another file than was said", status=206)
    return have


def _range_of(answer: aiohttp.ClientResponse) -> bytes:
    return answer.headers.get("Content-Range", "").encode("utf-8", "replace")


async def _write(
    answer: aiohttp.ClientResponse, part: Path, start: int, size: int, on_progress: Progress, what: str
) -> None:
    """Write what comes behind byte `start`. Raises TransferFailed."""
    at = start
    with await asyncio.to_thread(part.open, "ab") as file:
        file.truncate(start)
        while True:
            try:
                piece = await answer.content.read(PIECE)
            except BROKEN as error:
                raise broken(what, answer.url, error) from error
            at += len(piece)
            if at > size or (not piece and at < size):
                file.truncate(0)
                raise TransferFailed(f"{what} cannot be fetched: it is not as long as was said", status=answer.status)
            if not piece:
                return
            await asyncio.to_thread(file.write, piece)
            on_progress(at, size)


def _settle(part: Path, path: Path) -> None:
    """All is here: it gets its name, which nothing that is not whole ever has."""
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(path)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _web_address(url: str, what: str) -> URL:
    """Raises TransferFailed for what is none: a link is what somebody wrote."""
    with contextlib.suppress(ValueError):
        found = URL(url)
        if found.scheme in ("http", "https") and found.host:
            return found
    raise TransferFailed(f"{what} cannot be fetched: its link is no web address")


def _infos(document: bytes, what: str) -> tuple[FileInfo, ...]:
    return _understood(file_info.parse, document, what)


def _understood(parse: Callable[[bytes], Result], text: bytes, what: str) -> Result:
    try:
        return parse(text)
    except ParseError as error:
        raise TransferFailed(f"{what}: the content server's answer is not understood: {error}") from error
