"""Writes docs/reference/standards.md out of standards.toml and the comments in the code: `make docs`.

`standards.toml` says for each clause whether we do what it says (yes, partly, no) and which test shows it. The code
cites clauses in comments and docstrings (`RFC 4975 §7.1.1`), and says what it does otherwise after `# Deviates:`.
With --check, says whether the page is out of date and exits with 1.
"""

from __future__ import annotations

import re
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "joyn"
CLAIMS = ROOT / "docs" / "reference" / "standards.toml"
PAGE = ROOT / "docs" / "reference" / "standards.md"
NOTE = "<!-- Written by tools/standards.py from standards.toml and the code: `make docs`. -->\n"
STATES = ("yes", "partly", "no")
CITATION = re.compile(r"(RFC \d+|RCC\.\d+)(?=[ ,;:.)(]|$)")
DEVIATION = re.compile(r"# Deviates: (.+(?:\n *# .+)*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Clause:
    """One clause, and whether we do what it says."""

    at: str
    what: str
    state: str
    tests: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standard:
    """One document. Without clauses it is cited for a definition or a part, and nothing is claimed of it."""

    name: str
    title: str
    clauses: tuple[Clause, ...] = ()


def claims() -> list[Standard]:
    """What standards.toml says."""
    return [_standard(one) for one in tomllib.loads(CLAIMS.read_text("utf-8"))["standard"]]


def _standard(table: dict[str, Any]) -> Standard:
    clauses = [
        Clause(
            at=one["at"],
            what=one["what"],
            state=one["is"],
            tests=tuple(one.get("tests", ())),
            note=one.get("note", ""),
        )
        for one in table.get("clauses", ())
    ]
    return Standard(name=table["name"], title=table["title"], clauses=tuple(clauses))


def citations() -> dict[str, list[str]]:
    """The packages that cite each document: files come and go, and would make the page a nuisance."""
    found: dict[str, set[str]] = {}
    for path in sorted(SOURCE.rglob("*.py")):
        for name in CITATION.findall(path.read_text("utf-8")):
            found.setdefault(name, set()).add(path.relative_to(SOURCE).parent.as_posix())
    return {name: sorted(packages) for name, packages in found.items()}


def deviations() -> list[tuple[str, str]]:
    """What the code does otherwise on purpose: the file and its reason."""
    found = []
    for path in sorted(SOURCE.rglob("*.py")):
        for comment in DEVIATION.findall(path.read_text("utf-8")):
            reason = " ".join(line.strip(" #") for line in comment.splitlines())
            found.append((path.relative_to(SOURCE).as_posix(), reason))
    return found


def page() -> str:
    """The whole page."""
    standards, cited = claims(), citations()
    counts = {state: sum(one.state == state for s in standards for one in s.clauses) for state in STATES}
    lines = [
        "# Standards",
        "",
        "What the server does of each clause, and the test that shows it. *partly* and *no* say what is missing.",
        "Clauses that concern neither a registrar nor a messaging server are left out. `git grep 'RFC 4975 §7'` finds",
        "where the code cites one.",
        "",
        f"{counts['yes']} yes, {counts['partly']} partly, {counts['no']} no.",
    ]
    for standard in standards:
        if not standard.clauses:
            continue
        lines += [
            "",
            f"## {standard.name}: {standard.title}",
            "",
            "| Clause | What | | Test | |",
            "|---|---|---|---|---|",
        ]
        for clause in standard.clauses:
            tests = ", ".join(f"[{_short(one)}](../../{one.partition('::')[0]})" for one in clause.tests)
            lines.append(f"| {clause.at} | {clause.what} | **{clause.state}** | {tests} | {clause.note} |")
        if standard.name in cited:
            lines += ["", f"In the code: {', '.join(f'`{package}`' for package in cited[standard.name])}."]
    lines += [
        "",
        "## Deviations",
        "",
        "Where the code does something else on purpose.",
        "",
        "| Where | What and why |",
        "|---|---|",
    ]
    lines += [f"| `{path}` | {reason[0].upper()}{reason[1:]} |" for path, reason in deviations()]
    lines += ["", "## Cited besides", ""]
    lines += [f"- {one.name}: {one.title}" for one in standards if not one.clauses]
    return NOTE + "\n".join(lines) + "\n"


def _short(test: str) -> str:
    path, _, name = test.partition("::")
    return name or path.removeprefix("tests/")


def faults() -> list[str]:
    """What is wrong with the claims: unknown states, tests that are not there, documents that only the code names."""
    standards = claims()
    found = [f"{name} is cited in {paths[0]} and not listed" for name, paths in citations().items()
             if name not in {one.name for one in standards}]  # fmt: skip
    for standard in standards:
        for clause in standard.clauses:
            where = f"{standard.name} {clause.at}"
            if clause.state not in STATES:
                found.append(f"{where}: {clause.state!r} is none of {STATES}")
            if (clause.state == "no") == bool(clause.tests):
                found.append(f"{where}: {clause.state} {'with' if clause.tests else 'without'} a test")
            if clause.state != "yes" and not clause.note:
                found.append(f"{where}: {clause.state}, and no word on what is missing")
            found += [f"{where}: there is no {test}" for test in clause.tests if not _exists(test)]
    return found


def _exists(test: str) -> bool:
    path, _, name = test.partition("::")
    file = ROOT / path
    return file.is_file() and (not name or f"def {name}(" in file.read_text("utf-8"))


def stale() -> bool:
    """Whether the page says something else than the claims and the code."""
    return not PAGE.exists() or PAGE.read_text("utf-8") != page()


def main() -> int:
    """Write, or check."""
    wrong = faults()
    for fault in wrong:
        print(fault)
    if "--check" in sys.argv[1:]:
        if stale():
            print("standards.md is out of date; run `make docs`")
        return 1 if wrong or stale() else 0
    PAGE.write_text(page(), "utf-8")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
