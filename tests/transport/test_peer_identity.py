"""The certificate that an operator shows its peers: made, rotated, and never lost by a crash."""

import os
import ssl
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID

from joyn.transport import peer_tls
from joyn.transport.peer_tls import (
    PeerTrust,
    ensure_identity,
    load_identity,
    make_certificate,
    rotate,
    switch,
    switch_back,
)
from transport.operators import DAY, certificate_in

ORANGE = "orange.example"


def test_the_first_need_makes_a_certificate_with_a_key_for_its_owner_alone(tmp_path: Path) -> None:
    now = time.time()
    made = ensure_identity(tmp_path / "interconnect", ORANGE, ["192.0.2.1", "sip.orange.example"], now=now)
    assert stat.S_IMODE(made.file.stat().st_mode) == 0o600
    assert stat.S_IMODE(made.directory.stat().st_mode) == 0o700
    assert made.current.not_before <= now - DAY
    assert made.current.not_after - made.current.not_before == 397 * DAY
    read = x509.load_pem_x509_certificate(made.current.pem.encode())
    names = read.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [ORANGE, "sip.orange.example"]
    assert [str(one) for one in names.get_values_for_type(x509.IPAddress)] == ["192.0.2.1"]
    usage = read.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert set(usage) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    assert made.current.fingerprint == read.fingerprint(hashes.SHA256()).hex()
    assert made.sdp_fingerprint[1].replace(":", "").lower() == made.current.fingerprint


def test_a_second_need_finds_the_same(tmp_path: Path) -> None:
    first = ensure_identity(tmp_path, ORANGE, now=time.time())
    assert ensure_identity(tmp_path, ORANGE, now=time.time()) == first
    assert [one.name for one in tmp_path.iterdir()] == ["current.pem"]


def test_of_two_that_make_it_at_once_the_first_one_s_stays(tmp_path: Path) -> None:
    """The other process is done between our look and our write."""
    peer_tls._make(tmp_path / "current.pem", ORANGE, (), now=time.time(), valid_for=DAY * 9)
    first = load_identity(tmp_path)
    peer_tls._make(tmp_path / "current.pem", ORANGE, (), now=time.time(), valid_for=DAY * 9)
    assert load_identity(tmp_path) == first


def test_rotating_makes_the_next_one_and_switching_shows_it_and_can_be_undone(tmp_path: Path) -> None:
    first = ensure_identity(tmp_path, ORANGE, now=time.time())
    with pytest.raises(LookupError, match="no next"):
        switch(tmp_path)
    rotated = rotate(tmp_path, ORANGE, now=time.time())
    assert rotated.current == first.current
    assert rotated.next is not None
    assert rotated.exchanged == (rotated.current, rotated.next)
    assert rotate(tmp_path, ORANGE, now=time.time()) == rotated
    switched = switch(tmp_path)
    assert (switched.current, switched.next, switched.previous) == (rotated.next, None, first.current)
    back = switch_back(tmp_path)
    assert (back.current, back.next, back.previous) == (first.current, rotated.next, None)
    with pytest.raises(LookupError, match="no previous"):
        switch_back(tmp_path)
    assert {stat.S_IMODE(one.stat().st_mode) for one in tmp_path.iterdir()} == {0o600}


class Crash(Exception):
    pass


@pytest.mark.parametrize("after", range(4))
def test_a_crash_in_the_middle_of_a_switch_leaves_a_certificate_with_its_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    first = ensure_identity(tmp_path, ORANGE, now=time.time())
    rotated = rotate(tmp_path, ORANGE, now=time.time())
    crash_after(after, monkeypatch)
    with pytest.raises(Crash):
        switch(tmp_path)
    monkeypatch.undo()
    left = load_identity(tmp_path)
    assert left is not None
    assert left.current in (first.current, rotated.next)
    PeerTrust(left, wall=time.time)
    if left.current == first.current:
        left = switch(tmp_path)
    assert (left.current, left.next, left.previous) == (rotated.next, None, first.current)


@pytest.mark.parametrize("after", range(4))
def test_a_crash_in_the_middle_of_going_back_loses_neither(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    first = ensure_identity(tmp_path, ORANGE, now=time.time())
    rotate(tmp_path, ORANGE, now=time.time())
    second = switch(tmp_path)
    crash_after(after, monkeypatch)
    with pytest.raises(Crash):
        switch_back(tmp_path)
    monkeypatch.undo()
    left = load_identity(tmp_path)
    assert left is not None
    if left.current == second.current:
        with pytest.raises(LookupError):
            switch(tmp_path)
        left = switch_back(tmp_path)
    assert (left.current, left.next, left.previous) == (first.current, second.current, None)


def crash_after(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process ends before its (steps + 1)-th change of a name: links, renames, or the end."""
    left = [steps]

    def counted(real: Callable[..., object]) -> Callable[..., object]:
        def step(*arguments: object) -> object:
            if not left[0]:
                raise Crash
            left[0] -= 1
            return real(*arguments)

        return step

    monkeypatch.setattr(os, "link", counted(os.link))
    monkeypatch.setattr(Path, "replace", counted(Path.replace))
    monkeypatch.setattr(peer_tls, "_sync", counted(peer_tls._sync))


def test_a_file_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "current.pem").write_text("nothing")
    with pytest.raises(ValueError, match=r"current\.pem: is no certificate"):
        load_identity(tmp_path)


def test_a_certificate_without_its_key_is_named(tmp_path: Path) -> None:
    identity = ensure_identity(tmp_path, ORANGE, now=time.time())
    identity.file.write_text(identity.current.pem)
    with pytest.raises(ssl.SSLError, match=r"current\.pem"):
        PeerTrust(identity, wall=time.time)


def test_certificates_are_made_with_the_dates_that_are_asked_for() -> None:
    made = certificate_in(make_certificate(ORANGE, ["sip.orange.example"], not_before=1000.0, not_after=2000.0))
    assert (made.not_before, made.not_after) == (1000.0, 2000.0)
