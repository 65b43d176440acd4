"""What nothing else has caught stands in the node's log as every other line does."""

import asyncio
import ssl
from dataclasses import replace
from pathlib import Path

import pytest

from joyn.cli import main
from joyn.cli.run import log_uncaught
from joyn.config import HttpListener, load
from joyn.node import Node
from joyn.telemetry import counters
from phone.node import node_settings
from ports import free_port
from waiting import until


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


def test_a_failed_handshake_with_the_content_server_makes_no_noise_either(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert main(["init", str(tmp_path)]) == 0
    secure = next(one for one in load(tmp_path / "joyn.toml").files.listeners if one.transport == "https")
    listener = HttpListener(transport="https", port=free_port(), certificate=secure.certificate, key=secure.key)
    before = counters().get("connection.unsecured", 0)

    async def play() -> None:
        asyncio.get_running_loop().set_exception_handler(log_uncaught)
        with node_settings() as settings:
            node = Node(replace(settings, files=replace(settings.files, listeners=(listener,))))
            await node.start()
            try:
                # As a peer does that does not trust the certificate.
                with pytest.raises(ssl.SSLCertVerificationError):
                    await asyncio.open_connection("127.0.0.1", listener.port, ssl=ssl.create_default_context())
                await until(lambda: counters().get("connection.unsecured", 0) == before + 1)
            finally:
                await node.stop()

    asyncio.run(play())
    assert [one for one in caplog.records if one.exc_info] == []
