"""Signing a device out: whatever it registered as, it is gone at once; what cannot be written changes nothing."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Any

import pytest

from edge.http.browser import Browser, Office, at_office
from edge.http.setting_up import Visitor, busy
from edge.http.test_websocket_chat import CHAT, make_offer, open_chat
from joyn.model.aor import Aor
from joyn.model.push import PushTarget
from joyn.protocol.config_document import understand
from joyn.protocol.sip.digest import Authenticator
from joyn.protocol.sip.message import SipRequest, SipResponse
from joyn.services.provisioning.devices import About
from phone.node import ALICE, CAROL
from waiting import until

CAROL_AOR = Aor(f"tel:{CAROL}")
DOMAIN = "sip:joyn.localhost"
CONTACT = "sip:b@df7jal23ls0d.invalid;transport=ws"


@dataclass(frozen=True)
class Home:
    """Carol's page, and another device of hers, which has SIP credentials and a socket to use them on."""

    office: Office
    page: Visitor
    other: Visitor
    device: str
    socket: Browser

    async def sign_out(self) -> None:
        """The other device, from the page."""
        assert (await self.page.ask("DELETE", f"/api/devices/{self.device}")).status == 204

    async def is_nowhere(self) -> bool:
        """Whether Carol has no device registered, now and after a restart."""
        kept = await self.office.node.store.bindings.of(CAROL_AOR)
        return not self.office.node.registrar.of(CAROL_AOR) and not kept


def at_home(story: Callable[[Home], Awaitable[None]]) -> None:
    """Play a story there."""

    async def play(office: Office) -> None:
        page, other = Visitor(office), Visitor(office)
        await page.sign_in()
        # Nobody is sent two codes at once, so it is made by hand.
        device, token = await office.node.setting_up.devices.set_up(CAROL_AOR, "browser", About(name="Phone"))
        other.cookies["joyn-session"] = token
        async with office.browser() as socket:
            socket.digest = await credentials(other)
            await story(Home(office, page, other, device.id, socket))

    at_office(play)


async def credentials(visitor: Visitor) -> Authenticator:
    """The SIP credentials a browser is given."""
    ims = understand((await visitor.ask("GET", "/config?vers=0&rcs_profile=UP_2.4")).body).ims
    assert ims is not None
    return Authenticator(ims.username, ims.password, lambda: "0a4f113b")


class Held:
    """Does something, but not before it is let go on."""

    def __init__(self, work: Callable[..., Awaitable[Any]]) -> None:
        self._work = work
        self._begun, self._gate = asyncio.Event(), asyncio.Event()

    async def __call__(self, *arguments: Any, **named: Any) -> Any:
        self._begun.set()
        await self._gate.wait()
        return await self._work(*arguments, **named)

    async def begun(self) -> None:
        await asyncio.wait_for(self._begun.wait(), 5)

    def go_on(self) -> None:
        self._gate.set()


async def proved(browser: Browser, method: str, uri: str, body: str, *more: tuple[str, str]) -> SipResponse:
    """The final answer to a request that proves itself by its own credentials, without a registration."""
    await browser.say(browser.request(method, uri, body, *more))
    assert browser.digest.challenged(await final(browser))
    header = "Authorization" if method == "REGISTER" else "Proxy-Authorization"
    proof = [(header, value) for _, value in browser.digest.authorize(method, uri, body.encode())]
    await browser.say(browser.request(method, uri, body, *more, *proof))
    return await final(browser)


async def final(browser: Browser) -> SipResponse:
    while (answer := await browser.answer()).status < 200:
        pass
    return answer


async def invited(home: Home, *more: tuple[str, str]) -> int:
    """How Alice is invited by credentials alone."""
    headers = (("Contact", f"<{CONTACT}>"), ("Accept-Contact", CHAT), ("Content-Type", "application/sdp"))
    answer = await proved(home.socket, "INVITE", f"tel:{ALICE}", make_offer(home.office), *headers, *more)
    return answer.status


# What it registered.


@pytest.mark.parametrize("instances", [("urn:uuid:a",), ("",), ("urn:uuid:a", "urn:uuid:b"), ("urn:uuid:a", "")])
def test_whatever_it_registered_as_is_gone_at_once(instances: tuple[str, ...]) -> None:
    async def story(home: Home) -> None:
        async with AsyncExitStack() as stack:
            sockets = [await stack.enter_async_context(home.office.browser()) for _ in instances]
            for socket, instance in zip(sockets, instances, strict=True):
                socket.digest = home.socket.digest
                assert (await socket.register(instance)).status == 200
            assert len(home.office.node.registrar.of(CAROL_AOR)) == len(instances)
            await home.sign_out()
            for socket in sockets:
                assert await socket.ended() is not None
        assert await home.is_nowhere()
        assert (await home.socket.register()).status == 401

    at_home(story)


def test_signing_the_others_out_leaves_the_one_that_asks() -> None:
    async def story(home: Home) -> None:
        async with home.office.browser() as here:
            here.digest = await credentials(home.page)
            assert (await here.register("urn:uuid:here")).status == 200
            assert (await home.socket.register()).status == 200
            assert (await home.page.ask("POST", "/api/devices/sign-out-others")).status == 204
            assert await home.socket.ended() is not None
            assert [one.instance for one in home.office.node.registrar.of(CAROL_AOR)] == ["urn:uuid:here"]
            assert (await here.register("urn:uuid:here")).status == 200
        told = await home.other.ask("GET", "/api/session")
        assert (told.status, told.json, home.other.cookies) == (401, {"error": "signed-out-elsewhere"}, {})
        assert (await home.page.ask("GET", "/api/session")).status == 200

    at_home(story)


def test_what_another_device_registered_stays() -> None:
    """A device cannot have another's registration ended by registering under its name."""

    async def story(home: Home) -> None:
        async with home.office.browser() as first:
            first.digest = await credentials(home.page)
            for socket in (home.socket, first):
                assert (await socket.register("urn:uuid:same")).status == 200
            await home.sign_out()
            assert [one.username for one in home.office.node.registrar.of(CAROL_AOR)] == [first.digest.username]

    at_home(story)


def test_what_the_store_does_not_take_now_changes_nothing_and_can_be_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(home: Home) -> None:
        node = home.office.node
        target = PushTarget(aor=CAROL_AOR, device=home.device, endpoint="https://push.example/1", p256dh="k", auth="a")
        await node.push.waking.add(target)
        assert (await home.socket.register()).status == 200
        with monkeypatch.context() as patch:
            patch.setattr(node.store.devices, "remove", busy)
            answer = await home.page.ask("DELETE", f"/api/devices/{home.device}")
        assert (answer.status, answer.json, answer.headers["Retry-After"]) == (503, {"error": "overloaded"}, "5")
        assert (await home.socket.register()).status == 200
        await home.sign_out()
        assert await home.socket.ended() is not None
        assert await home.is_nowhere()
        assert await node.store.push_targets.all() == []
        assert node.push.waking.targets(CAROL_AOR) == []

    at_home(story)


@pytest.mark.parametrize("how", ["signed out", "blocked"])
def test_a_registration_that_is_just_being_written_does_not_outlive_its_device(
    monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    async def story(home: Home) -> None:
        store = home.office.node.store
        held = Held(store.bindings.update)
        with monkeypatch.context() as patch:
            patch.setattr(store.bindings, "update", held)
            registering = asyncio.ensure_future(home.socket.register())
            await held.begun()
            if how == "signed out":
                await home.sign_out()
            else:
                carol = await store.subscribers.get(CAROL_AOR)
                assert carol is not None
                await store.subscribers.put(replace(carol, blocked=True))
            held.go_on()
            assert (await registering).status == 401
        assert await home.is_nowhere()

    at_home(story)


def test_a_phone_that_sleeps_is_woken_no_more() -> None:
    async def story(home: Home) -> None:
        node = home.office.node
        push = "pn-provider=webpush;pn-prid=https%3A%2F%2Fupdates.push.services.mozilla.com%2F9"
        contact = ("Contact", f'<{CONTACT};{push}>;+sip.instance="<urn:uuid:z>"')
        assert (await proved(home.socket, "REGISTER", DOMAIN, "", contact)).status == 200
        await until(lambda: node.push.waking.targets(CAROL_AOR))
        await home.socket.socket.close()
        await until(lambda: not node.registrar.of(CAROL_AOR))
        assert len(await node.store.push_targets.all()) == 1
        await home.sign_out()
        assert node.push.waking.targets(CAROL_AOR) == []
        assert await node.store.push_targets.all() == []

    at_home(story)


# What it opened.


def test_a_chat_that_its_credentials_opened_ends_though_it_never_registered() -> None:
    async def story(home: Home) -> None:
        assert await invited(home) == 200
        assert len(home.office.node.sessions) == 1
        await home.sign_out()
        assert len(home.office.node.sessions) == 0
        assert await home.socket.ended() is not None

    at_home(story)


def test_a_chat_that_outlived_its_registration_ends() -> None:
    async def story(home: Home) -> None:
        await open_chat(home.office, home.socket)
        away = (("Contact", "*"), ("Expires", "0"))
        proof = home.socket.digest.authorize("REGISTER", DOMAIN, b"")
        await home.socket.say(home.socket.request("REGISTER", DOMAIN, "", *away, *proof))
        assert (await final(home.socket)).status == 200
        assert (home.office.node.registrar.of(CAROL_AOR), len(home.office.node.sessions)) == ((), 1)
        await home.sign_out()
        assert len(home.office.node.sessions) == 0
        assert await home.socket.ended() is not None

    at_home(story)


def test_a_chat_that_is_just_being_opened_does_not_outlive_its_device(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(home: Home) -> None:
        mailboxes = home.office.node.store.mailboxes
        held = Held(mailboxes.accept)
        monkeypatch.setattr(mailboxes, "accept", held)
        # RCS-e carries its first message as Subject.
        opening = asyncio.ensure_future(invited(home, ("Subject", "salut")))
        await held.begun()
        await home.sign_out()
        held.go_on()
        assert await opening == 403
        assert home.office.node.sessions.find((CAROL_AOR, ""), f"tel:{ALICE}") is None

    at_home(story)


def test_what_it_watches_ends_with_a_last_word() -> None:
    async def story(home: Home) -> None:
        more = (
            ("Contact", f"<{CONTACT}>"),
            ("Event", "reg"),
            ("Expires", "600"),
            ("Accept", "application/reginfo+xml"),
        )
        uri = f"sip:{CAROL}@joyn.localhost"
        assert (await proved(home.socket, "SUBSCRIBE", uri, "", *more)).status == 200
        first = await home.socket.hear()
        assert isinstance(first, SipRequest)
        await home.socket.accept(first)
        await home.sign_out()
        last = await home.socket.hear()
        assert isinstance(last, SipRequest)
        assert last.header("subscription-state") == "terminated;reason=rejected"
        assert await home.socket.ended() is not None

    at_home(story)
