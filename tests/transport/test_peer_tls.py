import asyncio
import contextlib
import socket
import ssl
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from joyn.model.peer import Peer
from joyn.transport import peer_tls
from joyn.transport.peer_tls import (
    PeerTrust,
    ensure_identity,
    fingerprint_of_connection,
    rotate,
    switch,
)
from joyn.transport.tls import new_key
from transport.operators import DAY, HOUR, Border, certificate_in, listening, peer_from, place_certificate, said_to
from transport.test_tls import shake_hands

ORANGE, SFR = "orange.example", "sfr.example"


class Operator:
    """One operator: its directory, and whom it trusts. The clock is the machine's, unless a test moves it."""

    def __init__(self, directory: Path, domain: str) -> None:
        self.domain, self.directory, self.ahead = domain, directory / domain, 0.0

    def wall(self) -> float:
        return time.time() + self.ahead

    def peer(self) -> Peer:
        ensure_identity(self.directory, self.domain, now=time.time())
        return peer_from(self.directory, self.domain)

    def trust(self, *peers: Peer) -> PeerTrust:
        return PeerTrust(ensure_identity(self.directory, self.domain, now=time.time()), peers, wall=self.wall)


@pytest.fixture
def orange(tmp_path: Path) -> Operator:
    return Operator(tmp_path, ORANGE)


@pytest.fixture
def sfr(tmp_path: Path) -> Operator:
    return Operator(tmp_path, SFR)


def met(trust: PeerTrust, *contexts: ssl.SSLContext) -> list[str]:
    """What the border said to each that connected, one after the other."""

    async def play() -> list[str]:
        async with listening(trust) as border:
            return [await said_to(context, border) for context in contexts]

    return asyncio.run(play())


# Two operators.


def test_who_has_exchanged_certificates_meets_and_knows_the_other(orange: Operator, sfr: Operator) -> None:
    trust = sfr.trust(orange.peer())
    assert met(trust, orange.trust(sfr.peer()).link(SFR)) == [ORANGE]


def test_the_client_s_side_knows_whom_it_has_reached(orange: Operator, sfr: Operator) -> None:
    ours = orange.trust(sfr.peer())

    async def play() -> str | None:
        async with listening(sfr.trust(orange.peer())) as border:
            _, writer = await asyncio.open_connection("127.0.0.1", border.port, ssl=ours.link(SFR))
            tls = writer.get_extra_info("ssl_object")
            assert fingerprint_of_connection(tls) == sfr.peer().certificates[0].fingerprint
            writer.close()
            return ours.peer_of(tls)

    assert asyncio.run(play()) == SFR


def test_tls_1_2_is_taken_and_1_1_is_not(orange: Operator, sfr: Operator) -> None:
    ours = orange.trust(sfr.peer())
    link = ours.link(SFR)
    link.maximum_version = ssl.TLSVersion.TLSv1_2
    assert met(sfr.trust(orange.peer()), link) == [ORANGE]
    old = peer_tls.link_context(ours.identity, sfr.peer())
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError, match="UNSUPPORTED_PROTOCOL"):
        shake_hands(sfr.trust(orange.peer()).border, old, SFR)


def test_a_certificate_that_was_not_exchanged_is_refused(orange: Operator, sfr: Operator, tmp_path: Path) -> None:
    stranger = Operator(tmp_path / "elsewhere", ORANGE)
    trust = sfr.trust(orange.peer())
    assert met(trust, stranger.trust(sfr.peer()).link(SFR), orange.trust(sfr.peer()).link(SFR)) == ["", ORANGE]


def test_who_shows_no_certificate_is_refused(orange: Operator, sfr: Operator) -> None:
    bare = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    bare.check_hostname, bare.verify_mode = False, ssl.CERT_NONE
    assert met(sfr.trust(orange.peer()), bare) == [""]


def test_a_server_that_shows_another_certificate_is_refused(orange: Operator, sfr: Operator, tmp_path: Path) -> None:
    impostor = Operator(tmp_path / "elsewhere", SFR)
    with pytest.raises(ssl.SSLCertVerificationError):
        met(impostor.trust(orange.peer()), orange.trust(sfr.peer()).link(SFR))


def test_an_expired_certificate_is_refused_on_either_side(orange: Operator, sfr: Operator) -> None:
    now = time.time()
    place_certificate(orange.directory, ORANGE, not_before=now - 9 * DAY, not_after=now - 60)
    assert met(sfr.trust(orange.peer()), orange.trust(sfr.peer()).link(SFR)) == [""]
    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        met(orange.trust(sfr.peer()), sfr.trust(orange.peer()).link(ORANGE))


def test_a_certificate_from_a_clock_an_hour_ahead_is_taken_for_the_day_of_slack(
    orange: Operator, sfr: Operator
) -> None:
    ensure_identity(orange.directory, ORANGE, now=time.time() + HOUR)
    assert met(sfr.trust(orange.peer()), orange.trust(sfr.peer()).link(SFR)) == [ORANGE]


def test_a_certificate_whose_time_has_not_come_is_refused(orange: Operator, sfr: Operator) -> None:
    now = time.time()
    place_certificate(orange.directory, ORANGE, not_before=now + HOUR, not_after=now + 9 * DAY)
    assert met(sfr.trust(orange.peer()), orange.trust(sfr.peer()).link(SFR)) == [""]


def test_while_it_is_rotated_the_old_one_and_the_next_are_both_known(orange: Operator, sfr: Operator) -> None:
    old = orange.trust(sfr.peer())
    rotate(orange.directory, ORANGE, now=time.time())
    # SFR gets the file once, before the switch, and needs no other.
    trust = sfr.trust(orange.peer())
    before = old.link(SFR)
    old.update([sfr.peer()], switch(orange.directory))
    assert met(trust, before, old.link(SFR)) == [ORANGE, ORANGE]
    assert old.identity.current != trust._certificates[0][1]


def test_the_next_one_counts_also_when_the_old_one_with_the_same_name_is_over(orange: Operator, sfr: Operator) -> None:
    now = time.time()
    place_certificate(orange.directory, ORANGE, not_before=now - 9 * DAY, not_after=now - 60)
    rotate(orange.directory, ORANGE, now=now)
    known = orange.peer()
    assert len(known.certificates) == 2
    switch(orange.directory)
    for certificates in (known.certificates, known.certificates[::-1]):
        trust = sfr.trust(replace(known, certificates=certificates))
        assert met(trust, orange.trust(sfr.peer()).link(SFR)) == [ORANGE]


def test_a_listener_follows_who_is_added_and_who_is_removed(orange: Operator, sfr: Operator) -> None:
    trust = sfr.trust()
    link = orange.trust(sfr.peer()).link(SFR)

    async def play() -> list[str]:
        async with listening(trust) as border:
            said = [await said_to(link, border)]
            trust.update([orange.peer()])
            said.append(await said_to(link, border))
            trust.update([])
            said.append(await said_to(link, border))
            return said

    assert asyncio.run(play()) == ["", ORANGE, ""]
    with pytest.raises(LookupError):
        trust.link(ORANGE)


def test_an_open_connection_is_with_nobody_once_its_peer_is_removed_or_its_certificate_over(
    orange: Operator, sfr: Operator
) -> None:
    trust = sfr.trust(orange.peer())

    async def play() -> None:
        async with connected(trust, orange.trust(sfr.peer()).link(SFR)) as tls:
            assert trust.peer_of(tls) == ORANGE
            sfr.ahead = 500 * DAY
            assert trust.peer_of(tls) is None
            sfr.ahead = 0.0
            assert trust.peer_of(tls) == ORANGE
            trust.update([])
            assert trust.peer_of(tls) is None

    asyncio.run(play())


def connected(trust: PeerTrust, link: ssl.SSLContext):
    """The border's end of a connection."""

    @contextlib.asynccontextmanager
    async def open_one():
        came: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()
        server = await asyncio.start_server(lambda _, writer: came.put(writer), "127.0.0.1", 0, ssl=trust.border)
        port = server.sockets[0].getsockname()[1]
        _, ours = await asyncio.open_connection("127.0.0.1", port, ssl=link, server_hostname="")
        theirs = await came.get()
        try:
            yield theirs.get_extra_info("ssl_object")
        finally:
            ours.close()
            theirs.close()
            server.close()

    return open_one()


def test_a_removed_peer_cannot_come_back_on_a_session_of_before(orange: Operator, sfr: Operator) -> None:
    """TLS 1.2 resumes by a number that the server remembers: nothing is verified then."""
    trust = sfr.trust(orange.peer())
    link = orange.trust(sfr.peer()).link(SFR)
    link.maximum_version = ssl.TLSVersion.TLSv1_2

    async def play() -> Border:
        async with listening(trust) as border:
            session = await asyncio.to_thread(connect_again, link, border.port, None)
            await asyncio.to_thread(connect_again, link, border.port, session)
            trust.update([])
            await asyncio.to_thread(connect_again, link, border.port, session)
            return border

    border = asyncio.run(play())
    assert border.came[:2] == [ORANGE, ORANGE]
    assert border.came[2:] in ([], [None])


def connect_again(link: ssl.SSLContext, port: int, session: ssl.SSLSession | None) -> ssl.SSLSession | None:
    try:
        with (
            socket.create_connection(("127.0.0.1", port)) as plain,
            link.wrap_socket(plain, session=session) as tls,
        ):
            tls.recv(100)
            return tls.session
    except (ssl.SSLError, OSError):
        return None


def test_what_a_peer_s_certificate_has_issued_is_nobody_s(orange: Operator, sfr: Operator, tmp_path: Path) -> None:
    """A foreign peer may have exchanged a CA's certificate: what that signs ends its handshake, and is not the peer."""
    pem, issued = ca_and_issued(tmp_path)
    known = Peer(domain=ORANGE, name="Orange", certificates=(certificate_in(pem),))
    trust = sfr.trust(known)
    link = orange.trust(sfr.peer()).link(SFR)
    link.load_cert_chain(issued)
    assert met(trust, link) == ["None"]


def test_a_certificate_that_openssl_made_by_default_is_its_peer_s(
    orange: Operator, sfr: Operator, tmp_path: Path
) -> None:
    """`openssl req -x509` says that it is a CA: the certificate itself is exchanged all the same."""
    now = datetime.now(UTC)
    key, name = new_key(), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hub.example")])
    builder = peer_tls.certificate_builder(name, name, key.public_key(), now - timedelta(1), now + timedelta(9))
    made = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True).sign(
        key, hashes.SHA256()
    )
    file = combined(tmp_path, key, made)
    hub = Peer(domain="hub.example", name="Hub", certificates=(certificate_in(file.read_bytes()),))
    link = orange.trust(sfr.peer()).link(SFR)
    link.load_cert_chain(file)
    assert met(sfr.trust(hub), link) == ["hub.example"]


def ca_and_issued(directory: Path) -> tuple[bytes, Path]:
    now = datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, ORANGE)])
    ca_key, key = new_key(), new_key()
    made = []
    for public, is_ca in ((ca_key.public_key(), True), (key.public_key(), False)):
        subject = name if is_ca else x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "issued")])
        builder = peer_tls.certificate_builder(subject, name, public, now - timedelta(1), now + timedelta(9))
        constraints = x509.BasicConstraints(ca=is_ca, path_length=None)
        made.append(builder.add_extension(constraints, critical=True).sign(ca_key, hashes.SHA256()))
    return made[0].public_bytes(serialization.Encoding.PEM), combined(directory, key, made[1])


def combined(directory: Path, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> Path:
    """A key and its certificate in one file, as what connects wants it."""
    pem, clear = serialization.Encoding.PEM, serialization.NoEncryption()
    file = directory / "combined.pem"
    file.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, clear) + certificate.public_bytes(pem))
    return file


def test_what_two_peers_claim_is_nobody_s(orange: Operator, sfr: Operator) -> None:
    known = orange.peer()
    trust = sfr.trust(known, replace(known, domain="hub.example"))
    assert met(trust, orange.trust(sfr.peer()).link(SFR)) == ["None"]


def test_one_peer_s_damaged_certificate_shuts_out_nobody_else(orange: Operator, sfr: Operator) -> None:
    damaged = replace(orange.peer().certificates[0], fingerprint="00" * 32, pem="damaged")
    trust = sfr.trust(Peer(domain="hub.example", name="Hub", certificates=(damaged,)), orange.peer())
    assert met(trust, orange.trust(sfr.peer()).link(SFR)) == [ORANGE]


def test_an_update_that_fails_changes_nothing(orange: Operator, sfr: Operator) -> None:
    trust = sfr.trust(orange.peer())
    elsewhere = replace(trust.identity, directory=sfr.directory / "none")
    with pytest.raises(OSError, match="No such file"):
        trust.update([], elsewhere)
    assert met(trust, orange.trust(sfr.peer()).link(SFR)) == [ORANGE]


@pytest.mark.parametrize(
    "sent",
    [
        b"OPTIONS sip:sfr.example SIP/2.0\r\nMax-Forwards: 70\r\n\r\n",
        b"\r\n\r\n",
        b"\x16\x03\x01\xff\xff" + b"\x00" * 2000,
        b"\x80\x2e\x01\x00\x02",
    ],
)
def test_bytes_without_tls_end_their_connection_and_harm_nobody(orange: Operator, sfr: Operator, sent: bytes) -> None:
    trust = sfr.trust(orange.peer())
    link = orange.trust(sfr.peer()).link(SFR)

    async def play() -> str:
        async with listening(trust) as border:
            reader, writer = await asyncio.open_connection("127.0.0.1", border.port)
            writer.write(sent)
            writer.write_eof()
            answer = await asyncio.wait_for(ended(reader), 5)
            assert b"SIP/2.0" not in answer
            writer.close()
            assert border.came == []
            return await said_to(link, border)

    assert asyncio.run(play()) == ORANGE


async def ended(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read()
    except ConnectionError:
        return b""


def test_the_border_works_on_uvloop_too(orange: Operator, sfr: Operator) -> None:
    uvloop = pytest.importorskip("uvloop")
    trust = sfr.trust()
    link = orange.trust(sfr.peer()).link(SFR)

    async def play() -> list[str]:
        async with listening(trust) as border:
            said = [await said_to(link, border)]
            trust.update([orange.peer()])
            return [*said, await said_to(link, border)]

    assert uvloop.run(play()) == ["", ORANGE]
