"""What somebody who asks is told: what the devices registered together, and what the server does for everybody."""

import asyncio

import pytest

from joyn.model.aor import Aor
from joyn.model.binding import Binding
from joyn.model.subscriber import Subscriber
from joyn.model.tags import FILES, PROVIDED, SYNC, tags_of
from joyn.protocol.sip.feature_tags import FeatureTags
from joyn.services.capabilities import Capabilities, Presence
from joyn.store.sqlite import open_store
from services.scene import ALICE, BOB, CAROL, NOON, make_binding

VIDEO = ';+g.3gpp.icsi-ref="urn%3Aurn-7%3A3gpp-service.ims.icsi.mmtel"'
TRANSFER = ';+g.3gpp.iari-ref="urn%3Aurn-7%3A3gpp-application.ims.iari.rcs.fthttp"'
NOBODY = Aor("tel:+33639980099")


def ask(aor: Aor, *devices: Binding, provided: FeatureTags = PROVIDED) -> tuple[Presence, FeatureTags]:
    """Bob has these devices; Carol is blocked by the operator; Alice has none."""

    async def story() -> tuple[Presence, FeatureTags]:
        store = open_store(":memory:", node="n", wall_clock=lambda: NOON, on_fatal=lambda error: None)
        try:
            for subscriber in (ALICE, BOB, CAROL):
                await store.subscribers.put(
                    Subscriber(
                        aor=subscriber, username=subscriber, realm="r", ha1={"MD5": "0"}, blocked=subscriber == CAROL
                    )
                )
            bindings = {BOB: devices}
            return await Capabilities(store.subscribers, lambda aor: bindings.get(aor, ()), provided).of(aor)
        finally:
            await store.close()

    return asyncio.run(story())


def test_the_devices_capabilities_are_joined() -> None:
    presence, tags = ask(BOB, make_binding("phone", VIDEO), make_binding("tablet", TRANSFER))
    assert presence is Presence.ONLINE
    assert tags_of(VIDEO) <= tags
    assert tags_of(TRANSFER) <= tags


def test_everybody_can_chat_whatever_their_device_says() -> None:
    _, tags = ask(BOB, make_binding("desk phone", ""))
    assert tags & PROVIDED == PROVIDED


def test_where_there_is_a_content_server_everybody_can_be_sent_files() -> None:
    _, tags = ask(BOB, make_binding("desk phone", ""), provided=PROVIDED | FILES)
    assert tags_of(TRANSFER) <= tags
    assert ask(ALICE, provided=PROVIDED | FILES)[1] == PROVIDED | FILES
    assert not tags_of(TRANSFER) <= ask(BOB, make_binding("desk phone", ""))[1]


def test_our_own_tag_is_nobody_else_s_business() -> None:
    assert SYNC not in ask(BOB, make_binding("browser", f";{SYNC}"))[1].bare


@pytest.mark.parametrize(
    ("aor", "presence"), [(ALICE, Presence.OFFLINE), (NOBODY, Presence.UNKNOWN), (CAROL, Presence.UNKNOWN)]
)
def test_without_a_device_a_subscriber_is_offline_and_anybody_else_unknown(aor: Aor, presence: Presence) -> None:
    assert ask(aor)[0] is presence
