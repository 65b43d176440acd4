"""Messages, entries, cursors and dispositions as rows."""

from __future__ import annotations

from operator import attrgetter
from typing import Any

from joyn.model.aor import Aor
from joyn.model.message import Cursor, Disposition, Entry, EntryKind, Kind, Message, State
from joyn.store.sqlite.statements import fields_of, maker

__all__ = [
    "ENTRY_COLUMNS",
    "MESSAGE_COLUMNS",
    "cursor_from",
    "disposition_from",
    "entry_from",
    "make_entry",
    "make_message",
    "message_from",
    "message_values",
    "pack",
    "unpack",
]

_MESSAGE_FIELDS = fields_of(Message)
MESSAGE_COLUMNS = ", ".join(f"message.{name}" for name in _MESSAGE_FIELDS)
"""A message's columns in the order of its fields."""

ENTRY_COLUMNS = "entry.mailbox, entry.seq, entry.kind, entry.instance, entry.state"
"""An entry's columns in the order of its fields, without the message."""

make_message = maker(Message)
make_entry = maker(Entry)

message_values = attrgetter(*(name for name in _MESSAGE_FIELDS if name != "id"))
"""All fields of a message behind its id, in order."""

_KIND = _MESSAGE_FIELDS.index("kind")

# Indexing a tuple costs a tenth of calling the enumeration.
_KINDS = tuple(Kind)
_ENTRY_KINDS = tuple(EntryKind)
_STATES = tuple(State)


def message_from(row: tuple[Any, ...]) -> Message:
    """The message of MESSAGE_COLUMNS."""
    return make_message((*row[:_KIND], _KINDS[row[_KIND]], *row[_KIND + 1 :]))


def entry_from(row: tuple[Any, ...], state: int, message: Message) -> Entry:
    """The entry of a row beginning with ENTRY_COLUMNS, in a state that may be higher than the row's."""
    return make_entry((row[0], row[1], _ENTRY_KINDS[row[2]], row[3], _STATES[state], message))


def disposition_from(row: tuple[str, int, float]) -> Disposition:
    """The disposition of (recipient, state, at)."""
    return Disposition(recipient=Aor(row[0]), state=_STATES[row[1]], at=row[2])


def cursor_from(row: tuple[Any, ...]) -> Cursor:
    """The cursor of (mailbox, instance, low, ahead, touched_at)."""
    mailbox, instance, low, ahead, touched_at = row
    return Cursor(mailbox=mailbox, instance=instance, low=low, ahead=unpack(ahead, low), touched_at=touched_at)


def pack(ahead: frozenset[int], low: int) -> bytes:
    """What is settled ahead of `low`: the distances from one to the next, seven bits a byte, the lowest first."""
    packed = bytearray()
    before = low
    for seq in sorted(ahead):
        distance = seq - before
        before = seq
        while distance > 0x7F:
            packed.append(distance & 0x7F | 0x80)
            distance >>= 7
        packed.append(distance)
    return bytes(packed)


def unpack(packed: bytes, low: int) -> frozenset[int]:
    """The set that `pack` packed."""
    ahead: list[int] = []
    seq = low
    distance = shift = 0
    for byte in packed:
        distance |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            seq += distance
            ahead.append(seq)
            distance = shift = 0
    return frozenset(ahead)
