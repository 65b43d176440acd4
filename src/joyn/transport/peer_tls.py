"""Mutual TLS between peer operators: our own certificate, and who a peer is by the certificate it shows.

Spec: RFC 5246 and RFC 8446 (client certificates), RFC 5922 §4 (a domain's certificate names it), RFC 8996. Deviates
from RFC 5922 §7.2 on purpose: a peer is not who a CA or DNS says, but who has the key of an exchanged certificate.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import ssl
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from joyn.model.peer import Peer, PeerCertificate
from joyn.model.peer_file import certificate_of
from joyn.transport.tls import certificate_builder, general_name, key_usage, new_key

__all__ = [
    "CERTIFICATE_FOR",
    "Identity",
    "PeerTrust",
    "border_context",
    "ensure_identity",
    "fingerprint_of_connection",
    "link_context",
    "load_identity",
    "make_certificate",
    "rotate",
    "switch",
    "switch_back",
]

log = logging.getLogger(__name__)

CERTIFICATE_FOR: Final = 397 * 86400.0
"""Seconds that a certificate holds unless settings say otherwise."""
BACKDATED: Final = 86400.0
"""Seconds that it holds already when it is made: a peer's clock may be behind, and its zone set wrong."""

# Key and certificate lie in one file, so that one rename changes both and no crash leaves one without the other.
_CURRENT: Final = "current.pem"
_NEXT: Final = "next.pem"
_PREVIOUS: Final = "previous.pem"
_BEGIN: Final = "-----BEGIN CERTIFICATE-----"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What this operator shows its peers: `current`, and while it is rotated `next`, which peers shall know before it
    is shown. `previous` was shown before; it can be gone back to."""

    directory: Path
    current: PeerCertificate
    next: PeerCertificate | None = None
    previous: PeerCertificate | None = None

    @property
    def file(self) -> Path:
        """PEM file of the current certificate and its key."""
        return self.directory / _CURRENT

    @property
    def exchanged(self) -> tuple[PeerCertificate, ...]:
        """What peers shall be told: the current one, and the next."""
        return (self.current,) if self.next is None else (self.current, self.next)

    @property
    def sdp_fingerprint(self) -> tuple[str, str]:
        """The current one as `a=fingerprint` writes it (RFC 4572 §5)."""
        return "sha-256", bytes.fromhex(self.current.fingerprint).hex(":").upper()


def load_identity(directory: Path) -> Identity | None:
    """The identity that lies there, or None. Raises OSError or ValueError with the file in the message."""
    current = _read(directory / _CURRENT)
    if current is None:
        return None
    # A file that still is the current one too is what a switch left that was cut short.
    others = {name: _read(directory / name) for name in (_NEXT, _PREVIOUS)}
    follows, previous = (None if one == current else one for one in others.values())
    return Identity(directory=directory, current=current, next=follows, previous=previous)


def ensure_identity(
    directory: Path, domain: str, names: Iterable[str] = (), *, now: float, valid_for: float = CERTIFICATE_FOR
) -> Identity:
    """The identity that lies there, made if there is none: a certificate for the domain and these hosts.

    Two processes that make one at a time get the same. Raises what `load_identity` raises.
    """
    found = load_identity(directory)
    if found is None:
        _make(directory / _CURRENT, domain, names, now=now, valid_for=valid_for)
        found = load_identity(directory)
        assert found is not None
    return found


def rotate(
    directory: Path, domain: str, names: Iterable[str] = (), *, now: float, valid_for: float = CERTIFICATE_FOR
) -> Identity:
    """Make the next certificate, with a key of its own, unless it is there already. Nothing is shown yet.

    Raises what `load_identity` raises, LookupError when there is no current one.
    """
    if _existing(directory).next is None:
        (directory / _NEXT).unlink(missing_ok=True)
        _make(directory / _NEXT, domain, names, now=now, valid_for=valid_for)
    return _existing(directory)


def switch(directory: Path) -> Identity:
    """Show the next certificate from now on. The one before is kept, and can be gone back to.

    A crash leaves one of the two in place, and calling again goes on. Raises LookupError without a next one.
    """
    if _existing(directory).next is None:
        raise LookupError("there is no next certificate")
    _duplicate(directory / _CURRENT, directory / _PREVIOUS)
    (directory / _NEXT).replace(directory / _CURRENT)
    _sync(directory)
    return _existing(directory)


def switch_back(directory: Path) -> Identity:
    """Show the previous certificate again; the current one becomes the next.

    Raises LookupError when there is no previous one, or another next one already.
    """
    found = _existing(directory)
    if found.previous is None:
        raise LookupError("there is no previous certificate")
    if found.next is not None:
        raise LookupError("there is a next certificate already")
    _duplicate(directory / _CURRENT, directory / _NEXT)
    (directory / _PREVIOUS).replace(directory / _CURRENT)
    _sync(directory)
    return _existing(directory)


def make_certificate(domain: str, names: Iterable[str] = (), *, not_before: float, not_after: float) -> bytes:
    """A new P-256 key and its self-signed certificate for the domain and these hosts, one PEM text. Wall-clock
    seconds."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    key = new_key()
    # RFC 5280 limits a common name to 64 characters; the alternative names have all of it.
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, domain[:64])])
    held = [*dict.fromkeys((domain, *names))]
    dates = datetime.fromtimestamp(int(not_before), UTC), datetime.fromtimestamp(int(not_after), UTC)
    certificate = (
        certificate_builder(subject, subject, key.public_key(), *dates)
        .add_extension(x509.SubjectAlternativeName([general_name(name) for name in held]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(key_usage(ca=False), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return private + certificate.public_bytes(encoding)


def border_context(identity: Identity, peers: Iterable[Peer]) -> ssl.SSLContext:
    """The server's side: whoever does not show one of the peers' certificates, in its time, is refused. The peers at
    one moment: `PeerTrust` follows them. Raises OSError or ssl.SSLError for our own file."""
    context = _context(ssl.PROTOCOL_TLS_SERVER, identity, [one for peer in peers for one in peer.certificates])
    # A session that is resumed is not verified anew, and its certificate may be over or removed meanwhile.
    context.num_tickets = 0
    context.options |= ssl.OP_NO_TICKET
    return context


def link_context(identity: Identity, peer: Peer) -> ssl.SSLContext:
    """The client's side: whoever does not show one of this peer's certificates, in its time, is refused, whatever
    name it was reached by. Raises OSError or ssl.SSLError for our own file."""
    return _context(ssl.PROTOCOL_TLS_CLIENT, identity, peer.certificates)


def fingerprint_of_connection(tls: ssl.SSLObject | ssl.SSLSocket | None) -> str:
    """SHA-256 of what the other side showed, lower-case hexadecimal; empty when it showed nothing."""
    der = tls.getpeercert(binary_form=True) if tls is not None else None
    return hashlib.sha256(der).hexdigest() if der else ""


class PeerTrust:
    """Our identity and the peers of the moment, as contexts. `wall` is the wall clock in seconds.

    Listen with `border` and connect with `link`; both follow `update` for every connection that begins afterwards.
    A handshake that ended well is not enough: `peer_of` says who it was with, if anybody, and whoever holds a
    connection asks it again after an `update`.
    """

    def __init__(self, identity: Identity, peers: Iterable[Peer] = (), *, wall: Callable[[], float]) -> None:
        self._wall = wall
        self.identity = identity
        self.border = border_context(identity, ())
        """Listen with this. It trusts nobody itself: each handshake is given the context of the moment, before
        anything of it is decided."""
        self.border.sni_callback = self._hand_over
        self.media = border_context(identity, ())
        """Listen for media with this: who shows a certificate shows an exchanged one, and who is behind a hub none."""
        self.media.verify_mode = ssl.CERT_OPTIONAL
        self.media.sni_callback = self._hand_over_media
        self.update(peers, identity)

    def update(self, peers: Iterable[Peer], identity: Identity | None = None) -> None:
        """From now on these are the peers, and this is what we show them.

        Raises OSError or ssl.SSLError for our own file; then everything is as before.
        """
        known = {peer.domain: peer for peer in peers}
        shown = identity or self.identity
        present = border_context(shown, known.values())
        media = border_context(shown, known.values())
        media.verify_mode = ssl.CERT_OPTIONAL
        self.identity = shown
        self._present, self._present_media = present, media
        self._peers: Mapping[str, Peer] = known
        self._links: dict[str, ssl.SSLContext] = {}
        owners: dict[str, set[str]] = {}
        for domain, peer in known.items():
            for certificate in peer.certificates:
                owners.setdefault(certificate.fingerprint, set()).add(domain)
        # What two claim is nobody's.
        self._certificates = [
            (bytes.fromhex(certificate.fingerprint), certificate, domain)
            for domain, peer in known.items()
            for certificate in peer.certificates
            if len(owners[certificate.fingerprint]) == 1
        ]

    def link(self, domain: str) -> ssl.SSLContext:
        """What to connect to a peer with. Raises LookupError for no peer, OSError or ssl.SSLError for our own file."""
        peer = self._peers[domain]
        context = self._links.get(domain)
        if context is None:
            context = self._links[domain] = link_context(self.identity, peer)
        return context

    def peer_of(self, tls: ssl.SSLObject | ssl.SSLSocket | None) -> str | None:
        """The domain of the peer that a connection is with, by the certificate it showed; None for nobody's, or one
        whose time is over: the connection shall end."""
        shown = bytes.fromhex(fingerprint_of_connection(tls))
        now = self._wall()
        found: str | None = None
        for fingerprint, certificate, domain in self._certificates:
            # All of them, each in constant time: how long it takes tells nothing.
            if hmac.compare_digest(shown, fingerprint) and certificate.not_before <= now < certificate.not_after:
                found = domain
        return found

    def _hand_over(self, tls: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        tls.context = self._present

    def _hand_over_media(self, tls: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        tls.context = self._present_media


def _context(protocol: int, identity: Identity, trusted: Sequence[PeerCertificate]) -> ssl.SSLContext:
    """TLS 1.2 and later, both sides with a certificate, and these alone believed, each for itself: a CA among them
    lets the handshake of what it has issued end, and `PeerTrust.peer_of` says whose that is."""
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # The pin decides, not the name: peers move, and are reached by address.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    try:
        context.load_cert_chain(identity.file)
    except ssl.SSLError as error:
        raise ssl.SSLError(f"{identity.file}: {error.reason or 'is no certificate with its key'}") from None
    for certificate in trusted:
        try:
            context.load_verify_locations(cadata=certificate.pem)
        except ssl.SSLError as error:
            # One peer's damaged certificate must not shut all others out.
            log.warning("the certificate %s cannot be used: %s", certificate.fingerprint, error)
    return context


def _existing(directory: Path) -> Identity:
    found = load_identity(directory)
    if found is None:
        raise LookupError("there is no certificate yet")
    return found


def _read(file: Path) -> PeerCertificate | None:
    try:
        text = file.read_text("ascii")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        raise ValueError(f"{file}: is no PEM file") from None
    try:
        return certificate_of(text[max(0, text.find(_BEGIN)) :])
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None


def _make(file: Path, domain: str, names: Iterable[str], *, now: float, valid_for: float) -> None:
    """Write a new certificate and its key, whole or not at all, unless there is one."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    begin = now - BACKDATED
    made = make_certificate(domain, names, not_before=begin, not_after=begin + valid_for)
    # mkstemp's files are their owner's alone from the first moment.
    descriptor, temporary = tempfile.mkstemp(dir=file.parent, prefix=".new-")
    try:
        with os.fdopen(descriptor, "wb") as written:
            written.write(made)
            written.flush()
            os.fsync(written.fileno())
        # A link, unlike a rename, takes no other's place: of two that begin at once, the first stays.
        os.link(temporary, file)
    except FileExistsError:
        return
    finally:
        Path(temporary).unlink(missing_ok=True)
    _sync(file.parent)


def _duplicate(source: Path, target: Path) -> None:
    """The same file under another name, whatever had that; there is one of the two at any moment."""
    between = target.with_name(f".{target.name}")
    between.unlink(missing_ok=True)
    os.link(source, between)
    between.replace(target)
    # Of two names of one file, rename takes neither away (POSIX).
    between.unlink(missing_ok=True)


def _sync(directory: Path) -> None:
    """Names are on disk."""
    if os.name == "posix":
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
