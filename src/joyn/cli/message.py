"""`joyn message`: what became of a message."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from cyclopts import App, Parameter

from joyn.cli.printing import DEFAULT_CONFIG, ConfigPath, moment, plain, table
from joyn.cli.trouble import Trouble, settings_of

app = App(name="message", help="Messages and what became of them.", help_format="plaintext")


@app.command
def trace(
    message_id: Annotated[str, Parameter(help="The imdn.Message-ID.", allow_leading_hyphen=True)],
    *,
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Show every hop of a message, with its time and its reason. Attempts are remembered while the node runs."""
    from joyn.cli.access import opened

    settings = settings_of(config)

    async def work() -> list[dict[str, Any]]:
        async with opened(settings) as access:
            return await access.trace(message_id)

    found = asyncio.run(work())
    if not found:
        raise Trouble(
            f"no message has the Message-ID {message_id}", "It was never accepted, or is past messaging.retain_for."
        )
    for index, message in enumerate(found):
        if index:
            print()
        _print(message)


def _print(message: dict[str, Any]) -> None:
    print(plain(f"{message['kind']} {message['message_id']}"))
    print(plain(f"  from {message['sender']} to {message['conversation']}"))
    print(
        plain(
            f"  {message['content_type']}, {message['bytes']} bytes; receipts asked: {message['requested'] or 'none'}"
        )
    )
    print(f"  waits until {moment(message['deliver_until'])}\n")
    hops = [(moment(one["at"], milliseconds=True), one["who"], one["what"], one["why"]) for one in message["hops"]]
    table(("time", "who", "what", "reason"), hops)
    print()
    entries = [
        (
            one["mailbox"],
            one["seq"],
            one["kind"],
            one["state"],
            one["device"] or "every device",
            _devices(one["devices"]),
        )
        for one in message["entries"]
    ]
    if entries:
        table(("mailbox", "entry", "kind", "state", "for", "devices"), entries)
    else:
        print("It stands in no mailbox: there was nobody it was due to.")


def _devices(devices: list[dict[str, Any]]) -> str:
    """Which devices have settled the entry, by their cursors."""
    return ", ".join(f"{one['device'] or '(no instance)'}: {'settled' if one['past'] else 'due'}" for one in devices)
