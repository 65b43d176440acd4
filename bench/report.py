"""A run as figures: rows for the table, JSON for machines."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.cases import Case, Rival
from bench.rounds import Measured, Scale, Series

REPOSITORY = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One line. `share` is our cost as a share of that rival's, each first divided by the relay of its own minute."""

    case: str
    step: str
    title: str
    peer: str
    series: Series
    goal: float | None = None
    share: float | None = None
    share_goal: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None when there is none."""
        if self.share_goal is not None and self.share is not None:
            return self.share <= self.share_goal
        if self.goal is None:
            return None
        multiple = self.series.multiple
        return (self.series.median if multiple is None else multiple) <= self.goal

    def json(self) -> dict[str, Any]:
        """Everything, raw rounds included."""
        return {
            "case": self.case,
            "step": self.step,
            "title": self.title,
            "peer": self.peer,
            "unit": self.series.unit,
            "median": round(self.series.median, 3),
            "multiple_of_relay": _rounded(self.series.multiple),
            "goal": self.goal,
            "our_share_of_it": _rounded(self.share),
            "share_goal": self.share_goal,
            "met": self.met,
            "rounds": [round(value, 3) for value in self.series.values],
            "relay_us_around": [round(value, 2) for value in self.series.limits],
        }


def figures_of(case: Case, measured: Measured) -> list[Figure]:
    """Our own figures of a case."""
    return [
        Figure(case=case.name, step=step, title=case.title, peer=case.peer, series=series, goal=case.goals.get(step))
        for step, series in measured.items()
    ]


def compared(case: Case, rival: Rival, ours: Measured, theirs: Measured) -> list[Figure]:
    """A rival's figures, with our share of them."""
    found = []
    for step, series in theirs.items():
        own, other = ours[step].multiple if step in ours else None, series.multiple
        found.append(
            Figure(
                case=case.name,
                step=step,
                title=case.title,
                peer=rival.peer,
                series=series,
                share=own / other if own and other else None,
                share_goal=rival.goals.get(step),
            )
        )
    return found


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


@dataclass(slots=True)
class Report:
    """All figures of a run, what was left out and why."""

    scale: Scale
    quick: bool
    figures: list[Figure]
    left_out: list[tuple[str, str]]
    relay: Series
    environment: dict[str, Any]

    def write(self, folder: Path) -> Path:
        """Write the JSON; its path."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{time.strftime('%Y-%m-%dT%H-%M-%S')}.json"
        content = {
            "quick": self.quick,
            "environment": self.environment,
            "relay_us": [round(value, 2) for value in self.relay.values],
            "figures": [figure.json() for figure in self.figures],
            "left_out": [{"what": what, "why": why} for what, why in self.left_out],
        }
        path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
        return path

    def show(self, console: Console) -> None:
        """Print the table."""
        table = Table(title="joyn bench (quick)" if self.quick else "joyn bench", title_justify="left")
        table.add_column("what")
        table.add_column("server")
        table.add_column("median", justify="right")
        table.add_column("rounds", justify="right")
        table.add_column("x relay", justify="right")
        table.add_column("our share", justify="right")
        table.add_column("goal", justify="right")
        table.add_column("")
        relay = ["two frames of 1,000 bytes", "uvloop relay", *_numbers(self.relay)]
        table.add_row(*relay, "1.0", "", "", "limit", end_section=True)
        for figure, following in zip(self.figures, [*self.figures[1:], None], strict=False):
            table.add_row(*_cells(figure), end_section=following is None or following.case != figure.case)
        console.print(table)
        for what, why in self.left_out:
            console.print(f"left out: {what}: {why}", highlight=False)
        console.print(
            "µs: user+sys of the server's processes per unit, client not counted. KiB: PSS per idle binding, after all "
            "transactions have expired.\nbench/README.md says what each line means.",
            highlight=False,
        )


def _numbers(series: Series) -> tuple[str, str]:
    low, high = min(series.values), max(series.values)
    return f"{_text(series.median)} {series.unit}", f"{_text(low)}-{_text(high)}" if low != high else ""


def _text(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _cells(figure: Figure) -> list[str]:
    multiple = figure.series.multiple
    goal = ""
    if figure.share_goal is not None:
        goal = f"≤ {figure.share_goal:g}"
    elif figure.goal is not None:
        goal = f"≤ {figure.goal:g}x" if multiple is not None else f"≤ {figure.goal:g} {figure.series.unit}"
    verdict = {True: "[green]met[/]", False: "[red]missed[/]", None: ""}[figure.met]
    return [
        f"{figure.title}{': ' if figure.step else ''}{figure.step}",
        figure.peer,
        *_numbers(figure.series),
        "" if multiple is None else f"{multiple:.1f}",
        "" if figure.share is None else f"{figure.share:.2f}",
        goal,
        verdict,
    ]


def environment(data: Path) -> dict[str, Any]:
    """Where the run was made: what a reader needs to judge it."""
    cpu = [line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    return {
        "at": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "commit": _git("rev-parse", "--short", "HEAD"),
        "changed_files": len(_git("status", "--porcelain", "--", "src").splitlines()),
        "cpu": cpu[0] if cpu else platform.machine(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "disk": filesystem(data),
        "load_before": round(os.getloadavg()[0], 2),
    }


def filesystem(path: Path) -> str:
    """The type of the file system a path is on; on `tmpfs` nothing is durable, and no figure counts."""
    best, kind = "", "unknown"
    for line in _lines("/proc/mounts"):
        _, point, name = line.split()[:3]
        if path.is_relative_to(point) and len(point) >= len(best):
            best, kind = point, name
    return kind


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(REPOSITORY), *arguments], capture_output=True, text=True, check=False)
    return done.stdout.strip()
