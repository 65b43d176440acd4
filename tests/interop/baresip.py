"""baresip: registers, with an account file and a configuration of its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from interop import howto
from interop.client import Client, running
from interop.server import Account, Server


@contextmanager
def registered(server: Server, listener: str, account: Account, directory: Path) -> Iterator[Client]:
    """baresip, registered. Raises AssertionError with what it told when it does not register."""
    home = directory / "baresip"
    home.mkdir()
    for file in ("accounts", "config"):
        (home / file).write_text(howto.settings("connect-baresip", file, server, listener, account))
    with running(["baresip", "-f", str(home), "-v"], home) as client:
        client.expect("200 OK")
        yield client
        client.finish()
