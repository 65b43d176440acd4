"""joyn_subscribers.py CONFIG COUNT: users u000000… with passwords pw000000…, put straight into the store."""

import asyncio
import sys
from pathlib import Path

from joyn.config import load
from joyn.model.aor import Aor
from joyn.model.subscriber import Subscriber
from joyn.node import open_store
from joyn.protocol.sip.digest import ha1


async def main() -> None:
    settings = load(Path(sys.argv[1]))
    settings.operator.data.mkdir(parents=True, exist_ok=True)
    realm = settings.operator.realm or settings.operator.domain
    async with open_store(settings) as store:

        async def add(i: int) -> None:
            user = f"u{i:06d}"
            aor = Aor(f"sip:{user}@{settings.operator.domain}")
            secret = {"MD5": ha1(user, realm, f"pw{i:06d}")}
            await store.subscribers.put(
                Subscriber(aor=aor, username=user, realm=realm, ha1=secret, algorithms=("MD5",))
            )

        count = int(sys.argv[2])
        for first in range(0, count, 500):
            await asyncio.gather(*(add(i) for i in range(first, min(first + 500, count))))


asyncio.run(main())
