"""What nothing else has caught stands in the node's log as every other line does."""

import asyncio
import ssl

import pytest

from joyn.cli.run import log_uncaught
from joyn.telemetry import counters


@pytest.mark.parametrize(
    "error", [ssl.SSLError("wrong version number"), ConnectionResetError(), ConnectionAbortedError]
)
def test_a_failed_handshake_is_counted_and_makes_no_noise(
    error: BaseException | type, caplog: pytest.LogCaptureFixture
) -> None:
    loop = asyncio.new_event_loop()
    before = counters().get("connection.unsecured", 0)
    log_uncaught(loop, {"message": "SSL handshake failed\nprotocol: x", "exception": error})
    loop.close()
    assert counters()["connection.unsecured"] == before + 1
    assert caplog.records == []


def test_a_bug_is_logged_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    loop = asyncio.new_event_loop()
    log_uncaught(loop, {"message": "Task exception was never retrieved\nmore", "exception": KeyError("k")})
    log_uncaught(loop, {"message": "something else"})
    loop.close()
    first, second = caplog.records
    assert first.getMessage() == "Task exception was never retrieved (KeyError)"
    assert first.exc_info is not None
    assert second.getMessage().startswith("something else")
