# ruff: noqa: ASYNC240 - the files are tiny and local, and nothing else runs on these loops

import asyncio
import stat
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from joyn.cli.access import Door
from joyn.cli.trouble import Trouble
from joyn.edge.admin import AdminDoor
from joyn.model.aor import Aor
from joyn.model.binding import Binding
from joyn.model.device import Device
from joyn.model.file import FileUsage
from joyn.model.message import Cursor, Disposition, Entry, EntryKind, Message, State, Trace
from joyn.model.subscriber import Subscriber
from joyn.services.messaging.delivery import Note

ALICE, BOB = Aor("tel:+33639980001"), Aor("tel:+33639980002")
CREDENTIALS = {"username": "+33639980001", "realm": "joyn.localhost", "ha1": {"SHA-256": "aa", "MD5": "bb"}}


class MemorySubscribers:
    def __init__(self) -> None:
        self.kept: dict[Aor, Subscriber] = {}

    async def get(self, aor: Aor) -> Subscriber | None:
        return self.kept.get(aor)

    async def put(self, subscriber: Subscriber) -> None:
        if any(one.username == subscriber.username and one.aor != subscriber.aor for one in self.kept.values()):
            raise ValueError(f"username {subscriber.username} belongs to another subscriber")
        # As the SQLite store does: what it hands out cannot be changed by who gets it.
        self.kept[subscriber.aor] = replace(subscriber, ha1=MappingProxyType(dict(subscriber.ha1)))

    async def remove(self, aor: Aor) -> bool:
        return self.kept.pop(aor, None) is not None

    async def list(self, after: str = "", limit: int = 1000) -> list[Subscriber]:
        return [self.kept[aor] for aor in sorted(self.kept) if aor > after][:limit]


class MemoryBindings:
    def of(self, aor: Aor) -> Sequence[Binding]:
        return (make_binding(aor),) if aor == ALICE else ()


class MemoryFiles:
    async def usage(self, owner: Aor) -> FileUsage:
        return FileUsage(own=1000 if owner == ALICE else 0, all=5000)


class MemoryDevices:
    def __init__(self) -> None:
        self.kept = [Device(id="d/1", aor=ALICE, kind="browser", name="Laptop", token="secret", ha1={"MD5": "aa"})]

    async def of(self, aor: Aor) -> Sequence[Device]:
        return [one for one in self.kept if one.aor == aor]

    async def sign_out(self, device: Device) -> bool:
        self.kept.remove(device)
        return True


class MemoryTracer:
    async def trace(self, message_id: str) -> list[Trace]:
        return [make_trace()] if message_id == "id/ü 1" else []

    def attempts(self, message: int) -> Sequence[Note]:
        return [Note(12.0, BOB, "urn:uuid:b", "pager", "486 Busy Here")] if message == 7 else []


def make_binding(aor: Aor) -> Binding:
    return Binding(
        aor=aor,
        instance="urn:uuid:a",
        reg_id=1,
        contact="sip:a@127.0.0.1:5070",
        parameters="",
        node="node-1",
        flow="udp|udp|127.0.0.1|5070",
        call_id="c",
        cseq=1,
        expires_at=2e9,
        registered_at=1e9,
    )


def make_trace() -> Trace:
    message = Message(
        id=7,
        sender=ALICE,
        conversation=BOB,
        message_id="id/ü 1",
        content_type="text/plain",
        cpim=b"see you at eight",
        digest=b"",
        accepted_at=10.0,
        deliver_until=99.0,
        retain_until=100.0,
    )
    entry = Entry(mailbox=BOB, seq=3, kind=EntryKind.INCOMING, instance="", state=State.DELIVERED, message=message)
    return Trace(
        message=message,
        entries=(entry,),
        dispositions=(Disposition(recipient=BOB, state=State.DELIVERED, at=20.0),),
        cursors=(Cursor(mailbox=BOB, instance="x", low=3), Cursor(mailbox=BOB, instance="y", low=1)),
    )


class Opened:
    """A door on a socket, and a way to ask it from a thread while its loop runs."""

    def __init__(self, door: AdminDoor, client: Door, subscribers: MemorySubscribers, changes: list[Aor]) -> None:
        self.door, self.client, self.subscribers, self.changes = door, client, subscribers, changes

    async def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        return await asyncio.to_thread(self.client.ask, method, path, body)

    async def call(self, work: Callable[[Door], Coroutine[Any, Any, Any]]) -> Any:
        return await asyncio.to_thread(lambda: asyncio.run(work(self.client)))


def with_door(path: Path, work: Callable[[Opened], Awaitable[None]], *, use_tcp: bool = False) -> None:
    async def run() -> None:
        changes: list[Aor] = []

        async def after_change(aor: Aor) -> None:
            changes.append(aor)

        subscribers = MemorySubscribers()
        door = AdminDoor(
            path,
            subscribers=subscribers,
            bindings=MemoryBindings(),
            tracer=MemoryTracer(),
            devices=MemoryDevices(),
            files=MemoryFiles(),
            after_change=after_change,
            use_tcp=use_tcp,
        )
        await door.start()
        try:
            await work(Opened(door, Door(path, use_tcp), subscribers, changes))
        finally:
            await door.stop()

    asyncio.run(run())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "admin.sock"


@pytest.mark.parametrize("use_tcp", [False, True])
def test_the_door_says_that_the_node_is_well(path: Path, use_tcp: bool) -> None:
    async def work(opened: Opened) -> None:
        status, answer = await opened.ask("GET", "/health")
        assert (status, answer["status"]) == (200, "ok")
        status, answer = await opened.ask("GET", "/counters")
        assert answer["admin.opened"] >= 1

    with_door(path, work, use_tcp=use_tcp)
    assert not path.exists()


def test_only_the_owner_may_open_the_socket(path: Path) -> None:
    async def work(_: Opened) -> None:
        assert path.is_socket()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600

    with_door(path, work)


def test_without_the_token_the_tcp_door_stays_shut(path: Path) -> None:
    async def work(opened: Opened) -> None:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        path.write_text(path.read_text().replace('"token": "', '"token": "x'))
        status, answer = await opened.ask("GET", "/subscribers")
        assert (status, answer) == (401, {"error": "the token of the admin door is missing or wrong"})

    with_door(path, work, use_tcp=True)


def test_what_a_subscriber_s_files_take_is_told(path: Path) -> None:
    async def work(opened: Opened) -> None:
        assert await opened.ask("GET", f"/subscribers/{ALICE}/files") == (200, {"bytes": 1000})
        assert await opened.call(lambda client: client.file_usage(BOB)) == 0

    with_door(path, work)


def test_a_second_node_does_not_take_the_socket_of_a_running_one(path: Path) -> None:
    async def work(opened: Opened) -> None:
        second = AdminDoor(
            path,
            subscribers=opened.subscribers,
            bindings=MemoryBindings(),
            tracer=MemoryTracer(),
            devices=MemoryDevices(),
            files=MemoryFiles(),
        )
        with pytest.raises(OSError, match="a running node has this admin socket"):
            await second.start()
        assert (await opened.ask("GET", "/health"))[0] == 200

    with_door(path, work)


def test_the_socket_of_a_killed_node_is_replaced(path: Path) -> None:
    import socket

    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))

    async def work(opened: Opened) -> None:
        assert (await opened.ask("GET", "/health"))[0] == 200

    assert not Door(path, use_tcp=False).answers()
    with_door(path, work)


def test_a_path_that_is_too_long_is_named(tmp_path: Path) -> None:
    async def work(_: Opened) -> None:
        raise AssertionError("the door opened")

    with pytest.raises(OSError, match=r"cannot be a socket.*long"):
        with_door(tmp_path / ("long" * 40), work)


def test_a_subscriber_is_added_changed_and_removed_and_credentials_never_come_out(path: Path) -> None:
    async def work(opened: Opened) -> None:
        place = "/subscribers/tel%3A%2B33639980001"
        status, added = await opened.ask("PUT", place, CREDENTIALS)
        assert (status, added["aor"], added["blocked"]) == (201, ALICE, False)
        assert "ha1" not in added
        status, changed = await opened.ask("PUT", place, {"blocked": True, "display_name": "Alice"})
        assert (status, changed["blocked"], changed["username"]) == (200, True, "+33639980001")
        assert opened.subscribers.kept[ALICE].ha1 == CREDENTIALS["ha1"]
        status, listed = await opened.ask("GET", "/subscribers")
        assert listed == {"subscribers": [changed]}
        assert await opened.ask("DELETE", place) == (204, None)
        assert (await opened.ask("GET", place))[0] == 404
        assert (await opened.ask("DELETE", place))[0] == 404
        assert opened.changes == [ALICE, ALICE, ALICE]

    with_door(path, work)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"username": "a"}, "a new subscriber needs realm, ha1"),
        (CREDENTIALS | {"password": "x"}, "password: there is no such key"),
        (CREDENTIALS | {"file_quota": -1}, "file_quota: shall be a number of bytes, 0 for the operator's"),
        (CREDENTIALS | {"file_quota": True}, "file_quota: shall be a number of bytes, 0 for the operator's"),
        (CREDENTIALS | {"blocked": 1}, "blocked: shall be true or false"),
        (CREDENTIALS | {"ha1": {}}, "ha1: shall be an object of texts"),
        (CREDENTIALS | {"algorithms": "MD5"}, "algorithms: shall be a list"),
        (CREDENTIALS | {"algorithms": ["SHA-512-256"]}, "no credentials for SHA-512-256"),
        (["no", "object"], "not a JSON object"),
    ],
)
def test_a_bad_subscriber_is_refused_with_the_reason(path: Path, body: object, said: str) -> None:
    async def work(opened: Opened) -> None:
        status, answer = await opened.ask("PUT", "/subscribers/tel%3A%2B33639980001", body)
        assert status == 400
        assert said in answer["error"]
        assert not opened.subscribers.kept

    with_door(path, work)


def test_requests_that_make_no_sense_get_an_answer_in_json(path: Path) -> None:
    async def work(opened: Opened) -> None:
        assert (await opened.ask("PUT", "/subscribers/alice", CREDENTIALS))[0] == 400
        assert (await opened.ask("GET", "/subscribers?limit=0"))[0] == 400
        assert (await opened.ask("GET", "/nothing"))[0] == 404
        assert (await opened.ask("POST", "/health"))[0] == 405
        assert (await opened.ask("PUT", "/subscribers/tel%3A%2B33639980001", {"username": "x" * 70_000}))[0] == 413

    with_door(path, work)


def test_a_username_belongs_to_one_subscriber(path: Path) -> None:
    async def work(opened: Opened) -> None:
        assert (await opened.ask("PUT", "/subscribers/tel%3A%2B33639980001", CREDENTIALS))[0] == 201
        assert (await opened.ask("PUT", "/subscribers/tel%3A%2B33639980002", CREDENTIALS))[0] == 409

    with_door(path, work)


def test_long_lists_come_in_pages_and_the_client_reads_them_all(path: Path) -> None:
    async def work(opened: Opened) -> None:
        for number in range(1500):
            aor = Aor(f"sip:{number:04d}@joyn.localhost")
            await opened.subscribers.put(Subscriber(aor=aor, username=aor, realm="r", ha1={"MD5": "a", "SHA-256": "b"}))
        await opened.subscribers.put(Subscriber(aor=ALICE, username="a", realm="r", ha1={}))
        assert len((await opened.ask("GET", "/subscribers?limit=5000"))[1]["subscribers"]) == 1000
        assert len(await opened.call(lambda client: client.subscribers())) == 1501
        assert [one["aor"] for one in await opened.call(lambda client: client.bindings(None))] == [ALICE]

    with_door(path, work)


def test_the_bindings_of_one_subscriber_are_told(path: Path) -> None:
    async def work(opened: Opened) -> None:
        found = await opened.call(lambda client: client.bindings(ALICE))
        assert (found[0]["contact"], found[0]["flow"]) == ("sip:a@127.0.0.1:5070", "udp|udp|127.0.0.1|5070")
        assert await opened.call(lambda client: client.bindings(BOB)) == []

    with_door(path, work)


def test_a_device_is_signed_out_by_its_owner_s_number_and_id(path: Path) -> None:
    async def work(opened: Opened) -> None:
        (told,) = await opened.call(lambda door: door.devices(ALICE))
        assert (told["id"], told["name"]) == ("d/1", "Laptop")
        assert not told.keys() & {"token", "ha1", "username"}
        assert await opened.call(lambda door: door.devices(BOB)) == []
        assert not await opened.call(lambda door: door.sign_out(BOB, "d/1"))
        assert await opened.call(lambda door: door.sign_out(ALICE, "d/1"))
        assert not await opened.call(lambda door: door.sign_out(ALICE, "d/1"))

    with_door(path, work)


def test_a_trace_tells_every_hop_in_order_and_no_body(path: Path) -> None:
    async def work(opened: Opened) -> None:
        (told,) = await opened.call(lambda client: client.trace("id/ü 1"))
        assert [(hop["at"], hop["who"], hop["what"]) for hop in told["hops"]] == [
            (10.0, ALICE, "accepted"),
            (12.0, BOB, "attempted"),
            (20.0, BOB, "delivered"),
        ]
        assert told["hops"][1]["why"] == "pager urn:uuid:b 486 Busy Here"
        assert told["entries"][0]["devices"] == [{"device": "x", "past": True}, {"device": "y", "past": False}]
        assert "eight" not in str(told)
        assert await opened.call(lambda client: client.trace("other")) == []

    with_door(path, work)


def test_a_door_that_is_not_there_is_trouble_for_the_client(path: Path) -> None:
    assert not Door(path, use_tcp=False).answers()
    with pytest.raises(Trouble, match="does not answer"):
        Door(path, use_tcp=False).ask("GET", "/health")
