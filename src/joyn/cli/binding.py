"""`joyn binding`: which devices are registered."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated, Any

from cyclopts import App, Parameter

from joyn.cli.printing import DEFAULT_CONFIG, ConfigPath, table
from joyn.cli.trouble import settings_of

app = App(name="binding", help="Contact bindings: the devices that are registered.", help_format="plaintext")


@app.command(name="list")
def list_(
    number: Annotated[str, Parameter(help="Only this subscriber's.")] = "", *, config: ConfigPath = DEFAULT_CONFIG
) -> None:
    """List the registered devices, and how long each registration still holds."""
    from joyn.cli.access import aor_of, opened

    settings = settings_of(config)
    aor = aor_of(settings, number) if number else None

    async def work() -> list[dict[str, Any]]:
        async with opened(settings) as access:
            return await access.bindings(aor)

    now = time.time()
    rows = [
        (
            one["aor"],
            one["contact"],
            one["flow"],
            one["instance"],
            f"{max(0, one['expires_at'] - now):.0f} s",
            one["user_agent"],
        )
        for one in asyncio.run(work())
    ]
    table(("AOR", "contact", "flow", "instance", "expires in", "user agent"), rows, nothing="Nobody is registered now.")
