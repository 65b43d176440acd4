"""ClamAV's daemon and ICAP services, played by servers that a test scripts."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from joyn.transport.scanning import CLEAN, PIECE, Unscanned
from joyn.transport.scanning.address import Address
from joyn.transport.scanning.clamd import Clamd
from joyn.transport.scanning.connection import MAX_ANSWER
from joyn.transport.scanning.icap import SOMETHING, Icap
from transport.scanning import servers
from transport.scanning.servers import EICAR, Talk, reads_nothing, says, says_nothing, served

CLEAN_FILE = bytes(range(256)) * 4096
INFECTED_FILE = CLEAN_FILE + EICAR + CLEAN_FILE


async def pieces(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), PIECE):
        yield data[start : start + PIECE]


def verdict_of(scheme: str, talk: Talk, data: bytes = CLEAN_FILE, seconds: float = 5.0, path: str = "") -> str:
    """What a scanner that is talked to so is understood to say."""

    async def story() -> str:
        async with served(talk, path) as port:
            if scheme == "clamd":
                address = Address.parse(f"clamd:{path}" if path else f"clamd://127.0.0.1:{port}")
                return await Clamd(address, seconds=seconds).scan(pieces(data), len(data))
            icap = Icap(Address.parse(f"icap://127.0.0.1:{port}/avscan"), seconds=seconds)
            return await icap.scan(pieces(data), len(data))

    return asyncio.run(story())


@pytest.mark.parametrize("at", ["socket", "port"])
def test_clamd_is_shown_the_file_in_pieces_and_says_what_it_found(tmp_path: Path, at: str) -> None:
    clamd, path = servers.Clamd(), str(tmp_path / "clamd.ctl") if at == "socket" else ""
    assert verdict_of("clamd", clamd.talk, path=path) == CLEAN
    (tmp_path / "clamd.ctl").unlink(missing_ok=True)
    assert verdict_of("clamd", clamd.talk, INFECTED_FILE, path=path) == "Eicar-Test-Signature"
    assert clamd.files == [CLEAN_FILE, INFECTED_FILE]


def test_an_icap_service_is_shown_the_file_as_a_response_and_says_what_it_found() -> None:
    icap = servers.Icap()
    assert verdict_of("icap", icap.talk) == CLEAN
    assert "Eicar" in verdict_of("icap", icap.talk, INFECTED_FILE)
    assert icap.files == [CLEAN_FILE, INFECTED_FILE]
    assert icap.heads[0].startswith("RESPMOD icap://127.0.0.1:")
    assert "/avscan ICAP/1.0\r\n" in icap.heads[0]
    assert "\r\nAllow: 204\r\n" in icap.heads[0]


def test_an_icap_service_that_replaces_the_file_without_a_word_has_found_something() -> None:
    assert verdict_of("icap", servers.Icap(names=False).talk, INFECTED_FILE) == SOMETHING


def test_an_icap_service_that_sends_back_what_it_was_shown_has_found_nothing() -> None:
    large = CLEAN_FILE * 16
    assert verdict_of("icap", servers.Icap(echoes=True).talk, large) == CLEAN
    assert verdict_of("icap", servers.Icap(echoes=True).talk, INFECTED_FILE) == SOMETHING


@pytest.mark.parametrize(
    ("body", "verdict"),
    [
        (b"1\r\nx\r\n0\r\n\r\n", SOMETHING),
        (b"FFFFFFFF\r\n", SOMETHING),
        (b"-1\r\n", None),
        (b"zz\r\n", None),
        (b"1\r\n", None),
    ],
)
def test_what_is_sent_back_otherwise_is_not_what_was_shown(body: bytes, verdict: str | None) -> None:
    talk = says(b"ICAP/1.0 200 OK\r\nEncapsulated: res-hdr=0, res-body=4\r\n\r\nhead" + body)
    if verdict is None:
        with pytest.raises(Unscanned):
            verdict_of("icap", talk)
    else:
        assert verdict_of("icap", talk) == verdict


@pytest.mark.parametrize("scheme", ["clamd", "icap"])
@pytest.mark.parametrize(
    "talk",
    [
        says(b""),
        says(b"", first=100),
        says(b"rubbish\0rubbish\r\n\r\n"),
        says(b"x" * (MAX_ANSWER + 10_000)),
        says(b"stream: FOUND\0ICAP/1.0 abc\r\n\r\n"),
        says(b"INSTREAM size limit exceeded. ERROR\0ICAP/1.0 500 Broken\r\n\r\n"),
        says(b"stream: OK"),
    ],
    ids=["hangs up", "is cut", "garbage", "too long", "half a verdict", "an error", "no end"],
)
def test_what_is_no_verdict_is_none(scheme: str, talk: Talk) -> None:
    with pytest.raises(Unscanned):
        verdict_of(scheme, talk)


@pytest.mark.parametrize("scheme", ["clamd", "icap"])
@pytest.mark.parametrize("talk", [says_nothing, reads_nothing])
def test_a_scanner_that_is_too_slow_gives_no_verdict(scheme: str, talk: Talk) -> None:
    with pytest.raises(Unscanned, match="too long"):
        verdict_of(scheme, talk, CLEAN_FILE * 10, seconds=0.2)


def test_a_file_that_is_too_large_for_clamd_has_no_verdict() -> None:
    with pytest.raises(Unscanned):
        verdict_of("clamd", servers.Clamd(largest=1000).talk, CLEAN_FILE * 20)


@pytest.mark.parametrize("text", ["clamd:/no/such/socket", "clamd://127.0.0.1:1"])
def test_where_nobody_listens_there_is_no_verdict(text: str) -> None:
    with pytest.raises(Unscanned, match="no connection"):
        asyncio.run(Clamd(Address.parse(text), seconds=1).scan(pieces(b"x"), 1))


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("clamd:/run/clamav/clamd.ctl", Address(protocol="clamd", path="/run/clamav/clamd.ctl")),
        ("clamd://127.0.0.1:3310", Address(protocol="clamd", host="127.0.0.1", port=3310)),
        ("icap://[::1]:1345/a/b", Address(protocol="icap", host="::1", port=1345, service="a/b")),
        ("icap://scan.example/avscan", Address(protocol="icap", host="scan.example", port=1344, service="avscan")),
    ],
)
def test_an_address_is_read(text: str, address: Address) -> None:
    assert Address.parse(text) == address


@pytest.mark.parametrize(
    "text",
    ["clamd", "clamd:", "clamd:relative", "clamd://host", "clamd://host:0", "clamd://host:99999", "icap://host:1344",
     "icap://host:1344/a b", "icap://a\r\nb:1/c", "http://host:1/x"],
)  # fmt: skip
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Address.parse(text)
