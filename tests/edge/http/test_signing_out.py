"""Signing a device out: whatever it registered as, it is gone at once; what cannot be written changes nothing."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
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


async def other_device(office: Office) -> tuple[Visitor, str]:
    """A second browser of Carol's and its id: nobody is sent two codes at once, so it is made by hand."""
    visitor = Visitor(office)
    device, token = await office.node.setting_up.devices.set_up(CAROL_AOR, "browser", About(name="Phone"))
    visitor.cookies["joyn-session"] = token
    return visitor, device.id


async def credentials(visitor: Visitor) -> Authenticator:
    """The SIP credentials a browser is given."""
    ims = understand((await visitor.ask("GET", "/config?vers=0&rcs_profile=UP_2.4")).body).ims
    assert ims is not None
    return Authenticator(ims.username, ims.password, lambda: "0a4f113b")


async def proved(browser: Browser, method: str, uri: str, body: str, *more: tuple[str, str]) -> SipResponse:
    """The final answer to a request that proves itself by its own credentials, without a registration."""
    await browser.say(browser.request(method, uri, body, *more))
    assert browser.digest.challenged(await final(browser))
    proof = browser.digest.authorize(method, uri, body.encode())
    await browser.say(
        browser.request(method, uri, body, *more, *(("Proxy-Authorization", value) for _, value in proof))
    )
    return await final(browser)


async def final(browser: Browser) -> SipResponse:
    while (answer := await browser.answer()).status < 200:
        pass
    return answer


def invite(office: Office, *more: tuple[str, str]) -> tuple[Any, ...]:
    contact = ("Contact", "<sip:b@df7jal23ls0d.invalid;transport=ws>")
    kind = ("Content-Type", "application/sdp")
    return ("INVITE", f"tel:{ALICE}", make_offer(office), contact, ("Accept-Contact", CHAT), kind, *more)


@pytest.mark.parametrize("instances", [("urn:uuid:a",), ("",), ("urn:uuid:a", "urn:uuid:b"), ("urn:uuid:a", "")])
def test_whatever_it_registered_as_is_gone_at_once(instances: tuple[str, ...]) -> None:
    async def story(office: Office) -> None:
        page = Visitor(office)
        await page.sign_in()
        other, device = await other_device(office)
        digest = await credentials(other)
        async with AsyncExitStack() as stack:
            sockets = [await stack.enter_async_context(office.browser()) for _ in instances]
            for socket, instance in zip(sockets, instances, strict=True):
                socket.digest = digest
                assert (await socket.register(instance)).status == 200
            assert len(office.node.registrar.of(CAROL_AOR)) == len(instances)
            assert (await page.ask("DELETE", f"/api/devices/{device}")).status == 204
            for socket in sockets:
                assert await socket.ended() is not None
        assert office.node.registrar.of(CAROL_AOR) == ()
        assert await office.node.store.bindings.of(CAROL_AOR) == []
        async with office.browser() as socket:
            socket.digest = digest
            assert (await socket.register()).status == 401

    at_office(story)


def test_signing_the_others_out_leaves_the_one_that_asks() -> None:
    async def story(office: Office) -> None:
        page = Visitor(office)
        await page.sign_in()
        own = await credentials(page)
        other, _ = await other_device(office)
        async with office.browser() as socket, office.browser() as here:
            socket.digest, here.digest = await credentials(other), own
            assert (await here.register("urn:uuid:here")).status == 200
            assert (await socket.register()).status == 200
            assert (await page.ask("POST", "/api/devices/sign-out-others")).status == 204
            assert await socket.ended() is not None
            assert [one.instance for one in office.node.registrar.of(CAROL_AOR)] == ["urn:uuid:here"]
            assert (await here.register("urn:uuid:here")).status == 200
        told = await other.ask("GET", "/api/session")
        assert (told.status, told.json, other.cookies) == (401, {"error": "signed-out-elsewhere"}, {})
        assert (await page.ask("GET", "/api/session")).status == 200

    at_office(story)


def test_what_the_store_does_not_take_now_changes_nothing_and_can_be_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(office: Office) -> None:
        page = Visitor(office)
        await page.sign_in()
        other, device = await other_device(office)
        target = PushTarget(aor=CAROL_AOR, device=device, endpoint="https://push.example/1", p256dh="k", auth="a")
        await office.node.push.waking.add(target)
        async with office.browser() as socket:
            socket.digest = await credentials(other)
            assert (await socket.register()).status == 200
            with monkeypatch.context() as patch:
                patch.setattr(office.node.store.devices, "remove", busy)
                answer = await page.ask("DELETE", f"/api/devices/{device}")
            assert (answer.status, answer.json, answer.headers["Retry-After"]) == (503, {"error": "overloaded"}, "5")
            assert (await socket.register()).status == 200
            assert (await page.ask("DELETE", f"/api/devices/{device}")).status == 204
            assert await socket.ended() is not None
        assert office.node.registrar.of(CAROL_AOR) == ()
        assert await office.node.store.push_targets.all() == []
        assert office.node.push.waking.targets(CAROL_AOR) == []

    at_office(story)


def test_a_registration_that_is_just_being_written_does_not_outlive_its_device(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(office: Office) -> None:
        page = Visitor(office)
        await page.sign_in()
        other, device = await other_device(office)
        writing, gate = asyncio.Event(), asyncio.Event()
        update = office.node.store.bindings.update

        async def slowly(*change: Any, **changes: Any) -> None:
            writing.set()
            await gate.wait()
            await update(*change, **changes)

        async with office.browser() as socket:
            socket.digest = await credentials(other)
            with monkeypatch.context() as patch:
                patch.setattr(office.node.store.bindings, "update", slowly)
                registering = asyncio.ensure_future(socket.register())
                await asyncio.wait_for(writing.wait(), 5)
                assert (await page.ask("DELETE", f"/api/devices/{device}")).status == 204
                gate.set()
                assert (await registering).status == 401
        assert office.node.registrar.of(CAROL_AOR) == ()
        assert await office.node.store.bindings.of(CAROL_AOR) == []

    at_office(story)


def test_what_another_device_registered_stays() -> None:
    """A device cannot have another's registration ended by registering under its name."""

    async def story(office: Office) -> None:
        page = Visitor(office)
        await page.sign_in()
        own = await credentials(page)
        other, device = await other_device(office)

        async def registered(socket: Browser, digest: Authenticator) -> None:
            socket.digest = digest
            assert (await socket.register("urn:uuid:same")).status == 200

        async with office.browser() as second, office.browser() as first:
            await registered(second, await credentials(other))
            await registered(first, own)
            assert (await page.ask("DELETE", f"/api/devices/{device}")).status == 204
            assert [one.username for one in office.node.registrar.of(CAROL_AOR)] == [own.username]

    at_office(story)


def test_a_chat_that_its_credentials_opened_ends_though_it_never_registered() -> None:
    async def story(office: Office) -> None:
        page = Visitor(office)
        await page.sign_in()
        other, device = await other_device(office)
        async with office.browser() as socket:
            socket.digest = await credentials(other)
            assert (await proved(socket, *invite(office))).status == 200
            assert len(office.node.sessions) == 1
            assert (await page.ask("DELETE", f"/api/devices/{device}")).status == 204
            assert len(office.node.sessions) == 0
            assert await socket.ended() is not None

    at_office(story)


def test_a_chat_that_outlived_its_registration_ends() -> None:
    async def story(office: Office) -> None:
        page = Visitor(office)
        await page.sign_in()
        other, device = await other_device(office)
        async with office.browser() as socket:
            socket.digest = await credentials(other)
            await open_chat(office, socket)
            await proved_register(socket)
            assert (office.node.registrar.of(CAROL_AOR), len(office.node.sessions)) == ((), 1)
            assert (await page.ask("DELETE", f"/api/devices/{device}")).status == 204
            assert len(office.node.sessions) == 0
            assert await socket.ended() is not None

    async def proved_register(socket: Browser) -> None:
        uri, away = "sip:joyn.localhost", (("Contact", "*"), ("Expires", "0"))
        await socket.say(socket.request("REGISTER", uri, "", *away, *socket.digest.authorize("REGISTER", uri, b"")))
        answer = await final(socket)
        if answer.status == 401:
            socket.digest.challenged(answer)
            await socket.say(socket.request("REGISTER", uri, "", *away, *socket.digest.authorize("REGISTER", uri, b"")))
            answer = await final(socket)
        assert answer.status == 200

    at_office(story)


def test_a_chat_that_is_just_being_opened_does_not_outlive_its_device(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(office: Office) -> None:
        page = Visitor(office)
        await page.sign_in()
        other, device = await other_device(office)
        accepting, gate = asyncio.Event(), asyncio.Event()
        accept = office.node.store.mailboxes.accept

        async def slowly(deposit: Any) -> Any:
            accepting.set()
            await gate.wait()
            return await accept(deposit)

        async with office.browser() as socket:
            socket.digest = await credentials(other)
            monkeypatch.setattr(office.node.store.mailboxes, "accept", slowly)
            # RCS-e carries its first message as Subject.
            opening = asyncio.ensure_future(proved(socket, *invite(office, ("Subject", "salut"))))
            await asyncio.wait_for(accepting.wait(), 5)
            assert (await page.ask("DELETE", f"/api/devices/{device}")).status == 204
            gate.set()
            assert (await opening).status == 403
            assert office.node.sessions.find((CAROL_AOR, ""), f"tel:{ALICE}") is None

    at_office(story)


def test_what_it_watches_ends_with_a_last_word() -> None:
    async def story(office: Office) -> None:
        page = Visitor(office)
        await page.sign_in()
        other, device = await other_device(office)
        async with office.browser() as socket:
            socket.digest = await credentials(other)
            contact = ("Contact", "<sip:b@df7jal23ls0d.invalid;transport=ws>")
            more = (contact, ("Event", "reg"), ("Expires", "600"), ("Accept", "application/reginfo+xml"))
            assert (await proved(socket, "SUBSCRIBE", f"sip:{CAROL}@joyn.localhost", "", *more)).status == 200
            first = await socket.hear()
            assert isinstance(first, SipRequest)
            await socket.accept(first)
            assert (await page.ask("DELETE", f"/api/devices/{device}")).status == 204
            last = await socket.hear()
            assert isinstance(last, SipRequest)
            assert last.header("subscription-state") == "terminated;reason=rejected"
            assert await socket.ended() is not None

    at_office(story)


def test_a_phone_that_sleeps_is_woken_no_more() -> None:
    async def story(office: Office) -> None:
        page = Visitor(office)
        await page.sign_in()
        other, device = await other_device(office)
        push = "pn-provider=webpush;pn-prid=https%3A%2F%2Fupdates.push.services.mozilla.com%2F9"
        async with office.browser() as socket:
            socket.digest = await credentials(other)
            uri = "sip:joyn.localhost"
            contact = ("Contact", f'<sip:b@df7jal23ls0d.invalid;transport=ws;{push}>;+sip.instance="<urn:uuid:z>"')
            await socket.say(socket.request("REGISTER", uri, "", contact))
            assert socket.digest.challenged(await final(socket))
            proof = socket.digest.authorize("REGISTER", uri, b"")
            await socket.say(socket.request("REGISTER", uri, "", contact, *proof))
            assert (await final(socket)).status == 200
            await until(lambda: office.node.push.waking.targets(CAROL_AOR))
        await until(lambda: not office.node.registrar.of(CAROL_AOR))
        assert len(await office.node.store.push_targets.all()) == 1
        assert (await page.ask("DELETE", f"/api/devices/{device}")).status == 204
        assert office.node.push.waking.targets(CAROL_AOR) == []
        assert await office.node.store.push_targets.all() == []

    at_office(story)


def test_who_is_blocked_while_a_registration_is_written_is_not_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(office: Office) -> None:
        page = Visitor(office)
        await page.sign_in()
        writing, gate = asyncio.Event(), asyncio.Event()
        update = office.node.store.bindings.update

        async def slowly(*change: Any, **changes: Any) -> None:
            writing.set()
            await gate.wait()
            await update(*change, **changes)

        async with office.browser() as socket:
            socket.digest = await credentials(page)
            with monkeypatch.context() as patch:
                patch.setattr(office.node.store.bindings, "update", slowly)
                registering = asyncio.ensure_future(socket.register())
                await asyncio.wait_for(writing.wait(), 5)
                carol = await office.node.store.subscribers.get(CAROL_AOR)
                assert carol is not None
                await office.node.store.subscribers.put(replace(carol, blocked=True))
                gate.set()
                assert (await registering).status != 200
        assert office.node.registrar.of(CAROL_AOR) == ()

    at_office(story)
