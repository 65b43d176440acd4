import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from joyn.cli import main

pytestmark = pytest.mark.scenario


def start(directory: Path, udp_port: int = 0) -> subprocess.Popen[str]:
    (directory / "joyn.toml").write_text(
        f"[[sip.listeners]]\nname = 'udp'\nport = {udp_port}\n[[msrp.listeners]]\nport = 0\n"
    )
    return subprocess.Popen(
        [sys.executable, "-m", "joyn", "run"],
        cwd=directory,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )


def test_a_node_runs_answers_its_door_and_stops_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with start(tmp_path) as node:
        assert node.stderr is not None
        try:
            lines = iter(node.stderr.readline, "")
            started = next(line for line in lines if "node.started" in line)
            assert started.endswith("node.started sip=1 msrp=1 http=0 files=0 interconnect=0\n")
            assert main(["subscriber", "add", "06 39 98 00 01"]) == 0
            assert main(["check"]) == 0
            assert "the node runs" in capsys.readouterr().out
            node.send_signal(signal.SIGTERM)
            rest = node.stderr.read()
            assert node.wait() == 0
        finally:
            node.kill()
    assert "subscriber.added aor=tel:+3363998xxxx" in rest
    assert "node.stopped" in rest
    assert main(["subscriber", "show", "06 39 98 00 01"]) == 0


def test_a_taken_port_ends_the_node_with_a_word_and_its_status(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        with start(tmp_path, taken.getsockname()[1]) as node:
            try:
                _, told = node.communicate(timeout=20)
            finally:
                node.kill()
    assert node.returncode == 4
    assert "`joyn check` says which port is taken." in told
