import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

import joyn
from joyn.model import peer_file
from joyn.model.peer import Peer, PeerAddress, PeerCertificate
from joyn.model.peer_file import PeerFileError, certificate_of, check_code, parse, written

NOON = 1_800_000_000.0
BOTH = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)


def make_pem(key=None, usages=BOTH) -> str:
    key = key or ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "orange.example")])
    noon = datetime.fromtimestamp(NOON, UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(noon)
        .not_valid_after(noon + timedelta(days=397))
    )
    if usages:
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


PEM, NEXT = make_pem(), make_pem()


def make_peer(**fields) -> Peer:
    return Peer(
        **{
            "domain": "orange.example",
            "name": "Orange",
            "addresses": (PeerAddress(host="sip.orange.example", port=5062), PeerAddress(host="2001:db8::1", port=1)),
            "ranges": ("+3360", "+33639"),
            "files": "https://files.orange.example:8444",
            "certificates": (certificate_of(PEM),),
        }
        | fields
    )


def text_with(**values: str) -> str:
    """A file by hand: `values` are TOML, in the place of what a good file says; None leaves a key out."""
    good = {"format": "1", "domain": '"orange.example"', "certificates": f"['''{PEM}''']"}
    return "\n".join(f"{key} = {value}" for key, value in (good | values).items() if value is not None)


def error_of(text: str, **options) -> PeerFileError:
    with pytest.raises(PeerFileError) as caught:
        parse(text, **options)
    return caught.value


@pytest.mark.parametrize(
    "peer",
    [
        make_peer(),
        make_peer(certificates=(certificate_of(PEM), certificate_of(NEXT)), transit=("sfr.example", "free.example")),
        make_peer(addresses=(), ranges=(), files="", name='A "quoted" name \\ \u0131'),
        make_peer(files="http://[2001:db8::1]:8081"),
        make_peer(files="https://files.orange.example"),
    ],
)
def test_what_is_written_is_read_back(peer: Peer) -> None:
    read = parse(written(peer, NOON + 0.5))
    assert (read.peer, read.made_at) == (peer, NOON)


def test_what_is_ours_about_a_peer_is_not_in_its_file() -> None:
    ours = make_peer(paused=True, rate=5, keep_for=60.0, file_policy="direct", changed_at=NOON)
    assert written(ours) == written(make_peer())
    assert parse(written(ours)).peer == make_peer()


def test_a_file_by_hand_needs_a_domain_and_a_certificate_alone() -> None:
    peer = parse(text_with(domain='"ORANGE.example"')).peer
    assert (peer.domain, peer.name, peer.addresses, peer.ranges) == ("orange.example", "orange.example", (), ())
    assert peer.certificates == (certificate_of(PEM),)


def test_a_certificate_from_elsewhere_without_usages_is_taken() -> None:
    assert certificate_of(make_pem(usages=None)).not_before == NOON
    assert certificate_of(make_pem(rsa.generate_private_key(65537, 2048))).not_after == NOON + 397 * 86400


def test_the_fingerprint_is_what_openssl_prints() -> None:
    read = x509.load_pem_x509_certificate(PEM.encode())
    assert certificate_of(PEM).fingerprint == read.fingerprint(hashes.SHA256()).hex()


def test_the_code_is_the_same_however_the_file_is_written_and_another_for_any_other_file() -> None:
    peer = make_peer()
    code = check_code(peer)
    assert re.fullmatch("([0-9A-F]{4} ){7}[0-9A-F]{4}", code)
    by_hand = written(peer, NOON).replace(PEM.strip(), "\r\n  ".join(PEM.strip().splitlines())).replace("# ", "#\t")
    assert check_code(parse(by_hand).peer) == code
    others = [
        {"domain": "orange.examp1e"},
        {"name": "orange"},
        {"addresses": ()},
        {"ranges": ("+336",)},
        {"files": ""},
        {"transit": ("sfr.example",)},
        {"certificates": (certificate_of(NEXT),)},
    ]
    assert len({code, *(check_code(replace(peer, **other)) for other in others)}) == len(others) + 1


@pytest.mark.parametrize(
    ("values", "key", "said"),
    [
        ({"format": "2"}, "format", "is 2, and this joyn reads 1"),
        ({"format": "true"}, "format", "is true"),
        ({"format": None}, "format", "is null"),
        ({"format": "2", "borders": "[]"}, "format", "is 2"),
        ({"border": "1"}, "border", "there is no such key; known are format, domain"),
        ({"rate": "5"}, "rate", "there is no such key"),
        ({"domain": None}, "domain", "is missing"),
        ({"domain": "1"}, "domain", "shall be a text"),
        ({"domain": '"orange"'}, "domain", "no domain name"),
        ({"domain": '"192.0.2.1"'}, "domain", "no domain name"),
        ({"domain": '"orange..example"'}, "domain", "no domain name"),
        ({"domain": '"-orange.example"'}, "domain", "no domain name"),
        ({"domain": '"orange.example\\n"'}, "domain", "no domain name"),
        ({"domain": '"peer:orange.example"'}, "domain", "no domain name"),
        ({"domain": f'"{"a" * 64}.example"'}, "domain", "no domain name"),
        ({"domain": f'"{"a." * 126}example"'}, "domain", "no domain name"),
        ({"domain": '"sfr.example"'}, "domain", "is this operator's own"),
        ({"domain": '"SFR.example"'}, "domain", "is this operator's own"),
        ({"name": '""'}, "name", "printable"),
        ({"name": f'"{"n" * 61}"'}, "name", "1 to 60"),
        ({"name": '"Or\\u001b[2Jange"'}, "name", "printable"),
        ({"made_at": '"yesterday"'}, "made_at", "a date and time"),
        ({"made_at": "2027-03-01T12:00:00"}, "made_at", "with its zone"),
        ({"addresses": '"sip.orange.example:5062"'}, "addresses", "shall be a list"),
        ({"addresses": '["sip.orange.example"]'}, "addresses[0]", "shall be host:port"),
        ({"addresses": '["a.example:1", "a.example:0"]'}, "addresses[1]", "shall be host:port"),
        ({"addresses": '["a.example:65536"]'}, "addresses[0]", "shall be host:port"),
        ({"addresses": '["a.example:٥"]'}, "addresses[0]", "shall be host:port"),
        ({"addresses": '["sip:a.example:5062"]'}, "addresses[0]", "no host"),
        ({"addresses": '["2001:db8::1:5062"]'}, "addresses[0]", "IPv6 stands in brackets"),
        ({"addresses": '["[192.0.2.1]:5062"]'}, "addresses[0]", "no host"),
        ({"addresses": '["0.0.0.0:5062"]'}, "addresses[0]", "no host"),
        ({"addresses": '["224.0.0.1:5062"]'}, "addresses[0]", "no host"),
        ({"addresses": '["a.example:1", "A.example:1"]'}, "addresses", "one thing twice"),
        ({"addresses": str([f"a{n}.example:1" for n in range(17)])}, "addresses", "has 17, and may have 16"),
        ({"ranges": '["0639"]'}, "ranges[0]", "shall be +"),
        ({"ranges": '["+0639"]'}, "ranges[0]", "the first not 0"),
        ({"ranges": '["+33639 98"]'}, "ranges[0]", "digits"),
        ({"ranges": '["+"]'}, "ranges[0]", "digits"),
        ({"ranges": '["+1234567890123456"]'}, "ranges[0]", "up to 15"),
        ({"ranges": '["+٣٣"]'}, "ranges[0]", "digits"),
        ({"ranges": "[33639]"}, "ranges[0]", "shall be a text"),
        ({"ranges": str([f"+1{n:05}" for n in range(1001)])}, "ranges", "may have 1000"),
        ({"files": '"files.orange.example"'}, "files", "scheme, host and port"),
        ({"files": '"https://files.orange.example/"'}, "files", "scheme, host and port"),
        ({"files": '"https://user@files.orange.example"'}, "files", "scheme, host and port"),
        ({"files": '"file://files.orange.example"'}, "files", "scheme, host and port"),
        ({"files": '"https://files.orange.example:99999"'}, "files", "scheme, host and port"),
        ({"files": '"https://0.0.0.0"'}, "files", "no host"),
        ({"transit": '["sfr.example"]'}, "transit[0]", "sfr.example is this operator"),
        ({"transit": '["free.example", "orange.example"]'}, "transit[1]", "the peer itself"),
        ({"transit": str([f"a{n}.example" for n in range(201)])}, "transit", "may have 200"),
        ({"certificates": None}, "certificates", "is missing"),
        ({"certificates": "[]"}, "certificates", "is missing"),
        ({"certificates": f"'''{PEM}'''"}, "certificates", "shall be a list"),
        ({"certificates": '["orange.pem"]'}, "certificates[0]", "no certificate in PEM"),
        ({"certificates": f"['''{PEM}{NEXT}''']"}, "certificates[0]", "no certificate in PEM, alone"),
        ({"certificates": f"['''{PEM}''', '''\n{PEM}''']"}, "certificates", "one thing twice"),
        ({"certificates": f"['''{PEM[:200]}{PEM[210:]}''']"}, "certificates[0]", "cannot be read"),
        ({"certificates": f"['''{PEM.replace(chr(10), ' ' * 900)}''']"}, "certificates[0]", "no certificate in PEM"),
        ({"certificates": str([PEM] * 5)}, "certificates", "has 5, and may have 4"),
    ],
)
def test_an_error_names_the_key_and_says_why(values: dict[str, str], key: str, said: str) -> None:
    error = error_of(text_with(**values), own=("sfr.example", "SFR.net"))
    assert error.key == key
    assert said in error.what


@pytest.mark.parametrize(
    ("pem", "said"),
    [
        (make_pem(usages=BOTH[:1]), "both server and client"),
        (make_pem(usages=(ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,)), "both server and client"),
        (make_pem(rsa.generate_private_key(65537, 1024)), "1024 bits, and 2048"),
        (make_pem(dsa.generate_private_key(2048)), "neither RSA nor"),
    ],
)
def test_a_certificate_that_a_peer_could_not_use_is_refused_when_the_file_comes(pem: str, said: str) -> None:
    error = error_of(text_with(certificates=f"['''{pem}''']"))
    assert (error.key, said in error.what) == ("certificates[0]", True)


def test_a_private_key_in_the_file_is_told_at_once() -> None:
    key = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    assert "has a private key in it" in error_of(text_with(certificates=f"['''{key.decode()}{PEM}''']")).what


def test_the_size_is_bounded_and_what_is_no_toml_is_told_with_its_line() -> None:
    assert f"longer than {peer_file.MAX_FILE}" in error_of("#" * (peer_file.MAX_FILE + 1)).what
    assert "line 1" in error_of("format 1").what
    assert "is not TOML" in error_of("format = " + "[" * 20_000).what
    assert "is not TOML" in error_of("format = " + "9" * 20_000).what


def test_the_largest_file_that_is_allowed_is_read() -> None:
    ranges = tuple(f"+1{number:06}" for number in range(peer_file.MAX_RANGES))
    certificates = tuple(certificate_of(make_pem()) for _ in range(peer_file.MAX_CERTIFICATES))
    peer = make_peer(ranges=ranges, certificates=certificates)
    assert parse(written(peer)).peer == peer


def test_the_documentation_has_every_key_for_who_writes_a_file_by_hand() -> None:
    page = (Path(joyn.__file__).parents[2] / "docs" / "howto" / "interconnect-operators.md").read_text("utf-8")
    example = page.partition("## A peer without joyn")[2].partition("```toml\n")[2].partition("```")[0]
    pem = example.partition("'''")[2].partition("'''")[0]
    peer = parse(example.replace(pem, PEM)).peer
    assert peer.domain == "hub.example"
    assert set(re.findall(r"^(\w+) = ", example, re.MULTILINE)) == {"format", *peer_file._KEYS}


@settings(max_examples=200)
@given(st.text(max_size=80))
def test_any_text_is_read_or_refused(text: str) -> None:
    for whole in (text, text_with(name=text), text_with(addresses=f"['''{text}:1''']"), text_with(files=f'"{text}"')):
        try:
            parse(whole)
        except PeerFileError:
            continue


DER = x509.load_pem_x509_certificate(PEM.encode()).public_bytes(serialization.Encoding.DER)


@pytest.mark.filterwarnings("ignore:Parsed a serial number")  # the library's word about such bytes
@settings(max_examples=300)
@given(st.lists(st.tuples(st.integers(0, len(DER) - 1), st.integers(0, 255)), min_size=1, max_size=6))
def test_a_certificate_with_any_bytes_changed_is_read_or_refused(changes: list[tuple[int, int]]) -> None:
    import base64

    der = bytearray(DER)
    for place, value in changes:
        der[place] = value
    pem = f"-----BEGIN CERTIFICATE-----\n{base64.b64encode(der).decode()}\n-----END CERTIFICATE-----\n"
    try:
        assert isinstance(certificate_of(pem), PeerCertificate)
    except ValueError:
        pass
