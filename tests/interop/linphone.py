"""linphone-daemon: registers, sends and receives text."""

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from interop import howto
from interop.client import PATIENCE, Client, running
from interop.server import Account, Server


class Linphone:
    """A registered linphone."""

    def __init__(self, client: Client, account: Account) -> None:
        self._account = account
        self._client = client

    def send(self, recipient: Account, text: str) -> None:
        """Send text, and wait until the server has taken it."""
        self._client.tell(f"message {recipient.uri} {text}")
        sent = rf"message {re.escape(recipient.uri)} {re.escape(text)}\s+Status: Ok\s+Id: (\S+)"
        message = self._client.expect(sent)[1]
        self._client.expect(
            rf"message-state-changed\s+Id: {re.escape(message)}\s+State: LinphoneChatMessageStateDelivered"
        )

    def receive(self, sender: Account, text: str) -> None:
        """Wait for text from somebody, addressed to us."""
        people = rf"From: <{re.escape(sender.uri)}[^>]*>\s+To: <{re.escape(self._account.uri)}[^>]*>"
        self._client.expect(rf"message-received\s+{people}\s+Id: \S+\s+Content: \"{re.escape(text)}\"")

    def finish(self) -> None:
        """Unregister and end."""
        self._client.finish("quit")


@contextmanager
def registered(server: Server, listener: str, account: Account, directory: Path) -> Iterator[Linphone]:
    """linphone, registered, with a home of its own. Raises AssertionError with what it told when it does not."""
    home = directory / f"linphone-{account.number}"
    for part in (".config/linphone", ".local/share/linphone"):  # without them it starts and never registers
        (home / part).mkdir(parents=True)
    settings = home / "linphonerc"
    settings.write_text(howto.settings("connect-linphone", "ini", server, listener, account))
    arguments = ["linphone-daemon", "--config", str(settings), "--log", str(home / "log")]
    with running(arguments, home, os.environ | {"HOME": str(home), "TMPDIR": str(home)}) as client:
        _wait_registered(client)
        yield Linphone(client, account)


def _wait_registered(client: Client) -> None:
    """It tells nobody of its registration by itself: ask until it has one."""
    deadline = time.monotonic() + PATIENCE
    told = 0
    while time.monotonic() < deadline:
        client.tell("register-info ALL")
        answer = client.expect(r"State: Linphone(\w+)", told)
        if answer[1] == "RegistrationOk":
            return
        told = answer.end()
        time.sleep(0.05)
    raise AssertionError(f"not registered: {answer[1]}")
