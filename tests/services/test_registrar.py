"""How REGISTER requests become bindings, and how bindings go."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from unittest.mock import patch

import pytest

from joyn.model.binding import Binding
from joyn.model.refused import Reason, Refused
from joyn.protocol.sip.headers import NameAddr
from joyn.services.registrar import Registrar, Registration, Rules
from joyn.store import Store
from joyn.store.sqlite import open_store
from services.scene import ALICE, BOB, NOON

RULES = Rules(min_expires=60, max_expires=3600, default_expires=600, max_bindings=3)


class Office:
    """A registrar on a store in memory, and what it told others."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.now = NOON
        self.told: list[tuple[str, str]] = []
        self.start()

    def start(self) -> None:
        """A registrar that knows nothing yet, as after a restart."""
        self.registrar = Registrar(self.store.bindings, RULES, node="n", wall=lambda: self.now)
        self.registrar.on_bound = lambda one, fresh: self.told.append((one.instance, "fresh" if fresh else "again"))
        self.registrar.on_moved = lambda one: self.told.append((one.instance, "moved"))
        self.registrar.on_unbound = lambda one, event: self.told.append((one.instance, event))

    async def register(self, *contacts: NameAddr, **fields: Any) -> tuple[Binding, ...]:
        values = {"aor": ALICE, "contacts": contacts, "expires": None, "call_id": "c", "cseq": 1, "flow": "tcp|1"}
        return await self.registrar.register(Registration(**(values | fields)))

    def instances(self) -> list[str]:
        return [binding.instance for binding in self.registrar.of(ALICE)]


def at_an_office(story: Callable[[Office], Awaitable[None]]) -> Callable[[], None]:
    def test() -> None:
        async def play() -> None:
            store = open_store(":memory:", node="n", wall_clock=lambda: NOON, on_fatal=lambda error: None)
            try:
                await story(Office(store))
            finally:
                await store.close()

        asyncio.run(play())

    test.__name__, test.__module__ = story.__name__, story.__module__
    return test


def phone(instance: str = "phone", **parameters: str | None) -> NameAddr:
    named = {name.replace("_", "-"): value for name, value in parameters.items()}
    own = {"+sip.instance": f"<{instance}>"} if instance else {}
    return NameAddr("", f"sip:alice@192.0.2.1;i={instance}", own | named)


async def refusal(registering: Awaitable[object]) -> Refused:
    with pytest.raises(Refused) as raised:
        await registering
    return raised.value


# Making and refreshing.


@at_an_office
async def test_a_device_that_registers_is_bound(office: Office) -> None:
    (binding,) = await office.register(phone("phone", reg_id="1", **{"+g.oma.sip-im": None}), user_agent="own/1")
    assert (binding.aor, binding.instance, binding.reg_id, binding.flow) == (ALICE, "phone", 1, "tcp|1")
    assert (binding.parameters, binding.user_agent) == (";+g.oma.sip-im", "own/1")
    assert office.told == [("phone", "fresh")]
    assert await office.store.bindings.of(ALICE) == [binding]


@at_an_office
async def test_a_refresh_is_told_as_such_and_a_new_flow_as_a_move(office: Office) -> None:
    await office.register(phone())
    await office.register(phone(), cseq=2)
    await office.register(phone(), cseq=3, flow="tcp|2")
    assert office.told == [("phone", "fresh"), ("phone", "again"), ("phone", "moved"), ("phone", "fresh")]
    assert office.registrar.on_flow("tcp|1") == []
    assert len(office.registrar.on_flow("tcp|2")) == 1


@at_an_office
async def test_the_same_device_with_another_contact_has_one_binding(office: Office) -> None:
    await office.register(phone())
    moved = NameAddr("", "sip:alice@198.51.100.7", {"+sip.instance": "<phone>"})
    assert [binding.contact for binding in await office.register(moved, call_id="d")] == ["sip:alice@198.51.100.7"]


@at_an_office
async def test_a_device_may_have_one_binding_for_each_reg_id(office: Office) -> None:
    await office.register(phone(reg_id="1"))
    bindings = await office.register(phone(reg_id="2"), flow="tcp|2", cseq=2)
    assert [binding.reg_id for binding in bindings] == [1, 2]


@at_an_office
async def test_without_an_instance_the_contact_tells_devices_apart_and_reg_id_means_nothing(office: Office) -> None:
    await office.register(NameAddr("", "sip:alice@192.0.2.1", {"reg-id": "1"}))
    bindings = await office.register(NameAddr("", "sip:alice@192.0.2.2", {}), cseq=2)
    assert [(binding.contact, binding.reg_id) for binding in bindings] == [
        ("sip:alice@192.0.2.1", 0),
        ("sip:alice@192.0.2.2", 0),
    ]


@at_an_office
async def test_a_query_changes_nothing(office: Office) -> None:
    await office.register(phone())
    assert len(await office.register(contacts=None, cseq=2)) == 1
    assert office.told == [("phone", "fresh")]


# How long.


@pytest.mark.parametrize(
    ("parameter", "header", "seconds"),
    [(None, None, 600), (None, 120, 120), ("90", 120, 90), ("99999", None, 3600), ("not a number", 120, 120)],
)
def test_the_contact_s_own_expiry_counts_before_the_header_s_within_the_operator_s(
    parameter: str | None, header: int | None, seconds: int
) -> None:
    @at_an_office
    async def story(office: Office) -> None:
        contact = phone() if parameter is None else phone(expires=parameter)
        (binding,) = await office.register(contact, expires=header)
        assert binding.expires_at == NOON + seconds

    story()


@pytest.mark.parametrize("seconds", [1, 59])
def test_an_expiry_too_short_is_refused_with_the_shortest_there_is(seconds: int) -> None:
    @at_an_office
    async def story(office: Office) -> None:
        refused = await refusal(office.register(phone(), expires=seconds))
        assert (refused.reason, refused.detail) == (Reason.INTERVAL_TOO_BRIEF, "60")
        assert office.instances() == []

    story()


@at_an_office
async def test_an_expired_binding_is_gone_before_anybody_has_swept(office: Office) -> None:
    await office.register(phone(), expires=60)
    office.now += 60
    assert office.instances() == []
    assert await office.registrar.expire() == 1
    assert office.told[-1] == ("phone", "expired")
    assert await office.store.bindings.of(ALICE) == []


# Removing.


@at_an_office
async def test_expires_0_removes_the_one_device(office: Office) -> None:
    await office.register(phone(), phone("tablet"))
    bindings = await office.register(phone(), expires=0, cseq=2)
    assert [binding.instance for binding in bindings] == ["tablet"]
    assert office.told[-1] == ("phone", "unregistered")


@at_an_office
async def test_a_star_with_expires_0_removes_every_device(office: Office) -> None:
    await office.register(phone(), phone("tablet"))
    assert await office.register(contacts="*", expires=0, cseq=2) == ()
    assert await office.store.bindings.of(ALICE) == []


@pytest.mark.parametrize("expires", [None, 3600])
def test_a_star_with_another_expiry_is_malformed(expires: int | None) -> None:
    @at_an_office
    async def story(office: Office) -> None:
        await office.register(phone())
        assert (await refusal(office.register(contacts="*", expires=expires))).reason is Reason.MALFORMED
        assert office.instances() == ["phone"]

    story()


@at_an_office
async def test_removing_what_is_not_there_is_no_error(office: Office) -> None:
    assert await office.register(phone(), expires=0) == ()
    assert office.told == []


@at_an_office
async def test_a_lost_connection_takes_its_bindings_along_and_no_others(office: Office) -> None:
    await office.register(phone())
    await office.register(phone("tablet"), flow="tcp|2", call_id="d")
    await office.register(phone(), aor=BOB)
    await office.registrar.flow_lost("tcp|1")
    assert office.instances() == ["tablet"]
    assert office.registrar.of(BOB) == ()
    assert ("phone", "deactivated") in office.told


@at_an_office
async def test_devices_that_are_removed_while_the_store_is_too_busy_are_gone_all_the_same(office: Office) -> None:
    await office.register(phone())

    async def refuse(*_work: object, **_named: object) -> None:
        raise Refused(Reason.OVERLOADED)

    with patch.object(office.store.bindings, "update", refuse):
        assert (await refusal(office.registrar.remove(ALICE))).reason is Reason.OVERLOADED
    assert office.instances() == []
    assert office.told[-1] == ("phone", "rejected")


@at_an_office
async def test_the_operator_can_remove_every_device(office: Office) -> None:
    await office.register(phone(), phone("tablet"))
    await office.registrar.remove(ALICE)
    assert office.told[-2:] == [("phone", "rejected"), ("tablet", "rejected")]


# Order and bounds.


@pytest.mark.parametrize("cseq", [4, 5])
def test_an_older_request_of_the_same_registration_is_refused(cseq: int) -> None:
    @at_an_office
    async def story(office: Office) -> None:
        await office.register(phone(), cseq=5)
        assert (await refusal(office.register(phone(), cseq=cseq, expires=0))).reason is Reason.OUT_OF_ORDER
        assert office.instances() == ["phone"]

    story()


@at_an_office
async def test_a_device_that_began_again_may_count_from_one(office: Office) -> None:
    await office.register(phone(), cseq=500)
    await office.register(phone(), call_id="after a reboot", cseq=1)
    assert office.instances() == ["phone"]


@at_an_office
async def test_one_device_too_many_is_refused_and_none_of_the_others_lost(office: Office) -> None:
    await office.register(phone("1"), phone("2"), phone("3"))
    assert (await refusal(office.register(phone("4"), cseq=2))).reason is Reason.TOO_MANY_BINDINGS
    assert office.instances() == ["1", "2", "3"]


@at_an_office
async def test_at_the_bound_a_device_can_refresh_and_one_can_take_another_s_place(office: Office) -> None:
    await office.register(phone("1"), phone("2"), phone("3"))
    await office.register(phone("3"), cseq=2)
    await office.register(phone("1", expires="0"), phone("4"), cseq=3)
    assert sorted(office.instances()) == ["2", "3", "4"]


@pytest.mark.parametrize("reg_id", ["-1", "x", "9" * 30, ""])
def test_a_reg_id_that_is_none_counts_for_nothing(reg_id: str) -> None:
    @at_an_office
    async def story(office: Office) -> None:
        assert (await office.register(phone(reg_id=reg_id)))[0].reg_id == 0

    story()


# After a restart.


@at_an_office
async def test_bindings_outlive_a_restart_as_far_as_they_can_still_be_reached(office: Office) -> None:
    await office.register(phone("udp"), flow="udp|udp|192.0.2.1|5060")
    await office.register(phone("tcp"), flow="tcp|1", call_id="d")
    await office.register(phone("late"), flow="udp|udp|192.0.2.2|5060", call_id="e", expires=60)
    office.now += 60
    office.start()
    restored = await office.registrar.restore(lambda binding: binding.flow.startswith("udp"))
    assert [binding.instance for binding in restored] == ["udp"]
    assert office.instances() == ["udp"]
    assert [binding.instance for binding in await office.store.bindings.of(ALICE)] == ["udp"]
