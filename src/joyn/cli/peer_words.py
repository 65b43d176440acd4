"""How `joyn peer` tells of peers: what their files say, what changes, what an operator should look at twice."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from joyn.cli.printing import moment, plain

if TYPE_CHECKING:
    from joyn.config import InterconnectSettings
    from joyn.model.peer import Peer
    from joyn.model.peer_file import PeerFile

SOON: Final = 30 * 86400.0
"""Seconds before its end from when a certificate is worth a word."""
SHOWN: Final = 12
"""Ranges in a line; the rest is counted."""


def said_by(file: PeerFile) -> Iterator[tuple[str, str]]:
    """What a file says, as lines to read before one agrees."""
    peer = file.peer
    yield "domain", peer.domain
    yield "name", peer.name
    yield "addresses", ", ".join(map(str, peer.addresses)) or "as DNS tells"
    yield "numbers", shortened(peer.ranges)
    yield "files", peer.files or "none"
    if peer.transit:
        yield "for", ", ".join(peer.transit)
    for certificate in peer.certificates:
        yield "certificate", f"until {day(certificate.not_after)}  {openssl_style(certificate.fingerprint)}"
    if file.made_at:
        yield "made", moment(file.made_at)


def changes_of(old: Mapping[str, Any], file: PeerFile) -> list[str]:
    """What a file changes of a peer that is known, a line for each thing."""
    peer, told = file.peer, []
    for key, word in (("name", "name"), ("files", "files")):
        new = getattr(peer, key)
        if old[key] != new:
            told.append(f"{word}: {old[key] or 'none'} becomes {new or 'none'}")
    addresses = [str(one) for one in peer.addresses]
    lists: list[tuple[str, Sequence[str], Sequence[str]]] = [
        ("address", old["addresses"], addresses),
        ("numbers", old["ranges"], peer.ranges),
        ("operator behind it", old["transit"], peer.transit),
    ]
    for word, before, after in lists:
        told += [f"{word} added: {one}" for one in after if one not in before]
        told += [f"{word} removed: {one}" for one in before if one not in after]
    if sorted(old["addresses"]) == sorted(addresses) and list(old["addresses"]) != addresses:
        told.append("the addresses are tried in another order")
    ends = {one["fingerprint"]: one["not_after"] for one in old["certificates"]}
    shown = {one.fingerprint: one.not_after for one in peer.certificates}
    told += [f"certificate added: until {day(end)}, {one[:16]}…" for one, end in shown.items() if one not in ends]
    told += [f"certificate removed: until {day(end)}, {one[:16]}…" for one, end in ends.items() if one not in shown]
    return told


def warnings_of(
    file: PeerFile, own_ranges: Sequence[str], others: Sequence[Mapping[str, Any]], now: float
) -> Iterator[str]:
    """What to look at twice before one agrees."""
    peer = file.peer
    whose = [("this operator", own_ranges), *((one["name"], one["ranges"]) for one in others)]
    for name, ranges in whose:
        for mine in peer.ranges:
            for theirs in ranges:
                if mine.startswith(theirs) or theirs.startswith(mine):
                    yield f"{mine} meets {theirs} of {name}: the longer one decides whose a number is"
    yield from _behind(peer, others)
    if peer.files.startswith("http:"):
        yield f"files are fetched from {peer.files} without TLS"
    for certificate in peer.certificates:
        if certificate.not_after <= now:
            yield f"the certificate {certificate.fingerprint[:16]}… ended on {day(certificate.not_after)}"
        elif certificate.not_before > now:
            yield f"the certificate {certificate.fingerprint[:16]}… holds only from {moment(certificate.not_before)}"
        elif certificate.not_after - now < SOON:
            yield f"the certificate {certificate.fingerprint[:16]}… ends on {day(certificate.not_after)}"


def _behind(peer: Peer, others: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Operators that two peers say they lead to."""
    for one in others:
        if one["domain"] in peer.transit:
            yield f"it says that {one['domain']} is behind it, which is a peer itself"
        if peer.domain in one["transit"]:
            yield f"{one['domain']} says that this operator is behind it"
        for domain in peer.transit:
            if domain in one["transit"]:
                yield f"{domain} is behind {one['domain']} too"


def state_of(peer: Mapping[str, Any]) -> str:
    """One word or two for a list."""
    if peer["paused"]:
        return "paused"
    health = peer["health"]
    if health is None:
        return "unknown: no node runs"
    return "connected" if health.get("connected") else "not connected"


def until(peer: Mapping[str, Any]) -> str:
    """When the last of a peer's certificates ends."""
    ends = [one["not_after"] for one in peer["certificates"]]
    if not ends:
        return "none"
    over = " (over)" if max(ends) <= time.time() else ""
    return day(max(ends)) + over


def described(peer: Mapping[str, Any], configured: InterconnectSettings) -> Iterator[tuple[str, str]]:
    """All that is known of a peer, as lines; `configured` is what holds for those with whom nothing else is agreed."""
    from joyn.config import rows

    agreed: dict[str, Any] = {key: peer[key] for key in ("rate", "keep_for") if peer[key]}
    bound = {field.name: shown.strip('"') for field, shown, _ in rows(replace(configured, **agreed))}
    whose = {key: "agreed for this peer" if key in agreed else f"interconnect.{key}" for key in ("rate", "keep_for")}
    ways = {"localise": "through our content server (localise)", "direct": "devices fetch from there (direct)"}
    yield "domain", peer["domain"]
    yield "name", peer["name"]
    yield "state", state_of(peer)
    yield "addresses", ", ".join(peer["addresses"]) or "as DNS tells"
    yield "its numbers", ", ".join(peer["ranges"]) or "none: ENUM, ported numbers or our ranges lead to it"
    yield "its files", f"{peer['files']}, {ways[peer['file_policy']]}" if peer["files"] else "none"
    if peer["transit"]:
        yield "leads to", ", ".join(peer["transit"])
    yield "file accepted", moment(peer["changed_at"])
    for one in peer["certificates"]:
        yield "certificate", f"until {day(one['not_after'])}  {openssl_style(one['fingerprint'])}"
    yield "may send", f"{bound['rate']} requests a second ({whose['rate']})"
    yield "waiting for it", f"{counted(peer['queue'])}{_oldest(peer['health'])}"
    yield "what waits", f"is kept for {bound['keep_for']} ({whose['keep_for']})"
    yield from _standing(peer["health"])


def _standing(health: Mapping[str, Any] | None) -> Iterator[tuple[str, str]]:
    """How it stands with a peer, as the running node says."""
    for key, value in (health or {}).items():
        if key == "connected":
            yield "connections", f"{value} that we opened"
        elif key == "ready":
            yield "sending", "possible now" if value else "not possible now"
        elif key in ("taken", "refused"):
            yield f"{key} by it", f"{counted(value)} since this node started"
        elif key not in ("queue", "oldest"):
            yield key.replace("_", " "), str(value) if value != "" else "none"


def _oldest(health: Mapping[str, Any] | None) -> str:
    """Since when the first of what waits has waited."""
    at = (health or {}).get("oldest")
    return f", the first since {moment(at)}" if at else ""


def counted(entries: int) -> str:
    """What goes to a peer, or waits for it."""
    return "1 message or receipt" if entries == 1 else f"{entries} messages and receipts"


def printed(lines: Iterator[tuple[str, str]]) -> None:
    """Print lines with their words in a column."""
    told = list(lines)
    width = max(len(word) for word, _ in told) + 2
    for word, text in told:
        print(f"  {word:<{width}}{plain(text)}")


def shortened(ranges: Sequence[str]) -> str:
    """The first ranges, and how many more there are."""
    more = f" and {len(ranges) - SHOWN} more" if len(ranges) > SHOWN else ""
    return ", ".join(ranges[:SHOWN]) + more or "none"


def day(at: float) -> str:
    """A day, as certificates have it (UTC)."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")


def openssl_style(fingerprint: str) -> str:
    """A fingerprint as `openssl x509 -fingerprint -sha256` prints it."""
    return bytes.fromhex(fingerprint).hex(":").upper()
