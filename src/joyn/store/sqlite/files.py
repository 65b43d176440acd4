"""Uploads on their way and files that can be fetched."""

# SQL is put together from constants of this package only.
# ruff: noqa: S608

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, Final

from joyn.model.aor import Aor
from joyn.model.file import Content, FileUsage, Kind, StoredFile, Upload
from joyn.model.refused import Reason, Refused
from joyn.store import GONE_FOR
from joyn.store.sqlite.connection import Reader
from joyn.store.sqlite.statements import fields_of
from joyn.store.sqlite.writer import Writer

__all__ = ["PUT_FILE", "SqliteFiles", "count", "fits", "forget_files", "row_of"]

_FILE = fields_of(StoredFile)
_FILES = f"SELECT {', '.join(_FILE)} FROM file"
PUT_FILE = f"INSERT INTO file ({', '.join(_FILE)}) VALUES ({', '.join('?' * len(_FILE))})"
_UPLOAD: Final = (
    "id",
    "owner",
    "tid",
    "size",
    "reserved",
    "name",
    "content_type",
    "thumbnail",
    "thumbnail_size",
    "thumbnail_type",
    "started_at",
)
_UPLOADS = f"SELECT {', '.join(_UPLOAD)} FROM upload"
_PUT_UPLOAD = f"INSERT INTO upload ({', '.join(_UPLOAD)}) VALUES ({', '.join('?' * len(_UPLOAD))})"
_ALL: Final = ""
"""The owner of the row that counts for everybody."""
_TAKEN: Final = "SELECT owner, bytes FROM file_usage WHERE owner IN (?, ?)"
_QUOTA: Final = "SELECT file_quota FROM subscriber WHERE aor = ?"
_COUNT: Final = (
    "INSERT INTO file_usage (owner, bytes) VALUES (?, ?) "
    "ON CONFLICT (owner) DO UPDATE SET bytes = bytes + excluded.bytes"
)


class SqliteFiles:
    """See joyn.store.Files."""

    def __init__(self, writer: Writer, quick: Reader) -> None:
        self._writer = writer
        self._quick = quick

    async def begin(self, upload: Upload) -> Upload | None:
        """Note that an upload begins."""

        def write(connection: sqlite3.Connection) -> Upload | None:
            known = connection.execute("SELECT blocked FROM subscriber WHERE aor = ?", (upload.owner,)).fetchone()
            if known is None or known[0]:
                raise Refused(Reason.SUBSCRIBER_BLOCKED if known else Reason.UNKNOWN_RECIPIENT)
            found = connection.execute(f"{_UPLOADS} WHERE owner = ? AND tid = ?", (upload.owner, upload.tid)).fetchone()
            before = None if found is None else _upload(found)
            if before is not None:
                _forget(connection, before)
            connection.execute(_PUT_UPLOAD, _row(upload))
            count(connection, upload.owner, upload.reserved)
            return before

        return await self._writer.call(write)

    async def upload(self, upload_id: str) -> Upload | None:
        """The upload with this id."""
        rows = self._quick.rows(f"{_UPLOADS} WHERE id = ?", (upload_id,))
        return _upload(rows[0]) if rows else None

    async def upload_of(self, owner: Aor, tid: str) -> Upload | None:
        """The upload that its owner calls so."""
        rows = self._quick.rows(f"{_UPLOADS} WHERE owner = ? AND tid = ?", (owner, tid))
        return _upload(rows[0]) if rows else None

    async def announce(self, upload_id: str, size: int) -> bool:
        """Note the size that an upload will have."""

        def write(connection: sqlite3.Connection) -> bool:
            return connection.execute("UPDATE upload SET size = ? WHERE id = ?", (size, upload_id)).rowcount > 0

        return await self._writer.call(write)

    async def reserve(self, upload_id: str, size: int, most: FileUsage) -> bool:
        """Count so many bytes for an upload."""

        def write(connection: sqlite3.Connection) -> bool:
            row = connection.execute("SELECT owner, reserved FROM upload WHERE id = ?", (upload_id,)).fetchone()
            if row is None:
                return False
            owner, more = row[0], size - row[1]
            if not fits(connection, owner, more, most):
                return False
            connection.execute("UPDATE upload SET reserved = ? WHERE id = ?", (size, upload_id))
            count(connection, owner, more)
            return True

        return await self._writer.call(write)

    async def finish(self, upload_id: str, files: Sequence[StoredFile]) -> bool:
        """An upload has become these files."""

        def write(connection: sqlite3.Connection) -> bool:
            row = connection.execute(f"{_UPLOADS} WHERE id = ?", (upload_id,)).fetchone()
            if row is None:
                return False
            upload = _upload(row)
            _forget(connection, upload)
            there = connection.execute(
                "DELETE FROM file WHERE owner = ? AND tid = ? RETURNING size", (upload.owner, upload.tid)
            ).fetchall()
            connection.executemany(PUT_FILE, [row_of(file) for file in files])
            added = sum(file.size for file in files) - sum(size for (size,) in there)
            count(connection, upload.owner, added)
            return True

        return await self._writer.call(write)

    async def drop(self, upload_id: str) -> None:
        """Forget an upload."""

        def write(connection: sqlite3.Connection) -> None:
            row = connection.execute(f"{_UPLOADS} WHERE id = ?", (upload_id,)).fetchone()
            if row is not None:
                _forget(connection, _upload(row))

        await self._writer.call(write)

    async def get(self, file_id: str) -> StoredFile | None:
        """The file with this id."""
        rows = self._quick.rows(f"{_FILES} WHERE id = ?", (file_id,))
        return _file(rows[0]) if rows else None

    async def of(self, owner: Aor, tid: str) -> list[StoredFile]:
        """What an upload has become, the thumbnail first."""
        rows = self._quick.rows(
            f"{_FILES} WHERE owner = ? AND tid = ? AND kind != 'shown' ORDER BY kind DESC", (owner, tid)
        )
        return [_file(row) for row in rows]

    async def beside(self, file: StoredFile, kind: Kind) -> StoredFile | None:
        """What has been made of a file."""
        rows = self._quick.rows(f"{_FILES} WHERE owner = ? AND tid = ? AND kind = ?", (file.owner, file.tid, kind))
        return _file(rows[0]) if rows else None

    async def add(self, file_id: str, made: StoredFile, most: FileUsage) -> bool:
        """Keep what has been made of a file beside it."""

        def write(connection: sqlite3.Connection) -> bool:
            here = "SELECT 1 FROM file WHERE id = ? AND owner = ? AND tid = ? AND digest != ''"
            if connection.execute(here, (file_id, made.owner, made.tid)).fetchone() is None:
                return False
            same = "owner = ? AND tid = ? AND kind = ?", (made.owner, made.tid, made.kind)
            row = connection.execute(f"SELECT sum(size) FROM file WHERE {same[0]}", same[1]).fetchone()
            more = made.size - (row[0] or 0)
            if not fits(connection, made.owner, more, most):
                return False
            connection.execute(f"DELETE FROM file WHERE {same[0]}", same[1])
            connection.execute(PUT_FILE, row_of(made))
            count(connection, made.owner, more)
            return True

        return await self._writer.call(write)

    async def usage(self, owner: Aor) -> FileUsage:
        """What is taken of the quotas."""
        return _usage(self._quick.rows(_TAKEN, (owner, _ALL)), owner)

    async def allowed(self, owner: Aor, most: FileUsage) -> FileUsage:
        """What may be taken of the quotas."""
        return _allowed(self._quick.rows(_QUOTA, (owner,)), most)

    async def expire(self, now: float, *, uploads_before: float, limit: int = 1000) -> list[Upload]:
        """Forget what is over."""

        def write(connection: sqlite3.Connection) -> list[Upload]:
            over = connection.execute(
                "SELECT id, owner, size FROM file WHERE until <= ? AND digest != '' LIMIT ?", (now, limit)
            ).fetchall()
            for file_id, owner, size in over:
                # What is left of it says that it is gone, and takes no room.
                connection.execute("UPDATE file SET digest = '', size = 0, name = '' WHERE id = ?", (file_id,))
                count(connection, owner, -size)
            # Only what no longer counts: after a long stop of the node there may be more than one call takes.
            connection.execute(
                "DELETE FROM file WHERE id IN (SELECT id FROM file WHERE until <= ? AND digest = '' LIMIT ?)",
                (now - GONE_FOR, limit),
            )
            rows = connection.execute(f"{_UPLOADS} WHERE started_at < ? LIMIT ?", (uploads_before, limit)).fetchall()
            given_up = [_upload(row) for row in rows]
            for upload in given_up:
                _forget(connection, upload)
            connection.execute("DELETE FROM file_usage WHERE bytes <= 0")
            return given_up

        return await self._writer.call(write)

    async def used(self, digests: Sequence[str], now: float) -> set[str]:
        """Which of these contents somebody still has."""
        places = ", ".join("?" * len(digests))
        rows = self._quick.rows(
            f"SELECT digest FROM file WHERE digest IN ({places}) AND digest != '' AND until > ? "
            f"UNION SELECT thumbnail FROM upload WHERE thumbnail IN ({places})",
            (*digests, now, *digests),
        )
        return {row[0] for row in rows}


def forget_files(connection: sqlite3.Connection, aor: Aor) -> None:
    """The subscriber is gone; what blobs are left of them is swept."""
    row = connection.execute("SELECT bytes FROM file_usage WHERE owner = ?", (aor,)).fetchone()
    if row is not None:
        count(connection, aor, -row[0])
    for table in ("upload", "file", "file_usage"):
        connection.execute(f"DELETE FROM {table} WHERE owner = ?", (aor,))


def _usage(rows: Sequence[tuple[str, int]], owner: Aor) -> FileUsage:
    taken = dict(rows)
    return FileUsage(own=taken.get(owner, 0), all=taken.get(_ALL, 0))


def _allowed(rows: Sequence[tuple[int]], most: FileUsage) -> FileUsage:
    return FileUsage(own=rows[0][0], all=most.all) if rows and rows[0][0] else most


def row_of(file: StoredFile) -> tuple[Any, ...]:
    """The parameters of PUT_FILE."""
    return tuple(getattr(file, name) for name in _FILE)


def fits(connection: sqlite3.Connection, owner: Aor, more: int, most: FileUsage) -> bool:
    """Whether so many bytes more are within the quotas."""
    allowed = _allowed(connection.execute(_QUOTA, (owner,)).fetchall(), most)
    taken = _usage(connection.execute(_TAKEN, (owner, _ALL)).fetchall(), owner)
    return taken.own + more <= allowed.own and taken.all + more <= allowed.all


def count(connection: sqlite3.Connection, owner: Aor, more: int) -> None:
    """Count so many bytes more for an owner, and for all together."""
    connection.executemany(_COUNT, [(owner, more), (_ALL, more)])


def _forget(connection: sqlite3.Connection, upload: Upload) -> None:
    connection.execute("DELETE FROM upload WHERE id = ?", (upload.id,))
    count(connection, upload.owner, -upload.reserved)


def _row(upload: Upload) -> tuple[Any, ...]:
    thumbnail = upload.thumbnail or Content("", 0)
    values = {"thumbnail": thumbnail.digest, "thumbnail_size": thumbnail.size}
    return tuple(values[name] if name in values else getattr(upload, name) for name in _UPLOAD)


def _upload(row: tuple[Any, ...]) -> Upload:
    values = dict(zip(_UPLOAD, row, strict=True))
    size = values.pop("thumbnail_size")
    return Upload(**values | {"thumbnail": Content(values["thumbnail"], size) if values["thumbnail"] else None})


def _file(row: tuple[Any, ...]) -> StoredFile:
    return StoredFile(**dict(zip(_FILE, row, strict=True)))
