import pytest

from joyn.model.refused import Reason, Refused
from joyn.services.push.contacts import PushContacts, UnsupportedProvider, device_of
from joyn.services.push.endpoints import Endpoints
from services.push.test_waking import BOB, NOON, make_browser, played
from services.scene import make_binding

RESOURCE = "https%3A%2F%2Fpush.example%2F1"
PUSHABLE = f"sip:bob@192.0.2.1;pn-provider=webpush;pn-prid={RESOURCE}"


def make_contacts(room=None):
    return PushContacts(room and room.waking, Endpoints(("push.example",)), "KEY")


@pytest.mark.parametrize(
    ("contact", "resource"),
    [
        ("sip:bob@192.0.2.1", None),
        ("sip:pn-provider@192.0.2.1", None),
        ("sip:bob@192.0.2.1;pn-provider", ""),
        ("sip:bob@192.0.2.1;pn-provider=webpush", ""),
        (PUSHABLE, "https://push.example/1"),
        (PUSHABLE.replace("webpush", "WebPush"), "https://push.example/1"),
    ],
)
def test_a_contact_says_how_its_device_is_woken(contact, resource):
    wish = make_contacts().wish(contact)
    assert (wish and wish.resource) == resource


@pytest.mark.parametrize("provider", ["apns", "fcm", "acme"])
def test_another_push_service_is_not_supported(provider):
    with pytest.raises(UnsupportedProvider):
        make_contacts().wish(f"sip:bob@192.0.2.1;pn-provider={provider};pn-prid=token;pn-param=app")


def test_a_resource_elsewhere_is_not_supported_and_one_that_is_none_is_refused():
    with pytest.raises(UnsupportedProvider):
        make_contacts().wish("sip:bob@192.0.2.1;pn-provider=webpush;pn-prid=https%3A%2F%2F127.0.0.1%2F")
    with pytest.raises(Refused) as caught:
        make_contacts().wish("sip:bob@192.0.2.1;pn-provider=webpush;pn-prid=token")
    assert caught.value.reason is Reason.MALFORMED


def test_the_answer_says_which_service_and_which_key():
    assert make_contacts().feature_caps == '*;+sip.pns="webpush";+sip.vapid="KEY"'


@played
async def test_a_pushable_device_outlives_its_flow_until_its_registration_ends(room):
    contacts = make_contacts(room)
    binding = make_binding("urn:uuid:phone", contact=PUSHABLE, expires_at=NOON + 600)
    await contacts.registered(BOB, ["urn:uuid:phone"], [binding])
    (target,) = room.waking.targets(BOB)
    assert (target.device, target.endpoint, target.expires_at, target.p256dh) == (
        "urn:uuid:phone",
        "https://push.example/1",
        NOON + 600,
        "",
    )
    await room.accept("m1")
    assert room.woken == ["urn:uuid:phone"]


@played
async def test_one_that_unregisters_or_asks_for_no_push_any_more_is_forgotten(room):
    contacts = make_contacts(room)
    binding = make_binding("urn:uuid:phone", contact=PUSHABLE)
    plain = make_binding("urn:uuid:phone")
    for bindings in ([], [plain]):
        await contacts.registered(BOB, ["urn:uuid:phone"], [binding])
        await contacts.registered(BOB, ["urn:uuid:other"], [])
        assert len(room.waking.targets(BOB)) == 1
        await contacts.registered(BOB, ["urn:uuid:phone"], bindings)
        assert room.waking.targets(BOB) == []


@played
async def test_unregistering_everything_forgets_all_but_browsers(room):
    contacts = make_contacts(room)
    await room.waking.add(await make_browser(room, "browser"))
    await contacts.registered(BOB, ["a"], [make_binding("a", contact=PUSHABLE)])
    await contacts.registered(BOB, None, [])
    assert [target.device for target in room.waking.targets(BOB)] == ["browser"]


@played
async def test_a_browser_that_registers_keeps_its_own_subscription(room):
    await room.waking.add(await make_browser(room, "urn:uuid:1"))
    await make_contacts(room).registered(BOB, ["urn:uuid:1"], [make_binding("urn:uuid:1")])
    assert len(room.waking.targets(BOB)) == 1


def test_a_device_is_called_by_its_instance_or_its_contact():
    assert device_of("<urn:uuid:1>", "sip:bob@192.0.2.1") == "urn:uuid:1"
    assert device_of("", "sip:bob@192.0.2.1") == "sip:bob@192.0.2.1"
