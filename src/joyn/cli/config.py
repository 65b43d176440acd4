"""`joyn config`: the settings, with what each of them means."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from joyn.cli.printing import DEFAULT_CONFIG, ConfigPath
from joyn.cli.trouble import settings_of

app = App(name="config", help="The configuration.", help_format="plaintext")


@app.command
def show(
    *,
    config: ConfigPath = DEFAULT_CONFIG,
    defaults: Annotated[bool, Parameter(negative="", help="Show the defaults, whatever the file says.")] = False,
) -> None:
    """Print every setting with its meaning; those at their default are commented out."""
    from joyn.config import Settings, annotated, parse

    if defaults:
        print(annotated(Settings()), end="")
        return
    settings_of(config)  # says what is wrong, if anything is
    print(annotated(parse(Path(config).read_text("utf-8"), str(config))), end="")
