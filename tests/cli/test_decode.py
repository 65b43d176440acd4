import base64
import json
import string
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from joyn.cli import main
from joyn.cli.decode import decode, pointed
from joyn.protocol.errors import ParseError

VECTORS = Path(__file__).parent.parent / "vectors"
SIP = b"MESSAGE sip:+33639980002@joyn.localhost SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bK1\r\n"
REST = (
    b"From: <sip:+33639980001@joyn.localhost>;tag=1\r\nTo: <sip:+33639980002@joyn.localhost>\r\n"
    b"Call-ID: c\r\nCSeq: 1 MESSAGE\r\n"
)
CPIM = (
    b"From: <sip:a@joyn.localhost>\r\nTo: <sip:b@joyn.localhost>\r\n\r\n"
    b"Content-Type: text/plain\r\n\r\nsee you at eight"
)


def wire_of(vector: dict[str, str]) -> bytes:
    return base64.b64decode(vector["wire_base64"]) if "wire_base64" in vector else vector["wire"].encode()


@pytest.mark.parametrize(
    ("kind", "folder", "least"), [("cpim", "cpim", 10), ("msrp", "msrp", 20), ("sip", "sip/messages", 5)]
)
def test_every_vector_is_judged_as_it_should_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: Literal["sip", "msrp", "cpim"], folder: str, least: int
) -> None:
    found = sorted((VECTORS / folder).glob("*.json"))
    assert len(found) >= least
    for path in found:
        vector = json.loads(path.read_text("utf-8"))
        (tmp_path / "wire").write_bytes(wire_of(vector))
        assert decode(kind, tmp_path / "wire") == (1 if "error" in vector else 0), path.name
        assert (f"not valid {kind.upper()}" in capsys.readouterr().out) == ("error" in vector), path.name


def test_a_sip_message_is_taken_apart_down_to_its_cpim_body(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    head = SIP + REST + b"Content-Type: message/cpim\r\nContent-Length: %d\r\n\r\n" % len(CPIM)
    (tmp_path / "m").write_bytes(head + CPIM)
    assert main(["decode", "sip", str(tmp_path / "m")]) == 0
    told = capsys.readouterr().out
    assert told.startswith("request MESSAGE sip:+33639980002@joyn.localhost\n")
    for part in ("call-id", f"body, {len(CPIM)} bytes: CPIM", "see you at eight"):
        assert part in told


def test_a_bad_sip_header_is_pointed_at(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "m").write_bytes(SIP + b"no colon here\r\n" + REST + b"\r\n")
    assert main(["decode", "sip", str(tmp_path / "m")]) == 1
    told = capsys.readouterr().out
    assert "line 3, column 1" in told
    assert "    no colon here\n    ^\n" in told


def test_a_sip_message_without_a_mandatory_header_is_not_valid(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "m").write_bytes(SIP + b"\r\n")
    assert main(["decode", "sip", str(tmp_path / "m")]) == 1
    assert "no from header" in capsys.readouterr().out


def test_an_msrp_frame_is_taken_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = (
        b"MSRP a786hjs2 SEND\r\nTo-Path: msrp://b.example:7394/2s93i9ek2a;tcp\r\n"
        b"From-Path: msrp://a.example:7654/jshA7weztas;tcp\r\nMessage-ID: 87652491\r\nByte-Range: 1-3/3\r\n"
        b"Content-Type: text/plain\r\n\r\nhi!\r\n-------a786hjs2$\r\n"
    )
    (tmp_path / "m").write_bytes(frame)
    assert main(["decode", "msrp", str(tmp_path / "m")]) == 0
    told = capsys.readouterr().out
    assert "request SEND (transaction a786hjs2)" in told
    assert "body, 3 bytes" in told
    (tmp_path / "m").write_bytes(frame[:-4])
    assert main(["decode", "msrp", str(tmp_path / "m")]) == 1
    assert "the frame has no end-line" in capsys.readouterr().out


def test_what_a_peer_wrote_cannot_steer_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "m").write_bytes(CPIM.replace(b"eight", b"\x1b]0;eight\x07"))
    assert main(["decode", "cpim", str(tmp_path / "m")]) == 0
    told = capsys.readouterr().out
    assert "\x1b" not in told
    assert "\\x1b]0;eight" in told


def test_the_caret_stands_below_the_place_in_a_long_line() -> None:
    line = string.ascii_letters * 10
    *_, shown, caret = pointed(b"first\r\n" + line.encode() + b"\r\nlast", ParseError("bad", 7 + 300)).split("\n")
    assert shown[caret.index("^")] == line[300]


def test_a_file_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["decode", "sip", "no-such-file"]) == 1
    assert "no-such-file: No such file" in capsys.readouterr().err


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=120), st.sampled_from(["sip", "msrp", "cpim"]), st.sampled_from([b"", SIP, CPIM, b"MSRP a"]))
def test_any_bytes_are_valid_or_not(tmp_path: Path, data: bytes, kind: str, before: bytes) -> None:
    (tmp_path / "m").write_bytes(before + data)
    assert main(["decode", kind, str(tmp_path / "m")]) in (0, 1)
