"""Framing: SIP messages out of a byte stream, and the keep-alives between them.

Spec: RFC 3261 §18.3, RFC 5626 §3.5.1 (CRLF keep-alive).
Pure: bytes in, messages out; what is buffered is bounded by MAX_HEAD plus `max_body`.
"""

from __future__ import annotations

from enum import Enum

from joyn.protocol.errors import ParseError
from joyn.protocol.sip.message import (
    MAX_HEAD,
    MAX_HEADERS,
    MAX_START_LINE,
    SipRequest,
    SipResponse,
    content_length,
    find_blank_line,
    parse_head,
)

MAX_BODY = 64 * 1024
"""Bytes of body that one SIP message may have unless the listener says otherwise."""
MAX_METHOD = 20
"""Letters of a method that are repeated to somebody whose start line was too long."""


class KeepAlive(Enum):
    """RFC 5626 §4.4.1: what stands between messages on a stream."""

    PING = "CRLFCRLF"
    PONG = "CRLF"


Found = list[SipRequest | SipResponse | KeepAlive]
"""What bytes complete, in order."""


class BrokenStream(ParseError):
    """The stream cannot be read on: close it.

    `error` says what is wrong; `before` is what these bytes had completed until then, `rest` what is wrong, from where
    its message begins.
    """

    def __init__(self, error: ParseError, before: Found, rest: bytes) -> None:
        super().__init__(error.what, error.at)
        self.error = error
        self.before = before
        self.rest = rest


class BodyTooLong(ParseError):
    """The head is well-formed, but says that more is to come than is taken: RFC 3261 §21.5.7 has 513 for it."""


class StreamFramer:
    """Cuts a stream into messages. Feeding byte by byte gives the same as feeding whole."""

    __slots__ = ("_buffer", "_message", "_missing", "_scanned", "max_body")

    def __init__(self, max_body: int = MAX_BODY) -> None:
        self.max_body = max_body
        self._buffer = bytearray()
        self._scanned = 0
        self._message: SipRequest | SipResponse | None = None
        self._missing = 0

    @property
    def buffered(self) -> int:
        """Bytes held back because they are not a whole message yet."""
        return len(self._buffer)

    def receive(self, data: bytes) -> Found:
        """Take bytes, give what they complete. Raises BrokenStream, after which there is nothing more to be had."""
        if self._buffer:
            self._buffer += data
            if not self._may_complete():
                return []
            data = bytes(self._buffer)
            self._buffer.clear()
        found: Found = []
        at = 0
        while at < len(data):
            if self._message is None:
                try:
                    step = self._keep_alive(data, at, found) if data[at] in b"\r\n" else self._head(data, at)
                except ParseError as error:
                    raise BrokenStream(error, found, data[at:]) from error
                if step == 0:
                    break
                at += step
            if self._message is not None:
                if len(data) - at < self._missing:
                    break
                self._message.body = data[at : at + self._missing]
                at += self._missing
                found.append(self._message)
                self._message = None
        if at < len(data):
            self._buffer += data[at:] if at else data
        self._scanned = len(self._buffer)
        return found

    def _may_complete(self) -> bool:
        """Whether the last bytes can have completed something; looks only at those, so that dripping costs no more."""
        buffer = self._buffer
        if self._message is not None:
            return len(buffer) >= self._missing
        start, self._scanned = max(self._scanned - 3, 0), len(buffer)
        if buffer[0] in b"\r\n" or len(buffer) > MAX_HEAD:
            return True
        return buffer.find(b"\n\r\n", start) >= 0 or buffer.find(b"\n\n", start) >= 0

    @staticmethod
    def _keep_alive(data: bytes, at: int, found: Found) -> int:
        if data.startswith(b"\r\n\r\n", at):
            found.append(KeepAlive.PING)
            return 4
        rest = data[at : at + 4]
        if b"\r\n\r\n".startswith(rest):
            # RFC 5626 §3.5.1: one CRLF is a pong, but the second half of a ping may still be on its way.
            return 0
        if rest.startswith(b"\r\n"):
            found.append(KeepAlive.PONG)
            return 2
        if rest.startswith(b"\n"):
            return 1  # a stray line feed between messages (RFC 3261 §7.5) is ignored
        raise ParseError("stray carriage return between messages", at)

    def _head(self, data: bytes, at: int) -> int:
        end, body = find_blank_line(data, at)
        if end < 0 or end - at > MAX_HEAD:
            if len(data) - at > MAX_HEAD:
                raise ParseError(f"head longer than {MAX_HEAD} bytes", at + MAX_HEAD)
            return 0
        message = parse_head(data[at:end])
        length = content_length(message)
        if length is None:
            # RFC 3261 §20.14: over a stream the length is mandatory; without it the next message cannot be found.
            raise ParseError("no Content-Length on a stream", end)
        if length > self.max_body:
            raise BodyTooLong(f"body of {length} bytes, at most {self.max_body} are taken", body)
        self._message, self._missing = message, length
        return body - at

    def idle_pong(self) -> bool:
        """Whether a single CRLF is waiting: a pong, if nothing comes. The transport asks when it goes idle."""
        if self._buffer == b"\r\n":
            self._buffer.clear()
            return True
        return False


def readable(head: bytes) -> bytes:
    """As much of a head as the limits let us parse, so that who sent too much can be told: Via stands near its top."""
    start, *lines = head[:MAX_HEAD].split(b"\r\n", MAX_HEADERS)[:MAX_HEADERS]
    if len(start) > MAX_START_LINE:
        start = start.partition(b" ")[0][:MAX_METHOD] + b" sip:invalid SIP/2.0"
    return b"\r\n".join([start, *(line for line in lines if b":" in line)])
