"""`joyn route`: where a number belongs, step by step."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, Any

from cyclopts import Parameter

from joyn.cli.printing import DEFAULT_CONFIG, ConfigPath, plain, table
from joyn.cli.trouble import NO, settings_of


def route(
    number: Annotated[str, Parameter(help="A telephone number as people write it, or name@domain.")],
    *,
    from_: Annotated[str, Parameter(name="--from", help="Decide for a request that comes from this operator.")] = "",
    as_json: Annotated[bool, Parameter(name="--json", negative="", help="Print JSON, for programs.")] = False,
    config: ConfigPath = DEFAULT_CONFIG,
) -> int:
    """Say where messages to a number go: asks the running node, or decides from its files as it would."""
    from joyn.cli.access import aor_of, opened

    settings = settings_of(config)
    aor = aor_of(settings, number)

    async def work() -> dict[str, Any]:
        async with opened(settings) as access:
            return await access.route(aor, from_.lower())

    found = asyncio.run(work())
    if as_json:
        print(json.dumps(found, indent=2))
    else:
        _print(found, settings.operator.country)
    return NO if found["kind"] == "nowhere" else 0


def _print(found: dict[str, Any], country: str) -> None:
    print("\n".join(plain(line) for line in _described(found["aor"], country)))
    table(("asked", "says"), [(step["table"], step["said"]) for step in found["steps"]])
    print()
    if found["kind"] == "local":
        print("local: a subscriber of ours.")
    elif found["kind"] == "peer":
        ways = {"ported": "it was ported there", "enum": "ENUM says so", "range": "its range says so"}
        print(plain(f"peer: {found['operator']}; {ways[found['how']]}."))
    else:
        told = "The sender is told to come back" if found["unsure"] else "The sender is told so, and OPTIONS get 404"
        print(plain(f"nowhere: {found['reason']}. {told}."))


def _described(aor: str, country: str) -> list[str]:
    """The number as people read it, and what the numbering plan says of it, in lines."""
    from joyn.model.number import read, shown
    from joyn.protocol.errors import ParseError

    if not aor.startswith("tel:+"):
        return [aor]
    try:
        number = read(aor[4:], country)
    except ParseError as error:
        return [f"{aor}: {error.what}"]
    known = f"{aor}: {shown(number.e164, country)}, {number.country or 'of no country'}"
    if number.kind:
        return [f"{known}, {number.kind}"]
    of = f"{number.country} is told by the first digits" if number.country else "The first digits are no country's"
    return [
        f"{known}, not in the numbering plan",
        f"  {of}; the numbering plan there gives out no such number: it is kept for fiction, not in use,",
        "  or newer than this joyn. Messages go their way as to any other number: the tables decide.",
        "",
    ]
