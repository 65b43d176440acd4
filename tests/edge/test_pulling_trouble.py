"""Files that phones ask for when something else happens: nothing is taken back, passed over or given twice."""

from pathlib import Path
from typing import Any
from unittest.mock import patch

from edge.receiving import invited
from edge.sending import entries_of
from edge.stranger import Door, Stranger, aor
from edge.test_pulling import DATA, Asking, part_of, paused, play, register_again
from edge.test_transferring import of_carol
from joyn import filing
from joyn.model.message import State
from joyn.phone.messages import Sent
from phone.node import ALICE, CAROL

PATIENCE = 5


def test_what_was_given_to_a_phone_that_is_not_registered_any_more_is_delivered_and_not_withdrawn(
    tmp_path: Path,
) -> None:
    async def story(door: Door, carol: Stranger, sent: Sent) -> None:
        have = await paused(door, carol)
        receiving = await Asking(door, carol, DATA).receive(len(have))
        own = f"<sip:{CAROL}@joyn.localhost;user=phone>"
        more = [("Contact", carol.contact(CAROL)), ("Expires", "0")]
        gone = await carol.again("REGISTER", "sip:joyn.localhost", from_=CAROL, to=own, more=more)
        assert gone.status == 200
        assert have + await receiving.whole() == DATA
        await door.until(lambda: not of_carol(door))
        assert not await door.node.terminating.revoke(aor(CAROL), aor(ALICE), sent.message_id)
        await sent.delivered(timeout=PATIENCE)
        (entry,) = await entries_of(door, CAROL)
        assert entry.state >= State.ACKNOWLEDGED

    play(story, tmp_path)


def test_a_part_from_the_midst_says_nothing_of_what_is_before_it(tmp_path: Path) -> None:
    async def story(door: Door, carol: Stranger, sent: Sent) -> None:
        have = await paused(door, carol)
        receiving = await Asking(door, carol, DATA).receive(file_range="200001-250000")
        assert await receiving.whole() == DATA[200_000:250_000]
        await carol.requested("BYE")
        await register_again(carol)
        invitation = await invited(carol)
        start = invitation.file.start
        assert start <= len(have)
        # A phone that takes what it is offered as it is offered has all of it then.
        rest = await invitation.take("file-selector", f"file-range:{start + 1}-*")
        assert DATA[:start] + await rest.whole() == DATA
        await sent.delivered(timeout=PATIENCE)

    play(story, tmp_path)


def test_a_phone_that_does_not_answer_that_it_is_brought_a_file_is_not_kept_waiting_when_it_asks(
    tmp_path: Path,
) -> None:
    async def story(door: Door, carol: Stranger, sent: Sent) -> None:
        old = await part_of(await invited(carol), 10)
        old.peer.close()
        ringing = await invited(carol)  # an INVITE that is not answered at all cannot be cancelled either
        with patch("joyn.services.messaging.pouring.ENDING", 0.05):
            assert await Asking(door, carol, DATA).ask(len(old.data)) == 486
        ringing.say(487)
        # It has ended because we wanted it to: the file is still brought, and the phone may ask again.
        await invited(carol)

    play(story, tmp_path)


def test_a_file_that_is_asked_for_in_small_parts_is_not_read_whole_each_time(tmp_path: Path) -> None:
    read, opened = 0, filing._opened

    def counted(path: Path, sha1: str | None) -> Any:
        nonlocal read
        read += sha1 is None
        return opened(path, sha1)

    async def story(door: Door, carol: Stranger, _sent: Sent) -> None:
        await paused(door, carol)
        for number in range(3):
            receiving = await Asking(door, carol, DATA).receive(file_range=f"{number + 1}-{number + 1}")
            assert await receiving.whole() == DATA[number : number + 1]
            await carol.requested("BYE")
            await door.until(lambda: not of_carol(door))

    with patch.object(filing, "_opened", counted):
        play(story, tmp_path)
    assert read == 1
