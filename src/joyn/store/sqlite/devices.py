"""Devices that were set up, and the codes on their way to becoming one."""

# SQL is put together from constants of this package only.
# ruff: noqa: S608

from __future__ import annotations

import hmac
import json
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Final

from joyn.model.aor import Aor
from joyn.model.device import CodeLimits, CodeWait, Device, Limit, SentCode, TriedCode
from joyn.store.sqlite.connection import Reader
from joyn.store.sqlite.push_targets import forget_targets_of
from joyn.store.sqlite.statements import fields_of
from joyn.store.sqlite.writer import Writer

__all__ = ["SqliteDevices", "forget_devices"]

_DEVICE = fields_of(Device)
_CODE = fields_of(SentCode)
_DEVICES = f"SELECT {', '.join(_DEVICE)} FROM device"
_CODES = f"SELECT {', '.join(_CODE)} FROM sent_code"
_ADD_DEVICE = (
    f"INSERT INTO device ({', '.join(_DEVICE)}) SELECT {', '.join('?' * len(_DEVICE))} "
    "WHERE EXISTS (SELECT 1 FROM subscriber WHERE aor = ?)"
)
_CHANGING: Final = frozenset(_DEVICE) - {"id", "aor", "kind"}
_PUT_CODE = f"REPLACE INTO sent_code ({', '.join(_CODE)}) VALUES ({', '.join('?' * len(_CODE))})"

HOUR: Final = 3600.0
MINUTE: Final = 60.0


class SqliteDevices:
    """See joyn.store.Devices."""

    def __init__(
        self, writer: Writer, quick: Reader, in_thread: Callable[..., Awaitable[list[tuple[Any, ...]]]]
    ) -> None:
        self._writer = writer
        self._quick = quick
        self._in_thread = in_thread

    async def add(self, device: Device) -> bool:
        """Add a new one."""
        values = [_written(name, getattr(device, name)) for name in _DEVICE]
        return await self._change(_ADD_DEVICE, (*values, device.aor))

    async def change(self, device_id: str, **fields: object) -> bool:
        """Change these fields alone."""
        if not fields or not fields.keys() <= _CHANGING:
            raise ValueError(f"fields that change are {', '.join(sorted(_CHANGING))}")
        places = ", ".join(f"{name} = ?" for name in fields)
        values = [_written(name, value) for name, value in fields.items()]
        return await self._change(f"UPDATE device SET {places} WHERE id = ?", (*values, device_id))

    async def _change(self, statement: str, values: tuple[Any, ...]) -> bool:
        def write(connection: sqlite3.Connection) -> bool:
            try:
                return connection.execute(statement, values).rowcount > 0
            except sqlite3.IntegrityError:
                raise ValueError("the id, the token or the user name is another device's") from None

        return await self._writer.call(write)

    async def get(self, device_id: str) -> Device | None:
        """The device with this id."""
        return self._one("id = ?", device_id)

    async def with_token(self, token: str) -> Device | None:
        """The device whose hashed token this is, or was before its newest."""
        return self._one("token = ?", token) or (self._one("token_before = ?", token) if token else None)

    async def with_username(self, username: str) -> Device | None:
        """The device with this digest user name."""
        return self._one("username = ?", username)

    async def of(self, aor: Aor) -> list[Device]:
        """A subscriber's devices, the one set up last at the end."""
        rows = self._quick.rows(f"{_DEVICES} WHERE aor = ? ORDER BY created_at, id", (aor,))
        return [_device(row) for row in rows]

    async def remove(self, device_id: str) -> Device | None:
        """Forget a device, its bindings and what wakes it."""

        def write(connection: sqlite3.Connection) -> Device | None:
            row = connection.execute(f"{_DEVICES} WHERE id = ?", (device_id,)).fetchone()
            if row is None:
                return None
            device = _device(row)
            connection.execute("DELETE FROM device WHERE id = ?", (device_id,))
            forget_targets_of(connection, device)
            connection.execute("DELETE FROM binding WHERE aor = ? AND username = ?", (device.aor, device.username))
            return device

        return await self._writer.call(write)

    async def outdated(self, configuration: str, limit: int) -> list[Device]:
        """Phones to be told of this configuration."""
        rows = await self._in_thread(
            f"{_DEVICES} WHERE kind = 'native' AND sms_port > 0 AND configuration != ? AND told != ? "
            "ORDER BY id LIMIT ?",
            (configuration, configuration, limit),
        )
        return [_device(row) for row in rows]

    async def code(self, aor: Aor) -> SentCode | None:
        """What was sent to a number last."""
        rows = self._quick.rows(f"{_CODES} WHERE aor = ?", (aor,))
        return _code(rows[0]) if rows else None

    async def code_of(self, cookie: str) -> SentCode | None:
        """The code that belongs to a hashed cookie."""
        rows = self._quick.rows(f"{_CODES} WHERE cookie = ?", (cookie,))
        return _code(rows[0]) if rows else None

    async def reserve_code(self, code: SentCode, limits: CodeLimits, source: str = "") -> CodeWait | None:
        """Make this the number's code, unless a bound says no."""

        def write(connection: sqlite3.Connection) -> CodeWait | None:
            row = connection.execute(f"{_CODES} WHERE aor = ?", (code.aor,)).fetchone()
            before = None if row is None else _code(row)
            wait = _number_waits(before, limits, code.sent_at) or _others_wait(connection, limits, source, code.sent_at)
            if wait is not None:
                return wait
            counted = before is not None and before.since + HOUR > code.sent_at
            made = replace(code, sends=before.sends + 1, since=before.since) if before and counted else code
            connection.execute(_PUT_CODE, [getattr(made, name) for name in _CODE])
            connection.execute("INSERT INTO code_send (at, source) VALUES (?, ?)", (code.sent_at, source))
            return None

        return await self._writer.call(write)

    async def asked_in_vain(self, limits: CodeLimits, source: str, now: float) -> CodeWait | None:
        """Count a question about a number that nobody has."""

        def write(connection: sqlite3.Connection) -> CodeWait | None:
            wait = _guesser_waits(connection, limits, source, now)
            if wait is None:
                connection.execute("INSERT INTO code_send (at, source, vain) VALUES (?, ?, 1)", (now, source))
            return wait

        return await self._writer.call(write)

    async def try_code(self, cookie: str, code: str, *, now: float, locked_until: float) -> TriedCode | None:
        """Compare and use up in one."""

        def write(connection: sqlite3.Connection) -> TriedCode | None:
            row = connection.execute(f"{_CODES} WHERE cookie = ?", (cookie,)).fetchone()
            if row is None:
                return None
            known = _code(row)
            if known.locked_until > now or known.expires_at <= now or known.tries_left <= 0:
                return TriedCode(known, False)
            right = hmac.compare_digest(known.code.encode(), code.encode())
            left = 0 if right else known.tries_left - 1
            lock = locked_until if not right and not left else known.locked_until
            connection.execute(
                "UPDATE sent_code SET tries_left = ?, locked_until = ? WHERE cookie = ?", (left, lock, cookie)
            )
            return TriedCode(known, right)

        return await self._writer.call(write)

    async def forget_codes(self, before: float) -> int:
        """Forget codes that expired before then and limit nothing any more."""

        def write(connection: sqlite3.Connection) -> int:
            connection.execute("DELETE FROM code_send WHERE at < ?", (before,))
            return connection.execute(
                "DELETE FROM sent_code WHERE expires_at < ? AND locked_until < ? AND since < ?",
                (before, before, before),
            ).rowcount

        return await self._writer.call(write)

    def _one(self, where: str, value: str) -> Device | None:
        rows = self._quick.rows(f"{_DEVICES} WHERE {where}", (value,))
        return _device(rows[0]) if rows else None


def forget_devices(connection: sqlite3.Connection, aor: Aor) -> None:
    """The subscriber is gone."""
    connection.execute("DELETE FROM device WHERE aor = ?", (aor,))
    connection.execute("DELETE FROM sent_code WHERE aor = ?", (aor,))


def _number_waits(before: SentCode | None, limits: CodeLimits, now: float) -> CodeWait | None:
    """What the number's own codes say to another one."""
    if before is None:
        return None
    if before.locked_until > now:
        return CodeWait(Limit.LOCKED, before.locked_until)
    if before.sent_at + limits.again_after > now:
        return CodeWait(Limit.NUMBER, before.sent_at + limits.again_after)
    if before.since + HOUR > now and before.sends >= limits.per_hour:
        return CodeWait(Limit.NUMBER, before.since + HOUR)
    return None


def _others_wait(connection: sqlite3.Connection, limits: CodeLimits, source: str, now: float) -> CodeWait | None:
    """What all codes of late say to another one: those for the same source, and all of them."""
    # Who has gone through the numbers is told nothing of any, be it one of ours.
    wait = _guesser_waits(connection, limits, source, now) or _hour(
        connection, source, "NOT vain", limits.source_per_hour, now
    )
    if wait is not None:
        return wait
    count, first = connection.execute(
        "SELECT count(*), min(at) FROM code_send WHERE at > ? AND NOT vain", (now - MINUTE,)
    ).fetchone()
    return CodeWait(Limit.ALL, first + MINUTE) if count >= limits.all_per_minute else None


def _guesser_waits(connection: sqlite3.Connection, limits: CodeLimits, source: str, now: float) -> CodeWait | None:
    """What one source has asked for in vain of late."""
    return _hour(connection, source, "vain", limits.vain_per_hour, now)


def _hour(connection: sqlite3.Connection, source: str, which: str, most: int, now: float) -> CodeWait | None:
    count, first = connection.execute(
        f"SELECT count(*), min(at) FROM code_send WHERE source = ? AND at > ? AND {which}", (source, now - HOUR)
    ).fetchone()
    return CodeWait(Limit.SOURCE, first + HOUR) if source and count >= most else None


def _written(name: str, value: Any) -> Any:
    return json.dumps(dict(value)) if name == "ha1" else value


def _device(row: tuple[Any, ...]) -> Device:
    values = dict(zip(_DEVICE, row, strict=True))
    return Device(**values | {"ha1": json.loads(values["ha1"]), "terms": bool(values["terms"])})


def _code(row: tuple[Any, ...]) -> SentCode:
    return SentCode(**dict(zip(_CODE, row, strict=True)))
