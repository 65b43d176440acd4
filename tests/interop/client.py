"""A client from elsewhere in a process of its own: lines go in, and what it prints is read as it comes."""

import re
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from interop.network import readable

PATIENCE = 15.0
"""Seconds a client may take to do what is waited for."""
ENDING = 10.0
"""Seconds a client may take to end by itself."""


class Client:
    """A running client."""

    def __init__(self, process: subprocess.Popen[bytes], output: Path) -> None:
        self.process = process
        self._output = output

    def tell(self, line: str) -> None:
        """Type a line."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n".encode())
        self.process.stdin.flush()

    def expect(self, pattern: str, after: int = 0) -> re.Match[str]:
        """The first match in all that was printed, from `after` on; waits for it.

        Raises AssertionError with what was printed.
        """
        wanted = re.compile(pattern, re.DOTALL)
        deadline = time.monotonic() + PATIENCE
        while True:
            # Ended first, read second: what it printed last must not be missed.
            ended = self.process.poll() is not None
            printed = readable(self._output)
            found = wanted.search(printed, after)
            if found is not None:
                return found
            assert not ended, f"it ended with {self.process.returncode} before {pattern!r}:\n{printed}"
            assert time.monotonic() < deadline, f"no {pattern!r} in:\n{printed}"
            time.sleep(0.02)

    def finish(self, line: str = "") -> None:
        """Let it end, with a last line where it wants one."""
        if line:
            self.tell(line)
        else:
            self.process.terminate()
        self.process.wait(timeout=ENDING)


@contextmanager
def running(
    arguments: Sequence[str], directory: Path, environment: Mapping[str, str] | None = None
) -> Iterator[Client]:
    """Start a client whose files are in `directory`; it is gone when the block ends."""
    output = directory / "output"
    with (
        output.open("wb") as told,
        subprocess.Popen(
            arguments, cwd=directory, stdin=subprocess.PIPE, stdout=told, stderr=subprocess.STDOUT, env=environment
        ) as process,
    ):
        try:
            yield Client(process, output)
        finally:
            process.kill()
