"""Which links lead to a peer's content server, and what ours in their place are like."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joyn.model.aor import Aor
from joyn.model.file import ForeignFile
from joyn.model.peer import Peer
from joyn.protocol.cpim import CpimMessage
from joyn.protocol.file_info import CONTENT_TYPE, FileInfo, emit, parse
from joyn.services.files.localising import Localising, LocalPolicy, path_at
from services.scene import make_cpim

NOW = 1_800_000_000.0
SFR = Peer(domain="sfr.example", name="SFR", files="https://files.sfr.example:8444")
BOB = Aor("tel:+33639980101")


@pytest.mark.parametrize(
    ("origin", "url", "path"),
    [
        ("https://a.example", "https://a.example/f/1?x=y&z", "/f/1?x=y&z"),
        ("https://a.example", "HTTPS://A.Example:443/f", "/f"),
        ("http://a.example:80", "http://a.example/f", "/f"),
        ("http://[2001:db8::1]:81", "http://[2001:DB8::1]:81/f%20g", "/f%20g"),
        ("https://a.example", "https://a.example/f@b", "/f@b"),
        ("https://a.example", "https://a.example", None),
        ("https://a.example", "http://a.example/f", None),
        ("https://a.example", "https://a.example:444/f", None),
        ("https://a.example", "https://a.example.evil/f", None),
        ("https://a.example", "https://a.example@evil/f", None),
        ("https://a.example", "https://u@a.example/f", None),
        ("https://a.example", "https://a.example/f#x", None),
        ("https://a.example", "https://a.example\\@evil/f", None),
        ("https://a.example", "https://a.example/f\\..\\g", None),
        ("https://a.example", "https://a.example/../f", None),
        ("https://a.example", "https://a.example/f/.", None),
        ("https://a.example", "https://a.example/f/%2e%2e/g", None),
        ("https://a.example", "https://a.example/f/..%5cg", None),
        ("https://a.example", "https://a.example/f/%2e%2e%2fg", None),
        ("https://a.example", "https://a.example/é", None),
        ("https://a.example", "https://a.example/f g", None),
        ("https://a.example", "http\u017f://a.example/f", None),
        ("https://a.example", " https://a.example/f", None),
        ("https://a.example", "https://a.example/f\n", None),
        ("https://a.example", "//a.example/f", None),
        ("", "https://a.example/f", None),
    ],
)
def test_the_path_of_a_link_is_found_where_it_leads_to_the_origin_alone(origin: str, url: str, path: str) -> None:
    assert path_at(origin, url) == path


@given(st.text(max_size=60))
def test_whatever_stands_behind_an_origin_is_no_other_host(text: str) -> None:
    path = path_at("https://a.example", f"https://a.example{text}")
    assert path is None or path == text
    assert path is None or path.startswith("/")


class MemoryForeign:
    def __init__(self) -> None:
        self.kept: dict[str, ForeignFile] = {}
        self.full = False

    async def add(self, files: Sequence[ForeignFile]) -> dict[str, float]:
        found = {}
        for file in files:
            if file.id in self.kept or not self.full:
                found[file.id] = self.kept.setdefault(file.id, file).until
        return found


class Scene:
    def __init__(self, key: bytes = b"k" * 32) -> None:
        self.now = NOW
        self.foreign = MemoryForeign()
        self.wanted: list[ForeignFile] = []
        self.localising = Localising(
            self.foreign,  # type: ignore[arg-type]  # only what is used of it
            key,
            LocalPolicy(max_file=1000, max_thumbnail=100, keep=1000.0),
            url=lambda: "https://ours.example",
            wall=lambda: self.now,
            wanted=self.wanted.extend,
        )

    def localise(self, *infos: FileInfo, message_id: str = "m1", peer: Peer = SFR) -> tuple[FileInfo, ...]:
        cpim = make_cpim(message_id, emit(infos), CONTENT_TYPE)
        return parse(CpimMessage.parse(asyncio.run(self.localising.localise(peer, BOB, cpim))).body)


def make_info(**fields: object) -> FileInfo:
    values = {"size": 10, "content_type": "image/jpeg", "url": f"{SFR.files}/f/1", "name": "a.jpg"}
    return FileInfo(**(values | fields))  # type: ignore[arg-type]  # a test's own fields


def test_a_link_is_the_same_each_time_and_another_for_whatever_differs() -> None:
    scene = Scene()
    infos = [
        make_info(),
        make_info(size=11),
        make_info(name="b.jpg"),
        make_info(content_type="image/png"),
        make_info(until="2027-02-01T00:00:00Z"),
        make_info(url=f"{SFR.files}/f/2"),
    ]
    links = [scene.localise(info)[0].url for info in infos]
    links.append(scene.localise(infos[0], message_id="m2")[0].url)
    links.append(Scene(b"x" * 32).localise(infos[0])[0].url)
    assert len(set(links)) == len(links)
    assert all(link.startswith("https://ours.example/file/") and len(link) == 58 for link in links)
    scene.now += 500.0
    assert scene.localise(infos[0])[0].url == links[0]


@pytest.mark.parametrize(
    ("theirs", "said"),
    [
        ("", "2027-01-15T08:16:40Z"),
        ("tomorrow", "2027-01-15T08:16:40Z"),
        ("2027-01-15T08:00:10.5+00:00", "2027-01-15T08:00:10.5+00:00"),
        ("2027-01-16T00:00:00Z", "2027-01-15T08:16:40Z"),
        ("2027-01-15T08:00:10", "2027-01-15T08:16:40Z"),
        ("0001-01-01T00:00:00+23:59", "0001-01-01T00:00:00+23:59"),
    ],
)
def test_it_can_be_fetched_until_the_earlier_of_both_times_and_a_resent_message_says_the_same(
    theirs: str, said: str
) -> None:
    scene = Scene()
    for _ in range(2):
        (info,) = scene.localise(make_info(until=theirs))
        assert info.until == said
        scene.now += 300.0


def test_when_too_many_are_waited_for_links_stay() -> None:
    scene = Scene()
    (known,) = scene.localise(make_info())
    scene.foreign.full = True
    assert scene.localise(make_info()) == (known,)
    assert scene.localise(make_info(), message_id="m2") == (make_info(),)
    assert len(scene.wanted) == 2


@pytest.mark.parametrize("size", [0, 1001])
def test_what_we_would_not_take_stays(size: int) -> None:
    scene = Scene()
    info, thumbnail = make_info(size=size), make_info(type="thumbnail", size=101, name="")
    assert scene.localise(thumbnail, info) == (thumbnail, info)
    assert scene.wanted == []


def test_a_peer_without_a_content_server_has_no_links_of_ours() -> None:
    scene = Scene()
    assert scene.localise(make_info(), peer=Peer(domain="sfr.example", name="SFR")) == (make_info(),)


def test_what_only_looks_like_files_is_left_alone() -> None:
    async def story() -> None:
        for body in (make_cpim("m1", CONTENT_TYPE.encode()), make_cpim("m1", b"<file", CONTENT_TYPE)):
            assert await Scene().localising.localise(SFR, BOB, body) == body

    asyncio.run(story())
