"""Foreign clients against a node: what each test of this directory needs.

They need Debian packages (`.ci/run` installs them) and the dependency group `interop`. Where one is missing the tests
fail, unless JOYN_INTEROP_OPTIONAL=1 says that this machine need not have them.
"""

import importlib.util
import os
import shutil
from collections.abc import Iterator

import pytest

from interop.network import private_network
from interop.server import Server, running_server
from interop.web_client import LIBRARIES, MODULES

PROGRAMS = {
    "sipp": "sip-tester",
    "baresip": "baresip-core",
    "linphone-daemon": "linphone-cli",
    "tshark": "tshark",
    "ip": "iproute2",
    "clamd": "clamav-daemon",
    "c-icap": "c-icap libc-icap-mod-virus-scan",
    "nginx": "nginx-light",
    "nsd": "nsd",
    "kamailio": "kamailio kamailio-tls-modules",
}
"""Each program and the Debian package it comes in."""


@pytest.fixture(scope="session", autouse=True)
def tools() -> None:
    """All clients are installed."""
    missing = [f"{program} (apt-get install {package})" for program, package in PROGRAMS.items() if not which(program)]
    if importlib.util.find_spec("pjsua2") is None:
        missing.append("pjsua2 (uv sync --group interop)")
    missing += [f"{name} (make web)" for name in LIBRARIES.values() if not (MODULES / name).is_dir()]
    if missing:
        told = f"not installed: {', '.join(missing)}"
        if os.environ.get("JOYN_INTEROP_OPTIONAL") == "1":
            pytest.skip(told)  # only where somebody has said that foreign clients may be missing
        pytest.fail(f"{told}; JOYN_INTEROP_OPTIONAL=1 leaves these tests out", pytrace=False)


def which(program: str) -> str | None:
    """Where a program is; `ip` is not in everybody's PATH."""
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


@pytest.fixture(scope="module")
def network(tools: None) -> Iterator[bool]:
    """A private network, where the system allows one."""
    with private_network() as private:
        yield private


@pytest.fixture(scope="module")
def server(network: bool, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A node for the tests of one file."""
    with running_server(tmp_path_factory.mktemp("node")) as running:
        yield running
