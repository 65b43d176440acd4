"""A peer's content server that the test plays: what it serves, how much of it, and what it says of that."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType

from ports import free_port


@dataclass(slots=True)
class Served:
    """What is answered at a path. `cuts` are bytes of the body after which the connection ends, for one request each,
    and `chunked` that its length is not said."""

    data: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    cuts: list[int] = field(default_factory=list)
    ranges: bool = True
    chunked: bool = False


class ScriptedOrigin:
    """Listens on `port` of loopback while it is entered; `requests` are the paths and headers that were asked for."""

    def __init__(self, port: int = 0) -> None:
        self.port = port or free_port()
        self.served: dict[str, Served] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def asked(self, path: str) -> list[str]:
        """The ranges that were asked of a path."""
        return [headers.get("range", "") for asked, headers in self.requests if asked == path]

    async def __aenter__(self) -> ScriptedOrigin:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            line, *fields = head.split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (one.partition(":") for one in fields) if name}
            path = line.split(" ")[1]
            self.requests.append((path, headers))
            writer.write(self._answer(self.served.get(path, Served(status=404)), headers.get("range", "")))
            await writer.drain()
        finally:
            writer.close()

    @staticmethod
    def _answer(served: Served, wanted: str) -> bytes:
        status, body, own = served.status, served.data, dict(served.headers)
        if wanted and served.ranges and status == 200:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            own["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
            status, body = 206, body[start:]
        if served.chunked:
            own["Transfer-Encoding"] = "chunked"
            body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        else:
            own["Content-Length"] = str(len(body))
        if served.cuts:
            body = body[: served.cuts.pop(0)]
        lines = [f"HTTP/1.1 {status} Said", "Connection: close", *(f"{name}: {value}" for name, value in own.items())]
        return "\r\n".join([*lines, "", ""]).encode() + body
