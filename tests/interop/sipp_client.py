"""SIPp: plays a scenario of `sipp/` and says whether the server answered as the scenario expects."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from interop.network import readable
from interop.server import DOMAIN, LISTENERS, Account, Server

SCENARIOS = Path(__file__).parent / "sipp"
PATIENCE = 15
"""Seconds a scenario may take."""


def play(
    scenario: str,
    server: Server,
    listener: str,
    account: Account,
    directory: Path,
    *,
    uri: str = "",
    password: str = "",
    port: int = 0,
    **keys: str,
) -> None:
    """Play a scenario to its end. `uri` is what the digest is made for (SIPp takes one a run), without its scheme.

    `keys` are `[name]`s in the scenario. Raises AssertionError with SIPp's own report when an answer is not the
    expected one.
    """
    with playing(scenario, server, listener, account, directory, uri=uri, password=password, port=port, **keys):
        pass


@contextmanager
def playing(
    scenario: str,
    server: Server,
    listener: str,
    account: Account,
    directory: Path,
    *,
    uri: str = "",
    password: str = "",
    port: int = 0,
    **keys: str,
) -> Iterator[None]:
    """The same, while the block does its part; the scenario's end is waited for when the block is done."""
    errors, messages = directory / f"{scenario}.errors", directory / f"{scenario}.messages"
    arguments = [
        *("sipp", server.address(listener), "-sf", str(SCENARIOS / f"{scenario}.xml"), "-m", "1"),
        *("-t", "u1" if LISTENERS[listener][0] == "udp" else "t1", "-i", "127.0.0.1", "-nostdin"),
        *("-timeout", str(PATIENCE), "-timeout_error", "-recv_timeout", str(PATIENCE * 1000)),
        *("-trace_err", "-error_file", str(errors), "-trace_msg", "-message_file", str(messages)),
        *("-au", account.number, "-ap", password or account.password, "-auth_uri", uri or DOMAIN),
    ]
    if port:
        arguments += ["-p", str(port)]
    known = {
        "number": account.number,
        "domain": account.domain,
        "expires": "3600",
        "tags": "",
    }
    for name, value in (known | keys).items():
        arguments += ["-key", name, value]
    with (directory / f"{scenario}.screen").open("wb") as screen:
        process = subprocess.Popen(arguments, cwd=directory, stdout=screen, stderr=screen, stdin=subprocess.DEVNULL)
    try:
        yield
        status = process.wait(timeout=PATIENCE + 5)
    finally:
        process.kill()
        process.wait()
    assert status == 0, f"SIPp ended with {status}:\n{readable(errors)}\n{readable(messages)}"
