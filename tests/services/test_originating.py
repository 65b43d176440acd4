"""The rules of acceptance: what is committed for whom, what is dropped or refused, what the server says itself."""

from collections.abc import Awaitable
from dataclasses import replace

import pytest

from joyn.model.aor import Aor
from joyn.model.message import Accepted, EntryKind, Kind, Message, State
from joyn.model.refused import Reason, Refused
from joyn.protocol import revocation
from joyn.protocol.cpim import CpimMessage
from joyn.protocol.imdn import Imdn
from joyn.services.messaging.originating import COMPOSING, Submission
from services.desk import ASKING, IMDN_TYPE, Desk, at_a_desk, make_submission
from services.scene import ALICE, BOB, CAROL, MONTH, NOON, make_cpim


async def refusal(accepting: Awaitable[Accepted]) -> Reason:
    """Why something was refused."""
    with pytest.raises(Refused) as raised:
        await accepting
    return raised.value.reason


# Where a message goes.


@at_a_desk
async def test_a_message_is_committed_before_the_terminating_function_hears_of_it(desk: Desk) -> None:
    accepted = await desk.send()
    assert desk.nudged == list(accepted.entries)
    assert await desk.mailbox(BOB) == [(Kind.CHAT, "m1")]


@at_a_desk
async def test_a_national_number_and_a_sip_address_mean_the_same_recipient(desk: Desk) -> None:
    for number, to in enumerate(("sip:+33639980002@joyn.example;user=phone", "tel:0639980002", "tel:+33-6-39-98-0002")):
        await desk.send(f"m{number}", to=to)
    assert await desk.mailbox(BOB) == [(Kind.CHAT, "m0"), (Kind.CHAT, "m1"), (Kind.CHAT, "m2")]


@at_a_desk
async def test_nobody_s_number_is_refused(desk: Desk) -> None:
    assert await refusal(desk.send(to="tel:+33639980099")) is Reason.UNKNOWN_RECIPIENT
    assert await refusal(desk.send(to="sip:bob@elsewhere.example")) is Reason.UNKNOWN_RECIPIENT


@at_a_desk
async def test_somebody_the_operator_has_blocked_looks_unknown(desk: Desk) -> None:
    await desk.block(BOB)
    assert await refusal(desk.send()) is Reason.UNKNOWN_RECIPIENT


@at_a_desk
async def test_a_message_from_somebody_on_the_recipient_s_block_list_is_accepted_and_withheld(desk: Desk) -> None:
    await desk.store.subscribers.block(BOB, ALICE)
    accepted = await desk.send()
    assert accepted.entries == ()
    assert await desk.mailbox(BOB) == []
    assert (await desk.send()).duplicate


@at_a_desk
async def test_a_copy_goes_to_the_sender_s_own_mailbox_when_another_device_wants_it(desk: Desk) -> None:
    await desk.send("without")
    desk.syncing.add(ALICE)
    accepted = await desk.send("with")
    assert [(entry.mailbox, entry.kind) for entry in accepted.entries] == [
        (BOB, EntryKind.INCOMING),
        (ALICE, EntryKind.COPY),
    ]


@at_a_desk
async def test_what_the_server_reports_goes_wherever_the_message_was_copied_to(desk: Desk) -> None:
    def addressed(message: Message) -> list[tuple[Aor, str]]:
        told = desk.originating.notification(message, BOB, State.FAILED)
        assert told is not None
        return [(one.mailbox, one.instance) for one in told.addresses]

    message = (await desk.send()).message
    assert addressed(message) == [(ALICE, message.instance)]
    desk.syncing.add(ALICE)
    assert addressed(message) == [(ALICE, "")]


@at_a_desk
async def test_a_note_to_oneself_needs_no_copy(desk: Desk) -> None:
    desk.syncing.add(ALICE)
    accepted = await desk.send(to=ALICE)
    assert [entry.kind for entry in accepted.entries] == [EntryKind.INCOMING]


@at_a_desk
async def test_a_withheld_message_is_copied_all_the_same(desk: Desk) -> None:
    await desk.store.subscribers.block(BOB, ALICE)
    desk.syncing.add(ALICE)
    assert [entry.mailbox for entry in (await desk.send()).entries] == [ALICE]


# Once is enough.


@at_a_desk
async def test_a_repeated_message_is_answered_like_the_first_and_kept_once(desk: Desk) -> None:
    first = await desk.send()
    again = await desk.send(transaction="another call")
    assert (again.duplicate, again.message.id) == (True, first.message.id)
    assert await desk.mailbox(BOB) == [(Kind.CHAT, "m1")]
    assert len(desk.nudged) == 1


@at_a_desk
async def test_the_same_id_with_another_body_is_refused(desk: Desk) -> None:
    await desk.send()
    assert await refusal(desk.send(body=b"autre chose")) is Reason.ID_REUSED
    assert await desk.mailbox(BOB) == [(Kind.CHAT, "m1")]


@at_a_desk
async def test_the_same_id_to_somebody_else_or_from_somebody_else_is_another_message(desk: Desk) -> None:
    await desk.send()
    await desk.send(to=CAROL, body=b"autre chose")
    await desk.send(sender=CAROL, body=b"encore autre chose")
    assert len(desk.nudged) == 3


@at_a_desk
async def test_what_has_failed_is_accepted_anew(desk: Desk) -> None:
    (entry,) = (await desk.send()).entries
    await desk.store.mailboxes.fail(BOB, entry.seq)
    assert not (await desk.send()).duplicate
    assert await desk.mailbox(BOB) == [(Kind.CHAT, "m1")]


@at_a_desk
async def test_what_has_expired_is_accepted_anew(desk: Desk) -> None:
    await desk.send(expires=60)
    desk.now += 61
    (late,) = await desk.store.mailboxes.expire(desk.now)
    await desk.originating.report(late.message, BOB, State.FAILED)
    assert not (await desk.send(expires=60)).duplicate


@at_a_desk
async def test_what_was_revoked_is_accepted_anew(desk: Desk) -> None:
    await desk.send()
    assert await desk.revoke() == "success"
    assert not (await desk.send()).duplicate


@at_a_desk
async def test_a_plain_message_is_known_by_its_request(desk: Desk) -> None:
    plain = make_submission(content_type="text/plain", body=b"salut", service="plain")
    await desk.submit(plain)
    assert (await desk.submit(plain)).duplicate
    assert not (await desk.submit(replace(plain, transaction="call 2 MESSAGE tag"))).duplicate
    assert len(await desk.mailbox(BOB)) == 2


@at_a_desk
async def test_a_cpim_without_an_id_is_known_by_its_request_and_body(desk: Desk) -> None:
    nameless = make_submission(body=make_cpim(""))
    await desk.submit(nameless)
    assert (await desk.submit(nameless)).duplicate
    assert not (await desk.submit(replace(nameless, transaction="call 2"))).duplicate


# What is kept of it.


@at_a_desk
async def test_a_content_type_nobody_has_heard_of_is_kept_byte_for_byte(desk: Desk) -> None:
    cpim = make_cpim("m1", bytes(range(256)), 'application/x-never-heard-of; a="b"', headers=[("X-Own", "kept")])
    accepted = await desk.submit(make_submission(body=cpim))
    assert accepted.message.cpim == cpim
    assert accepted.message.content_type == "application/x-never-heard-of"


@at_a_desk
async def test_a_plain_message_is_wrapped_so_that_its_text_can_be_had_back(desk: Desk) -> None:
    body = "à bientôt".encode()
    await desk.submit(make_submission(content_type="text/plain;charset=UTF-8", body=body))
    cpim = CpimMessage.parse((await desk.message()).cpim)
    assert (cpim.content_type, cpim.decoded_body) == ("text/plain", body)
    assert cpim.disposition_request == frozenset()


@pytest.mark.parametrize(
    "from_",
    ["<sip:anonymous@anonymous.invalid>", "<tel:+33639980001>", "Alice <sip:+33639980001@joyn.example;user=phone>"],
)
def test_a_cpim_from_that_is_true_or_anonymous_stays_as_it_is(from_: str) -> None:
    @at_a_desk
    async def story(desk: Desk) -> None:
        cpim = make_cpim("m1", from_=from_)
        await desk.submit(make_submission(body=cpim))
        assert (await desk.message()).cpim == cpim

    story()


@at_a_desk
async def test_a_cpim_from_that_is_not_the_sender_is_replaced_by_who_it_is(desk: Desk) -> None:
    await desk.submit(make_submission(body=make_cpim("m1", from_="Carol <tel:+33639980003>")))
    cpim = CpimMessage.parse((await desk.message()).cpim)
    assert cpim.from_ == f"<{ALICE}>"
    assert cpim.decoded_body == b"salut"
    assert (await desk.message()).sender == ALICE


@pytest.mark.parametrize(("expires", "kept"), [(None, MONTH), (3600, 3600.0), (10**9, MONTH)])
def test_delivery_is_tried_for_as_long_as_the_sender_wants_and_the_operator_allows(
    expires: int | None, kept: float
) -> None:
    @at_a_desk
    async def story(desk: Desk) -> None:
        await desk.send(expires=expires)
        message = await desk.message()
        assert (message.deliver_until, message.retain_until) == (NOON + kept, NOON + 3 * MONTH)

    story()


@pytest.mark.parametrize("body", [b"", b"not cpim at all", b"\xff\xfe", b"From: <tel:+33639980001>\r\n"])
def test_what_is_no_cpim_is_refused_and_leaves_nothing(body: bytes) -> None:
    @at_a_desk
    async def story(desk: Desk) -> None:
        assert await refusal(desk.submit(make_submission(body=body))) is Reason.MALFORMED
        assert await desk.mailbox(BOB) == []

    story()


# Receipts.


@at_a_desk
async def test_a_receipt_goes_to_whoever_sent_the_message(desk: Desk) -> None:
    await desk.send()
    await desk.tell("delivered")
    assert await desk.mailbox(ALICE) == [(Kind.RECEIPT, "receipt delivered m1")]


@at_a_desk
async def test_the_first_delivered_and_the_first_displayed_go_on_and_no_other(desk: Desk) -> None:
    await desk.send()
    told = [
        await desk.tell(status, own_id=str(number))
        for number, status in enumerate(("delivered", "delivered", "displayed", "displayed"))
    ]
    assert [one.dropped for one in told] == ["", "stale", "", "stale"]
    assert await desk.mailbox(ALICE) == [(Kind.RECEIPT, "0"), (Kind.RECEIPT, "2")]


@pytest.mark.parametrize("later", ["delivered", "failed", "processed"])
def test_no_lower_state_follows_a_higher_one(later: str) -> None:
    @at_a_desk
    async def story(desk: Desk) -> None:
        await desk.send()
        await desk.tell("displayed")
        assert (await desk.tell(later)).dropped == "stale"

    story()


@at_a_desk
async def test_a_receipt_for_a_message_that_was_not_sent_to_its_author_is_dropped(desk: Desk) -> None:
    await desk.send()
    assert (await desk.tell("displayed", sender=CAROL)).dropped == "unknown"
    assert (await desk.tell("displayed", message_id="never sent")).dropped == "unknown"
    assert (await desk.tell("displayed", sender=ALICE, to=BOB)).dropped == "unknown"
    assert await desk.mailbox(ALICE) == []
    assert await desk.mailbox(BOB) == [(Kind.CHAT, "m1")]


@at_a_desk
async def test_a_receipt_nobody_asked_for_is_dropped(desk: Desk) -> None:
    await desk.submit(make_submission(body=make_cpim("m1", disposition_request=["display"])))
    assert (await desk.tell("delivered")).dropped == "unasked"
    assert (await desk.tell("displayed")).dropped == ""


@at_a_desk
async def test_a_notification_of_a_kind_we_do_not_count_is_relayed(desk: Desk) -> None:
    await desk.send()
    body = Imdn(message_id="m1", kind="processing", status="forbidden", datetime="2026-11-22T12:00:00Z").emit()
    await desk.submit(make_submission(sender=BOB, to=ALICE, body=make_cpim("relayed", body, IMDN_TYPE)))
    assert await desk.mailbox(ALICE) == [(Kind.RECEIPT, "relayed")]


@at_a_desk
async def test_a_receipt_may_be_for_one_device_of_the_sender(desk: Desk) -> None:
    await desk.send()
    accepted = await desk.tell("delivered", device="alice's phone")
    assert [entry.instance for entry in accepted.entries] == ["alice's phone"]


@at_a_desk
async def test_what_a_device_has_delivered_or_displayed_it_has(desk: Desk) -> None:
    await desk.send()
    await desk.tell("processed")
    assert desk.receipts == []
    await desk.tell("delivered")
    assert desk.receipts == [(BOB, "bob's phone", ALICE, "m1")]


@at_a_desk
async def test_a_receipt_that_is_no_xml_is_refused(desk: Desk) -> None:
    await desk.send()
    cpim = make_cpim("r", b"<imdn", IMDN_TYPE)
    assert await refusal(desk.submit(make_submission(sender=BOB, to=ALICE, body=cpim))) is Reason.MALFORMED


# What the server says itself.


@pytest.mark.parametrize(
    ("state", "token", "status"),
    [
        (State.STORED, "processing", "stored"),
        (State.FAILED, "negative-delivery", "failed"),
        (State.DELIVERED, "positive-delivery", "delivered"),
    ],
)
def test_the_server_reports_what_the_sender_asked_for_and_nothing_else(state: State, token: str, status: str) -> None:
    @at_a_desk
    async def story(desk: Desk) -> None:
        for message_id, asked in (("asked", [token]), ("not asked", [other for other in ASKING if other != token])):
            cpim = make_cpim(message_id, disposition_request=asked)
            await desk.submit(make_submission(body=cpim))
            await desk.originating.report(await desk.message(), BOB, state)
        (entry,) = await desk.store.mailboxes.read(ALICE, 0, 10)
        imdn = Imdn.parse(CpimMessage.parse(entry.message.cpim).decoded_body)
        assert (imdn.message_id, imdn.status) == ("asked", status)
        assert (entry.message.sender, entry.instance) == (BOB, "alice's phone")

    story()


@pytest.mark.parametrize("cause", [404, 0])
def test_a_sender_is_told_why_a_message_failed(cause: int) -> None:
    @at_a_desk
    async def story(desk: Desk) -> None:
        await desk.submit(make_submission(body=make_cpim("m1", disposition_request=["negative-delivery"])))
        deposit = desk.originating.notification(await desk.message(), BOB, State.FAILED, cause)
        assert deposit is not None
        imdn = Imdn.parse(CpimMessage.parse(deposit.message.cpim).decoded_body)
        assert (imdn.status, imdn.cause) == ("failed", cause)

    story()


@at_a_desk
async def test_the_server_does_not_say_stored_after_delivered_nor_anything_twice(desk: Desk) -> None:
    await desk.send()
    message = await desk.message()
    for state in (State.DELIVERED, State.STORED, State.DELIVERED, State.FAILED):
        await desk.originating.report(message, BOB, state)
    assert await desk.mailbox(ALICE) == [(Kind.RECEIPT, "own 1")]


# Typing.


@at_a_desk
async def test_typing_is_passed_on_without_a_commit(desk: Desk) -> None:
    accepted = await desk.submit(make_submission(body=make_cpim("", b"<isComposing/>", COMPOSING)))
    assert desk.composing == [(ALICE, BOB, b"<isComposing/>")]
    assert accepted.dropped == "composing"
    assert await desk.mailbox(BOB) == []


@at_a_desk
async def test_typing_is_not_shown_to_somebody_who_has_blocked_the_sender(desk: Desk) -> None:
    await desk.store.subscribers.block(BOB, ALICE)
    await desk.submit(make_submission(body=make_cpim("", b"<isComposing/>", COMPOSING)))
    assert desk.composing == []


# Revocation.


@at_a_desk
async def test_a_message_no_device_has_can_be_withdrawn(desk: Desk) -> None:
    await desk.send()
    assert await desk.revoke() == "success"
    assert await desk.mailbox(BOB) == []


@at_a_desk
async def test_a_message_a_device_has_stays(desk: Desk) -> None:
    await desk.send()
    await desk.settle()
    assert await desk.revoke() == "failure"


@at_a_desk
async def test_a_message_on_its_way_to_a_device_stays(desk: Desk) -> None:
    await desk.send()
    desk.in_flight.add("m1")
    assert await desk.revoke() == "failure"
    assert await desk.mailbox(BOB) == [(Kind.CHAT, "m1")]


@at_a_desk
async def test_nobody_withdraws_another_s_message(desk: Desk) -> None:
    await desk.send()
    body = revocation.RevokeRequest(message_id="m1").emit()
    cpim = make_cpim("r1", body, revocation.CONTENT_TYPE)
    await desk.submit(make_submission(sender=CAROL, body=cpim))
    assert (Kind.CHAT, "m1") in await desk.mailbox(BOB)


@at_a_desk
async def test_a_repeated_revocation_is_answered_once_and_for_the_device_that_asked(desk: Desk) -> None:
    await desk.send()
    assert [await desk.revoke(), await desk.revoke()] == ["success", "success"]
    (entry,) = await desk.store.mailboxes.read(ALICE, 0, 10)
    assert (entry.message.kind, entry.instance) == (Kind.SYSTEM, "alice's phone")


@at_a_desk
async def test_what_is_no_revocation_request_is_refused(desk: Desk) -> None:
    answer = revocation.RevokeResponse(message_id="m1", result="success").emit()
    for body, reason in ((b"<broken", Reason.MALFORMED), (answer, Reason.NOT_ALLOWED)):
        cpim = make_cpim("r1", body, revocation.CONTENT_TYPE)
        assert await refusal(desk.submit(make_submission(body=cpim))) is reason


# Notifications of a kind that RFC 5438 leaves to extensions.

EXTENSION = b"""<?xml version="1.0" encoding="UTF-8"?>
<imdn xmlns="urn:ietf:params:xml:ns:imdn"><message-id>%s</message-id><datetime>2026-11-22T12:00:00Z</datetime>
<delivery-notification><status><read-aloud/></status></delivery-notification></imdn>"""


def extension(message_id: str, sender: Aor = BOB) -> Submission:
    cpim = make_cpim(f"extension {message_id}", EXTENSION % message_id.encode(), IMDN_TYPE)
    return make_submission(sender=sender, instance="phone", to=ALICE, body=cpim)


@at_a_desk
async def test_an_extension_s_notification_reaches_whose_message_it_speaks_of(desk: Desk) -> None:
    await desk.send()
    assert (await desk.submit(extension("m1"))).dropped == ""
    assert await desk.mailbox(ALICE) == [(Kind.RECEIPT, "extension m1")]


@at_a_desk
async def test_an_extension_s_notification_needs_a_message_that_was_sent_to_its_author(desk: Desk) -> None:
    await desk.send()
    assert (await desk.submit(extension("never sent"))).dropped == "unknown"
    assert (await desk.submit(extension("m1", sender=CAROL))).dropped == "unknown"
    assert await desk.mailbox(ALICE) == []


@at_a_desk
async def test_an_extension_s_notification_does_not_pass_the_block_list(desk: Desk) -> None:
    await desk.send()
    await desk.store.subscribers.block(ALICE, BOB)
    assert (await desk.submit(extension("m1"))).dropped == "blocked"
    assert await desk.mailbox(ALICE) == []
