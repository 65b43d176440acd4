"""A message that nobody took in time, and the word of it to its sender, are on disk together or not at all."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from contracts.store_values import ALICE, BOB, NOON
from joyn.store.sqlite import open_store
from store.expiring import report_of

EXPIRING = Path(__file__).with_name("expiring.py")
ALL = ["m0", "m1", "m2"]
REPORTS = [f"about {name}" for name in ALL]


@pytest.mark.parametrize(("killed", "due", "reports"), [("between", ALL, []), ("after", [], REPORTS)])
def test_a_node_that_is_killed_while_messages_expire_owes_no_report(tmp_path, killed, due, reports):
    path = tmp_path / "joyn.db"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    child = subprocess.run([sys.executable, str(EXPIRING), str(path), killed], env=environment, check=False)
    assert child.returncode == -signal.SIGKILL

    async def scenario():
        store = open_store(path, node="n1", wall_clock=lambda: NOON, on_fatal=print)

        async def mailbox(aor):
            return [entry.message.message_id for entry in await store.mailboxes.read(aor, 0, 10)]

        try:
            assert (await mailbox(BOB), await mailbox(ALICE)) == (due, reports)
            await store.mailboxes.expire(NOON + 1, report=report_of)
            assert (await mailbox(BOB), await mailbox(ALICE)) == ([], REPORTS)
        finally:
            await store.close()

    asyncio.run(scenario())
