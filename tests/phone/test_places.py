import asyncio
import math
from datetime import datetime

import pytest

from joyn.phone import Received
from joyn.protocol import geolocation
from phone.node import ALICE, BOB, make_phone, running_node
from phone.scripted_server import make_phone as make_lonely_phone
from phone.scripted_server import running


@pytest.mark.parametrize("style", ["cpm", "simple"])
def test_a_place_arrives_as_a_value_of_its_own(style: str) -> None:
    async def story() -> None:
        async with (
            running_node() as servers,
            make_phone(servers, ALICE) as alice,
            make_phone(servers, BOB, style=style) as bob,
        ):
            sent = await alice.send_location(BOB, 48.731964, -3.45829, label="chez <nous>", radius=10)
            received = await bob.receive(timeout=5)
            await sent.delivered(timeout=5)
        place = received.location
        assert place is not None
        assert (place.latitude, place.longitude, place.radius) == (48.731964, -3.45829, 10.0)
        assert (place.label, place.entity) == ("chez <nous>", f"tel:{ALICE}")
        lasts = datetime.fromisoformat(place.expires) - datetime.fromisoformat(place.timestamp)
        assert lasts.total_seconds() == 3600
        assert received.files == ()

    asyncio.run(story())


@pytest.mark.parametrize(
    ("latitude", "longitude", "more"),
    [
        (90.1, 0, {}),
        (0, -180.1, {}),
        (math.nan, 0, {}),
        (0, 0, {"radius": -1}),
        (0, 0, {"radius": math.inf}),
        (0, 0, {"label": "x" * (geolocation.MAX_LABEL + 1)}),
    ],
)
def test_a_place_that_is_none_and_a_label_that_is_too_long_are_not_sent(
    latitude: float, longitude: float, more: dict[str, object]
) -> None:
    async def story() -> None:
        async with running() as server, make_lonely_phone(server) as phone:
            with pytest.raises(ValueError, match=r"no place on Earth|at most"):
                await phone.send_location(BOB, latitude, longitude, **more)  # type: ignore[arg-type]  # by name
            assert not server.of("MESSAGE")

    asyncio.run(story())


def test_a_message_tells_of_a_place_if_it_is_a_document_of_one() -> None:
    def place(content_type: str, body: bytes) -> object:
        made = Received(sender=ALICE, recipient=BOB, message_id="1", content_type=content_type, body=body)
        return made.location

    document = geolocation.Location(id="1", latitude=1.0, longitude=2.0).emit()
    assert place(f"{geolocation.CONTENT_TYPE.upper()}; charset=utf-8", document) is not None
    assert place("text/xml", document) is None
    assert place(geolocation.CONTENT_TYPE, b"<rcsenvelope/>") is None
