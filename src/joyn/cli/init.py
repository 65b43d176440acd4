"""`joyn init`: a directory with everything a node needs."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

from cyclopts import Parameter

from joyn.cli.trouble import USAGE, Trouble

if TYPE_CHECKING:
    from joyn.config import Settings

SERVICES = {"tls": ("SIPS+D2T", "_sips._tcp"), "tcp": ("SIP+D2T", "_sip._tcp"), "udp": ("SIP+D2U", "_sip._udp")}
"""RFC 3263 §4.1: the NAPTR service and the SRV name of each transport, the one to prefer first."""


def init(
    directory: Annotated[Path, Parameter(help="Where to write.")] = Path(),
    *,
    domain: Annotated[str, Parameter(help="The SIP domain of the subscribers.")] = "joyn.localhost",
    name: Annotated[str, Parameter(help="The operator's name.")] = "Demo",
    country: Annotated[str, Parameter(help="ISO 3166 code of the home country.")] = "FR",
    host: Annotated[
        str, Parameter(help="The address to listen on, and to write where devices look for it.")
    ] = "127.0.0.1",
    port_offset: Annotated[
        int, Parameter(help="Add this to every port, as for a second operator on one machine: 10000 has SIP on 15060.")
    ] = 0,
    interconnect: Annotated[
        bool, Parameter(negative="", help="Listen to peer operators too; `joyn peer` exchanges the files.")
    ] = False,
    own_ranges: Annotated[
        tuple[str, ...],
        Parameter(
            name="--own-range",
            negative="",
            show_default=False,
            help="How our numbers begin, as +33639980: told to peers. May be given again.",
        ),
    ] = (),
) -> None:
    """Write joyn.toml, a development CA and a certificate; say what to do next and which DNS records to publish."""
    from joyn.config import ConfigError, annotated, parse

    file = directory / "joyn.toml"
    if file.exists():
        raise Trouble(f"{file} is there already", "Take another directory, or move it away first.")
    settings = _settings(domain, name, country, host)
    if interconnect or own_ranges:
        settings = _interconnected(settings, host, own_ranges)
    settings = _moved(settings, port_offset)
    text = annotated(settings)
    try:
        parse(text)
    except ConfigError as error:
        todo = "Give --host an address of this machine that others reach." if error.key.endswith(".advertise") else ""
        raise Trouble(str(error), todo, USAGE) from None
    tls = directory / "tls"
    _write(file, text, tls, [domain, f"sip.{domain}", "localhost", host])
    print(f"{file}\n    the configuration, every key with its meaning")
    print(f"{tls / 'ca.pem'}\n    the development CA: give it to devices that use TLS\n")
    print(_next(directory, file))
    if settings.interconnect.listeners:
        print(INTERCONNECT.format("" if own_ranges else RANGES))
    print("\n".join(dns_records(settings)))


INTERCONNECT: Final = """To become a peer of another operator:

{}  joyn peer invite OURS.joyn-peer.toml   # writes your file, for them
  joyn peer accept THEIRS.joyn-peer.toml # takes theirs
"""
RANGES: Final = "  [interconnect] own_ranges              # in joyn.toml: how your numbers begin\n"


def _write(file: Path, text: str, tls: Path, hosts: list[str]) -> None:
    """Write certificates for these hosts, and then the configuration. Raises Trouble."""
    from joyn.transport.tls import issue_certificate, make_development_ca

    try:
        make_development_ca(tls)
        issue_certificate(tls, list(dict.fromkeys(hosts)))
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644), "w", encoding="utf-8") as written:
            written.write(text)
    except OSError as error:
        raise Trouble(f"{error.filename or file.parent}: {error.strerror}") from None


def dns_records(settings: Settings) -> list[str]:
    """What to publish so that devices and other operators find this node (RFC 3263), as lines of a zone."""
    domain = settings.operator.domain
    if domain == "localhost" or domain.endswith(".localhost"):
        return [
            f"No DNS is needed: {domain} is this machine wherever it is looked up (RFC 6761 §6.3). For others to reach",
            "you, take a --domain of your own and a --host that leads here.",
        ]
    target = f"sip.{domain}."
    naptr, srv, order = [], [], 10
    for transport, (service, name) in SERVICES.items():
        for listener in settings.sip.listeners:
            if listener.transport == transport:
                naptr.append(f'{domain}. NAPTR {order} 50 "s" "{service}" "" {name}.{domain}.')
                srv.append(f"{name}.{domain}. SRV 0 5 {listener.port} {target}")
                order += 10
    hosts = sorted({listener.advertise for listener in settings.sip.listeners})
    records = [f"  {line}" for line in (*naptr, *srv, *(_address(target, one) for one in hosts))]
    return ["Publish in DNS:", "", *records, *_remark(hosts)]


def _remark(hosts: list[str]) -> list[str]:
    """What is said of records whose address leads nobody else here."""
    from joyn.cli.check import is_this_machine

    if not any(is_this_machine(host) for host in hosts):
        return []
    return [
        "",
        f"{', '.join(hosts)} is this machine alone, so these records are of no use to others. For others to reach it,",
        "set `host` of each listener in joyn.toml to an address of this machine that they reach; behind address",
        "translation also its `advertise`, to the public address. `joyn init --host ADDRESS`, in another directory,",
        "writes the `host` of all.",
    ]


def _address(target: str, host: str) -> str:
    try:
        version = ipaddress.ip_address(host.strip("[]")).version
    except ValueError:
        return f"{target} CNAME {host}."
    return f"{target} {'A' if version == 4 else 'AAAA'} {host.strip('[]')}"


def _settings(domain: str, name: str, country: str, host: str) -> Settings:
    from joyn.config import (
        FilesSettings,
        HttpListener,
        HttpSettings,
        MsrpListener,
        MsrpSettings,
        OperatorSettings,
        Settings,
        SipListener,
        SipSettings,
    )

    certificate, key = Path("tls/server.pem"), Path("tls/server-key.pem")
    return Settings(
        operator=OperatorSettings(name=name, domain=domain.lower(), country=country.upper()),
        sip=SipSettings(
            listeners=(
                SipListener(name="udp", transport="udp", host=host),
                SipListener(name="tcp", transport="tcp", host=host),
                SipListener(name="tls", transport="tls", host=host, port=5061, certificate=certificate, key=key),
            )
        ),
        msrp=MsrpSettings(
            listeners=(
                MsrpListener(name="tcp", transport="tcp", host=host),
                MsrpListener(name="tls", transport="tls", host=host, port=2856, certificate=certificate, key=key),
            )
        ),
        files=FilesSettings(
            listeners=(
                HttpListener(name="http", transport="http", host=host, port=8081),
                HttpListener(name="https", transport="https", host=host, port=8444, certificate=certificate, key=key),
            )
        ),
        http=HttpSettings(
            listeners=(
                HttpListener(name="http", transport="http", host=host),
                HttpListener(name="https", transport="https", host=host, port=8443, certificate=certificate, key=key),
            )
        ),
    )


def _interconnected(settings: Settings, host: str, own_ranges: tuple[str, ...]) -> Settings:
    from joyn.config import InterconnectListener, InterconnectMedia, InterconnectSettings

    peers = InterconnectSettings(
        own_ranges=own_ranges,
        listeners=(InterconnectListener(host=host),),
        media=(InterconnectMedia(host=host),),
    )
    return replace(settings, interconnect=peers)


def _moved(settings: Settings, by: int) -> Settings:
    """The same with every port so much higher."""
    from joyn.config import listeners_of

    for place, listeners in listeners_of(settings):
        section, _, field = place.partition(".")
        moved: Any = {field: tuple(replace(one, port=one.port + by) for one in listeners)}
        changed: Any = {section: replace(getattr(settings, section), **moved)}
        settings = replace(settings, **changed)
    return settings


def _next(directory: Path, file: Path) -> str:
    enter = "" if directory.resolve() == Path.cwd() else f"  cd {directory}\n"
    return (
        f"Next:\n\n{enter}"
        "  joyn check                             # is everything as it should be?\n"
        "  joyn subscriber add '06 39 98 00 01'   # prints a password, once\n"
        "  joyn run\n\n"
        f"Settings are in {file.name}.\n"
    )
