"""The demo's operators exchange their files: what `joyn peer invite` and `joyn peer accept` do, for each pair."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from joyn.cli.trouble import UNABLE, Trouble

if TYPE_CHECKING:
    from joyn.config import Settings

DIRECTORY: Final = "exchanged"
"""Where the files lie, in the demo's directory."""


async def exchange(operators: Sequence[Settings], directory: Path) -> None:
    """Make all of these running operators peers of each other. Raises Trouble."""
    # In a thread: like the commands it asks the nodes' admin doors, which answer here.
    await asyncio.to_thread(_exchange, operators, directory / DIRECTORY)


def _exchange(operators: Sequence[Settings], directory: Path) -> None:
    from joyn.cli.peer import own_file, place_file, read_file, take_file
    from joyn.model.peer_file import check_code

    directory.mkdir(exist_ok=True)
    invitations = {}
    for settings in operators:
        own, text = own_file(settings)
        invitations[settings.operator.domain] = (place_file(directory, settings, text), check_code(own))
    for settings in operators:
        for domain, (file, code) in invitations.items():
            if domain == settings.operator.domain:
                continue
            text, read = read_file(settings, file)
            # What two people do by telephone.
            if check_code(read.peer) != code:
                raise Trouble(f"{file} is not what {domain} wrote", "Somebody else writes there.", UNABLE)
            take_file(settings, domain, text)
