"""ClamAV's daemon, and c-icap in front of it, with one signature: that of the EICAR test file."""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from interop.client import running
from interop.conftest import which
from joyn.transport.scanning import CLEAN, PIECE, Scanner
from joyn.transport.scanning.address import Address
from joyn.transport.scanning.clamd import Clamd
from joyn.transport.scanning.icap import Icap
from ports import free_port
from transport.scanning.servers import EICAR
from waiting import until

pytestmark = pytest.mark.interop
SIGNATURE = b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!"
CLEAN_FILE = os.urandom(3_000_000)


@pytest.fixture(scope="module")
def clamd(tools: None) -> Iterator[Path]:
    """The socket of the daemon. Its path is short, as unix sockets want."""
    with tempfile.TemporaryDirectory(prefix="joyn-clamd-") as name:
        place = Path(name)
        (place / "signatures").mkdir()
        (place / "signatures/test.ndb").write_text(f"Joyn.Test.Eicar:0:*:{SIGNATURE.hex()}\n")
        (place / "clamd.conf").write_text(
            f"DatabaseDirectory {place}/signatures\nLocalSocket {place}/clamd.ctl\nTemporaryDirectory {place}\n"
            "Foreground yes\n"
        )
        with running([str(which("clamd")), "-c", str(place / "clamd.conf")], place):
            asyncio.run(until((place / "clamd.ctl").exists, within=20))
            yield place / "clamd.ctl"


@pytest.fixture(scope="module")
def icap(clamd: Path) -> Iterator[int]:
    """The port of a c-icap that asks it."""
    place, port = clamd.parent / "icap", free_port()
    place.mkdir()
    (modules,) = Path("/usr/lib").glob("*/c_icap")
    (place / "c-icap.conf").write_text(
        f"PidFile {place}/pid\nCommandsSocket {place}/ctl\nPort 127.0.0.1:{port}\nTmpDir {place}\nServerName joyn\n"
        f"ModulesDir {modules}\nServicesDir {modules}\nTemplateDir /usr/share/c_icap/templates/\n"
        f"LoadMagicFile /etc/c-icap/c-icap.magic\nServerLog {place}/server.log\nAccessLog {place}/access.log\n"
        "StartServers 1\nMaxServers 2\nThreadsPerChild 4\nMinSpareThreads 1\nMaxSpareThreads 4\n"
        f"Module common clamd_mod.so\nclamd_mod.ClamdSocket {clamd}\n"
        "Service avscan virus_scan.so\nvirus_scan.DefaultEngine clamd\nvirus_scan.Allow204Responces on\n"
        "virus_scan.ScanFileTypes TEXT DATA EXECUTABLE ARCHIVE GIF JPEG MSOFFICE\nvirus_scan.MaxObjectSize 200M\n"
    )
    with running([str(which("c-icap")), "-N", "-D", "-f", str(place / "c-icap.conf")], place) as client:
        asyncio.run(until(lambda: _listens(port), within=20))
        yield port
        client.finish()


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


async def pieces(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), PIECE):
        yield data[start : start + PIECE]


def verdict_of(scanner: Scanner, data: bytes) -> str:
    async def ask() -> str:
        return await scanner.scan(pieces(data), len(data))

    return asyncio.run(ask())


def test_clamd_finds_what_it_knows_and_nothing_else(clamd: Path) -> None:
    scanner = Clamd(Address.parse(f"clamd:{clamd}"), seconds=30)
    assert verdict_of(scanner, CLEAN_FILE) == CLEAN
    assert "Joyn.Test.Eicar" in verdict_of(scanner, EICAR)
    assert "Joyn.Test.Eicar" in verdict_of(scanner, bytes(PIECE - 10) + EICAR)


def test_c_icap_finds_what_it_knows_and_nothing_else(icap: int) -> None:
    scanner = Icap(Address.parse(f"icap://127.0.0.1:{icap}/avscan"), seconds=30)
    assert verdict_of(scanner, CLEAN_FILE) == CLEAN
    assert "Joyn.Test.Eicar" in verdict_of(scanner, EICAR)
