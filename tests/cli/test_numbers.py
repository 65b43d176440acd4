"""`joyn route`, `joyn port` and `joyn topology`."""

import asyncio
import json
from pathlib import Path

import pytest

from cli.test_cli import AOR, NUMBER, place, said  # noqa: F401 - a fixture
from joyn.cli import main
from joyn.cli.port import MAX_SORTED, pieces
from joyn.config import load
from joyn.edge.numbers import MAX_ROWS
from joyn.model.ported import PortedNumber
from joyn.model.route import Operator
from joyn.node import Node
from test_topology import EUROPE, SMALL

pytestmark = pytest.mark.usefixtures("place")

SFR = Operator("sfr.example")
THEIRS = "+44 7700 900 123"


def use_topology(directory: Path) -> None:
    (directory / "small.toml").write_text(SMALL)
    file = directory / "joyn.toml"
    text = file.read_text()
    assert '# topology = ""' in text
    ranges = '\n[[interconnect.ranges]]\nprefix = "+447700900"\noperator = "vodafone.example"\n'
    file.write_text(text.replace('# topology = ""', 'topology = "small.toml"') + ranges)


def test_a_route_is_explained_step_by_step(tmp_path, capsys) -> None:
    assert main(["subscriber", "add", NUMBER]) == 0
    use_topology(tmp_path)
    said(capsys)
    assert main(["route", NUMBER]) == 0
    told = said(capsys)
    assert told.startswith(f"{AOR}: 06 39 98 00 01, FR, not in the numbering plan\n")
    assert "FR is told by the first digits" in told
    assert "the tables decide" in told
    assert "subscribers     a subscriber of ours" in told
    assert told.endswith("local: a subscriber of ours.\n")
    assert main(["route", THEIRS]) == 0
    assert "+447700900 is a range of vodafone.example" in said(capsys)
    assert main(["route", "06 34 00 00 01"]) == 0
    assert "peer: sfr.example; its range says so." in said(capsys)
    assert main(["route", "01 23 45 67 89"]) == 1
    told = said(capsys)
    assert "FR, fixed line\n" in told
    assert "plan" not in told
    assert "nowhere: the number is not on this network. The sender is told so, and OPTIONS get 404." in told
    assert main(["route", THEIRS, "--from", "sfr.example"]) == 1
    assert "nowhere: it came from sfr.example" in said(capsys)


def test_a_route_is_json_for_programs(tmp_path, capsys) -> None:
    use_topology(tmp_path)
    said(capsys)
    assert main(["route", THEIRS, "--json"]) == 0
    found = json.loads(said(capsys))
    assert (found["kind"], found["operator"], found["how"]) == ("peer", "vodafone.example", "range")
    assert found["steps"][0] == {"table": "ported numbers", "said": "not ported"}


def test_a_silent_enum_is_not_taken_for_an_answer(tmp_path, capsys) -> None:
    file = tmp_path / "joyn.toml"
    text = file.read_text()
    # Nobody listens on port 9 of this network (RFC 5737 would be no better: nothing may leave the machine).
    text = text.replace("# servers = []", 'servers = ["127.0.0.1:9"]').replace('# timeout = "2s"', 'timeout = "100ms"')
    file.write_text(text)
    said(capsys)
    assert main(["route", THEIRS]) == 1
    told = said(capsys)
    assert "no answer: 127.0.0.1 port 9" in told
    assert "The sender is told to come back." in told


def test_a_range_that_two_have_is_a_fault_of_the_configuration(tmp_path, capsys) -> None:
    use_topology(tmp_path)
    file = tmp_path / "joyn.toml"
    file.write_text(file.read_text() + '\n[[interconnect.ranges]]\nprefix = "+33634"\noperator = "tim.example"\n')
    assert main(["route", THEIRS]) == 3
    assert "+33634 is a range of sfr.example and of tim.example" in said(capsys)


def test_a_subscriber_with_a_fixed_line_number_is_taken_with_a_word(capsys) -> None:
    said(capsys)
    assert main(["subscriber", "add", "01 23 45 67 89"]) == 0
    assert "Note: it is a fixed line number, not a mobile." in said(capsys)
    assert main(["subscriber", "add", NUMBER]) == 0
    assert "Note" not in said(capsys)


def test_the_check_looks_at_the_topology(tmp_path, capsys) -> None:
    use_topology(tmp_path)
    main(["check"])
    assert "ok   interconnect: topology and ranges can be used" in said(capsys)
    (tmp_path / "small.toml").write_text(SMALL.replace("+33634", "+3363"))
    assert main(["check"]) == 1
    assert "networks[1].prefixes[0]: +3363 is a range of orange.example already" in said(capsys)


def test_a_number_is_ported_and_comes_back(capsys) -> None:
    said(capsys)
    assert main(["port", "set", NUMBER, "SFR.example"]) == 0
    assert said(capsys) == "+33639980001 is with sfr.example now.\n"
    assert main(["port", "show", NUMBER]) == 0
    assert said(capsys).startswith("+33639980001 is with sfr.example since ")
    assert main(["route", NUMBER]) == 0
    assert "peer: sfr.example; it was ported there." in said(capsys)
    assert main(["port", "set", NUMBER, "--back"]) == 0
    assert main(["port", "show", NUMBER]) == 1
    assert "was not ported" in said(capsys)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["set", NUMBER], "name the operator, or --back"),
        (["set", NUMBER, "sfr.example", "--back"], "name the operator, or --back"),
        (["set", NUMBER, "sfr example"], "is no operator's domain"),
        (["set", "alice@joyn.localhost", "sfr.example"], "is no telephone number"),
        (["set", "06 39", "sfr.example"], "it is too short for a number of FR"),
        (["load", "none.csv"], "none.csv"),
    ],
)
def test_why_a_number_cannot_be_ported_is_said(capsys, arguments, why) -> None:
    said(capsys)
    assert main(["port", *arguments]) in (1, 2)
    assert why in said(capsys)


def rows(count: int, operator: str = "sfr.example") -> str:
    return "".join(f"+336{39_980_000 + index},{operator}\n" for index in range(count))


def test_a_file_is_loaded_and_the_last_row_of_a_number_counts(tmp_path, capsys) -> None:
    count = 2 * MAX_ROWS + 7
    # Also when the rows of a number are apart, and in another order than the numbers.
    text = "number,operator\n# ours\n" + "".join(reversed(rows(count).splitlines(keepends=True)))
    (tmp_path / "ported.csv").write_text(text + "+33639980000,tim.example\n+33639980001,\n")
    said(capsys)
    assert main(["port", "load", "ported.csv"]) == 0
    assert said(capsys).startswith(f"{count + 2} rows loaded in ")
    assert main(["port", "show"]) == 0
    told = dict(line.split() for line in said(capsys).splitlines()[1:])
    assert told == {"sfr.example": str(count - 2), "tim.example": "1"}
    # Again: nothing but the time changes.
    assert main(["port", "load", "ported.csv"]) == 0
    said(capsys)
    assert main(["port", "show"]) == 0
    assert dict(line.split() for line in said(capsys).splitlines()[1:]) == told


def test_rows_are_loaded_in_order_and_no_more_are_held_than_allowed() -> None:
    read = []

    def rows_read():
        for index in range(MAX_SORTED + 3):
            read.append(index)
            # The second half comes first.
            number = f"+33{(index + MAX_SORTED // 2) % MAX_SORTED + 600_000_000}"
            yield PortedNumber(number=number, operator=SFR, at=0.0)

    made = pieces(rows_read(), MAX_ROWS)
    first = next(made)
    assert len(read) == MAX_SORTED
    assert [one.number for one in first] == [f"+33{600_000_000 + index}" for index in range(MAX_ROWS)]
    assert sum(map(len, made)) == MAX_SORTED + 3 - MAX_ROWS


def test_of_a_file_with_a_wrong_line_nothing_is_loaded(tmp_path, capsys) -> None:
    (tmp_path / "ported.csv").write_text(rows(MAX_ROWS + 1) + "0639980001,sfr.example\n")
    said(capsys)
    assert main(["port", "load", "ported.csv"]) == 1
    assert f"ported.csv: line {MAX_ROWS + 2}: '0639980001' is no number" in said(capsys)
    assert main(["port", "show"]) == 0
    assert "sfr.example" not in said(capsys)


def test_a_line_that_never_ends_is_no_row(tmp_path, capsys) -> None:
    (tmp_path / "ported.csv").write_text("+3363998" + "0" * 10_000_000)
    said(capsys)
    assert main(["port", "load", "ported.csv"]) == 1
    assert "line 1: is not number,operator" in said(capsys)


def test_a_running_node_routes_by_what_was_ported_just_now(tmp_path, capsys) -> None:
    assert main(["subscriber", "add", NUMBER]) == 0
    (tmp_path / "ported.csv").write_text(rows(MAX_ROWS + 1))

    async def play() -> None:
        node = Node(load(tmp_path / "joyn.toml"))
        await node.start()

        async def command(*arguments: str) -> int:
            return await asyncio.to_thread(main, list(arguments))

        try:
            routing = node.interconnect.finding.routing
            assert await routing.choose(AOR) == AOR
            assert await command("port", "set", NUMBER, "sfr.example") == 0
            assert (await routing.route(AOR)).operator == "sfr.example"
            assert await command("port", "set", NUMBER, "--back") == 0
            assert await routing.choose(AOR) == AOR
            assert await command("port", "load", "ported.csv") == 0
            assert await command("port", "show", NUMBER) == 0
            said(capsys)
            assert await command("route", NUMBER, "--json") == 0
            assert json.loads(said(capsys))["operator"] == "sfr.example"
        finally:
            await node.stop()

    asyncio.run(play())


def test_a_topology_is_shown_and_asked(capsys) -> None:
    said(capsys)
    assert main(["topology", "show", str(EUROPE)]) == 0
    told = said(capsys)
    assert "6 operators, 40 countries" in told
    assert "+33639980 (fiction)" in told
    assert main(["topology", "show", str(EUROPE), "--number", "+49 171 39200 01"]) == 0
    assert said(capsys) == "+491713920001: Deutsche Telekom (telekom.example) in Germany\n"
    host = "config.rcs.mnc999.mcc228.pub.3gppnetwork.org"
    assert main(["topology", "show", str(EUROPE), "--host", host]) == 0
    assert said(capsys) == "Orange (orange.example) in Switzerland (made up: it has no network there)\n"


@pytest.mark.parametrize(
    ("arguments", "status", "why"),
    [
        ([str(EUROPE), "--number", "+1 201 555 0123"], 1, "is in no range; its country is US"),
        ([str(EUROPE), "--number", "0639980001"], 1, "is no number"),
        ([str(EUROPE), "--host", "rcs.example"], 1, "no host of this topology"),
        (["joyn.toml"], 3, "there is no such section"),
        (["none.toml"], 3, "cannot be read"),
    ],
)
def test_what_a_topology_cannot_say_is_said(capsys, arguments, status, why) -> None:
    said(capsys)
    assert main(["topology", "show", *arguments]) == status
    assert why in said(capsys)
