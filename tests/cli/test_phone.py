import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from joyn.cli import main
from joyn.phone import Phone, Received
from joyn.transport.tls import issue_certificate, make_development_ca, server_context
from phone.node import ALICE, BOB, CAROL, PASSWORD, make_phone, running_node

BLOCKED = "+33639980004"


async def answer(bob: Phone, message: Received) -> None:
    """The text turned round, or the place on the other side of the Earth."""
    place = message.location
    if place is None:
        await message.reply(message.text[::-1])
    else:
        await bob.send_location(message.sender, -place.latitude, place.longitude + 180, label=place.label, radius=5)


@contextmanager
def node_and_echo() -> Iterator[str]:
    """A node in another thread, where Bob answers what he gets; yields the server's address."""
    address: list[str] = []
    started, stop = threading.Event(), asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def life() -> None:
        loops.append(asyncio.get_running_loop())
        async with running_node(blocked=[BLOCKED]) as servers, make_phone(servers, BOB) as bob:
            address.append(servers["tcp"])
            started.set()
            stopping = asyncio.create_task(stop.wait())
            while not stopping.done():
                receiving = asyncio.create_task(bob.receive())
                await asyncio.wait({receiving, stopping}, return_when=asyncio.FIRST_COMPLETED)
                if receiving.done():
                    await answer(bob, receiving.result())
                receiving.cancel()

    thread = threading.Thread(target=lambda: asyncio.run(life()), daemon=True)
    thread.start()
    assert started.wait(10)
    try:
        yield address[0]
    finally:
        loops[0].call_soon_threadsafe(stop.set)
        thread.join(10)


@contextmanager
def tls_listener(directory: Path) -> Iterator[str]:
    """Somebody who shows one caller a certificate of a CA that nobody knows; yields its address."""
    make_development_ca(directory)
    files = issue_certificate(directory, ["127.0.0.1"])
    context = server_context(files.certificate, files.key)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def show() -> None:
            caller, _ = listener.accept()
            # The caller hangs up when it has seen the certificate.
            with caller, contextlib.suppress(OSError):
                context.wrap_socket(caller, server_side=True)

        thread = threading.Thread(target=show, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        thread.join(10)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with node_and_echo() as address:
        yield address


@pytest.fixture
def account(server: str, tmp_path: Path) -> list[str]:
    password = tmp_path / "password"
    password.write_text(f"{PASSWORD}\n")
    return ["--number", "06 39 98 00 01", "--password-file", str(password), "--server", server]


def test_send_says_what_became_of_the_message(account: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["phone", "send", "06 39 98 00 02", "salut", *account]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if line[0].isalpha()] == ["accepted", "delivered"]


def test_send_to_nobody_is_a_no(account: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["phone", "send", CAROL, "salut", *account]) == 1
    told = capsys.readouterr().err
    assert f"{account[-1]} says 404" in told
    assert "`joyn route` on its side says why" in told


def test_listen_prints_what_comes_and_is_another_device_than_send(
    account: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["phone", "listen", "--seconds", "0.1", *account]) == 0
    assert main(["phone", "send", BOB, "stressed", *account]) == 0
    capsys.readouterr()
    assert main(["phone", "listen", "--seconds", "0.5", *account]) == 0
    assert "desserts" in capsys.readouterr().out


def test_caps_tells_the_tags(account: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["phone", "caps", BOB, *account]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"{BOB} is online\n")
    assert "oma.cpm.session" in out


def test_caps_of_nobody_is_a_no(account: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["phone", "caps", CAROL, *account]) == 1
    assert f"{CAROL} is unknown (404)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("number", "password", "more", "said"),
    [
        (ALICE, "battery", [], "401"),
        (ALICE, "battery", [], "The password is wrong, or it is nobody's there: "),
        (CAROL, PASSWORD, [], f"`joyn subscriber show {CAROL}`"),
        (ALICE, PASSWORD, ["--username", "alice"], "or nobody there has the username alice: "),
        (CAROL, PASSWORD, ["--username", ALICE], "another subscriber's: look at --number and --username"),
        (BLOCKED, PASSWORD, [], "Most likely its operator has blocked it"),
    ],
)
def test_a_phone_that_is_not_let_in_is_told_by_whom_and_what_to_look_at(
    server: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    number: str,
    password: str,
    more: list[str],
    said: str,
) -> None:
    file = tmp_path / "password"
    file.write_text(password)
    arguments = ["--number", number, "--password-file", str(file), "--server", server, *more]
    assert main(["phone", "caps", BOB, *arguments]) == 1
    told = capsys.readouterr().err
    assert f"joyn: {server} does not register {number}: 40" in told
    assert said in told
    assert password not in told


def test_a_certificate_of_an_unknown_ca_is_not_taken_for_a_server_that_is_not_there(
    account: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with tls_listener(tmp_path) as server:
        assert main(["phone", "caps", BOB, *account[:-1], server, "--transport", "tls"]) == 4
    told = capsys.readouterr().err
    assert f"cannot connect to {server} by tls" in told
    assert "Name its CA with --ca" in told


def test_a_content_server_of_an_unknown_ca_is_told_with_what_to_do(
    account: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.txt").write_text("a")
    with tls_listener(tmp_path) as server:
        where = ["--content-server", f"https://{server}/content"]
        assert main(["phone", "send-file", BOB, str(tmp_path / "a.txt"), *where, *account]) == 1
    told = capsys.readouterr().err
    assert f"a.txt: {server} is not trusted: self-signed certificate in certificate chain" in told
    assert "Name its CA with --ca" in told


def test_no_server_says_where(account: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["phone", "caps", BOB, *account[:-1], "127.0.0.1:9"]) == 4
    assert "127.0.0.1:9" in capsys.readouterr().err


@pytest.mark.parametrize("server", ["nowhere", ":5060", "127.0.0.1:five"])
def test_an_address_without_a_port_is_explained(
    server: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    password = tmp_path / "password"
    password.write_text(PASSWORD)
    arguments = ["--number", ALICE, "--password-file", str(password), "--server", server]
    assert main(["phone", "caps", BOB, *arguments]) == 1
    assert "is not host:port" in capsys.readouterr().err


def test_a_number_that_is_none_is_refused(account: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["phone", "send", "06 39", "salut", *account]) == 1
    assert "'06 39' is no telephone number in FR: it is too short for a number of FR" in capsys.readouterr().err


def test_a_place_is_sent_and_one_that_comes_is_printed(account: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["phone", "listen", "--seconds", "0.1", *account]) == 0
    assert main(["phone", "send-location", BOB, "48.5", "-3.45829", "--label", "chez\u202e nous", *account]) == 0
    assert capsys.readouterr().out.splitlines()[0].startswith("accepted")
    assert main(["phone", "listen", "--count", "1", "--seconds", "5", *account]) == 0
    assert "  [location -48.500000, 176.541710, within 5 m] chez\\u202e nous\n" in capsys.readouterr().out


@pytest.mark.parametrize("place", [["91", "0"], ["0", "-181"], ["0", "0", "--radius", "-1"]])
def test_a_place_that_is_none_is_told(place: list[str], account: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["phone", "send-location", BOB, *place, *account]) == 1
    assert "no place on Earth" in capsys.readouterr().err
