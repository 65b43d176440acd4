"""pjsua2: registers, sends and receives text and CPIM."""

import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from interop.client import Client, running
from interop.server import LISTENERS, Account, Server

PROGRAM = Path(__file__).parent / "pjsip_account.py"


class Pjsip:
    """A registered PJSIP account."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def send(self, recipient: str, body: str, content_type: str = "text/plain") -> None:
        """Send a body to a URI, and wait until the server has taken it."""
        self._client.tell(json.dumps({"send": recipient, "type": content_type, "body": body}))
        assert self._client.expect(r'"sent": (\d+)')[1] == "202"

    def receive(self, sender: Account, body: str, content_type: str = "text/plain") -> None:
        """Wait for a body from somebody."""
        told = json.dumps({"type": content_type, "body": body})[1:-1]
        self._client.expect(
            rf'"received": {{"from": "<{re.escape(sender.uri)}[^"]*", "to": "[^"]*", {re.escape(told)}}}'
        )


@contextmanager
def registered(
    server: Server, listener: str, account: Account, directory: Path, *, status: int = 200, verbosity: int = 0
) -> Iterator[Pjsip]:
    """A PJSIP account whose REGISTER has been answered with `status`. Raises AssertionError with what it told."""
    home = directory / f"pjsip-{account.number}"
    home.mkdir()
    settings = {
        "uri": account.uri,
        "domain": account.domain,
        "username": account.number,
        "password": account.password,
        "proxy": server.proxy(listener),
        "transport": LISTENERS[listener][0],
        "authority": str(server.certificate_authority),
        "verbosity": verbosity,
    }
    with running([sys.executable, str(PROGRAM), json.dumps(settings)], home) as client:
        assert int(client.expect(r'"registered": (\d+)')[1]) == status
        yield Pjsip(client)
        client.tell('{"quit": true}')
        client.process.wait(timeout=10)
