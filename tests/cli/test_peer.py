"""`joyn peer`: two operators that exchange a file each."""

import asyncio
import io
import json
import os
import stat
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from cli.test_cli import said
from joyn.cli import main
from joyn.cli.check import _files_for_peers
from joyn.config import load
from joyn.model.peer import mailbox_of
from joyn.model.peer_file import check_code, parse
from joyn.node import Node, open_store
from joyn.transport.peer_tls import PeerTrust, ensure_identity, load_identity
from ports import free_port
from transport.operators import DAY, listening, place_certificate, said_to

ORANGE, SFR = "orange.example", "sfr.example"
FILE = f"{ORANGE}.joyn-peer.toml"


OWN = {ORANGE: '["+3360"]', SFR: "[]"}
"""What their numbers begin with, as it stands in the file."""


class Places:
    """Two directories as `joyn init` leaves them, and which one commands are run in."""

    def __init__(self, directory: Path) -> None:
        self.exchange = directory / "exchange"
        self.exchange.mkdir()
        self.directory = directory
        for domain, name in ((ORANGE, "Orange"), (SFR, "SFR")):
            assert main(["init", str(directory / domain), "--domain", domain, "--name", name, "--interconnect"]) == 0
            file = directory / domain / "joyn.toml"
            text = file.read_text()
            for port in (5060, 5061, 2855, 2856, 8080, 8443, 8081, 8444, 2857):
                text = text.replace(f"port = {port}", "port = 0")
            file.write_text(text.replace("# own_ranges = []", f"own_ranges = {OWN[domain]}"))

    def at(self, domain: str, *command: str) -> int:
        os.chdir(self.directory / domain)
        return main(["peer", *command])

    def of(self, domain: str) -> Path:
        return self.directory / domain / "data" / "interconnect"

    def edit(self, domain: str, before: str, after: str) -> None:
        file = self.directory / domain / "joyn.toml"
        text = file.read_text()
        assert before in text
        file.write_text(text.replace(before, after))


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Places]:
    monkeypatch.chdir(tmp_path)
    made = Places(tmp_path)
    said(capsys)
    return made


def answer(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))


def exchanged(places: Places, capsys: pytest.CaptureFixture[str]) -> None:
    """Orange's file is accepted by SFR."""
    assert places.at(ORANGE, "invite", str(places.exchange)) == 0
    assert places.at(SFR, "accept", str(places.exchange / FILE), "--yes") == 0
    said(capsys)


def peers_at(places: Places, domain: str, capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    said(capsys)
    assert places.at(domain, "list", "--json") == 0
    found: list[dict[str, object]] = json.loads(capsys.readouterr().out)
    return found


def test_an_invitation_says_where_we_are_and_has_no_secret(places: Places, capsys: pytest.CaptureFixture[str]) -> None:
    assert places.at(ORANGE, "invite", str(places.exchange), "--for", "SFR") == 0
    told = capsys.readouterr()
    text = (places.exchange / FILE).read_text()
    peer = parse(text).peer
    assert (peer.domain, peer.name, list(map(str, peer.addresses))) == (ORANGE, "Orange", ["127.0.0.1:5062"])
    assert peer.ranges == ("+3360",)
    assert text.startswith("# For SFR.\n")
    identity = load_identity(places.of(ORANGE))
    assert identity is not None
    assert peer.certificates == identity.exchanged
    assert "PRIVATE" not in text
    assert "PRIVATE" in identity.file.read_text()
    assert stat.S_IMODE(identity.file.stat().st_mode) == 0o600
    assert check_code(peer) in told.err
    assert "127.0.0.1 is this machine alone" in told.err


def test_an_invitation_on_standard_output_is_the_file_alone(places: Places, capsys: pytest.CaptureFixture[str]) -> None:
    assert places.at(ORANGE, "invite") == 0
    assert parse(capsys.readouterr().out).peer.domain == ORANGE


def test_an_invitation_takes_the_place_of_an_older_one_and_of_nothing_else(
    places: Places, capsys: pytest.CaptureFixture[str]
) -> None:
    file = places.exchange / FILE
    assert places.at(ORANGE, "invite", str(file)) == 0
    assert places.at(ORANGE, "invite", str(file)) == 0
    before = file.read_text()
    assert places.at(SFR, "invite", str(file)) == 1
    assert "is another operator's" in said(capsys)
    assert file.read_text() == before
    file.write_text("notes")
    assert places.at(ORANGE, "invite", str(file)) == 1
    assert file.read_text() == "notes"


def test_who_listens_to_no_peers_is_told_how(places: Places, capsys: pytest.CaptureFixture[str]) -> None:
    places.edit(ORANGE, "port = 5062", "port = 0")
    assert places.at(ORANGE, "invite") == 3
    assert "port 0" in said(capsys)
    (places.directory / "bare").mkdir()
    assert main(["init", str(places.directory / "bare"), "--domain", "bare.example"]) == 0
    assert places.at("bare", "invite") == 3
    assert "joyn init --interconnect" in said(capsys)


def test_that_peers_would_not_trust_the_content_server_is_told(tmp_path: Path) -> None:
    assert main(["init", str(tmp_path / "new"), "--domain", ORANGE, "--interconnect"]) == 0
    settings = load(tmp_path / "new" / "joyn.toml")
    (finding,) = _files_for_peers(settings)
    assert "https://127.0.0.1:8444" in finding.what
    trial = replace(settings, files=replace(settings.files, url="http://127.0.0.1:8081"))
    assert not list(_files_for_peers(trial))


def test_what_others_would_refuse_is_found_before_it_is_sent(
    places: Places, capsys: pytest.CaptureFixture[str]
) -> None:
    places.edit(ORANGE, f'domain = "{ORANGE}"', 'domain = "orange"')
    assert places.at(ORANGE, "invite") == 3
    assert "other operators would refuse the file: domain" in said(capsys)


def test_a_file_is_shown_with_its_code_and_accepted_only_by_yes(
    places: Places, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert places.at(ORANGE, "invite", str(places.exchange)) == 0
    file = places.exchange / FILE
    code = check_code(parse(file.read_text()).peer)
    said(capsys)
    for reply in ("n\n", "\n", ""):
        answer(monkeypatch, reply)
        assert places.at(SFR, "accept", str(file)) == 1
        told = said(capsys)
        assert code in told
        assert "+3360" in told
        assert "Nothing has changed." in told
    assert peers_at(places, SFR, capsys) == []
    answer(monkeypatch, "y\n")
    assert places.at(SFR, "accept", str(file)) == 0
    assert "joyn peer remove orange.example" in said(capsys)
    (kept,) = peers_at(places, SFR, capsys)
    assert (kept["domain"], kept["ranges"], kept["file_policy"]) == (ORANGE, ["+3360"], "localise")


def test_a_newer_file_shows_what_it_changes_and_leaves_what_is_ours(
    places: Places, capsys: pytest.CaptureFixture[str]
) -> None:
    exchanged(places, capsys)
    assert places.at(SFR, "change", ORANGE, "--rate", "7", "--keep-for", "3d", "--file-policy", "direct") == 0
    assert places.at(SFR, "accept", str(places.exchange / FILE)) == 0
    assert "says nothing new" in said(capsys)
    assert places.at(ORANGE, "rotate") == 0
    places.edit(ORANGE, '["+3360"]', '["+3361", "+3362"]')
    assert places.at(ORANGE, "invite", str(places.exchange)) == 0
    assert places.at(SFR, "accept", str(places.exchange / FILE), "-y") == 0
    told = said(capsys)
    for part in ("numbers added: +3361", "numbers removed: +3360", "certificate added: until"):
        assert part in told
    assert "certificate removed" not in told
    (kept,) = peers_at(places, SFR, capsys)
    assert (kept["ranges"], kept["rate"], kept["keep_for"]) == (["+3361", "+3362"], 7, 3 * DAY)
    assert kept["file_policy"] == "direct"


def test_numbers_that_meet_ours_or_another_peer_s_are_pointed_at(
    places: Places, capsys: pytest.CaptureFixture[str]
) -> None:
    exchanged(places, capsys)
    places.edit(SFR, "own_ranges = []", 'own_ranges = ["+33601"]')
    other = (places.exchange / FILE).read_text().replace(ORANGE, "other.example").replace('"Orange"', '"Other"')
    (places.exchange / "other.toml").write_text(other)
    assert places.at(SFR, "accept", str(places.exchange / "other.toml"), "-y") == 1
    told = said(capsys)
    assert "Look twice: +3360 meets +33601 of this operator" in told
    assert "Look twice: +3360 meets +3360 of Orange" in told
    # It has Orange's certificate, too.
    assert f"is that of {ORANGE}" in told


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("format = 1\ndomain = 'sfr.example'", "certificates: is missing"),
        ("frmat = 1", "format: is null"),
        ("\x00", "is not TOML"),
        ("#" * 40_000, "is longer than"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_with_its_key(
    places: Places, capsys: pytest.CaptureFixture[str], text: str, part: str
) -> None:
    (places.exchange / "bad.toml").write_text(text)
    assert places.at(SFR, "accept", str(places.exchange / "bad.toml")) == 1
    told = said(capsys)
    assert "bad.toml" in told
    assert part in told
    assert peers_at(places, SFR, capsys) == []


def test_our_own_file_is_no_peer_s(places: Places, capsys: pytest.CaptureFixture[str]) -> None:
    assert places.at(SFR, "invite", str(places.exchange / "own.toml")) == 0
    assert places.at(SFR, "accept", str(places.exchange / "own.toml")) == 1
    assert "domain: is this operator's own" in said(capsys)
    assert places.at(SFR, "accept", str(places.exchange / "none.toml")) == 1
    assert "none.toml: No such file" in said(capsys)


def test_a_file_whose_certificate_is_over_is_refused(places: Places, capsys: pytest.CaptureFixture[str]) -> None:
    now = time.time()
    place_certificate(places.of(ORANGE), ORANGE, not_before=now - 9 * DAY, not_after=now - 60)
    assert places.at(ORANGE, "invite", str(places.exchange)) == 0
    assert places.at(SFR, "accept", str(places.exchange / FILE), "-y") == 1
    assert "the time of every certificate in it is over" in said(capsys)


def test_a_peer_is_shown_paused_resumed_and_removed(
    places: Places, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    exchanged(places, capsys)
    assert places.at(SFR, "list") == 0
    line = said(capsys).splitlines()[1]
    for part in (ORANGE, "Orange", "no node runs", "+3360"):
        assert part in line
    assert places.at(SFR, "show", "ORANGE.example") == 0
    told = said(capsys)
    identity = load_identity(places.of(ORANGE))
    assert identity is not None
    for part in ("127.0.0.1:5062", "no node runs", identity.sdp_fingerprint[1]):
        assert part in told
    assert places.at(SFR, "pause", ORANGE) == 0
    assert peers_at(places, SFR, capsys)[0]["paused"] is True
    assert places.at(SFR, "pause", ORANGE, "--resume") == 0
    assert peers_at(places, SFR, capsys)[0]["paused"] is False
    answer(monkeypatch, "n\n")
    assert places.at(SFR, "remove", ORANGE) == 1
    assert len(peers_at(places, SFR, capsys)) == 1
    assert places.at(SFR, "remove", ORANGE, "--yes") == 0
    assert peers_at(places, SFR, capsys) == []
    for command in (("show",), ("pause",), ("remove",), ("change", "--rate", "1")):
        assert places.at(SFR, *command[:1], ORANGE, *command[1:]) == 1
        assert "orange.example is no peer" in said(capsys)


def test_removing_says_what_still_waits(places: Places, capsys: pytest.CaptureFixture[str]) -> None:
    from contracts.store_values import accept_all, make_deposit
    from joyn.model.message import Address

    exchanged(places, capsys)

    async def write() -> None:
        async with open_store(load(places.directory / SFR / "joyn.toml")) as store:
            await accept_all(store, make_deposit("m1", Address(mailbox=mailbox_of(ORANGE))))

    asyncio.run(write())
    assert peers_at(places, SFR, capsys)[0]["queue"] == 1
    assert places.at(SFR, "remove", ORANGE, "--yes") == 0
    assert f"Still waiting for {ORANGE}: 1 message or receipt." in said(capsys)


def test_what_makes_no_sense_to_change_is_told(places: Places, capsys: pytest.CaptureFixture[str]) -> None:
    exchanged(places, capsys)
    assert places.at(SFR, "change", ORANGE) == 2
    assert places.at(SFR, "change", ORANGE, "--keep-for", "soon") == 2
    assert "write a duration" in said(capsys)
    assert places.at(SFR, "change", ORANGE, "--rate", "-1") == 1
    assert places.at(SFR, "rotate", "--switch", "--back") == 2


def trust_at(places: Places, domain: str) -> PeerTrust:
    """What that operator's node would begin with."""

    async def read() -> PeerTrust:
        async with open_store(load(places.directory / domain / "joyn.toml")) as store:
            identity = ensure_identity(places.of(domain), domain, now=time.time())
            return PeerTrust(identity, await store.peers.list(), wall=time.time)

    return asyncio.run(read())


def test_a_certificate_is_rotated_without_a_break_and_back(places: Places, capsys: pytest.CaptureFixture[str]) -> None:
    exchanged(places, capsys)
    assert places.at(SFR, "invite", str(places.exchange)) == 0
    assert places.at(ORANGE, "accept", str(places.exchange / f"{SFR}.joyn-peer.toml"), "-y") == 0

    def is_known() -> bool:
        link, theirs = trust_at(places, ORANGE).link(SFR), trust_at(places, SFR)

        async def play() -> str:
            async with listening(theirs) as border:
                return await said_to(link, border)

        return asyncio.run(play()) == ORANGE

    assert places.at(ORANGE, "rotate", "--switch") == 1
    assert places.at(ORANGE, "rotate", "--back") == 1
    assert is_known()
    said(capsys)
    assert places.at(ORANGE, "rotate") == 0
    assert f"Give it to {SFR}" in said(capsys)
    assert is_known()
    # Switched too early: refused; and back.
    assert places.at(ORANGE, "rotate", "--switch", "-y") == 0
    assert not is_known()
    assert places.at(ORANGE, "rotate", "--back") == 0
    assert is_known()
    # In the order it shall be.
    assert places.at(ORANGE, "invite", str(places.exchange)) == 0
    assert places.at(SFR, "accept", str(places.exchange / FILE), "-y") == 0
    assert is_known()
    assert places.at(ORANGE, "rotate", "--switch", "-y") == 0
    assert is_known()


def test_a_running_node_answers_and_is_told(
    places: Places, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The demo of another test may have the usual one.
    places.edit(SFR, "port = 5062", f"port = {free_port()}")
    assert places.at(ORANGE, "invite", str(places.exchange)) == 0
    known: list[tuple[str, list[tuple[str, bool]], str]] = []

    async def play() -> None:
        node = Node(load(places.directory / SFR / "joyn.toml"))
        await node.start()
        links = node.interconnect.links
        try:
            for command in (
                ("accept", str(places.exchange / FILE), "-y"),
                ("list",),
                ("show", ORANGE),
                ("pause", ORANGE),
                ("rotate",),
                ("rotate", "--switch", "-y"),
                ("remove", ORANGE, "-y"),
            ):
                assert await asyncio.to_thread(places.at, SFR, *command) == 0, command
                assert node.interconnect.trust is not None
                shown = node.interconnect.trust.identity.current.fingerprint
                known.append((command[0], [(one.domain, one.paused) for one in links.peers.values()], shown))
            assert await asyncio.to_thread(places.at, SFR, "show", ORANGE) == 1
        finally:
            await node.stop()

    asyncio.run(play())
    assert [peers for _, peers, _ in known] == [*[[(ORANGE, False)]] * 3, *[[(ORANGE, True)]] * 3, []]
    # What is shown to peers changes when it is switched, and not before.
    assert len({shown for _, _, shown in known[:5]}) == 1
    assert known[5][2] != known[4][2]
    told = said(capsys)
    for part in ("0 messages and receipts\n", "not possible now", "taken by it     0", "since this node started"):
        assert part in told
    assert "No node runs" not in told


def check_at(places: Places, domain: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    said(capsys)
    os.chdir(places.directory / domain)
    status = main(["check"])
    return status, said(capsys)


def test_check_looks_at_the_certificates_of_both_sides(places: Places, capsys: pytest.CaptureFixture[str]) -> None:
    places.edit(SFR, "port = 5062", "port = 0")
    assert "a certificate for peers will be made at the first need" in check_at(places, SFR, capsys)[1]
    assert not places.of(SFR).exists()
    exchanged(places, capsys)
    status, told = check_at(places, SFR, capsys)
    assert (status, "ok   peer orange.example: its certificate holds until" in told) == (0, True)
    assert "which is this machine alone" in told
    now = time.time()
    place_certificate(places.of(SFR), SFR, not_before=now - DAY, not_after=now + 29 * DAY)
    place_certificate(places.of(ORANGE), ORANGE, not_before=now - DAY, not_after=now + 29 * DAY)
    exchanged(places, capsys)
    status, told = check_at(places, SFR, capsys)
    assert status == 0
    for part in ("note peer orange.example: its certificate holds until", "28 days", "`joyn peer rotate` says how"):
        assert part in told
    place_certificate(places.of(SFR), SFR, not_before=now - 9 * DAY, not_after=now - 60)
    status, told = check_at(places, SFR, capsys)
    assert status == 1
    assert "BAD " in told
    assert "current.pem: ended on" in told


def test_check_says_that_a_peer_s_certificate_has_ended(places: Places, capsys: pytest.CaptureFixture[str]) -> None:
    places.edit(SFR, "port = 5062", "port = 0")
    exchanged(places, capsys)

    async def age() -> None:
        from dataclasses import replace

        async with open_store(load(places.directory / SFR / "joyn.toml")) as store:
            (peer,) = await store.peers.list()
            over = tuple(replace(one, not_after=time.time() - 60) for one in peer.certificates)
            await store.peers.put(replace(peer, certificates=over))

    asyncio.run(age())
    status, told = check_at(places, SFR, capsys)
    assert status == 1
    assert "BAD  peer orange.example: its certificate ended on" in told
