"""Peer operators: who they are, where they are reached, how they are recognised, and what was agreed with them.

Spec: IR.90 and TS 29.165 (facts §10). Two operators become peers by exchanging one file each.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from joyn.model.aor import Aor

__all__ = ["FilePolicy", "Peer", "PeerAddress", "PeerCertificate", "led_to", "mailbox_of", "operator_of"]

FilePolicy = Literal["localise", "direct"]
"""What becomes of a peer's file links: taken into our own content server, or left as they are for devices to fetch."""

_MAILBOX = "peer:"


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerAddress:
    """Where a peer's border listens for SIP over mutual TLS."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerCertificate:
    """A certificate that a peer shows. `fingerprint` is the SHA-256 of its DER in lower-case hexadecimal, `pem` the
    certificate itself; times are wall-clock seconds."""

    fingerprint: str
    pem: str
    not_before: float
    not_after: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A peer operator. `domain` is its name everywhere, lower case.

    `addresses` are tried in order of preference, and hold the same connections in parallel when there are several;
    none means: found by DNS (RFC 3263) from the domain. Any of `certificates` may be shown by it, which lets it change
    them without a break. `ranges` are E.164 prefixes with their plus sign that it says are its own. `files` is the
    origin (`https://host:port`) of its content server, empty for none. `transit` names operators that are behind it.
    `file_policy` is ours, as are `paused` (nothing goes and nothing is taken), `rate` (requests a second that it may
    send, 0 for the configured one) and `keep_for` (seconds that what is due to it is kept for it, 0 for the configured
    ones). `changed_at` is when its file was accepted last, wall clock.
    """

    domain: str
    name: str
    addresses: tuple[PeerAddress, ...] = ()
    certificates: tuple[PeerCertificate, ...] = ()
    ranges: tuple[str, ...] = ()
    files: str = ""
    transit: tuple[str, ...] = ()
    file_policy: FilePolicy = "localise"
    paused: bool = False
    rate: int = 0
    keep_for: float = 0.0
    changed_at: float = 0.0


def led_to(peer: Peer, peers: Iterable[Peer]) -> tuple[str, ...]:
    """The operators whose mailboxes go over the link to a peer: itself, and those behind it that are no peers."""
    direct = {one.domain for one in peers}
    return (peer.domain, *(operator for operator in peer.transit if operator not in direct))


def mailbox_of(domain: str) -> Aor:
    """The mailbox of what is due to an operator's subscribers."""
    return Aor(f"{_MAILBOX}{domain}")


def operator_of(mailbox: str) -> str:
    """The operator that a mailbox belongs to, or that stands in the place of a device; empty for everything else."""
    return mailbox.removeprefix(_MAILBOX) if mailbox.startswith(_MAILBOX) else ""
