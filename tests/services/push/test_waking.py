"""Wake and wait, with a clock and timers that the tests move."""

import asyncio
import functools

from contracts.store_values import make_subscriber
from joyn.model.device import Device
from joyn.model.message import Address, Deposit, EntryKind, State
from joyn.model.push import PushTarget
from joyn.services.push.sending import Sent
from joyn.services.push.waking import MAX_PER_AOR, REFRESH_BEFORE, Waking
from joyn.store.sqlite import open_store
from services.scene import ALICE, BOB, CAROL, NOON, RECEIPT, make_binding, make_message
from waiting import until

PATIENCE = 10.0
PAUSE = 5.0


class Timer:
    def __init__(self, at, action):
        self.at, self.action, self.cancelled = at, action, False

    def cancel(self):
        self.cancelled = True


class Bedroom:
    """Devices that sleep, and a sender that notes whom it has called."""

    def __init__(self, store):
        self.store = store
        self.now = NOON
        self.timers = []
        self.woken = []
        self.reports = []
        self.bindings = {}
        self.answer = Sent.ACCEPTED
        self.blocker = None
        self.start()

    def start(self):
        self.waking = Waking(
            self.store.push_targets,
            self.store.mailboxes,
            self,
            lambda aor: self.bindings.get(aor, ()),
            wall=lambda: self.now,
            later=self.later,
            patience=PATIENCE,
            pause=PAUSE,
        )
        self.waking.report = lambda message, aor, state: self.reports.append((message.message_id, aor, state))
        self.store.mailboxes.on_accepted = self.accepted

    def accepted(self, entries):
        # As the terminating function does for whoever has no binding.
        self.waking.accepted(entries)
        for entry in entries:
            if entry.kind is EntryKind.INCOMING and not entry.message.kind and not self.bindings.get(entry.mailbox):
                self.waking.stored(entry.message, entry.mailbox)

    def later(self, seconds, action):
        timer = Timer(self.now + seconds, action)
        self.timers.append(timer)
        return timer

    async def wake(self, target):
        self.woken.append(target.device)
        if self.blocker is not None:
            await self.blocker.wait()
        return self.answer

    async def accept(self, message_id, **fields):
        message = make_message(message_id, **fields)
        await self.store.mailboxes.accept(Deposit(message=message, addresses=(Address(mailbox=message.conversation),)))
        await self.quiet()

    async def pass_(self, seconds):
        self.now += seconds
        for timer in [one for one in self.timers if one.at <= self.now]:
            self.timers.remove(timer)
            if not timer.cancelled:
                timer.action()
        await self.quiet()

    async def quiet(self):
        for _ in range(3):
            await self.store.subscribers.remove(CAROL)
            for _ in range(5):
                await asyncio.sleep(0)


def played(story):
    @functools.wraps(story)
    def test():
        async def play():
            failures = []
            asyncio.get_running_loop().set_exception_handler(lambda _loop, context: failures.append(context))
            store = open_store(":memory:", node="n", wall_clock=lambda: NOON, on_fatal=failures.append)
            room = Bedroom(store)
            try:
                await story(room)
                await room.quiet()
            finally:
                await room.waking.close()
                await store.close()
            assert failures == []

        asyncio.run(play())

    del test.__wrapped__
    return test


def make_target(device="d1", aor=BOB, **fields):
    values = {"endpoint": f"https://push.example/{aor}/{device}"} | fields
    return PushTarget(aor=aor, device=device, **values)


async def make_browser(room, device="d1", aor=BOB):
    """The target of a browser that is signed in."""
    await room.store.subscribers.put(make_subscriber(aor, username=aor))
    await room.store.devices.add(
        Device(id=device, aor=aor, kind="browser", name="Browser", token=device, username=device)
    )
    return make_target(device, aor, p256dh="key", auth="secret")


@played
async def test_a_sleeping_device_is_woken_and_stored_waits(room):
    await room.waking.add(make_target())
    await room.accept("m1")
    assert (room.woken, room.reports) == (["d1"], [])
    await room.pass_(PATIENCE - 1)
    assert room.reports == []
    await room.pass_(1)
    assert room.reports == [("m1", BOB, State.STORED)]


@played
async def test_with_nobody_to_wake_it_is_stored_at_once(room):
    await room.waking.add(make_target(aor=ALICE))
    await room.accept("m1")
    assert (room.woken, room.reports) == ([], [("m1", BOB, State.STORED)])


@played
async def test_when_the_device_comes_nothing_is_said(room):
    await room.waking.add(make_target())
    await room.accept("m1")
    room.bindings[BOB] = (make_binding("d1"),)
    await room.pass_(PATIENCE)
    assert room.reports == []


@played
async def test_nor_when_it_came_took_the_message_and_left(room):
    await room.waking.add(make_target())
    await room.accept("m1")
    trace = await room.store.mailboxes.find(ALICE, BOB, "m1")
    from joyn.model.message import Cursor

    seq = trace.entries[0].seq
    room.store.mailboxes.settle(Cursor(mailbox=BOB, instance="d1", low=seq), [(seq, State.ACKNOWLEDGED)])
    await room.pass_(PATIENCE)
    assert room.reports == []


@played
async def test_a_connected_device_is_not_woken_but_its_owners_other_one_is(room):
    await room.waking.add(make_target("d1"))
    await room.waking.add(make_target("d2"))
    room.bindings[BOB] = (make_binding("d1"),)
    await room.accept("m1")
    assert room.woken == ["d2"]


@played
async def test_receipts_and_copies_wake_nobody(room):
    await room.waking.add(make_target())
    await room.accept("r1", **RECEIPT)
    copy = Address(mailbox=BOB, kind=EntryKind.COPY)
    message = make_message("m1", sender=BOB, conversation=ALICE)
    await room.store.mailboxes.accept(Deposit(message=message, addresses=(copy,)))
    await room.quiet()
    assert room.woken == []


@played
async def test_many_messages_are_two_calls(room):
    await room.waking.add(make_target())
    for number in range(5):
        await room.accept(f"m{number}")
    assert room.woken == ["d1"]
    await room.pass_(PAUSE)
    assert room.woken == ["d1", "d1"]
    await room.pass_(PAUSE)
    assert room.woken == ["d1", "d1"]


@played
async def test_a_device_that_has_come_is_not_called_a_second_time(room):
    await room.waking.add(make_target())
    await room.accept("m1")
    await room.accept("m2")
    room.bindings[BOB] = (make_binding("d1"),)
    await room.pass_(PAUSE)
    assert room.woken == ["d1"]


@played
async def test_a_call_that_takes_long_is_followed_by_another_not_accompanied(room):
    room.blocker = asyncio.Event()
    await room.waking.add(make_target())
    await room.accept("m1")
    await room.pass_(PAUSE + 1)
    await room.accept("m2")
    assert room.woken == ["d1"]
    room.blocker.set()
    await room.quiet()
    await room.pass_(PAUSE)
    assert room.woken == ["d1", "d1"]


@played
async def test_a_resource_that_is_gone_is_forgotten(room):
    room.answer = Sent.GONE
    await room.waking.add(make_target())
    await room.accept("m1")
    assert room.waking.targets(BOB) == []
    assert await room.store.push_targets.all() == []


@played
async def test_one_that_failed_is_kept(room):
    room.answer = Sent.FAILED
    await room.waking.add(make_target())
    await room.accept("m1")
    assert len(room.waking.targets(BOB)) == 1


@played
async def test_targets_outlive_a_restart(room):
    await room.waking.add(make_target())
    room.start()
    await room.waking.restore()
    await room.accept("m1")
    assert room.woken == ["d1"]


@played
async def test_a_device_that_signed_out_is_not_woken(room):
    await room.waking.add(make_target())
    await room.waking.remove(BOB, "d1")
    await room.accept("m1")
    assert (room.woken, room.reports) == ([], [("m1", BOB, State.STORED)])


@played
async def test_an_endpoint_wakes_its_last_owner_only(room):
    await room.waking.add(make_target(endpoint="https://push.example/1"))
    await room.waking.add(make_target(aor=ALICE, endpoint="https://push.example/1"))
    await room.accept("m1")
    assert (room.woken, room.waking.targets(BOB)) == ([], [])


@played
async def test_a_subscriber_has_so_many_devices_that_can_be_woken(room):
    for number in range(MAX_PER_AOR + 1):
        await room.waking.add(make_target(f"d{number}"))
    expected = [f"d{number}" for number in range(1, MAX_PER_AOR + 1)]
    assert [target.device for target in room.waking.targets(BOB)] == expected
    assert len(await room.store.push_targets.all()) == MAX_PER_AOR


@played
async def test_a_sip_device_is_woken_before_its_registration_ends_and_forgotten_after(room):
    await room.waking.add(make_target(expires_at=NOON + 200))
    await room.waking.sweep()
    assert room.woken == []
    room.now = NOON + 200 - REFRESH_BEFORE
    await room.waking.sweep()
    await room.quiet()
    assert room.woken == ["d1"]
    room.now = NOON + 200
    await room.waking.sweep()
    assert await room.store.push_targets.all() == []


@played
async def test_one_whose_time_is_over_is_nobody_to_wait_for(room):
    await room.waking.add(make_target(expires_at=NOON))
    await room.accept("m1")
    assert (room.woken, room.reports) == ([], [("m1", BOB, State.STORED)])


@played
async def test_what_was_held_back_is_said_when_the_node_stops(room):
    await room.waking.add(make_target())
    await room.accept("m1")
    await room.waking.close()
    assert room.reports == [("m1", BOB, State.STORED)]


@played
async def test_a_device_that_is_lost_with_something_on_its_way_is_called_back(room):
    await room.waking.add(make_target())
    room.bindings[BOB] = (make_binding("d1"),)
    await room.accept("m1")
    assert room.woken == []
    room.bindings.clear()
    room.waking.left(BOB)
    await until(lambda: room.woken == ["d1"])


@played
async def test_one_that_is_lost_with_nothing_due_is_left_alone(room):
    await room.waking.add(make_target())
    room.waking.left(BOB)
    room.waking.left(ALICE)
    await ended(room)
    assert room.woken == []


@played
async def test_one_that_answers_nothing_is_called_though_it_has_a_binding(room):
    await room.waking.add(make_target("urn:uuid:phone"))
    room.bindings[BOB] = (make_binding("urn:uuid:phone"),)
    room.waking.unanswered(BOB, "urn:uuid:other")
    room.waking.unanswered(ALICE, "urn:uuid:phone")
    room.waking.unanswered(BOB, "urn:uuid:phone")
    await room.quiet()
    assert room.woken == ["urn:uuid:phone"]


@played
async def test_a_browser_is_known_by_the_name_it_registers_with(room):
    await room.waking.add(await make_browser(room))
    room.bindings[BOB] = (make_binding("urn:uuid:d1", username="d1@joyn.example"),)
    await room.accept("m1")
    assert room.woken == []
    room.waking.unanswered(BOB, "urn:uuid:d1")
    await room.quiet()
    assert room.woken == ["d1"]
    room.bindings.clear()
    await room.pass_(PAUSE)
    await room.accept("m2")
    assert room.woken == ["d1", "d1"]


@played
async def test_after_a_restart_those_are_called_to_whom_something_is_due(room):
    await room.waking.add(make_target())
    await room.waking.add(make_target(aor=ALICE))
    room.waking.accepted = lambda _entries: None
    await room.accept("m1")
    room.start()
    await room.waking.restore()
    room.waking.wake_waiting()
    await until(lambda: room.woken == ["d1"])
    await ended(room)
    assert room.woken == ["d1"]


async def ended(room):
    """Returns when nothing is under way."""
    await until(lambda: not room.waking._tasks)
