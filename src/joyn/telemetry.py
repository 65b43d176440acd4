"""Named events: one call counts, and writes a log line when somebody reads that level.

Names are `noun.past-participle` and stand in `EVENTS` with the sentence that `docs/reference/events.md` prints. What
happens for every message or packet is logged at debug only; its code holds a `counter` and calls `inc`. Numbers are
masked here and bodies never pass, so that no call site has to remember it.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from collections.abc import Mapping
from typing import Final, Literal, TextIO

__all__ = ["EVENTS", "Counter", "UndocumentedEvent", "configure", "counter", "counters", "event", "level_of", "mask"]

LOGGER: Final = logging.getLogger("joyn")

_FREQUENT: Final[Mapping[str, str]] = {
    "request.received": "A SIP request came in.",
    "request.sent": "A SIP request went out.",
    "response.sent": "A SIP response went out.",
    "response.received": "A SIP response came in.",
    "request.challenged": "A request without usable credentials was answered 401 or 407.",
    "request.retransmitted": "A request came again and got the same answer (UDP).",
    "keepalive.received": "A device kept its flow open (CRLF or STUN).",
    "binding.added": "A device registered.",
    "binding.refreshed": "A device renewed its registration.",
    "binding.removed": "A device took its registration back.",
    "binding.expired": "A registration ran out.",
    "message.accepted": "A message is on disk and its sender has been told so.",
    "message.repeated": "A message came a second time and was answered like the first.",
    "message.attempted": "A message was sent to one device.",
    "message.acknowledged": "A device took a message.",
    "message.delivered": "A recipient's device says it has the message.",
    "message.deferred": "No device was there, or none answered; the message waits in the mailbox.",
    "message.withheld": "The recipient has blocked the sender: kept as accepted, delivered to nobody.",
    "delivery.refused": "A device refused a message for good.",
    "message.revoked": "A sender took a message back before a device had it.",
    "message.expired": "A message waited longer than allowed; its sender is told it failed.",
    "receipt.accepted": "A delivery or display notification is on disk.",
    "receipt.dropped": "A notification went nowhere: unknown, stale or unasked.",
    "session.opened": "An MSRP session leg stands.",
    "session.closed": "An MSRP session leg ended.",
    "connection.opened": "A TCP or TLS connection was accepted.",
    "connection.closed": "A TCP or TLS connection ended.",
    "connection.unsecured": "A TLS handshake failed: another protocol, another's certificate, or a port scan.",
    "capability.answered": "An OPTIONS was answered for a subscriber.",
    "peer.taken": "A peer operator took a message.",
    "peer.refused": "A peer operator will not take a message, whenever it is sent.",
    "peer.dropped": "Something that is only for now found no way to a peer operator.",
    "push.sent": "A push service took a wake-up for a device that is not connected.",
    "push.disowned": "A push service knows a device no more; it is not woken any more.",
    "code.sent": "A one-time code was sent by SMS.",
    "configuration.announced": "A phone was told by SMS to fetch its configuration anew.",
    "configuration.served": "A device fetched its configuration, or a code was sent to it.",
    "file.received": "A file was uploaded whole.",
    "file.localised": "A link to a peer operator's content server was replaced by one to ours.",
    "file.fetched": "A file came from a peer operator's content server.",
    "file.delayed": "A peer operator's file was not to be had just now; it is tried again, later each time.",
    "file.removed": "Content that nobody has any more was deleted.",
    "number.ported": "A row of ported numbers was loaded, changed or taken out.",
    "file.scanned": "The virus scanner has said what it thinks of a file.",
    "picture.made": "A thumbnail, or a form that browsers draw, was made of a picture.",
    "picture.refused": "A picture was broken, too large, or not of the type that it says; its file came in.",
    "http.served": "An HTTP request was answered.",
    "subscription.opened": "Somebody watches an event package (reg-event).",
    "subscription.closed": "A watcher left.",
}
"""At debug."""

_NOTABLE: Final[Mapping[str, str]] = {
    "node.started": "The node listens and delivers; its fields count the listeners of each kind.",
    "node.stopped": "The node has stopped in order.",
    "scanner.named": "Uploads are shown to a virus scanner.",
    "scanner.omitted": "No virus scanner is set: files are not scanned.",
    "listener.opened": "A listener accepts traffic.",
    "listener.closed": "A listener no longer accepts traffic.",
    "admin.opened": "The admin door accepts requests.",
    "peer.accepted": "The file of a peer operator was accepted; it is known by what that says.",
    "peer.paused": "Nothing goes to a peer operator, and nothing is taken from it.",
    "peer.resumed": "A peer operator is served again.",
    "peer.removed": "A peer operator is none any more.",
    "certificate.switched": "Peer operators are shown another certificate of ours.",
    "device.added": "A subscriber set up a device.",
    "device.removed": "A device was signed out.",
    "subscriber.added": "The operator added a subscriber or changed one.",
    "subscriber.removed": "The operator removed a subscriber, their devices and their mailbox.",
    "subscriber.blocked": "The operator blocked a subscriber.",
    "subscriber.unblocked": "The operator let a subscriber in again.",
    "peer.connected": "A connection to a peer operator stands.",
    "peer.disconnected": "A connection to a peer operator has ended.",
    "sender.reported": "A subscriber says that somebody's messages are unwanted.",
    "store.opened": "The database is open.",
    "store.migrated": "The database was brought to this version's schema, after a backup.",
    "store.swept": "Expired messages were failed and old ones deleted.",
}
"""At info."""

_TROUBLING: Final[Mapping[str, str]] = {
    "request.malformed": "Bytes came that are no SIP request.",
    "request.refused": "A rule said no; the answer carries the reason.",
    "request.failed": "A request met a bug of ours and was answered 500.",
    "credentials.refused": "A device proved itself wrongly.",
    "nonce.replayed": "Credentials came twice: a replay, or a device that counts wrongly.",
    "identity.forged": "A request claimed an identity its flow does not have.",
    "response.forged": "A response came over another flow than its request had gone to; it was ignored.",
    "peer.unreachable": "A peer operator could not be connected to; it is tried again, later each time.",
    "peer.limited": "A peer operator sent more than it may, and was told to wait.",
    "peer.spoofed": "A peer operator spoke for a number that is not reached through it.",
    "code.refused": "A one-time code was wrong.",
    "code.locked": "Too many wrong codes for a number: it is locked for a while, and somebody may be guessing.",
    "code.limited": "More codes were asked for in a minute than all numbers may have together.",
    "configuration.refused": "A device was refused its configuration.",
    "sms.failed": "An SMS could not be handed over.",
    "http.refused": "An HTTP request or a WebSocket came from another site's page.",
    "receipt.forged": "A notification came from somebody the message was not sent to.",
    "message.refused": "A message was not taken; its sender was told.",
    "message.failed": "No device of the recipient is left to try.",
    "file.infected": "The virus scanner found something in an upload; it was refused.",
    "file.unscanned": "An upload came in without the scanner's verdict, as files.scanner_required allows.",
    "file.unlocalised": "So many files of a peer operator are waited for that further links of its stay as they are.",
    "file.unreachable": "A peer operator's content server could not be connected to; it is tried again.",
    "file.lost": "A peer operator's file will not come: gone there, or not what its sender said.",
    "scanner.failed": "The virus scanner gave no verdict: it is not there, too slow, or says something else.",
    "picture.abandoned": "A thumbnail took too long; the upload was answered without it.",
    "picture.omitted": "There was no room or no time for a thumbnail: too many wait, or the quota is used up.",
    "picture.failed": "The decoder of a picture crashed or ran into its limits; its file came in.",
    "frame.malformed": "Bytes came that are no MSRP; the connection was closed.",
    "connection.refused": "A connection was turned away at a bound.",
    "connection.stalled": "A peer read too slowly, or never sent a whole request, and was cut off.",
    "connection.failed": "A connection met a bug of ours and was closed.",
    "flow.limited": "One flow had too much under way and was told to wait.",
    "push.failed": "A wake-up was given up; the message waits in the mailbox.",
    "push.refused": "A push service did not take what we sent, or may not be written to.",
    "store.overloaded": "Too much waited to be written; senders were told to come back.",
    "store.filled": "The disk is full; nothing is acknowledged.",
    "store.failed": "The disk did not keep what it promised; the node stops.",
    "dns.failed": "No DNS server gave an answer that can be used.",
    "route.undecided": "ENUM did not answer for a number; its sender was told to come back, or its range decided.",
    "task.failed": "A background task of ours ended with an error.",
}
"""At warning."""

EVENTS: Final[Mapping[str, str]] = {**_FREQUENT, **_NOTABLE, **_TROUBLING}
"""Every name that may be counted or logged, and what it means."""

_PERSONAL: Final = frozenset(
    "aor caller callee contact conversation from_ mailbox number other owner recipient sender subscriber to uri "
    "username".split()
)
"""Fields that name a person."""
_HIDDEN: Final = frozenset("body cpim content ha1 password response secret".split())
"""Fields whose value is nobody's business, whatever it is."""
_NUMBER: Final = re.compile(r"(?<![0-9A-Za-z.])(\+?[0-9]{3,11})[0-9]{4}(?![0-9A-Za-z])")
_INTERNATIONAL: Final = re.compile(r"(\+[0-9]{3,11})[0-9]{4}(?![0-9])")
_USER: Final = re.compile(r"(sips?:[^\s@;:]?)[^\s@]*@")
_QUOTED: Final = re.compile(r"[\s=\"\\]|^$")


class UndocumentedEvent(LookupError):
    """An event that `EVENTS` does not describe."""


class Counter:
    """How often one event has happened since the process started. `inc` is all a hot path does."""

    __slots__ = ("level", "name", "value")

    def __init__(self, name: str, level: int) -> None:
        self.name = name
        self.level = level
        self.value = 0

    def inc(self, by: int = 1) -> None:
        """Count `by` more."""
        self.value += by


_COUNTERS: Final = {
    name: Counter(name, level)
    for level, group in ((logging.DEBUG, _FREQUENT), (logging.INFO, _NOTABLE), (logging.WARNING, _TROUBLING))
    for name in group
}


def counter(name: str) -> Counter:
    """The counter of an event, to be held by code that runs often. Raises UndocumentedEvent."""
    try:
        return _COUNTERS[name]
    except KeyError:
        raise UndocumentedEvent(f"{name!r} does not stand in joyn.telemetry.EVENTS") from None


def counters() -> dict[str, int]:
    """All events that have happened, and how often."""
    return {name: found.value for name, found in sorted(_COUNTERS.items()) if found.value}


def level_of(name: str) -> str:
    """The level an event is logged at: `debug`, `info` or `warning`. Raises UndocumentedEvent."""
    return logging.getLevelName(counter(name).level).lower()


def event(name: str, **fields: object) -> None:
    """Count the event, and log it with its fields if its level is on. Raises UndocumentedEvent."""
    found = counter(name)
    found.value += 1
    if LOGGER.isEnabledFor(found.level):
        shown = {key.rstrip("_"): _shown(key, value) for key, value in fields.items()}
        LOGGER.log(found.level, "%s", _line(name, shown), extra={"event": name, "fields": shown})


def mask(text: str) -> str:
    """An identity that can be recognised and not called: `tel:+3363998xxxx`, `sip:a…@joyn.example`."""
    masked = _NUMBER.sub(r"\1xxxx", text)
    return masked if masked != text else _USER.sub(r"\1…@", text)


def configure(level: str = "info", format: Literal["text", "json"] = "text", stream: TextIO | None = None) -> None:  # noqa: A002 - the setting's word
    """Send events from `level` upwards to `stream` (default: standard error), as text or one JSON object a line."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_JsonFormatter() if format == "json" else _TextFormatter())
    for old in list(LOGGER.handlers):
        LOGGER.removeHandler(old)
    LOGGER.addHandler(handler)
    LOGGER.setLevel(level.upper())
    LOGGER.propagate = False


def _shown(key: str, value: object) -> object:
    """What the log may know of a field."""
    if key in _HIDDEN:
        return "hidden"
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"{len(value)} bytes"
    if value is None or isinstance(value, (bool, int, float)):
        return value
    text = str(value)
    return mask(text) if key in _PERSONAL else _INTERNATIONAL.sub(r"\1xxxx", text)


def _line(name: str, fields: Mapping[str, object]) -> str:
    return " ".join([name, *(f"{key}={_word(value)}" for key, value in fields.items())])


def _word(value: object) -> str:
    text = str(value)
    # A peer's text must not be able to write a second line or another field.
    return json.dumps(text, ensure_ascii=False) if _QUOTED.search(text) or not text.isprintable() else text


class _TextFormatter(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802 - logging's word
        return _timestamp(record.created)


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        written: dict[str, object] = {"time": _timestamp(record.created), "level": record.levelname.lower()}
        name = getattr(record, "event", None)
        if name is None:
            written["text"] = record.getMessage()
        else:
            written["event"] = name
            written.update((key, value) for key, value in getattr(record, "fields", {}).items() if key not in written)
        if record.exc_info:
            written["traceback"] = self.formatException(record.exc_info)
        return json.dumps(written, ensure_ascii=False)


def _timestamp(at: float) -> str:
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at))
    return f"{whole}.{int(at % 1 * 1000):03d}Z"
