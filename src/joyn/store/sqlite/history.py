"""History and search. The messages are there anyway; what is added is an index of senders and one of words.

Splitting texts into words costs more than all else the writer does with a message, so it happens behind its back, many
messages in one commit: each `index` goes on after `progress.indexed_until`, and a search first does what is missing.
"""

# SQL is put together from constants of this package only.
# ruff: noqa: S608

from __future__ import annotations

import json
import re
import sqlite3
import unicodedata
from collections.abc import Awaitable, Callable, Sequence
from hashlib import blake2b
from typing import Any

from joyn.model.aor import Aor
from joyn.model.history import HistoryItem, HistoryPage
from joyn.model.message import State
from joyn.protocol.cpim import CpimMessage
from joyn.protocol.errors import ParseError
from joyn.store.sqlite.connection import Reader
from joyn.store.sqlite.records import MESSAGE_COLUMNS, message_from
from joyn.store.sqlite.writer import Writer

__all__ = ["SqliteHistory", "forget_owner"]

MAX_PAGE_BYTES = 4 << 20
"""Bytes of CPIM after which a page ends early; the first item is always on it."""
MAX_INDEXED_BYTES = 8192
"""Bytes of a text whose words can be found."""
MAX_WORDS = 16
"""Words of one search; more are not looked at."""
MAX_WORD = 64
"""Characters of a word that count in a search."""
INDEX_BATCH = 200
"""Messages indexed in one commit: about 5 ms in which nobody else's is written."""
MAX_CATCH_UP = 50
"""Batches one search does itself; what has come before that many was accepted under a load that never paused."""

_OURS = "message.id >= coalesce((SELECT before FROM forgotten WHERE owner = ?1), 0)"
_SHOWN = "entry.kind = 0 AND entry.state NOT IN (2, 3)"
# Withdrawn (REVOKED is 3), or accepted anew under the same identity: then only the newest counts.
_CURRENT = (
    "NOT EXISTS (SELECT 1 FROM disposition WHERE disposition.message = message.id AND disposition.state = 3) "
    "AND NOT EXISTS (SELECT 1 FROM message AS newer WHERE newer.key = message.key AND newer.id > message.id)"
)


def _page_sql(comparison: str, order: str) -> str:
    """Ids and sizes of an owner's (?1) messages on one side of a place (?2), at most ?3."""
    sent = (
        f"SELECT message.id AS id, length(message.cpim) AS size FROM message WHERE message.sender = ?1 "
        f"AND message.kind = 0 AND message.id {comparison} ?2 AND {_OURS} AND {_CURRENT} "
        f"ORDER BY message.id {order} LIMIT ?3"
    )
    # The plus sign: by the entries' numbers, which are in the order of the messages'.
    received = (
        f"SELECT message.id AS id, length(message.cpim) AS size FROM entry CROSS JOIN message "
        f"ON message.id = entry.message WHERE entry.mailbox = ?1 AND entry.seq {comparison} ?2 AND {_SHOWN} "
        f"AND message.kind = 0 AND +message.id {comparison} ?2 AND {_OURS} ORDER BY entry.seq {order} LIMIT ?3"
    )
    return f"SELECT * FROM ({sent}) UNION SELECT * FROM ({received}) ORDER BY id {order} LIMIT ?3"


_BEFORE = _page_sql("<", "DESC")
_AFTER = _page_sql(">", "ASC")
_SEARCH = (
    "SELECT message.id, length(message.cpim) FROM words CROSS JOIN message ON message.id = words.rowid "
    f"WHERE words MATCH ?2 AND {_OURS} AND (message.sender = ?1 AND {_CURRENT} OR EXISTS (SELECT 1 FROM entry "
    "WHERE entry.seq >= message.id AND entry.seq < message.id + message.entries AND entry.mailbox = ?1 "
    f"AND {_SHOWN})) ORDER BY words.rowid DESC LIMIT ?3"
)
_ITEMS = (
    "SELECT max(coalesce((SELECT max(disposition.state) FROM disposition WHERE disposition.message = message.id "
    "AND disposition.recipient = message.conversation), 0), coalesce((SELECT max(entry.state) FROM entry "
    "WHERE entry.seq >= message.id AND entry.seq < message.id + message.entries AND entry.kind = 0), 0)), "
    f"{MESSAGE_COLUMNS} FROM json_each(?1) CROSS JOIN message ON message.id = json_each.value ORDER BY json_each.key"
)
_BEHIND = (
    "SELECT (SELECT max(id) FROM message) > coalesce((SELECT value FROM progress WHERE name = 'indexed_until'), 0)"
)
_NEXT = (
    "SELECT id, sender, conversation, CASE WHEN kind = 0 AND content_type = 'text/plain' THEN cpim END FROM message "
    "WHERE id > coalesce((SELECT value FROM progress WHERE name = 'indexed_until'), 0) ORDER BY id LIMIT ?"
)
_NEWEST = 2**63 - 1
_STATES = tuple(State)
# What the tokenizer of FTS5 takes for a word: letters and digits.
_WORD = re.compile(r"[^\W_]+")


class SqliteHistory:
    """See joyn.store.History."""

    def __init__(
        self, writer: Writer, quick: Reader, in_thread: Callable[..., Awaitable[list[tuple[Any, ...]]]]
    ) -> None:
        self._writer = writer
        self._quick = quick
        self._in_thread = in_thread

    async def before(self, owner: Aor, place: int | None, limit: int) -> HistoryPage:
        """The newest first, before the message with id `place`."""
        return await self._page(_BEFORE, owner, _NEWEST if place is None else place, limit)

    async def after(self, owner: Aor, place: int, limit: int) -> HistoryPage:
        """The oldest first, after the message with id `place`."""
        return await self._page(_AFTER, owner, place, limit)

    async def search(self, owner: Aor, words: Sequence[str], limit: int) -> HistoryPage:
        """The newest texts first that have all these words."""
        asked = _query(owner, words)
        if not asked:
            return HistoryPage(items=(), more=False)
        for _ in range(MAX_CATCH_UP):
            if await self.index(INDEX_BATCH) < INDEX_BATCH:
                break
        return await self._page(_SEARCH, owner, asked, limit)

    async def index(self, limit: int = INDEX_BATCH) -> int:
        """Make up to `limit` more messages ready to be found, and return how many."""
        if not self._quick.rows(_BEHIND)[0][0]:
            return 0
        return await self._writer.call(lambda connection: _index(connection, limit))

    async def _page(self, sql: str, owner: Aor, place: int | str, limit: int) -> HistoryPage:
        found = await self._in_thread(sql, (owner, place, limit + 1))
        ids: list[int] = []
        room = MAX_PAGE_BYTES
        for number, size in found[:limit]:
            room -= size
            if ids and room < 0:
                break
            ids.append(number)
        rows = await self._in_thread(_ITEMS, (json.dumps(ids),))
        items = []
        for row in rows:
            message = message_from(row[1:])
            items.append(HistoryItem(message=message, incoming=message.sender != owner, state=_STATES[row[0]]))
        return HistoryPage(items=tuple(items), more=len(found) > len(ids))


def forget_owner(connection: sqlite3.Connection, owner: Aor) -> None:
    """Whoever gets this AOR next shall see nothing of what was before."""
    connection.execute(
        "REPLACE INTO forgotten (owner, before) SELECT ?, coalesce(max(id), 0) + 1 FROM message", (owner,)
    )


def _index(connection: sqlite3.Connection, limit: int) -> int:
    rows = connection.execute(_NEXT, (limit,)).fetchall()
    if rows:
        texts = [
            (number, f"{_party(sender)} {_party(conversation)}", text)
            for number, sender, conversation, cpim in rows
            if cpim is not None and (text := _text(cpim))
        ]
        connection.executemany("INSERT INTO words (rowid, parties, body) VALUES (?, ?, ?)", texts)
        connection.execute("REPLACE INTO progress (name, value) VALUES ('indexed_until', ?)", (rows[-1][0],))
    return len(rows)


def _text(cpim: bytes) -> str:
    """What can be found of a message."""
    try:
        body = CpimMessage.parse(cpim).decoded_body
    except ParseError:
        return ""
    return unicodedata.normalize("NFC", body[:MAX_INDEXED_BYTES].decode("utf-8", "replace"))


def _party(aor: str) -> str:
    """A word that stands for an AOR; nobody finds it by searching, since words are looked for in the body only."""
    return "p" + blake2b(aor.encode(), digest_size=10).hexdigest()


def _query(owner: Aor, words: Sequence[str]) -> str:
    """The search in the language of FTS5, or nothing when there is no word in it."""
    terms = [term[:MAX_WORD] for word in words for term in _WORD.findall(unicodedata.normalize("NFC", word))]
    if not terms:
        return ""
    # Letters and digits alone reach this place, and they are quoted: nothing here is an operator.
    sought = " AND ".join(f'"{term}"*' if len(term) > 1 else f'"{term}"' for term in terms[:MAX_WORDS])
    return f'parties : "{_party(owner)}" AND body : ({sought})'
