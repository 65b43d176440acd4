"""`joyn device`: what subscribers were set up on."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from cyclopts import App, Parameter

from joyn.cli.printing import DEFAULT_CONFIG, ConfigPath, moment, table
from joyn.cli.trouble import Trouble, settings_of

app = App(name="device", help="Devices that were set up, and signing them out.", help_format="plaintext")

NONE = "Nothing was set up with a code. `joyn binding list` shows what is registered, also by a password."
Number = Annotated[str, Parameter(help="A telephone number as people write it, or name@domain.")]


@app.command(name="list")
def list_(number: Number, *, config: ConfigPath = DEFAULT_CONFIG) -> None:
    """List a subscriber's devices, and when each was active last."""
    rows = [
        (one["id"], one["kind"], one["name"], one["agent"], one["system"], moment(one["last_active"]))
        for one in _with(config, number, lambda access, aor: access.devices(aor))
    ]
    table(("id", "kind", "name", "client", "system", "last active"), rows, nothing=NONE)


@app.command
def revoke(
    number: Number,
    device: Annotated[str, Parameter(help="The device's id; all of them if not given.")] = "",
    *,
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Sign a device out, or all of a subscriber's: its credentials end, and while the node runs its connections too."""

    async def work(access: Any, aor: Any) -> int:
        wanted = [device] if device else [one["id"] for one in await access.devices(aor)]
        return sum([await access.sign_out(aor, one) for one in wanted])

    count = _with(config, number, work)
    if not count:
        raise Trouble(f"{number} has no such device", f"`joyn device list {number}` shows what they have.")
    print(f"{count} device{'s' if count > 1 else ''} signed out.")


def _with(config: Any, number: str, work: Any) -> Any:
    from joyn.cli.access import aor_of, opened

    settings = settings_of(config)
    aor = aor_of(settings, number)

    async def run() -> Any:
        async with opened(settings) as access:
            if await access.get(aor) is None:
                raise Trouble(f"{aor} is no subscriber", "`joyn subscriber list` shows who is.")
            return await work(access, aor)

    return asyncio.run(run())
