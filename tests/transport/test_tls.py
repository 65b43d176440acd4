import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from joyn.transport.tls import client_context, facts_of, issue_certificate, make_development_ca, server_context

NAMES = ("joyn.localhost", "127.0.0.1", "::1")


@pytest.fixture(scope="module")
def issued(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("tls")
    make_development_ca(directory)
    issue_certificate(directory, NAMES)
    return directory


def shake_hands(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> str:
    """Join both ends by memory; the TLS version they agree on."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname=name),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    waiting = list(ends)
    for _ in range(10):
        for end in list(waiting):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            waiting.remove(end)
        if not waiting:
            return str(ends[0].version())
    raise AssertionError("the handshake does not end")


@pytest.mark.parametrize("name", NAMES)
def test_a_client_that_trusts_the_development_ca_accepts_each_name(issued: Path, name: str) -> None:
    server = server_context(issued / "server.pem", issued / "server-key.pem")
    assert shake_hands(server, client_context(issued / "ca.pem"), name) == "TLSv1.3"


def test_a_client_refuses_another_name(issued: Path) -> None:
    server = server_context(issued / "server.pem", issued / "server-key.pem")
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        shake_hands(server, client_context(issued / "ca.pem"), "other.example")


def test_a_client_that_trusts_the_system_refuses_the_development_ca(issued: Path) -> None:
    server = server_context(issued / "server.pem", issued / "server-key.pem")
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(server, client_context(), NAMES[0])


def test_a_client_that_stops_at_tls_1_2_is_served_and_one_that_stops_at_1_1_is_not(issued: Path) -> None:
    server = server_context(issued / "server.pem", issued / "server-key.pem")
    client = client_context(issued / "ca.pem")
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    assert shake_hands(server, client, NAMES[0]) == "TLSv1.2"
    assert server.minimum_version == ssl.TLSVersion.TLSv1_2


def test_keys_are_readable_by_their_owner_only(issued: Path) -> None:
    for name in ("ca-key.pem", "server-key.pem"):
        assert stat.S_IMODE((issued / name).stat().st_mode) == 0o600


def test_a_second_call_keeps_the_ca_that_devices_already_trust(issued: Path) -> None:
    before = (issued / "ca.pem").read_bytes()
    make_development_ca(issued)
    assert (issued / "ca.pem").read_bytes() == before


def test_facts_tell_names_and_dates(issued: Path) -> None:
    facts = facts_of(issued / "server.pem")
    assert set(facts.names) == set(NAMES)
    now = datetime.now(UTC)
    assert facts.not_before < now < facts.not_after < now + timedelta(days=398)


def test_errors_name_the_file(issued: Path, tmp_path: Path) -> None:
    missing, empty = tmp_path / "none.pem", tmp_path / "empty.pem"
    empty.write_text("nothing here")
    with pytest.raises(FileNotFoundError, match=r"none\.pem"):
        server_context(missing, issued / "server-key.pem")
    with pytest.raises(ssl.SSLError, match=r"empty\.pem"):
        server_context(empty, empty)
    with pytest.raises(ssl.SSLError, match=r"ca-key\.pem"):
        server_context(issued / "server.pem", issued / "ca-key.pem")
    with pytest.raises(ssl.SSLError, match=r"empty\.pem"):
        client_context(empty)
    with pytest.raises(FileNotFoundError, match=r"none\.pem"):
        client_context(missing)
    with pytest.raises(ValueError, match=r"empty\.pem"):
        facts_of(empty)
    with pytest.raises(ValueError, match="needs a name"):
        issue_certificate(issued, ())
