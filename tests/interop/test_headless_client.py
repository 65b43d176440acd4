"""The web client's engine without a page, run by Node against a node: two browsers, everything that one can do."""

import os
import subprocess
from pathlib import Path

import pytest

from browser.people import Place
from interop.web_client import MODULES, NODE
from phone.node import BOB, CAROL

pytestmark = [pytest.mark.interop, pytest.mark.timeout(150)]


def test_two_browsers_chat_over_a_real_node(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.start()
    try:
        environment = {
            **os.environ,
            "JOYN_NODE": place.url,
            "JOYN_SMS": str(place.directory / "data" / "sms-outbox.jsonl"),
            "JOYN_NUMBERS": f"{CAROL},{BOB}",
        }
        vitest = [str(NODE), str(MODULES / "vitest" / "vitest.mjs"), "run", "tests/client/real.test.ts"]
        done = subprocess.run(
            vitest, cwd=MODULES.parent, env=environment, capture_output=True, text=True, timeout=100, check=False
        )
    finally:
        place.stop()
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "1 passed" in done.stdout
