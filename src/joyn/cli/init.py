"""`joyn init`: a directory with everything a node needs."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

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
    interconnect: Annotated[
        bool, Parameter(negative="", help="Listen to peer operators too; `joyn peer` exchanges the files.")
    ] = False,
) -> None:
    """Write joyn.toml, a development CA and a certificate; say what to do next and which DNS records to publish."""
    from joyn.config import ConfigError, annotated, parse
    from joyn.transport.tls import issue_certificate, make_development_ca

    file = directory / "joyn.toml"
    if file.exists():
        raise Trouble(f"{file} is there already", "Take another directory, or move it away first.")
    settings = _settings(domain, name, country, host)
    if interconnect:
        settings = _interconnected(settings, host)
    text = annotated(settings)
    try:
        parse(text)
    except ConfigError as error:
        raise Trouble(str(error), "", USAGE) from None
    try:
        tls = directory / "tls"
        make_development_ca(tls)
        issue_certificate(tls, list(dict.fromkeys((domain, f"sip.{domain}", "localhost", host))))
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644), "w", encoding="utf-8") as written:
            written.write(text)
    except OSError as error:
        raise Trouble(f"{error.filename or directory}: {error.strerror}") from None
    print(f"{file}\n    the configuration, every key with its meaning")
    print(f"{tls / 'ca.pem'}\n    the development CA: give it to devices that use TLS\n")
    print(_next(directory, file))
    if interconnect:
        print(INTERCONNECT)
    print("\n".join(dns_records(settings)))


INTERCONNECT: Final = """To become a peer of another operator:

  [interconnect] own_ranges              # in joyn.toml: how your numbers begin
  joyn peer invite                       # your file, for them
  joyn peer accept THEIRS.joyn-peer.toml
"""


def dns_records(settings: Settings) -> list[str]:
    """What to publish so that devices and other operators find this node (RFC 3263), as lines of a zone."""
    domain = settings.operator.domain
    if domain == "localhost" or domain.endswith(".localhost"):
        return [f"No DNS is needed: {domain} is this machine wherever it is looked up (RFC 6761 §6.3)."]
    target = f"sip.{domain}."
    naptr, srv, order = [], [], 10
    for transport, (service, name) in SERVICES.items():
        for listener in settings.sip.listeners:
            if listener.transport == transport:
                naptr.append(f'{domain}. NAPTR {order} 50 "s" "{service}" "" {name}.{domain}.')
                srv.append(f"{name}.{domain}. SRV 0 5 {listener.port} {target}")
                order += 10
    hosts = sorted({listener.advertise for listener in settings.sip.listeners})
    return ["Publish in DNS:", "", *(f"  {line}" for line in (*naptr, *srv, *(_address(target, one) for one in hosts)))]


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


def _interconnected(settings: Settings, host: str) -> Settings:
    from joyn.config import InterconnectListener, InterconnectMedia, InterconnectSettings

    peers = InterconnectSettings(listeners=(InterconnectListener(host=host),), media=(InterconnectMedia(host=host),))
    return replace(settings, interconnect=peers)


def _next(directory: Path, file: Path) -> str:
    enter = "" if directory.resolve() == Path.cwd() else f"  cd {directory}\n"
    return (
        f"Next:\n\n{enter}"
        "  joyn check                             # is everything as it should be?\n"
        "  joyn subscriber add '06 39 98 00 01'   # prints a password, once\n"
        "  joyn run\n\n"
        f"Settings are in {file.name}.\n"
    )
