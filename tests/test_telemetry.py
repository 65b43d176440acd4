import ast
import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

import joyn
from joyn import telemetry
from joyn.telemetry import EVENTS, UndocumentedEvent, configure, counter, counters, event, mask

NUMBER = "+33639980001"


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    before = (list(telemetry.LOGGER.handlers), telemetry.LOGGER.level, telemetry.LOGGER.propagate)
    configure("debug", "text", stream)
    yield stream
    telemetry.LOGGER.handlers[:], telemetry.LOGGER.propagate = before[0], before[2]
    telemetry.LOGGER.setLevel(before[1])


def test_an_event_counts_and_writes_one_line(log: io.StringIO) -> None:
    before = counter("node.started").value
    event("node.started", listeners=2, note="two words")
    assert counters()["node.started"] == before + 1
    assert log.getvalue().endswith('Z INFO node.started listeners=2 note="two words"\n')


def test_a_counter_counts_and_writes_nothing(log: io.StringIO) -> None:
    held = counter("message.accepted")
    before = held.value
    held.inc()
    held.inc(3)
    assert counters()["message.accepted"] == before + 4
    assert not log.getvalue()


def test_an_undocumented_name_is_an_error() -> None:
    for call in (event, counter, telemetry.level_of):
        with pytest.raises(UndocumentedEvent, match=r"message\.eaten"):
            call("message.eaten")


def test_what_happens_per_message_is_silent_at_info(log: io.StringIO) -> None:
    configure("info", "text", log)
    for name in EVENTS:
        if name.startswith(("message.", "receipt.")) and telemetry.level_of(name) == "debug":
            event(name)
    assert not log.getvalue()
    assert {"message.accepted", "message.acknowledged", "receipt.accepted", "request.received"} <= {
        name for name in EVENTS if telemetry.level_of(name) == "debug"
    }


def test_a_number_keeps_its_beginning_and_loses_its_last_four_digits() -> None:
    assert mask(f"tel:{NUMBER}") == "tel:+3363998xxxx"
    assert mask("0639980001") == "063998xxxx"
    assert mask(f"sip:{NUMBER}@joyn.localhost;user=phone") == "sip:+3363998xxxx@joyn.localhost;user=phone"
    assert mask("sip:alice@joyn.localhost") == "sip:a…@joyn.localhost"


@pytest.mark.parametrize("form", ["text", "json"])
def test_neither_numbers_nor_bodies_nor_passwords_reach_the_log(log: io.StringIO, form: str) -> None:
    configure("debug", "json" if form == "json" else "text", log)
    event(
        "message.refused",
        aor=f"tel:{NUMBER}",
        from_=f"sip:{NUMBER}@joyn.localhost",
        reason=f"no such subscriber: {NUMBER}",
        body="see you at eight",
        cpim=b"see you at eight",
        raw=b"see you at eight",
        password="hunter2",
    )
    written = log.getvalue()
    for secret in ("0001", "eight", "hunter2"):
        assert secret not in written
    assert "16 bytes" in written


def test_a_value_cannot_write_a_second_line_or_another_field(log: io.StringIO) -> None:
    event("request.malformed", reason='x\n2026 INFO node.stopped\x1b[2J aor="y"')
    assert log.getvalue().count("\n") == 1
    assert "\x1b" not in log.getvalue()
    assert 'reason="x\\n' in log.getvalue()


def test_json_is_one_object_a_line(log: io.StringIO) -> None:
    configure("debug", "json", log)
    event("binding.added", aor=f"tel:{NUMBER}", reg_id=1, level="a field of that name")
    logging.getLogger("joyn.node").error("not an event")
    first, second = map(json.loads, log.getvalue().splitlines())
    assert (first["event"], first["aor"], first["reg_id"], first["level"]) == (
        "binding.added",
        "tel:+3363998xxxx",
        1,
        "debug",
    )
    assert (second["text"], second["level"]) == ("not an event", "error")


def test_every_event_in_the_code_is_documented() -> None:
    used = {}
    for file in Path(joyn.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
                called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                if called in ("event", "counter"):
                    used[node.args[0].value] = file.name
    assert {name: file for name, file in used.items() if name not in EVENTS} == {}
    assert len(used) > 5


def test_names_are_noun_and_past_participle_and_sentences_are_sentences() -> None:
    for name, sentence in EVENTS.items():
        noun, _, participle = name.partition(".")
        assert noun.isalpha()
        assert participle.replace("_", "").isalpha()
        assert sentence.endswith(".")
