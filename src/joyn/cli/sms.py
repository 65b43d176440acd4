"""`joyn sms`: the texts that the node sends, one-time codes above all."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import App, Parameter

from joyn.cli.printing import DEFAULT_CONFIG, ConfigPath, moment, plain
from joyn.cli.trouble import settings_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from joyn.sms.outbox import Sent

app = App(name="sms", help="SMS that the node sends: one-time codes.", help_format="plaintext")

EVERY: Final = 0.5
"""Seconds between two looks with --follow."""


@app.command
def outbox(
    *,
    follow: Annotated[bool, Parameter(negative="", help="Go on printing what comes, until Ctrl-C.")] = False,
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Print what is in the outbox, the newest last: each text, to whom, and to which port of the phone if to one."""
    from joyn.sms.outbox import read

    path = settings_of(config).sms_outbox
    texts = read(path)
    if not texts:
        print("No text has been sent yet.", file=sys.stderr)
    last = _print(texts, 0)
    with suppress(KeyboardInterrupt):
        while follow:
            time.sleep(EVERY)
            last = _print(read(path), last)


def _print(texts: Sequence[Sent], after: int) -> int:
    """Print those that are newer; the number of the newest."""
    for one in texts:
        if one.id > after:
            port = f" port {one.port}" if one.port else ""
            print(f"{moment(one.at)}  {one.to}{port}  {plain(one.text)}")
    sys.stdout.flush()
    return texts[-1].id if texts else after
