"""The example of docs/howto/write-a-bot.md does what it says."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from edge.http.files_door import JPEG, open_content
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
    snippets = "".join(example for example in examples()[1:] if "send_file" not in example).replace(
        '"+33639980002"', "BOB"
    )
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


def test_the_example_of_files_sends_one_and_fetches_the_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (snippet,) = [example for example in examples() if "send_file" in example]
    body = "\n".join(f"    {line}" for line in snippet.replace('"+33639980002"', "BOB").splitlines())
    names: dict[str, Any] = {"BOB": BOB}
    exec(f"async def run(phone):\n{body}", names)
    (tmp_path / "photo.jpg").write_bytes(JPEG)
    (tmp_path / "other.jpg").write_bytes(JPEG + b"other")
    monkeypatch.chdir(tmp_path)

    async def story() -> None:
        async with open_content() as office:
            servers = {"tcp": f"127.0.0.1:{office.node.settings.sip.listeners[1].port}"}
            there = {"content_server": f"{office.node.content.url}/content"}
            async with make_phone(servers, ALICE, **there) as alice, make_phone(servers, BOB, **there) as bob:
                running = asyncio.create_task(names["run"](alice))
                got = (await bob.receive(timeout=5)).file
                assert got is not None
                assert (got.name, got.content_type) == ("photo.jpg", "image/jpeg")
                assert (await bob.fetch(got, tmp_path / "got.jpg")).read_bytes() == JPEG
                await bob.send_file(ALICE, tmp_path / "other.jpg")
                await asyncio.wait_for(running, 5)

    asyncio.run(story())
    assert (tmp_path / "answer.jpg").read_bytes() == JPEG + b"other"
