"""Files of another operator's subscribers, for phones that know MSRP alone: they come first, and go out like ours."""

import time
from pathlib import Path

from edge.receiving import MSRP_ALONE, invited
from edge.stranger import Door, meets
from interconnect.origin import ScriptedOrigin, Served
from joyn.model.file import ForeignFile
from joyn.model.peer import mailbox_of
from joyn.protocol.file_info import CONTENT_TYPE, FileInfo, emit
from phone.node import CAROL

DATA = bytes(range(256)) * 100
FILE = ForeignFile(
    id="x" * 32,
    owner=mailbox_of("sfr.example"),
    path="/file/1",
    kind="file",
    size=len(DATA),
    name="notes.bin",
    content_type="application/octet-stream",
    until=time.time() + 3600,
)


def test_a_file_that_is_still_on_its_way_goes_to_a_phone_that_knows_msrp_alone(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        origin = ScriptedOrigin()
        origin.served[FILE.path] = Served(DATA)
        content = door.node.content
        content.origin_of = {"sfr.example": origin.url}.get  # type: ignore[assignment]  # it is asked for no other
        async with door.stranger() as carol:
            carol.tags = MSRP_ALONE
            assert (await carol.register()).status == 200
            await door.node.store.foreign_files.add([FILE])
            info = FileInfo(
                size=FILE.size, content_type=FILE.content_type, url=f"{content.url}/file/{FILE.id}", name=FILE.name
            )
            await door.alice.send(CAROL, emit([info]), content_type=CONTENT_TYPE)
            async with origin:
                invitation = await invited(carol)
                assert (invitation.file.name, invitation.file.size) == (FILE.name, len(DATA))
                assert await (await invitation.take()).whole() == DATA
                await carol.requested("BYE")

    meets(story, files={})
