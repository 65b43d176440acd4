"""An SMS outbox that people can look into: for demos, tests and first steps, before an SMSC is connected.

One JSON object a line, the newest last. It holds one-time codes, so the file is its owner's alone.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from joyn.model.aor import Aor

__all__ = ["KEPT", "Outbox", "Sent", "read"]

KEPT: Final = 200
"""Texts that are kept; when there are twice as many, the older half goes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """One text: when (wall clock), to whom, to which port of the phone (0: for a person to read), what."""

    id: int
    at: float
    to: Aor
    port: int
    text: str


class Outbox:
    """See joyn.sms.Sms. Writes to a file."""

    def __init__(self, path: Path, *, wall: Callable[[], float]) -> None:
        self._path = path
        self._wall = wall
        texts = read(path)
        self._next = texts[-1].id + 1 if texts else 1
        self._lines = len(texts)

    async def send(self, to: Aor, text: str, *, port: int = 0) -> None:
        """Append a line. Raises OSError."""
        sent = Sent(id=self._next, at=self._wall(), to=to, port=port, text=text)
        if self._lines >= 2 * KEPT:
            self._write([*read(self._path)[-KEPT:], sent], os.O_TRUNC)
            self._lines = KEPT + 1
        else:
            self._write([sent], os.O_APPEND)
            self._lines += 1
        self._next += 1

    def _write(self, texts: list[Sent], how: int) -> None:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | how, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write("".join(json.dumps(asdict(text), ensure_ascii=False) + "\n" for text in texts))


def read(path: Path) -> list[Sent]:
    """What is in an outbox, the newest last; a line that is none (half written in a crash) is passed over."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except FileNotFoundError:
        return []
    texts = []
    for line in lines:
        try:
            texts.append(Sent(**json.loads(line)))
        except (ValueError, TypeError):
            continue
    return texts
