"""The configuration document of a device: characteristics and their parameters.

Spec: RCC.14 §2, OMA-WAP-ProvCont (facts §9.4). Names are compared without case, and `param` is taken for `parm`.
Pure: values in, bytes out, and back.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from joyn.protocol import xml
from joyn.protocol.errors import ParseError

__all__ = [
    "CONTENT_TYPE",
    "Characteristic",
    "Configuration",
    "Ims",
    "Messaging",
    "Notice",
    "emit",
    "parse",
    "understand",
]

CONTENT_TYPE: Final = "text/xml"
MAX_DOCUMENT: Final = 256 * 1024
MAX_PARAMETERS: Final = 5_000
_INTEGER: Final = re.compile("-?[0-9]{1,15}")


@dataclass(frozen=True, slots=True)
class Characteristic:
    """One `characteristic`: its type, its parameters in order, and the characteristics inside."""

    type: str
    parameters: tuple[tuple[str, str], ...] = ()
    inside: tuple[Characteristic, ...] = ()

    def get(self, name: str) -> str | None:
        """The first value of a parameter, whatever the case of its name."""
        wanted = name.lower()
        return next((value for key, value in self.parameters if key.lower() == wanted), None)

    def child(self, kind: str) -> Characteristic | None:
        """The first characteristic inside of this type."""
        wanted = kind.lower()
        return next((one for one in self.inside if one.type.lower() == wanted), None)


def emit(characteristics: tuple[Characteristic, ...]) -> bytes:
    """The document. Raises ValueError for a character that XML has no way to write."""
    lines = ['<?xml version="1.0"?>', '<wap-provisioningdoc version="1.1">']
    for one in characteristics:
        _write(one, lines, 1)
    return "\n".join([*lines, "</wap-provisioningdoc>", ""]).encode()


def _write(one: Characteristic, lines: list[str], depth: int) -> None:
    pad = " " * depth
    lines.append(f'{pad}<characteristic type="{xml.escape(one.type)}">')
    for name, value in one.parameters:
        lines.append(f'{pad} <parm name="{xml.escape(name)}" value="{xml.escape(value)}"/>')
    for inside in one.inside:
        _write(inside, lines, depth + 1)
    lines.append(f"{pad}</characteristic>")


def parse(data: bytes) -> tuple[Characteristic, ...]:
    """The characteristics of a document. Raises ParseError, also for one that has no version."""
    root = xml.parse(data, max_bytes=MAX_DOCUMENT)
    if xml.local_name(root).lower() != "wap-provisioningdoc":
        raise ParseError("not a wap-provisioningdoc", 0)
    left = [MAX_PARAMETERS]
    document = tuple(_read(one, left) for one in root if xml.local_name(one).lower() == "characteristic")
    vers = _inside(document, "VERS")
    if vers is None or _integer(vers, "version") is None or _integer(vers, "validity") is None:
        raise ParseError("configuration document without a version", 0)
    return document


def _read(element: xml.Element, left: list[int]) -> Characteristic:
    parameters: list[tuple[str, str]] = []
    inside: list[Characteristic] = []
    for one in element:
        left[0] -= 1
        if left[0] < 0:
            raise ParseError(f"more than {MAX_PARAMETERS} parameters", 0)
        name = xml.local_name(one).lower()
        if name in ("parm", "param"):
            parameters.append((_attribute(one, "name"), _attribute(one, "value")))
        elif name == "characteristic":
            inside.append(_read(one, left))
    return Characteristic(_attribute(element, "type"), tuple(parameters), tuple(inside))


def _attribute(element: xml.Element, wanted: str) -> str:
    return next((str(value).strip() for name, value in element.items() if str(name).lower() == wanted), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """MSG: what the user is shown first. With `accept` it needs consent, with `reject` it can be refused."""

    title: str
    message: str
    accept: bool
    reject: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Ims:
    """Who the device is and where it registers; `username` is the private identity when APPAUTH names none."""

    username: str
    password: str
    realm: str
    domain: str
    public_identities: tuple[str, ...]
    pcscf: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Messaging:
    """Limits, of MESSAGING where it says them, else of IM; None when unsaid. Bytes and seconds."""

    max_size: int | None
    switchover_size: int | None
    idle_timer: int | None
    revoke_timer: int | None
    max_group_size: int | None
    always_on: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """What a client takes from a document. `unchanged`: VERS is all there is, and nothing changes but the validity."""

    vers: int
    validity: int
    unchanged: bool
    msg: Notice | None
    ims: Ims | None
    web_socket_uri: str
    im: Messaging


def understand(data: bytes) -> Configuration:
    """Read a document as a client does. Raises ParseError."""
    document = parse(data)
    vers = _inside(document, "VERS")
    version, validity = _integer(vers, "version") or 0, _integer(vers, "validity") or 0
    msg = _inside(document, "MSG")
    ims = _application(document, "ap2001", ("ims-settings", "ims-rcse"))
    return Configuration(
        vers=version,
        validity=validity,
        unchanged=len(document) == 1 and version > 0,
        msg=_notice(msg) if msg else None,
        ims=_ims(ims) if ims else None,
        web_socket_uri=_value(_inside(ims.inside if ims else (), "Ext", "joyn"), "webSocketURI"),
        im=_messaging(_application(document, "ap2002", ("rcse-settings", "rcs-settings"))),
    )


def _notice(msg: Characteristic) -> Notice:
    return Notice(
        title=_value(msg, "title"),
        message=_value(msg, "message"),
        accept=_value(msg, "Accept_btn") == "1",
        reject=_value(msg, "Reject_btn") == "1",
    )


def _ims(ims: Characteristic) -> Ims:
    auth = _inside(ims.inside, "APPAUTH")
    return Ims(
        username=_value(auth, "UserName") or _value(ims, "Private_User_Identity"),
        password=_value(auth, "UserPwd"),
        realm=_value(auth, "Realm"),
        domain=_value(ims, "Home_network_domain_name"),
        public_identities=_everywhere(ims, "Public_User_Identity_List", "Public_User_Identity"),
        pcscf=_everywhere(ims, "LBO_P-CSCF_Address", "Address"),
    )


def _messaging(rcs: Characteristic | None) -> Messaging:
    inside = rcs.inside if rcs else ()
    im, chat = _inside(inside, "IM"), _inside(inside, "MESSAGING", "Chat")

    def either(name: str, of_im: str) -> int | None:
        said = _integer(chat, name)
        return _integer(im, of_im) if said is None else said

    return Messaging(
        max_size=either("MaxSize", "MaxSize1to1"),
        switchover_size=_integer(_inside(inside, "MESSAGING", "StandaloneMsg"), "SwitchoverSize"),
        idle_timer=either("TimerIdle", "TimerIdle"),
        revoke_timer=_integer(chat, "ChatRevokeTimer"),
        max_group_size=either("max_adhoc_group_size", "max_adhoc_group_size"),
        always_on=_value(im, "imCapAlwaysON") == "1",
    )


def _application(
    document: tuple[Characteristic, ...], identifier: str, references: tuple[str, ...]
) -> Characteristic | None:
    for one in document:
        known = _value(one, "AppID").lower() == identifier or _value(one, "AppRef").lower() in references
        if known and one.type.lower() == "application":
            return one
    return None


def _inside(among: tuple[Characteristic, ...], *kinds: str) -> Characteristic | None:
    """The first of these types, each inside the one before."""
    found: Characteristic | None = None
    for kind in kinds:
        found = next((one for one in among if one.type.lower() == kind.lower()), None)
        among = found.inside if found else ()
    return found


def _everywhere(one: Characteristic, kind: str, name: str) -> tuple[str, ...]:
    """The values in every characteristic of a type: some servers write one for each value."""
    wanted = name.lower()
    return tuple(
        value
        for child in one.inside
        if child.type.lower() == kind.lower()
        for key, value in child.parameters
        if key.lower() == wanted and value
    )


def _value(one: Characteristic | None, name: str) -> str:
    return (one.get(name) if one else None) or ""


def _integer(one: Characteristic | None, name: str) -> int | None:
    text = _value(one, name)
    return int(text) if _INTEGER.fullmatch(text) else None
