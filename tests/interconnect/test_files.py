"""Files between two operators: taken into the recipient's own content server, or fetched from the sender's."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from interconnect.operators import ALICE, ANNA, BEN, BOB, ORANGE, RANGES, SFR, Operator, operator, two_operators
from interconnect.origin import ScriptedOrigin, Served
from interconnect.scripted_peer import ScriptedPeer, asserted, scripted_peer
from joyn.config import NumberRange
from joyn.model.aor import Aor
from joyn.model.file import StoredFile
from joyn.model.peer import mailbox_of
from joyn.model.ported import PortedNumber
from joyn.model.route import Operator as Domain
from joyn.protocol.file_info import CONTENT_TYPE, FileInfo, emit
from joyn.services.messaging.originating import CPIM, Submission
from joyn.telemetry import counters
from phone.node import make_subscriber
from services.scene import make_cpim
from waiting import until

PHOTO = b"\xff\xd8\xff\xe0" + bytes(range(256)) * 2000
THUMBNAIL = b"\x89PNG\r\n\x1a\n" + bytes(400)
DATA = bytes(range(256)) * 1200
FILES: dict[str, Any] = {"thumbnails": False}
HERE = Domain(ORANGE)


async def sends(phone: Any, to: str, path: Path, data: bytes, **more: Any) -> None:
    await asyncio.to_thread(path.write_bytes, data)
    await phone.send_file(to, path, **more)


# Two operators.


@pytest.mark.parametrize("policy", ["localise", "direct"])
def test_a_photo_with_its_thumbnail_and_a_file_cross_the_border(tmp_path: Path, policy: str) -> None:
    async def story() -> None:
        async with two_operators(files=FILES) as (orange, sfr):
            await sfr.accept(orange.as_peer(file_policy=policy))
            async with orange.phone(ALICE) as alice, sfr.phone(BOB) as bob:
                await sends(alice, BOB, tmp_path / "plage.jpg", PHOTO, thumbnail=THUMBNAIL)
                await sends(alice, BOB, tmp_path / "notes.bin", DATA)
                photo, notes = [await bob.receive(timeout=10) for _ in range(2)]
                assert [info.type for info in photo.files] == ["thumbnail", "file"]
                assert [info.name for info in (photo.files[1], *notes.files)] == ["plage.jpg", "notes.bin"]
                home = sfr if policy == "localise" else orange
                wanted = zip((*photo.files, *notes.files), (THUMBNAIL, PHOTO, DATA), strict=True)
                for number, (info, data) in enumerate(wanted):
                    assert info.url.startswith(f"{home.settings.files_url}/file/")
                    assert info.size == len(data)
                    fetched = await bob.fetch(info, tmp_path / f"fetched{number}")
                    assert fetched.read_bytes() == data

    asyncio.run(story())


def test_who_comes_later_still_gets_it_when_the_senders_operator_is_gone(tmp_path: Path) -> None:
    async def story() -> None:
        async with two_operators(files=FILES) as (orange, sfr):
            async with orange.phone(ALICE) as alice:
                before = counters().get("file.fetched", 0)
                await sends(alice, BOB, tmp_path / "plage.jpg", PHOTO, thumbnail=THUMBNAIL)
                await until(lambda: counters().get("file.fetched", 0) == before + 2, within=10)
            await orange.node.content.stop()
            async with sfr.phone(BOB) as bob:
                message = await bob.receive(timeout=10)
                fetched = await bob.fetch(message.files[1], tmp_path / "fetched")
                assert fetched.read_bytes() == PHOTO

    asyncio.run(story())


def test_what_was_agreed_on_files_is_changed_while_both_run(tmp_path: Path) -> None:
    async def story() -> None:
        async with two_operators(files=FILES) as (orange, sfr):
            door = sfr.settings.admin_socket
            assert sfr.node.interconnect.direct_origins() == []
            for policy, home in (("direct", orange), ("localise", sfr)):
                await asyncio.to_thread(_change, door, policy)
                others = [orange.settings.files_url] if policy == "direct" else []
                assert sfr.node.interconnect.direct_origins() == others
                async with orange.phone(ALICE) as alice, sfr.phone(BOB) as bob:
                    await sends(alice, BOB, tmp_path / "notes.bin", DATA)
                    message = await bob.receive(timeout=10)
                    assert message.files[0].url.startswith(home.settings.files_url)

    asyncio.run(story())


def _change(socket: Path, policy: str) -> None:
    from joyn.cli.access import Door

    status, answer = Door(socket).ask("PUT", f"/peers/{ORANGE}", {"file_policy": policy})
    assert status == 200, answer


# A peer whose content server the test plays.


class Border:
    """Orange, a peer at its border that has a content server, and what the peer's subscriber sends with it."""

    def __init__(self, orange: Operator, peer: ScriptedPeer, origin: ScriptedOrigin) -> None:
        self.orange = orange
        self.peer = peer
        self.origin = origin
        self._count = 0

    @property
    def own(self) -> str:
        """How our own links begin."""
        return f"{self.orange.settings.files_url}/file/"

    def info(self, path: str = "/file/1", data: bytes = DATA, **fields: Any) -> FileInfo:
        values = {
            "size": len(data),
            "content_type": "application/octet-stream",
            "url": f"{self.origin.url}{path}",
            "name": "notes.bin",
        }
        return FileInfo(**(values | fields))

    async def sends(self, *infos: FileInfo, message_id: str = "", body: bytes = b"") -> None:
        self._count += 1
        cpim = make_cpim(message_id or f"f{self._count}", body or emit(infos), CONTENT_TYPE)
        assert (await self.peer.send("MESSAGE", ALICE, asserted(BOB), cpim)).status == 202

    async def get(self, url: str, **headers: str) -> tuple[int, bytes, dict[str, str]]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with aiohttp.ClientSession() as http, http.get(url, headers=named) as answer:
            return answer.status, await answer.read(), dict(answer.headers)

    async def row(self, url: str) -> StoredFile | None:
        return await self.orange.node.store.files.get(url.rpartition("/")[2])

    async def lost(self, url: str) -> bool:
        found = await self.orange.node.store.foreign_files.get(url.rpartition("/")[2])
        return found is not None and found.lost

    async def usage(self) -> tuple[int, int]:
        found = await self.orange.node.store.files.usage(mailbox_of(SFR))
        return found.own, found.all


Story = Callable[[Border, Any], Awaitable[None]]


def at_border(tmp_path: Path, story: Story, *, open_at_once: bool = True, **fields: Any) -> None:
    """With Alice's phone there."""

    async def run() -> None:
        origin = ScriptedOrigin()
        peer_fields = {"files": origin.url} | fields.pop("peer", {})
        async with (
            operator(ORANGE, (ALICE, ANNA), files=FILES | fields.pop("files", {}), **fields) as orange,
            scripted_peer(tmp_path, orange, **peer_fields) as peer,
            orange.phone(ALICE) as alice,
        ):
            border = Border(orange, peer, origin)
            if not open_at_once:
                await story(border, alice)
                return
            async with origin:
                await story(border, alice)

    asyncio.run(run())


async def received(phone: Any) -> tuple[FileInfo, ...]:
    files: tuple[FileInfo, ...] = (await phone.receive(timeout=10)).files
    return files


def test_what_was_fetched_is_a_file_like_others(tmp_path: Path) -> None:
    async def story(border: Border, alice: Any) -> None:
        border.origin.served["/file/1?k=v"] = Served(DATA)
        await border.sends(border.info("/file/1?k=v"))
        (info,) = await received(alice)
        assert info.url.startswith(border.own)
        status, body, headers = await border.get(info.url)
        assert (status, body) == (200, DATA)
        assert headers["Access-Control-Allow-Origin"] == "*"
        assert headers["Content-Disposition"] == "attachment; filename*=UTF-8''notes.bin"
        assert (await border.get(info.url, Range="bytes=100-199"))[:2] == (206, DATA[100:200])
        row = await border.row(info.url)
        assert row is not None
        assert (row.owner, row.size, row.name, row.kind) == (mailbox_of(SFR), len(DATA), "notes.bin", "file")
        assert await border.usage() == (len(DATA), len(DATA))
        (_, asked), *more = border.origin.requests
        assert not more
        assert not {"authorization", "cookie", "referer"} & set(asked)
        # Sent again, as when our answer was lost: it is the same message still.
        await border.sends(border.info("/file/1?k=v"))

    at_border(tmp_path, story)


def test_what_comes_over_a_session_of_the_peers_gets_our_links_too(tmp_path: Path) -> None:
    async def story(border: Border, alice: Any) -> None:
        border.origin.served["/file/1"] = Served(DATA)
        submission = Submission(
            sender=Aor(f"tel:{BOB}"),
            instance=mailbox_of(SFR),
            to=f"tel:{ALICE}",
            content_type=CPIM,
            body=make_cpim("m1", emit([border.info()]), CONTENT_TYPE),
            service="session",
        )
        await border.orange.node.interconnect.crossing.accept(submission)
        (info,) = await received(alice)
        assert (await border.get(info.url))[1] == DATA

    at_border(tmp_path, story)


def test_what_was_forwarded_of_somebody_elses_keeps_its_links(tmp_path: Path) -> None:
    async def story(border: Border, alice: Any) -> None:
        other = ScriptedPeer(tmp_path, border.orange.border, domain="vodafone.example")
        await border.orange.accept(border.peer.as_peer(files=border.origin.url), other.as_peer(ranges=("+4477009",)))
        moved = [("P-Asserted-Identity", f"<sip:forward@{SFR}>"), ("Referred-By", "<tel:+447700900001>")]
        await border.orange.node.store.ported.put([PortedNumber(number=BEN, operator=HERE, at=0.0)])
        await border.orange.node.store.subscribers.put(make_subscriber(BEN, ORANGE))
        async with border.orange.phone(BEN) as ben:
            # Who sent it is another operator's: the peer's content server is not that one's.
            cpim = make_cpim("m1", emit([border.info()]), CONTENT_TYPE)
            assert (await border.peer.send("MESSAGE", BEN, moved, cpim)).status == 202
            (info,) = await received(ben)
            assert info.url == border.info().url
        assert border.origin.requests == []

    at_border(tmp_path, story)


def test_all_but_the_links_stays_as_it_came(tmp_path: Path) -> None:
    async def story(border: Border, alice: Any) -> None:
        border.origin.served["/file/1"] = Served(DATA)
        info = border.info(until="2099-01-01T00:00:00Z", file_hash="abc", disposition="render", playing_length=3)
        document = emit([info]).replace(b"</file-info>", b'<y:new xmlns:y="urn:y" z="1">so</y:new></file-info>')
        cpim = make_cpim("m1", document, CONTENT_TYPE, headers=[("X-Theirs", "a  b")])
        await border.peer.send("MESSAGE", ALICE, asserted(BOB), cpim)
        message = await alice.receive(timeout=10)
        (trace,) = await border.orange.node.store.mailboxes.trace("m1")
        kept = trace.message.cpim
        (there,) = message.files
        assert (there.file_hash, there.disposition, there.playing_length) == ("abc", "render", 3)
        assert b'<y:new xmlns:y="urn:y" z="1">so</y:new>' in kept
        head, _, body = kept.partition(b"<?xml")
        wanted, _, old = cpim.partition(b"<?xml")
        length = len(b"<?xml" + body)
        assert head == wanted.replace(b"length: %d" % len(b"<?xml" + old), b"length: %d" % length)
        assert there.until < "2099-01-01T00:00:00Z"

    at_border(tmp_path, story)


def test_a_message_that_comes_again_gets_the_same_links(tmp_path: Path) -> None:
    async def story(border: Border, alice: Any) -> None:
        border.origin.served["/file/1"] = Served(DATA)
        for _ in range(3):
            await border.sends(border.info(), message_id="same")
        (info,) = await received(alice)
        assert (await border.get(info.url))[1] == DATA
        # Also after it has come; and in another message it is another link.
        await border.sends(border.info(), message_id="same")
        await border.sends(border.info(), message_id="other")
        (other,) = await received(alice)
        assert other.url != info.url
        assert (await border.get(other.url))[1] == DATA

    at_border(tmp_path, story)


LEFT = {
    "another host": "http://files.other.example/file/1",
    "another port of ours": "http://127.0.0.1:9/file/1",
    "another scheme": "https://127.0.0.1:{port}/file/1",
    "a file": "file:///etc/passwd",
    "user information": "http://user:pass@127.0.0.1:{port}/file/1",
    "user information that looks like the host": "http://127.0.0.1:{port}@169.254.169.254/file/1",
    "a host that looks like it": "http://127.0.0.1:{port}.evil.example/file/1",
    "another name of it": "http://localhost:{port}/file/1",
    "a backslash": "http://127.0.0.1:{port}\\@169.254.169.254/file/1",
    "steps up": "http://127.0.0.1:{port}/file/../admin",
    "steps up, encoded": "http://127.0.0.1:{port}/file/%2e%2E/admin",
    "a fragment": "http://127.0.0.1:{port}/file/1#x",
    "a line break": "http://127.0.0.1:{port}/file/1\r\nX: y",
    "no scheme": "//127.0.0.1:{port}/file/1",
    "our own content server": "{own}abc",
    "script": "javascript:alert(1)",
}


def test_a_link_to_anywhere_else_stays_and_is_not_followed(tmp_path: Path) -> None:
    async def story(border: Border, alice: Any) -> None:
        border.origin.served["/file/1"] = Served(DATA)
        for url in LEFT.values():
            told = url.format(port=border.origin.port, own=border.own)
            await border.sends(border.info(url=told))
            (info,) = await received(alice)
            assert info.url == told
        assert await border.orange.node.store.foreign_files.waiting(0.0) == []
        await border.sends(border.info())
        (info,) = await received(alice)
        assert (await border.get(info.url))[1] == DATA
        assert [path for path, _ in border.origin.requests] == ["/file/1"]

    at_border(tmp_path, story)


def test_the_link_of_one_peer_in_the_message_of_anothers_subscriber_stays(tmp_path: Path) -> None:
    async def story(border: Border, alice: Any) -> None:
        orange = border.orange
        other = ScriptedPeer(tmp_path, orange.border, domain="bouygues.example")
        await orange.accept(other.as_peer(ranges=("+3360",), files="https://files.bouygues.example"))
        await other.connect(orange)
        try:
            cpim = make_cpim("m1", emit([border.info()]), CONTENT_TYPE)
            assert (await other.send("MESSAGE", ALICE, asserted("+33600000001"), cpim)).status == 202
            (info,) = await received(alice)
            assert info.url == border.info().url
            assert border.origin.requests == []
        finally:
            await other.close()

    at_border(tmp_path, story)


def test_a_redirect_is_not_followed(tmp_path: Path) -> None:
    async def story(border: Border, alice: Any) -> None:
        border.origin.served["/file/1"] = Served(status=302, headers={"Location": f"{border.origin.url}/file/2"})
        border.origin.served["/file/2"] = Served(DATA)
        await border.sends(border.info())
        (info,) = await received(alice)
        assert (await border.get(info.url))[0] == 410
        assert border.origin.asked("/file/2") == []

    at_border(tmp_path, story)


@pytest.mark.parametrize("status", [404, 410, 403])
def test_what_the_peer_does_not_have_is_gone(tmp_path: Path, status: int) -> None:
    async def story(border: Border, alice: Any) -> None:
        border.origin.served["/file/1"] = Served(status=status)
        await border.sends(border.info())
        (info,) = await received(alice)
        assert (await border.get(info.url))[0] == 410
        assert await border.usage() == (0, 0)

    at_border(tmp_path, story)


@pytest.mark.parametrize("chunked", [False, True], ids=["with its length", "in chunks"])
@pytest.mark.parametrize("said", [len(DATA) - 1, len(DATA) + 1, 1], ids=["longer", "shorter", "much longer"])
def test_a_file_of_another_size_than_was_said_is_not_taken(tmp_path: Path, said: int, chunked: bool) -> None:
    async def story(border: Border, alice: Any) -> None:
        border.origin.served["/file/1"] = Served(DATA, chunked=chunked)
        await border.sends(border.info(size=said))
        (info,) = await received(alice)
        assert (await border.get(info.url))[0] == 410
        assert await border.lost(info.url)
        assert await border.usage() == (0, 0)

    at_border(tmp_path, story)


def test_what_comes_encoded_which_was_not_asked_for_is_not_taken(tmp_path: Path) -> None:
    async def story(border: Border, alice: Any) -> None:
        border.origin.served["/file/1"] = Served(DATA, headers={"Content-Encoding": "gzip"})
        await border.sends(border.info())
        (info,) = await received(alice)
        assert (await border.get(info.url))[0] == 410
        (_, asked), *more = border.origin.requests
        assert asked["accept-encoding"] == "identity"
        assert not more

    at_border(tmp_path, story)


def test_a_page_that_calls_itself_a_picture_is_not_taken(tmp_path: Path) -> None:
    async def story(border: Border, alice: Any) -> None:
        page = b"<html><script>alert(1)</script></html>"
        border.origin.served["/file/1"] = Served(page)
        await border.sends(border.info(data=page, content_type="image/jpeg"))
        (info,) = await received(alice)
        assert (await border.get(info.url))[0] == 410

    at_border(tmp_path, story)


@pytest.mark.parametrize("ranges", [True, False])
def test_what_is_cut_goes_on_where_it_stopped(tmp_path: Path, ranges: bool) -> None:
    async def story(border: Border, alice: Any) -> None:
        border.origin.served["/file/1"] = Served(DATA, cuts=[1000], ranges=ranges)
        await border.sends(border.info())
        (info,) = await received(alice)
        assert (await border.get(info.url))[:2] == (200, DATA)
        assert border.origin.asked("/file/1") == ["", "bytes=1000-"]

    at_border(tmp_path, story)


def test_a_content_server_that_is_down_keeps_nobody_waiting_and_is_fetched_from_when_it_is_back(tmp_path: Path) -> None:
    async def story(border: Border, alice: Any) -> None:
        border.origin.served["/file/1"] = Served(DATA)
        # The message is answered and delivered without a byte of it.
        await border.sends(border.info())
        (info,) = await received(alice)
        status, _, headers = await border.get(info.url)
        assert (status, headers["Retry-After"]) == (503, "5")
        async with border.origin:
            await until(lambda: _is_here(border, info.url), within=15)
            assert (await border.get(info.url))[1] == DATA

    at_border(tmp_path, story, open_at_once=False)


async def _is_here(border: Border, url: str) -> bool:
    return (await border.get(url))[0] == 200


def test_a_peer_that_wants_to_be_left_alone_is(tmp_path: Path) -> None:
    async def story(border: Border, alice: Any) -> None:
        border.origin.served["/file/1"] = Served(status=503, headers={"Retry-After": "1"})
        await border.sends(border.info())
        (info,) = await received(alice)
        await until(lambda: len(border.origin.requests) == 1)
        border.origin.served["/file/1"] = Served(DATA)
        assert (await border.get(info.url))[1] == DATA

    at_border(tmp_path, story)


def test_one_whose_time_is_over_is_not_fetched(tmp_path: Path) -> None:
    async def story(border: Border, alice: Any) -> None:
        border.origin.served["/file/1"] = Served(DATA)
        yesterday = (datetime.now(UTC) - timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        await border.sends(border.info(until=yesterday))
        (info,) = await received(alice)
        assert info.until == yesterday
        assert (await border.get(info.url))[0] == 410
        await border.orange.node.content.sweep()
        assert (await border.get(info.url))[0] == 410
        assert border.origin.requests == []

    at_border(tmp_path, story)


def test_one_that_is_larger_than_we_take_stays_where_it_is(tmp_path: Path) -> None:
    async def story(border: Border, alice: Any) -> None:
        await border.sends(border.info(size=2000, type="thumbnail", name=""), border.info())
        thumbnail, file = await received(alice)
        assert [thumbnail.url, file.url] == [border.info().url] * 2
        assert border.origin.requests == []

    at_border(tmp_path, story, files={"max_file": 1000, "max_thumbnail": 1000})


def test_a_peers_files_have_a_room_of_their_own(tmp_path: Path) -> None:
    async def story(border: Border, alice: Any) -> None:
        border.origin.served["/file/1"] = Served(DATA)
        border.origin.served["/file/2"] = Served(DATA)
        await border.sends(border.info())
        (first,) = await received(alice)
        assert (await border.get(first.url))[0] == 200
        await border.sends(border.info("/file/2"))
        (second,) = await received(alice)
        assert (await border.get(second.url))[0] == 503
        assert border.origin.asked("/file/2") == []
        assert (await border.orange.node.store.files.usage(Aor(f"tel:{ALICE}"))).own == 0

    at_border(tmp_path, story, files_quota=len(DATA) + 1000)


def test_a_document_that_cannot_be_read_is_delivered_as_it_came(tmp_path: Path) -> None:
    async def story(border: Border, alice: Any) -> None:
        document = f'<file><file-info type="file"><data url="{border.origin.url}/file/1"/>'.encode()
        await border.sends(message_id="m1", body=document)
        await alice.receive(timeout=10)
        (trace,) = await border.orange.node.store.mailboxes.trace("m1")
        assert trace.message.cpim.endswith(document)

    at_border(tmp_path, story)


def test_files_of_who_is_behind_a_hub_are_fetched_by_devices(tmp_path: Path) -> None:
    async def story(border: Border, alice: Any) -> None:
        await border.sends(border.info())
        (info,) = await received(alice)
        assert info.url == border.info().url
        assert border.origin.requests == []

    behind = (NumberRange(prefix=RANGES[SFR], operator=SFR),)
    at_border(tmp_path, story, peer={"domain": "hub.example", "transit": (SFR,), "ranges": ()}, ranges=behind)
