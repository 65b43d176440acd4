"""python -m bench.yardstick WORKLOAD PEER [PEER...]: W1 W5 W1s W2 W3 W3f; appended to $PERF_DATA/results.jsonl."""

import json
import signal
import sys
import time
from collections.abc import Callable

from . import cpu
from .farm import Farm, Result, build, store_and_fetch
from .peer import DATA, USERS, Peer
from .peers import PEERS


def out(workload: str, peer: Peer, step: str, result: Result) -> Result:
    record = {"w": workload, "peer": peer.name, "step": step, "at": time.strftime("%H:%M:%S"), **result}
    with (DATA / "results.jsonl").open("a") as f:
        f.write(json.dumps(record) + "\n")
    print(json.dumps({k: v for k, v in record.items() if k not in ("at", "wall_s", "secs")}), flush=True)
    return result


def w1(peer: Peer, n: int = 1000, reps: int = 3, secs: int = 6, window: int = 64) -> None:
    f = Farm(peer)
    out("W1", peer, "login", f.do("login", 0, n, 50))
    f.do("msg", 0, n, window, 0, 2)
    for _ in range(reps):
        out("W1", peer, f"closed{window}", f.do("msg", 0, n, window, 0, secs))
    out("W1", peer, "rate500", f.do("msg", 0, n, 2000, 500, secs))
    out("W5", peer, "rate50", f.do("msg", 0, n, 2000, 50, 20))
    f.close()


def w5(peer: Peer, n: int = 1000, secs: int = 60) -> None:
    f = Farm(peer)
    f.do("login", 0, n, 50)
    f.do("msg", 0, n, 64, 0, 1)
    out("W5", peer, "rate50", f.do("msg", 0, n, 2000, 50, secs))
    f.close()


def w1s(peer: Peer, senders: int = 500, count: int = 5000, window: int = 64) -> None:
    f = Farm(peer)
    out("W1s", peer, "login", f.do("login", 0, senders, 50))
    f.do("login", senders, 2 * senders, 50)  # recipients exist, then go offline
    store, fetch = store_and_fetch(f, senders, count, window)
    out("W1s", peer, "store", store)
    out("W1s", peer, "fetch", fetch)
    f.close()


def w2(peer: Peer, sizes: tuple[int, ...] = (20, 100), secs: int = 6) -> None:
    f = Farm(peer)
    f.do("login", 0, 200, 20)
    first = 0
    for room, size in enumerate(sizes, 1):
        print(f.do("join", first, first + size, room))
        f.do("group", first, first + size, room, 8, 0, 2)
        for _ in range(3):
            result = f.do("group", first, first + size, room, 8, 0, secs)
            result["cpu_us_per_copy"] = round(result["server_cpu_s"] / max(1, result["delivered"]) * 1e6, 2)
            out("W2", peer, f"group{size}", result)
        first += size
    f.close()


def w3(peer: Peer, n: int = 10000, conc: int = 50) -> None:
    n = min(n, USERS)
    f = Farm(peer)
    f.do("login", 0, 500, conc)  # warm up, then measure from there
    time.sleep(3)
    m0, k0 = cpu.memory(peer.roots()), cpu.tcp_kernel_memory()
    out("W3", peer, "login", f.do("login", 500, n // 2, conc))
    out("W3", peer, "login", f.do("login", n // 2, n, conc))
    f.do("idle", 5)
    m1, k1 = cpu.memory(peer.roots()), cpu.tcp_kernel_memory()
    memory = {
        "clients": n - 500,
        "pss_kib_per_client": round((m1[0] - m0[0]) / (n - 500) / 1024, 2),
        "rss_total_mib": round(m1[0] / 2**20, 1),
        "kernel_tcp_kib_per_client": round((k1 - k0) / (n - 500) / 1024, 2),
    }
    out("W3", peer, "memory", memory)
    out("W3", peer, "idle10", f.do("idle", 10))
    if peer.proto.startswith("sip"):
        out("W3", peer, "refresh", f.do("refresh", 0, n, conc))
        out("W3", peer, "refresh", f.do("refresh", 0, n, conc))
    f.close()


def w3f(peer: Peer, n: int = 10000) -> None:
    """a server that writes registrations behind (Kamailio, 60 s timer): the deferred cost per registration"""
    f = Farm(peer)
    f.do("login", 0, min(n, USERS), 50)
    result = f.do("idle", 70)
    result["cpu_us"] = round(result["server_cpu_s"] / n * 1e6, 1)
    out("W3", peer, "write-behind", result)
    f.close()


WORKLOADS: dict[str, Callable[[Peer], None]] = {"W1": w1, "W5": w5, "W1s": w1s, "W2": w2, "W3": w3, "W3f": w3f}


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers are stopped
    build()
    workload = WORKLOADS[sys.argv[1]]
    for name in sys.argv[2:]:
        peer = PEERS[name]()
        try:
            peer.start()
            workload(peer)
        except Exception as error:  # noqa: BLE001  # the next peer is run all the same
            print(json.dumps({"w": sys.argv[1], "peer": name, "error": repr(error)}), flush=True)
        finally:
            peer.stop()


if __name__ == "__main__":
    main()
