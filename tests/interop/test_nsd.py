"""ENUM and next hops from a real DNS server: NSD, the authoritative server of Debian's packages."""

import asyncio
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dns.exception
import dns.message
import dns.query
import pytest

from interop.conftest import which
from joyn.services.routing.enum import Enum, NotFound
from joyn.transport.next_hops import NextHop, resolve_next_hops
from joyn.transport.resolver import Resolver, Unresolved
from ports import free_port
from waiting import until

pytestmark = pytest.mark.interop

ROOT = "e164.example"
NUMBER = "+33639980001"
CONFIG = """
server:
    ip-address: 127.0.0.1@{port}
    username: ""
    chroot: ""
    zonesdir: "{directory}"
    database: ""
    pidfile: "{directory}/nsd.pid"
    xfrdfile: "{directory}/xfrd.state"
    zonelistfile: "{directory}/zone.list"
    server-count: 1
    verbosity: 1
remote-control:
    control-enable: no
zone:
    name: "{root}"
    zonefile: "enum.zone"
zone:
    name: "sfr.example"
    zonefile: "sfr.zone"
"""
HEAD = "$ORIGIN {root}.\n$TTL 1\n@ 2 SOA ns h {serial} 60 60 60 2\n@ NS ns\nns A 127.0.0.1\n"
SFR = """$ORIGIN sfr.example.
$TTL 60
@ SOA ns h 1 60 60 60 60
@ NS ns
ns A 127.0.0.1
@ NAPTR 10 10 "s" "SIPS+D2T" "" _sips._tcp
_sips._tcp SRV 1 0 5062 b
_sips._tcp SRV 0 0 5061 a
a A 192.0.2.1
a AAAA 2001:db8::1
b A 192.0.2.2
"""


class Nsd:
    """A running server whose ENUM zone can be changed."""

    def __init__(self, directory: Path, port: int) -> None:
        self.directory, self.port, self.serial = directory, port, 1
        self.process: subprocess.Popen[bytes] | None = None

    def write(self, *records: str) -> None:
        text = HEAD.format(root=ROOT, serial=self.serial) + "".join(f"{one}\n" for one in records)
        (self.directory / "enum.zone").write_text(text)
        self.serial += 1

    def change(self, *records: str) -> None:
        self.write(*records)
        assert self.process is not None
        self.process.send_signal(signal.SIGHUP)

    def answers(self) -> bool:
        query = dns.message.make_query(ROOT, "SOA")
        try:
            return bool(dns.query.udp(query, "127.0.0.1", timeout=0.2, port=self.port).answer)
        except (dns.exception.DNSException, OSError):
            return False

    def enum(self) -> tuple[Enum, Resolver]:
        resolver = Resolver([("127.0.0.1", self.port)], now=time.monotonic, within=ROOT)
        return Enum(ROOT, resolver.naptr), resolver


def rule(uri: str, number: str = NUMBER) -> str:
    name = ".".join(reversed(number[1:]))
    return f'{name} NAPTR 100 10 "u" "E2U+sip" "!^.*$!{uri}!" .'


@contextmanager
def running(directory: Path, *records: str) -> Iterator[Nsd]:
    nsd = Nsd(directory, free_port())
    nsd.write(*records)
    (directory / "sfr.zone").write_text(SFR)
    config = directory / "nsd.conf"
    config.write_text(CONFIG.format(port=nsd.port, directory=directory, root=ROOT))
    program = which("nsd")
    assert program is not None
    with (directory / "log").open("wb") as told:
        process = subprocess.Popen([program, "-d", "-c", str(config)], stdout=told, stderr=subprocess.STDOUT)
    nsd.process = process
    try:
        asyncio.run(until(nsd.answers, within=15, pause=0.05))
        yield nsd
    finally:
        process.terminate()
        process.wait(10)


def test_a_number_is_found_not_found_and_follows_its_porting(tmp_path):
    with running(tmp_path, rule("sip:+33639980001@sfr.example;user=phone")) as nsd:

        async def story():
            enum, resolver = nsd.enum()
            assert await enum.operator_of(NUMBER) == "sfr.example"
            with pytest.raises(NotFound):
                await enum.operator_of("+33639980099")
            # The number moves; it is seen when what was answered before is over: here after a second.
            nsd.change(rule("sip:+33639980001@tim.example;user=phone"), rule("sip:a@sfr.example", "+33639980099"))

            async def moved():
                return await enum.operator_of(NUMBER) == "tim.example"

            await until(moved, within=20, pause=0.1)

            async def known():
                try:
                    return await enum.operator_of("+33639980099") == "sfr.example"
                except NotFound:
                    return False

            await until(known, within=20, pause=0.1)
            await resolver.close()

        asyncio.run(story())


def test_more_records_than_a_datagram_holds_come_over_tcp(tmp_path):
    name = ".".join(reversed(NUMBER[1:]))
    padding = [
        f'{name} NAPTR 200 {index} "u" "E2U+mailto" "!^.*$!mailto:{"x" * 180}{index}@sfr.example!" .'
        for index in range(20)
    ]
    with running(tmp_path, rule("sip:a@sfr.example"), *padding) as nsd:

        async def story():
            enum, resolver = nsd.enum()
            assert await enum.operator_of(NUMBER) == "sfr.example"
            assert len(await resolver.naptr(f"{name}.{ROOT}")) == 21
            await resolver.close()

        asyncio.run(story())


def test_the_next_hops_of_an_operator_are_those_of_its_zone(tmp_path):
    with running(tmp_path) as nsd:

        async def story():
            resolver = Resolver([("127.0.0.1", nsd.port)], now=time.monotonic)
            assert await resolve_next_hops(resolver, "sfr.example", lambda count: 0) == [
                NextHop("2001:db8::1", 5061, "tls"),
                NextHop("192.0.2.1", 5061, "tls"),
                NextHop("192.0.2.2", 5062, "tls"),
            ]
            # It is asked for a zone that is not its own, and refuses.
            with pytest.raises(Unresolved, match="REFUSED"):
                await resolve_next_hops(resolver, "elsewhere.example", lambda count: 0)
            await resolver.close()

        asyncio.run(story())
