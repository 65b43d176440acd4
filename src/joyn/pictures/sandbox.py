"""Pictures made by a process of their own for each, which has nothing and may do nothing but decode.

Starting a process takes a tenth of a second or so. In return a decoder that hangs, crashes, is taken over or wants all
memory harms that one picture.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from joyn import telemetry
from joyn.model.refused import Reason, Refused
from joyn.pictures import Form

__all__ = ["HEIC_DECODER", "WAITING", "Limits", "Sandbox", "decodes_heic"]

HEIC_DECODER: Final = "pi_heif"
"""The module of the optional extra `heic`."""
WAITING: Final = 16
"""Pictures that wait for their turn; further ones are refused."""
WORKER: Final = Path(__file__).with_name("worker.py")
_UNDECODABLE: Final = 65
"""What the worker ends with when the file is to blame: EX_DATAERR."""
_KINDS: Final = {
    "image/avif": "image/avif",
    "image/gif": "image/gif",
    "image/heic": "image/heic",
    "image/heic-sequence": "image/heic",
    "image/heif": "image/heic",
    "image/heif-sequence": "image/heic",
    "image/jpeg": "image/jpeg",
    "image/jpg": "image/jpeg",
    "image/pjpeg": "image/jpeg",
    "image/png": "image/png",
    "image/tiff": "image/tiff",
    "image/webp": "image/webp",
}
"""Types that are decoded, and what the worker calls them."""
MADE = telemetry.counter("picture.made")
REFUSED = telemetry.counter("picture.refused")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one picture may cost: `pixels` of it, bytes of `memory`, seconds of CPU and, twice as many, of waiting.
    `at_once` are made at a time."""

    pixels: int
    memory: int
    seconds: int
    at_once: int


def decodes_heic() -> bool:
    """Whether the extra `heic` is installed. Looks for it and does not import it."""
    return importlib.util.find_spec(HEIC_DECODER) is not None


class Sandbox:
    """See joyn.pictures.Pictures. For one event loop. `worker` is the program that decodes."""

    def __init__(self, limits: Limits, *, worker: Path = WORKER) -> None:
        self._limits = limits
        self.worker = worker
        self._threads = ThreadPoolExecutor(limits.at_once, thread_name_prefix="joyn-pictures")
        self._jobs: set[_Job] = set()
        self._heic = decodes_heic()

    @property
    def is_full(self) -> bool:
        """Whether as many pictures wait as may."""
        return len(self._jobs) >= self._limits.at_once + WAITING

    def takes(self, content_type: str) -> bool:
        """Whether files of this type can be decoded here. Nowhere without a POSIX system's limits."""
        kind = _KINDS.get(content_type, "")
        return os.name == "posix" and bool(kind) and (kind != "image/heic" or self._heic)

    async def make(self, path: Path, content_type: str, form: Form) -> bytes:
        """A picture in this form."""
        if not self.takes(content_type):
            raise Refused(Reason.UNSUPPORTED_CONTENT, "no decoder here takes this type")
        if self.is_full:
            raise Refused(Reason.OVERLOADED, "too many pictures wait")
        job = _Job(self._command(_KINDS[content_type], form), path, form.largest, 2 * self._limits.seconds)
        self._jobs.add(job)
        working = asyncio.get_running_loop().run_in_executor(self._threads, job.run)
        working.add_done_callback(lambda _: self._jobs.discard(job))
        try:
            status, made = await asyncio.shield(working)
        except asyncio.CancelledError:
            job.stop()
            raise
        if status == 0 and 0 < len(made) <= form.largest:
            MADE.inc()
            return made
        if status == _UNDECODABLE:
            REFUSED.inc()
        else:
            telemetry.event("picture.failed", kind=content_type, why=_cause(status, len(made) > form.largest))
        raise Refused(Reason.UNSUPPORTED_CONTENT, "the picture cannot be decoded")

    async def close(self) -> None:
        """End what is being made."""
        for job in self._jobs:
            job.stop()
        await asyncio.to_thread(self._threads.shutdown)

    def _command(self, kind: str, form: Form) -> list[str]:
        limits = self._limits
        asked = {"kind": kind, "edge": form.edge, "largest": form.largest}
        asked |= {"pixels": limits.pixels, "memory": limits.memory, "seconds": limits.seconds}
        # -I: no environment, no directory of ours or of the user's is searched for modules.
        return [sys.executable, "-I", str(self.worker), json.dumps(asked)]


class _Job:
    """One process, from a thread that waits for it."""

    def __init__(self, command: list[str], path: Path, largest: int, seconds: float) -> None:
        self._command = command
        self._path = path
        self._largest = largest
        self._seconds = seconds
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._over = False

    def run(self) -> tuple[int, bytes]:
        """The process's status (negative: the signal that ended it) and what it wrote, one byte more than `largest` at
        most."""
        try:
            file = self._path.open("rb")
        except OSError:
            return -signal.SIGKILL, b""  # it was swept while it waited
        with file:
            process = self._start(file)
        if process is None:
            return -signal.SIGKILL, b""
        timer = threading.Timer(self._seconds, self.stop)
        timer.start()
        try:
            with process:
                assert process.stdout is not None
                made = process.stdout.read(self._largest + 1)
                if len(made) > self._largest:
                    self.stop()
                return process.wait(), made
        finally:
            timer.cancel()

    def _start(self, file: IO[bytes]) -> subprocess.Popen[bytes] | None:
        with self._lock:
            if self._over:
                return None
            self._process = subprocess.Popen(  # noqa: S603 - a program of ours, and no shell
                self._command,
                stdin=file,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={},
                cwd="/",
                start_new_session=True,
            )
            return self._process

    def stop(self) -> None:
        """End it now, or never begin it."""
        with self._lock:
            self._over = True
            if self._process is not None and self._process.poll() is None:
                with contextlib.suppress(ProcessLookupError):  # it has just ended
                    os.killpg(self._process.pid, signal.SIGKILL)


def _cause(status: int, too_long: bool) -> str:
    """What the log says of a process that failed."""
    if too_long:
        return "it wrote more than asked for"
    if status < 0:
        return signal.Signals(-status).name
    return f"status {status}"
