"""`joyn port`: ported numbers."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from joyn.cli.printing import DEFAULT_CONFIG, ConfigPath, moment, plain, table
from joyn.cli.trouble import USAGE, Trouble, settings_of

if TYPE_CHECKING:
    from joyn.config import Settings
    from joyn.model.ported import PortedNumber

app = App(
    name="port",
    help="Ported numbers: those that are not with the operator of their range.",
    help_format="plaintext",
)

MAX_SORTED = 200_000
"""Rows in memory at a time."""
MAX_LINE = 400
"""Characters of a line; a longer one is cut, and then is no row."""

Number = Annotated[str, Parameter(help="A telephone number as people write it.")]


@app.command
def load(
    file: Annotated[Path, Parameter(help="A line number,operator for each; without an operator the number is back.")],
    *,
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Load a file of ported numbers, as large as it may be, beside what is there; also while the node runs.

    Every line is read before the first is loaded. It is loaded in pieces, each on disk before the next: a load that was
    cut off is run again. Lines that begin with # and a heading number,operator are left out.
    """
    from joyn.edge.numbers import MAX_ROWS

    settings = settings_of(config)
    began = time.monotonic()
    count = sum(1 for _ in _rows(file))
    told = _Progress(count)

    async def work(access: Any) -> None:
        for piece in pieces(_rows(file), MAX_ROWS):
            await access.port(piece)
            told.add(len(piece))

    try:
        _with(settings, work)
    finally:
        told.end()
    print(f"{count} rows loaded in {time.monotonic() - began:.1f} s.")


@app.command(name="set")
def set_(
    number: Number,
    operator: Annotated[str, Parameter(help="The SIP domain of the operator it is with now.")] = "",
    *,
    back: Annotated[bool, Parameter(negative="", help="It is back with the operator of its range.")] = False,
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Say whose a number is from now on."""
    from joyn.model.ported import BACK, PortedNumber, operator_named
    from joyn.protocol.errors import ParseError

    if bool(operator) == back:
        raise Trouble("name the operator, or --back", "joyn port set +33639980001 sfr.example", USAGE)
    settings = settings_of(config)
    e164 = _e164(settings, number)
    try:
        domain = BACK if back else operator_named(operator)
    except ParseError as error:
        raise Trouble(error.what, "Operators are named by their SIP domain.", USAGE) from None
    _with(settings, lambda access: access.port([PortedNumber(number=e164, operator=domain, at=time.time())]))
    print(f"{e164} is {f'with {domain}' if domain else 'back with the operator of its range'} now.")


@app.command
def show(
    number: Annotated[str, Parameter(help="A number; how many each operator has if not given.")] = "",
    *,
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Show whether a number was ported, or how many were."""
    settings = settings_of(config)
    if not number:
        counts = _with(settings, lambda access: access.ported_counts())
        table(("operator", "numbers"), counts.items())
        return
    e164 = _e164(settings, number)
    found = _with(settings, lambda access: access.ported(e164))
    if found is None:
        raise Trouble(f"{e164} was not ported", f"`joyn route {e164}` says where it belongs.")
    print(plain(f"{e164} is with {found['operator']} since {moment(found['at'])}."))


def pieces(rows: Iterator[PortedNumber], size: int) -> Iterator[list[PortedNumber]]:
    """Rows in pieces, each sorted: then it changes a few pages of the table that lie next to each other, and not nearly
    all of them. The rows of one number stay in their order, as the last counts. At most MAX_SORTED rows are held."""
    while many := list(islice(rows, MAX_SORTED)):
        many.sort(key=lambda row: row.number)
        for start in range(0, len(many), size):
            yield many[start : start + size]


class _Progress:
    """How far it is, on a terminal."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._done = 0
        self._shown = sys.stderr.isatty()

    def add(self, rows: int) -> None:
        self._done += rows
        if self._shown:
            sys.stderr.write(f"\r{self._done} of {self._count} rows ({100 * self._done // self._count} %)")
            sys.stderr.flush()

    def end(self) -> None:
        if self._shown and self._done:
            sys.stderr.write("\n")


def _rows(file: Path) -> Iterator[PortedNumber]:
    """The rows of a file, one line in memory at a time. Raises Trouble that names the line."""
    from joyn.model.ported import read_row
    from joyn.protocol.errors import ParseError

    at = time.time()
    place = 0
    try:
        with file.open(encoding="utf-8", newline=None) as lines:
            # Not line by line of the file itself: one that never ends shall not fill the memory.
            while line := lines.readline(MAX_LINE):
                place += 1
                row = read_row(line, at)
                if row is not None:
                    yield row
    except ParseError as error:
        raise Trouble(f"{file}: line {place}: {error.what}", "Nothing of the file was loaded.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise Trouble(f"{file}: {error}") from None


def _e164(settings: Settings, number: str) -> str:
    from joyn.cli.access import aor_of

    aor = aor_of(settings, number)
    if not aor.startswith("tel:+"):
        raise Trouble(f"{number!r} is no telephone number", "Only numbers are ported.")
    return aor[4:]


def _with(settings: Settings, work: Any) -> Any:
    from joyn.cli.access import opened

    async def run() -> Any:
        async with opened(settings) as access:
            return await work(access)

    return asyncio.run(run())
