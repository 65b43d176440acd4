"""baresip: registers on every transport, for a subscriber whose policy is MD5 alone."""

import asyncio
from pathlib import Path

import pytest

from interop.baresip import registered
from interop.server import Server
from joyn.phone import Phone

pytestmark = pytest.mark.interop


@pytest.mark.parametrize("listener", ["udp", "tcp"])
def test_it_registers(server: Server, listener: str, tmp_path: Path) -> None:
    account, asker = server.subscriber("MD5"), server.subscriber()

    async def capabilities() -> str:
        async with Phone(asker.number, password=asker.password, server=server.address("tcp")) as phone:
            return (await phone.capabilities(account.number)).status

    with registered(server, listener, account, tmp_path):
        assert asyncio.run(capabilities()) == "online"
