"""Disposition notifications: what became of a message, as `message/imdn+xml`.

Spec: RFC 5438 §7.2, §10; OMA CPM for `interworking-notification`. Ours is `cause`: why a message failed, as a SIP
status (what RFC 3326 calls so), in an element of our own beside the notification, which §10 lets others ignore.
Promises: elements are found by local name in any namespace; what `emit` writes, `parse` gives back.
"""

import re
from dataclasses import dataclass
from typing import Literal, cast

from joyn.protocol import xml
from joyn.protocol.errors import ParseError

CONTENT_TYPE = "message/imdn+xml"
NAMESPACE = "urn:ietf:params:xml:ns:imdn"
INTERWORKING_NAMESPACE = "urn:oma:xml:cpm:imdn-extensions:1.0"

CAUSE_NAMESPACE = "urn:x-joyn:imdn:cause"

MAX_IMDN = 16 * 1024
"""Bytes of one document."""
MAX_MESSAGE_ID = 256
"""Bytes of a Message-ID, as in the CPIM header it repeats."""

Kind = Literal["delivery", "display", "processing", "interworking"]
KINDS: tuple[Kind, ...] = ("delivery", "display", "processing", "interworking")

_SUFFIX = "-notification"
_KIND_OF_ELEMENT: dict[str, Kind] = {kind + _SUFFIX: kind for kind in KINDS}

# The shape nearly every client writes, ours included, in one linear pass; any other document goes the long way round.
_DEPLOYED = re.compile(
    rb'(?:<\?xml version="1\.0" encoding="UTF-8"\?>[ \t\r\n]*+)?+'
    rb'<imdn xmlns="urn:ietf:params:xml:ns:imdn">[ \t\r\n]*+'
    rb"<message-id>([!-%'-;=?-~]{1,256}+)</message-id>[ \t\r\n]*+"
    rb"<datetime>([!-%'-;=?-~]*+)</datetime>[ \t\r\n]*+"
    rb"<(delivery|display|processing)-notification>[ \t\r\n]*+"
    rb"<status>[ \t\r\n]*+<([a-z]++) ?/>[ \t\r\n]*+</status>[ \t\r\n]*+"
    rb"</\3-notification>[ \t\r\n]*+</imdn>[ \t\r\n]*+"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Imdn:
    """One notification about one message.

    `message_id` is the imdn.Message-ID of the message it is about; `datetime` is RFC 3339 text as sent, empty when
    left out. `status` is the name of the status element: `delivered`, `failed`, `displayed`, `processed`, `stored`,
    `forbidden`, `error` (RFC 5438 §10), `legacy-sms`, `legacy-mms` (CPM) or an extension. `cause` is the SIP status
    that says why it failed, 0 when nobody says.
    """

    message_id: str
    kind: Kind
    status: str
    datetime: str = ""
    recipient_uri: str = ""
    original_recipient_uri: str = ""
    subject: str = ""
    cause: int = 0

    @classmethod
    def parse(cls, data: bytes) -> "Imdn":
        """Read a document. Raises ParseError when it names no message, or no notification with a status."""
        if len(data) <= MAX_IMDN and (deployed := _DEPLOYED.fullmatch(data)) is not None:
            message_id, datetime, kind, status = deployed.groups()
            return cls(
                message_id=message_id.decode(),
                kind=cast("Kind", kind.decode()),
                status=status.decode(),
                datetime=datetime.decode(),
            )
        return cls._parse_any(data)

    @classmethod
    def _parse_any(cls, data: bytes) -> "Imdn":
        """Read a document of any shape the schema allows."""
        root = xml.parse(data, max_bytes=MAX_IMDN)
        if xml.local_name(root) != "imdn":
            raise ParseError("not an imdn document")
        texts: dict[str, str] = {}
        kind: Kind | None = None
        status = ""
        for element in root:
            name = xml.local_name(element)
            if name in _KIND_OF_ELEMENT:
                if kind is None:  # RFC 5438 §10: exactly one; of several the first counts.
                    kind = _KIND_OF_ELEMENT[name]
                    status = _status(element)
            elif name not in texts:
                texts[name] = xml.text_of(element)
        message_id = texts.get("message-id", "")
        if not message_id:
            raise ParseError("imdn without message-id")
        if len(message_id.encode()) > MAX_MESSAGE_ID:
            raise ParseError(f"imdn message-id over {MAX_MESSAGE_ID} bytes")
        if kind is None or not status:
            raise ParseError("imdn without a notification status")
        return cls(
            message_id=message_id,
            kind=kind,
            status=status,
            datetime=texts.get("datetime", ""),
            recipient_uri=texts.get("recipient-uri", ""),
            original_recipient_uri=texts.get("original-recipient-uri", ""),
            subject=texts.get("subject", ""),
            cause=_cause(texts.get("cause", "")),
        )

    def emit(self) -> bytes:
        """Write the document in the shape the handsets in the field write and read."""
        namespace = f' xmlns="{INTERWORKING_NAMESPACE}"' if self.kind == "interworking" else ""
        optional = ""
        if self.recipient_uri:
            optional += f"<recipient-uri>{xml.escape(self.recipient_uri)}</recipient-uri>\r\n"
        if self.original_recipient_uri:
            escaped = xml.escape(self.original_recipient_uri)
            optional += f"<original-recipient-uri>{escaped}</original-recipient-uri>\r\n"
        if self.subject:
            optional += f"<subject>{xml.escape(self.subject)}</subject>\r\n"
        cause = f'<cause xmlns="{CAUSE_NAMESPACE}">{self.cause}</cause>\r\n' if self.cause else ""
        return (
            '<?xml version="1.0" encoding="UTF-8"?>\r\n'
            f'<imdn xmlns="{NAMESPACE}">\r\n'
            f"<message-id>{xml.escape(self.message_id)}</message-id>\r\n"
            f"<datetime>{xml.escape(self.datetime)}</datetime>\r\n"
            f"{optional}"
            f"<{self.kind}-notification{namespace}><status><{self.status}/></status></{self.kind}-notification>\r\n"
            f"{cause}</imdn>"
        ).encode()


def _status(notification: xml.Element) -> str:
    """The name of the first element inside `status`, empty when there is none."""
    for element in notification:
        if xml.local_name(element) == "status":
            for status in element:
                return xml.local_name(status)
    return ""


def _cause(text: str) -> int:
    """A final SIP status that is a failure, else 0: what else it may be is nothing to fail a receipt for."""
    return int(text) if re.fullmatch("[3-6][0-9]{2}", text, re.ASCII) else 0
