import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from rich.console import Console

from joyn.cli import main
from joyn.cli.demo.cast import ALICE, BOB, CAMILLE, DENIS, Cast, one_operator, two_operators
from joyn.cli.demo.operator import running
from joyn.cli.demo.scene import Scene, Screen
from joyn.cli.demo.screen import frame
from joyn.cli.trouble import CONFIG, UNABLE, Trouble
from joyn.model.peer_file import parse

MESSAGES = 6
BOUND = 120
"""Seconds for six operators from nothing to the end of their message round, on a busy machine."""
KEPT = ("Which cinema was it?", "And who has the tickets?")


@pytest.fixture(autouse=True)
def usual_ports_taken() -> Iterator[None]:
    """Somebody has the usual ports, so that demos of other tests do not meet on them."""
    with contextlib.ExitStack() as stack:
        for port in (5060, 2855, 8080, 5070):
            with contextlib.suppress(OSError):  # they are taken already
                stack.enter_context(socket.create_server(("127.0.0.1", port)))
        yield


def make_scene(bubbles: int = 0) -> Scene:
    scene = Scene([Screen("Alice", ALICE, "Universal Profile phone"), Screen("Bob", BOB, "joyn phone")])
    for number in range(bubbles):
        scene.write(ALICE, BOB, f"salut {number} " + "à tous " * number, f"id{number}")
        scene.arrive(BOB, ALICE, f"salut {number} " + "à tous " * number, waited=float(number))
    return scene


def drawn(scene: Scene, width: int, height: int) -> list[str]:
    console = Console(width=width, height=height, force_terminal=True, color_system=None)
    with console.capture() as captured:
        console.print(frame(scene, width=width, height=height))
    return captured.get().splitlines()


def demo(directory: Path, *more: str) -> int:
    return main(["demo", "--once", "--beat", "0.02", "--directory", str(directory), *more])


def test_every_message_of_the_conversation_goes_through_every_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert demo(Path("demo")) == 0
    out = capsys.readouterr().out
    for state in ("sent", "delivered", "displayed"):
        assert len(re.findall(rf"sees {state}: ", out)) == MESSAGES
    assert max(map(len, out.splitlines())) <= 100
    assert "port 5060 is taken by another program: SIP of Orange listens on " in out
    assert "port 5070 is taken by another program: SIP of SFR listens on " in out
    assert "is typing" in out
    assert "http" not in out, "there is no page to look at any more"


def test_what_is_written_to_a_phone_that_is_away_waits_and_comes_in_order(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert demo(tmp_path / "demo") == 0
    out = capsys.readouterr().out
    away, back = out.index("Bob      has no network"), out.index("Bob      is registered", out.index("has no network"))
    for text in KEPT:
        assert away < out.index(f"sees sent: {text}") < back < out.index(f"sees delivered: {text}")
    assert re.findall(r"it waited \d+\.\d s: (.*)", out) == list(KEPT)


def test_a_second_run_goes_on_with_the_same_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert demo(tmp_path / "demo") == 0
    assert "kept for the next run" in capsys.readouterr().out
    kept = [tmp_path / "demo" / "sfr" / one for one in (f"passwords/{DENIS}", "data/interconnect/current.pem")]
    before = [file.read_text() for file in kept]
    assert demo(tmp_path / "demo") == 0
    out = capsys.readouterr().out
    assert "kept from the last run" in out
    assert len(re.findall("sees displayed: ", out)) == MESSAGES
    assert [file.read_text() for file in kept] == before


def test_either_operator_has_the_other_s_file_and_no_secret_is_in_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert demo(tmp_path / "demo") == 0
    capsys.readouterr()
    for name, other in (("orange", "sfr"), ("sfr", "orange")):
        text = (tmp_path / "demo" / "exchanged" / f"{name}.example.joyn-peer.toml").read_text()
        peer = parse(text).peer
        assert "PRIVATE" not in text
        passwords = [file.read_text().strip() for file in (tmp_path / "demo" / name / "passwords").iterdir()]
        assert len(passwords) == 2
        assert not any(password in text for password in passwords)
        assert main(["peer", "list", "--json", "--config", str(tmp_path / "demo" / other / "joyn.toml")]) == 0
        known = json.loads(capsys.readouterr().out)
        assert [one["domain"] for one in known] == [peer.domain]
        assert [one["fingerprint"] for one in known[0]["certificates"]] == [
            one.fingerprint for one in peer.certificates
        ]
        assert known[0]["ranges"] == list(peer.ranges)


def test_the_other_commands_read_the_demo_s_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert demo(tmp_path / "demo") == 0
    for name, numbers, others in (("orange", (ALICE, CAMILLE), (BOB, DENIS)), ("sfr", (BOB, DENIS), (ALICE, CAMILLE))):
        capsys.readouterr()
        assert main(["subscriber", "list", "--config", str(tmp_path / "demo" / name / "joyn.toml")]) == 0
        out = capsys.readouterr().out
        assert all(number in out for number in numbers)
        assert not any(number in out for number in others)


def test_one_operator_alone_has_all_four_and_no_border(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert demo(tmp_path / "demo", "--topology", "none") == 0
    out = capsys.readouterr().out
    assert len(re.findall("sees displayed: ", out)) == MESSAGES
    assert not (tmp_path / "demo" / "exchanged").exists()
    assert main(["subscriber", "list", "--config", str(tmp_path / "demo" / "joyn" / "joyn.toml")]) == 0
    out = capsys.readouterr().out
    assert all(number in out for number in (ALICE, BOB, CAMILLE, DENIS))


def test_everybody_in_a_topology_s_file_writes_to_everybody(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "three.toml"
    file.write_text(three_operators())
    for _ in range(2):  # other ports the second time, of which the files tell
        assert demo(tmp_path / "demo", "--topology", str(file)) == 0
        out = capsys.readouterr().out
        assert out.count("2 of 2") == 3
        assert "6 of 6 messages were delivered, shown, and both receipts came back." in out
    exchanged = sorted(one.name for one in (tmp_path / "demo" / "three" / "exchanged").iterdir())
    assert exchanged == [f"{one}.example.joyn-peer.toml" for one in ("blue", "green", "red")]


def three_operators() -> str:
    operators = "".join(
        f'[[operators]]\ndomain = "{one}.example"\nname = "{one}"\n' for one in ("red", "green", "blue")
    )
    networks = "".join(
        f'[[networks]]\ncountry = "FR"\noperator = "{one}.example"\n'
        f'demo = "+3363998{digit}"\nsubscribers = ["+3363998{digit}001"]\n'
        for digit, one in enumerate(("red", "green", "blue"))
    )
    return f'{operators}[[countries]]\ncode = "FR"\nname = "France"\ncalling = "+33"\nmcc = ["208"]\n{networks}'


def test_a_topology_that_is_none_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for topology in ("atlantis", str(tmp_path / "none.toml")):
        assert demo(tmp_path / "demo", "--topology", topology) == CONFIG
        assert "--topology takes france, none, europe, or a topology's file" in capsys.readouterr().err
    assert not (tmp_path / "demo").exists()


@pytest.mark.scenario
@pytest.mark.timeout(180)
def test_six_operators_of_forty_countries_write_to_each_other() -> None:
    command = [sys.executable, "-m", "joyn", "demo", "--once", "--topology", "europe", "--directory", "demo"]
    # In a short place: the name of a socket has 108 characters at most.
    with TemporaryDirectory() as place:
        with subprocess.Popen(
            command, cwd=place, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            try:
                out, _ = process.communicate(timeout=BOUND)
            finally:
                process.kill()
        files = {file.name: file.read_text() for file in Path(place, "demo", "europe", "exchanged").iterdir()}
    assert process.returncode == 0, out
    assert out.count("5 of 5") == 6
    assert "30 of 30 messages were delivered, shown, and both receipts came back." in out
    assert len(files) == 6
    assert not any("PRIVATE" in text for text in files.values())


def test_a_frame_keeps_to_its_columns_and_lines() -> None:
    for bubbles in (0, 1, 30):
        for width, height in ((100, 24), (100, 60), (80, 24), (60, 12)):
            lines = drawn(make_scene(bubbles), width, height)
            assert len(lines) < height
            assert max(map(len, lines)) <= width


def test_a_frame_shows_the_ticks_and_the_end_of_a_long_chat() -> None:
    scene = make_scene(30)
    scene.progress("id29", "sent")
    assert "✓ sent" in "\n".join(drawn(scene, 100, 24))
    scene.progress("id29", "displayed")
    scene.progress("id29", "delivered")
    shown = "\n".join(drawn(scene, 100, 24))
    assert "✓✓ displayed" in shown
    assert "✓✓ delivered" not in shown


def test_a_text_cannot_steer_the_terminal() -> None:
    told: list[str] = []
    scene = make_scene()
    scene.tell = lambda _who, what: told.append(what)
    scene.arrive(BOB, ALICE, "\x1b[2J")
    assert told == ["has from Alice: \\x1b[2J"]
    assert "\x1b[2J" not in "\n".join(drawn(scene, 100, 24))


@pytest.mark.scenario
@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT to a process")
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_it_goes_on_until_it_is_stopped_and_bob_answers_whoever_joins(tmp_path: Path, stop: signal.Signals) -> None:
    command = [sys.executable, "-m", "joyn"]
    with subprocess.Popen(
        [*command, "demo", "--beat", "0.02", "--directory", "demo"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    ) as process:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        try:
            shown = ""
            while "Ctrl-C" not in shown:
                line = next(lines, "")
                assert line, (shown, process.communicate(timeout=45)[1])
                shown += line
            assert max(map(len, shown.splitlines())) <= 100
            server = re.findall(r"proxy +sip:([\d.:]+);", shown)[0]
            account = ["--number", CAMILLE, "--server", server, "--domain", "orange.example"]
            account += ["--password-file", f"demo/orange/passwords/{CAMILLE}"]
            joined = subprocess.run(
                [*command, "phone", "send", BOB, "salut", *account], cwd=tmp_path, capture_output=True, timeout=45
            )
            assert joined.returncode == 0
            assert any("You wrote: salut" in line for line in lines)
            process.send_signal(stop)
            rest, errors = process.communicate(timeout=45)
        finally:
            process.kill()
    assert (process.returncode, errors) == (0, "")
    assert "Stopped." in rest


@pytest.mark.parametrize("casts", [one_operator, two_operators])
def test_a_second_demo_in_the_same_directory_is_refused(tmp_path: Path, casts: Callable[[], list[Cast]]) -> None:
    async def both() -> None:
        async with running(casts(), tmp_path / "demo", "127.0.0.1"), running(casts(), tmp_path / "demo", "127.0.0.1"):
            pass

    with pytest.raises(Trouble) as refused:
        asyncio.run(both())
    assert "Another demo runs in this directory" in refused.value.todo
    assert refused.value.status == UNABLE
