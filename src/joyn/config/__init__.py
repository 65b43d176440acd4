"""The configuration: one TOML file becomes frozen settings.

Every setting is documented where it is declared; `joyn config show` and `docs/reference/config.md` are printed from
these lines. Unknown keys are errors. Secrets are paths of files, never values. In Settings durations are seconds and
sizes bytes; in the file they are written "30s", "5m", "7d" and "64KiB".
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar, get_args, get_origin, get_type_hints

from joyn.config.sections import (
    MEMORY,
    AdminSettings,
    EnumSettings,
    FilesSettings,
    HttpListener,
    HttpSettings,
    InterconnectListener,
    InterconnectMedia,
    InterconnectSettings,
    LogSettings,
    MessagingSettings,
    MsrpListener,
    MsrpSettings,
    NumberRange,
    OperatorSettings,
    ProvisioningSettings,
    PushSettings,
    RegistrarSettings,
    Settings,
    SipListener,
    SipSettings,
    SmsSettings,
    StoreSettings,
)
from joyn.model.ported import DOMAIN
from joyn.model.ranges import PREFIX
from joyn.transport.scanning.address import Address

__all__ = [
    "MEMORY",
    "AdminSettings",
    "ConfigError",
    "EnumSettings",
    "FilesSettings",
    "HttpListener",
    "HttpSettings",
    "InterconnectListener",
    "InterconnectMedia",
    "InterconnectSettings",
    "LogSettings",
    "MessagingSettings",
    "MsrpListener",
    "MsrpSettings",
    "NumberRange",
    "OperatorSettings",
    "ProvisioningSettings",
    "PushSettings",
    "RegistrarSettings",
    "Settings",
    "SipListener",
    "SipSettings",
    "SmsSettings",
    "StoreSettings",
    "annotated",
    "is_tables",
    "listeners_of",
    "load",
    "parse",
    "read_as",
    "size_of",
    "written_size",
]

# In milliseconds: whole numbers come back as they were.
_DURATIONS: Final[Mapping[str, int]] = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
_SIZES: Final[Mapping[str, int]] = {"GiB": 1 << 30, "MiB": 1 << 20, "KiB": 1 << 10, "B": 1}
_QUANTITY: Final = re.compile(r"([0-9]{1,12})([A-Za-z]{1,3})")
_PUSH_HOST: Final = re.compile(r"(?:\*\.)?[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]")
_ORIGIN: Final = re.compile(r"https?://(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_SERVER: Final = re.compile(r"(?P<host>[0-9.]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?|(?P<bare>[0-9A-Fa-f:.]+)")
_PREFIX: Final = re.compile(r"/(?:[A-Za-z0-9_~-][A-Za-z0-9._~-]*/)+")
_UNSPECIFIED: Final = frozenset({"0.0.0.0", "::", "[::]"})  # noqa: S104 - recognised, not bound

_LISTENED: Final = frozenset({"listeners", "media"})

T = TypeVar("T")
_Listener = SipListener | MsrpListener | HttpListener | InterconnectListener


class ConfigError(ValueError):
    """The file cannot be used. `source` names the file, `key` the place in it (empty: all of it), `what` says why."""

    def __init__(self, what: str, key: str = "", source: str = "") -> None:
        super().__init__(": ".join(part for part in (source, key, what) if part))
        self.what = what
        self.key = key
        self.source = source


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
    settings = read_as(Settings, text, source)
    try:
        _check(settings)
    except ConfigError as error:
        raise ConfigError(error.what, error.key, source) from None
    return settings


def read_as(kind: type[T], text: str, source: str = "") -> T:
    """A TOML text as an instance of a dataclass of such fields as the sections have. Raises ConfigError."""
    try:
        return _section(kind, tomllib.loads(text), "")
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"is not TOML: {error}", source=source) from None
    except ConfigError as error:
        raise ConfigError(error.what, error.key, source) from None


def annotated(settings: Settings) -> str:
    """The settings as TOML with a comment for each; those at their default are commented out. `parse` reads it back."""
    lines = ["# joyn's configuration. Lines that are commented out show the default."]
    for section in dataclasses.fields(settings):
        value = getattr(settings, section.name)
        lines += ["", f"# {_title(type(value))}", f"[{section.name}]"]
        tables: list[str] = []
        for field, shown, is_default in rows(value):
            if is_tables(value, field.name) and getattr(value, field.name):
                tables += _tables(f"{section.name}.{field.name}", getattr(value, field.name))
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
        shown = "[]" if is_tables(section, field.name) else _written("" if value is None else value, hints[field.name])
        yield field, shown, is_default


def is_tables(section: Any, name: str) -> bool:
    """Whether a field is an array of tables, [[section.name]]."""
    parts = get_args(hints_of(type(section))[name])
    return bool(parts) and isinstance(parts[0], type) and dataclasses.is_dataclass(parts[0])


def listeners_of(settings: Settings) -> Iterator[tuple[str, tuple[_Listener, ...]]]:
    """What is listened on: the place in the file, and its listeners."""
    for section in dataclasses.fields(settings):
        value = getattr(settings, section.name)
        for field in dataclasses.fields(value):
            if field.name in _LISTENED:
                yield f"{section.name}.{field.name}", getattr(value, field.name)


def hints_of(section: type) -> dict[str, Any]:
    """The type of each field, with the mark that says how it is written."""
    return get_type_hints(section, include_extras=True)


def size_of(text: str) -> int:
    """Bytes, written as in the file: "64KiB". Raises ConfigError."""
    return int(_quantity("size", text, ""))


def written_size(size: int) -> str:
    """Bytes as they are written in the file, in the largest unit that leaves no rest."""
    return _amount(size, _SIZES).strip('"')


def _tables(name: str, tables: tuple[Any, ...]) -> list[str]:
    """An array of tables; every line is there, so that one can be copied to make another."""
    lines: list[str] = []
    for index, table in enumerate(tables):
        lines += ["", f"[[{name}]]"]
        for field, shown, is_default in rows(table):
            if index == 0:
                lines.append(f"# {field.metadata['sentence']}")
            optional = is_default and (field.default is None or field.metadata["follows"])
            lines.append(f"{'# ' if optional else ''}{field.name} = {shown}")
    return lines


def _fields(section: type) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(section)


def _title(section: type) -> str:
    return (section.__doc__ or "").strip()


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
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return _section(hint, value, where)
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
    for place, listeners in listeners_of(settings):
        _check_listeners(place, listeners)
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
    _check_networks("http.trusted_proxies", settings.http.trusted_proxies)
    _check_networks("provisioning.trusted_proxies", settings.provisioning.trusted_proxies)
    _check_http(settings.http)
    _check_interconnect(settings)
    _check_files(settings)


def _check_files(settings: Settings) -> None:
    if settings.files.url and not _ORIGIN.fullmatch(settings.files.url):
        raise ConfigError("shall be scheme, host and port, as https://files.example", "files.url")
    if settings.files.scanner:
        try:
            Address.parse(settings.files.scanner)
        except ValueError as error:
            raise ConfigError(str(error), "files.scanner") from None
    if settings.files.accel:
        if not _PREFIX.fullmatch(settings.files.accel):
            raise ConfigError("shall be a path between slashes, as /joyn-blobs/", "files.accel")
        if not settings.http.trusted_proxies:
            raise ConfigError("needs the proxy's network in http.trusted_proxies", "files.accel")


def _check_networks(where: str, networks: Sequence[str]) -> None:
    for index, network in enumerate(networks):
        try:
            ip_network(network)
        except ValueError as error:
            raise ConfigError(f"is no network: {error}", f"{where}[{index}]") from None


def _check_http(http: HttpSettings) -> None:
    for name in ("origins", "frame_ancestors"):
        for index, origin in enumerate(getattr(http, name)):
            if not _ORIGIN.fullmatch(origin):
                raise ConfigError(
                    "shall be scheme, host and port of a page, as https://chat.example", f"http.{name}[{index}]"
                )


def _check_interconnect(settings: Settings) -> None:
    for index, prefix in enumerate(settings.interconnect.own_ranges):
        if not PREFIX.fullmatch(prefix):
            raise ConfigError("shall be + and up to 15 digits, the first not 0", f"interconnect.own_ranges[{index}]")
    for index, one in enumerate(settings.interconnect.ranges):
        place = f"interconnect.ranges[{index}]"
        if not PREFIX.fullmatch(one.prefix):
            raise ConfigError("shall be what numbers begin with, as +3363998", f"{place}.prefix")
        if not DOMAIN.fullmatch(one.operator):
            raise ConfigError("shall be a SIP domain, as sfr.example", f"{place}.operator")
    for where, servers in (("interconnect.dns", settings.interconnect.dns), ("enum.servers", settings.enum.servers)):
        for index, server in enumerate(servers):
            if server_at(server) is None:
                raise ConfigError("shall be an address, or address:port, as 127.0.0.1:5353", f"{where}[{index}]")
    if not DOMAIN.fullmatch(settings.enum.root):
        raise ConfigError("shall be a domain, as e164enum.net", "enum.root")


def server_at(text: str, port: int = 53) -> tuple[str, int] | None:
    """A DNS server's address and port, as `127.0.0.1`, `127.0.0.1:5353` or `[::1]:5353`; None when it is none."""
    match = _SERVER.fullmatch(text)
    try:
        address = ip_address((match["bare"] or match["host"].strip("[]")) if match else "")
    except ValueError:
        return None
    given = int(match["port"] or port) if match else 0
    return (str(address), given) if 0 < given <= 65535 else None


def _check_listeners(where: str, listeners: Sequence[_Listener]) -> None:
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
        if isinstance(one, InterconnectListener):
            _check_reachable(place, one)
            continue
        if one.transport in ("tls", "https") and (one.certificate is None or one.key is None):
            missing = "certificate" if one.certificate is None else "key"
            raise ConfigError(
                f"a {one.transport} listener needs it; `joyn init` makes one for development", f"{place}.{missing}"
            )
        _check_reachable(place, one)


def _check_reachable(place: str, one: _Listener) -> None:
    if one.advertise in _UNSPECIFIED:
        who = "peers" if isinstance(one, InterconnectListener) else "devices"
        raise ConfigError(f"say which address {who} reach; {one.host} is none they could send to", f"{place}.advertise")
