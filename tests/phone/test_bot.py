"""The example of docs/howto/write-a-bot.md does what it says."""

import asyncio
import re
from pathlib import Path
from typing import Any

from phone.node import ALICE, BOB, PASSWORD, make_phone, running_node

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "write-a-bot.md"


def examples() -> list[str]:
    return re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)


def test_the_bot_answers_until_it_is_told_to_stop() -> None:
    names: dict[str, Any] = {"__name__": "bot"}
    exec(examples()[0], names)

    async def story() -> None:
        async with running_node() as servers, make_phone(servers, ALICE) as alice:
            bot = asyncio.create_task(names["main"](BOB, PASSWORD, servers["tcp"]))
            sent = await alice.send(BOB, "salut")
            assert (await alice.receive(timeout=5)).text == "You said: salut"
            await sent.displayed(timeout=5)
            await alice.send(BOB, "Bye")
            assert (await alice.receive(timeout=5)).text == "See you!"
            await asyncio.wait_for(bot, 5)

    asyncio.run(story())


def test_the_other_examples_run_as_they_stand() -> None:
    snippets = "".join(examples()[1:]).replace('"+33639980002"', "BOB")
    body = "\n".join(f"    {line}" for line in snippets.splitlines())
    names: dict[str, Any] = {"BOB": BOB}
    exec(f"async def run(phone):\n{body}", names)

    async def story() -> None:
        async with (
            running_node() as servers,
            make_phone(servers, ALICE) as alice,
            make_phone(servers, BOB, receipts="auto") as bob,
        ):
            bob.on_message = lambda _message: None
            await names["run"](alice)

    asyncio.run(story())
