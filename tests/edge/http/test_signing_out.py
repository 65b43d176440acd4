"""Signing a device out: whatever it registered as, it is gone at once; what cannot be written changes nothing."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest

from edge.http.browser import Browser, Office, at_office
from edge.http.setting_up import Visitor, busy
from joyn.model.aor import Aor
from joyn.model.push import PushTarget
from joyn.protocol.config_document import understand
from joyn.protocol.sip.digest import Authenticator
from joyn.services.provisioning.devices import About
from phone.node import CAROL

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
