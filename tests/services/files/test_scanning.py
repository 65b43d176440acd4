"""Waiting for a virus scanner's verdict: how long, for how many, and for how long it stands."""

import asyncio
import hashlib
import io
from collections.abc import AsyncIterator

import pytest

from joyn.model.refused import Reason, Refused
from joyn.services.files.scanning import AT_ONCE, MAX_RUNNING, REMEMBERED_FOR, Scanning
from joyn.transport.scanning import CLEAN, Unscanned
from waiting import until


class Came:
    """An upload of which all has come."""

    def __init__(self, data: bytes = b"file") -> None:
        self._data = data
        self.digest = hashlib.sha256(data).hexdigest()
        self.received = len(data)

    def read(self) -> io.BytesIO:
        return io.BytesIO(self._data)


class Scanner:
    """Says what it is told to, when it is let."""

    def __init__(self, *verdicts: str | Exception, waits: bool = False) -> None:
        self.shown: list[bytes] = []
        self.go = asyncio.Event()
        if not waits:
            self.go.set()
        self._verdicts = list(verdicts)

    async def scan(self, pieces: AsyncIterator[bytes], size: int) -> str:
        data = b"".join([piece async for piece in pieces])
        assert len(data) == size
        self.shown.append(data)
        await self.go.wait()
        verdict = self._verdicts.pop(0) if self._verdicts else CLEAN
        if isinstance(verdict, Exception):
            raise verdict
        return verdict


class Setting:
    """Scanning with a clock that a test turns."""

    def __init__(self, scanner: Scanner, required: bool = True, patience: float = 5.0) -> None:
        self.now = 0.0
        self.scanning = Scanning(scanner, required=required, now=lambda: self.now, patience=patience)
        self.forgotten = 0

    async def forget(self) -> None:
        self.forgotten += 1

    async def check(self, came: Came) -> Reason | None:
        try:
            await self.scanning.check(came, self.forget)  # type: ignore[arg-type]  # what is used of an Incoming
        except Refused as refused:
            return refused.reason
        return None


def test_a_verdict_stands_for_a_while_and_then_the_scanner_is_asked_again() -> None:
    async def story() -> None:
        setting = Setting(scanner := Scanner("Eicar", CLEAN))
        assert await setting.check(Came()) is Reason.INFECTED
        setting.now = REMEMBERED_FOR - 1
        assert await setting.check(Came()) is Reason.INFECTED
        setting.now = REMEMBERED_FOR
        assert await setting.check(Came()) is None
        assert len(scanner.shown) == 2

    asyncio.run(story())


@pytest.mark.parametrize(("required", "first"), [(True, Reason.UNSCANNED), (False, None)])
def test_what_has_no_verdict_comes_in_only_where_it_may_and_a_required_one_is_asked_for_anew(
    required: bool, first: Reason | None
) -> None:
    async def story() -> None:
        setting = Setting(scanner := Scanner(Unscanned("gone"), CLEAN), required)
        assert await setting.check(Came()) is first
        assert await setting.check(Came()) is None
        assert len(scanner.shown) == (2 if required else 1)

    asyncio.run(story())


def test_who_asks_about_the_same_content_meanwhile_waits_for_the_same_verdict() -> None:
    async def story() -> None:
        setting = Setting(scanner := Scanner("Eicar", waits=True))
        asking = [asyncio.ensure_future(setting.check(Came())) for _ in range(3)]
        await until(lambda: scanner.shown)
        scanner.go.set()
        assert await asyncio.gather(*asking) == [Reason.INFECTED] * 3
        assert len(scanner.shown) == 1

    asyncio.run(story())


def test_a_bad_verdict_that_comes_late_lets_the_upload_be_forgotten() -> None:
    async def story() -> None:
        setting = Setting(scanner := Scanner("Eicar", waits=True), patience=0.01)
        assert await setting.check(Came()) is Reason.UNSCANNED
        assert setting.forgotten == 0
        scanner.go.set()
        await until(lambda: setting.forgotten == 1)
        assert await setting.check(Came()) is Reason.INFECTED

    asyncio.run(story())


def test_the_scanner_is_shown_a_few_at_a_time_and_too_many_are_told_to_come_back() -> None:
    async def story() -> None:
        setting = Setting(scanner := Scanner(waits=True))
        waiting = [asyncio.ensure_future(setting.check(Came(b"%d" % number))) for number in range(MAX_RUNNING)]
        await until(lambda: len(scanner.shown) == AT_ONCE)
        assert await setting.check(Came(b"one more")) is Reason.OVERLOADED
        assert len(scanner.shown) == AT_ONCE
        scanner.go.set()
        assert await asyncio.gather(*waiting) == [None] * MAX_RUNNING
        assert len(scanner.shown) == MAX_RUNNING

    asyncio.run(story())


def test_closing_waits_for_no_scanner() -> None:
    async def story() -> None:
        setting = Setting(scanner := Scanner(waits=True), patience=0.01)
        await setting.check(Came())
        await until(lambda: scanner.shown)
        await setting.scanning.close()
        assert setting.forgotten == 0

    asyncio.run(story())
