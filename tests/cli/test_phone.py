import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from joyn.cli import main
from joyn.phone import Phone, Received
from phone.node import ALICE, BOB, CAROL, PASSWORD, make_phone, running_node


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
        async with running_node() as servers, make_phone(servers, BOB) as bob:
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
    assert "404" in capsys.readouterr().err


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


def test_a_wrong_password_says_what_to_do(
    account: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "password").write_text("wrong")
    assert main(["phone", "caps", BOB, *account]) == 1
    assert "joyn subscriber password" in capsys.readouterr().err


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
    assert main(["phone", "send", "12", "salut", *account]) == 1
    assert "no telephone number" in capsys.readouterr().err


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
