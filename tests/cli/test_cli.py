import json
import socket
import stat
import sys
from pathlib import Path

import pytest

from joyn.cli import main
from joyn.config import MEMORY, Settings, listeners_of, load, parse
from joyn.protocol.sip.digest import ha1

NUMBER = "06 39 98 00 01"
AOR = "tel:+33639980001"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory as `joyn init` leaves it, every port chosen by the system."""
    monkeypatch.chdir(tmp_path)
    assert main(["init"]) == 0
    file = tmp_path / "joyn.toml"
    text = file.read_text()
    for port in (5060, 5061, 2855, 2856, 8080, 8443, 8081, 8444):
        text = text.replace(f"port = {port}", "port = 0")
    file.write_text(text)
    return tmp_path


def said(capsys: pytest.CaptureFixture[str]) -> str:
    read = capsys.readouterr()
    return read.out + read.err


def test_init_writes_what_a_node_needs_and_says_what_is_next(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", str(tmp_path / "here"), "--domain", "Operator.Example", "--host", "192.0.2.1"]) == 0
    settings = load(tmp_path / "here" / "joyn.toml")
    assert settings.operator.domain == "operator.example"
    assert {one.transport for one in settings.sip.listeners} == {"udp", "tcp", "tls"}
    assert stat.S_IMODE((tmp_path / "here" / "tls" / "server-key.pem").stat().st_mode) == 0o600
    told = said(capsys)
    for part in (
        'operator.example. NAPTR 10 50 "s" "SIPS+D2T" "" _sips._tcp.operator.example.',
        "_sips._tcp.operator.example. SRV 0 5 5061 sip.operator.example.",
        "_sip._udp.operator.example. SRV 0 5 5060 sip.operator.example.",
        "sip.operator.example. A 192.0.2.1",
        "joyn subscriber add",
    ):
        assert part in told
    assert "this machine alone" not in told


def test_init_says_when_the_records_lead_nobody_else_here(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", str(tmp_path / "here"), "--domain", "operator.example"]) == 0
    told = said(capsys)
    assert "sip.operator.example. A 127.0.0.1" in told
    assert "127.0.0.1 is this machine alone" in told
    assert "set `host` of each listener" in told


def test_a_second_operator_on_one_machine_has_ports_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--domain", "sfr.example", "--own-range", "+33639981", "--own-range", "+33639982"]
    assert main(["init", str(tmp_path / "first"), *arguments]) == 0
    assert main(["init", str(tmp_path / "second"), *arguments, "--port-offset", "10000"]) == 0
    told = said(capsys)
    assert "_sip._udp.sfr.example. SRV 0 5 15060 sip.sfr.example." in told
    assert "[interconnect] own_ranges" not in told, "they are written already"
    first, second = (load(tmp_path / one / "joyn.toml") for one in ("first", "second"))
    assert second.interconnect.own_ranges == ("+33639981", "+33639982")
    ports = [[one.port for _, listeners in listeners_of(settings) for one in listeners] for settings in (first, second)]
    assert len(ports[0]) == 11
    assert ports[1] == [port + 10000 for port in ports[0]]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--port-offset", "60000"], "is no port"),
        (["--own-range", "0639"], "interconnect.own_ranges[0]"),
        (["--host", "0.0.0.0"], "Give --host an address of this machine that others reach."),
    ],
)
def test_init_writes_nothing_that_no_node_would_take(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], why: str
) -> None:
    assert main(["init", str(tmp_path / "here"), *arguments]) == 2
    assert why in said(capsys)
    assert not (tmp_path / "here").exists()


def test_init_does_not_overwrite(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (place / "joyn.toml").read_text()
    assert main(["init"]) == 1
    assert "is there already" in said(capsys)
    assert (place / "joyn.toml").read_text() == before


def test_check_is_content_with_what_init_wrote(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check"]) == 0
    assert "Everything is as it should be." in said(capsys)
    assert not (place / "data").exists()


def test_check_finds_a_taken_port_and_a_missing_certificate(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "tls" / "server.pem").unlink()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        text = (place / "joyn.toml").read_text()
        head, listener, tail = text.partition('name = "tcp"')
        (place / "joyn.toml").write_text(head + listener + tail.replace("port = 0", f"port = {port}", 1))
        assert main(["check"]) == 1
    told = said(capsys)
    assert f"BAD  sip tcp: tcp 127.0.0.1 port {port}: Address already in use" in told
    assert "server.pem: there is no such file" in told


def test_check_says_what_is_not_scanned_and_not_decoded(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said(capsys)
    assert main(["check"]) == 0
    told = said(capsys)
    assert "note virus scanner: none, so files are not scanned" in told
    assert "ok   pictures: thumbnails are made, HEIC among them" in told
    # A module that sys.modules calls None is not installed.
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    assert main(["check"]) == 0
    assert "not of HEIC, which iPhones send\n     Install the extra: pip install 'joyn[heic]'." in said(capsys)


@pytest.mark.parametrize(("required", "status", "mark"), [("true", 1, "BAD "), ("false", 0, "note")])
def test_check_finds_a_virus_scanner_that_is_not_there(
    place: Path, capsys: pytest.CaptureFixture[str], required: str, status: int, mark: str
) -> None:
    file = place / "joyn.toml"
    scanner = f'[files]\nscanner = "clamd:{place}/clamd.ctl"\nscanner_required = {required}\n'
    file.write_text(file.read_text().replace("[files]\n", scanner))
    said(capsys)
    assert main(["check"]) == status
    assert f"{mark} virus scanner: clamd:{place}/clamd.ctl: no connection" in said(capsys)


def test_what_no_phone_can_be_told_is_found_before_the_node_starts(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = place / "joyn.toml"
    file.write_text(file.read_text().replace("[provisioning]\n", '[provisioning]\nparameters = ["IM/imWarnSfx = 1"]\n'))
    said(capsys)
    assert main(["check"]) == 1
    assert "BAD  provisioning.parameters: IM/imWarnSfx: no configuration has this parameter" in said(capsys)
    assert main(["run"]) == 3
    assert "provisioning.parameters: IM/imWarnSfx" in said(capsys)


def test_config_show_prints_what_can_be_read_back(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said(capsys)
    assert main(["config", "show"]) == 0
    shown = capsys.readouterr().out
    assert parse(shown) == parse((place / "joyn.toml").read_text())
    assert main(["config", "show", "--defaults"]) == 0
    assert parse(capsys.readouterr().out) == Settings()


def test_the_exit_status_says_what_kind_of_trouble(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["subscriber"]) == 0
    assert main(["subscriber", "frobnicate"]) == 2
    assert main(["decode", "pidf", "-"]) == 2
    assert main(["subscriber", "list", "--config", "other.toml"]) == 3
    (place / "joyn.toml").write_text(f'[store]\npath = "{MEMORY}"\n')
    assert main(["subscriber", "list"]) == 4
    assert "no node runs, and its store is in memory" in said(capsys)
    (place / "joyn.toml").write_text("[sip]\nmax_boddy = 1\n")
    assert main(["run"]) == 3
    assert "joyn.toml: sip.max_boddy: there is no such key; did you mean max_body?" in said(capsys)


def test_a_subscriber_is_added_shown_blocked_and_removed(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said(capsys)
    assert main(["subscriber", "add", NUMBER, "--name", "Alice", "--algorithms", "MD5"]) == 0
    told = said(capsys)
    assert f"{AOR} is a subscriber now." in told
    password = told.partition("password  ")[2].split()[0]
    assert len(password) == 16
    assert main(["subscriber", "add", "+33639980001"]) == 1
    assert "is a subscriber already" in said(capsys)
    assert main(["subscriber", "block", NUMBER]) == 0
    said(capsys)
    assert main(["subscriber", "list"]) == 0
    listed = said(capsys)
    assert listed.splitlines()[1].split() == [AOR, "Alice", "+33639980001", "MD5", "yes"]
    assert main(["subscriber", "unblock", NUMBER]) == 0
    assert main(["subscriber", "show", NUMBER]) == 0
    shown = said(capsys)
    assert "blocked    no" in shown
    assert password not in shown
    assert main(["check"]) == 0
    assert "joyn.db: 1 subscriber\n" in said(capsys)
    assert main(["subscriber", "quota", NUMBER]) == 0
    assert said(capsys) == f"{AOR}: 0 bytes of 2GiB (everybody's quota)\n"
    assert main(["subscriber", "quota", NUMBER, "500MiB"]) == 0
    assert said(capsys) == f"{AOR}: 0 bytes of 500MiB (their own quota)\n"
    assert main(["subscriber", "quota", NUMBER, "much"]) == 1
    assert "much" in said(capsys)
    assert main(["subscriber", "quota", NUMBER, "default"]) == 0
    assert "everybody's" in said(capsys)
    assert main(["binding", "list", NUMBER]) == 0
    assert main(["message", "trace", "-none-"]) == 1
    assert main(["subscriber", "remove", NUMBER]) == 0
    assert main(["subscriber", "show", NUMBER]) == 1
    assert "is no subscriber" in said(capsys)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["subscriber", "list"], "There are no subscribers."),
        (["peer", "list"], "There are no peers."),
        (["binding", "list"], "Nobody is registered now."),
        (["device", "list", NUMBER], "Nothing was set up with a code."),
        (["sms", "outbox"], "No text has been sent yet."),
    ],
)
def test_an_empty_list_says_so_beside_what_programs_read(
    place: Path, capsys: pytest.CaptureFixture[str], command: list[str], said: str
) -> None:
    if command[0] == "device":
        assert main(["subscriber", "add", NUMBER]) == 0
    capsys.readouterr()
    assert main(command) == 0
    told = capsys.readouterr()
    assert told.err.startswith(said)
    assert len(told.out.splitlines()) <= 1


def test_a_new_subscriber_s_devices_are_told_where_to_register(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["init", "--domain", "sfr.example", "--host", "192.0.2.1", "--port-offset", "100"]) == 0
    said(capsys)
    assert main(["subscriber", "add", NUMBER]) == 0
    told = said(capsys)
    assert "  domain    sfr.example\n" in told
    assert "  server    192.0.2.1:5160 (udp, tcp), 192.0.2.1:5161 (tls)\n" in told


def test_a_given_password_is_kept_as_hashes_only(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import asyncio

    from joyn.model.aor import Aor
    from joyn.model.subscriber import Subscriber
    from joyn.node import open_store

    (place / "password").write_text("correct horse\n")
    assert main(["subscriber", "add", NUMBER, "--password-file", "password"]) == 0
    assert "correct horse" not in said(capsys)

    async def read() -> Subscriber | None:
        async with open_store(load(place / "joyn.toml")) as store:
            return await store.subscribers.get(Aor(AOR))

    kept = asyncio.run(read())
    assert kept is not None
    for algorithm in ("MD5", "SHA-256", "SHA-512-256"):
        assert kept.ha1[algorithm] == ha1("+33639980001", "joyn.localhost", "correct horse", algorithm)


@pytest.mark.parametrize("number", ["12", "alice@other.example", "tel:", "not a number"])
def test_what_is_no_number_is_refused_with_an_example(
    place: Path, capsys: pytest.CaptureFixture[str], number: str
) -> None:
    assert main(["subscriber", "add", number]) == 1
    assert "Write it as people do" in said(capsys)


def test_an_unknown_algorithm_is_refused(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["subscriber", "add", NUMBER, "--algorithms", "SHA-1"]) == 1
    assert "Known are SHA-512-256" in said(capsys)


def test_version_tells_what_it_stands_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version"]) == 0
    assert said(capsys).startswith("joyn 0.")


def test_the_admin_door_is_used_while_a_node_runs(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A tiny server stands for the node: the command asks it and opens no store."""
    import threading

    (place / "data").mkdir()
    asked: list[str] = []
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(place / "data" / "admin.sock"))
        server.listen()

        def answer() -> None:
            while True:
                peer, _ = server.accept()
                with peer:
                    request = peer.recv(65536).decode()
                    if request.startswith("STOP"):
                        return
                    if request:
                        asked.append(request.splitlines()[0])
                        body = json.dumps({"bindings": [], "next": ""})
                        peer.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            assert main(["binding", "list", NUMBER]) == 0
        finally:
            with socket.socket(socket.AF_UNIX) as stop:
                stop.connect(str(place / "data" / "admin.sock"))
                stop.sendall(b"STOP")
            thread.join()
    assert asked == ["GET /bindings?aor=tel%3A%2B33639980001 HTTP/1.1"]
    assert not (place / "data" / "joyn.db").exists()
