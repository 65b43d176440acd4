"""What `joyn peer` points at before somebody agrees."""

import pytest

from joyn.cli.peer_words import described, shortened, state_of, until, warnings_of
from joyn.cli.printing import moment
from joyn.config import InterconnectSettings
from joyn.model.peer import Peer, PeerCertificate
from joyn.model.peer_file import PeerFile

NOON = 1_800_000_000.0
DAY = 86400.0


def make_file(*, begins: float = NOON - DAY, ends: float = NOON + 300 * DAY, **fields) -> PeerFile:
    certificate = PeerCertificate(fingerprint="ab" * 32, pem="", not_before=begins, not_after=ends)
    said = {"domain": "orange.example", "name": "Orange", "certificates": (certificate,)} | fields
    return PeerFile(peer=Peer(**said))


@pytest.mark.parametrize(
    ("file", "said"),
    [
        (make_file(), None),
        (make_file(ranges=("+3360", "+34")), "+3360 meets +33601 of this operator: the longer one decides"),
        (make_file(ranges=("+336012",)), "+336012 meets +33601 of this operator"),
        (make_file(ranges=("+49151",)), "+49151 meets +4915 of DT"),
        (make_file(ranges=("+3361", "+33602")), None),
        (make_file(transit=("dt.example",)), "dt.example is behind it, which is a peer itself"),
        (make_file(transit=("free.example", "a.example")), "free.example is behind dt.example too"),
        (make_file(domain="small.example"), "dt.example says that this operator is behind it"),
        (make_file(files="http://files.orange.example"), "fetched from http://files.orange.example without TLS"),
        (make_file(files="https://files.orange.example"), None),
        (make_file(ends=NOON), "ended on"),
        (make_file(begins=NOON + 1), "holds only from"),
        (make_file(ends=NOON + 29 * DAY), "ends on"),
    ],
)
def test_what_deserves_a_second_look_is_named(file: PeerFile, said: str | None) -> None:
    other = {
        "domain": "dt.example",
        "name": "DT",
        "ranges": ["+4915"],
        "transit": ["free.example", "small.example"],
    }
    found = list(warnings_of(file, ("+33601",), [other], NOON))
    assert len(found) == (said is not None)
    assert said is None or said in found[0]


def shown(**fields) -> dict[str, object]:
    return {"paused": False, "health": None, "certificates": []} | fields


def test_a_peer_s_state_is_a_word_or_two() -> None:
    assert state_of(shown()) == "unknown: no node runs"
    assert state_of(shown(health={"connected": 0})) == "not connected"
    assert state_of(shown(health={"connected": 2})) == "connected"
    assert state_of(shown(health={"connected": 2}, paused=True)) == "paused"


def test_the_certificate_that_holds_longest_counts() -> None:
    assert until(shown()) == "none"
    assert until(shown(certificates=[{"not_after": 1.0}, {"not_after": 4e9}])) == "2096-10-02"
    assert until(shown(certificates=[{"not_after": 1.0}])) == "1970-01-01 (over)"


def test_many_ranges_are_counted() -> None:
    assert shortened(()) == "none"
    assert shortened([f"+{n}" for n in range(10, 30)]).endswith("+21 and 8 more")


def make_shown_peer(**fields) -> dict[str, object]:
    peer = {"domain": "orange.example", "name": "Orange", "addresses": [], "ranges": [], "files": "", "transit": []}
    agreed = {"file_policy": "localise", "rate": 0, "keep_for": 0.0, "changed_at": NOON, "queue": 0}
    return shown() | peer | agreed | fields


def test_every_word_of_the_node_about_a_peer_is_shown_with_what_it_counts() -> None:
    health = {"connected": 1, "ready": True, "queue": 4, "oldest": NOON, "taken": 1, "refused": 0, "last_error": ""}
    lines = dict(described(make_shown_peer(queue=4, health=health | {"sent_on": 7}), InterconnectSettings()))
    assert lines["connections"] == "1 that we opened"
    assert lines["sending"] == "possible now"
    assert lines["waiting for it"] == f"4 messages and receipts, the first since {moment(NOON)}"
    assert lines["taken by it"] == "1 message or receipt since this node started"
    assert lines["refused by it"] == "0 messages and receipts since this node started"
    assert (lines["last error"], lines["sent on"]) == ("none", "7")
    assert "queue" not in lines


def test_whose_bounds_hold_for_a_peer_is_said() -> None:
    lines = dict(described(make_shown_peer(rate=200), InterconnectSettings()))
    assert lines["may send"] == "200 requests a second (agreed for this peer)"
    assert lines["what waits"] == "is kept for 7d (interconnect.keep_for)"
    lines = dict(described(make_shown_peer(keep_for=90.0), InterconnectSettings(rate=50)))
    assert lines["may send"] == "50 requests a second (interconnect.rate)"
    assert lines["what waits"] == "is kept for 90s (agreed for this peer)"


def test_where_a_peer_s_files_and_numbers_lead_is_said() -> None:
    lines = dict(described(make_shown_peer(transit=["a.b"]), InterconnectSettings()))
    assert (lines["its files"], lines["leads to"]) == ("none", "a.b")
    assert lines["its numbers"].startswith("none: ENUM")
    files = "https://files.orange.example"
    lines = dict(described(make_shown_peer(files=files, ranges=["+3360"]), InterconnectSettings()))
    assert lines["its files"] == f"{files}, through our content server (localise)"
    assert lines["its numbers"] == "+3360"
    direct = make_shown_peer(files=files, file_policy="direct")
    assert "devices fetch from there (direct)" in dict(described(direct, InterconnectSettings()))["its files"]
