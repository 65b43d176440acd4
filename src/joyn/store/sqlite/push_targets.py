"""Push targets: where devices that are not connected can be woken."""

# SQL is put together from constants of this package only.
# ruff: noqa: S608

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from joyn.model.aor import Aor
from joyn.model.device import Device
from joyn.model.push import PushTarget
from joyn.model.refused import Reason, Refused
from joyn.store.sqlite.connection import Reader
from joyn.store.sqlite.statements import fields_of
from joyn.store.sqlite.writer import Writer

__all__ = ["SqlitePushTargets", "forget_targets"]

_FIELDS = fields_of(PushTarget)
_COLUMNS = ", ".join(_FIELDS)


class SqlitePushTargets:
    """See joyn.store.PushTargets."""

    def __init__(
        self, writer: Writer, quick: Reader, in_thread: Callable[..., Awaitable[list[tuple[Any, ...]]]]
    ) -> None:
        self._writer = writer
        self._quick = quick
        self._in_thread = in_thread

    async def of(self, aor: Aor) -> list[PushTarget]:
        """All targets of an AOR."""
        rows = self._quick.rows(f"SELECT {_COLUMNS} FROM push_target WHERE aor = ? ORDER BY device", (aor,))
        return [_target(row) for row in rows]

    async def all(self) -> list[PushTarget]:
        """Every target."""
        return [_target(row) for row in await self._in_thread(f"SELECT {_COLUMNS} FROM push_target")]

    async def put(self, target: PushTarget) -> list[PushTarget]:
        """Add or replace; returns what was there in its place."""

        def write(connection: sqlite3.Connection) -> list[PushTarget]:
            place = (target.aor, target.device, target.endpoint)
            there = "FROM push_target WHERE aor = ? AND device = ? OR endpoint = ?"
            replaced = [_target(row) for row in connection.execute(f"SELECT {_COLUMNS} {there}", place)]
            if not all(one.aor == target.aor or _may_have(target, one) for one in replaced):
                raise Refused(Reason.NOT_ALLOWED, "the push resource is another subscriber's")
            if target.p256dh and not _is_signed_in(connection, target):
                raise Refused(Reason.UNAUTHENTICATED, "the device was signed out")
            connection.execute(f"DELETE {there}", place)
            connection.execute(
                f"INSERT INTO push_target ({_COLUMNS}) VALUES ({', '.join('?' * len(_FIELDS))})",
                tuple(getattr(target, name) for name in _FIELDS),
            )
            return replaced

        return await self._writer.call(write)

    async def remove(self, targets: Sequence[PushTarget]) -> None:
        """Forget these, if they still have the same endpoint."""
        places = [(target.aor, target.device, target.endpoint) for target in targets]

        def write(connection: sqlite3.Connection) -> None:
            connection.executemany("DELETE FROM push_target WHERE aor = ? AND device = ? AND endpoint = ?", places)

        if places:
            await self._writer.call(write)


def forget_targets(connection: sqlite3.Connection, aor: Aor) -> None:
    """The subscriber is gone."""
    connection.execute("DELETE FROM push_target WHERE aor = ?", (aor,))


def forget_targets_of(connection: sqlite3.Connection, device: Device) -> None:
    """The device was signed out: what wakes it as a browser, and as the SIP device it registered as."""
    connection.execute(
        "DELETE FROM push_target WHERE aor = ? AND (device = ? OR username = ?)",
        (device.aor, device.id, device.username),
    )


def _may_have(target: PushTarget, theirs: PushTarget) -> bool:
    """Who has a subscription's keys is the browser it belongs to, whoever is signed in there now; a SIP device's has
    none, and knowing it is all there is to show (RFC 8599 §13: a PRID is a secret)."""
    return not theirs.p256dh or (theirs.p256dh, theirs.auth) == (target.p256dh, target.auth)


def _is_signed_in(connection: sqlite3.Connection, target: PushTarget) -> bool:
    found = connection.execute("SELECT 1 FROM device WHERE id = ? AND aor = ?", (target.device, target.aor))
    return found.fetchone() is not None


def _target(row: tuple[Any, ...]) -> PushTarget:
    return PushTarget(**dict(zip(_FIELDS, row, strict=True)))
