"""The file that two operators exchange to become peers: who one is, where, and by which certificates it is recognised.

It is small, has no secret in it, and can be written by hand for an operator whose server is not joyn
(docs/howto/interconnect-operators.md). Whoever gets one compares its code with the other by telephone.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import re
import tomllib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar

from joyn.model.peer import Peer, PeerAddress, PeerCertificate

if TYPE_CHECKING:
    from cryptography import x509

__all__ = ["MAX_FILE", "PeerFile", "PeerFileError", "certificate_of", "check_code", "parse", "written"]

FORMAT: Final = 1
"""The version of the format that this joyn writes, and the only one it reads."""
MAX_FILE: Final = 32 * 1024
"""Characters of a file."""
MAX_NAME: Final = 60
"""Characters of a name."""
MAX_ADDRESSES: Final = 16
MAX_CERTIFICATES: Final = 4
"""Two nodes of a peer's border, each with the next certificate beside its present one."""
MAX_PEM: Final = 8 * 1024
"""Characters of one certificate."""
MAX_RANGES: Final = 1000
MAX_TRANSIT: Final = 200
RSA_BITS: Final = 2048
"""The shortest RSA key that is taken."""
CODE_BYTES: Final = 16
"""Of the code that people compare: a file with the same one cannot be made to order."""

# RFC 1123 §2.1, in the form that DNS carries (an international name as xn--).
_LABEL: Final = r"(?!-)[a-z0-9-]{1,63}(?<!-)"
_DOMAIN: Final = re.compile(rf"(?=.{{3,253}}\Z)(?:{_LABEL}\.)+(?!\d+\Z){_LABEL}")
_HOST: Final = re.compile(rf"(?=.{{1,253}}\Z)(?:{_LABEL}\.)*(?!\d+\Z){_LABEL}")
_PREFIX: Final = re.compile(r"\+[1-9][0-9]{0,14}")
_PEM: Final = re.compile(r"\s*-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----\s*", re.ASCII)
_ORIGIN: Final = re.compile(r"(https?)://(\[[0-9A-Fa-f:.]+\]|[^:/?#@\[\]]+)(?::([0-9]+))?")

T = TypeVar("T")


class PeerFileError(ValueError):
    """The file cannot be used. `key` names the place in it (empty: all of it), `what` says why."""

    def __init__(self, what: str, key: str = "") -> None:
        super().__init__(f"{key}: {what}" if key else what)
        self.what = what
        self.key = key


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerFile:
    """What a file says: the peer, all that is ours about it at its default, and when the file was made (wall-clock
    seconds, 0 when it does not say)."""

    peer: Peer
    made_at: float = 0.0


def written(peer: Peer, made_at: float = 0.0) -> str:
    """The file that says what `peer` says of itself. `parse` reads it back."""
    lines = [
        f"# How other operators reach {_commented(peer.name)}. There is no secret in it.",
        "# Compare its code by telephone before you accept it: `joyn peer accept FILE` shows it.",
        f"format = {FORMAT}",
        f"domain = {_quoted(peer.domain)}",
        f"name = {_quoted(peer.name)}",
    ]
    if made_at:
        lines.append(f"made_at = {datetime.fromtimestamp(int(made_at), UTC):%Y-%m-%dT%H:%M:%SZ}")
    lines += ["", "# Where SIP over mutual TLS is spoken, the one to prefer first. None: DNS tells (RFC 3263)."]
    lines.append(f"addresses = {_listed(map(str, peer.addresses))}")
    lines += ["", "# The numbers that are its own: how they begin.", f"ranges = {_listed(peer.ranges)}"]
    if peer.files:
        lines += ["", "# Where its files are fetched.", f"files = {_quoted(peer.files)}"]
    if peer.transit:
        lines += ["", "# The operators behind it.", f"transit = {_listed(peer.transit)}"]
    lines += ["", "# What it shows who it is with: any of these.", "certificates = ["]
    for certificate in peer.certificates:
        until = datetime.fromtimestamp(certificate.not_after, UTC)
        lines += [f"    # Until {until:%Y-%m-%d}.", f"    '''\n{certificate.pem.strip()}\n''',"]
    return "\n".join([*lines, "]"]) + "\n"


def check_code(peer: Peer) -> str:
    """What two people read to each other to know that nobody changed the file on its way: eight groups of four. It
    stands for all that the file says, and not for how or when it was written."""
    digest = hashlib.sha256(written(peer).encode()).digest()[:CODE_BYTES]
    return digest.hex(" ", 2).upper()


def parse(text: str, *, own: Collection[str] = ()) -> PeerFile:
    """What a file says. `own` are the domains of this operator, which can be no peer's.

    Raises PeerFileError. Whether a certificate is over is not looked at: a file is read at any time.
    """
    if len(text) > MAX_FILE:
        raise PeerFileError(f"is longer than {MAX_FILE} characters")
    if "PRIVATE KEY-----" in text:
        raise PeerFileError("has a private key in it, which is nobody's business: throw it away and rotate that key")
    try:
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise PeerFileError(f"is not TOML: {error}") from None
    # The version first: what a later one means cannot be judged key by key.
    version = table.pop("format", None)
    if type(version) is not int or version != FORMAT:
        raise PeerFileError(f"is {json.dumps(version, default=str)}, and this joyn reads {FORMAT}", "format")
    for key in table:
        if key not in _KEYS:
            raise PeerFileError(f"there is no such key; known are format, {', '.join(_KEYS)}", key)
    values = {key: read(table[key], key) for key, read in _KEYS.items() if key in table}
    for key in ("domain", "certificates"):
        if not values.get(key):
            raise PeerFileError("is missing", key)
    made_at = values.pop("made_at", 0.0)
    peer = Peer(**({"name": values["domain"]} | values))
    _check(peer, {domain.lower() for domain in own})
    return PeerFile(peer=peer, made_at=made_at)


def certificate_of(pem: str) -> PeerCertificate:
    """The one certificate of a PEM text. Raises ValueError when it is none, or one that a peer cannot use."""
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import Encoding

    if len(pem) > MAX_PEM or not _PEM.fullmatch(pem):
        raise ValueError("is no certificate in PEM, alone")
    try:
        read = x509.load_pem_x509_certificate(pem.encode())
        unusable = _unusable(read)
        not_before, not_after = read.not_valid_before_utc.timestamp(), read.not_valid_after_utc.timestamp()
    except (
        ValueError,
        UnsupportedAlgorithm,
        x509.DuplicateExtension,
        x509.InvalidVersion,
        x509.UnsupportedGeneralNameType,
    ) as error:
        raise ValueError(f"cannot be read: {error}") from None
    if unusable:
        raise ValueError(unusable)
    return PeerCertificate(
        fingerprint=hashlib.sha256(read.public_bytes(Encoding.DER)).hexdigest(),
        pem=read.public_bytes(Encoding.PEM).decode(),
        not_before=not_before,
        not_after=not_after,
    )


def _unusable(read: x509.Certificate) -> str:
    """Why a peer cannot use a certificate; empty when it can."""
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    key = read.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size < RSA_BITS:
            return f"has an RSA key of {key.key_size} bits, and {RSA_BITS} are the fewest"
    elif not isinstance(key, ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey):
        return "has a key that is neither RSA nor on an elliptic curve"
    try:
        usage = read.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return ""
    purposes = x509.oid.ExtendedKeyUsageOID
    # Either side opens connections. OpenSSL takes no "any" in their place where it checks a client.
    if purposes.SERVER_AUTH not in usage or purposes.CLIENT_AUTH not in usage:
        return "is not for both server and client (extended key usage), and peers are both"
    return ""


def _check(peer: Peer, own: Collection[str]) -> None:
    """What no key can know alone."""
    if peer.domain in own:
        raise PeerFileError("is this operator's own", "domain")
    for index, domain in enumerate(peer.transit):
        if domain in own or domain == peer.domain:
            whose = "this operator" if domain in own else "the peer itself"
            raise PeerFileError(f"{domain} is {whose}", f"transit[{index}]")


def _text(value: object, key: str) -> str:
    if not isinstance(value, str):
        raise PeerFileError("shall be a text in quotes", key)
    return value


def _name(value: object, key: str) -> str:
    text = _text(value, key).strip()
    if not text or len(text) > MAX_NAME or not text.isprintable():
        raise PeerFileError(f"shall be 1 to {MAX_NAME} printable characters", key)
    return text


def _domain(value: object, key: str) -> str:
    text = _text(value, key).lower()
    if not _DOMAIN.fullmatch(text):
        raise PeerFileError(f"{text[:80]!r} is no domain name, as orange.example", key)
    return text


def _address(value: object, key: str) -> PeerAddress:
    text = _text(value, key)
    host, _, port = text.rpartition(":")
    if not host or not _is_port(port):
        raise PeerFileError(f"{text[:80]!r} shall be host:port, as sip.orange.example:5062 or [2001:db8::1]:5062", key)
    return PeerAddress(host=_host(host, key), port=int(port))


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) <= 0xFFFF


def _host(text: str, key: str) -> str:
    """A host name or an address, IPv6 without its brackets."""
    bracketed = text.startswith("[") and text.endswith("]")
    try:
        address = ipaddress.ip_address(text[1:-1] if bracketed else text)
    except ValueError:
        address = None
    if address is None:
        if _HOST.fullmatch(text.lower()):
            return text.lower()
    elif bracketed == (address.version == 6) and not address.is_unspecified and not address.is_multicast:
        return str(address)
    raise PeerFileError(f"{text[:80]!r} is no host that can be reached; IPv6 stands in brackets", key)


def _prefix(value: object, key: str) -> str:
    text = _text(value, key)
    if not _PREFIX.fullmatch(text):
        raise PeerFileError(f"{text[:80]!r} shall be + and up to 15 digits, the first not 0", key)
    return text


def _origin(value: object, key: str) -> str:
    match = _ORIGIN.fullmatch(_text(value, key))
    if match is None or (match[3] and not _is_port(match[3])):
        raise PeerFileError("shall be scheme, host and port, as https://files.orange.example:8444", key)
    host = _host(match[2], key)
    return f"{match[1]}://{f'[{host}]' if ':' in host else host}" + (f":{int(match[3])}" if match[3] else "")


def _made_at(value: object, key: str) -> float:
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise PeerFileError("shall be a date and time with its zone, as 2027-03-01T12:00:00Z", key)
    return value.timestamp()


def _certificate(value: object, key: str) -> PeerCertificate:
    text = _text(value, key)
    try:
        return certificate_of(text)
    except ValueError as error:
        raise PeerFileError(str(error), key) from None


def _several(one: Callable[[object, str], T], most: int) -> Callable[[object, str], tuple[T, ...]]:
    def read(value: object, key: str) -> tuple[T, ...]:
        if not isinstance(value, list):
            raise PeerFileError("shall be a list", key)
        if len(value) > most:
            raise PeerFileError(f"has {len(value)}, and may have {most}", key)
        found = tuple(one(item, f"{key}[{index}]") for index, item in enumerate(value))
        if len(set(found)) < len(found):
            raise PeerFileError("says one thing twice", key)
        return found

    return read


_KEYS: Final[Mapping[str, Callable[[object, str], Any]]] = {
    "domain": _domain,
    "name": _name,
    "made_at": _made_at,
    "addresses": _several(_address, MAX_ADDRESSES),
    "ranges": _several(_prefix, MAX_RANGES),
    "files": _origin,
    "transit": _several(_domain, MAX_TRANSIT),
    "certificates": _several(_certificate, MAX_CERTIFICATES),
}
"""Every key besides `format`, and what reads its value."""


def _quoted(text: str) -> str:
    # JSON's escapes are TOML's, save that TOML forbids DEL bare.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _listed(texts: Iterable[str]) -> str:
    return "[" + ", ".join(map(_quoted, texts)) + "]"


def _commented(text: str) -> str:
    return "".join(one for one in text if one.isprintable())
