"""TLS contexts from files, and a development CA for a node that has no certificate yet.

Spec: RFC 5922 (a SIP server's certificate names its domain), RFC 8996 (nothing below TLS 1.2).
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

# cryptography is imported where it is used: a running node only reads files, and OpenSSL does that itself.

CA_DAYS: Final = 3650
"""How long the development CA is good for."""
DEVELOPMENT_CA: Final = "joyn development CA"
"""What it is called."""
CERTIFICATE_DAYS: Final = 397
"""How long a development certificate is: the most that Apple's and Google's clients accept."""
_SKEW: Final = timedelta(hours=1)
"""Phones whose clock is a little behind shall accept a certificate made just now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateFiles:
    """Where a certificate and its private key lie, both PEM."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateFacts:
    """What an operator wants to know of a certificate: DNS names and IP addresses, from when until when, and whether it
    is of a development CA, which nobody else trusts."""

    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    for_development: bool


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """A server's context, TLS 1.2 and later. Raises OSError or ssl.SSLError, with the file in the message."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load(context, certificate, key)
    return context


def client_context(trusted: Path | None = None, identity: CertificateFiles | None = None) -> ssl.SSLContext:
    """A client's context that checks the server's name, TLS 1.2 and later.

    `trusted` is a PEM file of the only CAs to believe (None: the system's); `identity` is shown to a server that asks.
    Raises OSError or ssl.SSLError, with the file in the message.
    """
    if trusted is not None and not trusted.is_file():
        raise FileNotFoundError(f"{trusted}: there is no such file")
    try:
        context = ssl.create_default_context(cafile=None if trusted is None else str(trusted))
    except ssl.SSLError as error:
        raise ssl.SSLError(f"{trusted}: holds no certificate ({error.reason})") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if identity is not None:
        _load(context, identity.certificate, identity.key)
    return context


def make_development_ca(directory: Path) -> CertificateFiles:
    """Write `ca.pem` and `ca-key.pem`, unless both are there. For development: the key lies there in clear."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509.oid import NameOID

    files = CertificateFiles(certificate=directory / "ca.pem", key=directory / "ca-key.pem")
    if files.certificate.exists() and files.key.exists():
        return files
    key = new_key()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, DEVELOPMENT_CA)])
    certificate = (
        certificate_builder(name, name, key.public_key(), *_dates(CA_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(key_usage(ca=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    _write(files, [certificate], key)
    return files


def issue_certificate(directory: Path, names: Sequence[str]) -> CertificateFiles:
    """Write `server.pem` (with its chain) and `server-key.pem` for these DNS names and IP addresses, by the CA there.

    Replaces what was there. Raises FileNotFoundError without `make_development_ca`, ValueError without names.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    if not names:
        raise ValueError("a certificate needs a name")
    ca = x509.load_pem_x509_certificate((directory / "ca.pem").read_bytes())
    ca_key = serialization.load_pem_private_key((directory / "ca-key.pem").read_bytes(), None)
    if not isinstance(ca_key, ec.EllipticCurvePrivateKey):
        raise ValueError(f"{directory / 'ca-key.pem'}: is not a key that joyn made")  # noqa: TRY004 - a file, no argument
    key = new_key()
    # RFC 5280 limits a common name to 64 characters; clients read the alternative names.
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
    certificate = (
        certificate_builder(subject, ca.subject, key.public_key(), *_dates(CERTIFICATE_DAYS))
        .add_extension(x509.SubjectAlternativeName([general_name(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(key_usage(ca=False), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    files = CertificateFiles(certificate=directory / "server.pem", key=directory / "server-key.pem")
    _write(files, [certificate, ca], key)
    return files


_END = "-----END CERTIFICATE-----\n"


def fingerprint_of(certificate: Path) -> str:
    """SHA-256 of the first certificate of a PEM file, as `a=fingerprint` writes it (RFC 4572 §5). Raises OSError."""
    der = ssl.PEM_cert_to_DER_cert(certificate.read_text().partition("-----END CERTIFICATE-----")[0] + _END)
    return hashlib.sha256(der).digest().hex(":").upper()


def facts_of(certificate: Path) -> CertificateFacts:
    """What the first certificate of a PEM file says. Raises OSError or ValueError, with the file in the message."""
    from cryptography import x509

    try:
        read = x509.load_pem_x509_certificate(certificate.read_bytes())
    except ValueError:
        raise ValueError(f"{certificate}: holds no certificate") from None
    try:
        alternative = read.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        names = []
    else:
        names = [
            *alternative.get_values_for_type(x509.DNSName),
            *(str(address) for address in alternative.get_values_for_type(x509.IPAddress)),
        ]
    return CertificateFacts(
        names=tuple(names),
        not_before=read.not_valid_before_utc,
        not_after=read.not_valid_after_utc,
        for_development=read.issuer.rfc4514_string() == f"CN={DEVELOPMENT_CA}",
    )


def _load(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    for path in (certificate, key):
        if not path.is_file():
            raise FileNotFoundError(f"{path}: there is no such file")
    try:
        context.load_cert_chain(certificate, key)
    except ssl.SSLError as error:
        raise ssl.SSLError(f"{certificate} with {key}: {error.reason or 'not PEM, or not of each other'}") from None


def new_key() -> ec.EllipticCurvePrivateKey:
    """A P-256 key."""
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.generate_private_key(ec.SECP256R1())


def _dates(days: int) -> tuple[datetime, datetime]:
    begin = datetime.now(UTC) - _SKEW
    return begin, begin + timedelta(days=days)


def certificate_builder(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    not_before: datetime,
    not_after: datetime,
) -> x509.CertificateBuilder:
    """What every certificate begins with."""
    from cryptography import x509

    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before)
        .not_valid_after(not_after)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def key_usage(*, ca: bool) -> x509.KeyUsage:
    """What the key of a CA, or of a server and client, may be used for."""
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=not ca,
        key_cert_sign=ca,
        crl_sign=ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def general_name(name: str) -> x509.GeneralName:
    """A DNS name or an IP address as an alternative name."""
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(name.strip("[]")))
    except ValueError:
        return x509.DNSName(name)


def _write(files: CertificateFiles, chain: Sequence[x509.Certificate], key: ec.EllipticCurvePrivateKey) -> None:
    from cryptography.hazmat.primitives import serialization

    files.key.parent.mkdir(parents=True, exist_ok=True)
    clear = serialization.NoEncryption()
    _write_private(files.key, key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, clear))
    files.certificate.write_bytes(b"".join(one.public_bytes(serialization.Encoding.PEM) for one in chain))


def _write_private(path: Path, data: bytes) -> None:
    """Never readable by others, not even between creating and restricting."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
