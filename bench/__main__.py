"""python -m bench [--quick] [--peers] [CASE...]: measure the server, print a table, write bench/results/*.json."""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from bench.cases import Case, Rival
    from bench.report import Figure
    from bench.rounds import Bench, Measured

RESULTS = Path(__file__).resolve().parent / "results"
PACKAGES = (
    "kamailio kamailio-postgres-modules kamailio-extra-modules postgresql ejabberd erlang-p1-pgsql gcc libssl-dev"
)

WIDTH = 140
"""Columns of the table, also where no terminal says how wide it is."""

console = Console(stderr=True, highlight=False)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="What performance is claimed, measured.")
    parser.add_argument("cases", nargs="*", metavar="CASE", help="only these (--list names them)")
    parser.add_argument("--quick", action="store_true", help="short rounds, fewer bindings: at most 3 minutes")
    parser.add_argument("--peers", action="store_true", help="Kamailio and ejabberd too, where installed")
    parser.add_argument("--list", action="store_true", help="name the cases and stop")
    return parser.parse_args()


def main() -> int:
    given = arguments()
    RESULTS.mkdir(exist_ok=True)
    # On the repository's own disk: a temporary folder may be in memory, and then nothing would be durable.
    data = Path(tempfile.mkdtemp(prefix="data-", dir=RESULTS))
    data.chmod(0o755)  # PostgreSQL runs as a user of its own
    os.environ["PERF_DATA"] = str(data)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers are stopped
    try:
        return run(given, data)
    except KeyboardInterrupt:
        return 130
    finally:
        shutil.rmtree(data, ignore_errors=True)


def run(given: argparse.Namespace, data: Path) -> int:
    # Not before PERF_DATA is set, which they read.
    from bench.cases import CASES
    from bench.report import Report, environment
    from bench.rounds import FULL, QUICK, Bench, Series
    from bench.yardstick.farm import build

    if given.list:
        print("\n".join(f"{case.name:15}{case.title}" for case in CASES))
        return 0
    known = {case.name: case for case in CASES}
    unknown = [name for name in given.cases if name not in known]
    if unknown:
        console.print(f"no such case: {', '.join(unknown)}; there are {', '.join(known)}")
        return 2
    if (os.cpu_count() or 1) < 2:
        console.print("two cores are needed: one for the server, one for its clients")
        return 2
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        build()
    except (OSError, subprocess.CalledProcessError):
        console.print("the client farm is written in C: gcc, make and OpenSSL's headers are needed (libssl-dev)")
        return 2
    scale = QUICK if given.quick else FULL
    report = Report(scale, given.quick, [], [], Series("µs"), environment(data))
    if report.environment["disk"] == "tmpfs":
        console.print("the repository is on a tmpfs: what is measured here is not durable")
    with Bench(scale) as bench:
        for case in [known[name] for name in given.cases] or CASES:
            figures, left_out = measure(bench, case, given.peers)
            report.figures += figures
            report.left_out += left_out
    report.relay.values = bench.relay_cpu or [0.0]
    path = report.write(RESULTS)
    report.show(Console(width=max(WIDTH, Console().width)))
    print(f"written to {os.path.relpath(path)}")
    failed = {case.name for case in known.values()} & {what for what, _ in report.left_out}
    return 1 if failed else 0


def measure(bench: Bench, case: Case, peers: bool) -> tuple[list[Figure], list[tuple[str, str]]]:
    """One case, and its rivals when asked for; what was left out comes with the reason."""
    from bench.report import compared, figures_of

    console.print(f"{case.name}: {case.title}")
    measured, why = attempt(bench, case, case.peer)
    if measured is None:
        return [], [(case.name, why)]
    figures, left_out = figures_of(case, measured), []
    for rival in case.rivals if peers else ():
        theirs, why = compete(bench, case, rival)
        if theirs is None:
            left_out.append((rival.peer, why))
        else:
            figures += compared(case, rival, measured, theirs)
    return figures, left_out


def compete(bench: Bench, case: Case, rival: Rival) -> tuple[Measured | None, str]:
    """The rival's figures, or why there are none."""
    from bench.yardstick.peers import PEERS

    missing = PEERS[rival.peer].missing()
    if missing:
        return None, f"{missing} (Debian packages: {PACKAGES})"
    console.print(f"  {rival.peer}")
    return attempt(bench, case, rival.peer)


def attempt(bench: Bench, case: Case, peer: str) -> tuple[Measured | None, str]:
    """The figures, or why there are none, with the last words of the server."""
    from bench.rounds import Broken
    from bench.yardstick.farm import FarmError
    from bench.yardstick.peer import DATA

    try:
        return case.work(bench, peer), ""
    except (Broken, FarmError, RuntimeError, OSError, subprocess.SubprocessError) as error:
        log = DATA / "peers" / peer / "server.log"
        tail = log.read_text(errors="replace").splitlines()[-5:] if log.exists() else []
        return None, "\n    ".join([f"did not work: {error}", *tail])


if __name__ == "__main__":
    sys.exit(main())
