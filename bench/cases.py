"""What is measured, against which goals, and beside whom."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from bench.files import files
from bench.interconnect import interconnect
from bench.rounds import Bench, Measured, deferred, latency, messages, registrations
from bench.transfers import transfers
from bench.web_open import web_open


@dataclass(frozen=True, slots=True, kw_only=True)
class Rival:
    """A foreign server that does the same work. `goals` are our CPU as a share of its, by step."""

    peer: str
    goals: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One case. `goals` by step: at most so many times the relay (µs), or at most this value (KiB, ms, rows)."""

    name: str
    title: str
    peer: str
    work: Callable[[Bench, str], Measured]
    goals: dict[str, float] = field(default_factory=dict)
    rivals: tuple[Rival, ...] = ()


CASES = (
    Case(
        name="w1-tcp",
        title="message + receipt, SIP/TCP",
        peer="joyn-tcp",
        work=messages,
        goals={"": 10},
        rivals=(Rival(peer="kamailio-tcp", goals={"": 0.8}), Rival(peer="ejabberd", goals={"": 0.5})),
    ),
    Case(
        name="w1-udp",
        title="message + receipt, SIP/UDP, trusted access",
        peer="joyn-udp",
        work=messages,
        goals={"": 8},
        rivals=(Rival(peer="kamailio-udp"),),
    ),
    Case(
        name="w1-udp-digest",
        title="message + receipt, SIP/UDP, digest per request",
        peer="joyn-udp-authmsg",
        work=messages,
        rivals=(Rival(peer="kamailio-udp-authmsg"),),
    ),
    Case(name="msrp", title="message + receipt, MSRP session", peer="joyn-msrp", work=messages, goals={"": 7}),
    Case(
        name="deferred-tcp",
        title="deferred message, SIP/TCP",
        peer="joyn-tcp",
        work=deferred,
        rivals=(Rival(peer="kamailio-msilo-tcp", goals={"store": 0.5, "fetch": 0.5}),),
    ),
    Case(
        name="deferred-udp",
        title="deferred message, SIP/UDP, trusted access",
        peer="joyn-udp",
        work=deferred,
        rivals=(Rival(peer="kamailio-msilo-udp", goals={"store": 0.5, "fetch": 0.5}),),
    ),
    Case(
        name="register-tcp",
        title="registration, SIP/TCP",
        peer="joyn-tcp",
        work=registrations,
        goals={"fresh": 6, "memory": 10},
        rivals=(Rival(peer="kamailio-tcp", goals={"fresh": 0.6}),),
    ),
    Case(
        name="register-udp",
        title="registration, SIP/UDP",
        peer="joyn-udp",
        work=registrations,
        goals={"fresh": 6, "memory": 2},
        rivals=(Rival(peer="kamailio-udp", goals={"fresh": 0.6}),),
    ),
    Case(name="latency-tcp", title="50/s, SIP/TCP", peer="joyn-tcp", work=latency, goals={"receipt p50": 2.5}),
    Case(
        name="latency-udp",
        title="50/s, SIP/UDP, trusted access",
        peer="joyn-udp",
        work=latency,
        goals={"receipt p50": 2.5},
    ),
    Case(
        name="files",
        title="a file of 100 MB",
        peer="joyn",
        work=files,
        goals={"http up × nginx": 1.5, "http down × nginx": 1.25, "https up × nginx": 2, "https down × nginx": 2},
    ),
    Case(
        name="transfers",
        title="200 files at once",
        peer="joyn",
        work=transfers,
        goals={"memory above idle, up": 150, "memory above idle, down": 150},
    ),
    Case(
        name="interconnect",
        title="message + receipt between two operators",
        peer="joyn",
        work=interconnect,
        goals={"across × within": 2.2},
    ),
    Case(
        name="web-open",
        title="web client, 10,000 messages",
        peer="Chromium",
        work=web_open,
        goals={"open": 1000, "blank frames": 0, "mounted": 80},
    ),
)
