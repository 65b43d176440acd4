"""Registration information: which contacts an AOR has, and what became of them.

Spec: RFC 3680 §5; RFC 5628 for GRUUs.
Promises: elements are found by local name; what `emit` writes, `parse` gives back; lists are bounded.
"""

from dataclasses import dataclass
from typing import Literal, TypeVar

from joyn.protocol import xml
from joyn.protocol.errors import ParseError, ProtocolError

CONTENT_TYPE = "application/reginfo+xml"
NAMESPACE = "urn:ietf:params:xml:ns:reginfo"
GRUU_NAMESPACE = "urn:ietf:params:xml:ns:gruuinfo"

MAX_REGINFO = 256 * 1024
"""Bytes of one document."""
MAX_REGISTRATIONS = 64
"""AORs of one document: the identities that were registered together."""
MAX_CONTACTS = 64
"""Contacts of one AOR."""
MAX_NUMBER = 2**32 - 1
"""The largest version, expiry or sequence number (RFC 3261 §20.19 for seconds)."""

State = Literal["full", "partial"]
RegistrationState = Literal["init", "active", "terminated"]
ContactState = Literal["active", "terminated"]
Event = Literal[
    "registered",
    "created",
    "refreshed",
    "shortened",
    "expired",
    "deactivated",
    "probation",
    "unregistered",
    "rejected",
]

STATES: tuple[State, ...] = ("full", "partial")
REGISTRATION_STATES: tuple[RegistrationState, ...] = ("init", "active", "terminated")
CONTACT_STATES: tuple[ContactState, ...] = ("active", "terminated")
EVENTS: tuple[Event, ...] = (
    "registered",
    "created",
    "refreshed",
    "shortened",
    "expired",
    "deactivated",
    "probation",
    "unregistered",
    "rejected",
)

_TagAttributes = dict[str, str | int | None]
_Word = TypeVar("_Word", bound=str)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """One contact. `expires` and `retry_after` are seconds from now; `instance` is the `+sip.instance` without its
    quotes; `temp_gruu_first_cseq` goes with `temp_gruu`. A client whose contact is terminated registers anew after
    `deactivated`, waits `retry_after` after `probation`, and stays away after `rejected`.
    """

    id: str
    uri: str
    state: ContactState
    event: Event
    expires: int | None = None
    retry_after: int | None = None
    call_id: str = ""
    cseq: int | None = None
    display_name: str = ""
    instance: str = ""
    pub_gruu: str = ""
    temp_gruu: str = ""
    temp_gruu_first_cseq: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """One AOR and its contacts."""

    aor: str
    id: str
    state: RegistrationState
    contacts: tuple[Contact, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RegInfo:
    """One document. `version` starts at 0 and grows by one in each notification of a subscription (RFC 3680 §5.1);
    `partial` tells only of the registrations that changed.
    """

    version: int
    state: State
    registrations: tuple[Registration, ...] = ()

    @classmethod
    def parse(cls, data: bytes) -> "RegInfo":
        """Read a document. Raises ParseError when an attribute is missing or unknown, or a limit is passed."""
        root = xml.parse(data, max_bytes=MAX_REGINFO)
        if xml.local_name(root) != "reginfo":
            raise ParseError("not a reginfo document")
        version = _number(root.get("version"))
        if version is None:
            raise ParseError("reginfo without a version")
        elements = [element for element in root if xml.local_name(element) == "registration"]
        if len(elements) > MAX_REGISTRATIONS:
            raise ParseError(f"more than {MAX_REGISTRATIONS} registrations")
        return cls(
            version=version,
            state=_word(root, "state", STATES),
            registrations=tuple(_registration(element) for element in elements),
        )

    def emit(self) -> bytes:
        """Write the document. Raises ProtocolError past the limits that `parse` keeps."""
        if len(self.registrations) > MAX_REGISTRATIONS:
            raise ProtocolError(f"more than {MAX_REGISTRATIONS} registrations")
        registrations = "".join(map(_emit_registration, self.registrations))
        namespaces: _TagAttributes = {"xmlns": NAMESPACE, "xmlns:gr": GRUU_NAMESPACE}
        root = _tag("reginfo", namespaces | _plain(self, "version", "state"))
        return f'<?xml version="1.0" encoding="UTF-8"?>\r\n{root}\r\n{registrations}</reginfo>'.encode()


def _registration(element: xml.Element) -> Registration:
    contacts = [child for child in element if xml.local_name(child) == "contact"]
    if len(contacts) > MAX_CONTACTS:
        raise ParseError(f"more than {MAX_CONTACTS} contacts")
    return Registration(
        aor=_needed(element, "aor"),
        id=_needed(element, "id"),
        state=_word(element, "state", REGISTRATION_STATES),
        contacts=tuple(_contact(contact) for contact in contacts),
    )


def _contact(element: xml.Element) -> Contact:
    uri = xml.child_text(element, "uri")
    if not uri:
        raise ParseError("contact without a uri")
    instance = ""
    for child in element:
        if xml.local_name(child) == "unknown-param" and child.get("name") == "+sip.instance":
            instance = xml.text_of(child).strip('"')
    pub_gruu = xml.child(element, "pub-gruu")
    temp_gruu = xml.child(element, "temp-gruu")
    if temp_gruu is not None and not temp_gruu.get("uri"):
        temp_gruu = None
    return Contact(
        id=_needed(element, "id"),
        uri=uri,
        state=_word(element, "state", CONTACT_STATES),
        event=_word(element, "event", EVENTS),
        expires=_number(element.get("expires")),
        retry_after=_number(element.get("retry-after")),
        call_id=element.get("callid") or "",
        cseq=_number(element.get("cseq")),
        display_name=xml.child_text(element, "display-name"),
        instance=instance,
        pub_gruu="" if pub_gruu is None else pub_gruu.get("uri") or "",
        temp_gruu="" if temp_gruu is None else temp_gruu.get("uri") or "",
        temp_gruu_first_cseq=None if temp_gruu is None else _number(temp_gruu.get("first-cseq")),
    )


def _emit_registration(registration: Registration) -> str:
    if len(registration.contacts) > MAX_CONTACTS:
        raise ProtocolError(f"more than {MAX_CONTACTS} contacts")
    contacts = "".join(map(_emit_contact, registration.contacts))
    return f"{_tag('registration', _plain(registration, 'aor', 'id', 'state'))}\r\n{contacts}</registration>\r\n"


def _emit_contact(contact: Contact) -> str:
    attributes = _plain(contact, "id", "state", "event", "expires", "cseq")
    attributes |= {"retry-after": contact.retry_after, "callid": contact.call_id or None}
    # RFC 3680 §5.3.1 gives the order: uri, display-name, unknown-param; extensions follow.
    parts = [_tag("contact", attributes), f"<uri>{xml.escape(contact.uri)}</uri>"]
    if contact.display_name:
        parts.append(f"<display-name>{xml.escape(contact.display_name)}</display-name>")
    if contact.instance:
        value = xml.escape(f'"{contact.instance}"')
        parts.append(f'<unknown-param name="+sip.instance">{value}</unknown-param>')
    if contact.pub_gruu:
        parts.append(_tag("gr:pub-gruu", {"uri": contact.pub_gruu}, end="/>"))
    if contact.temp_gruu:
        attributes = {"uri": contact.temp_gruu, "first-cseq": contact.temp_gruu_first_cseq}
        parts.append(_tag("gr:temp-gruu", attributes, end="/>"))
    return "".join((*parts, "</contact>\r\n"))


def _plain(value: object, *names: str) -> _TagAttributes:
    """The attributes that are called on the wire as they are here."""
    return {name: getattr(value, name) for name in names}


def _tag(name: str, attributes: _TagAttributes, *, end: str = ">") -> str:
    written = [f' {key}="{xml.escape(str(value))}"' for key, value in attributes.items() if value is not None]
    return f"<{name}{''.join(written)}{end}"


def _needed(element: xml.Element, name: str) -> str:
    value = element.get(name)
    if not value:
        raise ParseError(f"{xml.local_name(element)} without {name}")
    return value


def _word(element: xml.Element, name: str, words: tuple[_Word, ...]) -> _Word:
    value = element.get(name)
    for word in words:
        if word == value:
            return word
    raise ParseError(f"{xml.local_name(element)} with an unknown {name}")


def _number(value: str | None) -> int | None:
    """Read a number; None when it is not there, or is not one that could be meant."""
    if value is None or not value.isascii() or not value.isdigit() or len(value) > 10:
        return None
    return number if (number := int(value)) <= MAX_NUMBER else None
