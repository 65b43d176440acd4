"""Bringing a database to the newest schema: numbered steps, forwards only, a backup first."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import NamedTuple

__all__ = ["Migration", "NewerSchema", "migrate", "migrations"]


class Migration(NamedTuple):
    """One step: the schema version it leads to, its name, its statements."""

    version: int
    name: str
    sql: str


class NewerSchema(Exception):
    """The database was written by a newer joyn."""


def migrations() -> list[Migration]:
    """The steps that come with this version of joyn, in order."""
    folder = resources.files("joyn.store") / "migrations" / "sqlite"
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".sql")), key=lambda file: file.name)
    return [Migration(int(file.name[:4]), file.name, file.read_text(encoding="utf-8")) for file in files]


def migrate(
    connection: sqlite3.Connection, steps: Sequence[Migration], database: Path | None, now: float
) -> Path | None:
    """Apply the steps the database has not seen, each in its own transaction with its version number.

    Before an existing database is touched a copy is made beside it, and its path returned. Raises NewerSchema when the
    database has seen steps that this joyn does not know.
    """
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    newest = steps[-1].version
    if version > newest:
        raise NewerSchema(
            f"{database} has schema {version}, this joyn knows {newest} and older. Start the joyn that wrote it "
            "(or a newer one), or restore the copy made before its upgrade."
        )
    due = [step for step in steps if step.version > version]
    copy = _back_up(connection, database, version, now) if due and version and database else None
    for step in due:
        connection.execute("BEGIN IMMEDIATE")
        try:
            for statement in _statements(step.sql):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {step.version}")
            connection.execute("COMMIT")
        except BaseException:
            connection.rollback()
            raise
    return copy


def _back_up(connection: sqlite3.Connection, database: Path, version: int, now: float) -> Path:
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    path = database.with_name(f"{database.name}.schema{version}-{stamp}.backup")
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    copy = sqlite3.connect(path)
    try:
        connection.backup(copy)
    finally:
        copy.close()
    return path


def _statements(sql: str) -> list[str]:
    """The single statements of a script: sqlite3's own executescript would commit between them."""
    statements: list[str] = []
    pending = ""
    for line in sql.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            statements.append(pending)
            pending = ""
    return statements
