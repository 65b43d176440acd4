"""A TCP proxy between two borders that holds things up, slows them down, or writes what nobody has said."""

from __future__ import annotations

import asyncio
import random
from types import TracebackType
from typing import Literal, Self

from ports import free_port

PIECE = 16 << 10
DELAY = 0.05
"""Seconds that a piece takes when it is slow."""

Mood = Literal["pass", "hold", "hold up", "hold down", "slow", "garbage", "refuse"]
"""`hold up` lets nothing through towards the target, `hold down` nothing back; `hold` neither."""


class Meddler:
    """Listens on `port` of loopback and passes on to `target` as its `mood` is."""

    def __init__(self, target: int, seed: int = 0) -> None:
        self.port = free_port()
        self.connections = 0
        self._target = target
        self._chance = random.Random(seed)
        self._mood: Mood = "pass"
        self._changed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._pass, "127.0.0.1", self.port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        self.cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def mood(self) -> Mood:
        return self._mood

    @mood.setter
    def mood(self, mood: Mood) -> None:
        self._mood = mood
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def cut(self) -> None:
        """Close all connections as they are."""
        for writer in self._writers:
            writer.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.connections += 1
        if self._mood == "refuse":
            writer.transport.abort()
            return
        back, other = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers |= {writer, other}
        try:
            await asyncio.gather(self._pump("up", reader, other), self._pump("down", back, writer))
        except OSError:
            pass
        finally:
            for one in (writer, other):
                one.transport.abort()
                self._writers.discard(one)

    async def _pump(self, way: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(PIECE):
            while self._mood in ("hold", f"hold {way}"):
                await self._changed.wait()
            if self._mood == "slow":
                await asyncio.sleep(DELAY)
            elif self._mood == "garbage" and way == "down":
                writer.write(self._chance.randbytes(64))
                raise ConnectionAbortedError
            writer.write(piece)
            await writer.drain()
