import asyncio
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from joyn.cli import main
from joyn.cli.demo.operator import ALICE, BOB, GUESTS, running
from joyn.cli.demo.scene import Scene, Screen
from joyn.cli.demo.screen import frame
from joyn.cli.trouble import UNABLE, Trouble

MESSAGES = 6
KEPT = ("Which cinema was it?", "And who has the tickets?")


@pytest.fixture(autouse=True)
def usual_ports_taken() -> Iterator[None]:
    """Somebody has the usual ports, so that demos of other tests do not meet on them."""
    with contextlib.ExitStack() as stack:
        for port in (5060, 2855, 8080):
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
    assert "port 5060 is taken by another program: SIP listens on " in out
    assert "is typing" in out


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
    password = (tmp_path / "demo" / "passwords" / GUESTS[0]).read_text()
    assert demo(tmp_path / "demo") == 0
    out = capsys.readouterr().out
    assert "kept from the last run" in out
    assert len(re.findall("sees displayed: ", out)) == MESSAGES
    assert (tmp_path / "demo" / "passwords" / GUESTS[0]).read_text() == password


def test_the_other_commands_read_the_demo_s_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert demo(tmp_path / "demo") == 0
    capsys.readouterr()
    assert main(["subscriber", "list", "--config", str(tmp_path / "demo" / "joyn.toml")]) == 0
    out = capsys.readouterr().out
    assert all(number in out for number in (ALICE, BOB, *GUESTS))


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
                shown += next(lines)
            assert max(map(len, shown.splitlines())) <= 100
            server = re.findall(r"proxy +sip:([\d.:]+);", shown)[0]
            account = ["--number", GUESTS[0], "--server", server, "--password-file", f"demo/passwords/{GUESTS[0]}"]
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


def test_a_second_demo_in_the_same_directory_is_refused(tmp_path: Path) -> None:
    async def both() -> None:
        async with running(tmp_path / "demo", "127.0.0.1"), running(tmp_path / "demo", "127.0.0.1"):
            pass

    with pytest.raises(Trouble) as refused:
        asyncio.run(both())
    assert "Another demo runs in this directory" in refused.value.todo
    assert refused.value.status == UNABLE
