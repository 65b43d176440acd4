"""The part of the HTTP door with subscribers' own data, on a store in memory, and whoever is signed in."""

import asyncio

from aiohttp.test_utils import TestClient, TestServer

from joyn.edge.http import application
from joyn.edge.http.own_data import own_data
from joyn.model.aor import Aor, Numbering
from joyn.model.device import Device
from joyn.model.refused import Reason, Refused
from joyn.model.subscriber import Subscriber
from joyn.services.history import Cursors, Past
from joyn.services.push.push import Push
from joyn.services.push.vapid import make_key
from joyn.store.sqlite import open_store
from stories import as_test

ALICE, BOB, CAROL = (Aor(f"tel:+3363998000{number}") for number in (1, 2, 3))
NOON = 1_800_000_000.0
PUSH_HOSTS = ("push.example", "*.push.services.mozilla.com")


class Sessions:
    """Whoever says `Cookie: joyn-session=NUMBER/DEVICE` is that, as the sign-in would have found out."""

    async def of(self, request):
        aor, found, device = request.cookies.get("joyn-session", "").partition("/")
        if not found:
            raise Refused(Reason.UNAUTHENTICATED)
        return Aor(aor), device


class DataDoor:
    """What a test asks."""

    def __init__(self, store, push, providers):
        self.store = store
        self.push = push
        self.providers = providers
        self.client = None

    async def ask(self, method, path, who=ALICE, device="d1", **request):
        """The status and the JSON answered, None for no body."""
        headers = dict(request.pop("headers", {}))
        if who is not None:
            headers["Cookie"] = f"joyn-session={who}/{device}"
        async with self.client.request(method, path, headers=headers, **request) as response:
            text = await response.text()
            return response.status, (await response.json() if text else None)


def asked(story):
    """Make a test of a story that happens at the door."""

    def test(**arguments):
        async def play():
            store = open_store(":memory:", node="n", wall_clock=lambda: NOON, on_fatal=print)
            push = Push(
                store,
                await store.secrets.keep("push", make_key()),
                lambda _aor: (),
                contact="mailto:push@joyn.example",
                hosts=PUSH_HOSTS,
                insecure=False,
                ttl=60.0,
                patience=1.0,
                pause=1.0,
                wall=lambda: NOON,
            )
            for aor, name in ((ALICE, "Alice"), (BOB, "Bob")):
                await store.subscribers.put(
                    Subscriber(aor=aor, username=aor, realm="r", ha1={"MD5": "0"}, display_name=name)
                )
            for device, owner in (("d1", ALICE), ("d2", ALICE), ("b1", BOB)):
                assert await store.devices.add(
                    Device(id=device, aor=owner, kind="browser", token=device, username=device)
                )
            past = Past(store.history, Cursors(b"k" * 16), sleep=asyncio.sleep)
            providers = own_data(store, past, push, Numbering("FR", ("joyn.example",)), Sessions())
            door = DataDoor(store, push, providers)
            try:
                async with TestClient(TestServer(application(providers))) as client:
                    door.client = client
                    await story(door, **arguments)
            finally:
                await push.close()
                await store.close()

        asyncio.run(play())

    return as_test(story, test)
