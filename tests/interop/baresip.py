"""baresip: registers, with an account file and a configuration of its own."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from interop.network import readable
from interop.server import LISTENERS, Account, Server

MODULES = Path("/usr/lib/baresip/modules")
PATIENCE = 8.0
"""Seconds it may take to register."""


@contextmanager
def registered(server: Server, listener: str, account: Account, directory: Path) -> Iterator[None]:
    """baresip, registered while the block runs. Raises AssertionError with what it told when it does not register."""
    home = directory / "baresip"
    home.mkdir()
    transport = LISTENERS[listener][0]
    # What docs/howto/connect-baresip.md tells people to write.
    (home / "accounts").write_text(
        f"<{account.uri};transport={transport}>;auth_user={account.number};auth_pass={account.password}"
        f';outbound="{server.proxy(listener)}";regint=600\n'
    )
    (home / "config").write_text(
        f"module_path {MODULES}\nmodule_app account.so\nmodule_app menu.so\n"
        f"sip_listen 127.0.0.1:0\n#sip_cafile\nnet_interface 127.0.0.1\n"
    )
    log = directory / "baresip.log"
    with (
        log.open("wb") as told,
        subprocess.Popen(
            ["baresip", "-f", str(home), "-v"], stdout=told, stderr=told, stdin=subprocess.PIPE
        ) as process,
    ):
        try:
            _wait(log, process, "200 OK")
            yield
            process.terminate()
            process.wait(timeout=10)
        finally:
            process.kill()


def _wait(log: Path, process: subprocess.Popen[bytes], word: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while word not in readable(log):
        assert process.poll() is None, readable(log)
        assert time.monotonic() < deadline, readable(log)
        time.sleep(0.05)
