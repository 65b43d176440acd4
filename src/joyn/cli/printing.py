"""How commands print: tables, times, and text that peers wrote."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter

ConfigPath = Annotated[
    Path, Parameter(name=["--config", "-c"], env_var="JOYN_CONFIG", help="The configuration file.", show_default=True)
]
DEFAULT_CONFIG: Final = Path("joyn.toml")
_PIPE_WIDTH: Final = 240
"""Columns of a table when nobody looks at it: a pipe wants whole lines."""


def plain(text: object) -> str:
    """Text that cannot steer a terminal: what is not printable is shown as an escape."""
    written = str(text)
    if written.isprintable():
        return written
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in written)


def moment(at: float, *, milliseconds: bool = False) -> str:
    """A wall-clock time in the zone of whoever reads it."""
    local = datetime.fromtimestamp(at).astimezone()
    return local.strftime("%Y-%m-%d %H:%M:%S") + (f".{local.microsecond // 1000:03d}" if milliseconds else "")


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], title: str = "", nothing: str = "") -> None:
    """Print a table. When it has no rows, say `nothing` on standard error, beside what programs read."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(title=title or None, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for column in columns:
        drawn.add_column(column, overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(plain(cell)) for cell in row))
    Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH, highlight=False).print(drawn)
    if nothing and not drawn.row_count:
        sys.stdout.flush()
        print(nothing, file=sys.stderr)
