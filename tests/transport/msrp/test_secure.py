import hashlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from joyn.protocol.msrp import MsrpUri
from joyn.transport.msrp import MsrpEndpoint, MsrpListener
from joyn.transport.msrp.endpoint import matches
from joyn.transport.tls import client_context, fingerprint_of, issue_certificate, make_development_ca, server_context
from transport.msrp.ends import Recorder, make_endpoint, on_both_loops


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("tls")
    make_development_ca(directory)
    issue_certificate(directory, ["127.0.0.1"])
    return directory


@asynccontextmanager
async def both_ends(certificates: Path) -> AsyncIterator[tuple[MsrpEndpoint, MsrpEndpoint]]:
    server, phone = make_endpoint(prefix="server"), make_endpoint(prefix="phone", max_connections=1)
    context = server_context(certificates / "server.pem", certificates / "server-key.pem")
    await server.listen(MsrpListener(name="msrps", transport="TLS", host="127.0.0.1", port=0, tls=context))
    yield server, phone
    await phone.close()
    await server.close()


@on_both_loops
async def test_a_fingerprint_vouches_for_a_certificate_nobody_signed_for_us(certificates: Path) -> None:
    async with both_ends(certificates) as (server, phone):
        handler = Recorder()
        passive, active = server.session(handler, tls=True), phone.session(Recorder(), tls=True)
        assert MsrpUri.parse(passive.local_path).secure
        passive.expect(active.local_path)
        await active.connect(passive.local_path, fingerprint=("SHA-256", fingerprint_of(certificates / "server.pem")))
        assert await active.send("m1", "text/plain", b"hello") == 200
        assert handler.messages[0].body == b"hello"


@on_both_loops
async def test_another_fingerprint_ends_the_connection_before_a_word_is_said(certificates: Path) -> None:
    async with both_ends(certificates) as (server, phone):
        passive, active = server.session(Recorder(), tls=True), phone.session(Recorder(), tls=True)
        passive.expect(active.local_path)
        with pytest.raises(ConnectionError, match="announced"):
            await active.connect(passive.local_path, fingerprint=("SHA-256", ":".join(["00"] * 32)))
        assert not passive.bound
        # That connection counts no more.
        await active.connect(passive.local_path, fingerprint=("SHA-256", fingerprint_of(certificates / "server.pem")))


@on_both_loops
async def test_an_authority_vouches_where_there_is_no_fingerprint(certificates: Path) -> None:
    async with both_ends(certificates) as (server, phone):
        passive, active = server.session(Recorder(), tls=True), phone.session(Recorder(), tls=True)
        passive.expect(active.local_path)
        await active.connect(passive.local_path, ssl=client_context(certificates / "ca.pem"))
        assert await active.send("m1", "text/plain", b"hello") == 200


@on_both_loops
async def test_a_certificate_of_an_unknown_authority_is_refused(certificates: Path) -> None:
    async with both_ends(certificates) as (server, phone):
        passive, active = server.session(Recorder(), tls=True), phone.session(Recorder(), tls=True)
        with pytest.raises(ssl.SSLError):
            await active.connect(passive.local_path, ssl=ssl.create_default_context(cadata=None, cafile=None))


@on_both_loops
async def test_msrps_with_nothing_to_vouch_for_it_is_not_even_tried(certificates: Path) -> None:
    async with both_ends(certificates) as (server, phone):
        passive, active = server.session(Recorder(), tls=True), phone.session(Recorder(), tls=True)
        with pytest.raises(ConnectionError, match="fingerprint"):
            await active.connect(passive.local_path)


CERTIFICATE = b"not really DER"


@pytest.mark.parametrize(
    ("function", "value", "expected"),
    [
        ("sha-1", hashlib.sha1(CERTIFICATE).hexdigest(), True),
        ("SHA-1", hashlib.sha1(CERTIFICATE).digest().hex(":").upper(), True),
        ("SHA-256", hashlib.sha256(CERTIFICATE).digest().hex(":").upper(), True),
        ("SHA-256", hashlib.sha1(CERTIFICATE).digest().hex(":").upper(), False),
        ("SHA-256", hashlib.sha256(CERTIFICATE + b"!").digest().hex(":"), False),
        ("SHA-256", "", False),
        ("SHA-256", "é", False),
        ("MD5", hashlib.md5(CERTIFICATE).hexdigest(), False),
    ],
)
def test_fingerprints(function: str, value: str, expected: bool) -> None:
    assert matches((function, value), CERTIFICATE) is expected


def test_no_certificate_has_no_fingerprint() -> None:
    assert not matches(("SHA-1", hashlib.sha1(b"").hexdigest()), None)
