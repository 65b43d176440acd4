"""`joyn phone send-file` and `joyn phone listen --files`, against a node with a content server."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest

from cutting import CuttingProxy
from edge.http.browser import open_office
from edge.http.files_door import JPEG, PNG
from joyn.cli import main
from joyn.cli.phone_files import MAX_COMING, MAX_NAME, Coming, _unused, content_server_of, progress, save
from joyn.config import HttpListener, MsrpListener
from joyn.phone import TransferFailed
from joyn.protocol.file_transfer import FileOffer
from phone.node import ALICE, PASSWORD, make_phone
from phone.recordings import make_amr
from ports import free_port

DATA = JPEG + os.urandom(4_000_000)
BOB, CAROL = "+33639980002", "+33639980003"
MEDIA = "127.0.0.2"
"""Where the proxy is that passes MSRP on to the node's port of the same number."""


@dataclass
class Server:
    """What runs in another thread: a node whose content server and MSRP are behind proxies, and Carol, who sends back
    what she gets."""

    loop: asyncio.AbstractEventLoop
    sip: str
    content: str
    proxy: CuttingProxy
    media: CuttingProxy
    stop: asyncio.Event

    def hold(self, proxy: CuttingProxy, after: int) -> tuple[threading.Event, threading.Event]:
        """Let an upload stand still after so many bytes: set when it does, and to be set when it may go on."""
        held, released = threading.Event(), threading.Event()

        async def strike(_cut: int) -> None:
            held.set()
            await asyncio.to_thread(released.wait, 20)

        self.loop.call_soon_threadsafe(proxy.plan, "up", [after], strike)
        return held, released


@contextmanager
def server_in_a_thread(directory: Path) -> Iterator[Server]:
    made: list[Server] = []
    started = threading.Event()

    async def life() -> None:
        port, front, msrp = free_port(), free_port(), free_port()
        files = {"listeners": (HttpListener(port=port),), "url": f"http://127.0.0.1:{front}"}
        chats = {"listeners": (MsrpListener(port=msrp, advertise=MEDIA),)}
        async with (
            open_office(files=files, msrp=chats) as office,
            CuttingProxy(port, front) as proxy,
            CuttingProxy(msrp, msrp, host=MEDIA) as media,
        ):
            content = f"{office.node.content.url}/content"
            servers = {"tcp": f"127.0.0.1:{office.node.settings.sip.listeners[1].port}"}
            async with make_phone(servers, CAROL, content_server=content) as carol:
                loop = asyncio.get_running_loop()
                made.append(Server(loop, servers["tcp"], content, proxy, media, asyncio.Event()))
                started.set()
                stopping = asyncio.create_task(made[0].stop.wait())
                while not stopping.done():
                    receiving = asyncio.create_task(carol.receive())
                    await asyncio.wait({receiving, stopping}, return_when=asyncio.FIRST_COMPLETED)
                    if receiving.done() and (info := receiving.result().file) is not None:
                        path = directory / ("carols.amr" if info.voice else "carols.jpg")
                        await carol.fetch(info, path)
                        await (carol.send_voice if info.voice else carol.send_file)(receiving.result().sender, path)
                    receiving.cancel()

    thread = threading.Thread(target=lambda: asyncio.run(life()), daemon=True)
    thread.start()
    assert started.wait(10)
    try:
        yield made[0]
    finally:
        made[0].loop.call_soon_threadsafe(made[0].stop.set)
        thread.join(10)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with server_in_a_thread(tmp_path_factory.mktemp("carol")) as running:
        yield running


@pytest.fixture
def account(server: Server, tmp_path: Path) -> list[str]:
    password = tmp_path / "password"
    password.write_text(f"{PASSWORD}\n")
    return ["--number", "06 39 98 00 02", "--password-file", str(password), "--server", server.sip]


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.jpg"
    path.write_bytes(DATA)
    return path


def test_a_file_goes_and_the_answer_is_saved(
    server: Server, account: list[str], photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "small.png").write_bytes(PNG)
    there = ["--content-server", server.content, "--thumbnail", str(tmp_path / "small.png")]
    # Listening once before makes the phone known, so that the network keeps for it what comes.
    assert main(["phone", "listen", "--seconds", "0.1", *account]) == 0
    assert main(["phone", "send-file", CAROL, str(photo), *there, *account]) == 0
    told = capsys.readouterr()
    assert [line.split()[0] for line in told.out.splitlines() if line[0].isalpha()] == ["accepted", "delivered"]
    steps = re.findall(r"photo\.jpg  (\S+ \S+) of 4\.0 MB", told.err)
    assert steps[0] == "0 bytes"
    assert steps[-1] == "4.0 MB"
    assert len(steps) == 11
    got = tmp_path / "got"
    assert main(["phone", "listen", "--files", str(got), "--count", "1", "--seconds", "20", *account]) == 0
    told = capsys.readouterr()
    assert "[carols.jpg, image/jpeg, 4.0 MB] http://" in told.out
    assert f"saved {got}/carols.jpg" in told.out
    assert (got / "carols.jpg").read_bytes() == DATA
    assert [path.name for path in got.iterdir()] == ["carols.jpg"]


def test_a_voice_message_goes_and_one_that_comes_says_how_long_it_is(
    server: Server, account: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    memo = str(make_amr(tmp_path / "memo.amr", 600))
    account[1] = ALICE  # who got nothing yet
    assert main(["phone", "listen", "--seconds", "0.1", *account]) == 0
    assert main(["phone", "send-voice", CAROL, memo, "--content-server", server.content, *account]) == 0
    assert capsys.readouterr().out.startswith("accepted")
    assert main(["phone", "listen", "--count", "1", "--seconds", "20", *account]) == 0
    assert "  [voice message, 0:12, 19.2 kB] http://" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "options", "what"),
    [
        ("memo.m4a", [], "--length"),
        ("memo.m4a", ["--length", "0"], "--length"),
        ("memo.jpg", ["--length", "3"], "no recording"),
        ("nowhere.amr", [], "is not there"),
    ],
)
def test_a_voice_message_needs_a_recording_and_its_length(
    name: str, options: list[str], what: str, account: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if name.startswith("memo"):
        (tmp_path / name).write_bytes(b"sound")
    assert main(["phone", "send-voice", CAROL, str(tmp_path / name), *options, *account]) == 1
    assert what in capsys.readouterr().err


def test_over_msrp_a_file_goes_and_the_answer_is_saved(
    server: Server, account: list[str], photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    account[1] = ALICE
    got = str(tmp_path / "got")
    assert main(["phone", "listen", "--style", "rcse", "--files", got, "--seconds", "0.1", *account]) == 0
    assert main(["phone", "send-file", CAROL, str(photo), "--style", "rcse", *account]) == 0
    told = capsys.readouterr()
    assert [line.split()[0] for line in told.out.splitlines() if line[0].isalpha()] == ["accepted", "delivered"]
    steps = re.findall(r"photo\.jpg  (\S+ \S+) of 4\.0 MB", told.err)
    assert (steps[0], steps[-1], len(steps)) == ("0 bytes", "4.0 MB", 11)
    listening = ["--style", "rcse", "--files", got, "--count", "1", "--seconds", "20"]
    assert main(["phone", "listen", *listening, *account]) == 0
    told = capsys.readouterr()
    assert "  [carols.jpg, image/jpeg, 4.0 MB] over MSRP\n" in told.out
    assert f"saved {got}/carols.jpg" in told.out
    assert "carols.jpg  4.0 MB of 4.0 MB" in told.err
    assert Path(got, "carols.jpg").read_bytes() == DATA


@pytest.mark.parametrize("over", ["http", "msrp"])
def test_ctrl_c_leaves_a_file_that_the_same_command_goes_on_with(
    server: Server, account: list[str], photo: Path, over: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["phone", "send-file", CAROL, str(photo), "--over", over, "--content-server", server.content, *account]
    proxy = server.media if over == "msrp" else server.proxy
    held, released = server.hold(proxy, 2_500_000)
    command = subprocess.Popen([sys.executable, "-m", "joyn", *arguments], stderr=subprocess.PIPE, text=True)
    assert held.wait(20)
    command.send_signal(signal.SIGINT)
    _, told = command.communicate(timeout=20)
    released.set()
    assert command.returncode == 1
    assert told.splitlines()[-1] == "stopped; the same command goes on where it stopped"
    before = proxy.up
    assert main(arguments) == 0
    assert proxy.up - before < len(DATA) - 1_500_000
    assert " of 4.0 MB" in capsys.readouterr().err


def test_what_cannot_be_sent_is_told_with_what_to_do(
    server: Server, account: list[str], photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "page.jpg").write_bytes(b"<script>" * 2000)
    (tmp_path / "empty.jpg").touch()
    for path, where, what in (
        (tmp_path / "page.jpg", server.content, "not what its type says (415"),
        (tmp_path / "empty.jpg", server.content, "nothing to send"),
        (tmp_path / "nowhere.jpg", server.content, "is not there"),
        (tmp_path, server.content, "is no file"),
        (photo, server.content + "/elsewhere", f"{server.content}/elsewhere was asked"),
        (photo, "nonsense", "https://host/content"),
    ):
        assert main(["phone", "send-file", CAROL, str(path), "--content-server", where, *account]) == 1
        assert what in capsys.readouterr().err


def test_a_file_that_cannot_be_fetched_is_told_with_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Doubting:
        async def fetch(self, *_: object, **__: object) -> None:
            raise TransferFailed("a.jpg: files.example:443 is not trusted", untrusted=True)

    info = SimpleNamespace(type="file", name="a.jpg")
    message = SimpleNamespace(path=None, offer=None, files=[info])
    asyncio.run(save(Doubting(), message, tmp_path))
    told = capsys.readouterr().err
    assert "not fetched: a.jpg: files.example:443 is not trusted\n" in told
    assert "Name its CA with --ca" in told


def test_a_terminal_has_a_bar(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name, value in {"FORCE_COLOR": "1", "TERM": "xterm", "COLUMNS": "100"}.items():
        monkeypatch.setenv(name, value)
    with progress("a [b].jpg") as moved:
        moved(1_000_000, 4_000_000)
        moved(4_000_000, 4_000_000)
    told = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", capsys.readouterr().err)
    assert "a [b].jpg" in told
    assert "4.0/4.0 MB" in told


def test_of_so_many_files_that_come_at_once_it_is_told_how_far_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    coming = Coming()
    for number in range(MAX_COMING + 10):
        coming(FileOffer(name="a.jpg", size=100, transfer_id=str(number)), 10)
    assert len(coming._lines) == MAX_COMING
    coming(FileOffer(name="a.jpg", size=100, transfer_id=str(number)), 100)
    assert len(coming._lines) == MAX_COMING - 1
    assert capsys.readouterr().err.endswith("a.jpg  10 bytes of 100 bytes\na.jpg  100 bytes of 100 bytes\n")


def test_the_content_server_is_looked_for_where_joyn_init_puts_it() -> None:
    assert content_server_of("sip.example.net:5060", "tcp") == "http://sip.example.net:8081/content"
    assert content_server_of("[::1]:5061", "tls") == "https://[::1]:8444/content"
    assert content_server_of("127.0.0.1:15060", "udp") == "http://127.0.0.1:18081/content"
    assert content_server_of("127.0.0.1:15061", "tls") == "https://127.0.0.1:18444/content"
    for elsewhere in ("sip.example.net:64000", "sip.example.net:nowhere"):
        assert content_server_of(elsewhere, "tcp") == "http://sip.example.net:8081/content"


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        (".bashrc", "bashrc"),
        ("", "file"),
        ("a/b\\c.jpg", "c.jpg"),
        ("taken.jpg", "taken (2).jpg"),
        ("é" * 300 + ".jpg", "é" * ((MAX_NAME - 4) // 2) + ".jpg"),
    ],
)
def test_a_name_leads_nowhere_else_and_takes_nobody_s_place(said: str, kept: str, tmp_path: Path) -> None:
    (tmp_path / "taken.jpg").touch()
    assert _unused(tmp_path, said) == tmp_path / kept
