"""baresip: registers, with an account file and a configuration of its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from interop.client import Client, running
from interop.server import LISTENERS, Account, Server

MODULES = Path("/usr/lib/baresip/modules")


@contextmanager
def registered(server: Server, listener: str, account: Account, directory: Path) -> Iterator[Client]:
    """baresip, registered. Raises AssertionError with what it told when it does not register."""
    home = directory / "baresip"
    home.mkdir()
    # What docs/howto/connect-baresip.md tells people to write.
    (home / "accounts").write_text(
        f"<{account.uri};transport={LISTENERS[listener][0]}>;auth_user={account.number};auth_pass={account.password}"
        f';outbound="{server.proxy(listener)}";regint=600\n'
    )
    (home / "config").write_text(
        f"module_path {MODULES}\nmodule_app account.so\nmodule_app menu.so\n"
        "sip_listen 127.0.0.1:0\nnet_interface 127.0.0.1\n"
    )
    with running(["baresip", "-f", str(home), "-v"], home) as client:
        client.expect("200 OK")
        yield client
        client.finish()
