"""What a command says when it cannot: what, where, and what to do."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from joyn.config import Settings

NO: Final = 1
"""Exit status: the answer is no (not valid, not found, not as it should be)."""
USAGE: Final = 2
"""Exit status: the command line is wrong."""
CONFIG: Final = 3
"""Exit status: the configuration cannot be used."""
UNABLE: Final = 4
"""Exit status: the node or its store could not do it."""


class Trouble(Exception):
    """A command cannot go on. `what` names the place too; `todo` is the next thing to try."""

    def __init__(self, what: str, todo: str = "", status: int = NO) -> None:
        super().__init__(what)
        self.what = what
        self.todo = todo
        self.status = status


def report(trouble: Trouble) -> int:
    """Print it to standard error; its exit status."""
    print(f"joyn: {trouble.what}", file=sys.stderr)
    if trouble.todo:
        print(f"      {trouble.todo}", file=sys.stderr)
    return trouble.status


def settings_of(path: Path) -> Settings:
    """The settings of a file. Raises Trouble."""
    from joyn.config import ConfigError, load

    try:
        return load(path)
    except ConfigError as error:
        missing = "" if path.exists() else "Name another file with --config or JOYN_CONFIG."
        raise Trouble(str(error), missing or "`joyn config show --defaults` prints every key.", CONFIG) from None
