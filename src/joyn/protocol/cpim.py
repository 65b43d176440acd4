"""CPIM: the envelope of every chat message, with addresses, ids and wishes around an untouched body.

Spec: RFC 3862; RFC 5438 §6 for the `imdn` headers; spelling as deployed handsets read it.
Promises: keeps the bytes it was given; nothing unknown is lost, the body is never trimmed.
"""

import binascii
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from joyn.protocol.errors import ParseError, ProtocolError

CONTENT_TYPE = "message/cpim"
IMDN_NAMESPACE = "urn:ietf:params:imdn"
CPIM_NAMESPACE = "urn:ietf:params:cpim-headers:"
"""Where a header without a prefix belongs (RFC 3862 §3.4)."""
ANONYMOUS = "sip:anonymous@anonymous.invalid"
"""Stands for both parties of a one-to-one message, whose names are in the SIP head."""

MAX_HEAD = 16 * 1024
"""Bytes of the message headers, and again of the content headers."""
MAX_HEADERS = 128
"""Headers in either block."""
MAX_MESSAGE_ID = 256
"""Bytes of an imdn.Message-ID."""

DISPOSITIONS = ("positive-delivery", "negative-delivery", "display", "processing", "interworking")
"""What may be asked for in imdn.Disposition-Notification, in the order we write it."""

Headers = tuple[tuple[str, str], ...]

# RFC 3862 §2.3: no control characters in a header; a tab is let pass, a CR only before LF.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n)")
_BLANKS = " \t\r"
# One ordinary line; what it does not match is read with more patience. Possessive, so always linear.
_PLAIN_LINE = re.compile("^([^:\x00-\x20\x7f]++): *+([^\x00-\x1f\x7f]*+)\r?$", re.MULTILINE)
_LENGTH = re.compile(rb"(?im)^(content-length[ \t]*:[ \t]*)[0-9]+")
_SHORT = 128
_NS = frozenset(("NS", "Ns", "ns", "nS"))
_MESSAGE_ID = (IMDN_NAMESPACE, "message-id")
_DISPOSITION_NOTIFICATION = (IMDN_NAMESPACE, "disposition-notification")
_FROM = (CPIM_NAMESPACE, "from")
_TO = (CPIM_NAMESPACE, "to")
_DATE_TIME = (CPIM_NAMESPACE, "datetime")


class CpimMessage:
    """A parsed message. Values are text as sent; a header that is not there reads as the empty string."""

    __slots__ = ("_content_start", "_layout", "body_start", "content_headers", "data", "headers")

    data: bytes
    """The whole message as it was on the wire."""
    headers: Headers
    """The message headers in their order, names and values as sent, NS declarations included."""
    content_headers: Headers
    """The MIME headers of the content, likewise."""
    body_start: int
    """Offset of the content in `data`."""
    _content_start: int
    _layout: dict[tuple[str, str], int]

    @classmethod
    def parse(cls, data: bytes) -> "CpimMessage":
        """Read a message. CRLF or LF ends a line; names are compared without regard to case.

        Raises ParseError when a block of headers does not end, holds something else, or is over its limits.
        """
        self = object.__new__(cls)
        content_start, headers = _block(data, 0)
        body_start, content_headers = _block(data, content_start)
        self.data = data
        self.headers = headers
        self.content_headers = content_headers
        self.body_start = body_start
        self._content_start = content_start
        self._layout = _layout(_skeleton(headers))
        if content_start > MAX_MESSAGE_ID and len(self.message_id.encode()) > MAX_MESSAGE_ID:
            raise ParseError(f"Message-ID over {MAX_MESSAGE_ID} bytes", data.find(self.message_id.encode()))
        return self

    @classmethod
    def make(
        cls,
        *,
        from_: str,
        to: str,
        content_type: str,
        body: bytes,
        message_id: str = "",
        date_time: str = "",
        disposition_request: Iterable[str] = (),
        headers: Sequence[tuple[str, str]] = (),
        content_headers: Sequence[tuple[str, str]] = (),
    ) -> "CpimMessage":
        """Compose a message from `build`'s arguments."""
        return cls.parse(
            build(
                from_=from_,
                to=to,
                content_type=content_type,
                body=body,
                message_id=message_id,
                date_time=date_time,
                disposition_request=disposition_request,
                headers=headers,
                content_headers=content_headers,
            )
        )

    def header(self, name: str) -> str:
        """The first message header written with this name, prefix and all."""
        return _first(self.headers, name)

    def content_header(self, name: str) -> str:
        """The first content header of this name."""
        return _first(self.content_headers, name)

    def namespaced(self, uri: str, name: str) -> str:
        """The first header `name` of the namespace `uri`, under whatever prefix the sender declared for it."""
        return self._value((uri, name.lower()))

    @property
    def from_(self) -> str:
        """The From header: an optional display name and a URI in angle brackets."""
        return self._value(_FROM)

    @property
    def to(self) -> str:
        """The first To header."""
        return self._value(_TO)

    @property
    def recipients(self) -> tuple[str, ...]:
        """Every To header: several make a private message to some members of a group."""
        keys = _resolve(_skeleton(self.headers))
        return tuple(value for key, (_, value) in zip(keys, self.headers, strict=True) if key == _TO)

    @property
    def date_time(self) -> str:
        """The DateTime header, RFC 3339 text."""
        return self._value(_DATE_TIME)

    @property
    def message_id(self) -> str:
        """The imdn.Message-ID (RFC 5438 §6.3): opaque, up to MAX_MESSAGE_ID bytes."""
        return self._value(_MESSAGE_ID)

    @property
    def disposition_request(self) -> frozenset[str]:
        """The notifications the sender asks for (RFC 5438 §6.2), lower-cased, unknown ones included."""
        value = self._value(_DISPOSITION_NOTIFICATION)
        return _tokens(value) if value else frozenset()

    @property
    def content_type(self) -> str:
        """Type and subtype of the content in lower case, `text/plain` when unsaid (RFC 2045 §5.2)."""
        return _content(self.content_headers)[0]

    @property
    def body(self) -> bytes:
        """The content as sent: everything after the content headers, to the last byte.

        Content-length is not used to cut it: some senders count characters, and the carrier knows where it ends.
        """
        return self.data[self.body_start :]

    @property
    def decoded_body(self) -> bytes:
        """The content with Content-Transfer-Encoding base64 undone, else as sent.

        Raises ParseError when the base64 is broken.
        """
        if not _content(self.content_headers)[1]:
            return self.body
        try:
            return binascii.a2b_base64(self.body)
        except binascii.Error as error:
            raise ParseError(f"base64: {error}", self.body_start) from None

    def with_addresses(self, from_: str | None = None, to: str | None = None) -> "CpimMessage":
        """The same message with From or To rewritten (None keeps them), all other bytes unchanged.

        A bare URI is put in angle brackets. Every header of the rewritten name goes, so that no second From
        tells what the first one hides. Raises ProtocolError when a value would break the header.
        """
        wanted: dict[tuple[str, str], bytes] = {}
        if from_ is not None:
            wanted[_FROM] = f"From: {_address(from_)}\r\n".encode()
        if to is not None:
            wanted[_TO] = f"To: {_address(to)}\r\n".encode()
        keys = iter(_resolve(_skeleton(self.headers)))
        key = ("", "")
        kept: list[bytes] = []
        missing = dict(wanted)
        for line in self.data[: self._content_start].splitlines(keepends=True):
            if line in (b"\r\n", b"\n"):
                kept.append(line)
                break
            if line[:1] not in b" \t":
                key = next(keys)
            if key not in wanted:
                kept.append(line)
            elif key in missing:
                kept.append(missing.pop(key))
        return CpimMessage.parse(b"".join((*missing.values(), *kept, self.data[self._content_start :])))

    def with_body(self, body: bytes) -> "CpimMessage":
        """The same message with another content, in base64 if it was so; of the headers only Content-length changes."""
        if _content(self.content_headers)[1]:
            body = binascii.b2a_base64(body, newline=False)
        head = _LENGTH.sub(rb"\g<1>%d" % len(body), self.data[self._content_start : self.body_start])
        return CpimMessage.parse(self.data[: self._content_start] + head + body)

    def _value(self, key: tuple[str, str]) -> str:
        position = self._layout.get(key)
        return "" if position is None else self.headers[position][1]

    def __bytes__(self) -> bytes:
        return self.data

    def __eq__(self, other: object) -> bool:
        return self.data == other.data if isinstance(other, CpimMessage) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.data)

    def __repr__(self) -> str:
        return f"CpimMessage.parse({self.data!r})"


def build(
    *,
    from_: str,
    to: str,
    content_type: str,
    body: bytes,
    message_id: str = "",
    date_time: str = "",
    disposition_request: Iterable[str] = (),
    headers: Sequence[tuple[str, str]] = (),
    content_headers: Sequence[tuple[str, str]] = (),
) -> bytes:
    """Write a message as deployed handsets read it: their header names, their spelling, their prefix `imdn.`.

    A bare URI in `from_` or `to` is put in angle brackets. `headers` follow ours (declare their NS among them);
    `content_headers` stand between Content-type and Content-length. Empty values are left out; the NS line for
    imdn is always there, since some clients look for it to know a notification. Raises ProtocolError when a value
    would break its header.
    """
    request = frozenset(disposition_request)
    wishes = [token for token in DISPOSITIONS if token in request]
    wishes += sorted(request.difference(DISPOSITIONS))
    head = [
        ("From", _address(from_)),
        ("To", _address(to)),
        ("NS", f"imdn <{IMDN_NAMESPACE}>"),
        ("imdn.Message-ID", message_id),
        ("DateTime", date_time),
        ("imdn.Disposition-Notification", ", ".join(wishes)),
        *headers,
    ]
    content = [("Content-type", content_type), *content_headers, ("Content-length", str(len(body)))]
    text = "".join([f"{name}: {value}\r\n" for name, value in head if value])
    inner = "".join([f"{name}: {value}\r\n" for name, value in content if value])
    for block, pairs in ((text, head), (inner, content)):
        if _FORBIDDEN.search(block) or block.count("\n") != sum(1 for _, value in pairs if value):
            raise ProtocolError("a CPIM header value with control characters")
    return f"{text}\r\n{inner}\r\n".encode() + body


def address_uri(value: str) -> str:
    """The URI of a From or To value: what stands in the last angle brackets, or the whole without them."""
    opened = value.rfind("<")
    if opened < 0:
        return value.strip()
    closed = value.find(">", opened)
    return value[opened + 1 : closed if closed >= 0 else len(value)].strip()


def _block(data: bytes, start: int) -> tuple[int, Headers]:
    """Read header lines up to a blank line; return where the next block starts, and the headers."""
    if data.startswith((b"\r\n", b"\n"), start):
        return data.index(b"\n", start) + 1, ()
    # The blank line is LF LF, or LF CR LF: the first of either, so that a sender's mixture does no harm.
    limit = start + MAX_HEAD
    end = data.find(b"\n\r\n", start, limit)
    following = end + 3
    bare = data.find(b"\n\n", start, end + 1 if end >= 0 else limit)
    if bare >= 0:
        end, following = bare, bare + 2
    if end < 0:
        what = "headers without a blank line" if len(data) <= limit else f"headers over {MAX_HEAD} bytes"
        raise ParseError(what, min(len(data), limit))
    block = data[start:end]
    try:
        return following, _read_often(block) if len(block) <= _SHORT else _read(block)
    except ParseError as error:
        raise ParseError(error.what, start + error.at) from None


def _read(block: bytes) -> Headers:
    """Read header lines joined by line ends; the last has at most its CR left."""
    try:
        text = block.decode()
    except UnicodeDecodeError as error:
        raise ParseError("headers are not UTF-8", error.start) from None
    headers = _PLAIN_LINE.findall(text)
    count = text.count("\n") + 1
    if count > MAX_HEADERS:
        raise ParseError(f"more than {MAX_HEADERS} headers")
    if len(headers) != count or " \r" in text or " \n" in text or text[-1] == " ":
        headers = _read_unusual(text)
    return tuple(headers)


def _read_unusual(text: str) -> list[tuple[str, str]]:
    """Read line by line what is folded, padded, or wrong, and say where."""
    text = text.removesuffix("\r")
    if forbidden := _FORBIDDEN.search(text):
        raise ParseError("control character in a header", len(text[: forbidden.start()].encode()))
    headers: list[tuple[str, str]] = []
    at = 0
    for line in text.split("\n"):
        name, colon, value = line.partition(":")
        if line[0] in " \t":
            # RFC 5322 §2.2.3: a content header may be folded; liberally, so may a message header.
            if not headers:
                raise ParseError("a header block that begins with a folded line", at)
            last, before = headers[-1]
            headers[-1] = (last, f"{before} {line.strip(_BLANKS)}".strip())
        elif colon and name.strip(_BLANKS):
            headers.append((name.strip(_BLANKS), value.strip(_BLANKS)))
        else:
            raise ParseError("a header line without a name", at)
        at += len(line.encode()) + 1
    return headers


@lru_cache(maxsize=512)
def _read_often(block: bytes) -> Headers:
    """Remember short blocks: content headers are the same few, message after message."""
    return _read(block)


@lru_cache(maxsize=256)
def _layout(skeleton: tuple[str, ...]) -> dict[tuple[str, str], int]:
    """Map (namespace URI, lower-cased name) to the position of the first such header; see `_skeleton`."""
    return {key: position for position, key in reversed(list(enumerate(_resolve(skeleton))))}


def _skeleton(headers: Headers) -> tuple[str, ...]:
    """The names of all headers and, after a colon, the values of the NS headers among them.

    Few senders order their headers in more than one way, so what follows from the skeleton is remembered.
    """
    return tuple([name if name not in _NS else f"{name}:{value}" for name, value in headers])


def _resolve(skeleton: tuple[str, ...]) -> list[tuple[str, str]]:
    """The (namespace URI, lower-cased name) of each header; the URI of an undeclared prefix is empty."""
    # RFC 3862 §3.4: a declaration serves the headers after it. Liberally, a prefix used before its declaration
    # means the first one, and an undeclared `imdn.` means what it always means.
    prefixes = {"imdn": IMDN_NAMESPACE}
    prefixes.update(_declaration(name) for name in reversed(skeleton) if ":" in name)
    keys = []
    for name in skeleton:
        if ":" in name:
            prefixes.update([_declaration(name)])
            keys.append((CPIM_NAMESPACE, "ns"))
            continue
        prefix, dot, local = name.lower().partition(".")
        # Deviates: an NS without a prefix does not move `From` elsewhere, since clients read that name literally.
        keys.append((prefixes.get(prefix, "") if prefix else "", local) if dot else (CPIM_NAMESPACE, prefix))
    return keys


def _declaration(skeleton_name: str) -> tuple[str, str]:
    """Read `NS:prefix <uri>`; the prefix may be missing."""
    prefix, _, uri = skeleton_name.partition(":")[2].partition("<")
    return prefix.strip().lower(), uri.partition(">")[0].strip()


@lru_cache(maxsize=64)
def _tokens(value: str) -> frozenset[str]:
    tokens = (token.partition(";")[0].strip().lower() for token in value.split(","))
    return frozenset(token for token in tokens if token)


@lru_cache(maxsize=512)
def _content(headers: Headers) -> tuple[str, bool]:
    """The media type, and whether the content is in base64; remembered like the headers themselves."""
    value = _first(headers, "content-type")
    media_type = value.partition(";")[0].strip().lower() if value else "text/plain"
    return media_type, _first(headers, "content-transfer-encoding").lower() == "base64"


def _first(headers: Headers, name: str) -> str:
    wanted = name.lower()
    for candidate, value in headers:
        if candidate.lower() == wanted:
            return value
    return ""


def _address(value: str) -> str:
    if "\n" in value or _FORBIDDEN.search(value):
        raise ProtocolError("a CPIM address with control characters")
    return value if "<" in value else f"<{value}>"
