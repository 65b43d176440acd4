"""The admin door's part about numbers, asked over its socket."""

import asyncio
from pathlib import Path

import pytest

from edge.test_admin import MemoryBindings, MemoryDevices, MemoryFiles, MemorySubscribers, MemoryTracer
from joyn.cli.access import Door
from joyn.edge.admin import AdminDoor
from joyn.edge.numbers import MAX_BYTES, MAX_ROWS, NumbersDoor
from joyn.model.aor import Numbering
from joyn.model.ranges import Ranges
from joyn.model.refused import Reason, Refused
from joyn.model.route import Operator
from joyn.services.routing.routing import Routing
from joyn.store.sqlite import open_store

NOON = 1_800_000_000.0
NUMBER = "+33639980001"


class FullStore:
    """Takes nothing."""

    async def put(self, ported):
        raise Refused(Reason.STORAGE_FULL)


def play(tmp_path: Path, story, ported=None) -> None:
    async def run() -> None:
        store = open_store(":memory:", node="n", wall_clock=lambda: NOON, on_fatal=lambda error: None)
        numbering = Numbering("FR", ("orange.example",))
        routing = Routing(numbering, store.subscribers, store.ported, Ranges([("+33634", Operator("sfr.example"))]))
        path = tmp_path / "admin.sock"
        door = AdminDoor(
            path,
            subscribers=MemorySubscribers(),
            bindings=MemoryBindings(),
            tracer=MemoryTracer(),
            devices=MemoryDevices(),
            files=MemoryFiles(),
            others=[NumbersDoor(routing, numbering, ported or store.ported, wall=lambda: NOON)],
        )
        await door.start()
        client = Door(path)

        async def ask(method, where, body=None):
            return await asyncio.to_thread(client.ask, method, where, body)

        try:
            await story(ask)
        finally:
            await door.stop()
            await store.close()

    asyncio.run(run())


def test_rows_are_put_read_and_taken_back(tmp_path: Path) -> None:
    async def story(ask):
        assert await ask("GET", f"/ported/{NUMBER}") == (404, {"error": "the number was not ported"})
        rows = f"number,operator\n{NUMBER},SFR.example\n\n+33639980002,tim.example\n"
        assert await ask("POST", "/ported", rows) == (200, {"rows": 2})
        found = {"number": NUMBER, "operator": "sfr.example", "at": NOON}
        assert await ask("GET", f"/ported/{NUMBER}") == (200, found)
        assert await ask("GET", "/ported") == (200, {"operators": {"sfr.example": 1, "tim.example": 1}})
        assert await ask("POST", "/ported", f"{NUMBER},") == (200, {"rows": 1})
        assert (await ask("GET", f"/ported/{NUMBER}"))[0] == 404

    play(tmp_path, story)


def test_of_rows_with_a_wrong_one_none_is_taken(tmp_path: Path) -> None:
    async def story(ask):
        status, answer = await ask("POST", "/ported", f"{NUMBER},sfr.example\n06,sfr.example\n")
        assert (status, answer["error"]) == (400, "line 2: '06' is no number as +33639980001")
        assert await ask("GET", "/ported") == (200, {"operators": {}})

    play(tmp_path, story)


@pytest.mark.parametrize(
    "body",
    ["".join(f"+3363998{index:05},a.b\n" for index in range(MAX_ROWS + 1)), "#" * (MAX_BYTES + 1)],
    ids=["rows", "bytes"],
)
def test_more_than_one_commit_takes_is_refused(tmp_path: Path, body: str) -> None:
    async def story(ask):
        status, answer = await ask("POST", "/ported", body)
        assert (status, answer["error"][:10]) == (413, "more than ")
        assert await ask("GET", "/ported") == (200, {"operators": {}})

    play(tmp_path, story)


def test_as_much_as_one_commit_takes_is_taken(tmp_path: Path) -> None:
    async def story(ask):
        rows = "".join(f"+3363998{index:05},a.b\n" for index in range(MAX_ROWS))
        assert await ask("POST", "/ported", rows) == (200, {"rows": MAX_ROWS})

    play(tmp_path, story)


def test_a_route_is_told_with_its_steps(tmp_path: Path) -> None:
    async def story(ask):
        status, found = await ask("GET", "/route?aor=tel:%2B33634000001")
        assert (status, found["kind"], found["operator"], found["how"]) == (200, "peer", "sfr.example", "range")
        assert [step["table"] for step in found["steps"]] == ["ported numbers", "subscribers", "ranges"]
        status, found = await ask("GET", "/route?aor=tel:%2B33634000001&from=tim.example")
        assert (status, found["kind"]) == (200, "nowhere")
        # What was decided is never older than the table.
        await ask("POST", "/ported", "+33634000001,tim.example")
        status, found = await ask("GET", "/route?aor=tel:%2B33634000001")
        assert (found["operator"], found["how"]) == ("tim.example", "ported")
        status, found = await ask("GET", "/route?aor=tel:%2B33634000001&from=sfr.example&forwarded=yes")
        assert found["kind"] == "nowhere"

    play(tmp_path, story)


@pytest.mark.parametrize("where", ["/route", "/route?aor=alice", "/ported/alice", "/ported/06"])
def test_what_is_no_number_is_refused_with_a_word(tmp_path: Path, where: str) -> None:
    async def story(ask):
        status, answer = await ask("GET", where)
        assert status == 400
        assert answer["error"]

    play(tmp_path, story)


def test_that_the_disk_is_full_is_said(tmp_path: Path) -> None:
    async def story(ask):
        status, answer = await ask("POST", "/ported", f"{NUMBER},sfr.example")
        assert (status, answer) == (503, {"error": "the disk is full"})

    play(tmp_path, story, FullStore())
