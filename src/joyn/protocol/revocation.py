"""Revocation: take a message back before any device has it, and say whether that came in time.

Spec: RCC.07 (message revocation), as far as it is known: the namespace and `Message-ID` and `result`.
Promises: reads any root and nesting by local name; what `emit` writes, `parse` gives back.
"""

from dataclasses import dataclass
from typing import Literal

from joyn.protocol import xml
from joyn.protocol.errors import ParseError

CONTENT_TYPE = "application/vnd.gsma.rcsrevoke+xml"
NAMESPACE = "urn:gsma:params:xml:ns:rcs:rcs:rcsrevoke"

# The root names could not be confirmed: nothing here depends on them when reading.
REQUEST_ROOT = "MessageRevokeRequest"
RESPONSE_ROOT = "MessageRevokeResponse"

MAX_REVOCATION = 8 * 1024
"""Bytes of one document."""
MAX_MESSAGE_ID = 256
"""Bytes of a Message-ID, as in the CPIM header it repeats."""

Result = Literal["success", "failure"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokeRequest:
    """A wish that the message of this imdn.Message-ID be deleted undelivered."""

    message_id: str

    def emit(self) -> bytes:
        """Write the document."""
        return _emit(REQUEST_ROOT, self.message_id, "")


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokeResponse:
    """What became of such a wish: `failure` when a device already had the message."""

    message_id: str
    result: Result

    def emit(self) -> bytes:
        """Write the document."""
        return _emit(RESPONSE_ROOT, self.message_id, f"<result>{self.result}</result>\r\n")


def parse(data: bytes) -> RevokeRequest | RevokeResponse:
    """Read a document: with a `result` it is a response. Raises ParseError without a Message-ID or a known result."""
    root = xml.parse(data, max_bytes=MAX_REVOCATION)
    texts: dict[str, str] = {}
    for element in root.iter():
        texts.setdefault(xml.local_name(element), xml.text_of(element))
    message_id = texts.get("Message-ID", "")
    if not message_id:
        raise ParseError("revocation without a Message-ID")
    if len(message_id.encode()) > MAX_MESSAGE_ID:
        raise ParseError(f"revocation Message-ID over {MAX_MESSAGE_ID} bytes")
    if "result" not in texts:
        return RevokeRequest(message_id=message_id)
    result = texts["result"].lower()
    if result == "success":
        return RevokeResponse(message_id=message_id, result="success")
    if result == "failure":
        return RevokeResponse(message_id=message_id, result="failure")
    raise ParseError("revocation with an unknown result")


def _emit(root: str, message_id: str, more: str) -> bytes:
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\r\n'
        f'<{root} xmlns="{NAMESPACE}">\r\n'
        f"<Message-ID>{xml.escape(message_id)}</Message-ID>\r\n{more}</{root}>"
    ).encode()
