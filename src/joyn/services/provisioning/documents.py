"""The configuration a device gets, out of one typed description.

Spec: RCC.14, RCC.15, RCC.07 Annex A (facts §9.4). A joyn-era phone reads IM, one of the Universal Profile MESSAGING;
both are written from the same facts, and each is given the one it knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from joyn.protocol.config_document import Characteristic

__all__ = ["JOYN", "Description", "Parameter", "Service", "Terms", "Vers", "document", "unmatched", "vers_only"]

JOYN: Final = "joyn_blackbird"
"""The profile of the joyn era; anything else we know begins with `UP_`."""
Fields = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Vers:
    """VERS: the version of a configuration and for how many seconds it holds (facts §9.4)."""

    version: int
    validity: int


RESET: Final = Vers(0, 0)
"""Forget the configuration; ask again when something happens."""
DISABLED: Final = Vers(-1, -1)
"""Forget it and do not ask before the user or the SIM changes."""
OFF: Final = Vers(-2, -2)
"""Forget it, and stop asking until the user switches it on."""


def dormant(validity: int) -> Vers:
    """Keep the configuration, stop, and ask again after so many seconds."""
    return Vers(-3, validity)


@dataclass(frozen=True, slots=True)
class Terms:
    """MSG: what the user is asked, or told, before anything else."""

    title: str
    text: str
    accept: bool = True
    reject: bool = True


@dataclass(frozen=True, slots=True)
class Parameter:
    """The operator's own value: of the parameter at `path`, for a profile (`*`: all).

    A path begins below an application (`MESSAGING/Chat/TimerIdle`), or with it, as IMS or RCS (`IMS/Timer_T1`).
    """

    profile: str
    path: str
    value: str

    @classmethod
    def parse(cls, line: str) -> Parameter:
        """Read `[PROFILE] PATH = VALUE`. Raises ValueError."""
        place, equals, value = line.partition("=")
        words = place.split()
        if not equals or len(words) not in (1, 2) or "/" not in words[-1]:
            raise ValueError(f"{line!r}: write it as [PROFILE] NODE/name = value")
        return cls(words[0] if len(words) == 2 else "*", words[-1], value.strip())


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What holds for all devices of the operator. `pcscf` are host:port, `content_server` a URI, empty for none."""

    domain: str
    realm: str
    pcscf: tuple[str, ...]
    signalling: str
    media: str
    parameters: tuple[Parameter, ...] = ()
    max_message: int = 1 << 20
    pager_limit: int = 1300
    content_server: str = ""
    max_file: int = 0
    warn_above: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """One device's configuration. `web_socket` is the URI a browser connects to; other devices have none."""

    vers: Vers
    profile: str
    private_identity: str
    public_identities: tuple[str, ...]
    username: str
    password: str
    token: tuple[str, int] | None = None
    terms: Terms | None = None
    web_socket: str = ""


def vers_only(vers: Vers, terms: Terms | None = None) -> tuple[Characteristic, ...]:
    """A document that changes nothing but VERS, and says something to the user if it must."""
    return (_vers(vers), *([_msg(terms)] if terms else []))


def document(service: Service, of: Description) -> tuple[Characteristic, ...]:
    """The whole configuration."""
    made: list[Characteristic] = [_vers(of.vers)]
    if of.token is not None:
        made.append(Characteristic("TOKEN", (("token", of.token[0]), ("validity", str(of.token[1])))))
    if of.terms is not None:
        made.append(_msg(of.terms))
    made += [_ims(service, of), _rcs(service, of)]
    return tuple(_set(one, service.parameters, of.profile) for one in made)


def _vers(vers: Vers) -> Characteristic:
    return Characteristic("VERS", (("version", str(vers.version)), ("validity", str(vers.validity))))


def _msg(terms: Terms) -> Characteristic:
    return Characteristic(
        "MSG",
        (
            ("title", terms.title),
            ("message", terms.text),
            ("Accept_btn", str(int(terms.accept))),
            ("Reject_btn", str(int(terms.reject))),
        ),
    )


def _ims(service: Service, of: Description) -> Characteristic:
    web = Characteristic("joyn", (("webSocketURI", of.web_socket),)) if of.web_socket else None
    auth = (("AuthType", "Digest"), ("Realm", service.realm), ("UserName", of.username), ("UserPwd", of.password))
    return Characteristic(
        "APPLICATION",
        (
            ("AppID", "ap2001"),
            ("Name", "IMS Settings"),
            ("AppRef", "IMS-Settings"),
            ("Private_User_Identity", of.private_identity),
            ("Home_network_domain_name", service.domain),
            ("Keep_Alive_Enabled", "1"),
            ("Timer_T1", "2000"),
            ("Timer_T2", "16000"),
            ("Timer_T4", "17000"),
            ("RegRetryBaseTime", "30"),
            ("RegRetryMaxTime", "1800"),
        ),
        (
            Characteristic(
                "Public_User_Identity_List", tuple(("Public_User_Identity", uri) for uri in of.public_identities)
            ),
            *(_pcscf(address) for address in service.pcscf),
            Characteristic("APPAUTH", auth),
            Characteristic(
                "Ext",
                (("NatUrlFmt", "0"), ("IntUrlFmt", "0"), ("MaxSizeImageShare", "10485760")),
                (web,) if web else (),
            ),
        ),
    )


def _pcscf(address: str) -> Characteristic:
    host = address.rpartition(":")[0].strip("[]")
    kind = "IPv6" if ":" in host else "IPv4" if host.replace(".", "").isdigit() else "FQDN"
    return Characteristic("LBO_P-CSCF_Address", (("Address", address), ("AddressType", kind)))


def _rcs(service: Service, of: Description) -> Characteristic:
    head = (
        ("AppID", "ap2002"),
        ("Name", "RCS settings"),
        ("AppRef", "RCSe-Settings"),
        ("To-AppRef", "IMS-Settings"),
    )
    size = str(service.max_message)
    im = Characteristic(
        "IM",
        (
            ("imMsgTech", "0" if of.profile == JOYN else "1"),
            # Every subscriber can be written to at any time: the mailbox takes it (facts §4.8).
            ("imCapAlwaysON", "1"),
            ("imWarnSF", "1"),
            ("imSessionStart", "0"),
            ("firstMsgInvite", "1"),
            ("AutAccept", "1"),
            ("TimerIdle", "300"),
            ("MaxConcurrentSession", "0"),
            ("MaxSize1to1", size),
            ("SmsFallBackAuth", "0"),
            ("ChatAuth", "1"),
            *_files(service, of, joyn=True),
        ),
    )
    transfer = _files(service, of, joyn=False)
    messaging = Characteristic(
        "MESSAGING",
        (),
        (
            *([Characteristic("FileTransfer", transfer)] if transfer else ()),
            Characteristic("StandaloneMsg", (("MaxSize", size), ("SwitchoverSize", str(service.pager_limit)))),
            Characteristic(
                "Chat", (("AutAccept", "1"), ("TimerIdle", "300"), ("MaxSize", size), ("ChatRevokeTimer", "0"))
            ),
        ),
    )
    services = Characteristic(
        "SERVICES",
        (
            ("presencePrfl", "0"),
            ("ChatAuth", "1"),
            ("GroupChatAuth", "0"),
            ("ftAuth", str(int(bool(service.content_server)))),
            ("standaloneMsgAuth", "1"),
            ("geolocPushAuth", "0"),
            ("vsAuth", "0"),
            ("isAuth", "0"),
            ("rcsIPVoiceCallAuth", "0"),
            ("rcsIPVideoCallAuth", "0"),
        ),
    )
    discovery = Characteristic(
        "CAPDISCOVERY", (("pollingPeriod", "0"), ("capInfoExpiry", "86400"), ("presenceDisc", "0"))
    )
    transports = Characteristic(
        "transportProto",
        tuple(
            (f"{access}{what}", value)
            for access in ("ps", "wifi")
            for what, value in (("Signalling", service.signalling), ("Media", service.media))
        ),
    )
    # A browser is one more phone of the Universal Profile that also says which limits of IM hold for it.
    chat = (im,) if of.profile == JOYN else (im, messaging)
    return Characteristic("APPLICATION", head, (services, *chat, discovery, Characteristic("OTHER", (), (transports,))))


def _files(service: Service, of: Description, *, joyn: bool) -> tuple[tuple[str, str], ...]:
    """How files are sent: over HTTP, with the device's own credentials. A file waits for whoever is away."""
    if not service.content_server:
        return ()
    limits = (("ftWarnSize", str(service.warn_above >> 10)), ("MaxSizeFileTr", str(service.max_file >> 10)))
    server = (
        ("ftHTTPCSURI", service.content_server),
        ("ftHTTPCSUser", of.username),
        ("ftHTTPCSPwd", of.password),
    )
    if not joyn:
        return (*limits, ("ftAutAccept", "1"), *server)
    kept = (("ftThumb", "1"), ("ftStAndFwEnabled", "1"), ("ftCapAlwaysON", "1"), ("ftAutAccept", "1"))
    return (*limits, *kept, *server, ("ftDefaultMech", "HTTP"))


def unmatched(service: Service) -> list[Parameter]:
    """The operator's own values that change nothing, because no document has such a parameter."""
    plain = replace(service, parameters=())
    found = []
    for parameter in service.parameters:
        profiles = (JOYN, "UP_2.4") if parameter.profile == "*" else (parameter.profile,)
        made = [one for profile in profiles for one in document(plain, _sample(profile))]
        known = parameter.profile in ("*", JOYN) or parameter.profile.startswith("UP_")
        if not known or not any(_has(one, path) for one in made for path in _paths(one, parameter)):
            found.append(parameter)
    return found


def _sample(profile: str) -> Description:
    return Description(
        vers=Vers(1, 1), profile=profile, private_identity="", public_identities=("",), username="", password=""
    )


_APPLICATIONS: Final = {"ap2001": "ims", "ap2002": "rcs"}


def _set(one: Characteristic, parameters: Sequence[Parameter], profile: str) -> Characteristic:
    """The characteristic with the operator's own values."""
    for parameter in parameters:
        if parameter.profile in ("*", profile):
            for path in _paths(one, parameter):
                one = _replaced(one, path, parameter.value)
    return one


def _paths(one: Characteristic, parameter: Parameter) -> list[list[str]]:
    """Where in an application the parameter would be; nowhere in anything else."""
    if one.type != "APPLICATION":
        return []
    path = parameter.path.split("/")
    named = _APPLICATIONS.get(one.get("AppID") or "")
    return [path, path[1:]] if path[0].lower() == named else [path]


def _has(one: Characteristic, path: Sequence[str]) -> bool:
    if len(path) == 1:
        return one.get(path[0]) is not None
    return any(_has(child, path[1:]) for child in one.inside if child.type.lower() == path[0].lower())


def _replaced(one: Characteristic, path: Sequence[str], value: str) -> Characteristic:
    if len(path) == 1:
        if one.get(path[0]) is None:
            return one
        name = path[0].lower()
        fields = tuple((key, value if key.lower() == name else old) for key, old in one.parameters)
        return Characteristic(one.type, fields, one.inside)
    inside = tuple(
        _replaced(child, path[1:], value) if child.type.lower() == path[0].lower() else child for child in one.inside
    )
    return Characteristic(one.type, one.parameters, inside)
