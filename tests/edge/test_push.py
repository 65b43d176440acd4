"""A SIP device that sleeps is woken through its push service, and gets what it missed (RFC 8599)."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sized
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from edge.stranger import DOMAIN, Stranger, aor
from joyn.config import PushSettings
from joyn.node import Node
from joyn.phone import Phone
from joyn.protocol.sip.message import SipRequest, SipResponse
from phone.node import ALICE, CAROL, make_phone, make_subscriber, node_settings
from waiting import until

PATIENCE = 5.0
STORED = ("processing", "positive-delivery")


class PushService:
    """A push service on loopback: notes who is called."""

    def __init__(self) -> None:
        self.calls: asyncio.Queue[web.BaseRequest] = asyncio.Queue()
        self.status = 201

    async def __aenter__(self) -> "PushService":
        async def called(request: web.BaseRequest) -> web.StreamResponse:
            self.calls.put_nowait(request)
            return web.Response(status=self.status)

        self._runner = web.ServerRunner(web.Server(called))
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def call(self) -> web.BaseRequest:
        return await asyncio.wait_for(self.calls.get(), PATIENCE)


class Sleeper(Stranger):
    """Carol's phone, whose contact says how it is woken."""

    push = ""
    expires = 3600

    def contact(self, number: str) -> str:
        uri, bracket, rest = super().contact(number).partition(">")
        return f"{uri}{self.push}{bracket}{rest};expires={self.expires}"


class House:
    def __init__(self, node: Node, port: int, service: PushService, alice: Phone) -> None:
        self.node, self.port, self.service, self.alice = node, port, service, alice
        self.resource = f"http%3A%2F%2F127.0.0.1%3A{service.port}%2Fp%2F1"

    def phone(self, push: str | None = None) -> Sleeper:
        sleeper = Sleeper("tcp", self.port)
        sleeper.push = f";pn-provider=webpush;pn-prid={self.resource}" if push is None else push
        return sleeper

    def sleeping(self) -> int:
        return len(self.node.push.waking.targets(aor(CAROL)))

    async def gone(self) -> None:
        """Returns when the node has noticed that Carol's phone is away."""
        await until(lambda: not self.node.registrar.of(aor(CAROL)))


async def nothing_of(asked: Awaitable[Sized]) -> bool:
    return not len(await asked)


@asynccontextmanager
async def house(**push: Any) -> AsyncIterator[House]:
    async with PushService() as service:
        with node_settings() as settings:
            allowed = PushSettings(hosts=("127.0.0.1",), insecure=True, **push)
            node = Node(replace(settings, push=allowed))
            await node.start()
            try:
                for number in (ALICE, CAROL):
                    await node.store.subscribers.put(make_subscriber(number, settings.operator.domain))
                port = settings.sip.listeners[1].port
                async with make_phone({"tcp": f"127.0.0.1:{port}"}, ALICE) as alice:
                    yield House(node, port, service, alice)
            finally:
                await node.stop()


def lived(story: Any, **push: Any) -> None:
    async def play() -> None:
        async with house(**push) as home:
            await story(home)

    asyncio.run(play())


async def message(phone: Stranger) -> SipRequest:
    while True:
        heard = await phone.hear()
        assert heard is not None
        if isinstance(heard, SipRequest) and heard.method == "MESSAGE":
            return heard


def test_a_sleeping_phone_is_called_comes_and_has_the_message_and_nobody_speaks_of_stored() -> None:
    async def story(home: House) -> None:
        async with home.phone() as phone:
            answer = await phone.register()
            assert answer.status == 200
            assert answer.header("feature-caps") == home.node.push.contacts.feature_caps
            await until(lambda: home.sleeping() == 1)
        await home.gone()
        sent = await home.alice.send(CAROL, "debout", mode="pager", request=STORED)
        call = await home.service.call()
        assert (call.path, call.headers["TTL"], call.headers["Content-Length"]) == ("/p/1", "86400", "0")
        assert call.headers["Authorization"].startswith("vapid t=")
        async with home.phone() as phone:
            await phone.register()
            assert b"debout" in (await message(phone)).body
        assert not sent.reached("stored")

    lived(story)


def test_when_nobody_comes_the_message_is_stored_after_all() -> None:
    async def story(home: House) -> None:
        async with home.phone() as phone:
            await phone.register()
            await until(lambda: home.sleeping() == 1)
        await home.gone()
        sent = await home.alice.send(CAROL, "debout", mode="pager", request=STORED)
        await home.service.call()
        await until(lambda: sent.reached("stored"))

    lived(story, wait=0.05)


@pytest.mark.parametrize(
    "push", [";pn-provider=apns;pn-prid=token", ";pn-provider=webpush;pn-prid=https%3A%2F%2Fevil.example%2F"]
)
def test_another_push_service_is_answered_555_and_leaves_no_binding(push: str) -> None:
    async def story(home: House) -> None:
        async with home.phone(push) as phone:
            answer = await phone.register()
            assert (answer.status, answer.reason) == (555, "Push Notification Service Not Supported")
            assert answer.header("feature-caps") == home.node.push.contacts.feature_caps
        assert (home.node.registrar.of(aor(CAROL)), home.sleeping()) == ((), 0)

    lived(story)


def test_a_phone_can_ask_which_push_services_there_are() -> None:
    async def story(home: House) -> None:
        async with home.phone(";pn-provider") as phone:
            answer = await phone.register()
            assert (answer.status, answer.header("feature-caps")) == (200, home.node.push.contacts.feature_caps)
        async with home.phone("") as phone:
            answer = await phone.register()
            assert (answer.status, answer.header("feature-caps")) == (200, None)
        assert home.sleeping() == 0

    lived(story)


def test_a_phone_that_unregisters_is_not_woken() -> None:
    async def story(home: House) -> None:
        async with home.phone() as phone:
            await phone.register()
            await until(lambda: home.sleeping() == 1)
            phone.expires = 0
            contact = [("Contact", phone.contact(CAROL))]
            uri = f"sip:{DOMAIN}"
            to = f"<sip:{CAROL}@{DOMAIN};user=phone>"
            answer: SipResponse = await phone.again("REGISTER", uri, from_=CAROL, to=to, more=contact)
            assert answer.status == 200
            await until(lambda: home.sleeping() == 0)

    lived(story)


def test_a_phone_that_falls_asleep_over_a_message_is_called_back() -> None:
    async def story(home: House) -> None:
        async with home.phone() as phone:
            await phone.register()
            await until(lambda: home.sleeping() == 1)
            await home.alice.send(CAROL, "debout", mode="pager")
            assert b"debout" in (await message(phone)).body
            assert home.service.calls.empty()
        await home.service.call()

    lived(story)


def test_a_push_resource_that_is_gone_is_forgotten() -> None:
    async def story(home: House) -> None:
        home.service.status = 410
        async with home.phone() as phone:
            await phone.register()
            await until(lambda: home.sleeping() == 1)
        await home.gone()
        await home.alice.send(CAROL, "debout", mode="pager")
        await home.service.call()
        await until(lambda: nothing_of(home.node.store.push_targets.all()))
        assert home.sleeping() == 0

    lived(story)


def test_a_subscriber_who_is_blocked_is_not_woken() -> None:
    async def story(home: House) -> None:
        async with home.phone() as phone:
            await phone.register()
            await until(lambda: home.sleeping() == 1)
            subscriber = await home.node.store.subscribers.get(aor(CAROL))
            assert subscriber is not None
            await home.node.store.subscribers.put(replace(subscriber, blocked=True))
            await home.node._changed(aor(CAROL))
        assert home.sleeping() == 0

    lived(story)
