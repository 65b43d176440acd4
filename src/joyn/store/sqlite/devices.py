"""Devices that were set up, and the codes on their way to becoming one."""

# SQL is put together from constants of this package only.
# ruff: noqa: S608

from __future__ import annotations

import json
import sqlite3
from collections.abc import Awaitable, Callable
from typing import Any

from joyn.model.aor import Aor
from joyn.model.device import Device, SentCode
from joyn.store.sqlite.connection import Reader
from joyn.store.sqlite.statements import fields_of
from joyn.store.sqlite.writer import Writer

__all__ = ["SqliteDevices", "forget_devices"]

_DEVICE = fields_of(Device)
_CODE = fields_of(SentCode)
_DEVICES = f"SELECT {', '.join(_DEVICE)} FROM device"
_CODES = f"SELECT {', '.join(_CODE)} FROM sent_code"
_PUT_DEVICE = f"REPLACE INTO device ({', '.join(_DEVICE)}) VALUES ({', '.join('?' * len(_DEVICE))})"
_PUT_CODE = f"REPLACE INTO sent_code ({', '.join(_CODE)}) VALUES ({', '.join('?' * len(_CODE))})"


class SqliteDevices:
    """See joyn.store.Devices."""

    def __init__(
        self, writer: Writer, quick: Reader, in_thread: Callable[..., Awaitable[list[tuple[Any, ...]]]]
    ) -> None:
        self._writer = writer
        self._quick = quick
        self._in_thread = in_thread

    async def put(self, device: Device) -> None:
        """Add or replace by id."""
        values = [getattr(device, name) for name in _DEVICE]
        values[_DEVICE.index("ha1")] = json.dumps(dict(device.ha1))

        def write(connection: sqlite3.Connection) -> None:
            taken = connection.execute(
                "SELECT 1 FROM device WHERE (token = ? OR username = ?) AND id != ?",
                (device.token, device.username, device.id),
            ).fetchone()
            if taken:
                raise ValueError("the token or the user name is another device's")
            connection.execute(_PUT_DEVICE, values)

        await self._writer.call(write)

    async def get(self, device_id: str) -> Device | None:
        """The device with this id."""
        return self._one("id = ?", device_id)

    async def with_token(self, token: str) -> Device | None:
        """The device whose hashed token this is."""
        return self._one("token = ?", token)

    async def with_username(self, username: str) -> Device | None:
        """The device with this digest user name."""
        return self._one("username = ?", username)

    async def of(self, aor: Aor) -> list[Device]:
        """A subscriber's devices, the one set up last at the end."""
        rows = self._quick.rows(f"{_DEVICES} WHERE aor = ? ORDER BY created_at, id", (aor,))
        return [_device(row) for row in rows]

    async def remove(self, device_id: str) -> bool:
        """Forget a device."""
        return await self._writer.call(
            lambda connection: connection.execute("DELETE FROM device WHERE id = ?", (device_id,)).rowcount > 0
        )

    async def code(self, aor: Aor) -> SentCode | None:
        """What was sent to a number last."""
        rows = self._quick.rows(f"{_CODES} WHERE aor = ?", (aor,))
        return _code(rows[0]) if rows else None

    async def code_of(self, cookie: str) -> SentCode | None:
        """The code that belongs to a hashed cookie."""
        rows = self._quick.rows(f"{_CODES} WHERE cookie = ?", (cookie,))
        return _code(rows[0]) if rows else None

    async def put_code(self, code: SentCode) -> None:
        """Add or replace by number."""
        values = [getattr(code, name) for name in _CODE]
        await self._writer.call(lambda connection: connection.execute(_PUT_CODE, values).rowcount)

    async def try_code(self, cookie: str) -> SentCode | None:
        """Take one try off, and return the code as it was before; None when there is none, or no try."""

        def write(connection: sqlite3.Connection) -> tuple[Any, ...] | None:
            row = connection.execute(f"{_CODES} WHERE cookie = ? AND tries_left > 0", (cookie,)).fetchone()
            if row is not None:
                connection.execute("UPDATE sent_code SET tries_left = tries_left - 1 WHERE cookie = ?", (cookie,))
            found: tuple[Any, ...] | None = row
            return found

        row = await self._writer.call(write)
        return None if row is None else _code(row)

    async def forget_codes(self, before: float) -> int:
        """Forget codes that expired before then and limit nothing any more."""
        return await self._writer.call(
            lambda connection: (
                connection.execute(
                    "DELETE FROM sent_code WHERE expires_at < ? AND locked_until < ? AND since < ?",
                    (before, before, before),
                ).rowcount
            )
        )

    def _one(self, where: str, value: str) -> Device | None:
        rows = self._quick.rows(f"{_DEVICES} WHERE {where}", (value,))
        return _device(rows[0]) if rows else None


def forget_devices(connection: sqlite3.Connection, aor: Aor) -> None:
    """The subscriber is gone."""
    connection.execute("DELETE FROM device WHERE aor = ?", (aor,))
    connection.execute("DELETE FROM sent_code WHERE aor = ?", (aor,))


def _device(row: tuple[Any, ...]) -> Device:
    values = dict(zip(_DEVICE, row, strict=True))
    return Device(**values | {"ha1": json.loads(values["ha1"]), "terms": bool(values["terms"])})


def _code(row: tuple[Any, ...]) -> SentCode:
    return SentCode(**dict(zip(_CODE, row, strict=True)))
