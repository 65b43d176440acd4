"""The content server over real HTTP: uploads, cuts and resumptions, downloads, and what is refused."""

import asyncio
import base64
import os

import aiohttp
import pytest
from blake3 import blake3

from edge.http.browser import Office, at_office, open_office
from edge.http.files_door import FORM, JPEG, PNG, Sender, at_content, make_form, only
from edge.http.setting_up import Visitor
from joyn.config import HttpListener
from joyn.model.aor import Aor
from joyn.model.file import FileUsage
from joyn.protocol.file_info import parse
from joyn.services.provisioning.devices import About
from phone.node import ALICE, BOB
from ports import free_port
from waiting import until

DATA = JPEG[:4] + os.urandom(300_000)
ALICE_AOR = Aor(f"tel:{ALICE}")


# Uploads.


def test_an_empty_request_is_challenged_and_then_let_in() -> None:
    async def story(sender: Sender) -> None:
        async with sender.office.http.post(f"{sender.url}/content") as answer:
            assert answer.status == 401
            challenges = answer.headers.getall("WWW-Authenticate")
        assert [challenge.split()[0] for challenge in challenges] == ["Digest", "Digest"]
        assert (await sender.ask("POST", "/content"))[0] == 204
        assert (await Sender(sender.office, password="wrong").ask("POST", "/content"))[0] == 401

    at_content(story)


@pytest.mark.parametrize("thumbnail", [b"", PNG])
def test_a_file_comes_back_as_it_was_sent(thumbnail: bytes) -> None:
    async def story(sender: Sender) -> None:
        status, files = await sender.upload(DATA, name="%C3%A9t%C3%A9.jpg", thumbnail=thumbnail)
        assert status == 200
        assert isinstance(files, tuple)
        assert [one.type for one in files] == (["thumbnail", "file"] if thumbnail else ["file"])
        file = files[-1]
        assert (file.name, file.size, file.content_type) == ("été.jpg", len(DATA), "image/jpeg")
        status, body, headers = await sender.fetch(file.url)
        assert (status, body) == (200, DATA)
        assert headers["Content-Type"] == "image/jpeg"
        assert headers["Content-Disposition"] == "attachment; filename*=UTF-8''%C3%A9t%C3%A9.jpg"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "sandbox" in headers["Content-Security-Policy"]
        if thumbnail:
            assert (await sender.fetch(files[0].url))[1] == PNG
        status, again, _ = await sender.ask("GET", "/content?tid=t1&get_download_info")
        assert (status, parse(again)) == (200, files)

    at_content(story)


def test_what_was_cut_is_gone_on_with_from_its_last_byte() -> None:
    async def story(sender: Sender) -> None:
        await sender.half(DATA, 100_000, thumbnail=PNG)
        info = await sender.progress()
        assert not isinstance(info, int)
        assert (info.start, info.end) == (0, 99_999)
        rest, said = DATA[100_000:], f"bytes 100000-{len(DATA) - 1}/{len(DATA)}"
        status, body, _ = await sender.ask("PUT", info.url, rest, Content_Range=said)
        assert status == 200
        thumbnail, file = parse(body)
        assert (thumbnail.type, (await sender.fetch(file.url))[1]) == ("thumbnail", DATA)
        assert await sender.progress() == 404
        assert (await sender.ask("PUT", info.url, rest, Content_Range=said))[0] == 404

    at_content(story)


def test_the_rest_may_come_in_parts_and_without_the_unit() -> None:
    async def story(sender: Sender) -> None:
        await sender.half(DATA, 1000)
        info = await sender.progress()
        assert not isinstance(info, int)
        for start, end in ((1000, 49_999), (50_000, len(DATA) - 1)):
            said = f"{start}-{end}/{len(DATA)}"
            status, body, _ = await sender.ask("PUT", info.url, DATA[start : end + 1], Content_Range=said)
            assert status == 200
        assert (await sender.fetch(only(parse(body)).url))[1] == DATA

    at_content(story)


def test_a_connection_that_is_dead_to_the_client_only_is_ended_when_it_comes_back() -> None:
    async def story(sender: Sender) -> None:
        assert (await sender.ask("POST", "/content"))[0] == 204
        form = make_form(DATA, "t1", "a.jpg", "image/jpeg")
        half, there = asyncio.Event(), form[:50_000]

        async def stalls():
            yield there
            half.set()
            await asyncio.sleep(5)
            yield form[50_000:]

        stalled = asyncio.ensure_future(sender.ask("POST", "/content", stalls(), Content_Type=FORM))
        await half.wait()
        await until(lambda: any((sender.office.node.settings.files_directory / "incoming").glob("*")))
        info = await sender.progress()
        assert not isinstance(info, int)
        rest = DATA[info.end + 1 :]
        said = f"bytes {info.end + 1}-{len(DATA) - 1}/{len(DATA)}"
        status, body, _ = await sender.ask("PUT", info.url, rest, Content_Range=said)
        assert status == 200
        assert (await sender.fetch(only(parse(body)).url))[1] == DATA
        stalled.cancel()

    at_content(story)


def test_the_same_content_is_kept_once_and_counted_twice() -> None:
    async def story(sender: Sender) -> None:
        first, second = only((await sender.upload(DATA))[1]), only((await sender.upload(DATA, tid="t2"))[1])
        assert first.url != second.url
        assert (await sender.stored(first)).digest == blake3(DATA).hexdigest()
        assert await sender.office.node.store.files.usage(ALICE_AOR) == FileUsage(2 * len(DATA), 2 * len(DATA))
        blobs = sender.office.node.settings.files_directory / "blobs"
        assert len([path for path in blobs.rglob("*") if path.is_file()]) == 1

    at_content(story)


# Downloads.


@pytest.mark.parametrize(
    ("said", "status", "begin", "end"),
    [
        ("bytes=500-", 206, 500, 300_004),
        ("bytes=0-99", 206, 0, 100),
        # rcsjta's upper bound is the size itself, one past the last byte.
        ("bytes=300000-300004", 206, 300_000, 300_004),
        ("bytes=-10", 206, 299_994, 300_004),
        ("bytes=400000-", 416, 0, 0),
    ],
)
def test_a_download_goes_on_where_it_stopped(said: str, status: int, begin: int, end: int) -> None:
    async def story(sender: Sender) -> None:
        info = only((await sender.upload(DATA))[1])
        found, body, _ = await sender.fetch(info.url, Range=said)
        assert found == status
        if status == 206:
            assert body == DATA[begin:end]

    at_content(story)


def test_a_file_whose_time_is_over_is_gone_and_one_that_never_was_is_unknown() -> None:
    async def story(sender: Sender) -> None:
        info = only((await sender.upload())[1])
        await asyncio.sleep(0.3)
        assert (await sender.fetch(info.url))[0] == 410
        await sender.office.node.content.sweep()
        assert (await sender.fetch(info.url))[0] == 410
        async with sender.office.http.get(f"{sender.url}/file/{'x' * 32}") as answer:
            assert (answer.status, await answer.json()) == (404, {"error": "unknown"})
        blobs = sender.office.node.settings.files_directory / "blobs"
        assert [path for path in blobs.rglob("*") if path.is_file()] == []

    at_content(story, keep=0.25, upload_for=0.001)


# Front proxies.


@pytest.mark.parametrize(
    ("proxies", "accel", "pointed"),
    [
        (("127.0.0.0/8",), "/joyn-blobs/", True),
        (("192.0.2.0/24",), "/joyn-blobs/", False),
        (("127.0.0.0/8",), "", False),
    ],
)
def test_only_a_proxy_that_is_trusted_is_pointed_at_a_file_instead_of_being_sent_it(
    proxies: tuple[str, ...], accel: str, pointed: bool
) -> None:
    async def play() -> None:
        files = {"listeners": (HttpListener(port=free_port()),), "accel": accel}
        async with open_office(trusted_proxies=proxies, files=files) as office:
            sender = Sender(office)
            info = only((await sender.upload(DATA))[1])
            said = {"X-Forwarded-For": "127.0.0.1", "X-Accel-Redirect": "/etc/passwd"}
            status, body, headers = await sender.fetch(info.url, **said)
            digest = blake3(DATA).hexdigest()
            wanted = f"/joyn-blobs/{digest[:2]}/{digest}" if pointed else None
            assert (status, body, headers.get("X-Accel-Redirect")) == (200, b"" if pointed else DATA, wanted)
            assert headers["Content-Security-Policy"] == "default-src 'none'; sandbox"

    asyncio.run(play())


# Browsers.


def test_a_browser_uploads_with_a_ticket_from_a_page_of_another_origin() -> None:
    async def story(sender: Sender) -> None:
        device, _ = await sender.office.node.setting_up.devices.set_up(ALICE_AOR, "browser", About())
        ticket, _ = sender.office.node.content.tickets.make(ALICE_AOR, device.id)
        headers = {"Authorization": f"Bearer {ticket}", "Origin": "http://page", "Sec-Fetch-Site": "same-site"}
        form = make_form(DATA, "t1", "a.jpg", "image/jpeg")
        async with sender.office.http.options(f"{sender.url}/content", headers={"Origin": "http://page"}) as answer:
            assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (204, "*")
        post = sender.office.http.post(f"{sender.url}/content", data=form, headers=headers | {"Content-Type": FORM})
        async with post as answer:
            info = only(parse(await answer.read()))
            assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert (await sender.stored(info)).owner == ALICE_AOR
        for wrong in (ticket[:-2] + "AA", "", base64.urlsafe_b64encode(bytes(60)).decode()):
            bad = headers | {"Authorization": f"Bearer {wrong}"}
            async with sender.office.http.post(f"{sender.url}/content", headers=bad) as answer:
                assert answer.status == 401
        await sender.office.node.setting_up.devices.sign_out(device)
        async with sender.office.http.post(f"{sender.url}/content", headers=headers) as answer:
            assert (answer.status, await answer.json()) == (401, {"error": "ticket"})

    at_content(story)


def test_a_browser_is_given_leave_and_told_the_limits() -> None:
    async def story(sender: Sender) -> None:
        page = Visitor(sender.office)
        assert (await page.ask("GET", "/api/files")).status == 401
        await page.sign_in(BOB)
        leave = (await page.ask("GET", "/api/files")).json
        assert (leave["url"], leave["max_file"], leave["warn_above"]) == (sender.url, 100 << 20, 10 << 20)
        headers = {"Authorization": f"Bearer {leave['ticket']}"}
        async with sender.office.http.post(f"{sender.url}/content", headers=headers) as answer:
            assert answer.status == 204

    at_content(story)


def test_without_a_content_server_there_is_no_leave() -> None:
    async def story(office: Office) -> None:
        page = Visitor(office)
        await page.sign_in()
        answer = await page.ask("GET", "/api/files")
        assert answer.status == 204

    at_office(story)


# What holds for what is kept.


def test_what_was_cut_takes_room_too() -> None:
    async def story(sender: Sender) -> None:
        await sender.half(DATA, 200_000)
        status, body = await sender.upload(DATA, tid="t2")
        assert (status, body) == (413, b'{"error": "quota"}')
        assert (await sender.upload(DATA))[0] == 200

    at_content(story, quota=400_000)


def test_a_type_that_is_none_is_served_as_bytes() -> None:
    async def story(sender: Sender) -> None:
        for kind in ("text/html\x01", "rubbish", "", "a/b; charset=x, text/html"):
            info = only((await sender.upload(b"<b>", kind=kind))[1])
            _, _, headers = await sender.fetch(info.url)
            assert headers["Content-Type"] == ("a/b" if "/b;" in kind else "application/octet-stream")

    at_content(story)


def test_a_link_of_an_upload_ends_with_the_subscriber() -> None:
    async def story(sender: Sender) -> None:
        info = only((await sender.upload())[1])
        await sender.office.node.store.subscribers.remove(ALICE_AOR)
        assert (await sender.fetch(info.url))[0] == 404
        with pytest.raises(aiohttp.ClientResponseError):
            async with sender.office.http.post(f"{sender.url}/content", raise_for_status=True):
                pass

    at_content(story)
