"""Stores against a model: any sequence of calls, many at once, answers as plain dictionaries would."""

import asyncio
from dataclasses import dataclass, field, replace
from itertools import groupby

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.store_values import ALICE, BOB, DAY, NOON, make_copied_deposit, make_message, make_receipt
from joyn.model.message import Cursor, Message, State
from joyn.store.sqlite import Limits, open_store

TOKENS = {
    State.STORED: "processing",
    State.FAILED: "negative-delivery",
    State.DELIVERED: "positive-delivery",
    State.DISPLAYED: "display",
    State.NOT_DISPLAYED: "display",
}
ENDED = (State.FAILED, State.REVOKED)


@dataclass
class Known:
    """One accepted chat message from Alice to Bob, with her copy."""

    message: Message
    bobs: State = State.PENDING
    copy: State = State.PENDING
    noted: list[State] = field(default_factory=list)

    @property
    def highest(self) -> State:
        return max(self.noted, default=State.PENDING)

    @property
    def ended(self) -> bool:
        if self.highest >= State.FAILED:
            return self.highest in ENDED
        return self.bobs in ENDED


class Model:
    """The rules of joyn.store in the plainest words."""

    def __init__(self) -> None:
        self.chats: list[Known] = []
        self.receipts: dict[str, str] = {}
        self.low = 0
        self.ahead: set[int] = set()

    def newest(self, message_id: str) -> Known | None:
        return next((known for known in reversed(self.chats) if known.message.message_id == message_id), None)

    def accept(self, deposit) -> str:
        message = deposit.message
        if deposit.receipt is not None:
            return self.receipt(deposit)
        first = self.newest(message.message_id)
        if first is not None and first.message.digest != message.digest:
            return "refused"
        if first is not None and not first.ended:
            return "duplicate"
        self.chats.append(Known(message))
        return "accepted"

    def receipt(self, deposit) -> str:
        receipt = deposit.receipt
        if deposit.message.message_id in self.receipts:
            return "duplicate"
        known = self.newest(receipt.message_id)
        if known is None:
            return "unknown"
        if receipt.state <= known.highest:
            return "stale"
        known.noted.append(receipt.state)
        if receipt.state >= State.DELIVERED:
            known.bobs = max(known.bobs, receipt.state)
        if TOKENS[receipt.state] not in known.message.requested:
            return "unasked"
        self.receipts[deposit.message.message_id] = receipt.message_id
        return "accepted"

    def revoke(self, message_id: str) -> bool:
        known = self.newest(message_id)
        if known is None or max(known.bobs, known.highest) >= State.ACKNOWLEDGED:
            return False
        if known.copy < State.FAILED:
            known.copy = State.REVOKED
        if known.bobs < State.FAILED:
            known.bobs = State.REVOKED
            if State.REVOKED not in known.noted:
                known.noted.append(State.REVOKED)
        return known.bobs == State.REVOKED

    def expire(self, now: float) -> list[str]:
        overdue = [known for known in self.chats if known.message.deliver_until <= now and known.bobs < State.FAILED]
        for known in overdue:
            known.bobs = State.FAILED
        return [known.message.message_id for known in sorted(overdue, key=lambda one: one.message.deliver_until)]

    def visible(self) -> list[str]:
        return [known.message.message_id for known in self.chats if known.bobs not in ENDED]


ids = st.sampled_from(["a", "b", "c"])
chats = st.builds(
    lambda message_id, body, requested, until: replace(
        make_copied_deposit(message_id),
        message=make_message(message_id, body=body, requested=requested, deliver_until=NOON + until),
    ),
    ids,
    st.sampled_from([b"one", b"one", b"one", b"two"]),
    st.sampled_from(["", "positive-delivery,display", "processing,negative-delivery"]),
    st.integers(0, 3),
)
receipts = st.builds(
    lambda message_id, state, number: make_receipt(message_id, state, receipt_id=f"{message_id}{state}{number}"),
    ids,
    st.sampled_from(list(TOKENS)),
    st.integers(0, 1),
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("accept"), chats | receipts),
        st.tuples(st.just("accept"), chats | receipts),
        st.tuples(st.just("revoke"), ids),
        st.tuples(st.just("expire"), st.integers(0, 4)),
        st.tuples(st.just("settle"), st.tuples(st.integers(0, 9), st.sampled_from(State))),
        st.tuples(st.just("cursor"), st.tuples(st.integers(0, 30), st.frozensets(st.integers(1, 40), max_size=3))),
        st.tuples(st.just("flush"), st.none()),
    ),
    max_size=24,
)


def outcome(result) -> str:
    if isinstance(result, BaseException):
        return "refused"
    return "duplicate" if result.duplicate else result.dropped or "accepted"


async def apply(step, arguments, store, model: Model) -> None:
    mailboxes = store.mailboxes
    if step == "accept":
        results = await asyncio.gather(*map(mailboxes.accept, arguments), return_exceptions=True)
        assert [outcome(result) for result in results] == [model.accept(deposit) for deposit in arguments]
    elif step == "flush":
        await mailboxes.flush()
    for argument in arguments:
        if step == "revoke":
            assert await mailboxes.revoke(ALICE, BOB, argument, NOON) == model.revoke(argument)
        elif step == "expire":
            overdue = await mailboxes.expire(NOON + argument)
            assert [entry.message.message_id for entry in overdue] == model.expire(NOON + argument)
        elif step == "settle" and model.chats:
            known = model.chats[argument[0] % len(model.chats)]
            nth = [one for one in model.chats if one.message.message_id == known.message.message_id].index(known)
            trace = (await mailboxes.trace(known.message.message_id))[nth]
            mailboxes.settle(Cursor(mailbox=BOB, instance="a"), [(trace.entries[0].seq, argument[1])])
            if known.bobs in ENDED:
                # One that was left out and is taken after all comes back when that is on disk, not before.
                await mailboxes.flush()
            known.bobs = max(known.bobs, argument[1])
        elif step == "cursor":
            low, ahead = argument
            mailboxes.settle(Cursor(mailbox=BOB, instance="a", low=low, ahead=ahead))
            model.low = max(model.low, low)
            model.ahead |= ahead


async def compare(store, model: Model) -> None:
    entries = await store.mailboxes.read(BOB, 0, 100)
    assert [entry.message.message_id for entry in entries] == model.visible()
    assert [entry.seq for entry in entries] == sorted({entry.seq for entry in entries})
    read = await store.mailboxes.read(ALICE, 0, 100)
    assert [entry.message.message_id for entry in read if entry.message.sender == BOB] == list(model.receipts)
    for message_id in "abc":
        known = model.newest(message_id)
        trace = await store.mailboxes.find(ALICE, BOB, message_id)
        assert (trace is None) == (known is None)
        if known is not None:
            assert replace(trace.message, id=0) == known.message
            assert [entry.state for entry in trace.entries] == [known.bobs, known.copy]
            assert [one.state for one in trace.dispositions] == sorted(known.noted)
    for cursor in await store.mailboxes.cursors(BOB):
        assert cursor.low == model.low
        assert cursor.ahead == {seq for seq in model.ahead if seq > model.low}
    assert await store.mailboxes.pending(BOB) == sum(known.bobs < State.FAILED for known in model.chats)


@pytest.mark.parametrize("where", ["memory", "sqlite"])
def test_a_store_answers_like_its_model(where, tmp_path_factory):
    @settings(max_examples=40 if where == "memory" else 15, deadline=None)
    @given(steps)
    def check(script):
        async def play():
            path = ":memory:" if where == "memory" else tmp_path_factory.mktemp("model") / "joyn.db"
            store = open_store(
                path, node="n1", wall_clock=lambda: NOON, on_fatal=lambda error: None, limits=Limits(batch=3)
            )
            model = Model()
            try:
                for step, group in groupby(script, key=lambda one: one[0]):
                    await apply(step, [argument for _, argument in group], store, model)
                    await compare(store, model)
                assert await store.mailboxes.prune(NOON + 31 * DAY) == len(model.chats) + len(model.receipts)
                assert await store.mailboxes.read(BOB, 0, 100) == []
            finally:
                await store.close()

        asyncio.run(play())

    check()
