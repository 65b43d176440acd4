"""Which bindings the registrar finds by their flow, as flows come to be shared and left."""

import asyncio
from collections.abc import Awaitable, Callable

from joyn.model.aor import Aor
from joyn.model.binding import Binding
from joyn.protocol.sip.headers import parse_contacts
from joyn.services.registrar import Registrar, Registration, Rules
from joyn.store.sqlite import open_store

ONE, TWO, THREE = (Aor(f"tel:+3363998000{i}") for i in (1, 2, 3))


def make_registration(aor: Aor, flow: str, *, instance: str = "a", cseq: int = 1, expires: int = 3600) -> Registration:
    contacts = parse_contacts([f'<sip:phone@192.0.2.1>;+sip.instance="<{instance}>"'])
    return Registration(aor=aor, contacts=contacts, expires=expires, call_id=f"c{aor}", cseq=cseq, flow=flow)


def with_registrar(use: Callable[[Registrar], Awaitable[None]]) -> None:
    async def run() -> None:
        store = open_store(":memory:", node="n", wall_clock=lambda: 0.0, on_fatal=lambda error: None)
        try:
            await use(Registrar(store.bindings, Rules(), node="n", wall=lambda: 0.0))
        finally:
            await store.close()

    asyncio.run(run())


def aors(bindings: list[Binding]) -> list[Aor]:
    return sorted(binding.aor for binding in bindings)


def test_a_flow_may_be_shared_and_each_leaves_it_alone() -> None:
    async def use(registrar: Registrar) -> None:
        for aor in (ONE, TWO, THREE):
            await registrar.register(make_registration(aor, "tcp|1"))
        assert aors(registrar.on_flow("tcp|1")) == [ONE, TWO, THREE]
        await registrar.register(make_registration(TWO, "tcp|1", cseq=2, expires=0))
        assert aors(registrar.on_flow("tcp|1")) == [ONE, THREE]
        await registrar.remove(ONE)
        assert aors(registrar.on_flow("tcp|1")) == [THREE]
        await registrar.remove(THREE)
        assert registrar.on_flow("tcp|1") == []

    with_registrar(use)


def test_a_device_that_moved_is_found_on_its_new_flow_alone() -> None:
    async def use(registrar: Registrar) -> None:
        await registrar.register(make_registration(ONE, "tcp|1"))
        await registrar.register(make_registration(ONE, "tcp|2", cseq=2))
        assert registrar.on_flow("tcp|1") == []
        assert aors(registrar.on_flow("tcp|2")) == [ONE]

    with_registrar(use)


def test_two_devices_of_a_subscriber_share_a_flow_until_both_have_left() -> None:
    async def use(registrar: Registrar) -> None:
        await registrar.register(make_registration(ONE, "tcp|1", instance="a"))
        await registrar.register(make_registration(ONE, "tcp|1", instance="b", cseq=2))
        await registrar.register(make_registration(ONE, "tcp|1", instance="a", cseq=3, expires=0))
        assert [binding.instance for binding in registrar.on_flow("tcp|1")] == ["b"]
        await registrar.register(make_registration(ONE, "tcp|1", instance="b", cseq=4, expires=0))
        assert registrar.on_flow("tcp|1") == []

    with_registrar(use)


def test_a_lost_flow_takes_along_every_binding_on_it_and_no_other() -> None:
    async def use(registrar: Registrar) -> None:
        await registrar.register(make_registration(ONE, "tcp|1"))
        await registrar.register(make_registration(TWO, "tcp|1"))
        await registrar.register(make_registration(TWO, "tcp|2", instance="b", cseq=2))
        await registrar.flow_lost("tcp|1")
        assert registrar.of(ONE) == ()
        assert [binding.instance for binding in registrar.of(TWO)] == ["b"]

    with_registrar(use)
