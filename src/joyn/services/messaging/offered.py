"""The files that devices were offered over MSRP and do not have whole: by what they are asked for, how far they are.

Spec: RFC 5547 §8.2.2 (a file is asked for by what it is), facts §6.1. In memory alone: after a restart every device
registers anew, and what is due to it is brought from the first byte on.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from joyn.model.aor import Aor
from joyn.model.message import Entry

__all__ = ["Key", "Offered", "Offers"]

Key = tuple[Aor, str, int]
"""(AOR, instance, message)."""
_Selection = tuple[Aor, str, Aor, str, int]


@dataclass(slots=True, eq=False)
class Offered:
    """One file that one device was offered: where the message about it is, its SHA-1 in hex, its size in bytes.

    The device has answered `taken` bytes from the first one on, as far as we have heard. It is `whole` when the device
    asked for the rest and has it, and the mailbox has still to hear of that.
    """

    key: Key
    seq: int
    sender: Aor
    conversation: Aor
    message_id: str
    sha1: str
    size: int
    taken: int = 0
    whole: bool = False

    @property
    def selection(self) -> _Selection:
        """By what it is asked for: the device, who sent it, and the file itself."""
        return (*self.key[:2], self.sender, self.sha1, self.size)


class Offers:
    """So many of them at most: those of which nothing was heard for longest are forgotten, and begin anew."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._offers: OrderedDict[Key, Offered] = OrderedDict()
        self._selected: dict[_Selection, list[Offered]] = {}

    def __len__(self) -> int:
        return len(self._offers)

    def note(self, entry: Entry, instance: str, sha1: str, size: int) -> Offered:
        """A device is offered this file, for the first time or again."""
        message = entry.message
        key = (entry.mailbox, instance, message.id)
        known = self._offers.get(key)
        if known is not None and (known.sha1, known.size) == (sha1, size):
            self._offers.move_to_end(key)
            return known
        self.forget(key)
        offered = Offered(key, entry.seq, message.sender, message.conversation, message.message_id, sha1, size)
        self._offers[key] = offered
        self._selected.setdefault(offered.selection, []).append(offered)
        if len(self._offers) > self._limit:
            self.forget(next(iter(self._offers)))
        return offered

    def get(self, key: Key) -> Offered | None:
        """What is known of one."""
        return self._offers.get(key)

    def progressed(self, key: Key, taken: int) -> None:
        """The device has answered so many bytes of it."""
        offered = self._offers.get(key)
        if offered is not None:
            offered.taken = taken
            self._offers.move_to_end(key)

    def whole(self) -> list[Offered]:
        """Those that a device has, though their mailbox has not heard of it."""
        return [one for one in self._offers.values() if one.whole]

    def find(self, device: tuple[Aor, str], sender: Aor, sha1: str, size: int) -> Offered | None:
        """What a device means by a selector: of the same file sent twice, the one that was offered last."""
        found = self._selected.get((*device, sender, sha1, size), ())
        return next((one for one in reversed(found) if not one.whole), None)

    def forget(self, key: Key) -> None:
        """The device has it, or does not want it."""
        offered = self._offers.pop(key, None)
        if offered is None:
            return
        alike = self._selected[offered.selection]
        alike.remove(offered)
        if not alike:
            del self._selected[offered.selection]
