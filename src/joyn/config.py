"""The configuration: one TOML file becomes frozen settings.

Every setting is documented where it is declared; `joyn config show` and `docs/reference/config.md` are printed from
these lines. Unknown keys are errors. Secrets are paths of files, never values. In Settings durations are seconds and
sizes bytes; in the file they are written "30s", "5m", "7d" and "64KiB".
"""

# ruff: noqa: RUF009 - `documented` makes dataclass fields, which is what the rule cannot see

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar, get_args, get_origin, get_type_hints

__all__ = [
    "MEMORY",
    "AdminSettings",
    "ConfigError",
    "HttpListener",
    "HttpSettings",
    "LogSettings",
    "MessagingSettings",
    "MsrpListener",
    "MsrpSettings",
    "OperatorSettings",
    "PushSettings",
    "RegistrarSettings",
    "Settings",
    "SipListener",
    "SipSettings",
    "StoreSettings",
    "annotated",
    "load",
    "parse",
]

MEMORY: Final = ":memory:"
"""The store's path when nothing shall be kept."""

Duration = Annotated[float, "duration"]
"""Seconds, above 0."""
Size = Annotated[int, "size"]
"""Bytes, above 0."""
Count = Annotated[int, "count"]
"""A whole number, above 0."""
Port = Annotated[int, "port"]
"""0 to 65535; 0 lets the system choose."""
Seconds = Annotated[float, "seconds"]
"""A plain number of seconds, above 0."""
Algorithm = Literal["MD5", "SHA-256", "SHA-512-256"]

# In milliseconds: whole numbers come back as they were.
_DURATIONS: Final[Mapping[str, int]] = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
_SIZES: Final[Mapping[str, int]] = {"GiB": 1 << 30, "MiB": 1 << 20, "KiB": 1 << 10, "B": 1}
_QUANTITY: Final = re.compile(r"([0-9]{1,12})([A-Za-z]{1,3})")
_PUSH_HOST: Final = re.compile(r"(?:\*\.)?[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]")
_UNSPECIFIED: Final = frozenset({"0.0.0.0", "::", "[::]"})  # noqa: S104 - recognised, not bound

T = TypeVar("T")


class ConfigError(ValueError):
    """The file cannot be used. `source` names the file, `key` the place in it (empty: all of it), `what` says why."""

    def __init__(self, what: str, key: str = "", source: str = "") -> None:
        super().__init__(": ".join(part for part in (source, key, what) if part))
        self.what = what
        self.key = key
        self.source = source


def documented(default: T, sentence: str, *, follows: str = "") -> T:
    """A dataclass field with its sentence. An empty value takes that of the field `follows` names."""
    field: T = dataclasses.field(default=default, metadata={"sentence": sentence, "follows": follows})
    return field


class _Section:
    """What every section does when it is made: fill in what follows another field."""

    __slots__ = ()

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):  # type: ignore[arg-type]  # every section is a dataclass
            follows = field.metadata.get("follows")
            if follows and not getattr(self, field.name):
                object.__setattr__(self, field.name, getattr(self, follows))


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorSettings(_Section):
    """Who runs this node."""

    name: str = documented("Demo", "The operator's name, as people may read it.")
    domain: str = documented("joyn.localhost", "The SIP domain of the subscribers.")
    country: str = documented("FR", "ISO 3166 code of the country whose way of writing numbers is home.")
    extra_domains: tuple[str, ...] = documented((), "Other SIP domains that mean this operator.")
    data: Path = documented(Path("data"), "Directory of everything the node keeps, relative to this file.")
    realm: str = documented(
        "", "Digest realm; the domain if empty. Stored credentials hold for one realm.", follows="domain"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SipListener(_Section):
    """One address where SIP is spoken."""

    name: str = documented("udp", "What logs and bindings call it; no two are called the same.")
    transport: Literal["udp", "tcp", "tls"] = documented("udp", "udp, tcp or tls.")
    host: str = documented("127.0.0.1", "Address to listen on.")
    port: Port = documented(5060, "Port to listen on; 0 lets the system choose.")
    access: Literal["digest", "trusted"] = documented(
        "digest",
        "digest: every device proves itself. trusted: their access network has done so.",
    )
    algorithms: tuple[Algorithm, ...] = documented(
        (), "Digest algorithms offered here, best first; empty: each subscriber's."
    )
    advertise: str = documented("", "Host written into Via and Contact; the host above if empty.", follows="host")
    certificate: Path | None = documented(
        None, "PEM file of the certificate and its chain (tls), relative to this file."
    )
    key: Path | None = documented(None, "PEM file of the private key (tls), relative to this file.")


@dataclass(frozen=True, slots=True, kw_only=True)
class SipSettings(_Section):
    """SIP: the signalling of devices."""

    max_connections: Count = documented(20_000, "TCP and TLS connections at a time; more are turned away.")
    max_connections_per_source: Count = documented(2_000, "Of these, from one address.")
    max_body: Size = documented(64 << 10, "Largest body of a request; larger ones get 513.")
    max_write_buffer: Size = documented(256 << 10, "What may wait for a slow reader before its connection is cut.")
    idle_timeout: Duration = documented(32.0, "How long a connection may take to send its first whole request.")
    max_in_flight: Count = documented(20_000, "Requests being worked on at a time; more get 503.")
    max_in_flight_per_flow: Count = documented(100, "Of these, from one flow.")
    flow_timer: Duration = documented(120.0, "How often devices shall send keep-alives (RFC 5626 Flow-Timer).")
    t1: Seconds = documented(0.5, "RFC 3261 timer T1, the estimated round trip, in seconds.")
    t2: Seconds = documented(4.0, "RFC 3261 timer T2, the longest interval between retransmissions, in seconds.")
    t4: Seconds = documented(5.0, "RFC 3261 timer T4, how long a message stays in the network, in seconds.")
    listeners: tuple[SipListener, ...] = documented(
        (SipListener(name="udp", transport="udp"), SipListener(name="tcp", transport="tcp")), "Where SIP is spoken."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class MsrpListener(_Section):
    """One address where MSRP is spoken."""

    name: str = documented("tcp", "What logs call it; no two are called the same.")
    transport: Literal["tcp", "tls"] = documented("tcp", "tcp or tls.")
    host: str = documented("127.0.0.1", "Address to listen on.")
    port: Port = documented(2855, "Port to listen on; 0 lets the system choose.")
    advertise: str = documented("", "Host written into the session's path; the host above if empty.", follows="host")
    certificate: Path | None = documented(
        None, "PEM file of the certificate and its chain (tls), relative to this file."
    )
    key: Path | None = documented(None, "PEM file of the private key (tls), relative to this file.")


@dataclass(frozen=True, slots=True, kw_only=True)
class MsrpSettings(_Section):
    """MSRP: the chat sessions of devices."""

    max_message: Size = documented(1 << 20, "Largest message of a session; larger ones get 413.")
    max_connections: Count = documented(20_000, "Connections at a time; more are turned away.")
    session_idle: Duration = documented(300.0, "A session without a message for so long is ended.")
    timeout: Duration = documented(30.0, "How long a device may take to answer a chunk (RFC 4975 §7.1).")
    listeners: tuple[MsrpListener, ...] = documented((MsrpListener(),), "Where MSRP is spoken.")


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpListener(_Section):
    """One address where HTTP is spoken."""

    name: str = documented("http", "What logs call it; no two are called the same.")
    transport: Literal["http", "https"] = documented("http", "http or https.")
    host: str = documented("127.0.0.1", "Address to listen on.")
    port: Port = documented(8080, "Port to listen on; 0 lets the system choose.")
    advertise: str = documented("", "Host that browsers reach it at; the host above if empty.", follows="host")
    certificate: Path | None = documented(
        None, "PEM file of the certificate and its chain (https), relative to this file."
    )
    key: Path | None = documented(None, "PEM file of the private key (https), relative to this file.")


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSettings(_Section):
    """HTTP: the web client, auto-configuration, and SIP and MSRP over WebSocket."""

    max_connections: Count = documented(20_000, "Connections at a time; more are turned away.")
    max_connections_per_source: Count = documented(2_000, "Of these, from one address.")
    origins: tuple[str, ...] = documented((), "Origins of other sites whose pages may open WebSockets here.")
    trusted_proxies: tuple[str, ...] = documented(
        (), "Networks of front proxies, whose X-Forwarded-For and X-Forwarded-Proto are believed."
    )
    frame_ancestors: tuple[str, ...] = documented((), "Origins that may show the page in a frame; for demos.")
    listeners: tuple[HttpListener, ...] = documented((), "Where HTTP is spoken.")


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrarSettings(_Section):
    """Registrations (RFC 3261 §10, RFC 5626, RFC 5627)."""

    min_expires: Duration = documented(60.0, "Shortest registration; shorter ones get 423.")
    max_expires: Duration = documented(3600.0, "Longest registration; longer ones are shortened.")
    default_expires: Duration = documented(3600.0, "For devices that ask for nothing.")
    max_bindings: Count = documented(10, "Devices one subscriber may have registered.")
    gruu: bool = documented(True, "Whether devices get a GRUU, an address of their own.")


@dataclass(frozen=True, slots=True, kw_only=True)
class MessagingSettings(_Section):
    """Messages and their mailboxes."""

    deliver_for: Duration = documented(
        30 * 86400.0, "How long an undelivered message waits; caps what the sender asks for."
    )
    retain_for: Duration = documented(
        90 * 86400.0, "How long messages are kept for the history of their owner's devices."
    )
    pager_limit: Size = documented(1300, "Largest MESSAGE body to a device that did not say it takes more.")
    queue_per_device: Count = documented(64, "Entries of a mailbox read ahead for one device.")
    sweep_every: Duration = documented(30.0, "How often expired messages are failed and old ones deleted.")
    cursor_idle: Duration = documented(30 * 86400.0, "A device away for so long starts again as a new one.")


@dataclass(frozen=True, slots=True, kw_only=True)
class PushSettings(_Section):
    """Waking devices that are not connected (RFC 8030, RFC 8599)."""

    hosts: tuple[str, ...] = documented(
        ("fcm.googleapis.com", "*.push.services.mozilla.com", "*.notify.windows.com", "web.push.apple.com"),
        "Push services that may be written to; *.domain means all its hosts. None: nobody is woken.",
    )
    contact: str = documented(
        "", "mailto: or https: address that push services get; postmaster of the domain if empty."
    )
    wait: Duration = documented(10.0, "How long a woken device may take before its message counts as stored.")
    pause: Duration = documented(5.0, "How long a woken device is left alone before it is woken again.")
    keep: Duration = documented(86400.0, "How long a push service shall try to reach a device that is off.")
    insecure: bool = documented(False, "Allow http, all ports and private addresses: for tests and demos only.")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSettings(_Section):
    """The database."""

    path: str = documented("joyn.db", 'SQLite file, relative to operator.data; ":memory:" keeps nothing.')


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminSettings(_Section):
    """The door the command line uses while the node runs."""

    socket: Path = documented(Path("admin.sock"), "Unix socket, relative to operator.data; only its owner may use it.")


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings(_Section):
    """What the node writes to standard error."""

    level: Literal["debug", "info", "warning", "error"] = documented(
        "info", "debug, info, warning or error; debug has a line per message."
    )
    format: Literal["text", "json"] = documented("text", "text, or json: one object a line.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All of it. `at` makes the paths absolute; `load` has done so."""

    operator: OperatorSettings = OperatorSettings()
    sip: SipSettings = SipSettings()
    msrp: MsrpSettings = MsrpSettings()
    http: HttpSettings = HttpSettings()
    registrar: RegistrarSettings = RegistrarSettings()
    messaging: MessagingSettings = MessagingSettings()
    push: PushSettings = PushSettings()
    store: StoreSettings = StoreSettings()
    admin: AdminSettings = AdminSettings()
    log: LogSettings = LogSettings()

    @property
    def store_path(self) -> Path | None:
        """The database file, or None for one in memory."""
        return None if self.store.path == MEMORY else self.operator.data / self.store.path

    @property
    def admin_socket(self) -> Path:
        """The admin door's socket."""
        return self.operator.data / self.admin.socket

    def at(self, directory: Path) -> Settings:
        """The same with every path absolute, read from `directory`, the one the file lies in."""
        base = directory.absolute()
        placed = dataclasses.replace(self, operator=dataclasses.replace(self.operator, data=base / self.operator.data))
        return dataclasses.replace(
            placed,
            sip=dataclasses.replace(self.sip, listeners=tuple(_placed(one, base) for one in self.sip.listeners)),
            msrp=dataclasses.replace(self.msrp, listeners=tuple(_placed(one, base) for one in self.msrp.listeners)),
            http=dataclasses.replace(self.http, listeners=tuple(_placed(one, base) for one in self.http.listeners)),
            store=dataclasses.replace(self.store, path=str(placed.store_path or MEMORY)),
            admin=dataclasses.replace(self.admin, socket=placed.admin_socket),
        )


def load(path: Path) -> Settings:
    """Read a file; every path in the result is absolute. Raises ConfigError, also when there is no such file."""
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        raise ConfigError("there is no such file; `joyn init` writes one", source=str(path)) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot be read: {error}", source=str(path)) from None
    return parse(text, str(path)).at(path.parent)


def parse(text: str, source: str = "") -> Settings:
    """The settings a TOML text says, paths as written. Raises ConfigError."""
    try:
        settings = _section(Settings, tomllib.loads(text), "")
        _check(settings)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"is not TOML: {error}", source=source) from None
    except ConfigError as error:
        raise ConfigError(error.what, error.key, source) from None
    return settings


def annotated(settings: Settings) -> str:
    """The settings as TOML with a comment for each; those at their default are commented out. `parse` reads it back."""
    lines = ["# joyn's configuration. Lines that are commented out show the default."]
    for section in dataclasses.fields(settings):
        value = getattr(settings, section.name)
        lines += ["", f"# {_title(type(value))}", f"[{section.name}]"]
        tables: list[str] = []
        for field, shown, is_default in rows(value):
            if field.name == "listeners":
                tables += _tables(f"{section.name}.listeners", getattr(value, field.name))
            else:
                lines += [f"# {field.metadata['sentence']}", f"{'# ' if is_default else ''}{field.name} = {shown}"]
        lines += tables
    return "\n".join(lines) + "\n"


def rows(section: Any) -> Iterator[tuple[dataclasses.Field[Any], str, bool]]:
    """Each field of a section, its value as TOML, and whether that is the default."""
    hints = hints_of(type(section))
    for field in _fields(type(section)):
        value = getattr(section, field.name)
        follows = field.metadata["follows"]
        is_default = value == (getattr(section, follows) if follows else field.default)
        shown = "" if field.name == "listeners" else _written(value if value is not None else "", hints[field.name])
        yield field, shown, is_default


def hints_of(section: type) -> dict[str, Any]:
    """The type of each field, with the mark that says how it is written."""
    return get_type_hints(section, include_extras=True)


def _tables(name: str, listeners: tuple[Any, ...]) -> list[str]:
    """An array of tables; every line is there, so that one listener can be copied to make another."""
    if not listeners:
        return [f"{name.rpartition('.')[2]} = []"]
    lines: list[str] = []
    for index, listener in enumerate(listeners):
        lines += ["", f"[[{name}]]"]
        for field, shown, is_default in rows(listener):
            if index == 0:
                lines.append(f"# {field.metadata['sentence']}")
            optional = is_default and (field.default is None or field.metadata["follows"])
            lines.append(f"{'# ' if optional else ''}{field.name} = {shown}")
    return lines


def _fields(section: type) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(section)


def _title(section: type) -> str:
    return (section.__doc__ or "").strip()


def _placed(listener: Any, base: Path) -> Any:
    certificate, key = (path and base / path for path in (listener.certificate, listener.key))
    return dataclasses.replace(listener, certificate=certificate, key=key)


def _section(section: type[T], table: object, where: str) -> T:
    """A table as an instance of its dataclass."""
    if not isinstance(table, dict):
        raise ConfigError(f"is a {_kind(table)}, and shall be a table", where)
    names = [field.name for field in _fields(section)]
    hints = hints_of(section)
    values = {}
    for key, value in table.items():
        place = f"{where}.{key}" if where else key
        if key not in names:
            near = difflib.get_close_matches(key, names, 1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(names)}"
            raise ConfigError(f"there is no such {'key' if where else 'section'}; {hint}", place)
        values[key] = _value(hints[key], value, place)
    return section(**values)


def _value(hint: Any, value: object, where: str) -> Any:
    """What a TOML value means for a field of this type. Raises ConfigError."""
    if dataclasses.is_dataclass(hint):
        return _section(hint, value, where)  # type: ignore[arg-type]  # a class, never an instance
    origin, parts = get_origin(hint), get_args(hint)
    if origin is tuple:
        if not isinstance(value, list):
            raise ConfigError(f"is a {_kind(value)}, and shall be a list", where)
        return tuple(_value(parts[0], one, f"{where}[{index}]") for index, one in enumerate(value))
    if origin is Annotated:
        return _quantity(parts[1], value, where)
    if hint is bool:
        if not isinstance(value, bool):
            raise ConfigError(f"is a {_kind(value)}, and shall be true or false", where)
        return value
    if not isinstance(value, str):
        raise ConfigError(f"is a {_kind(value)}, and shall be a text in quotes", where)
    if origin is Literal:
        if value not in parts:
            raise ConfigError(f"{value!r} is not known; it is one of {', '.join(parts)}", where)
        return value
    if not value and hint != str:  # noqa: E721 - a hint, compared, not a type tested
        if hint is Path:
            raise ConfigError("is empty, and shall be a path", where)
        return None
    return value if hint is str else Path(value)


def _quantity(mark: str, value: object, where: str) -> float | int:
    if mark in ("duration", "size"):
        units, example = (_DURATIONS, '"30s", "5m" or "7d"') if mark == "duration" else (_SIZES, '"64KiB" or "1300B"')
        match = _QUANTITY.fullmatch(value) if isinstance(value, str) else None
        if match is None or match[2] not in units:
            raise ConfigError(f"is a {_kind(value)}; write a {mark} like {example}", where)
        amount = int(match[1]) * units[match[2]]
        if not amount:
            raise ConfigError(f"a {mark} shall be above 0", where)
        return amount / 1000 if mark == "duration" else amount
    if isinstance(value, bool) or not isinstance(value, (int, float) if mark == "seconds" else int):
        raise ConfigError(f"is a {_kind(value)}, and shall be a number", where)
    if mark == "port":
        if not 0 <= value <= 65535:
            raise ConfigError(f"{value} is no port; they go from 0 to 65535", where)
    elif not 0 < value < math.inf:
        raise ConfigError(f"{value} shall be above 0", where)
    return float(value) if mark == "seconds" else value


def _kind(value: object) -> str:
    if isinstance(value, str):
        return f"text {json.dumps(value, ensure_ascii=False)}"
    names = {bool: "truth value", int: "number", float: "number", list: "list", dict: "table"}
    return names.get(type(value), "date")


def _written(value: object, hint: Any) -> str:
    """A value as TOML."""
    if isinstance(value, tuple):
        return "[" + ", ".join(_written(one, str) for one in value) + "]"
    mark = get_args(hint)[1] if get_origin(hint) is Annotated else ""
    if mark in ("duration", "size") and isinstance(value, (int, float)):
        return _amount(round(value * 1000), _DURATIONS) if mark == "duration" else _amount(int(value), _SIZES)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    # JSON's escapes are TOML's, save that TOML forbids DEL bare.
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


def _amount(value: int, units: Mapping[str, int]) -> str:
    """In the largest unit that leaves no rest."""
    unit = next(unit for unit, worth in units.items() if value % worth == 0)
    return f'"{value // units[unit]}{unit}"'


def _check(settings: Settings) -> None:
    """What no field can know alone."""
    for name in ("sip", "msrp", "http"):
        _check_listeners(f"{name}.listeners", getattr(settings, name).listeners)
    registrar = settings.registrar
    if not registrar.min_expires <= registrar.default_expires <= registrar.max_expires:
        raise ConfigError("shall lie between min_expires and max_expires", "registrar.default_expires")
    if settings.messaging.retain_for < settings.messaging.deliver_for:
        raise ConfigError("shall be at least deliver_for, or messages vanish while they wait", "messaging.retain_for")
    if not re.fullmatch("[A-Za-z]{2}", settings.operator.country):
        raise ConfigError("is no ISO 3166 code of two letters", "operator.country")
    push = settings.push
    if push.contact and not push.contact.startswith(("mailto:", "https:")):
        raise ConfigError("shall be a mailto: or https: address", "push.contact")
    for index, host in enumerate(push.hosts):
        if not _PUSH_HOST.fullmatch(host):
            raise ConfigError("shall be a host name, or *. and a domain", f"push.hosts[{index}]")
    if not settings.operator.domain:
        raise ConfigError("is empty", "operator.domain")


def _check_listeners(where: str, listeners: Sequence[SipListener | MsrpListener | HttpListener]) -> None:
    names: set[str] = set()
    addresses: set[tuple[bool, str, int]] = set()
    for index, one in enumerate(listeners):
        place = f"{where}[{index}]"
        if one.name in names or not one.name or "|" in one.name:
            raise ConfigError(f"{one.name!r} is taken, empty or has a bar in it", f"{place}.name")
        names.add(one.name)
        address = (one.transport == "udp", one.host, one.port)
        if one.port and address in addresses:
            raise ConfigError(f"another listener has {one.host} port {one.port}", f"{place}.port")
        addresses.add(address)
        if one.transport in ("tls", "https") and (one.certificate is None or one.key is None):
            missing = "certificate" if one.certificate is None else "key"
            raise ConfigError(
                f"a {one.transport} listener needs it; `joyn init` makes one for development", f"{place}.{missing}"
            )
        if one.advertise in _UNSPECIFIED:
            raise ConfigError(
                f"say which address devices reach; {one.host} is none they could send to", f"{place}.advertise"
            )
