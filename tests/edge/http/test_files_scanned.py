"""Uploads past a virus scanner, over real HTTP."""

import asyncio
import logging
import os
from pathlib import Path

import pytest

from edge.http.files_door import FORM, JPEG, PNG, Sender, at_content, make_form, only, open_content
from joyn import telemetry
from joyn.model.file import FileUsage
from joyn.protocol.file_info import parse
from transport.scanning.servers import EICAR, Clamd, Icap, Talk, says, says_nothing, served
from waiting import until

CLEAN = JPEG[:4] + os.urandom(700_000)
INFECTED = JPEG[:4] + bytes(1000) + EICAR + bytes(1000)


def with_scanner(story, talk: Talk, tmp_path: Path, **settings) -> None:
    """Play a story of Alice's phone at a content server that asks this scanner."""
    path = str(tmp_path / "scanner.sock")

    async def play(sender: Sender) -> None:
        async with served(talk, path):
            assert (await sender.ask("POST", "/content"))[0] == 204
            await story(sender)

    at_content(play, scanner=f"clamd:{path}", **settings)


async def nothing_is_kept(sender: Sender) -> None:
    assert sender.kept() == []
    assert await sender.usage() == FileUsage(0, 0)
    assert (await sender.ask("GET", "/content?tid=t1&get_download_info"))[0] == 404
    assert await sender.progress() == 404


def test_a_clean_file_comes_in_and_was_seen_whole(tmp_path: Path) -> None:
    clamd = Clamd()

    async def story(sender: Sender) -> None:
        status, files = await sender.upload(CLEAN, thumbnail=PNG)
        assert status == 200
        assert (await sender.fetch(files[-1].url))[1] == CLEAN
        assert clamd.files == [PNG, CLEAN]

    with_scanner(story, clamd.talk, tmp_path)


@pytest.mark.parametrize("where", ["file", "thumbnail", "resumed"])
def test_what_the_scanner_finds_is_refused_and_nothing_of_it_stays(tmp_path: Path, where: str) -> None:
    async def story(sender: Sender) -> None:
        before = telemetry.counters().get("file.infected", 0)
        if where == "resumed":
            await sender.half(INFECTED, 1010)
            info = await sender.progress()
            assert not isinstance(info, int)
            rest, said = INFECTED[info.end + 1 :], f"bytes {info.end + 1}-{len(INFECTED) - 1}/{len(INFECTED)}"
            status, body, _ = await sender.ask("PUT", info.url, rest, Content_Range=said)
        elif where == "thumbnail":
            status, body = await sender.upload(CLEAN, thumbnail=PNG + EICAR)
        else:
            status, body = await sender.upload(INFECTED)
        assert (status, body) == (403, b'{"error": "infected"}')
        assert telemetry.counters()["file.infected"] == before + 1
        await nothing_is_kept(sender)
        # A refusal of one is no refusal of the next.
        assert (await sender.upload(CLEAN))[0] == 200

    with_scanner(story, Clamd().talk, tmp_path)


def test_an_icap_service_is_asked_the_same() -> None:
    icap = Icap()

    async def play() -> None:
        async with served(icap.talk) as port:

            async def story(sender: Sender) -> None:
                assert (await sender.ask("POST", "/content"))[0] == 204
                assert (await sender.upload(CLEAN))[0] == 200
                assert await sender.upload(INFECTED, tid="t2") == (403, b'{"error": "infected"}')
                assert icap.files == [CLEAN, INFECTED]

            async with open_content(scanner=f"icap://127.0.0.1:{port}/avscan") as office:
                await story(Sender(office))

    asyncio.run(play())


@pytest.mark.parametrize("talk", [says(b""), says(b"rubbish\0")], ids=["cut", "garbage"])
def test_without_a_verdict_the_client_is_told_to_come_back_and_its_upload_stays(tmp_path: Path, talk: Talk) -> None:
    clamd, broken = Clamd(), [talk]

    async def sometimes(reader, writer) -> None:
        await (broken[0] if broken else clamd.talk)(reader, writer)

    async def story(sender: Sender) -> None:
        form = make_form(CLEAN, "t1", "a.jpg", "image/jpeg")
        status, body, headers = await sender.ask("POST", "/content", form, Content_Type=FORM)
        assert (status, body) == (503, b'{"error": "unscanned"}')
        assert int(headers["Retry-After"]) > 0
        assert (await sender.ask("GET", "/content?tid=t1&get_download_info"))[0] == 404
        broken.clear()
        # All is there: nothing is sent again, and asking is enough.
        assert await sender.progress() == 404
        status, body, _ = await sender.ask("GET", "/content?tid=t1&get_download_info")
        assert status == 200
        assert (await sender.fetch(only(parse(body)).url))[1] == CLEAN

    with_scanner(story, sometimes, tmp_path)


def test_a_scanner_that_need_not_be_there_lets_files_in_and_they_are_counted(tmp_path: Path) -> None:
    async def story(sender: Sender) -> None:
        before = telemetry.counters().get("file.unscanned", 0)
        assert (await sender.upload(CLEAN))[0] == 200
        assert telemetry.counters()["file.unscanned"] == before + 1

    with_scanner(story, says(b""), tmp_path, scanner_required=False)


def test_a_scanner_that_hangs_costs_the_client_a_while_and_other_requests_nothing(tmp_path: Path) -> None:
    async def story(sender: Sender) -> None:
        uploading = asyncio.ensure_future(sender.upload(CLEAN))
        other = Sender(sender.office)
        assert (await other.ask("POST", "/content"))[0] == 204
        assert await uploading == (503, b'{"error": "unscanned"}')

    with_scanner(story, says_nothing, tmp_path)


@pytest.mark.parametrize("data", [CLEAN, INFECTED], ids=["clean", "infected"])
def test_a_verdict_that_comes_late_is_there_when_the_client_sends_the_same_again(tmp_path: Path, data: bytes) -> None:
    enough = asyncio.Event()
    clamd = Clamd(before=enough.wait)

    async def story(sender: Sender) -> None:
        assert (await sender.upload(data))[0] == 503
        enough.set()
        if data is INFECTED:
            # Nobody need come back for it to go.
            await until(lambda: not sender.kept())
        else:
            await until(lambda: telemetry.counters().get("file.scanned"))
        status, _ = await sender.upload(data)
        assert status == (200 if data is CLEAN else 403)
        assert clamd.connections == 1

    with_scanner(story, clamd.talk, tmp_path)


def test_without_a_scanner_the_node_says_so_when_it_starts(caplog: pytest.LogCaptureFixture) -> None:
    async def story(sender: Sender) -> None:
        assert sender.url

    logger = logging.getLogger("joyn")
    propagate, logger.propagate = logger.propagate, True
    try:
        with caplog.at_level(logging.INFO, logger="joyn"):
            at_content(story)
    finally:
        logger.propagate = propagate
    assert any("files are not scanned" in record.getMessage() for record in caplog.records)
