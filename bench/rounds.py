"""Rounds: the relay, the server, the relay, the server …, so that every figure has its limit from the same minute.

Neighbours make a machine up to twice as slow for a while; what they do to a server they do to the relay just before and
just after it. So each round of a server is divided by the mean of the two relay rounds around it, and the median of
these ratios is the figure that can be compared.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from bench.yardstick import cpu
from bench.yardstick.farm import Farm, Result, store_and_fetch
from bench.yardstick.peers import PEERS

RELAY = "uvloop-relay-tcp"
CLIENTS = 1000
"""Clients of the relay and of every message case: 500 pairs."""
WINDOW = 64
"""Units in flight."""
RATE = 50
"""Units per second when latency is measured."""
MANY = 2000
"""In flight, at most, at a fixed rate: never the limit."""
WARM = 500
"""Clients that register before rounds of registrations are counted."""
EXPIRED = 34.0
"""Seconds after which no server transaction over UDP is left (RFC 3261 Timer J: 32 s)."""
TOLERATED = 0.001
"""Share of failed units up to which a round is still a result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How long it takes. `relay` and `server` are seconds of a round, `latency` those of a round at RATE."""

    rounds: int
    relay: float
    server: float
    latency: float
    deferred: int
    udp_bindings: int
    tcp_flows: int


FULL = Scale(rounds=5, relay=2, server=5, latency=10, deferred=5000, udp_bindings=10_000, tcp_flows=5000)
QUICK = Scale(rounds=2, relay=0.7, server=1.5, latency=3, deferred=1500, udp_bindings=2500, tcp_flows=1500)


class Broken(Exception):
    """A round did not work, so there is no figure."""


@dataclass(slots=True)
class Series:
    """The rounds of one figure. `limits` are the relay's µs around each; empty when the relay is no measure for it."""

    unit: str
    values: list[float] = field(default_factory=list)
    limits: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """The median of the rounds."""
        return statistics.median(self.values)

    @property
    def multiple(self) -> float | None:
        """The median of the rounds' multiples of the relay."""
        if not self.limits:
            return None
        return statistics.median(value / limit for value, limit in zip(self.values, self.limits, strict=True))


Measured = dict[str, Series]
"""What a case found, by step."""


class Bench:
    """The relay, which stays up for the whole run, and how long rounds take."""

    def __init__(self, scale: Scale) -> None:
        self.scale = scale
        self.relay_cpu: list[float] = []
        self._peer = PEERS[RELAY]()
        self._farm: Farm | None = None

    def __enter__(self) -> Bench:
        self._peer.start()
        self._farm = Farm(self._peer)
        self._farm.do("login", 0, CLIENTS, 50)
        self.relay()
        self.relay_cpu.clear()
        return self

    def __exit__(self, *_: object) -> None:
        if self._farm is not None:
            self._farm.close()
        self._peer.stop()

    def relay(self) -> float:
        """One round of the relay: its CPU µs for two frames of 1,000 bytes."""
        assert self._farm is not None
        result = checked(self._farm.do("msg", 0, CLIENTS, WINDOW, 0, self.scale.relay))
        self.relay_cpu.append(result["cpu_us"])
        return float(result["cpu_us"])

    def relay_latency(self) -> Result:
        """One round of the relay at RATE."""
        assert self._farm is not None
        return checked(self._farm.do("msg", 0, CLIENTS, MANY, RATE, self.scale.latency))

    def interleave(self, work: Callable[[int], float]) -> Series:
        """Rounds of `work`, which is told the round and gives CPU µs per unit, between rounds of the relay."""
        series = Series("µs")
        before = self.relay()
        for number in range(self.scale.rounds):
            series.values.append(work(number))
            after = self.relay()
            series.limits.append((before + after) / 2)
            before = after
        return series


@contextmanager
def running(name: str, users: int) -> Iterator[Farm]:
    """A server and its client farm. Raises RuntimeError and what a missing command raises."""
    peer = PEERS[name]()
    peer.users = users
    try:
        peer.start()
        farm = Farm(peer)
        try:
            yield farm
        finally:
            farm.close()
    finally:
        peer.stop()


def checked(result: Result, what: str = "units", wanted: int = 1) -> Result:
    """The result of a round in which at least `wanted` of `what` were done and hardly any failed. Raises Broken."""
    done = result[what]
    failed = result.get("fail", 0)
    if done < wanted or failed > TOLERATED * done:
        raise Broken(f"{done} {what}, {failed} failed{_status(result)}")
    return result


def _status(result: Result) -> str:
    return f", last status {result['lastcode']}" if result.get("lastcode") else ""


# The cases' work. Each gives its series by step.


def messages(bench: Bench, name: str) -> Measured:
    """Message and delivery receipt, WINDOW in flight: CPU per unit at saturation."""
    with running(name, CLIENTS) as farm:
        checked(farm.do("login", 0, CLIENTS, 50), "logins", CLIENTS)
        checked(farm.do("msg", 0, CLIENTS, WINDOW, 0, bench.scale.relay))
        work = ("msg", 0, CLIENTS, WINDOW, 0, bench.scale.server)
        return {"": bench.interleave(lambda _round: float(checked(farm.do(*work))["cpu_us"]))}


def deferred(bench: Bench, name: str) -> Measured:
    """Half of the clients send to the other half, who are offline; then these come online."""
    half, count = CLIENTS // 2, bench.scale.deferred
    fetched: list[float] = []
    with running(name, CLIENTS) as farm:
        checked(farm.do("login", 0, CLIENTS, 50), "logins", CLIENTS)

        def work(_round: int) -> float:
            store, fetch = store_and_fetch(farm, half, count, WINDOW)
            checked(store, "stored", count)
            checked(fetch, "delivered", count)
            fetched.append(fetch["cpu_us"])
            return float(store["cpu_us"])

        work(0)
        fetched.clear()
        store = bench.interleave(work)
    return {"store": store, "fetch": Series("µs", fetched, store.limits)}


def registrations(bench: Bench, name: str) -> Measured:
    """Fresh registrations in batches, then what they weigh when all is quiet, then refreshes."""
    udp = PEERS[name].proto == "sip-udp"
    total = bench.scale.udp_bindings if udp else bench.scale.tcp_flows
    ours = name.startswith("joyn")
    batch = (total - WARM) // bench.scale.rounds
    with running(name, total) as farm:
        roots = farm.peer.roots()
        # What a server needs but once, when the first comes, is counted as theirs.
        empty, _ = cpu.memory(roots)
        checked(farm.do("login", 0, WARM, 50), "logins", WARM)

        def fresh(number: int) -> float:
            first = WARM + number * batch
            return float(checked(farm.do("login", first, first + batch, 50), "logins", batch)["cpu_us"])

        measured = {"fresh": bench.interleave(fresh)}
        last = WARM + bench.scale.rounds * batch
        if ours:
            farm.do("idle", EXPIRED if udp else 5)
            full, _ = cpu.memory(roots)
            measured["memory"] = Series("KiB", [(full - empty) / last / 1024])
        refresh = ("refresh", 0, min(last, 2000), 50)
        measured["refresh"] = bench.interleave(lambda _round: float(checked(farm.do(*refresh), "logins")["cpu_us"]))
    return measured


def latency(bench: Bench, name: str) -> Measured:
    """RATE units per second: how long the message takes, and how long until its receipt is back."""
    steps = [(kind, percentile) for kind in ("deliver", "receipt") for percentile in ("p50", "p99")]
    measured = {f"{kind} {percentile}": Series("ms") for kind, percentile in steps}
    measured |= {f"relay, {kind} {percentile}": Series("ms") for kind, percentile in steps}
    with running(name, CLIENTS) as farm:
        checked(farm.do("login", 0, CLIENTS, 50), "logins", CLIENTS)
        checked(farm.do("msg", 0, CLIENTS, WINDOW, 0, 1))
        for _ in range(bench.scale.rounds):
            relay = bench.relay_latency()
            server = checked(farm.do("msg", 0, CLIENTS, MANY, RATE, bench.scale.latency))
            for kind, percentile in steps:
                measured[f"{kind} {percentile}"].values.append(server[f"{kind}_ms"][percentile])
                measured[f"relay, {kind} {percentile}"].values.append(relay[f"{kind}_ms"][percentile])
    return measured
