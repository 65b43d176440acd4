"""Session descriptions: which media, where, and for messages which way and which types.

Spec: RFC 8866; RFC 4975 §8, RFC 6135 (setup), RFC 8122 (fingerprint), RFC 5547 (file-selector, kept as it is).
Promises: lines stay in order and unknown ones byte-exact; a change touches only the line it names.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from joyn.protocol.errors import ParseError, ProtocolError

CONTENT_TYPE = "application/sdp"

MAX_SDP = 64 * 1024
"""Bytes of one description; a video offer with candidates has some ten thousand."""
MAX_LINES = 2000
MAX_MEDIA = 32

TCP_MSRP = "TCP/MSRP"
TLS_MSRP = "TCP/TLS/MSRP"
DISCARD_PORT = 9
"""The port of a side that connects and does not listen (RFC 4145 §4.1)."""

Direction = Literal["sendrecv", "sendonly", "recvonly", "inactive"]
DIRECTIONS: tuple[Direction, ...] = ("sendrecv", "sendonly", "recvonly", "inactive")
Setup = Literal["active", "passive", "actpass", "holdconn"]
SETUPS: tuple[Setup, ...] = ("active", "passive", "actpass", "holdconn")

Lines = tuple[tuple[str, str], ...]
"""Type letter and value of each line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """The `o=` line (RFC 8866 §5.2). Ids are text: some in the field are not the numbers they should be."""

    username: str
    session_id: str
    session_version: str
    address_type: str
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Attributes:
    """Lines among which are attributes: what session and media level have in common."""

    lines: Lines

    @property
    def attributes(self) -> tuple[tuple[str, str | None], ...]:
        """Name and value of each `a=` line in order; the value of a flag such as `sendrecv` is None."""
        return tuple(_attribute(value) for letter, value in self.lines if letter == "a")

    def attribute(self, name: str) -> str | None:
        """The value of the first such attribute, empty for a flag; None when there is none."""
        for letter, line in self.lines:
            if letter == "a" and line.startswith(name):
                candidate, value = _attribute(line)
                if candidate == name:
                    return value or ""
        return None

    @property
    def connection_address(self) -> str:
        """The address of the first `c=` line here; empty when there is none."""
        for letter, value in self.lines:
            if letter == "c":
                words = value.split()
                return words[2].partition("/")[0] if len(words) > 2 else ""
        return ""

    def _direction(self) -> Direction | None:
        for name, _ in self.attributes:
            if name in DIRECTIONS:
                return name
        return None

    def _replaced(self, names: Iterable[str], line: str | None) -> Lines:
        """The lines with `line` in place of the first attribute so named, or at the end; the others so named go."""
        unwanted = frozenset(names)
        kept: list[tuple[str, str]] = []
        for letter, value in self.lines:
            if letter != "a" or _attribute(value)[0] not in unwanted:
                kept.append((letter, value))
            elif line is not None:
                kept.append(("a", _safe(line)))
                line = None
        if line is not None:
            kept.append(("a", _safe(line)))
        return tuple(kept)


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaDescription(_Attributes):
    """One `m=` line and the lines that belong to it."""

    kind: str
    port: int
    port_count: int = 1
    protocol: str = TCP_MSRP
    formats: tuple[str, ...] = ("*",)

    def with_attribute(self, name: str, value: str | None = None) -> "MediaDescription":
        """Set an attribute (a flag without value) in the place of the first of its name, or at the end."""
        return replace(self, lines=self._replaced((name,), name if value is None else f"{name}:{value}"))

    def without_attribute(self, name: str) -> "MediaDescription":
        """Leave out all attributes of a name."""
        return replace(self, lines=self._replaced((name,), None))

    def with_direction(self, direction: Direction) -> "MediaDescription":
        """Set the one direction there may be."""
        return replace(self, lines=self._replaced(DIRECTIONS, direction))

    def with_port(self, port: int) -> "MediaDescription":
        """Set the port; zero refuses the medium (RFC 3264 §6)."""
        return replace(self, port=port)

    def _line(self) -> str:
        count = f"/{self.port_count}" if self.port_count != 1 else ""
        return " ".join((self.kind, f"{self.port}{count}", self.protocol, *self.formats))


@dataclass(frozen=True, slots=True, kw_only=True)
class MsrpMedia:
    """What one `m=message` offers or answers, session-level attributes counted in.

    `path` holds MSRP URIs as text, first hop first; `setup` is None when unsaid; `fingerprint` is the hash
    function and its value; `accept_types` may hold `*` or `text/*`; `cema` says that `a=msrp-cema` is there.
    """

    port: int
    address: str
    secure: bool
    path: tuple[str, ...]
    setup: Setup | None
    direction: Direction
    accept_types: tuple[str, ...]
    accept_wrapped_types: tuple[str, ...]
    fingerprint: tuple[str, str] | None
    max_size: int | None
    file_selector: str | None
    cema: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionDescription(_Attributes):
    """A description: its session-level lines, its media."""

    media: tuple[MediaDescription, ...] = ()
    origin: Origin | None = field(default=None, compare=False)

    @classmethod
    def parse(cls, data: bytes) -> "SessionDescription":
        """Read a description; CRLF or LF ends a line, blank lines at the end are let pass.

        Raises ParseError when it is not UTF-8, a line is not `letter=value`, `v=0` is not first, an `o=` or `m=`
        line is not in its form, or a limit is passed.
        """
        if len(data) > MAX_SDP:
            raise ParseError(f"SDP over {MAX_SDP} bytes", MAX_SDP)
        try:
            text = data.decode()
        except UnicodeDecodeError as error:
            raise ParseError("SDP is not UTF-8", error.start) from None
        lines = text.rstrip("\r\n").split("\n")
        if len(lines) > MAX_LINES:
            raise ParseError(f"more than {MAX_LINES} SDP lines")
        session: list[tuple[str, str]] = []
        media: list[tuple[MediaDescription, list[tuple[str, str]]]] = []
        current = session
        at = 0
        for line in lines:
            letter, value = _line(line.removesuffix("\r"), at)
            if letter == "m":
                if len(media) == MAX_MEDIA:
                    raise ParseError(f"more than {MAX_MEDIA} media", at)
                current = []
                media.append((_media(value, at), current))
            else:
                current.append((letter, value))
            at += len(line.encode()) + 1
        if session[:1] != [("v", "0")]:
            raise ParseError("SDP does not begin with v=0", 0)
        origins = [value for letter, value in session if letter == "o"]
        return cls(
            lines=tuple(session),
            media=tuple(replace(medium, lines=tuple(own)) for medium, own in media),
            origin=_origin(origins[0]) if origins else None,
        )

    def emit(self) -> bytes:
        """Write the description, CRLF at every line's end."""
        lines = [f"{letter}={value}\r\n" for letter, value in self.lines]
        for medium in self.media:
            lines.append(f"m={medium._line()}\r\n")
            lines += [f"{letter}={value}\r\n" for letter, value in medium.lines]
        return "".join(lines).encode()

    def with_media(self, index: int, medium: MediaDescription) -> "SessionDescription":
        """Put another medium in one's place."""
        return replace(self, media=(*self.media[:index], medium, *self.media[index + 1 :]))

    def with_attribute(self, name: str, value: str | None = None) -> "SessionDescription":
        """Set a session-level attribute, as in a medium."""
        return replace(self, lines=self._replaced((name,), name if value is None else f"{name}:{value}"))

    def direction_of(self, medium: MediaDescription) -> Direction:
        """Which way a medium goes: its own word, else the session's, else both ways (RFC 8866 §6.7)."""
        return medium._direction() or self._direction() or "sendrecv"

    def address_of(self, medium: MediaDescription) -> str:
        """Where a medium goes: its own `c=`, else the session's."""
        return medium.connection_address or self.connection_address

    def messages(self) -> MediaDescription | None:
        """The first `m=message` over MSRP, refused or not; None when there is none."""
        for medium in self.media:
            if medium.kind == "message" and medium.protocol.upper() in (TCP_MSRP, TLS_MSRP):
                return medium
        return None

    def msrp(self) -> MsrpMedia | None:
        """What the first `m=message` over MSRP says; None when there is none."""
        medium = self.messages()
        return None if medium is None else self.msrp_of(medium)

    def msrp_of(self, medium: MediaDescription) -> MsrpMedia:
        """Read one MSRP medium of this description."""

        def either(name: str) -> str | None:
            value = medium.attribute(name)
            return self.attribute(name) if value is None else value

        setup = (either("setup") or "").strip().lower()
        function, _, digest = (either("fingerprint") or "").strip().partition(" ")
        max_size = (medium.attribute("max-size") or "").strip()
        return MsrpMedia(
            port=medium.port,
            address=self.address_of(medium),
            secure=medium.protocol.upper() == TLS_MSRP,
            path=tuple((medium.attribute("path") or "").split()),
            setup=setup if setup in SETUPS else None,
            direction=self.direction_of(medium),
            accept_types=tuple((medium.attribute("accept-types") or "").split()),
            accept_wrapped_types=tuple((medium.attribute("accept-wrapped-types") or "").split()),
            fingerprint=(function.lower(), digest.strip()) if digest else None,
            max_size=int(max_size) if max_size.isascii() and max_size.isdigit() and len(max_size) < 20 else None,
            file_selector=medium.attribute("file-selector"),
            cema=either("msrp-cema") is not None,
        )


def build_msrp(
    *,
    address: str,
    port: int,
    path: Sequence[str],
    session_id: int,
    accept_types: Sequence[str],
    session_version: int | None = None,
    accept_wrapped_types: Sequence[str] = (),
    setup: Setup | None = None,
    direction: Direction = "sendrecv",
    fingerprint: tuple[str, str] | None = None,
    secure: bool = False,
    attributes: Sequence[tuple[str, str | None]] = (),
) -> SessionDescription:
    """An offer or answer of one MSRP medium, in the order joyn clients write it.

    It is over TLS when it is `secure` or there is a fingerprint. `session_id` is a number, for strict parsers refuse
    anything else. `attributes` come last. Raises ProtocolError when a value holds a line break.
    """
    family = "IP6" if ":" in address else "IP4"
    version = session_id if session_version is None else session_version
    own: list[tuple[str, str | None]] = [("accept-types", " ".join(accept_types))]
    if accept_wrapped_types:
        own.append(("accept-wrapped-types", " ".join(accept_wrapped_types)))
    if setup is not None:
        own.append(("setup", setup))
    if fingerprint is not None:
        own.append(("fingerprint", " ".join(fingerprint)))
    own += [("path", " ".join(path)), (direction, None), *attributes]
    medium = MediaDescription(
        lines=tuple(("a", _safe(name if value is None else f"{name}:{value}")) for name, value in own),
        kind="message",
        port=port,
        protocol=TLS_MSRP if secure or fingerprint is not None else TCP_MSRP,
    )
    origin = f"- {session_id:d} {version:d} IN {family} {_safe(address)}"
    lines = (("v", "0"), ("o", origin), ("s", "-"), ("c", f"IN {family} {address}"), ("t", "0 0"))
    return SessionDescription(lines=lines, media=(medium,), origin=_origin(origin))


def _line(line: str, at: int) -> tuple[str, str]:
    if line[1:2] != "=" or not line[0].isascii() or not line[0].isalpha():
        raise ParseError("an SDP line that is not letter=value", at)
    if "\r" in line or "\0" in line:
        raise ParseError("control character in an SDP line", at)
    return line[0], line[2:]


def _media(value: str, at: int) -> MediaDescription:
    words = value.split(" ")
    if len(words) < 4:
        raise ParseError("an m= line has a kind, a port, a protocol and formats", at)
    kind, ports, protocol, *formats = words
    port, slash, count = ports.partition("/")
    if not _is_number(port, 65535) or (slash and not _is_number(count, 65535)):
        raise ParseError("an m= line with a bad port", at)
    return MediaDescription(
        lines=(),
        kind=kind,
        port=int(port),
        port_count=int(count) if slash else 1,
        protocol=protocol,
        formats=tuple(formats),
    )


def _origin(value: str) -> Origin:
    words = value.split()
    if len(words) != 6:
        raise ParseError("an o= line has six fields")
    username, session_id, session_version, _, address_type, address = words
    return Origin(
        username=username,
        session_id=session_id,
        session_version=session_version,
        address_type=address_type,
        address=address,
    )


def _attribute(line: str) -> tuple[str, str | None]:
    name, colon, value = line.partition(":")
    return name, value if colon else None


def _is_number(text: str, limit: int) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= limit


def _safe(value: str) -> str:
    if "\r" in value or "\n" in value or "\0" in value:
        raise ProtocolError("an SDP value with a line break")
    return value
